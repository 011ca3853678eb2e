"""Accuracy against samples: one strategy at several settings, all of them prefixes of the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk.errors import StrategyError
from rtk.experiments.figures import Figure, accuracy_chart
from rtk.experiments.measuring import Measured, measure
from rtk.experiments.naming import name_of
from rtk.experiments.progress import Progress, reporting
from rtk.experiments.tables import cells, text_table
from rtk.strategies import Setting, Strategy


@dataclass(frozen=True, repr=False)
class Curve(Figure):
    """One strategy's accuracy at several numbers of samples.

    In a notebook it shows itself as a chart; `print` gives its table.

    Attributes:
        name: the strategy's, without the setting that changes and how answers are compared.
        measured: the result at each number of samples, the smallest first.
    """

    name: str
    measured: dict[int, Measured]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting: `samples` of a question, accuracy with its 95 % Wilson interval, and counts.

        As in `Measured.summary`, but for `consulted`, the samples of all questions together.
        """
        return [_row(samples, measured.summary()) for samples, measured in self.measured.items()]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def chart(self) -> Any:
        """The altair chart: accuracy against samples on a logarithmic axis, with its 95 % intervals as a band.

        It may be changed as any altair chart; `save`, `svg` and a notebook draw it as it is made here.
        """
        return accuracy_chart(
            self.rows(),
            "samples",
            title=self.name,
            subtitle=[
                f"{self._asked()}, 95 % Wilson intervals",
                "each setting uses the first k of the same samples",
            ],
            axis="samples for each question, k (log scale)",
            description=self._told(),
        )

    def _asked(self) -> str:
        size = max((measured.accuracy.size for measured in self.measured.values()), default=0)
        return f"{size} question" if size == 1 else f"{size} questions"

    def _told(self) -> str:
        """The chart for somebody who does not see it."""
        said = [
            f"{row['samples']}: {row['accuracy']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            for row in self.rows()
            if row["accuracy"] is not None
        ]
        return f"{self._heading()}. Samples: accuracy (interval). {', '.join(said)}."

    def _heading(self) -> str:
        return f"{self.name}: accuracy against samples, {self._asked()}, 95 % Wilson intervals"

    def __repr__(self) -> str:
        return f"{self._heading()}\n{text_table(list(map(cells, self.rows())))}"


def curve(
    program: Strategy,
    examples: Sequence[dspy.Example],
    metric: Callable[..., bool | float],
    *,
    samples: Sequence[int] = (1, 2, 4, 8),
    concurrency: int = 16,
    progress: Progress = "auto",
) -> Curve:
    """Measure a strategy at several numbers of samples.

    The largest is measured first, so that its samples are drawn together; the smaller ones then find theirs among
    them, since each uses the first k (see "addresses" in `rtk.samples`). Nothing is drawn twice, and neighbouring
    points of the curve share samples: they rise and fall together more than independent runs would. The program
    itself stays as it is.

    Args:
        program: a `SelfConsistency`, or any strategy with a setting called `samples`.
        examples: questions with gold answers.
        metric: `(example, prediction) -> bool`.
        samples: the settings, in any order.
        concurrency: examples under way at once.
        progress: as in `measure`; a function is called after each example at each setting.

    Raises:
        StrategyError: a program without that setting, or settings that are no whole numbers from 1 on.
        TaskError, ModelError, StoreError: as `measure` does.
    """
    _check(program, samples)
    measured: dict[int, Measured] = {}
    with reporting(progress, len(examples)) as leg:
        for count in sorted(set(samples), reverse=True):
            told = leg(f"{count} samples" if count > 1 else "1 sample")
            measured[count] = measure(_at(program, count), examples, metric, concurrency=concurrency, progress=told)
    return Curve(name_of(program, without={"samples", "comparer"}), dict(sorted(measured.items())))


def _check(program: Any, samples: Sequence[int]) -> None:
    if not isinstance(program, Strategy) or not isinstance(getattr(type(program), "samples", None), Setting):
        raise StrategyError(
            f"{type(program).__name__} has no setting called samples, so there is no curve over it",
            mend="pass rtk.SelfConsistency(program), or a strategy that declares samples = rtk.Setting(8)",
        )
    for count in samples:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise StrategyError(f"samples={count!r}", mend="whole numbers from 1 on, such as samples=(1, 2, 4, 8)")
    if not samples:
        raise StrategyError("a curve over no settings", mend="samples=(1, 2, 4, 8)")


def _at(program: Strategy, samples: int) -> Strategy:
    copy: Any = program.deepcopy()
    copy.samples = samples
    return copy


def _row(samples: int, summary: dict[str, Any]) -> dict[str, Any]:
    consulted = {"consulted" if name == "samples" else name: value for name, value in summary.items()}
    return {"samples": samples, **consulted}
