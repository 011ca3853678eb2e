"""`rtk.sweep`: programs at every setting, on every question of a task, in one call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import dspy

from rtk._progress import Display, Progress, reporting
from rtk.budget import Budget
from rtk.errors import StrategyError
from rtk.experiments.results import Results
from rtk.experiments.sweeps.arms import Runner, runners
from rtk.experiments.sweeps.foresight import foreseen
from rtk.experiments.sweeps.questions import Questions, questions
from rtk.experiments.sweeps.rows import Metric
from rtk.experiments.sweeps.runs import PATIENCE, Run
from rtk.strategies import check_whole

LONG = 200  # rows from which on a line says beforehand what they will take


def sweep(
    program: dspy.Module | Mapping[str, dspy.Module],
    task: Any,
    over: Mapping[str, Sequence[Any]] | None = None,
    *,
    model: Any = None,
    metric: Metric | None = None,
    split: str = "test",
    budget: Budget | None = None,
    replicates: int = 1,
    concurrency: int = 16,
    progress: Progress = "auto",
    deliberations: bool = True,
) -> Results:
    """Run programs at every combination of settings and models on every question, each answer a row.

    Settings that nest (8 of 16 samples) draw once, and what is stored is not drawn again: the same call after a crash,
    an interruption or a spent budget goes on where it ended. Ctrl-C ends it with the rows that are there, as does a
    `budget` that is spent; `results.stopped` says so. An example that raises is a row with its `error`, and stops no
    other. What no row could ever tell ends the sweep: a setting that cannot be, a wrong key, a store that cannot be
    read; what came until then is `error.results`.

    Questions run side by side, models one after the other; all settings of a question run behind one another, those
    that ask for most first.

    >>> results = rtk.sweep(vote, task, over={"samples": [1, 2, 4, 8, 16]})  # doctest: +SKIP
    >>> results.summary(), results.curve("samples")  # doctest: +SKIP

    Args:
        program: a DSPy module, or names to modules, which are compared.
        task: an `rtk.Task`, or `dspy.Example`s with a `metric`.
        over: a setting to its values, each combination an arm. A setting is one of the program's strategy
            (`"samples"`), one further inside by its path (`"draft.samples"`), a sampling parameter of the model
            (`"temperature"`, `"max_tokens"`, …, any as `"lm.name"`), or `"budget"`, an `rtk.Budget` of each call. A
            program without a setting runs once, without it.
        model: LMs or model strings, one or several; that of `dspy.configure` by default.
        metric: `(example, prediction) -> bool`, or a score in [0, 1]; the task's by default.
        split: of the task: `"test"`, `"dev"` or `"train"`.
        budget: of the whole sweep.
        replicates: how often the whole is repeated, each time with samples of its own.
        concurrency: questions under way at once.
        progress: `"auto"` a bar in a terminal and a line in a notebook, and for long sweeps a line beforehand that says
            what it will take; None nothing; or a function that is called after each row.
        deliberations: whether to keep how each answer came about.

    Returns:
        The results; their rows lie on the disk until they are looked at.

    Raises:
        StrategyError: for a program, a setting or a model that is none.
        TaskError: for questions or a metric that are none.
        ModelError, StoreError: where no question could ever be answered.
    """
    study = _Study(program, task, over, model, metric, split, replicates, concurrency)
    with reporting(progress, study.size) as display:
        study.foresee(display)
        run = study.run(budget, deliberations, display.tick)
        display.begin()
        done = run.start()
        try:
            done.result()
        except KeyboardInterrupt:
            run.halt("interrupted")
            with suppress(TimeoutError, KeyboardInterrupt):
                done.result(2 * PATIENCE)
            run.close()
        return study.results(run)


async def asweep(program: Any, task: Any, over: Mapping[str, Sequence[Any]] | None = None, **options: Any) -> Results:
    """As `sweep`, awaited: the caller's event loop stays free.

    When it is cancelled, as by an interrupt in a notebook, the sweep ends; what came until then is the `results` of the
    `CancelledError` (in a notebook `sys.last_value.results`), and the same call goes on from there.

    Args:
        program, task, over, **options: as of `sweep`.

    Raises:
        StrategyError, TaskError, ModelError, StoreError: as `sweep` does.
    """
    names = ("model", "metric", "split", "replicates", "concurrency")
    study = _Study(program, task, over, *(options.pop(name, _USUAL[name]) for name in names))
    budget, stories = options.pop("budget", None), options.pop("deliberations", True)
    with reporting(options.pop("progress", "auto"), study.size) as display:
        if options:
            raise StrategyError(f"asweep has no {', '.join(options)}=", mend="the arguments of rtk.sweep")
        run = study.run(budget, stories, display.tick)
        display.begin()
        done: Future[None] = run.start()
        try:
            await asyncio.shield(asyncio.wrap_future(done))
        except asyncio.CancelledError as cancelled:
            run.halt("interrupted")
            await asyncio.wait([asyncio.wrap_future(done)], timeout=2 * PATIENCE)
            run.close()
            cancelled.results = study.results(run)  # type: ignore[attr-defined] - what came until then
            raise
        return study.results(run)


_USUAL: dict[str, Any] = {"model": None, "metric": None, "split": "test", "replicates": 1, "concurrency": 16}


class _Study:
    """What a sweep was asked for, checked.

    Attributes:
        size: how many rows there will be.
    """

    def __init__(
        self, program: Any, task: Any, over: Any, model: Any, metric: Any, split: str, replicates: int, concurrency: int
    ) -> None:
        for name, number in (("replicates", replicates), ("concurrency", concurrency)):
            check_whole(name, number)
        self._asked: Questions = questions(task, metric, split)
        self._runners: list[Runner] = runners(program, over, model)
        self._replicates, self._concurrency = replicates, concurrency
        self.size = len(self._runners) * len(self._asked.examples) * replicates

    def foresee(self, display: Display) -> None:
        """Say beforehand what a long sweep will take, where somebody sees it."""
        if self.size >= LONG and display.seen:
            display.note(foreseen(self._runners, self._asked.examples, self._replicates, self._concurrency))

    def run(self, budget: Budget | None, stories: bool, tick: Any) -> Run:
        """The run."""
        if budget is not None and not isinstance(budget, Budget):
            raise StrategyError(f"budget={budget!r:.40} is no budget", mend="for example budget=rtk.Budget(dollars=5)")
        self._folder = Path(mkdtemp(prefix="rtk-results-"))  # which the results own, in the end
        return Run(
            self._runners, self._asked, self._folder, budget=budget, replicates=self._replicates,
            concurrency=self._concurrency, stories=stories, tick=tick,
        )  # fmt: skip

    def results(self, run: Run) -> Results:
        """What it came to.

        Raises:
            BaseException: what ended it, with what came until then as its `results`.
        """
        arms = [one.arm for one in self._runners]
        card = self._asked.card
        card = card if card.metric else replace(card, metric="mean score" if run.graded else "accuracy")
        found = Results(
            card, arms, self._folder, asked=self.size, stopped=run.stopped, replicates=self._replicates,
            about=_about(), owned=True,
        )  # fmt: skip
        if run.failure is not None:
            failure: Any = run.failure
            failure.results = found
            raise failure
        return found


def _about() -> dict[str, Any]:
    """What the results were made with."""
    named = {"rtk": "rtk-inference", "dspy": "dspy", "litellm": "litellm"}
    made = {name: version(package) for name, package in named.items()}
    return {**made, "python": ".".join(map(str, sys.version_info[:3]))}
