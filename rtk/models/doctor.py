"""A check-up: which engines and endpoints answer, what they serve and honour, and whether samples can be kept.

What is not on this machine is asked only where that is wished for. A key goes nowhere but to the endpoint that was
named for it: what listens at a usual port may be anything.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from rtk.errors import EndpointError, StoreError
from rtk.models import weights
from rtk.models.embedded import is_embedded
from rtk.models.endpoints import endpoint
from rtk.models.http import Pool
from rtk.models.lm import LM
from rtk.models.loop import wait
from rtk.models.ollama_wire import OllamaWire
from rtk.models.openai_wire import OpenAIWire
from rtk.models.pinging import Ping, listed
from rtk.models.wire import Fault, Mends
from rtk.shipped import DISTRIBUTION
from rtk.store import SampleStore, default_path, size_of, whole_path

State = Literal["answers", "installed", "no answer", "not running", "not installed", "no model", "a key is missing",
                "something else", "not asked"]  # fmt: skip

LOOK_SECONDS = 2.0
"""How long an endpoint may take to say what it serves."""

PING_SECONDS = 60.0
"""How long a model may take to answer a ping; it may have to be loaded."""

_LOCAL, _NOTEBOOK = f"pip install '{DISTRIBUTION}[local]'", f"pip install '{DISTRIBUTION}[notebook]'"

Progress = Callable[[str], object]
"""Told what is being done."""

HOSTED = {
    "ANTHROPIC_API_KEY": "anthropic", "AZURE_API_KEY": "azure", "CEREBRAS_API_KEY": "cerebras",
    "COHERE_API_KEY": "cohere_chat", "DEEPSEEK_API_KEY": "deepseek", "FIREWORKS_AI_API_KEY": "fireworks_ai",
    "GEMINI_API_KEY": "gemini", "GROQ_API_KEY": "groq", "HUGGINGFACE_API_KEY": "huggingface",
    "MISTRAL_API_KEY": "mistral", "OPENAI_API_KEY": "openai", "OPENROUTER_API_KEY": "openrouter",
    "TOGETHERAI_API_KEY": "together_ai", "XAI_API_KEY": "xai",
}  # fmt: skip
"""Variables that hold the key of a hosted provider, and its prefix of a model string."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that is looked for.

    Attributes:
        name: as people call it.
        prefix: of the model string.
        usual: its address unless told otherwise; empty where there is none.
        variables: that tell otherwise.
        key: the variable that holds its key, for an address that was told.
        start: what starts it, with a model where it needs one.
        get: what gets it a model.
    """

    name: str
    prefix: str
    usual: str
    variables: tuple[str, ...]
    key: str
    start: str
    get: str = ""


ENGINES = (
    Engine("Ollama", "ollama_chat", "http://localhost:11434", ("OLLAMA_API_BASE",), "", "ollama serve",
           "ollama pull llama3.2:1b"),
    Engine("vLLM", "hosted_vllm", "http://localhost:8000/v1", ("HOSTED_VLLM_API_BASE",), "HOSTED_VLLM_API_KEY",
           "vllm serve NAME"),
    Engine("llama.cpp", "openai", "http://localhost:8080/v1", (), "", "llama-server -m FILE.gguf --parallel 8"),
    Engine("LM Studio", "lm_studio", "http://localhost:1234/v1", ("LM_STUDIO_API_BASE",), "LM_STUDIO_API_KEY",
           "lms server start", "lms get NAME"),
    Engine("OpenAI-compatible", "openai", "", ("OPENAI_API_BASE", "OPENAI_BASE_URL"), "OPENAI_API_KEY",
           "start that server, or correct the variable"),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A place where models may be, and what was found there.

    Attributes:
        engine: its name.
        where: `"this process"`, a port of this machine, or the variable that names it: no other address is told.
        state: what was found.
        told: what to do about that, or why it is so.
        serves: the names of the models there.
        line: what to write in Python for the first of them.
        ping: what that model said.
    """

    engine: str
    where: str
    state: State
    told: str = ""
    serves: tuple[str, ...] = ()
    line: str = ""
    ping: Ping | None = None

    @property
    def brief(self) -> str:
        """What is to be done, else the names of the models."""
        return self.told or listed(self.serves)


@dataclass(frozen=True)
class Kept:
    """Where samples are kept.

    Attributes:
        path: the store's folder.
        there: whether there is a store; if not, the first sample makes it.
        samples: how many it holds.
        size: bytes on the disk.
        writable: whether samples can be added.
        error, mend: what is wrong with it.
    """

    path: str
    there: bool
    samples: int = 0
    size: int = 0
    writable: bool = True
    error: str | None = None
    mend: str | None = None


