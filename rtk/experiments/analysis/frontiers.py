"""Accuracy against cost: which settings no other beats, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtk.experiments.analysis.cost_charts import (
    GREY,
    cost_axis,
    drawn,
    kind_marks,
    kinds_of,
    names,
    points,
    short,
    value_axis,
)
from rtk.experiments.analysis.grades import NOUNS, UNITS, Grades, Unit, grades
from rtk.experiments.analysis.telling import amount, counted, noted, percent, share, span, unknown
from rtk.experiments.figures import DIGITS, HEIGHT, THEME, WIDTH, Figure
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import text_table
from rtk.statistics import Estimate, mean, on_frontier, pareto

NAMED = 8  # points that a chart writes the label of; all have it as a tooltip


@dataclass(frozen=True)
class Point:
    """A setting with its cost.

    Attributes:
        setting: its label.
        program: its name.
        model: the model string.
        cost: of an answer, on average.
        value: the metric with its interval.
        on: whether no other setting is as cheap and better, or as good and cheaper.
        chance: how often it is so when the questions are drawn again.
    """

    setting: str
    program: str
    model: str
    cost: float
    value: Estimate
    on: bool
    chance: float


@dataclass(frozen=True, repr=False)
class Frontier(Figure):
    """The settings of a sweep by cost, those that no other beats among them.

    In a notebook it shows itself as a chart; `print` gives its table.

    Attributes:
        task: which questions.
        points: the settings, the cheapest first.
        cost: the unit: `"tokens"`, `"dollars"`, `"seconds"` or `"flops"`.
        level: of the intervals.
        warnings: where the settings were not asked the same, or a cost is not known.
    """

    task: Card
    points: tuple[Point, ...]
    cost: Unit
    level: float
    warnings: list[str]

    @property
    def settings(self) -> list[str]:
        """The labels of those on the frontier, the cheapest first."""
        return [point.setting for point in self.points if point.on]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting, the cheapest first.

        Its cost, `value` with `low` and `high`, whether it is on the frontier, and the `chance` of that when the
        questions are drawn again.
        """
        return [
            {
                "setting": point.setting,
                "program": point.program,
                "model": point.model,
                self.cost: point.cost,
                "value": point.value.value,
                "low": point.value.low,
                "high": point.value.high,
                "questions": point.value.size,
                "on_frontier": point.on,
                "chance": point.chance,
            }
            for point in self.points
        ]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def chart(self) -> Any:
        """The altair chart: the metric against cost on a logarithmic axis.

        Filled points are on the frontier, which a line of steps joins; the others are hollow. It may be changed as any
        altair chart; `save`, `svg` and a notebook draw it as it is made here.
        """
        import altair as alt

        kinds = kinds_of([(point.program, point.model) for point in self.points])
        rows = [_drawn(point, kind) for point, kind in zip(self.points, kinds, strict=True)]
        x = cost_axis([row["cost"] for row in rows], f"{UNITS[self.cost]}, an answer (log scale)")
        y = value_axis(rows, self.task.metric)
        base = alt.Chart(alt.InlineData(values=rows, name="settings"))
        shown = ["setting:N", "kind:N", "cost:Q"]
        shown += [alt.Tooltip(f"{name}:Q", format=".2f") for name in ("value", "low", "high", "chance")]
        look = kind_marks(kinds)
        layers = [_line(rows, x, y), *points(base, x, y, look, shown)]
        layers += [names([row for row in rows if row["on"]], x, y, look)] if len(self.settings) <= NAMED else []
        chart = alt.layer(*layers, width=WIDTH, height=HEIGHT)
        title = {"text": f"{self.task.metric} against {NOUNS[self.cost]}", "subtitle": self._subtitle()}
        return chart.properties(title=title, description=self._told()).configure(**THEME)

    def _subtitle(self) -> list[str]:
        asked = counted(max((point.value.size for point in self.points), default=0), "question")
        return [f"{asked}, {percent(self.level)} intervals", "filled and joined: no other setting beats them"]

    def _told(self) -> str:
        """The chart for somebody who does not see it."""
        said = [
            f"{point.setting}: {amount(point.cost)}, {share(point.value.value)} ({share(point.value.low)} to "
            f"{share(point.value.high)}), {'on' if point.on else 'off'} the frontier"
            for point in self.points
        ]
        return f"{self._heading()}. Setting: {NOUNS[self.cost]}, {self.task.metric} (interval). {'; '.join(said)}."

    def _heading(self) -> str:
        on = f"{len(self.settings)} of {counted(len(self.points), 'setting')} on the frontier"
        return f"{self.task.metric} against {UNITS[self.cost]}, {self._subtitle()[0]}: {on}"

    def _cells(self) -> list[dict[str, str]]:
        return [
            {
                "setting": point.setting,
                NOUNS[self.cost]: amount(point.cost),
                self.task.metric: share(point.value.value),
                f"{percent(self.level)} interval": span(point.value),
                "on the frontier": "yes" if point.on else "no",
                "chance of it": f"{point.chance:.2f}",
            }
            for point in self.points
        ]

    def __repr__(self) -> str:
        return f"{self._heading()}\n{text_table(self._cells())}{noted(self.warnings)}"


def frontier(
    records: Records, cost: Unit = "tokens", *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Frontier:
    """The settings that no other beats: the Pareto set of the metric and the cost of an answer.

    How sure that is comes from the questions: they are drawn again with replacement, and the set is found anew each
    time (`rtk.statistics.on_frontier`). A setting that is on the frontier by a hair has a chance near one half. The set
    is chosen by the same answers that it shows, so that its best is a little flattered; on new questions it is lower.

    * one setting: it is the frontier.
    * settings alike in both: all of them are on it, or none.

    Args:
        records: of a sweep.
        cost: `"tokens"` read and written, `"dollars"`, `"seconds"` on the longest path, or `"flops"`.
        level: of the intervals, in (0, 1).
        draws: how often the questions are drawn again.
        seed: of these draws.

    Raises:
        RTKError: no row, another unit, or a cost that is not known; says what makes it known.
    """
    found = grades(records, cost)
    costs, values = found.cost, found.value
    on = set(pareto(costs.tolist(), values.tolist()))
    chances = on_frontier(found.costs, found.values, draws=draws, seed=seed)
    points = [
        Point(arm.label, arm.program, arm.model, float(costs[at]), estimate(found, at, level), at in on, chances[at])
        for at, arm in enumerate(found.settings)
    ]
    return Frontier(records.task, tuple(sorted(points, key=lambda one: one.cost)), cost, level, found.uneven())


def estimate(found: Grades, at: int, level: float) -> Estimate:
    """The metric of one setting with its interval over questions."""
    return mean([value for value in found.values[at].tolist() if not unknown(value)], level=level)


# --- the chart ---


def _drawn(point: Point, kind: str) -> dict[str, Any]:
    name = short(point.setting, point.program, point.model)
    about = {"setting": point.setting, "name": name, "kind": kind, "on": point.on}
    return {**about, "chance": round(point.chance, DIGITS), **drawn(point.cost, point.value)}


def _line(rows: Sequence[dict[str, Any]], x: Any, y: Any) -> Any:
    """The best that each cost buys, as steps, in the colour of no kind."""
    import altair as alt

    best = [{name: row[name] for name in ("cost", "value")} for row in rows if row["on"]]
    line = alt.Chart(alt.InlineData(values=best, name="frontier"))
    return line.mark_line(interpolate="step-after", color=GREY, strokeWidth=1.5).encode(x=x, y=y)
