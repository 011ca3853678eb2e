"""What travels: one interface for every way a request reaches a model.

A transport sends one request for `count` completions and gives back `Completion`s, or raises a `Fault` that says
whether asking again can help. Retries, concurrency, storing and budgets are not its business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
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
        choices: completions of the request it came with; a server reads, and bills, the prompt once for all of them.
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
    choices: int = 1
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
        lost: whether the reply was on its way: the server may have generated and billed what did not arrive.
        shared: whether it is the fate of every sample of the request, however few are asked for at once.
        kept: whether a kept connection failed before a byte of the reply came, as one does that the server had closed
            meanwhile: it is asked again at once, and that is no further try.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        lost: bool = False,
        shared: bool = False,
        kept: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.retry_after = retry_after
        self.lost = lost
        self.shared = shared
        self.kept = kept


_IDLE_SECONDS = 1.0  # no server closes a connection sooner for being idle; one in use a moment ago was dropped


def dropped(reason: str, idle: float | None) -> Fault:
    """The fault of a connection that failed before a byte of the reply came.

    Args:
        reason: in a word.
        idle: seconds that it had been idle before, where it was a kept one.
    """
    lost = idle is None or idle < _IDLE_SECONDS
    return Fault("connection", reason, retryable=True, lost=lost, kept=idle is not None)


@dataclass(frozen=True, slots=True)
class Mends:
    """What to do about an endpoint that will never answer, in the words of its engine.

    Attributes:
        start: where nobody listens.
        key: where the key is refused.
        model: where the model is not known.
    """

    start: str = "start the server (`ollama serve`, `vllm serve NAME`) or correct api_base="
    key: str = "pass api_key= to rtk.LM, or set the provider's environment variable"
    model: str = "check the model's name, and api_base= (an OpenAI-compatible one ends in /v1)"


Hear = Callable[[str, str], None]
"""Told of a completion as it comes: the text that a chunk adds, and the reasoning; either may be empty."""


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


class Streaming(Transport, Protocol):
    """A transport that can tell of a completion while it comes."""

    streams: bool
    """Whether it does; False once an endpoint has shown that it gives whole replies only."""

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """The same; `hear` is told of the parts of the one completion that is asked for then."""
        ...


def seed_of(request: Request, addresses: Sequence[Address]) -> int | None:
    """The seed to send: derived from the request's own and the sample's place, so that n samples are n samples."""
    seed = request.options.get("seed")
    return None if seed is None else addresses[0].seed(seed)


_NO_CREDIT = ("insufficient_quota", "insufficient quota", "insufficient balance", "credit balance")
_TOO_LONG = ("context size", "context length", "context_length", "context window")


def fault_of_status(
    status: int, message: str, *, model: str, mends: Mends | None = None, retry_after: float | None = None
) -> Fault:
    """The fault a failed HTTP status stands for.

    Raises:
        EndpointError: for a status that no retry mends: a wrong key, no such model, an empty account.
    """
    mends = mends or Mends()
    words = readable(" ".join(message.split()))[:300]
    if status in (401, 403):
        refusal = f"the endpoint of {model!r} refuses the key (status {status}): {words}"
        raise EndpointError(refusal, mend=mends.key, status=status)
    if status == 404:
        raise EndpointError(
            f"the endpoint of {model!r} does not know that model or address (status 404): {words}",
            mend=mends.model,
            status=status,
        )
    if status == 402 or (status == 429 and any(sign in words.lower() for sign in _NO_CREDIT)):
        raise EndpointError(
            f"the account behind {model!r} has no credit (status {status}): {words}",
            mend="add credit with the provider, or use another key or model; what came is kept",
        )
    long = any(sign in words.lower() for sign in _TOO_LONG)
    return Fault(
        "context" if long else f"status_{status}",
        words or f"status {status}",
        retryable=not long and (status in (408, 409, 425, 429) or status >= 500) and status != 501,
        retry_after=retry_after,
        shared=long,
    )


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """The seconds that a reply's `Retry-After` asks to wait, be it a number or a date (RFC 9110, section 10.2.3).

    A date is held against the reply's own `Date`, since clocks differ.
    """
    asked = headers.get("Retry-After")
    if not asked:
        return None
    try:
        return max(0.0, float(asked))
    except ValueError:
        until, now = _moment(asked), _moment(headers.get("Date") or "")
        return None if until is None else max(0.0, until - (time.time() if now is None else now))


def _moment(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
