"""What every rung of an effort ladder came to on some questions, and policies as tables of it. Pure: arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Floats = Any  # arrays of float; their shapes stand where they are made
Rule = tuple[tuple[float, ...], tuple[int | None, ...]]
"""At a rung: ascending edges of the measure, and for each bin between them the rung to go to, None to stop."""
Table = tuple[Rule, ...]


@dataclass(frozen=True)
class Climbs:
    """What every rung came to on some questions, each in several orders of its samples.

    Attributes:
        scores: of what would be answered, in [0, 1]; questions × orders × rungs.
        values: of the measure of difficulty, likewise; the first order is that in which the samples came.
        steps: what going from one rung straight to another one costs; questions × rungs × rungs.
        first: what the first rung costs; questions.
    """

    scores: Floats
    values: Floats
    steps: Floats
    first: Floats

    @cached_property
    def climbed(self) -> Floats:
        """What climbing from the first rung to each costs, all rungs between them included; questions × rungs."""
        each = [self.steps[:, rung - 1, rung] for rung in range(1, self.rungs)]
        return np.cumsum(np.stack([np.zeros(self.size), *each], axis=1), axis=1)

    @property
    def size(self) -> int:
        """Questions."""
        return self.scores.shape[0]

    @property
    def rungs(self) -> int:
        """Rungs."""
        return self.scores.shape[2]

    def of(self, questions: Any) -> Climbs:
        """Those of some questions."""
        return Climbs(self.scores[questions], self.values[questions], self.steps[questions], self.first[questions])


@dataclass(frozen=True)
class Walked:
    """How a policy did on each question, on average over the orders.

    Attributes:
        scores: one for each question.
        costs: likewise.
    """

    scores: Floats
    costs: Floats

    @property
    def score(self) -> float:
        """On average."""
        return float(self.scores.mean())

    @property
    def cost(self) -> float:
        """On average."""
        return float(self.costs.mean())


# --- tables ---


def fixed(rung: int, rungs: int) -> Table:
    """The same for every question: from the first rung straight to one."""
    end: Rule = ((), (None,))
    return (((), (rung,)), *[end] * (rungs - 1)) if rung else (end,) * rungs


def walked(climbs: Climbs, table: Table) -> Walked:
    """A policy's scores and costs on questions."""
    scores, costs = ends(climbs)
    for rung in reversed(range(climbs.rungs - 1)):
        edges, actions = table[rung]
        places = np.searchsorted(np.asarray(edges), climbs.values[:, :, rung], side="right")
        take(climbs, rung, np.asarray([rung if one is None else one for one in actions])[places], scores, costs)
    return Walked(scores[0].mean(axis=1), costs[0].mean(axis=1) + climbs.first)


def ends(climbs: Climbs) -> tuple[list[Floats], list[Floats]]:
    """By rung, what is scored and paid from there on by those who stop there."""
    scores = [climbs.scores[:, :, rung] for rung in range(climbs.rungs)]
    return scores, [np.zeros_like(one) for one in scores]


def take(climbs: Climbs, rung: int, to: Floats, scores: list[Floats], costs: list[Floats]) -> None:
    """Let each go from a rung to where it is sent; to the rung itself is to stop."""
    here, spent = scores[rung].copy(), costs[rung].copy()
    for other in range(rung + 1, climbs.rungs):
        sent = to == other
        here[sent] = scores[other][sent]
        spent[sent] = (costs[other] + climbs.steps[:, rung, other, None])[sent]
    scores[rung], costs[rung] = here, spent


def short_between(low: float, high: float) -> float:
    """A number above one and not above the other, of as few digits as will do."""
    middle = (low + high) / 2
    short = (round(middle, digits) for digits in range(1, 17))
    return next((one for one in short if low < one <= high), high)
