"""Another `dspy.BaseLM` as a transport: its own engine, retries, callbacks and history; rtk's addresses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
from dspy.clients._deprecation import adapter_message_call
from dspy.utils.exceptions import LMError, LMUnsupportedFeatureError
from dspy.utils.usage_tracker import UsageTracker

from rtk.errors import UnsupportedParameter
from rtk.models.translated import refuse_dropped
from rtk.models.wire import Completion, Fault, Hear, seed_of
from rtk.samples import Address, Request, checksum, readable

_SAFE = {"temperature", "max_tokens", "top_p", "stop", "seed"}  # everybody sends these; LiteLLM need not be asked
_CHANGED = ("dropped", "clamped", "substituted")
_LEAVE = "leave it out, make the LM with dspy.LM(..., engine='litellm'), or use rtk.LM itself"


class WrappedWire:
    """A plain LM, called once for each sample, in a thread of its own.

    Args:
        lm: the LM; it is called as an adapter would call it.
        concurrency: threads; 1 keeps the order in which a scripted LM gives its replies.
        process: the id of the one in which the LM has been used so far.
    """

    many: bool | None = False
    most: int = 1

    def __init__(self, lm: dspy.BaseLM, concurrency: int, process: int) -> None:
        self._lm = lm
        self.streams = isinstance(lm, dspy.LM)
        if process != os.getpid() and hasattr(lm, "_engine_store"):
            # DSPy leaves a forked child its parent's connections, and what one process reads of them the other waits
            # for in vain.
            vars(lm).update(_engine_store={}, _engine_lock=threading.RLock())
        self._threads = ThreadPoolExecutor(concurrency, "rtk-wrapped")
        self._refuse_dropped = refuse_dropped(lm.model, getattr(lm, "kwargs", {}).get("api_base"))

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """See `rtk.models.wire.Streaming.complete`; where somebody listens, it is called on the loop itself."""
        if hear is not None:
            with self._calling(request, addresses, hear) as call:
                [call.output, *_] = await self._lm.acall(messages=call.messages, **call.options)
            return [self._read(call)]
        loop, context = asyncio.get_running_loop(), copy_context()
        call = lambda: context.run(self._call, request, addresses)  # noqa: E731 - run_in_executor takes no keywords
        return [await loop.run_in_executor(self._threads, call)]

    def _call(self, request: Request, addresses: Sequence[Address]) -> Completion:
        with self._calling(request, addresses, None) as call:
            [call.output, *_] = self._lm(messages=call.messages, **call.options)
        return self._read(call)

    @contextmanager
    def _calling(self, request: Request, addresses: Sequence[Address], hear: Hear | None) -> Iterator[_Call]:
        """Where the LM is called as an adapter would, and what its errors stand for."""
        call = _Call(request.messages, self._options(request, addresses))
        told = {
            "usage_tracker": call.tracker,
            "caller_modules": [*(dspy.settings.caller_modules or []), call.heard],
            "send_stream": None if hear is None else _Ear(hear),  # never DSPy's own: it cannot be reached from here
            **({} if hear is None else {"track_usage": True}),  # else DSPy does not ask for the usage of a stream
        }
        try:
            with dspy.context(**told), adapter_message_call(self._lm, call.messages):
                yield call
        except LMUnsupportedFeatureError as error:
            raise UnsupportedParameter(
                f"{self._lm.model!r} does not take this request: {error}"[:400], mend=_LEAVE
            ) from error
        except LMError as error:
            raise Fault(type(error).__name__, str(error)[:300], retryable=False) from error

    def _options(self, request: Request, addresses: Sequence[Address]) -> dict[str, Any]:
        options = request.options
        options.pop("seed", None)
        if (seed := seed_of(request, addresses)) is not None:
            options["seed"] = seed
        if isinstance(self._lm, dspy.LM) and options.keys() - _SAFE:
            self._refuse_dropped(options)
        if not request.greedy:
            options["rollout_id"] = _rollout_id(addresses[0])  # so that DSPy's own cache gives n samples, not one
        return options

    def _read(self, call: _Call) -> Completion:
        """What a call gave."""
        call.heard.refuse_dropped(self._lm.model)
        totals = call.tracker.get_total_tokens()
        if (outer := dspy.settings.usage_tracker) is not None:
            for model, used in totals.items():
                outer.add_usage(model, used)
        return replace(_completion(call.output, totals), finish_reason=call.heard.finish_reason)

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


@dataclass(eq=False)
class _Call:
    """One call of the LM: what it is given, and what it told."""

    messages: list[dict[str, Any]]
    options: dict[str, Any]
    tracker: UsageTracker = field(default_factory=UsageTracker)
    heard: _Heard = field(default_factory=lambda: _Heard())
    output: Any = None


class _Ear:
    """What DSPy sends chunks to, in place of its own stream."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear

    async def send(self, chunk: Any) -> None:
        """A chunk, as DSPy's engines or LiteLLM have it."""
        for choice in getattr(chunk, "choices", None) or ():
            said = choice.delta
            self._hear(getattr(said, "content", None) or "", getattr(said, "reasoning_content", None) or "")


class _Heard:
    """A caller whose history DSPy writes to: the one place where a finish reason is told, thread by thread."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []

    def refuse_dropped(self, model: str) -> None:
        """DSPy leaves out, or changes, what its way to a model cannot carry (`top_k`, mostly), and notes it here.

        Raises:
            UnsupportedParameter: naming it. The completion has been paid for, and is no sample of what was asked.
        """
        told = self.history[-1].get("adaptations", ()) if self.history else ()
        wrong = [f"{note.field.removeprefix('config.')} ({note.action})" for note in told if note.action in _CHANGED]
        if wrong:
            raise UnsupportedParameter(
                f"dspy.LM would not send {', '.join(wrong)} to {model!r} as asked for", mend=_LEAVE
            )

    @property
    def finish_reason(self) -> str | None:
        """Of the call just made; None where DSPy keeps no history, or its LM says nothing."""
        response = self.history[-1].get("response") if self.history else None
        choices = getattr(response, "choices", None)
        return getattr(choices[0] if choices else response, "finish_reason", None)


def _rollout_id(address: Address) -> int:
    return 1 + (int(checksum(f"{address.stream}|{address.index}")[:8], 16) & 0x7FFFFFFF)


def _completion(output: Any, totals: dict[str, dict[str, Any]]) -> Completion:
    fields = output if isinstance(output, dict) else {"text": output}
    read = sum(int(used.get("prompt_tokens") or 0) for used in totals.values())
    written = sum(int(used.get("completion_tokens") or 0) for used in totals.values())
    thought = [tokens for used in totals.values() if (tokens := _thought(used)) is not None]
    return Completion(
        text=readable(fields.get("text") or ""),
        reasoning=fields.get("reasoning_content"),
        logprobs=_plain(fields.get("logprobs")),
        tool_calls=_plain(fields.get("tool_calls")),
        prompt_tokens=read,
        completion_tokens=written,
        reasoning_tokens=sum(thought) if thought else None,
    )


def _thought(used: dict[str, Any]) -> int | None:
    return (used.get("completion_tokens_details") or {}).get("reasoning_tokens")


def _plain(value: Any) -> Any:
    """Objects of a provider's library as plain data."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.model_dump() if hasattr(value, "model_dump") else value
