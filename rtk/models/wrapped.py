"""Another `dspy.BaseLM` as a transport: its own engine, retries, callbacks and history; rtk's addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import dspy
from dspy.clients._deprecation import adapter_message_call
from dspy.utils.exceptions import LMError
from dspy.utils.usage_tracker import UsageTracker

from rtk.models.wire import Completion, Fault, seed_of
from rtk.samples import Address, Request, checksum, readable


class WrappedWire:
    """A plain LM, called once for each sample, in a thread of its own.

    Args:
        lm: the LM; it is called as an adapter would call it.
        concurrency: threads; 1 keeps the order in which a scripted LM gives its replies.
    """

    many: bool | None = False
    most: int = 1

    def __init__(self, lm: dspy.BaseLM, concurrency: int) -> None:
        self._lm = lm
        self._threads = ThreadPoolExecutor(concurrency, "rtk-wrapped")

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`."""
        loop, context = asyncio.get_running_loop(), copy_context()
        call = lambda: context.run(self._call, request, addresses)  # noqa: E731 - run_in_executor takes no keywords
        return [await loop.run_in_executor(self._threads, call)]

    def _call(self, request: Request, addresses: Sequence[Address]) -> Completion:
        tracker, outer, heard = UsageTracker(), dspy.settings.usage_tracker, _Heard()
        messages, options = request.messages, request.options
        options.pop("seed", None)
        if (seed := seed_of(request, addresses)) is not None:
            options["seed"] = seed
        if not request.greedy:
            options["rollout_id"] = _rollout_id(addresses[0])  # so that DSPy's own cache gives n samples, not one
        try:
            callers = [*(dspy.settings.caller_modules or []), heard]
            told = dspy.context(usage_tracker=tracker, caller_modules=callers)
            with told, adapter_message_call(self._lm, messages):
                output = self._lm(messages=messages, **options)[0]
        except LMError as error:
            raise Fault(type(error).__name__, str(error)[:300], retryable=False) from error
        totals = tracker.get_total_tokens()
        if outer is not None:
            for model, used in totals.items():
                outer.add_usage(model, used)
        return replace(_completion(output, totals), finish_reason=heard.finish_reason)

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


class _Heard:
    """A caller whose history DSPy writes to: the one place where a finish reason is told, thread by thread."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []

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
    return Completion(
        text=readable(fields.get("text") or ""),
        reasoning=fields.get("reasoning_content"),
        logprobs=_plain(fields.get("logprobs")),
        tool_calls=_plain(fields.get("tool_calls")),
        prompt_tokens=read,
        billed_prompt_tokens=read,
        completion_tokens=written,
    )


def _plain(value: Any) -> Any:
    """Objects of a provider's library as plain data."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.model_dump() if hasattr(value, "model_dump") else value
