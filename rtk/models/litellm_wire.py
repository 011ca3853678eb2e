"""LiteLLM carries every request that rtk does not speak to itself: hosted providers, mostly."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from rtk.errors import UnsupportedParameter
from rtk.models import litellm_stream, ollama_wire, openai_wire
from rtk.models.litellm_connections import Connections
from rtk.models.litellm_errors import fault
from rtk.models.litellm_library import ask_nobody_about, library
from rtk.models.secrets import hidden, hide_in_logs, secrets_of
from rtk.models.tokens import counted
from rtk.models.translated import refuse_dropped
from rtk.models.wire import Completion, Fault, Hear, Mends, seed_of
from rtk.samples import Address, Request

MOST = 128
"""Completions in one request: what OpenAI allows; other providers allow fewer, and are asked for fewer once they say
so."""


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint whose wire rtk knows. LiteLLM would rename some options for it, drop others, and take apart what the
    model wrote; so it is given the very body that rtk would send itself, and its reply is read as rtk would.

    Attributes:
        wire: the wire.
        name: the model's name as the server knows it.
    """

    wire: Literal["openai", "ollama"]
    name: str

    def body(self, request: Request, count: int, seed: int | None) -> dict[str, Any]:
        """All of the payload but the model."""
        if self.wire == "ollama":
            body = ollama_wire.seeded(ollama_wire.body_of(request, self.name), seed)
        else:
            body = openai_wire.body_of(request, self.name) | _counted(count, seed)
        return {field: value for field, value in body.items() if field != "model"}

    def read(self, reply: str) -> list[Completion]:
        """The completions in the server's own reply."""
        try:
            told = json.loads(reply)
        except ValueError:
            raise Fault("truncated", "the reply is no JSON", retryable=True, lost=True) from None
        return [ollama_wire.completion(told)] if self.wire == "ollama" else openai_wire.completions(told)


def _counted(count: int, seed: int | None) -> dict[str, Any]:
    return ({"n": count} if count > 1 else {}) | ({"seed": seed} if seed is not None else {})


class LiteLLMWire:
    """A model behind LiteLLM.

    Args:
        model: the LiteLLM model string.
        client: key, endpoint, headers and time limit; never part of a request.
        many: whether the provider honours `n`; None finds out.
        known: the endpoint, where rtk knows its wire.
        mends: what to do where the endpoint will never answer.
    """

    def __init__(
        self, model: str, client: dict[str, Any], many: bool | None, known: Known | None, mends: Mends
    ) -> None:
        self._model, self._client, self._known, self._mends = model, client, known, mends
        ollama = known is not None and known.wire == "ollama"
        self.many, self.most = (False, 1) if ollama else (many, MOST)
        self.streams = True
        keys = [client.get("api_key"), *(value for name, value in os.environ.items() if name.endswith("_API_KEY"))]
        self._secrets = secrets_of(client.get("extra_headers") or {}, client.get("api_base"), keys)
        self._reached = False
        self._connections = Connections()
        self._refuse_dropped: Callable[[dict[str, Any]], None] = refuse_dropped(model, client.get("api_base"))
        ask_nobody_about(model)
        hide_in_logs(self._secrets)

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """See `rtk.models.wire.Streaming.complete`."""
        heard: list[Any] = []
        count, messages, since = len(addresses), request.messages, self._connections.take()
        try:
            reply = await library().acompletion(
                model=self._model, messages=messages, num_retries=0, max_retries=0, drop_params=False, caching=False,
                logger_fn=partial(_hear, heard),
                **self._told(request, addresses), **({} if hear is None else litellm_stream.ASKED), **self._client,
            )  # fmt: skip
            self._reached = True
            completions = self._read(reply, heard) if hear is None else await self._heard(reply, hear)
            self._connections.answered()
            return await counted(request, completions)
        except (*library().exceptions.LITELLM_EXCEPTION_TYPES, litellm_stream.Broken) as error:
            failed, idle = error, self._connections.idle(since)
        finally:
            self._connections.let_go()
        found = self._explained(failed, count, idle)  # here, so that LiteLLM's own chain of errors is not shown
        self._connections.gone(found)
        raise found

    def _told(self, request: Request, addresses: Sequence[Address]) -> dict[str, Any]:
        """The options as LiteLLM is given them."""
        count, seed = len(addresses), seed_of(request, addresses)
        if self._known is not None:
            return {"extra_body": self._known.body(request, count, seed)}
        options = request.options
        options.pop("seed", None)  # derived per sample
        options |= _counted(1, seed)
        self._refuse_dropped(options)
        return options | _counted(count, None)

    def _read(self, reply: Any, heard: Sequence[Any]) -> list[Completion]:
        if self._known is not None and heard and isinstance(heard[-1], str):
            return self._known.read(heard[-1])
        return self._named(openai_wire.completions(reply.model_dump()))

    async def _heard(self, reply: Any, hear: Hear) -> list[Completion]:
        try:
            found = await litellm_stream.completions(reply, None if self._known is None else self._known.wire, hear)
        except Fault as fault:
            fault.args = (hidden(str(fault), self._secrets),)
            raise
        return found if self._known is not None else self._named(found)

    def _named(self, found: list[Completion]) -> list[Completion]:
        return [replace(one, served_model=self._plain(one.served_model)) for one in found]

    def _plain(self, served: str | None) -> str | None:
        """The name that the server gave itself; LiteLLM puts the provider before some."""
        return None if served is None else served.removeprefix(self._model.partition("/")[0] + "/")

    def _explained(self, error: Exception, count: int, idle: float | None) -> Exception:
        if not isinstance(error, library().exceptions.UnsupportedParamsError):
            found = fault(self._model, error, self._secrets, self._mends, reached=self._reached, idle=idle)
            if isinstance(found, Fault):
                found.lost |= isinstance(error, litellm_stream.Broken)
            return found
        if count > 1 and "'n'" in str(error):
            self.many = False
            return Fault("parameter", "this provider gives one completion a request", retryable=False)
        return UnsupportedParameter(
            f"{self._model!r} does not take a parameter of this request: {hidden(str(error), self._secrets)[:300]}",
            mend="leave it out",
        )

    async def close(self) -> None:
        """LiteLLM keeps its own connections."""


def _hear(heard: list[Any], details: dict[str, Any]) -> None:
    """Take down the server's own reply, which LiteLLM tells before it makes its own of it."""
    reply = details.get("original_response")
    if reply is None:
        return
    heard.append(reply)
    if not (library().callbacks or library().success_callback):
        # Else it works out what the reply cost, which takes it a fifth of a call. rtk has that price itself.
        details["cache_hit"] = True
