"""How far an optimizer is, in one line: nobody knows beforehand how many runs it will make."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.status import Status

from rtk._html import element
from rtk._progress import Progress

UPDATES = 0.2  # seconds between two updates of a notebook's line


@contextmanager
def counting(progress: Progress, name: str) -> Iterator[Callable[[], None]]:
    """Count runs for as long as the block runs. It gives what is called after each run.

    Args:
        progress: as of `sweep`: `"auto"`, None, or a function that is called after each run.
        name: the optimizer's.
    """
    if callable(progress):
        yield progress
    elif progress is None:
        yield lambda: None
    elif _in_notebook():
        with _line(name) as tick:
            yield tick
    elif sys.stderr.isatty():
        with Status(f"{name}: starting", console=Console(stderr=True)) as status:
            yield _Counter(lambda runs: status.update(f"{name}: {_runs(runs)}")).tick
    else:
        yield lambda: None


class _Counter:
    """Counts in whatever thread, and shows the count."""

    def __init__(self, show: Callable[[int], object], wait: float = 0.0) -> None:
        self._show, self._wait, self._runs, self._last = show, wait, 0, 0.0
        self._lock = threading.Lock()

    def tick(self) -> None:
        """One more run is over."""
        with self._lock:
            self._runs += 1
            now = time.monotonic()
            if now - self._last >= self._wait:
                self._last = now
                self._show(self._runs)


@contextmanager
def _line(name: str) -> Iterator[Callable[[], None]]:
    """A line in a cell's output, written over; what it says in the end is the same every time, and said first."""
    from IPython.display import display

    handle: Any = display(_bundle(f"{name}: done"), raw=True, display_id=True)
    try:
        yield _Counter(lambda runs: handle.update(_bundle(f"{name}: {_runs(runs)}"), raw=True), UPDATES).tick
    except BaseException:
        handle.update(_bundle(f"{name}: stopped; what was drawn is kept"), raw=True)
        raise
    handle.update(_bundle(f"{name}: done"), raw=True)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _bundle(text: str) -> dict[str, str]:
    return {"text/plain": text, "text/html": str(element("div", text, class_="rtk-progress"))}


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
