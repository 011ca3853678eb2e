"""The engines that must conform, how each is reached, and what each is expected to support.

Three kinds: scripted servers, which speak an engine's wire as its documentation gives it; the embedded engine, in this
process and over its own HTTP port; and real servers, where an environment variable names one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import rtk
from rtk.models import weights
from rtk.models.engine import engine as started
from rtk.testing import ScriptedServer

KEY = "sk-conformance-key-that-must-not-be-stored"
DIRECT, LITELLM = "direct", "litellm"

FEATURES = ("n", "seed", "logprobs", "response_format", "top_k, min_p", "extra_body", "reasoning", "reasoning_effort",
            "tools", "images", "streaming", "usage", "price")  # fmt: skip

_YES = dict.fromkeys(FEATURES, "yes")
_LOCAL = {**_YES, "n": "one request", "price": "`price=`"}
EXPECTED: dict[str, dict[str, str]] = {
    "embedded": {**_LOCAL, "reasoning": "–", "reasoning_effort": "–", "tools": "–", "images": "–",
                 "usage": "each sample's", "price": "0"},
    "Ollama": {**_LOCAL, "n": "a request each", "extra_body": "its options", "usage": "each sample's"},
    "vLLM": {**_LOCAL, "usage": "shared out"},
    "llama.cpp": {**_LOCAL, "usage": "shared out"},
    "LM Studio": {**_LOCAL, "n": "found out", "usage": "shared out"},
    "OpenAI-compatible": {**_LOCAL, "n": "found out", "usage": "shared out"},
    "hosted": {**_YES, "n": "found out", "top_k, min_p": "or refused", "logprobs": "or refused",
               "reasoning_effort": "or refused", "usage": "shared out", "price": "LiteLLM's list"},
}  # fmt: skip
"""What is true of each engine, as `rtk/models/ENGINES.md` shows it; the tests hold rtk to it."""


@dataclass(frozen=True)
class Engine:
    """One engine, reached in one way.

    Attributes:
        name: the row of `EXPECTED`.
        prefix: of the model string.
        way: `transport=`.
        wire: of the scripted server; None where the engine is real.
        below: what its endpoint ends in, below the server's address.
        variable: the environment variable that names a real server.
    """

    name: str
    prefix: str
    way: str
    wire: str | None = None
    below: str = ""
    variable: str | None = None
    embedded: bool = False

    @property
    def id(self) -> str:
        """As pytest shows it."""
        place = "live" if self.variable else self.wire or "real"
        return f"{self.prefix}-{place}-{self.way}"

    @property
    def expected(self) -> dict[str, str]:
        """Its row."""
        return EXPECTED[self.name]


@dataclass
class Site:
    """An engine that is running.

    Attributes:
        server: the scripted one, where it is that.
    """

    engine: Engine
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    server: ScriptedServer | None = None

    def lm(self, **settings: Any) -> rtk.LM:
        """An LM there; for a real model with few tokens a sample, since many tests draw many."""
        short = {} if self.server else {"max_tokens": 12}
        return rtk.LM(self.model, **{"num_retries": 0, **short, **self.settings, **settings})


def _both(name: str, prefix: str, wire: str | None, **more: Any) -> list[Engine]:
    return [Engine(name, prefix, way, wire, **more) for way in (DIRECT, LITELLM)]


SCRIPTED = [
    *_both("Ollama", "ollama_chat", "ollama"),
    *_both("vLLM", "hosted_vllm", "vllm"),
    *_both("vLLM", "hosted_vllm", "vllm-0.9"),
    *_both("llama.cpp", "openai", "llamacpp"),
    *_both("LM Studio", "lm_studio", "openai"),
    *_both("OpenAI-compatible", "openai", "openai"),
    *_both("OpenAI-compatible", "openai", "ollama", below="/v1"),
    Engine("hosted", "mistral", LITELLM, "openai"),
]
REAL = [
    Engine("embedded", "embedded", "in this process", embedded=True),
    *_both("llama.cpp", "openai", None, embedded=True),
]
LIVE = [
    *_both("Ollama", "ollama_chat", None, variable="RTK_TEST_OLLAMA"),
    *_both("vLLM", "hosted_vllm", None, variable="RTK_TEST_VLLM"),
    *_both("OpenAI-compatible", "openai", None, variable="RTK_TEST_OPENAI"),
]


def named(engine: Engine) -> bool:
    """Whether an engine is there to be tried; a real server is where the environment names it and a model of its."""
    return engine.variable is None or all(os.environ.get(engine.variable + end) for end in ("", "_MODEL"))


def parameters(*groups: list[Engine], where: Callable[[Engine], bool] = lambda engine: True) -> list[Any]:
    """Engines as pytest's parameters, each marked with what it needs; servers that nobody named are left out."""
    chosen = [engine for group in groups for engine in group if named(engine) and where(engine)]
    return [pytest.param(engine, id=engine.id, marks=_marks(engine)) for engine in chosen]


def _marks(engine: Engine) -> list[Any]:
    """What it needs; of the two ways to the real model behind a server, one is tried by default."""
    real = engine.wire is None and engine.variable is None
    slow = real and engine.way == "litellm"
    return [mark for mark, due in ((pytest.mark.embedded, engine.embedded), (pytest.mark.slow, slow)) if due]


@contextmanager
def running(engine: Engine, script: Any = "yes", **server: Any) -> Iterator[Site]:
    """The engine, running; a scripted one answers from `script` and asks for `KEY`."""
    if engine.wire is None:
        yield _real(engine)
        return
    with ScriptedServer(script, wire=engine.wire, api_key=KEY, **server) as scripted:  # pyright: ignore
        place = {"api_base": scripted.url + engine.below, "api_key": KEY, "transport": engine.way}
        yield Site(engine, f"{engine.prefix}/scripted", place, scripted)


def _real(engine: Engine) -> Site:
    if engine.variable is not None:
        key = {"api_key": os.environ.get(f"{engine.variable}_KEY") or "none"}
        place = {"api_base": os.environ[engine.variable], "transport": engine.way, **key}
        return Site(engine, f"{engine.prefix}/{os.environ[f'{engine.variable}_MODEL']}", place)
    if engine.prefix == "embedded":
        return Site(engine, "embedded")
    real = started(weights.require(weights.names()[0]))
    place = {"api_base": real.url, "api_key": real.api_key, "transport": engine.way}
    return Site(engine, "openai/smollm2", place)


def stored(lm, count, prompt, **options):
    """Samples 0 … of a request, as they lie in the store, by index."""
    ask = lm.ask([{"role": "user", "content": prompt}], options, count=count)
    return lm.store.read(ask.request.key, ask.addresses[0].stream, [one.index for one in ask.addresses])
