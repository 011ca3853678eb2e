"""Settings of one group held against another group at the same cost: measured there, or read off between two costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, Literal

import numpy as np

from rtk.experiments.analysis.cost_charts import short
from rtk.experiments.analysis.frontiers import estimate
from rtk.experiments.analysis.grades import Floats, Grades
from rtk.statistics import Estimate, difference, holm, p_value, pareto

How = Literal["measured", "between", "cheaper", "dearer"]


@dataclass(frozen=True)
class Match:
    """A setting of one group, and what the other group does at its cost.

    Attributes:
        group: the group of the setting, such as its model.
        other: the group that it is held against.
        setting: its label.
        cost: of an answer, on average.
        value: its metric with its interval.
        best: whether no setting of its own group beats it.
        how: `"measured"`: a setting of the other group costs as much, within the tolerance; `"between"`: the other
            group was measured at less and at more, and is read off in between; `"cheaper"` and `"dearer"`: it costs
            less or more than all of the other group, and is not compared.
        others: labels of the settings that it is held against, or that come nearest.
        briefly: the same without the name of the group.
        other_costs: theirs.
        other_value: the metric of the other group at that cost; None where it is not compared.
        difference: its metric less that, paired by question, with its interval; None where it is not compared.
        p_value: exact and two-sided; None where it is not compared.
        adjusted: the same by Holm's method over all that are compared.
        failures: p-value of the difference of the rates at which the two failed; None where it is not compared.
    """

    group: str
    other: str
    setting: str
    cost: float
    value: Estimate
    best: bool
    how: How
    others: tuple[str, ...]
    briefly: tuple[str, ...]
    other_costs: tuple[float, ...]
    other_value: float | None = None
    difference: Estimate | None = None
    p_value: float | None = None
    adjusted: float | None = None
    failures: float | None = None

    @property
    def apart(self) -> float | None:
        """How much more the other costs, as a share: 0.05 is 5 % more; 0 in between. None where it is not compared."""
        if self.difference is None:
            return None
        return 0.0 if self.how == "between" else self.other_costs[0] / self.cost - 1

    def verdict(self, margin: float) -> str:
        """What the comparison says, in a word or two.

        Args:
            margin: two whose difference has its whole interval within it are equal for practical purposes.
        """
        found = self.difference
        if found is None:
            return f"{self.how} than all"
        if found.value is None or self.adjusted is None:
            return "no question of both"
        if self.adjusted <= 1 - found.level + 1e-12:
            said = "better" if found.value > 0 else "worse"
            return said if found.low > 0 or found.high < 0 else f"{said}, though the interval includes 0"
        return f"equal within {margin:g}" if max(-found.low, found.high) <= margin else "not told apart"


@dataclass(frozen=True)
class _Place:
    """Where on the other group's frontier a cost lies: the settings there, and how much each of them counts."""

    how: How
    at: tuple[int, ...]
    weights: tuple[float, ...] = ()


def matches(found: Grades, groups: Sequence[tuple[str, str]], by: str, tolerance: float, level: float) -> list[Match]:
    """One match for each setting of the first group of each pair.

    Args:
        found: every setting on every question.
        groups: pairs of groups.
        by: the attribute of a setting that is its group.
        tolerance: costs that are as much apart, as a share, count as equal.
        level: of the intervals.
    """
    made = []
    for group, other in groups:
        own, theirs = members(found, by, group), members(found, by, other)
        best = set(best_of(found, own))
        made += [_match(found, at, group, other, theirs, at in best, tolerance, level) for at in own]
    compared = [one.p_value for one in made if one.p_value is not None]
    adjusted = iter(holm(compared))
    return [one if one.p_value is None else replace(one, adjusted=next(adjusted)) for one in made]


def members(found: Grades, by: str, group: str) -> list[int]:
    """The places of a group's settings."""
    return [at for at, arm in enumerate(found.settings) if getattr(arm, by) == group]


def best_of(found: Grades, places: Sequence[int]) -> list[int]:
    """The places of those of a group that no other of it beats, the cheapest first."""
    costs, values = found.cost[list(places)], found.value[list(places)]
    return [places[at] for at in pareto(costs.tolist(), values.tolist())]


def _match(
    found: Grades, at: int, group: str, other: str, theirs: list[int], best: bool, tolerance: float, level: float
) -> Match:
    costs = found.cost
    place = _placed(float(costs[at]), costs, best_of(found, theirs), theirs, tolerance)
    arms = [found.settings[one] for one in place.at]
    plain = Match(
        group,
        other,
        found.labels[at],
        float(costs[at]),
        estimate(found, at, level),
        best,
        place.how,
        tuple(arm.label for arm in arms),
        tuple(short(arm.label, arm.program, arm.model) for arm in arms),
        tuple(float(costs[one]) for one in place.at),
    )
    if not place.weights:
        return plain
    theirs_value, own = _mixed(found.values, place), found.values[at]
    both = ~np.isnan(theirs_value) & ~np.isnan(own)
    before, after = theirs_value[both], own[both]
    failed = p_value(_mixed(found.failures, place)[both], found.failures[at][both])
    value = float(before.mean()) if both.any() else None
    told = difference(before, after, level=level)
    return replace(plain, other_value=value, difference=told, p_value=p_value(before, after), failures=failed)


def _mixed(matrix: Floats, place: _Place) -> Floats:
    """What the other group has on each question at that cost."""
    mixed = sum(weight * matrix[at] for at, weight in zip(place.at, place.weights, strict=True) if weight)
    return np.clip(np.asarray(mixed, dtype=np.float64), 0.0, 1.0)


def _placed(cost: float, costs: Any, front: list[int], theirs: list[int], tolerance: float) -> _Place:
    """Where a cost lies among those of the other group's best settings.

    What costs more than the last of them and no more than the group's dearest is held against that last: there the
    group was measured, and gained nothing by the cost.
    """
    front = [one for one in front if costs[one] > 0]
    if not front or cost <= 0:
        return _Place("cheaper", tuple(front[:1]))
    near = min(front, key=lambda one: abs(log(costs[one] / cost)))
    if max(costs[near] / cost, cost / costs[near]) <= 1 + tolerance:
        return _Place("measured", (near,), (1.0,))
    dearest = max(theirs, key=lambda one: costs[one])
    if cost < costs[front[0]]:
        return _Place("cheaper", (front[0],))
    if cost > costs[front[-1]]:
        if cost > costs[dearest] * (1 + tolerance):
            return _Place("dearer", (dearest,))
        return _Place("between", (front[-1], dearest), (1.0, 0.0))
    above = next(place for place, one in enumerate(front) if costs[one] >= cost)
    less, more = front[above - 1], front[above]
    weight = log(cost / costs[less]) / log(costs[more] / costs[less])
    return _Place("between", (less, more), (1 - weight, weight))
