"""The same sweep run again: how much a figure moves from run to run, and how often the better setting wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.grades import Floats, graded
from rtk.experiments.analysis.telling import counted, noted, percent, share, signed, span, with_notes
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import html_table, text_table
from rtk.statistics import Estimate

SHOWN = 20  # pairs that a notebook shows by itself; wins_frame() has all
NORMAL = NormalDist()


@dataclass(frozen=True)
class Runs:
    """One setting, run several times on the same questions.

    Attributes:
        setting: its label.
        values: the metric of each run, on the questions that all runs were asked.
        deviation: from run to run, the standard deviation of these, with its interval; no value where there is one run.
        expected: the same as the questions' own wavering says it; None where there is one run.
        questions: how many.
    """

    setting: str
    values: tuple[float, ...]
    deviation: Estimate
    expected: float | None
    questions: int

    @property
    def mean(self) -> float | None:
        """Of all runs together."""
        return sum(self.values) / len(self.values) if self.values else None


@dataclass(frozen=True)
class Win:
    """Two settings, each run once: how often the one that is better in all runs together comes out ahead.

    Attributes:
        better: the setting that is.
        worse: the other.
        difference: of all runs together.
        chance: of the better one coming out ahead of one run of the other, with its interval; a tie counts half.
        ahead: in how many of the pairs of different runs it did, a tie half.
        pairs: how many there are.
    """

    better: str
    worse: str
    difference: float
    chance: Estimate
    ahead: float
    pairs: int


@dataclass(frozen=True, repr=False)
class Replicated:
    """How far the runs of a sweep agree.

    Attributes:
        task: which questions.
        replicates: how many runs.
        runs: each setting's.
        wins: each pair of settings.
        level: of the intervals.
        notes: what cannot be said, and why.
    """

    task: Card
    replicates: int
    runs: tuple[Runs, ...]
    wins: tuple[Win, ...]
    level: float
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting: the metric of all runs, of the lowest and the highest, and the deviation."""
        return [
            {
                "setting": one.setting,
                "mean": one.mean,
                "lowest": min(one.values, default=None),
                "highest": max(one.values, default=None),
                "deviation": one.deviation.value,
                "low": one.deviation.low,
                "high": one.deviation.high,
                "expected": one.expected,
                "runs": len(one.values),
                "questions": one.questions,
            }
            for one in self.runs
        ]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def wins_frame(self) -> Any:
        """A row for each pair of settings as a pandas frame; see `Win`."""
        import pandas as pd

        rows = [
            {
                "better": win.better,
                "worse": win.worse,
                "difference": win.difference,
                "chance": win.chance.value,
                "low": win.chance.low,
                "high": win.chance.high,
                "ahead": win.ahead,
                "pairs": win.pairs,
            }
            for win in self.wins
        ]
        return pd.DataFrame(rows)

    def _heading(self) -> str:
        return f"{self.task.metric} from run to run, {counted(self.replicates, 'replicate')}"

    def _cells(self) -> list[dict[str, str]]:
        return [
            {
                "setting": one.setting,
                self.task.metric: share(one.mean),
                "of each run": " ".join(map(share, one.values[:8])) + (" …" if len(one.values) > 8 else ""),
                "deviation": _fine(one.deviation.value),
                f"{percent(self.level)} interval": _ends(one.deviation),
                "expected": _fine(one.expected),
                "questions": f"{one.questions:,}",
            }
            for one in self.runs
        ]

    def _win_cells(self) -> list[dict[str, str]]:
        return [
            {
                "better": win.better,
                "than": win.worse,
                "by": signed(win.difference),
                "wins a single run": share(win.chance.value),
                f"{percent(self.level)} interval": span(win.chance),
                "seen": f"{win.ahead:g} of {win.pairs:,}",
            }
            for win in self.wins[:SHOWN]
        ]

    def _notes(self) -> list[str]:
        more = len(self.wins) - SHOWN
        return [*self.notes, *[f"{more:,} more pairs: wins_frame()."] * (more > 0)]

    def __repr__(self) -> str:
        wins = f"\n\n{text_table(self._win_cells())}" if self.wins else ""
        return f"{self._heading()}\n{text_table(self._cells())}{wins}{noted(self._notes(), 'Notes')}"

    def _repr_html_(self) -> str:
        table = html_table(self._heading(), self._cells())
        if self.wins:
            wins = html_table("how often the better setting wins a single run", self._win_cells())
            return str(table) + str(with_notes(wins, self._notes(), "Notes"))
        return str(with_notes(table, self._notes(), "Notes"))


