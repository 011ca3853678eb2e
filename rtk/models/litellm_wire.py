"""LiteLLM carries every request that rtk does not speak to itself: hosted providers, mostly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.litellm_errors import fault
from rtk.models.openai_wire import completions
from rtk.models.secrets import hidden, secrets_of
from rtk.models.wire import Completion, Fault, seed_of
from rtk.samples import Address, Request

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # DSPy imports LiteLLM too: it must find this set


def library() -> Any:
    """LiteLLM, imported on first use (it takes seconds), told to fetch nothing and to print nothing."""
    import litellm

    litellm.suppress_debug_info = True
    return litellm


class LiteLLMWire:
    """A model behind LiteLLM.

    Args:
        model: the LiteLLM model string.
        client: key, endpoint, headers and time limit; never part of a request.
        many: whether the provider honours `n`; None finds out.
    """

    def __init__(self, model: str, client: dict[str, Any], many: bool | None, most: int = 64) -> None:
        self._model, self._client, self.many, self.most = model, client, many, most
        keys = [client.get("api_key"), *(value for name, value in os.environ.items() if name.endswith("_API_KEY"))]
        self._secrets = secrets_of(client.get("extra_headers") or {}, client.get("api_base"), keys)
        self._reached = False

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`."""
        count, seed = len(addresses), seed_of(request, addresses)
        options = request.options
        options.pop("seed", None)  # derived per sample
        options |= ({"n": count} if count > 1 else {}) | ({"seed": seed} if seed is not None else {})
        try:
            reply = await library().acompletion(
                model=self._model, messages=request.messages, num_retries=0, max_retries=0, drop_params=False,
                caching=False, **options, **self._client,
            )  # fmt: skip
            self._reached = True
            return [replace(one, served_model=self._plain(one.served_model)) for one in completions(reply.model_dump())]
        except tuple(library().exceptions.LITELLM_EXCEPTION_TYPES) as error:
            failed = error
        raise self._explained(failed, count)  # here, so that LiteLLM's own chain of errors is not shown

    def _plain(self, served: str | None) -> str | None:
        """The name that the server gave itself; LiteLLM puts the provider before some."""
        return None if served is None else served.removeprefix(self._model.partition("/")[0] + "/")

    def _explained(self, error: Exception, count: int) -> Exception:
        if not isinstance(error, library().exceptions.UnsupportedParamsError):
            return fault(self._model, error, self._secrets, reached=self._reached)
        if count > 1 and "'n'" in str(error):
            self.many = False
            return Fault("parameter", "this provider gives one completion a request", retryable=False)
        return UnsupportedParameter(
            f"{self._model!r} does not take a parameter of this request: {hidden(str(error), self._secrets)[:300]}",
            mend="leave it out",
        )

    async def close(self) -> None:
        """LiteLLM keeps its own connections."""
