"""The embedded engine: llama.cpp's own server in this process, one for each file of weights.

It listens on the loopback interface, on a port the system chooses, and asks for a key that only this process has.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import secrets
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtk.errors import EngineError, MissingExtra
from rtk.models import weights
from rtk.models.gguf import header

NEUTRAL_SAMPLING: dict[str, Any] = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
}
"""Fields of a chat request that switch off llama.cpp's own filters (top-k 40, top-p 0.95, min-p 0.05, and what a GGUF
may set), so that the temperature alone shapes what is sampled."""

_WORKING_MEMORY = 200 << 20
_PROMPT_CACHE_MIB = 256
_READY_SECONDS = 60.0


@dataclass(eq=False)
class Engine:
    """A running engine.

    Attributes:
        path: the GGUF it runs.
        sha256: of that file, in hex.
        slots: samples computed side by side, and the most completions of one request.
        context: tokens that a prompt and its completion may have together, in each slot.
        url: of its OpenAI-compatible interface, ending in `/v1`.
        api_key: random; sent as a bearer token. Not shown in the repr.
    """

    path: Path
    sha256: str
    slots: int
    context: int
    url: str
    api_key: str = field(repr=False)
    _server: Any = field(repr=False)

    @property
    def running(self) -> bool:
        """Whether it has not been closed."""
        return self._server is not None

    def close(self) -> None:
        """Stop it and free its memory; requests under way fail. Closing twice is no error."""
        with _lock:
            self._server = None  # llama.cpp's server stops when its last reference goes
            if self in _running:
                _running.remove(self)


_running: list[Engine] = []
_lock = threading.Lock()


def engine(path: str | Path, *, slots: int = 8, context: int = 2048) -> Engine:
    """The engine that runs a GGUF in this process; started by the first who asks, shared by all who ask later.

    A running one is shared when it has as many slots and as much context as asked for, or more. Where it has less, a
    larger one starts beside it, and the smaller goes on until it is closed or the process ends.
    A forked child starts its own.

    Args:
        path: the weights.
        slots: samples computed side by side, at least 1.
        context: tokens for a prompt and its completion together, in each slot.

    Raises:
        MissingExtra: where xllamacpp is not installed.
        WeightsError: where the file is missing or no GGUF.
        EngineError: where there is too little memory, or llama.cpp does not load the file.
    """
    if slots < 1 or context < 1:
        raise EngineError(
            f"an engine needs slots and a context, not slots={slots}, context={context}", mend="pass positive numbers"
        )
    path = weights.check_gguf(path).resolve()
    with _lock:
        running = [each for each in _running if each.path == path]
        for each in running:
            if each.slots >= slots and each.context >= context:
                return each
        slots, context = max([slots, *(e.slots for e in running)]), max([context, *(e.context for e in running)])
        started = _start(path, slots, context)
        _running.append(started)
        return started


def _start(path: Path, slots: int, context: int) -> Engine:
    llama = _xllamacpp()
    needed, available = _needed(path, slots, context), _available()
    if available is not None and needed > available:
        raise EngineError(
            f"{path.name} with {slots} slots of {context} tokens needs about {_gib(needed)} of memory, "
            f"and {_gib(available)} are free",
            mend="free some memory, or ask for fewer slots, a shorter context or a smaller model",
        )
    key = secrets.token_urlsafe(32)
    try:
        server = llama.Server(_params(llama, path, slots, context, key))
    except RuntimeError as error:
        raise EngineError(
            f"llama.cpp did not load {path}: {error}",
            mend="the file may be damaged or of a newer kind than the installed xllamacpp knows: "
            "fetch it again, or pip install -U xllamacpp",
        ) from error
    _wait(server, key)
    return Engine(path, weights.sha256(path), slots, context, f"{server.listening_address}/v1", key, server)


def _xllamacpp() -> Any:
    # llama.cpp's threads wait for each other at every step. By default they spin, and where another process has one of
    # the cores each step takes as long as a time slice: with 2 cores, 3 to 5 times slower. Read when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra(
            f"the embedded engine needs xllamacpp ({error})", mend="pip install 'rtk-inference[local]'"
        ) from error
    return xllamacpp


def _params(llama: Any, path: Path, slots: int, context: int, key: str) -> Any:
    params = llama.CommonParams()
    params.model.path = str(path)
    params.n_parallel, params.n_ctx = slots, slots * context
    # One cache for all slots: the samples of a request then share their prompt in it, and attend to it once.
    params.kv_unified, params.kv_unified_per_slot = True, context
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.ui = params.warmup = False
    params.verbosity = 0
    params.cache_ram_mib = _PROMPT_CACHE_MIB  # llama.cpp would keep up to 8 GiB of past prompts
    threads = _cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    return params


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _wait(server: Any, key: str) -> None:
    """Wait until the engine's own loop has answered once.

    Not a courtesy: a server that is dropped before its loop runs never ends (seen in xllamacpp 2026.10), and hangs
    the process.
    """
    request = urllib.request.Request(f"{server.listening_address}/slots", headers={"Authorization": f"Bearer {key}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on the loopback
    try:
        with opener.open(request, timeout=_READY_SECONDS) as reply:
            json.load(reply)
    except (OSError, ValueError) as error:
        _leak(server)
        raise EngineError(
            f"the embedded engine started and does not answer: {error}",
            mend="check that programs may open ports on 127.0.0.1, then start again",
        ) from error


def _needed(path: Path, slots: int, context: int) -> int:
    """About how many bytes an engine takes: weights, the slots' keys and values in 16 bits, and room to work."""
    return path.stat().st_size + slots * context * _bytes_a_token(path) + _WORKING_MEMORY


def _bytes_a_token(path: Path) -> int:
    """Keys and values of one token in all layers; 0 where the file does not say."""
    facts = header(path).facts
    kind = facts.get("general.architecture")
    layers, width, heads = (
        facts.get(f"{kind}.{name}") for name in ("block_count", "embedding_length", "attention.head_count")
    )
    if not (isinstance(layers, int) and isinstance(width, int) and isinstance(heads, int) and heads):
        return 0
    shared = facts.get(f"{kind}.attention.head_count_kv", heads)
    sizes = [facts.get(f"{kind}.attention.{name}", width // heads) for name in ("key_length", "value_length")]
    return layers * shared * sum(sizes) * 2


def _available() -> int | None:
    """Bytes of memory a new engine may take; None where the system does not say."""
    with suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def _leak(server: Any) -> None:
    """Keep a server that cannot be stopped from ever being freed, since freeing would wait for it for ever."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _forked() -> None:
    """In a forked child: the engine's threads are not here, and stopping it would wait for them for ever."""
    global _lock
    _lock = threading.Lock()
    for each in _running:
        _leak(each._server)
        each._server = None
    _running.clear()


@atexit.register
def _close_all() -> None:
    for each in list(_running):
        each.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
