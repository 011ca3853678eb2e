"""The difference of two programs' mean scores on the same questions, replicated or not, with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from statistics import NormalDist
from typing import Any

import numpy as np

from rtk.statistics.clusters import all_or_nothing, clustered, paired_scores
from rtk.statistics.estimates import Estimate
from rtk.statistics.scoring import check_level, score_limits


def difference(
    before: Iterable[Any], after: Iterable[Any], clusters: Iterable[Hashable] | None = None, level: float = 0.95
) -> Estimate:
    """The difference of two mean scores over the same questions, `after − before`, with a paired score interval.

    A question counts once, with the mean over its rows of `after − before`; the interval rests on how that varies from
    question to question, hence it is the narrower, the more alike the two answer. It is the interval of a score test
    (see `scoring.py`) on a scale from −r to r, where r is the largest difference of any question. Right or wrong with
    one row a question gives Tango's interval (T. Tango, Statistics in Medicine 17 (1998), 891–908), which in simulated
    comparisons near 0 and 1 covers nearer to 95 % than Newcombe's (`paired_difference`), and is narrower there.

    * no row: the value is None and the interval is [−1, 1]: nothing is known.
    * no question on which they differ: the value is 0, and the interval reaches z²/(n + z²) to either side.
    * all questions differ alike (one question, for instance): the scale is from −1 to 1, and the interval leaves open
      what z²/(n + z²) of other questions might do.
    * all wrong before and all right after: the value is 1, and the low end stays below it.

    Swapping the two mirrors the estimate at 0.

    Args:
        before: one score a row, in [0, 1]; bools count as 0 and 1.
        after: the same rows (question and replicate) in the same order, the second time.
        clusters: the question of each row; without it every row is a question.
        level: confidence level, strictly between 0 and 1.

    Returns:
        the estimate; its `size` is the number of questions.

    Raises:
        RTKError: two sequences of different lengths, a score that is missing or outside [0, 1], not as many clusters
            as rows, or a level outside (0, 1).
    """
    check_level(level)
    first, second = paired_scores(before, after)
    groups = clustered(first.size, clusters)
    moves = groups.means(second - first)
    plain = not groups.repeated and all_or_nothing(first) and all_or_nothing(second)
    method = "tango" if plain else "paired score"
    if not moves.size:
        return Estimate(None, -1.0, 1.0, 0, level, method)
    value, reach = float(moves.mean()), float(np.abs(moves).max())
    if np.ptp(moves) <= ROUNDING:
        moves, reach = np.full(moves.size, value), 1.0
    low, high = score_limits(moves, -reach, reach, -NormalDist().inv_cdf((1 - level) / 2))
    return Estimate(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), moves.size, level, method)


ROUNDING = 1e-12
