"""What an optimizer came to: the program, whether it is better on questions that nobody saw, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dspy

from rtk._html import Markup, element
from rtk.budget import Spent
from rtk.errors import TaskError
from rtk.experiments.analysis.contrasts import Contrast, with_itself
from rtk.experiments.analysis.telling import chance, counted, signed, span
from rtk.experiments.optimizers.compiling import Tried, prompts
from rtk.experiments.optimizers.prompt_diff import PromptDiff, prompt_diff
from rtk.experiments.optimizers.saved_programs import save_program
from rtk.experiments.results import Results
from rtk.experiments.sweeps.naming import name_of
from rtk.experiments.tables import html_table, text_table
from rtk.statistics import Estimate

SHOWN = 8  # candidates that a notebook shows; `.candidates` has all
INTERRUPTED = "interrupted"
SAVED = ("accuracy", "low", "high", "questions", "failed", "abstained", "total_consulted", "total_tokens_out")


@dataclass(frozen=True, repr=False)
class Optimized:
    """An optimizer's result.

    Attributes:
        program: the compiled program; the original's copy where nothing was found.
        original: a copy of the program that was given.
        results: the sweep of both on held-out questions, as programs `"before"` and `"after"`, or of `"before"` alone
            where the prompts are as they were; None where it was interrupted before.
        spent: what the optimizer took, without the measuring before and after.
        seconds: real time that it took.
        candidates: those it scored, in order. Demonstrations that are chosen without scoring have none.
        stopped: the unit of the budget that ended it early, or `"interrupted"`; None where it came to its own end.
        optimizer: DSPy's name of it.
        settings: what it was given besides the questions, as text or JSON values.
        task: which questions: `name`, `level`, `seed`, `fingerprint`, and how many of `train`, `dev` and `test`.
        runs: how often it ran a program.
        errors: of the runs that raised, a line each.
        log: what it printed and logged, the last lines of it.
    """

    program: dspy.Module
    original: dspy.Module
    results: Results | None
    spent: Spent
    seconds: float
    candidates: list[Tried]
    stopped: str | None
    optimizer: str
    settings: Mapping[str, Any]
    task: Mapping[str, Any]
    runs: int = 0
    errors: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @cached_property
    def comparison(self) -> Contrast | None:
        """Before and after on held-out questions, paired; None where it was interrupted before."""
        if self.results is None:
            return None
        return self.results.compare("before", "after") if len(self.results.settings) > 1 else with_itself(self.results)

    @property
    def before(self) -> dict[str, Any] | None:
        """The original on the held-out questions, as a row of `Summary.rows`; None where it was interrupted before."""
        return self._lines[0] if self._lines else None

    @property
    def after(self) -> dict[str, Any] | None:
        """The compiled program on the same questions, likewise."""
        return self._lines[-1] if self._lines else None

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        return [] if self.results is None else self.results.summary().rows()

    @property
    def difference(self) -> Estimate:
        """Accuracy after less accuracy before, with the paired interval.

        Raises:
            TaskError: where it was interrupted before it was measured.
        """
        return self._measured().difference

    @property
    def p_value(self) -> float:
        """The exact two-sided p-value of the difference.

        Raises:
            TaskError: where it was interrupted before it was measured.
        """
        return self._measured().p_value

    @property
    def improved(self) -> bool:
        """Whether the interval of the difference is above 0, and the exact p-value says the same."""
        return self._told_apart and self.difference.low > 0

    @property
    def _told_apart(self) -> bool:
        """Whether these questions tell before and after apart, in whichever direction."""
        return self.comparison is not None and self.comparison.told_apart

    def _measured(self) -> Contrast:
        if self.comparison is None:
            raise TaskError(
                "nothing was measured: it was interrupted before",
                mend="make the same call again: what was drawn is kept, and it goes on from there",
            )
        return self.comparison

    # --- words ---

    @property
    def verdict(self) -> str:
        """Whether it is better, in a sentence or two that claim no more than the questions say."""
        return " ".join(filter(None, [self._found(), self._ended(), self._failed()]))

    def _found(self) -> str:
        same = prompts(self.original) == prompts(self.program)
        if self.comparison is None:
            return "The prompts are as they were." if same else "The new prompts were not measured."
        found = self.comparison.difference
        if same:
            return "No improvement was found: the prompts are as they were."
        said = f"{signed(found.value)} on {counted(found.size, 'question')} that were held out, interval "
        said += f"{span(found, sign=True)}, {_chance(self.comparison.p_value)}"
        if self.improved:
            return f"Improved: {said}."
        return f"It got worse: {said}." if self._told_apart and found.high < 0 else f"No improvement was found: {said}."

    def _ended(self) -> str:
        if self.stopped is None:
            return ""
        why = "It was interrupted" if self.stopped == INTERRUPTED else f"Its budget of {self.stopped} ended it"
        if prompts(self.original) == prompts(self.program) and not any(one.chosen for one in self.candidates):
            return f"{why} before it had anything to show."
        return f"{why} early; this is the best so far."

    def _failed(self) -> str:
        return f"{len(self.errors)} of {self.runs} runs failed, the first with {self.errors[0]}." if self.errors else ""

    def _tried(self) -> str:
        if not self.candidates:
            return ""
        best = max(self.candidates, key=lambda one: one.score)
        chosen_on = f"the {counted(best.questions, 'question')} it was chosen on"
        return f"{counted(len(self.candidates), 'candidate')} scored, the best {best.score:.2f} on {chosen_on}"

    def _cost(self) -> str:
        return f"{self.optimizer}: {counted(self.runs, 'run')}, {self.spent.amounts()}"

    # --- tables and files ---

    def diff(self) -> PromptDiff:
        """What changed in the prompts: instructions and demonstrations of each predictor, as text and as HTML."""
        return prompt_diff(self.original, self.program)

    def rows(self) -> list[dict[str, Any]]:
        """Before and after, as rows of `Summary.rows`; none where it was interrupted before it was measured."""
        pairs = {"before": self.before, "after": self.after}
        return [{**line, "setting": name} for name, line in pairs.items() if line is not None]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def save(self, path: str | Path) -> Path:
        """Write the compiled program as JSON, with what made it; `rtk.experiments.load_program` loads it.

        What is saved is prompts, demonstrations and settings, the versions of rtk and DSPy, the task's fingerprint, the
        optimizer and its settings, and the figures. No model, no key and no code is.

        Args:
            path: of the file; it ends in `.json`.

        Raises:
            StrategyError: for another ending, or a demonstration that JSON cannot hold.
        """
        return save_program(self.program, path, self._about())

    def _about(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "rtk": _version("rtk-inference"), "dspy": str(dspy.__version__), "task": dict(self.task),
            "optimizer": {"name": self.optimizer, "settings": dict(self.settings)}, "stopped": self.stopped,
            "spent": {"calls": self.spent.calls, "samples": self.spent.samples, "tokens": self.spent.tokens,
                      "dollars": self.spent.dollars},
        }  # fmt: skip
        if self.comparison is not None:
            found = self.comparison.difference
            said |= {line["setting"]: {name: line[name] for name in SAVED} for line in self.rows()}
            said |= {"difference": [found.value, found.low, found.high], "p_value": self.comparison.p_value}
        return said

    def __repr__(self) -> str:
        table = text_table(self._cells()) if self.comparison is not None else ""
        name = f"{name_of(self.program)} on {self.task.get('name')}"
        return "\n".join(filter(None, [f"Optimized({name})", table, self.verdict, self._cost(), self._tried()]))

    def _repr_html_(self) -> str:
        name = f"{name_of(self.program)} on {self.task.get('name')}, before and after"
        measured = self.comparison is not None
        table = html_table(name, self._cells(), self.verdict) if measured else element("p", f"{name}: {self.verdict}")
        notes = [element("p", note) for note in (self._cost(), self._tried()) if note]
        return str(element("div", table, *notes, self._candidates(), self.diff().markup(), class_="rtk-optimized"))

    def _cells(self) -> list[dict[str, str]]:
        """Before and after in words."""
        lines = [] if self.comparison is None else self.comparison.cells()
        return [{**line, "setting": name} for name, line in zip(("before", "after"), lines, strict=False)]

    def _candidates(self) -> Markup | None:
        if not self.candidates:
            return None
        shown = sorted(self.candidates, key=lambda one: -one.score)[:SHOWN]
        rows = [
            {"score": f"{one.score:.2f}", "questions": str(one.questions), "chosen": "yes" if one.chosen else "–"}
            for one in shown
        ]
        left = len(self.candidates) - len(shown)
        table = html_table("scores they were chosen by", rows, f"and {left} more" if left else "")
        return element("details", element("summary", f"{len(self.candidates)} candidates"), table)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _chance(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {chance(p_value)}"
