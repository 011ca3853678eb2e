"""How sure a passage is the right one: how well it matches the question, and how far it is ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNRIVALLED = 0.5
"""The share of a confidence that depends on how far a passage is ahead of the others."""


@dataclass(frozen=True)
class Ranking:
    """What one engine says of all passages for one question.

    Attributes:
        scores: shape (passages,); above 0 where a passage was found.
        match: of a passage, from 0 to 1, how much of the question it meets: comparable between questions.
    """

    scores: np.ndarray
    match: Callable[[int], float]

    def margin(self, index: int) -> float:
        """How far a passage is ahead of the best other one, as a share of its score: from 0 to 1."""
        score = float(self.scores[index])
        first, second = self._two_best
        rival = second if score >= first else first
        return max(0.0, score - max(rival, 0.0)) / score if score > 0 else 0.0

    @cached_property
    def _two_best(self) -> tuple[float, float]:
        if len(self.scores) < 2:
            return float(self.scores[0]), 0.0
        second, first = np.partition(self.scores, len(self.scores) - 2)[-2:]
        return float(first), float(second)


def confidence(rankings: Sequence[Ranking], index: int) -> float:
    """From 0 to 1: the mean over the engines of `match · (½ + ½ · margin)`."""
    sure = [
        one.match(index) * (1 - UNRIVALLED + UNRIVALLED * one.margin(index)) if one.scores[index] > 0 else 0.0
        for one in rankings
    ]
    return min(1.0, max(0.0, sum(sure) / len(sure)))
