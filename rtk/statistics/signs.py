"""Could the difference of two programs on the same questions be chance: the exact test, replicated or not."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np

from rtk.statistics.clusters import Floats, Ints, clustered, paired_scores

DRAWS = 99_999
FINEST, STEPS, HALVES, SMALL = 1000, 300_000_000, 36, 8
ROUNDING = 1e-9


def p_value(
    before: Iterable[Any], after: Iterable[Any], clusters: Iterable[Hashable] | None = None, mid: bool = False
) -> float:
    """The two-sided p-value of a paired difference: how often tosses of a coin part the two as far as they are.

    If the two programs are alike, then for each question it is a toss which of them did which of its rows. So the sign
    of each question's mean difference is flipped or left in all 2ⁿ ways, and the p-value is the share of them whose
    sum is as far from 0 as the one seen, or farther. With right or wrong and one row a question that is McNemar's
    exact test, as `mcnemar` gives it. Source: R. A. Fisher, "The Design of Experiments" (1935), section 21;
    E. J. G. Pitman, Supplement to the Journal of the Royal Statistical Society 4 (1937), 119–130.

    It is exact where the differences are fractions of one not too fine grid (as with any number of replicates), by
    adding up the distribution of the sum question by question; and with up to 36 questions that differ, by counting.
    Else, with finely graded scores, it is simulated: (b + 1) / (m + 1) of m = 99,999 seeded draws, which keeps the
    test's level (B. Phipson and G. K. Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010), 39).

    * no row, or no question on which they differ: 1.0, there is nothing to tell the two apart by.
    * one question that differs: 1.0; fewer than six never give less than 0.05.
    * all n that differ go the same way: 2 / 2ⁿ.

    Args:
        before: one score a row, in [0, 1]; bools count as 0 and 1.
        after: the same rows (question and replicate) in the same order, the second time.
        clusters: the question of each row; without it every row is a question.
        mid: count what is exactly as far as seen by half. The exact test is conservative where few questions differ;
            its mid-p-value is uniform on average, and seldom below its level too often (M. W. Fagerland, S. Lydersen,
            P. Laake, BMC Medical Research Methodology 13 (2013), 91). Say so where you report it.

    Raises:
        RTKError: two sequences of different lengths, a score that is missing or outside [0, 1], not as many clusters
            as rows.
    """
    first, second = paired_scores(before, after)
    moves = clustered(first.size, clusters).means(second - first)
    moves = moves[np.abs(moves) > ROUNDING]
    if not moves.size:
        return 1.0
    whole = _whole(moves)
    if whole is not None and whole.size * int(np.abs(whole).sum()) <= STEPS:
        farther, equal = _added(whole)
    elif moves.size <= HALVES:
        farther, equal = _counted(moves)
    else:
        farther, equal = _simulated(moves)
    return min(1.0, farther + equal / 2 if mid else farther + equal)


def _whole(moves: Floats) -> Ints | None:
    """The moves as multiples of their common grid; None where it is too fine."""
    grid = 1
    kinds = np.unique(np.abs(moves))
    for kind in kinds.tolist() if kinds.size <= FINEST else [0.5**0.5]:
        near = Fraction(kind).limit_denominator(FINEST)
        grid = lcm(grid, near.denominator)
        if abs(float(near) - kind) > ROUNDING or grid > FINEST**2:
            return None
    return np.rint(moves * grid).astype(np.int64)


def _added(moves: Ints) -> tuple[float, float]:
    """The chances that the sum of moves with random signs is farther from 0 than seen, and as far."""
    from scipy.stats import binom

    moves = moves // int(np.gcd.reduce(moves))
    chances = np.ones(1)  # of the sum of those moves that are positive
    for size, count in zip(*np.unique(np.abs(moves), return_counts=True), strict=True):
        if size <= SMALL:
            together = np.zeros(count * size + 1)
            together[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
            chances = np.convolve(chances, together)
            continue
        for _ in range(count):
            grown = np.zeros(chances.size + size)
            grown[: chances.size] += chances / 2
            grown[size:] += chances / 2
            chances = grown
    seen, distances = abs(int(moves.sum())), np.abs(2 * np.arange(chances.size) - (chances.size - 1))
    return float(chances[distances > seen].sum()), float(chances[distances == seen].sum())


def _counted(moves: Floats) -> tuple[float, float]:
    """The same shares of all ways, from the sums of either half."""
    half = moves.size // 2
    left, right = _sums(moves[:half]), np.sort(_sums(moves[half:]))
    seen, slack = abs(float(moves.sum())), ROUNDING * float(np.abs(moves).sum())
    ways = [
        int((right.size - np.searchsorted(right, bound - left, side="left")).sum())
        for bound in (seen - slack, seen + slack)
    ]
    total = left.size * right.size
    sides = 2 if seen > slack else 1
    least, farther = ways[0] / total, ways[1] / total
    return (2 * farther, 2 * (least - farther)) if sides == 2 else (2 * farther, 1 - 2 * farther)


def _sums(moves: Floats) -> Floats:
    sums = np.zeros(1)
    for one in moves.tolist():
        sums = np.concatenate([sums + one, sums - one])
    return sums


def _simulated(moves: Floats) -> tuple[float, float]:
    """The same shares of seeded draws; the one that was seen counts as one more draw."""
    random, width = np.random.default_rng(0), -(-moves.size // 8)
    seen, slack = abs(float(moves.sum())), ROUNDING * float(np.abs(moves).sum())
    step, farther, equal = max(1, 1_000_000 // moves.size), 0, 0
    for start in range(0, DRAWS, step):
        count = min(step, DRAWS - start)
        bits = np.unpackbits(np.frombuffer(random.bytes(count * width), np.uint8).reshape(count, width), axis=1)
        sums = np.abs(2 * (bits[:, : moves.size] @ moves) - moves.sum())
        farther += int((sums > seen + slack).sum())
        equal += int((np.abs(sums - seen) <= slack).sum())
    return farther / (DRAWS + 1), (equal + 1) / (DRAWS + 1)
