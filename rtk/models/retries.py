"""Asking again: what is worth it, how long to wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from rtk.models.wire import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    Attributes:
        attempts: tries after the first; 0 asks once.
        wait_initial: seconds; the bound of the first wait, doubled each time.
        wait_max: seconds; the longest wait, a server's `Retry-After` included.
    """

    attempts: int = 3
    wait_initial: float = 0.5
    wait_max: float = 30.0

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before try `attempt + 1`; `asked` is the server's own wish."""
        bound = min(self.wait_max, self.wait_initial * 2**attempt)
        return min(self.wait_max, asked) if asked is not None else random.uniform(0, bound)

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await `attempt()` until it succeeds, or until asking again is pointless.

        Raises:
            Fault: the last one.
        """
        for number in range(self.attempts + 1):
            try:
                return await attempt()
            except Fault as fault:
                if not fault.retryable or number == self.attempts:
                    raise
                await asyncio.sleep(self.wait(number, fault.retry_after))
        raise RuntimeError("unreachable")  # the loop returns or raises
