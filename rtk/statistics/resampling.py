"""The bootstrap over questions: an interval for any statistic that can be computed from weighted rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Clusters, Floats, clustered
from rtk.statistics.estimates import Estimate
from rtk.statistics.scoring import check_level

Statistic = Callable[[Floats], Any]
CELLS = 4_000_000
JACKKNIFED = 2000


def bootstrap(
    statistic: Statistic,
    clusters: int | Iterable[Hashable],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The interval of a statistic, by drawing whole questions with replacement and computing it again.

    The statistic is given weights, a matrix of draws × rows that says how often each row was drawn, and returns one
    figure a draw; so all draws are computed at once. A mean is `lambda w: w @ values / w.sum(axis=1)`, a ratio of
    sums `lambda w: (w @ right) / (w @ tokens)`. Rows of one question are drawn together, hence replicates do not
    narrow the interval by themselves.

    The interval is BCa (bias-corrected and accelerated: B. Efron, Journal of the American Statistical Association 82
    (1987), 171–185), the acceleration from leaving out one question at a time, with quantiles of Student's
    distribution times √(n / (n − 1)), without which it is too narrow for few questions (T. C. Hesterberg, The American
    Statistician 69 (2015), 371–386). For shares and means near 0 and 1 `mean` and `difference` cover better.

    * no question: the value is None and the interval reaches from −∞ to ∞: nothing is known.
    * one question, or a statistic that is the same in all draws: a point. It is no evidence of certainty.
    * draws in which the statistic is undefined (NaN) are left out; where it is undefined on the data, no value.
    * more than 2,000 questions: the acceleration is taken to be 0.

    Args:
        statistic: from weights of shape (draws, rows) to as many figures as draws; it must not change the weights.
        clusters: the question of each row; or a number of rows, each a question.
        level: confidence level, strictly between 0 and 1.
        draws: how many times the questions are drawn again.
        seed: the same seed gives the same interval, in every process.

    Returns:
        the estimate; its `size` is the number of questions.

    Raises:
        RTKError: a level outside (0, 1), fewer than 100 draws, or a statistic that does not give a figure a draw.
    """
    check_level(level)
    if draws < 100:
        raise RTKError(f"{draws} draws are too few for an interval", mend="pass draws=2000")
    groups = grouped(clusters)
    size = groups.sizes.size
    value = _figures(statistic, np.ones((1, groups.codes.size)))[0] if size else float("nan")
    if np.isnan(value):
        return Estimate(None, float("-inf"), float("inf"), size, level, "bootstrap")
    found = np.concatenate([_figures(statistic, weights) for weights in redrawn(groups, draws, seed)])
    found = found[~np.isnan(found)]
    if not found.size or np.ptp(found) == 0:
        return Estimate(float(value), float(value), float(value), size, level, "bootstrap")
    shares = _shares(found, value, _acceleration(statistic, groups), size, level)
    low, high = np.quantile(found, shares)
    return Estimate(float(value), min(float(low), value), max(float(high), value), size, level, "bootstrap")


def grouped(clusters: int | Iterable[Hashable]) -> Clusters:
    """The questions of rows whose number is that of the clusters."""
    if isinstance(clusters, int):
        return clustered(clusters, None)
    listed = list(clusters)
    return clustered(len(listed), listed)


def redrawn(groups: Clusters, draws: int, seed: int) -> Iterator[Floats]:
    """Weights of rows, some draws × rows at a time: how often each row's question was drawn."""
    random, size = np.random.default_rng(seed), groups.sizes.size
    step = max(1, CELLS // max(1, groups.codes.size))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        chosen = random.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
        yield counts[:, groups.codes] if groups.repeated else counts


def _figures(statistic: Statistic, weights: Floats) -> Floats:
    found = np.asarray(statistic(weights), dtype=np.float64)
    if found.shape != (weights.shape[0],):
        raise RTKError(
            f"the statistic gave figures of shape {found.shape} for weights of shape {weights.shape}",
            mend="return one figure a row of the weights, as in lambda w: w @ values / w.sum(axis=1)",
        )
    return found


def _acceleration(statistic: Statistic, groups: Clusters) -> float:
    """How fast the statistic's deviation changes with its value: from leaving out each question in turn."""
    size = groups.sizes.size
    if not 2 < size <= JACKKNIFED:
        return 0.0
    step = max(1, CELLS // groups.codes.size)
    without = np.concatenate(
        [
            _figures(statistic, (groups.codes[None, :] != np.arange(start, min(size, start + step))[:, None]) * 1.0)
            for start in range(0, size, step)
        ]
    )
    apart = np.nanmean(without) - without if not np.isnan(without).all() else np.zeros(1)
    squares = float(np.nansum(apart**2))
    return float(np.nansum(apart**3)) / (6 * squares**1.5) if squares > 0 else 0.0


def _shares(found: Floats, value: float, acceleration: float, size: int, level: float) -> list[float]:
    """Which quantiles of the draws are the ends."""
    from scipy.stats import t

    normal = NormalDist()
    below = float((found < value).mean() + (found == value).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5 / found.size), 1 - 0.5 / found.size))
    reach = float(t.ppf((1 + level) / 2, max(1, size - 1))) * sqrt(size / max(1, size - 1))
    ends = []
    for z in (bias - reach, bias + reach):
        slowed = 1 - acceleration * z
        ends.append(normal.cdf(bias + z / slowed) if slowed > 0 else float(z > 0))
    return ends
