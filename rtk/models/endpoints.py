"""Endpoints: from a model string to the way there.

*Direct* speaks to OpenAI-compatible servers and to Ollama over kept-alive connections; LiteLLM carries the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rtk.errors import EndpointError
from rtk.models.http import Pool
from rtk.models.litellm_wire import LiteLLMWire, library
from rtk.models.ollama_wire import OllamaWire
from rtk.models.openai_wire import OpenAIWire
from rtk.models.wire import Transport

Way = Literal["auto", "direct", "litellm"]

CLIENT = (
    "api_key", "api_base", "base_url", "api_version", "organization", "headers", "extra_headers", "default_headers",
    "timeout", "request_timeout",
)  # fmt: skip
"""Settings of the connection: `rtk.LM(...)` takes them, and they reach no request, store, saved program or log."""

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
    base = client_base(client) or _first_set(*_BASES[prefix]) or _USUAL.get(prefix)
    if base is None:
        return None
    key = client.get("api_key") or os.environ.get(_KEYS.get(prefix, ""))
    return Endpoint("ollama" if prefix == "ollama_chat" else "openai", name, base.rstrip("/"), key)


def client_base(client: Mapping[str, Any]) -> str | None:
    """The endpoint given by hand."""
    return client.get("api_base") or client.get("base_url")


def _looked_up(model: str, client: Mapping[str, Any]) -> tuple[str, str]:
    litellm = library()
    try:
        name, provider, _, _ = litellm.get_llm_provider(model, api_base=client_base(client))
    except litellm.exceptions.BadRequestError:
        raise EndpointError(
            f"{model!r} names no provider that LiteLLM knows",
            mend="write provider/model, for example openai/NAME with api_base= for an OpenAI-compatible server",
        ) from None
    return provider, name


def _first_set(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def transport(model: str, client: Mapping[str, Any], way: Way, server_n: bool | None) -> Callable[[], Transport]:
    """How to open the way to a model; nothing is opened yet.

    Raises:
        EndpointError: where `transport="direct"` is asked for and rtk does not speak to that provider itself.
    """
    endpoint = None if way == "litellm" else direct_endpoint(model, client)
    if endpoint is not None:
        return lambda: _direct(model, endpoint, client)
    if way == "direct":
        raise EndpointError(
            f'{model!r} cannot be reached with transport="direct"',
            mend="direct speaks to openai/…, hosted_vllm/…, lm_studio/…, llamafile/… with api_base=, and ollama_chat/…",
        )
    return lambda: _through_litellm(model, dict(client), server_n)


def _direct(model: str, endpoint: Endpoint, client: Mapping[str, Any]) -> Transport:
    headers = {**(client.get("headers") or {}), **(client.get("extra_headers") or {})}
    if endpoint.key:
        headers.setdefault("Authorization", f"Bearer {endpoint.key}")
    seconds = float(client.get("timeout") or client.get("request_timeout") or 600)
    pool = Pool(model, endpoint.base, headers, seconds)
    return OllamaWire(endpoint.name, pool) if endpoint.wire == "ollama" else OpenAIWire(endpoint.name, pool)


def _through_litellm(model: str, client: dict[str, Any], server_n: bool | None) -> Transport:
    library()  # its import takes seconds: now, not on the loop
    return LiteLLMWire(model, client, server_n)
