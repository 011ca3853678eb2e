"""What travels: one interface for every way a request reaches a model.

A transport sends one request for `count` completions and gives back `Completion`s, or raises a `Fault` that says
whether asking again can help. Retries, concurrency, storing and budgets are not its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rtk.errors import EndpointError
from rtk.samples import Address, Request, readable


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion as the server gave it.

    Attributes:
        text: empty where the server sent none.
        completion_tokens: written for this completion, reasoning included.
        prompt_tokens: read for it.
        billed_prompt_tokens: those of them this completion is charged for; a server reads a prompt once for all
            choices of one request.
        seconds: from sending to its end; None where it came with all others.
        reasoning_tokens: those of the completion's that are reasoning, where the server tells them apart.
        estimated: whether the tokens were counted here, since the server reported none.
    """

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    tool_calls: Any = None
    prompt_tokens: int = 0
    billed_prompt_tokens: float = 0
    completion_tokens: int = 0
    served_model: str | None = None
    seconds: float | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False


class Fault(Exception):
    """One attempt that failed.

    Attributes:
        kind: one word, as counted in tables: `"timeout"`, `"connection"`, `"truncated"`, `"status_500"`, `"context"`.
        retryable: whether the same request may succeed later.
        retry_after: seconds the server asks to wait.
    """

    def __init__(self, kind: str, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.retry_after = retry_after


class Transport(Protocol):
    """One way to a model. Everything runs on rtk's background loop."""

    many: bool | None
    """Whether one request may ask for several completions; None until an endpoint has shown it."""

    most: int
    """The most completions one request may ask for."""

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """Ask for one completion for each address, in one request; fewer may come back, never none.

        Raises:
            Fault: for an attempt that failed.
            EndpointError: where no attempt will ever succeed.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def seed_of(request: Request, addresses: Sequence[Address]) -> int | None:
    """The seed to send: derived from the request's own and the sample's place, so that n samples are n samples."""
    seed = request.options.get("seed")
    return None if seed is None else addresses[0].seed(seed)


def fault_of_status(status: int, message: str, *, model: str, retry_after: str | None = None) -> Fault:
    """The fault a failed HTTP status stands for.

    Raises:
        EndpointError: for a status that no retry mends: a wrong key, no such model.
    """
    words = readable(" ".join(message.split()))[:300]
    if status in (401, 403):
        raise EndpointError(
            f"the endpoint of {model!r} refuses the key (status {status}): {words}",
            mend="pass api_key= to rtk.LM, or set the provider's environment variable",
        )
    if status == 404:
        raise EndpointError(
            f"the endpoint of {model!r} does not know that model or address (status 404): {words}",
            mend="check the model's name and api_base= (an OpenAI-compatible one ends in /v1); "
            "with Ollama: `ollama list`, then `ollama pull NAME`",
        )
    long = any(sign in words.lower() for sign in ("context size", "context length", "context_length", "context window"))
    return Fault(
        "context" if long else f"status_{status}",
        words or f"status {status}",
        retryable=not long and (status in (408, 409, 425, 429) or status >= 500),
        retry_after=_seconds(retry_after),
    )


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # an HTTP date; the back-off decides
