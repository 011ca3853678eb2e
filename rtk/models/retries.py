"""Asking again: what is worth it, how long to wait, and when it is too late."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from rtk.errors import ModelError
from rtk.models.wire import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    Attributes:
        attempts: tries after the first; 0 asks once.
        wait_initial: seconds; the bound of the first wait, doubled each time.
        wait_max: seconds; the longest wait of our own choice.
        wait_asked: seconds; the longest wait that a server may ask for. Who names a longer one is not asked again:
            earlier than that it would refuse again.
        deadline: seconds for all tries and the waits between them; None for as long as it takes.
    """

    attempts: int = 3
    wait_initial: float = 0.5
    wait_max: float = 30.0
    wait_asked: float = 300.0
    deadline: float | None = None

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before try `attempt + 1`; `asked` is the server's own wish, which is never cut short."""
        if asked is not None:
            return asked + random.uniform(0, asked / 4)  # so that not all who were told to wait come back at once
        return random.uniform(0, min(self.wait_max, self.wait_initial * 2**attempt))

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await `attempt()` until it succeeds, or until asking again is pointless or too late.

        Raises:
            Fault: the last one; of the kind `"timeout"` at the deadline.
        """
        if self.deadline is None:
            return await self._persist(attempt, None)
        limit = asyncio.timeout(self.deadline)
        try:
            async with limit:
                return await self._persist(attempt, monotonic() + self.deadline)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late() from None

    async def _persist(self, attempt: Callable[[], Awaitable[T]], until: float | None) -> T:
        number = 0
        while True:
            try:
                return await attempt()
            except Fault as fault:
                if fault.kept:  # each time there is one kept connection less
                    continue
                if not fault.retryable or number == self.attempts or (fault.retry_after or 0) > self.wait_asked:
                    raise
                wait = self.wait(number, fault.retry_after)
                if until is not None and monotonic() + wait >= until:
                    raise self._too_late(f" ({fault.kind}: {fault})") from None
                await asyncio.sleep(wait)
                number += 1

    def _too_late(self, last: str = "") -> Fault:
        return Fault("timeout", f"not within its deadline of {self.deadline:g} s{last}", retryable=False, shared=True)


def retries(num_retries: int, retries: int | None, deadline: float | None) -> Retries:
    """What the settings of an `rtk.LM` say; `retries` is `num_retries` by another name, and counts where it is given.

    Raises:
        ModelError: for a number of tries or a deadline that cannot be.
    """
    attempts = num_retries if retries is None else retries
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 0:
        raise ModelError(f"num_retries={attempts!r} is no number of further tries", mend="pass 0 or more; 0 asks once")
    number = deadline is None or (isinstance(deadline, (int, float)) and not isinstance(deadline, bool))
    if not number or (deadline is not None and not 0 < deadline < math.inf):
        raise ModelError(f"deadline={deadline!r} is no number of seconds", mend="for example deadline=300")
    return Retries(attempts, deadline=deadline)
