"""Equal compute: which settings of one model do as well as another model that is given as much of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from rtk.errors import RTKError
from rtk.experiments.analysis.cost_charts import drawn
from rtk.experiments.analysis.equal_cost import Match, best_of, matches, members
from rtk.experiments.analysis.fairness import RARE
from rtk.experiments.analysis.frontiers import estimate
from rtk.experiments.analysis.grades import NOUNS, UNITS, Grades, Unit, grades
from rtk.experiments.analysis.matched_charts import matched_chart
from rtk.experiments.analysis.telling import amount, chance, counted, noted, percent, share, signed, some, span
from rtk.experiments.figures import Figure
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import text_table

By = Literal["model", "program"]


@dataclass(frozen=True, repr=False)
class Matched(Figure):
    """The settings of one model (or program) held against another's at equal cost.

    In a notebook it shows itself as a chart; `print` gives its table.

    Attributes:
        task: which questions.
        matches: one for each setting of the first group of each pair.
        cost: the unit that is equal.
        by: what the groups are: `"model"` or `"program"`.
        margin: two whose difference has its whole interval within it are equal for practical purposes.
        tolerance: costs that are as much apart, as a share, count as equal.
        level: of the intervals.
        warnings: where a comparison is not fair, or none could be made.
    """

    task: Card
    matches: tuple[Match, ...]
    cost: Unit
    by: By
    margin: float
    tolerance: float
    level: float
    warnings: list[str]
    _settings: tuple[dict[str, Any], ...]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each match; `low` and `high` are those of the difference, None where nothing is compared."""
        return [_row(match, self.by, self.cost, self.margin) for match in self.matches]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def chart(self) -> Any:
        """The altair chart: above the metric against cost, below the differences at equal cost.

        A line joins the settings of a group that no other of it beats; the others are hollow. A difference is filled
        where both were measured, hollow where the other group is read off between two costs; the band is the margin. It
        may be changed as any altair chart; `save`, `svg` and a notebook draw it as it is made here.
        """
        about = [self._asked(), "joined: no other setting of its own beats them"]
        if any(match.difference is not None for match in self.matches):
            about.append(f"below: the difference at equal cost, band ±{self.margin:g}")
        if any(match.how == "between" for match in self.matches):
            about.append("hollow below: the other is read off between two costs")
        title = {"text": f"{self.task.metric} at equal {NOUNS[self.cost]}", "subtitle": about}
        axis = f"{UNITS[self.cost]}, an answer (log scale)"
        told = " ".join([f"{self._heading()}.", *self._answers(), self._points()])
        return matched_chart(
            self._settings, self.matches, margin=self.margin, title=title, axis=axis, metric=self.task.metric,
            description=told,
        )  # fmt: skip

    def _points(self) -> str:
        said = [
            f"{match.setting} at {amount(match.cost)}: {signed(match.difference.value)} {span(match.difference, True)}"
            for match in self.matches
            if match.difference is not None
        ]
        return f"Differences: {', '.join(said)}." if said else ""

    def _asked(self) -> str:
        asked = counted(max((match.value.size for match in self.matches), default=0), "question")
        return f"{asked}, {percent(self.level)} intervals"

    def _heading(self) -> str:
        return f"{self.task.metric} at equal {NOUNS[self.cost]}, {self._asked()}"

    def _answers(self) -> list[str]:
        """For each pair of groups how many settings could be compared, and what came out."""
        pairs = list(dict.fromkeys((match.group, match.other) for match in self.matches))
        return [_answer([m for m in self.matches if (m.group, m.other) == pair], *pair, self.margin) for pair in pairs]

    def _cells(self) -> list[dict[str, str]]:
        several = len({(match.group, match.other) for match in self.matches}) > 1
        noun = NOUNS[self.cost]
        return [
            {
                "setting": match.setting,
                noun: amount(match.cost),
                self.task.metric: share(match.value.value),
                **({"against": match.other} if several else {}),
                "held against": _held(match),
                f"its {noun}": " to ".join(map(amount, match.other_costs)),
                f"its {self.task.metric}": share(match.other_value),
                "difference": "–" if match.difference is None else signed(match.difference.value),
                f"{percent(self.level)} interval": "–"
                if match.difference is None
                else span(match.difference, sign=True),
                "p (Holm)": chance(match.adjusted),
                "verdict": match.verdict(self.margin),
            }
            for match in self.matches
        ]

    def __repr__(self) -> str:
        return "\n".join([self._heading(), text_table(self._cells()), *self._answers()]) + noted(self.warnings)


def _row(match: Match, by: str, cost: str, margin: float) -> dict[str, Any]:
    found = match.difference
    return {
        by: match.group,
        "setting": match.setting,
        cost: match.cost,
        "value": match.value.value,
        "best_of_its_own": match.best,
        f"other_{by}": match.other,
        "how": match.how,
        "held_against": list(match.others),
        f"other_{cost}": list(match.other_costs),
        "apart": match.apart,
        "other_value": match.other_value,
        "difference": None if found is None else found.value,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "p_value": match.p_value,
        "adjusted": match.adjusted,
        "questions": 0 if found is None else found.size,
        "verdict": match.verdict(margin),
    }


def _held(match: Match) -> str:
    if match.difference is None:
        return f"nothing; nearest {match.briefly[0]}" if match.briefly else "nothing"
    if match.how == "between":
        return f"between {' and '.join(match.briefly)}"
    apart = match.apart or 0.0
    return match.briefly[0] if abs(apart) < 0.005 else f"{match.briefly[0]} ({apart:+.0%} cost)".replace("-", "−")


