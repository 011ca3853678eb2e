"""One run of a program in a thread of its own: it can be watched and stopped, and the kernel stays free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, Literal

import dspy

from rtk.budget import UNITS, Budget
from rtk.errors import BudgetSpent
from rtk.events import SampleArrived, watch
from rtk.samples import Sample
from rtk.strategies import Prediction

State = Literal["running", "done", "stopped", "failed"]


def ending(prediction: Any) -> str | None:
    """The unit of the budget that ended a prediction early; a field that is called `stopped` is none."""
    unit = prediction.stopped if isinstance(prediction, Prediction) else None
    return unit if unit in (*UNITS, "closed") else None


class Trial:
    """A program run once.

    Args:
        program: any DSPy module.
        inputs: its inputs.
        budget: what it may spend; closed by `stop`.
        settings: the `dspy.context` it runs in.
        changed: called, from the run's own threads, whenever a sample has come, and once at the end.

    Attributes:
        prediction: what it came to, once it is over.
        error: what it raised.
        drawn: samples that came and were not there before.
        failed: samples that did not come.
    """

    def __init__(
        self,
        program: dspy.Module,
        inputs: Mapping[str, Any],
        budget: Budget,
        settings: Mapping[str, Any],
        changed: Callable[[Trial], None],
    ) -> None:
        self._program, self._inputs, self._budget, self._settings = program, dict(inputs), budget, dict(settings)
        self._changed, self._news = changed, threading.Event()
        self.prediction: Any = None
        self.error: BaseException | None = None
        self.drawn = self.failed = 0
        self._over, self._counting = threading.Event(), threading.Lock()
        context = copy_context()
        self._threads = [
            threading.Thread(target=context.run, args=(self._run,), name="rtk-trial", daemon=True),
            threading.Thread(target=copy_context().run, args=(self._report,), name="rtk-trial-news", daemon=True),
        ]

    @property
    def state(self) -> State:
        """How far it is."""
        if not self._over.is_set():
            return "running"
        if self.stopped is not None:
            return "stopped"
        return "done" if self.error is None else "failed"

    @property
    def stopped(self) -> str | None:
        """The unit of the budget that ended it before its end."""
        return self.error.limit if isinstance(self.error, BudgetSpent) else ending(self.prediction)

    def start(self) -> Trial:
        """Set out."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Admit nothing more and wait for nothing more; what came is kept."""
        self._budget.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over and reported; whether it is."""
        self._threads[1].join(seconds)
        return not self._threads[1].is_alive()

    def _run(self) -> None:
        try:
            with dspy.context(**self._settings), watch(self._arrived, only=SampleArrived), self._budget:
                self.prediction = self._program(**self._inputs)
        except BaseException as error:  # noqa: BLE001 - shown to whoever pressed Run
            self.error = error
        finally:
            self._over.set()
            self._news.set()

    def _arrived(self, event: SampleArrived) -> None:
        came = isinstance(event.sample, Sample)
        with self._counting:  # rollouts run in threads of their own
            self.drawn += came and not event.reused
            self.failed += not came
        self._news.set()

    def _report(self) -> None:
        """Tell of what came in between at once, and never twice at the same time."""
        over = False
        while not over:
            self._news.wait()
            self._news.clear()
            over = self._over.is_set()
            self._changed(self)
