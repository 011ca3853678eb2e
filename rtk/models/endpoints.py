"""Endpoints: from a model string to the way there.

*Direct* speaks to OpenAI-compatible servers and to Ollama over kept-alive connections; LiteLLM carries the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rtk.errors import EndpointError, UnsupportedParameter
from rtk.models.http import Pool
from rtk.models.litellm_errors import no_provider
from rtk.models.litellm_library import library
from rtk.models.litellm_wire import Known, LiteLLMWire
from rtk.models.ollama_wire import OllamaWire
from rtk.models.openai_wire import OpenAIWire
from rtk.models.wire import Mends, Transport

Way = Literal["auto", "direct", "litellm"]

_HEADERS = ("default_headers", "headers", "extra_headers")
_SPOKEN = {"api_key", "api_base", "base_url", "organization", "timeout", "request_timeout", *_HEADERS}

_BASES = {
    "openai": ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
    "hosted_vllm": ("HOSTED_VLLM_API_BASE",),
    "lm_studio": ("LM_STUDIO_API_BASE",),
    "llamafile": ("LLAMAFILE_API_BASE",),
    "ollama_chat": ("OLLAMA_API_BASE",),
}
_KEYS = {"openai": "OPENAI_API_KEY", "hosted_vllm": "HOSTED_VLLM_API_KEY", "lm_studio": "LM_STUDIO_API_KEY"}
_USUAL = {"ollama_chat": "http://localhost:11434", "llamafile": "http://127.0.0.1:8080/v1"}
_STARTS = {
    "openai": "start the server (`vllm serve NAME`, `llama-server -m FILE`), or correct api_base=",
    "hosted_vllm": "is vLLM running? `vllm serve {name}`; elsewhere, say where: api_base=",
    "lm_studio": "is LM Studio's server running? `lms server start`; elsewhere, say where: api_base=",
    "llamafile": "is the llamafile running, with --server? `./FILE.llamafile --server`; elsewhere: api_base=",
    "ollama_chat": "is Ollama running? `ollama serve`; elsewhere, say where: api_base=, or OLLAMA_API_BASE",
}
_MODELS = {
    "openai": "check the model's name, and that api_base= ends as the server's address does (in /v1, mostly)",
    "hosted_vllm": "name the model as vLLM does (its --served-model-name), and end api_base= in /v1",
    "lm_studio": "`lms ls` lists the names there are; `lms get {name}` fetches one; api_base= ends in /v1",
    "llamafile": "check api_base=: it ends in /v1, and the name after llamafile/ is free",
    "ollama_chat": "`ollama pull {name}`, or another name: `ollama list`; api_base= has no path",
}


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A place whose wire rtk speaks. Without a repr of its own: it holds a key.

    Attributes:
        wire: the wire.
        name: the model's name there.
        base: the address.
        key: the bearer token, where there is one.
        mends: what to do where it will never answer.
        direct: whether rtk can speak to it itself; other settings of the connection take LiteLLM.
    """

    wire: Literal["openai", "ollama"]
    name: str
    base: str
    key: str | None
    mends: Mends
    direct: bool


