"""Two programs on the same questions: how far apart they are, and whether these questions can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk.errors import TaskError
from rtk.experiments.measuring import Measured, Row, measure
from rtk.experiments.progress import Progress, reporting
from rtk.experiments.tables import cells, decimal, html_table
from rtk.statistics import Estimate, mcnemar, paired_difference


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two programs measured on the same examples, paired by example.

    Attributes:
        before: the one.
        after: the other, whose accuracy less that of the one is the difference.

    Raises:
        TaskError: where the two were not measured on the same examples in the same order.
    """

    before: Measured
    after: Measured

    def __post_init__(self) -> None:
        before, after = self.before.rows, self.after.rows
        if len(before) != len(after) or not all(map(_same, before, after)):
            raise TaskError(
                "the two programs were not measured on the same examples, so nothing can be paired",
                mend="compare(before, after, examples, metric) measures both on one list",
            )

    @property
    def difference(self) -> Estimate:
        """Accuracy after less accuracy before, with Newcombe's interval for paired shares.

        Errors and abstentions are wrong answers. See `rtk.statistics.paired_difference`, also for no example at all
        and for programs that answer alike.
        """
        return paired_difference(*self._right())

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided p-value; 1.0 where no example tells the two apart."""
        return mcnemar(*self._right())

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the difference leaves 0 out."""
        return self.difference.low > 0 or self.difference.high < 0

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each program: its name, accuracy with its 95 % Wilson interval, and counts.

        See `Measured.summary`; two programs of one name are told apart as `(before)` and `(after)`.
        """
        pairs = zip(self._names(), (self.before, self.after), strict=True)
        return [{"program": name, **measured.summary()} for name, measured in pairs]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _right(self) -> tuple[list[bool], list[bool]]:
        return [row.correct for row in self.before.rows], [row.correct for row in self.after.rows]

    def _names(self) -> tuple[str, str]:
        before, after = self.before.name, self.after.name
        return (before, after) if before != after else (f"{before} (before)".strip(), f"{after} (after)".strip())

    def _verdict(self) -> str:
        """The difference and what these questions can say of it, in one sentence."""
        found = self.difference
        asked = f"{found.size} question" if found.size == 1 else f"{found.size} questions"
        if found.value is None:
            return "No question was asked, so nothing is known of the difference."
        said = f"A difference of {_signed(found.value)}, 95 % interval [{_signed(found.low)}, {_signed(found.high)}]"
        verdict = "told apart" if self.told_apart else "not told apart"
        return f"{said} (Newcombe, paired; McNemar {_chance(self.p_value)}): {verdict} by {asked}."

    def __repr__(self) -> str:
        told = [
            f"{row['program']}: accuracy {decimal(row['accuracy'])}, {row['failed']} failed, "
            f"{row['abstained']} abstained, {row['samples']:,} samples, {row['tokens']:,} tokens written."
            for row in self.rows()
        ]
        return " ".join([*told, self._verdict()])

    def _repr_html_(self) -> str:
        return str(html_table("accuracy on the same questions", list(map(cells, self.rows())), self._verdict()))


def compare(
    before: dspy.Module,
    after: dspy.Module,
    examples: Sequence[dspy.Example],
    metric: Callable[..., bool | float],
    *,
    concurrency: int = 16,
    progress: Progress = "auto",
) -> Comparison:
    """Measure two programs on the same examples and pair them by example.

    What both ask is drawn once: samples that the one drew, the other reuses, which also makes the pairs more alike
    and the interval of the difference narrower.

    Args:
        before: any DSPy module.
        after: another, or the same one compiled.
        examples: questions with gold answers.
        metric: `(example, prediction) -> bool`.
        concurrency: examples under way at once.
        progress: as in `measure`; a function is called after each example of each program.

    Raises:
        TaskError, ModelError, StoreError: as `measure` does.
    """
    with reporting(progress, len(examples)) as leg:
        first = measure(before, examples, metric, concurrency=concurrency, progress=leg("before"))
        second = measure(after, examples, metric, concurrency=concurrency, progress=leg("after"))
    return Comparison(first, second)


def _same(one: Row, other: Row) -> bool:
    return one.example is other.example or one.example == other.example


def _signed(value: float) -> str:
    """With its sign; what rounds to nothing has none."""
    text = f"{value:+.2f}".replace("-", "−")
    return text[1:] if text[1:] == "0.00" else text


def _chance(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
