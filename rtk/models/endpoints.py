"""Endpoints: from a model string to the way there.

*Direct* speaks to OpenAI-compatible servers and to Ollama over kept-alive connections; LiteLLM carries the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rtk.errors import EndpointError
from rtk.models.http import Pool
from rtk.models.litellm_errors import no_provider
from rtk.models.litellm_wire import LiteLLMWire, library
from rtk.models.ollama_wire import OllamaWire
from rtk.models.openai_wire import OpenAIWire
from rtk.models.wire import Transport

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


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A place that rtk speaks to itself. Without a repr of its own: it holds a key."""

    wire: Literal["openai", "ollama"]
    name: str
    base: str
    key: str | None


def direct_endpoint(model: str, client: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that a model string and its connection settings name, where rtk speaks its wire; else None.

    Known without LiteLLM, whose import takes seconds, for the prefixes of local servers; an unknown prefix with an
    `api_base` is looked up there (`get_llm_provider`).
    """
    prefix, _, name = model.partition("/")
    if prefix not in _BASES and client_base(client):
        prefix, name = _looked_up(model, client)
    if prefix not in _BASES or not name:
        return None
    base = client_base(client) or _address(_first_set(*_BASES[prefix])) or _USUAL.get(prefix)
    if base is None or client.keys() - _SPOKEN:
        return None
    key = client.get("api_key") or os.environ.get(_KEYS.get(prefix, ""))
    return Endpoint("ollama" if prefix == "ollama_chat" else "openai", name, base.rstrip("/"), key)


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
    """
    if way not in get_args(Way):
        raise EndpointError(f"transport={way!r} is no way to a model", mend=f"one of {', '.join(get_args(Way))}")
    endpoint = None if way == "litellm" else direct_endpoint(model, client)
    if endpoint is not None:
        return lambda: _direct(model, endpoint, client)
    if way == "direct":
        raise EndpointError(
            f'{model!r} cannot be reached with transport="direct" and these settings',
            mend="direct speaks to openai/…, hosted_vllm/…, lm_studio/…, llamafile/… with api_base=, and to "
            "ollama_chat/…; it takes api_key, headers, organization and timeout",
        )
    return lambda: _through_litellm(model, client, server_n)


def _headers(client: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for group in _HEADERS for name, value in (client.get(group) or {}).items()}


def _seconds(client: Mapping[str, Any]) -> float:
    given = client.get("timeout") or client.get("request_timeout") or 600
    if not isinstance(given, (int, float)) or given <= 0:
        raise EndpointError(f"timeout={given!r} is no number of seconds", mend="for example timeout=120")
    return float(given)


def _direct(model: str, endpoint: Endpoint, client: Mapping[str, Any]) -> Transport:
    headers = _headers(client)
    if endpoint.key:
        headers.setdefault("Authorization", f"Bearer {endpoint.key}")
    if client.get("organization"):
        headers.setdefault("OpenAI-Organization", client["organization"])
    pool = Pool(model, endpoint.base, headers, _seconds(client))
    return OllamaWire(endpoint.name, pool) if endpoint.wire == "ollama" else OpenAIWire(endpoint.name, pool)


def _through_litellm(model: str, client: Mapping[str, Any], server_n: bool | None) -> Transport:
    library()  # its import takes seconds: now, not on the loop
    told = {name: value for name, value in client.items() if name not in (*_HEADERS, "base_url", "request_timeout")}
    named = {"api_base": client_base(client), "timeout": client.get("timeout") or client.get("request_timeout")}
    told |= {name: value for name, value in named.items() if value is not None}
    if headers := _headers(client):
        told["extra_headers"] = headers
    return LiteLLMWire(model, told, server_n)
