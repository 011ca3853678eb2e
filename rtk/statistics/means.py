"""The mean score over questions, which may have several replicates each, with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from statistics import NormalDist
from typing import Any

from rtk.statistics.clusters import all_or_nothing, clustered, scores
from rtk.statistics.estimates import Estimate
from rtk.statistics.proportions import proportion
from rtk.statistics.scoring import check_level, score_limits


def mean(values: Iterable[Any], clusters: Iterable[Hashable] | None = None, level: float = 0.95) -> Estimate:
    """The mean score over questions, each counted once, with a score interval that only needs the questions to differ.

    Replicates of a question are averaged first; the interval rests on how the questions' means vary, so that ten
    replicates of twenty questions are twenty observations, not two hundred. It is the interval of a score test on the
    scale from 0 to 1 (see `scoring.py` for the formula and its sources). Bools, or 0 and 1, with one row a question
    have Wilson's interval, exactly that of `proportion`.

    It has no t-quantile, and none is missing: simulated 95 % intervals cover about 95 times in 100 from 20 questions
    on, also where almost all are right or wrong (`benchmarks/interval_coverage.py`).

    * no row: the value is None and the interval is [0, 1]: nothing is known.
    * all 0 or all 1: Wilson's interval of as many questions, whatever the number of replicates.
    * one question, or several all alike: the interval leaves open what z²/(n + z²) of other questions might score.

    Args:
        values: one score a row, in [0, 1]; bools count as 0 and 1.
        clusters: the question of each row (any hashable value); without it every row is a question.
        level: confidence level, strictly between 0 and 1.

    Returns:
        the estimate; its `size` is the number of questions.

    Raises:
        RTKError: a score that is missing or outside [0, 1], not as many clusters as rows, a level outside (0, 1).
    """
    check_level(level)
    array = scores(values)
    groups = clustered(array.size, clusters)
    means = groups.means(array)
    if all_or_nothing(means):
        return proportion(int(means.sum()), means.size, level)
    value = float(means.mean())
    low, high = score_limits(means, 0.0, 1.0, -NormalDist().inv_cdf((1 - level) / 2))
    return Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)), means.size, level, "score")
