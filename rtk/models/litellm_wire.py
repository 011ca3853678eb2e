"""LiteLLM carries every request that rtk does not speak to itself: hosted providers, mostly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rtk.errors import EndpointError, UnsupportedParameter
from rtk.models.openai_wire import completions
from rtk.models.wire import Completion, Fault, fault_of_status, seed_of
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

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`."""
        litellm = library()
        count, seed = len(addresses), seed_of(request, addresses)
        options = request.options
        options.pop("seed", None)  # derived per sample
        options |= ({"n": count} if count > 1 else {}) | ({"seed": seed} if seed is not None else {})
        try:
            reply = await litellm.acompletion(
                model=self._model, messages=request.messages, num_retries=0, max_retries=0, drop_params=False,
                caching=False, **options, **self._client,
            )  # fmt: skip
        except litellm.exceptions.UnsupportedParamsError as error:
            raise UnsupportedParameter(
                f"{self._model!r} does not take a parameter of this request: {_words(error)}", mend="leave it out"
            ) from None
        except litellm.exceptions.APIConnectionError as error:
            raise _unreachable(self._model, error) from None
        except litellm.exceptions.Timeout as error:
            raise Fault("timeout", _words(error), retryable=True) from None
        except litellm.exceptions.OPENAI_EXCEPTIONS_TUPLE as error:
            raise _fault(self._model, error) from None
        return completions(reply.model_dump())

    async def close(self) -> None:
        """LiteLLM keeps its own connections."""


def _fault(model: str, error: Exception) -> Fault:
    status = int(getattr(error, "status_code", 500) or 500)
    reply = getattr(error, "response", None)
    wait = reply.headers.get("retry-after") if reply is not None else None
    return fault_of_status(status, _words(error), model=model, retry_after=wait)


def _unreachable(model: str, error: Exception) -> Exception:
    words = _words(error)
    if any(sign in words.lower() for sign in ("connect call failed", "cannot connect", "name or service", "refused")):
        return EndpointError(
            f"the provider of {model!r} cannot be reached from this machine",
            mend="check the network, or use a local model: rtk.LM('embedded'), or ollama_chat/… with `ollama serve`",
        )
    return Fault("connection", words, retryable=True)


def _words(error: Exception) -> str:
    """A provider's message without addresses, which messages may repeat."""
    return " ".join(word for word in str(error).split() if "://" not in word and ":" + "443" not in word)[:300]