@dataclass(frozen=True)
class Checkup:
    """What a check-up found.

    Attributes:
        versions: of Python and the packages that matter here; None for one that is not installed.
        places: the engines, those that answer and those that do not.
        keys: variables with the key of a hosted provider, of which none was asked; by variable, its prefix.
        store: where samples are kept.
        extras: optional parts that are missing, and what installs them.
    """

    versions: dict[str, str | None]
    places: list[Place]
    keys: dict[str, str]
    store: Kept
    extras: dict[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether a model answers, and what it says can be kept."""
        answers = any(place.state in ("answers", "installed") for place in self.places)
        return answers and self.store.error is None and self.store.writable


def check(
    model: str | None = None,
    *,
    api_base: str | None = None,
    remote: bool = False,
    ask: bool = True,
    store: Path | None = None,
    progress: Progress = lambda doing: None,
) -> Checkup:
    """Look at what there is on this machine.

    Args:
        model: ask this model alone, wherever it is.
        api_base: its endpoint.
        remote: whether endpoints on other machines that variables name are asked, too.
        ask: whether models are asked, with some short samples each; else only what they are.
        store: the store's folder.
        progress: told what is being done.
    """
    if model is not None:
        places = [_named(model, api_base, progress)]
    else:
        progress("looking for engines")
        found = [(_embedded(), "embedded", {}), *wait(_looked(list(_sites()), remote))]
        places = [
            _asked(place, model, settings, progress) if ask and place.serves else place
            for place, model, settings in found
        ]
    keys = {name: prefix for name, prefix in HOSTED.items() if os.environ.get(name)}
    extras = {"notebook": _NOTEBOOK} if find_spec("jupyterlab") is None else {}
    return Checkup(_versions(), places, keys, _kept(store), extras)


Found = tuple[Place, str, Mapping[str, Any]]
"""A place, the model to ask there, and how an `rtk.LM` finds it."""


# --- engines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class _Site:
    """Where an engine may be. Without a repr: it holds an address.

    Attributes:
        engine: which.
        base: the address.
        variable: that names it; empty for the usual address.
    """

    engine: Engine
    base: str
    variable: str = ""

    @property
    def spot(self) -> tuple[str, int | None]:
        """The machine, which is "localhost" for this one, and the port; an empty machine for what is no address."""
        return _spot(self.base)

    @property
    def where(self) -> str:
        """As it may be told."""
        return _where(self.base) or self.variable

    @property
    def known(self) -> bool:
        """Whether an `rtk.LM` finds it by itself."""
        return bool(self.variable) or self.engine.prefix == "ollama_chat"

    @property
    def settings(self) -> dict[str, str]:
        """What an `rtk.LM` is given to find it; no key of another place goes there."""
        return {} if self.known else {"api_base": self.base, "api_key": "none"}


def _spot(address: str) -> tuple[str, int | None]:
    try:
        found = urlsplit(address)
        host, port = found.hostname or "", found.port
    except ValueError:  # a port that is no number
        return "", None
    if found.scheme not in ("http", "https"):
        return "", None
    return ("localhost" if _is_here(host) else host), port


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _where(address: str) -> str:
    """A port of this machine; empty for any other place, whose address is nobody's business."""
    host, port = _spot(address)
    return f"localhost:{port}" if host == "localhost" and port else host if host == "localhost" else ""


def _sites() -> Iterator[_Site]:
    """Where each engine may be, no place twice; one that a variable names comes before a usual one."""
    named = [_Site(one, os.environ[name], name) for one in ENGINES for name in one.variables if os.environ.get(name)]
    taken = {site.engine.name for site in named}
    usual = [_Site(one, one.usual) for one in ENGINES if one.usual and one.name not in taken]
    seen = set[object]()
    for site in [*named, *usual]:
        place = site.spot if site.spot[0] else site.base
        if place not in seen:
            seen.add(place)
            yield site


async def _looked(sites: list[_Site], remote: bool) -> list[Found]:
    """All of them at once, in the order of the engines."""
    sites = sorted(sites, key=lambda site: ENGINES.index(site.engine))
    places = await asyncio.gather(*(_look(site, remote) for site in sites))
    return [
        (place, f"{site.engine.prefix}/{next(iter(place.serves), '')}", site.settings)
        for site, place in zip(sites, places, strict=True)
    ]


async def _look(site: _Site, remote: bool) -> Place:
    name, host = site.engine.name, site.spot[0]
    if not host:
        return Place(
            name, site.where, "no answer", f"{site.variable} holds no address, such as http://localhost:8000/v1"
        )
    if host != "localhost" and not remote:
        return Place(name, site.where, "not asked", "on another machine: --remote asks there, too")
    keyed = site.engine.key if site.variable else ""
    headers = {"Authorization": f"Bearer {os.environ[keyed]}"} if os.environ.get(keyed) else {}
    pool = Pool(name, site.base.rstrip("/"), headers, LOOK_SECONDS, _mends(site.engine))
    wire = OllamaWire("", pool) if site.engine.prefix == "ollama_chat" else OpenAIWire("", pool)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            serves = await wire.served()
    except (TimeoutError, Fault, EndpointError) as error:
        return Place(name, site.where, *_silence(site.engine, error, pool.reached))
    finally:
        await wire.close()
    if not serves:
        return Place(name, site.where, "no model", site.engine.get or site.engine.start)
    line = _line(f"{site.engine.prefix}/{serves[0]}", None if site.known else site.base)
    return Place(name, site.where, "answers", "", tuple(serves), line)


def _mends(engine: Engine) -> Mends:
    base = (*engine.variables, "OPENAI_API_BASE")[0]
    key = engine.key or "OPENAI_API_KEY"
    return Mends(engine.start, f"set {base} and {key}", f"what listens there is not {engine.name}")


def _silence(engine: Engine, error: Exception, reached: bool) -> tuple[State, str]:
    """Why an endpoint does not say what it serves, and what to do about it."""
    if not reached:
        return "not running", engine.start
    mends = _mends(engine)
    if getattr(error, "mend", None) == mends.key:
        return "a key is missing", mends.key
    if isinstance(error, TimeoutError):
        return "no answer", f"something listens there and said nothing within {LOOK_SECONDS:g} s"
    return "something else", mends.model


def _embedded() -> Place:
    """The model that rtk brings along."""
    name, where = "embedded", "this process"
    if find_spec("xllamacpp") is None:
        return Place(name, where, "not installed", _LOCAL)
    if weights.find() is None:
        return Place(name, where, "no model", "rtk model get")
    return Place(name, where, "installed", "", (weights.names()[0],), _line("embedded"))


def _named(model: str, api_base: str | None, progress: Progress) -> Place:
    """The place of a model that somebody named, wherever it is."""
    engine = model.partition("/")[0]
    if is_embedded(model):
        return _asked(Place(engine, "this process", "answers", line=_line(model)), model, {}, progress)
    found = endpoint(model, {"api_base": api_base} if api_base else {})
    where = _where(found.base) if found is not None else ""
    told = None if not api_base else api_base if where and "@" not in api_base else "…"
    place = Place(engine, where or "elsewhere", "answers", line=_line(model, told))
    return _asked(place, model, {"api_base": api_base} if api_base else {}, progress)


def _asked(place: Place, model: str, settings: Mapping[str, Any], progress: Progress) -> Place:
    """A place whose model was asked for real."""
    progress(f"asking {model}")
    lm = LM(model, cache=False, num_retries=0, **settings)
    found = lm.ping(deadline=PING_SECONDS)
    place = replace(place, ping=found, serves=place.serves or found.serves or ())
    return replace(place, state="answers" if found.answers else "no answer")


def _line(model: str, api_base: str | None = None) -> str:
    """What to write in Python."""
    more = "" if api_base is None else f", api_base={json.dumps(api_base, ensure_ascii=False)}"
    return f"rtk.LM({json.dumps(model, ensure_ascii=False)}{more})"


# --- the rest -------------------------------------------------------------------------------------------------------


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"rtk": _version(DISTRIBUTION), "Python": platform.python_version()}
    return found | {name: _version(name.lower()) for name in ("DSPy", "LiteLLM", "xllamacpp")}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _kept(folder: Path | None) -> Kept:
    path = default_path()
    try:
        path = path if folder is None else whole_path(folder)
        if not size_of(path):
            return Kept(str(path), False, writable=_writable(path))
        store = SampleStore(path)
        return Kept(str(path), True, store.count(), store.size, _writable(path))
    except StoreError as error:
        return Kept(str(path), True, writable=_writable(path), error=str(error), mend=error.mend)


def _writable(path: Path) -> bool:
    """Whether a folder can be written, or made."""
    there = next((one for one in (path, *path.parents) if one.exists()), path)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
