"""The connections that LiteLLM keeps: it tells nobody which one a request took, so this is what can be known."""

from __future__ import annotations

from time import monotonic

from rtk.models.wire import Fault


class Connections:
    """An account of the connections to one model: at most so many may be kept, and one was in use that long ago.

    A request takes its connection some time after it was asked for, so two may take one another's; which of the
    kept connections failed is not asked, only whether there was one.
    """

    def __init__(self) -> None:
        self._busy = self._most = self._kept = 0
        self._used = 0.0

    def take(self) -> float:
        """A request goes out; the moment, by `time.monotonic`."""
        self._busy += 1
        self._most = max(self._most, self._busy)
        return monotonic()

    def answered(self) -> None:
        """A reply came, so its connection may be kept."""
        self._kept = min(self._kept + 1, self._most)

    def idle(self, since: float) -> float | None:
        """Seconds for which the connection of a request of that moment had been idle; None where it was a new one."""
        return max(0.0, since - self._used) if self._kept else None

    def gone(self, found: Exception) -> None:
        """A request failed: one kept connection less, if it was the fault of such a one."""
        if isinstance(found, Fault) and found.kept:
            self._kept -= 1

    def let_go(self) -> None:
        """A request has ended, be it as it may."""
        self._busy -= 1
        self._used = monotonic()
