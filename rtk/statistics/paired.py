"""Two programs on the same questions: the difference of two paired shares, and whether it could be chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt

from rtk.errors import RTKError
from rtk.statistics.estimates import Estimate
from rtk.statistics.proportions import proportion


def paired_difference(before: Sequence[bool], after: Sequence[bool], level: float = 0.95) -> Estimate:
    """The difference of two paired shares, `after − before`, with Newcombe's square-and-add score interval.

    With `p` the share after and `q` the share before, `l` and `u` their Wilson limits, and `φ` the correlation of the
    pairs, the interval reaches from `p − q − δ` to `p − q + ε`, where

        δ² = (p − l_p)² − 2φ(p − l_p)(u_q − q) + (u_q − q)²
        ε² = (u_p − p)² − 2φ(u_p − p)(q − l_q) + (q − l_q)²

    Of `n` pairs let `a` be right both times, `d` wrong both times, `b` and `c` right once. Then `φ` is
    `ad − bc`, less n/2 but not below 0 where it is above, over the root of the product of the four margins;
    0 where a margin is empty. The more alike the two answer, the narrower the interval.

    Source: R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998), 2635–2650, method 10.

    * no pair: the value is None and the interval is [−1, 1]: nothing is known.
    * one pair: the value is −1, 0 or 1, and the interval covers more than half of [−1, 1] at level 0.95.
    * no pair that differs: the value is 0, and the interval keeps a width.
    * all right, or all wrong, both times: the value is 0, and φ is 0.
    * all wrong before and all right after: the value is 1, and the low end stays below it.

    Swapping the two mirrors the estimate at 0.

    Args:
        before: whether each question was answered right, the first time.
        after: the same questions in the same order, the second time.
        level: confidence level, strictly between 0 and 1.

    Raises:
        RTKError: two sequences of different lengths, or a level outside (0, 1).
    """
    pairs = _pairs(before, after)
    size = pairs.total()
    p = proportion(pairs[True, True] + pairs[False, True], size, level)
    q = proportion(pairs[True, True] + pairs[True, False], size, level)
    if p.value is None or q.value is None:
        return Estimate(None, -1.0, 1.0, 0, level, "newcombe paired")
    value = (pairs[False, True] - pairs[True, False]) / size
    phi = _phi(pairs)
    low = value - _added(p.value - p.low, q.high - q.value, phi)
    high = value + _added(p.high - p.value, q.value - q.low, phi)
    return Estimate(value, max(-1.0, low), min(1.0, high), size, level, "newcombe paired")


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> float:
    """The two-sided p-value of McNemar's exact test: could the pairs that differ be tosses of a fair coin?

    Of the pairs right once, as many as are right after are held against the binomial distribution with chance 1/2.
    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947), 153–157, in its exact form. It is conservative: with fewer than six pairs that differ it
    never falls below 0.05.

    * no pair, or none that differs: 1.0, there is nothing to tell the two apart by.
    * one that differs: 1.0.
    * all n pairs differ the same way: 2 / 2ⁿ.

    Args:
        before: whether each question was answered right, the first time.
        after: the same questions in the same order, the second time.

    Raises:
        RTKError: two sequences of different lengths.
    """
    pairs = _pairs(before, after)
    won, lost = pairs[False, True], pairs[True, False]
    if not won + lost:
        return 1.0
    from scipy.stats import binomtest  # heavy: loaded on the first test, not with rtk

    return float(binomtest(won, won + lost, 0.5).pvalue)


def _pairs(before: Sequence[bool], after: Sequence[bool]) -> Counter[tuple[bool, bool]]:
    """How many questions were right or wrong before, and right or wrong after."""
    if len(before) != len(after):
        raise RTKError(
            f"{len(before)} answers before and {len(after)} after are no pairs",
            mend="pass the same questions in the same order, twice",
        )
    return Counter((bool(first), bool(second)) for first, second in zip(before, after, strict=True))


def _phi(pairs: Counter[tuple[bool, bool]]) -> float:
    """The correlation of the pairs, a positive one corrected for continuity; 0 where a margin is empty."""
    both, lost, won, neither = pairs[True, True], pairs[True, False], pairs[False, True], pairs[False, False]
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if not margins:
        return 0.0
    product = both * neither - lost * won
    if product > 0:
        product = max(product - pairs.total() / 2, 0.0)
    return product / sqrt(margins)


def _added(one: float, other: float, phi: float) -> float:
    """Two distances added as the sides of a triangle, which the correlation narrows."""
    return sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))
