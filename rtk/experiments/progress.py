"""How far a run is: a bar in a terminal, a line in a notebook that is written over, and nothing anywhere else."""

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
called after each question."""

UPDATES = 0.1  # seconds between two updates of a notebook's line: more of them nobody sees, and a browser feels


@contextmanager
def reporting(progress: Progress, size: int, unit: str = "question") -> Iterator[Leg]:
    """A bar for as long as the block runs. It gives what begins a leg and returns the leg's tick.

    Args:
        progress: see `Progress`.
        size: questions of each leg.
        unit: what is counted, if not questions.
    """
    display = _display(progress, size, unit)
    try:
        yield Leg(display)
    except BaseException:
        display.close(finished=False)
        raise
    display.close(finished=True)


class Leg:
    """Begins a pass over the questions; called with its label, it gives the function to call after each.

    Attributes:
        seen: whether somebody sees what is shown.
    """

    def __init__(self, display: _Display) -> None:
        self._display, self.seen = display, display.seen

    def __call__(self, label: str) -> Tick:
        """Begin."""
        return self._display.leg(label)

    def note(self, text: str) -> None:
        """Show a line above the bar, which stays."""
        self._display.note(text)


def _display(progress: Progress, size: int, unit: str) -> _Display:
    if callable(progress):
        return _Told(size, unit, progress)
    if progress is None:
        return _Display(size, unit)
    if _in_notebook():
        return _Line(size, unit)
    return _Terminal(size, unit) if sys.stderr.isatty() else _Display(size, unit)


def _in_notebook() -> bool:
    """Whether this is an IPython kernel; where IPython is not loaded it is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _Display:
    """Counts, and shows nothing.

    Attributes:
        size: questions of a leg.
        unit: what is counted.
        label: the leg under way.
        done: its questions that are answered.
        began: when it began.
    """

    seen = False
    """Whether somebody sees it."""

    def __init__(self, size: int, unit: str) -> None:
        self.size, self.unit, self.label, self.done, self.began = size, unit, "", 0, time.monotonic()

    def leg(self, label: str) -> Tick:
        """Begin another pass over the questions."""
        self.label, self.done, self.began = label, 0, time.monotonic()
        self.show()
        return self.tick

    def tick(self) -> None:
        """One more question is answered."""
        self.done += 1
        self.show()

    def show(self) -> None:
        """Show how far it is."""

    def note(self, text: str) -> None:
        """Show a line that stays."""

    def close(self, *, finished: bool) -> None:
        """The run has ended, with all questions or before."""


class _Told(_Display):
    """Calls a function after each question."""

    def __init__(self, size: int, unit: str, told: Tick) -> None:
        super().__init__(size, unit)
        self._told = told

    def tick(self) -> None:
        super().tick()
        self._told()


class _Terminal(_Display):
    """A bar on stderr that is gone when the run is over."""

    seen = True

    def __init__(self, size: int, unit: str) -> None:
        super().__init__(size, unit)
        counted = TextColumn(f"{{task.completed}} of {{task.total}} {unit}s")
        columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=size)
        self._bar.start()

    def leg(self, label: str) -> Tick:
        self._bar.reset(self._task, description=label)  # with it the speed that the time left is guessed from
        return super().leg(label)

    def show(self) -> None:
        self._bar.update(self._task, completed=self.done)

    def note(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def close(self, *, finished: bool) -> None:
        self._bar.stop()


class _Line(_Display):
    """A line in a cell's output, written over as the run goes on. No time is left in it when the run is over.

    What it says in the end is also what it says first, for an instant: the programs that run a notebook again and
    compare (nbval) look at the first state and at no update.
    """

    seen = True

    def __init__(self, size: int, unit: str) -> None:
        from IPython.display import display

        super().__init__(size, unit)
        whole = self._of(size)
        self._handle: Any = display(_bundle(size, size, whole, unit), raw=True, display_id=True)
        self._shown = 0.0

    def show(self) -> None:
        now = time.monotonic()
        if now - self._shown >= UPDATES or self.done == 0:
            self._shown = now
            self._write(f"{self._leg()}{self._of(self.done)}{self._left(now)}")

    def close(self, *, finished: bool) -> None:
        if finished:
            self.done = self.size
            self._write(self._of(self.size))
        else:
            kept = "; what was drawn is kept"
            self._write(f"{self._leg()}stopped at {self._of(self.done)}{kept}")

    def _write(self, text: str) -> None:
        self._handle.update(_bundle(self.done, self.size, text, self.unit), raw=True)

    def note(self, text: str) -> None:
        from IPython.display import display

        display({"text/plain": text}, raw=True)

    def _of(self, done: int) -> str:
        return f"{done} of {self.size} {self.unit if self.size == 1 else f'{self.unit}s'}"

    def _leg(self) -> str:
        return f"{self.label}: " if self.label else ""

    def _left(self, now: float) -> str:
        """A guess from the questions answered so far."""
        if not 0 < self.done < self.size:
            return ""
        seconds = (now - self.began) / self.done * (self.size - self.done)
        return f", about {_long(seconds)} left"


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _bundle(done: int, size: int, text: str, unit: str) -> dict[str, str]:
    """The line as text and as HTML, readable on any background, and where all styles are taken away."""
    share = 100 if not size else round(100 * done / size)
    outer = "display:inline-block;width:12em;height:0.5em;border-radius:0.25em;background:rgb(128 128 128 / 30%)"
    inner = f"width:{share}%;height:100%;border-radius:0.25em;background:#2e86c1"
    track = element(
        "span", element("span", style=f"display:block;{inner}"), style=outer, role="progressbar",
        aria_label=f"{unit}s answered", aria_valuemin=0, aria_valuemax=size, aria_valuenow=done,
    )  # fmt: skip
    return {"text/plain": text, "text/html": str(element("div", track, f" {text}", class_="rtk-progress"))}