def replicated(records: Records, level: float = 0.95) -> Replicated:
    """How much each setting's figure moves from run to run, and how often the better of two wins a single run.

    * The deviation over R runs has the interval of a normal variance: R − 1 degrees of freedom over the quantiles of
      χ². With few runs it is wide; so beside it stands what the questions' own wavering over the runs lets expect,
      √(Σ s_q²) / n for n questions with variances s_q², which rests on n times as much and takes the questions of a run
      to waver independently. Where the two are far apart, something moved whole runs.
    * A win: with Δ the difference of all runs together and σ² the sum of the two expected variances, the chance that
      one run is ahead of one run of the other, drawn independently, is Φ(Δ / σ), as a sum over many questions is
      nearly normal. Δ is known from R runs, hence the interval Φ(Δ / σ ± z / √R). Beside it stands what was seen in the
      pairs of different runs. Runs of one replicate share samples, so they are no such pair. The better setting is
      found by the same runs, which flatters it a little.

    * one replicate: nothing is known of either, and it says so.
    * settings that never waver: a deviation of 0, and a chance of 1, or 1/2 where they are alike.

    Args:
        records: of a sweep with `replicates=`.
        level: of the intervals, in (0, 1).

    Raises:
        RTKError: a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise RTKError(f"level={level}", mend="a share, such as level=0.95")
    frame = graded(records)
    tables = {label: _runs_by_question(part) for label, part in frame.groupby("setting", sort=False)}
    none = np.zeros((0, 0))
    runs = tuple(_runs(arm.label, tables.get(arm.label, none), level) for arm in records.settings)
    enough = [label for label, table in tables.items() if table.shape[0] > 1 and table.shape[1]]
    wins = tuple(_win(one, other, tables[one], tables[other], level) for one, other in combinations(enough, 2))
    return Replicated(records.task, records.replicates, runs, wins, level, _told(records, runs))


def _runs_by_question(part: Any) -> Floats:
    """Runs × questions, those questions that every run was asked."""
    wide = part.pivot_table(index="replicate", columns="example", values="value", aggfunc="mean", sort=False)
    return wide.dropna(axis="columns").to_numpy(dtype=np.float64)


def _runs(label: str, table: Floats, level: float) -> Runs:
    many, questions = table.shape
    if not many or not questions:
        return Runs(label, (), Estimate(None, 0.0, inf, 0, level, "chi-square"), None, 0)
    values = tuple(float(one) for one in table.mean(axis=1))
    expected = None if many < 2 else sqrt(_variance(table))
    return Runs(label, values, _deviation(values, level), expected, questions)


def _deviation(values: Sequence[float], level: float) -> Estimate:
    free = len(values) - 1
    if free < 1:
        return Estimate(None, 0.0, inf, len(values), level, "chi-square")
    from scipy.stats import chi2

    found = float(np.std(values, ddof=1))
    low, high = (found * sqrt(free / float(chi2.ppf(at, free))) for at in ((1 + level) / 2, (1 - level) / 2))
    return Estimate(found, low, high, len(values), level, "chi-square")


def _variance(table: Floats) -> float:
    """Of one run's mean, from how each question wavers."""
    return float(table.var(axis=0, ddof=1).sum()) / table.shape[1] ** 2


def _win(one: str, other: str, first: Floats, second: Floats, level: float) -> Win:
    if first.mean() < second.mean():
        one, other, first, second = other, one, second, first
    gap, spread = float(first.mean() - second.mean()), sqrt(_variance(first) + _variance(second))
    reach = NORMAL.inv_cdf((1 + level) / 2) / sqrt(min(len(first), len(second)))
    if spread:
        chances = [NORMAL.cdf(gap / spread + step) for step in (0.0, -reach, reach)]
    else:
        chances = [1.0 if gap > 0 else 0.5] * 3
    found = Estimate(chances[0], chances[1], chances[2], min(len(first), len(second)), level, "normal")
    ahead, pairs = _seen(first.mean(axis=1), second.mean(axis=1))
    return Win(one, other, gap, found, ahead, pairs)


def _seen(first: Floats, second: Floats) -> tuple[float, int]:
    """How often a run of the one is ahead of another replicate's run of the other."""
    apart = np.subtract.outer(first, second)
    apart = np.where(np.abs(apart) < 1e-12, 0.0, apart)
    different = ~np.eye(*apart.shape, dtype=bool)
    return float(((np.sign(apart) + 1) / 2)[different].sum()), int(different.sum())


def _told(records: Records, runs: Sequence[Runs]) -> list[str]:
    if records.replicates < 2:
        return ["There is one replicate, so nothing is known of how runs differ: sweep(…, replicates=3)."]
    found = [one.setting for one in runs if len(one.values) < records.replicates]
    told = [f"Fewer runs than {records.replicates} of {', '.join(found)}."] if found else []
    if records.replicates < 5:
        told.append(
            f"A deviation of {records.replicates} runs is known badly; what is expected rests on all questions."
        )
    return told


def _fine(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _ends(found: Estimate) -> str:
    return "–" if found.value is None else f"[{found.low:.3f}, {found.high:.3f}]"