def endpoint(model: str, client: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that a model string and its connection settings name, where rtk knows its wire; else None.

    Known without LiteLLM, whose import takes seconds, for the prefixes of local servers; an unknown prefix with an
    `api_base` is looked up there (`get_llm_provider`).
    """
    prefix, _, name = model.partition("/")
    if prefix not in _BASES and client_base(client):
        prefix, name = _looked_up(model, client)
    if prefix not in _BASES or not name:
        return None
    base = client_base(client) or _address(_first_set(*_BASES[prefix])) or _USUAL.get(prefix)
    if base is None:
        return None
    key = client.get("api_key") or os.environ.get(_KEYS.get(prefix, ""))
    wire = "ollama" if prefix == "ollama_chat" else "openai"
    mends = Mends(start=_STARTS[prefix].format(name=name), model=_MODELS[prefix].format(name=name))
    return Endpoint(wire, name, base.rstrip("/"), key, mends, direct=not client.keys() - _SPOKEN)


def client_base(client: Mapping[str, Any]) -> str | None:
    """The endpoint given by hand.

    Raises:
        EndpointError: where it is no address of a web server.
    """
    return _address(client.get("api_base") or client.get("base_url"))


def _address(base: str | None) -> str | None:
    if base is not None and not re.match(r"https?://[^/\s]+", str(base)):
        raise EndpointError("api_base is no address", mend='write it out: api_base="http://HOST:PORT/v1"')
    return base


def _looked_up(model: str, client: Mapping[str, Any]) -> tuple[str, str]:
    litellm = library()
    try:
        name, provider, _, _ = litellm.get_llm_provider(model, api_base=client_base(client))
    except litellm.exceptions.BadRequestError:
        raise no_provider(model) from None
    return provider, name


def _first_set(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def transport(model: str, client: Mapping[str, Any], way: Way, server_n: bool | None) -> Callable[[], Transport]:
    """How to open the way to a model; nothing is opened yet.

    Raises:
        EndpointError: for an unknown `transport`, and for `"direct"` to a provider that rtk does not speak to itself.
        UnsupportedParameter: for `server_n=True` where the wire has no `n`.
    """
    if way not in get_args(Way):
        raise EndpointError(f"transport={way!r} is no way to a model", mend=f"one of {', '.join(get_args(Way))}")
    place = endpoint(model, client)
    if server_n and place is not None and place.wire == "ollama":
        raise UnsupportedParameter(
            "server_n=True would have no effect: Ollama gives one completion a request", mend="leave it out"
        )
    if way != "litellm" and place is not None and place.direct:
        return lambda: _direct(model, place, client)
    if way == "direct":
        raise EndpointError(
            f'{model!r} cannot be reached with transport="direct" and these settings',
            mend="direct speaks to openai/…, hosted_vllm/…, lm_studio/…, llamafile/… with api_base=, and to "
            "ollama_chat/…; it takes api_key, headers, organization and timeout",
        )
    return lambda: _through_litellm(model, client, server_n, place)


def _headers(client: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for group in _HEADERS for name, value in (client.get(group) or {}).items()}


def _seconds(client: Mapping[str, Any]) -> float:
    given = client.get("timeout") or client.get("request_timeout") or 600
    if not isinstance(given, (int, float)) or given <= 0:
        raise EndpointError(f"timeout={given!r} is no number of seconds", mend="for example timeout=120")
    return float(given)


def _direct(model: str, place: Endpoint, client: Mapping[str, Any]) -> Transport:
    headers = _headers(client)
    if place.key:
        headers.setdefault("Authorization", f"Bearer {place.key}")
    if client.get("organization"):
        headers.setdefault("OpenAI-Organization", client["organization"])
    pool = Pool(model, place.base, headers, _seconds(client), place.mends)
    return OllamaWire(place.name, pool) if place.wire == "ollama" else OpenAIWire(place.name, pool)


def _through_litellm(model: str, client: Mapping[str, Any], server_n: bool | None, place: Endpoint | None) -> Transport:
    library()  # its import takes seconds: now, not on the loop
    told = {name: value for name, value in client.items() if name not in (*_HEADERS, "base_url", "request_timeout")}
    told |= {"timeout": _seconds(client)} | ({"api_base": base} if (base := client_base(client)) else {})
    if headers := _headers(client):
        told["extra_headers"] = headers
    known = None if place is None else Known(place.wire, place.name)
    return LiteLLMWire(model, told, server_n, known, _hosted(model) if place is None else place.mends)


def _hosted(model: str) -> Mends:
    return Mends(
        start="check the network and api_base=, or use a local model: rtk.LM('embedded'), or ollama_chat/… "
        "with `ollama serve`",
        model=f"check the model's name in the provider's list; a server of your own needs api_base= ({model!r})",
    )