def _answer(here: Sequence[Match], group: str, other: str, margin: float) -> str:
    counts = Counter(match.verdict(margin) for match in here if match.difference is not None)
    alone = Counter(match.verdict(margin) for match in here if match.difference is None)
    said = some([f"{many} {verdict}" for verdict, many in counts.items()]) or "none could be compared"
    left = "".join(f"; {many} {verdict} of {other}, not compared" for verdict, many in alone.items())
    return f"{group} against {other}, {counted(len(here), 'setting')}: {said}{left}."


def matched(
    records: Records,
    cost: Unit = "flops",
    *,
    a: str | None = None,
    b: str | None = None,
    by: By | None = None,
    tolerance: float = 0.1,
    margin: float = 0.05,
    level: float = 0.95,
) -> Matched:
    """Which settings of a small model equal a larger one that is given as much compute.

    Each setting of the one group is held against the frontier of the other at its own cost: against the setting there
    that costs as much within the tolerance, else against what lies between the two next ones on a line along the
    logarithm of cost. That line is above the one that mixing the two settings would reach, so that the larger model is
    given the benefit of the doubt. Beyond the cheapest and the dearest that was measured nothing is extrapolated: such
    a setting is not compared. Differences are paired by question, with p-values adjusted by Holm's method over all
    comparisons; the costs are taken as known. The other's frontier is chosen by the answers that it shows, so it is a
    little flattered, again in its favour.

    Not told apart is not equal: "equal" is said where the whole interval lies within the margin.

    Args:
        records: of a sweep over two models or more, or two programs.
        cost: `"flops"`, `"tokens"`, `"dollars"` or `"seconds"` of an answer.
        a: the group whose settings are looked at; without it all pairs of groups, the cheaper one first.
        b: the group that they are held against.
        by: `"model"` or `"program"`; without it models where there are several, else programs.
        tolerance: costs that are as much apart, as a share, count as equal; in [0, 1).
        margin: a difference that matters to nobody, in [0, 1].
        level: of the intervals, in (0, 1).

    Raises:
        RTKError: fewer than two groups, a group that there is not, no row, or a cost that is not known; says what
            makes it known.
    """
    if not 0 <= tolerance < 1 or not 0 <= margin <= 1:
        raise RTKError(f"tolerance={tolerance}, margin={margin}", mend="shares, such as tolerance=0.1, margin=0.05")
    found = grades(records, cost)
    by = by or ("model" if len({arm.model for arm in found.settings}) > 1 else "program")
    pairs = _groups(found, by, a, b)
    made = matches(found, pairs, by, tolerance, level)
    involved = list(dict.fromkeys(name for pair in pairs for name in pair))
    warnings = [*found.uneven(), *_unfair(made), *_without(found, made, pairs, by)]
    drawn_ = tuple(row for name in involved for row in _settings(found, by, name, level))
    return Matched(records.task, tuple(made), cost, by, margin, tolerance, level, warnings, drawn_)


def _groups(found: Grades, by: By, a: str | None, b: str | None) -> list[tuple[str, str]]:
    if by not in ("model", "program"):
        raise RTKError(f"by={by!r}", mend="by='model' or by='program'")
    known = list(dict.fromkeys(getattr(arm, by) for arm in found.settings))
    if len(known) < 2:
        raise RTKError(
            f"there is one {by} ({some(known)}), so nothing to match it with",
            mend="sweep(…, model=[small, large]), or several programs; frontier() sets one against its cost",
        )
    for one in (a, b):
        if one is not None and one not in known:
            raise RTKError(f"there is no {by} {one!r:.80}", mend=f"one of {', '.join(map(repr, known))}")
    known.sort(key=lambda name: min(found.cost[at] for at in members(found, by, name)))
    if a is not None and a == b:
        raise RTKError(f"{a!r} is matched with itself", mend=f"two of {', '.join(map(repr, known))}")
    if a is not None or b is not None:
        return [
            (one, other) for one in known for other in known if one != other and a in (None, one) and b in (None, other)
        ]
    return list(combinations(known, 2))


def _settings(found: Grades, by: By, group: str, level: float) -> list[dict[str, Any]]:
    """The points of a group, for the chart."""
    places = members(found, by, group)
    best = set(best_of(found, places))
    return [
        {
            "setting": found.labels[at],
            "kind": group,
            "on": at in best,
            **drawn(float(found.cost[at]), estimate(found, at, level)),
        }
        for at in places
    ]


def _unfair(made: Sequence[Match]) -> list[str]:
    bad = [match.setting for match in made if match.failures is not None and match.failures < RARE]
    return [f"Different rates of failures: {some(bad, 6)} against what they are held against."] if bad else []


def _without(found: Grades, made: Sequence[Match], pairs: Sequence[tuple[str, str]], by: By) -> list[str]:
    """Pairs of groups that have no cost in common, with what would give them one."""
    told = []
    for pair in pairs:
        if any(match.difference is not None for match in made if (match.group, match.other) == pair):
            continue
        spans = [[found.cost[at] for at in members(found, by, name)] for name in pair]
        said = [f"{name} from {amount(min(s))} to {amount(max(s))}" for name, s in zip(pair, spans, strict=True)]
        less = pair[0] if max(spans[0]) < min(spans[1]) else pair[1]
        told.append(
            f"No cost in common: {' and '.join(said)} {NOUNS[found.unit]}. Nothing is extrapolated: "
            f"sweep more samples of {less}."
        )
    return told
