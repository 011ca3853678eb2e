"""How far a run is: a bar in a terminal, a line in a notebook that is written over, and nothing anywhere else.

Ground: imports `_html` only.
Knows no experiment and no model.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from rtk._html import element

Tick = Callable[[], None]
Progress = Literal["auto"] | Tick | None
"""What to tell while a run goes on: `"auto"` a bar where somebody can see it, None nothing, or a function that is
called after each answer."""

UPDATES = 0.1  # seconds between two updates of a notebook's line: more of them nobody sees, and a browser feels


@contextmanager
def reporting(progress: Progress, size: int) -> Iterator[Display]:
    """A bar for as long as the block runs; in the end it says how far the run came.

    Args:
        progress: see `Progress`.
        size: answers in all.
    """
    display = _display(progress, size)
    try:
        yield display
    finally:
        display.close()


def _display(progress: Progress, size: int) -> Display:
    if callable(progress):
        return _Told(size, progress)
    if progress is None:
        return Display(size)
    if _in_notebook():
        return _Line(size)
    return _Terminal(size) if sys.stderr.isatty() else Display(size)


def _in_notebook() -> bool:
    """Whether this is an IPython kernel; where IPython is not loaded it is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Display:
    """Counts, and shows nothing.

    Attributes:
        size: answers in all.
        done: those that are there.
        began: when the first was asked for.
    """

    seen = False
    """Whether somebody sees it."""

    def __init__(self, size: int) -> None:
        self.size, self.done, self.began = size, 0, time.monotonic()

    def begin(self) -> None:
        """The questions are asked from now on."""
        self.began = time.monotonic()
        self.show()

    def tick(self) -> None:
        """One more answer is there."""
        self.done += 1
        self.show()

    def show(self) -> None:
        """Show how far it is."""

    def note(self, text: str) -> None:
        """Say something beforehand."""

    def close(self) -> None:
        """The run has ended, with all answers or before."""


class _Told(Display):
    """Calls a function after each answer."""

    def __init__(self, size: int, told: Tick) -> None:
        super().__init__(size)
        self._told = told

    def tick(self) -> None:
        super().tick()
        self._told()


class _Terminal(Display):
    """A bar on stderr that is gone when the run is over; a note stays."""

    seen = True

    def __init__(self, size: int) -> None:
        super().__init__(size)
        columns = (BarColumn(), TextColumn("{task.completed} of {task.total} answers"), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=size)
        self._bar.start()

    def begin(self) -> None:
        self._bar.reset(self._task)  # with it the speed that the time left is guessed from
        super().begin()

    def show(self) -> None:
        self._bar.update(self._task, completed=self.done)

    def note(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self._bar.stop()


class _Line(Display):
    """A line in a cell's output, written over as the run goes on. No time, and no note, is left when the run is over.

    What it says in the end is also what it says first, for an instant: the programs that run a notebook again and
    compare (nbval) look at the first state and at no update.
    """

    seen = True

    def __init__(self, size: int) -> None:
        from IPython.display import display

        super().__init__(size)
        self._handle: Any = display(_bundle(size, size, self._of(size)), raw=True, display_id=True)
        self._shown, self._noted = 0.0, ""

    def show(self) -> None:
        now = time.monotonic()
        if now - self._shown >= UPDATES or self.done == 0:
            self._shown = now
            self._write(f"{self._of(self.done)}{self._left(now)}{self._noted}")

    def note(self, text: str) -> None:
        self._noted = f" ({text})"
        self.show()

    def close(self) -> None:
        whole = self._of(self.done)
        self._write(whole if self.done == self.size else f"stopped at {whole}; what was drawn is kept")

    def _write(self, text: str) -> None:
        self._handle.update(_bundle(self.done, self.size, text), raw=True)

    def _of(self, done: int) -> str:
        return f"{done} of {self.size} {'answer' if self.size == 1 else 'answers'}"

    def _left(self, now: float) -> str:
        """A guess from the answers so far."""
        if not 0 < self.done < self.size:
            return ""
        seconds = (now - self.began) / self.done * (self.size - self.done)
        return f", about {_long(seconds)} left"


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _bundle(done: int, size: int, text: str) -> dict[str, str]:
    """The line as text and as HTML, readable on any background, and where all styles are taken away."""
    share = 100 if not size else round(100 * done / size)
    outer = "display:inline-block;width:12em;height:0.5em;border-radius:0.25em;background:rgb(128 128 128 / 30%)"
    inner = f"width:{share}%;height:100%;border-radius:0.25em;background:#2e86c1"
    track = element(
        "span", element("span", style=f"display:block;{inner}"), style=outer, role="progressbar",
        aria_label="answers", aria_valuemin=0, aria_valuemax=size, aria_valuenow=done,
    )  # fmt: skip
    return {"text/plain": text, "text/html": str(element("div", track, f" {text}", class_="rtk-progress"))}
