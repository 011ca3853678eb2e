"""Threshold policies of an effort ladder: climb until the vote is settled, is hopeless, or has come to a last rung.

Three numbers that are the same at every rung say it all, so a few dozen questions are enough to learn them. The first
is what Adaptive-Consistency fixes beforehand (Aggarwal et al., 2023, arXiv:2305.11860); here it is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.strategies.effort_tables import Climbs, Rule, Table, Walked, fixed, short_between

SETTLED = 14  # levels of the measure that are tried for "settled"
HOPELESS = (0.1, 0.2, 0.3, 0.4)  # quantiles of the measure that are tried for "hopeless"


@dataclass(frozen=True)
class Thresholds:
    """A policy of three numbers.

    Attributes:
        settled: the value of the measure from which on a vote is settled; infinite for never.
        hopeless: the value below which more effort is not worth it; minus infinite for none.
        start: the first rung after which hopelessness counts.
        last: the rung beyond which nothing goes.
    """

    settled: float
    hopeless: float
    start: int
    last: int

    def table(self, climbs: Climbs) -> Table:
        """The same as a table; its edges are as short as the values that were seen let them be."""
        if self.last == 0 or (self.settled == np.inf and self.hopeless == -np.inf):
            return fixed(self.last, climbs.rungs)
        rules: list[Rule] = []
        for rung in range(climbs.rungs):
            if rung >= self.last:
                rules.append(((), (None,)))
                continue
            low = [self.hopeless] if rung >= self.start and self.hopeless > -np.inf else []
            high = [self.settled] if self.settled < np.inf else []
            edges = tuple(_edge(climbs.values, one) for one in (*low, *high))
            rules.append((edges, (*(None for _ in low), rung + 1, *(None for _ in high))))
        return tuple(rules)


def _edge(values: Any, level: float) -> float:
    """A short number that no value is between and the level."""
    below = values[values < level]
    return short_between(float(below.max()), level) if below.size else level


def thresholds(climbs: Climbs) -> Iterator[tuple[Thresholds, Walked]]:
    """Every policy of the kind that is tried, and how it does on these questions."""
    rows, size = np.arange(climbs.size)[:, None], climbs.rungs
    for settled, hopeless, start in _levels(climbs):
        stops = climbs.values >= settled
        stops[:, :, start:] |= climbs.values[:, :, start:] < hopeless
        stops[:, :, -1] = True
        ends = stops.argmax(axis=2)
        for last in range(size):
            at = np.minimum(ends, last)
            scores = np.take_along_axis(climbs.scores, at[:, :, None], 2)[:, :, 0].mean(axis=1)
            costs = np.where(at > 0, climbs.climbed[rows, at], 0.0).mean(axis=1) + climbs.first
            yield Thresholds(settled, hopeless, start, last), Walked(scores, costs)


def _levels(climbs: Climbs) -> Iterator[tuple[float, float, int]]:
    """What is tried for "settled", for "hopeless", and from which rung on that counts."""
    before = climbs.values[:, :, :-1]
    high = np.unique(np.quantile(before, np.linspace(0.1, 1, SETTLED), method="higher"))
    low = np.unique(np.quantile(before, HOPELESS, method="higher"))
    starts = sorted({1, climbs.rungs // 4, climbs.rungs // 2} & set(range(1, climbs.rungs - 1)))
    for settled in (*map(float, high), np.inf):
        yield settled, -np.inf, 0
        for hopeless in low:
            if hopeless < settled:
                yield from ((settled, float(hopeless), start) for start in starts)
