"""What passes through a scripted server: requests, counts, and a gate that holds replies back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from rtk.testing.replies import Received


class Traffic:
    """Written on the server's loop, read from any thread.

    Args:
        keep: the most requests remembered, the newest ones; None for all.
    """

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._changed = threading.Condition()  # protects everything below
        self._held: list[tuple[Received, asyncio.Future[None]]] = []
        self._shut_after: int | None = None
        self.in_flight = 0
        self._forget()

    def _forget(self) -> None:
        self.requests: deque[Received] = deque(maxlen=self._keep)
        self._seen: Counter[bytes] = Counter()
        self.count = 0
        self.choices_served = 0
        self.peak_in_flight = self.in_flight

    # --- on the server's loop ---

    def arrive(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any], messages: list[Any], n: int, may_hold: bool
    ) -> tuple[Received, asyncio.Future[None] | None]:
        """Note a request; with it, what to await where the gate is shut.

        Both in one step: whoever sees eight in flight behind a shut gate can let all eight go.
        """
        content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        with self._changed:
            received = Received(self.count, self._seen[content], path, headers, body, messages, n)
            self._seen[content] += 1
            self.count += 1
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            self.requests.append(received)
            held = asyncio.get_running_loop().create_future() if may_hold and self._shut_after == 0 else None
            if held is not None:
                self._held.append((received, held))
            self._changed.notify_all()
        return received, held

    def gate(self, received: Received, sent: int) -> asyncio.Future[None] | None:
        """What a stream awaits that has sent so many chunks, where the gate is shut there."""
        with self._changed:
            if sent == 0 or sent != self._shut_after:
                return None
            held = asyncio.get_running_loop().create_future()
            self._held.append((received, held))
            self._changed.notify_all()
            return held

    def passed(self, held: asyncio.Future[None] | None) -> None:
        """Note that a stream is past the gate, or its client has left it."""
        if held is not None:
            with self._changed:
                self._held = [(received, future) for received, future in self._held if future is not held]
                self._changed.notify_all()

    def leave(self, held: asyncio.Future[None] | None, served: int) -> None:
        """Note that a request is over, answered with so many choices."""
        self.passed(held)
        with self._changed:
            self.in_flight -= 1
            self.choices_served += served
            self._changed.notify_all()

    # --- from any thread ---

    def held(self) -> int:
        """How many replies wait behind the gate."""
        with self._changed:
            return len(self._held)

    def seen(self) -> list[Received]:
        """The requests remembered."""
        with self._changed:
            return list(self.requests)

    def reset(self) -> None:
        """Forget what passed; what is in flight stays so."""
        with self._changed:
            self._forget()
            self._changed.notify_all()

    def shut(self, after: int) -> None:
        """Hold replies to requests that arrive from now on, or streams after so many chunks."""
        with self._changed:
            self._shut_after = after

    def open(self) -> None:
        """Hold nothing any more."""
        with self._changed:
            self._shut_after = None
            self.release(None, lambda received: True)

    def release(self, count: int | None, where: Callable[[Received], bool]) -> list[Received]:
        """Let the first `count` of those held now go that fit."""
        with self._changed:
            chosen = [pair for pair in self._held if where(pair[0])][:count]
            gone = {future for _, future in chosen}
            self._held = [pair for pair in self._held if pair[1] not in gone]
            for future in gone:
                future.get_loop().call_soon_threadsafe(_settle, future)
            self._changed.notify_all()
            return [received for received, _ in chosen]

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> None:
        """Sleep until the predicate holds.

        Raises:
            TimeoutError: saying how things stand.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                state = f"count={self.count}, in_flight={self.in_flight}, held={len(self._held)}"
                raise TimeoutError(f"waited {timeout} s for a state that did not come; now {state}")


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():  # its client may have left
        future.set_result(None)
