"""What a chooser makes of k samples, averaged over all choices of k from the n that were drawn."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from math import comb
from typing import Any, overload

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Floats, numbers

LARGE = 1000
Shape = tuple[tuple[int, float], ...]
"""The clusters of one question: how many samples each has, and how right they are."""


@overload
def majority_at_k(labels: Iterable[Hashable | None], right: Iterable[Any], k: int) -> float | None: ...
@overload
def majority_at_k(labels: Iterable[Hashable | None], right: Iterable[Any], k: Sequence[int]) -> list[float | None]: ...
def majority_at_k(
    labels: Iterable[Hashable | None], right: Iterable[Any], k: int | Sequence[int]
) -> float | list[float | None] | None:
    """How often the majority vote of k samples is right, exactly, over all k of the n samples in all orders.

    The vote is rtk's: the largest cluster wins, and of equally large ones that which was seen first, with the answer
    of its earliest member. In a random order each of the tied clusters is first equally often, and so is each member
    of the winner; hence ties are shared evenly, and a cluster counts with the mean of its members' scores.

    With `c_l` samples in cluster `l`, the draws in which no cluster has more than j samples and t clusters have
    exactly j are counted by a product of one polynomial a cluster, whose powers count what was drawn:

        Σ_j Σ_t 1/t · [xᵏ uᵗ] Σ_tied score · Π_l (Σ_{i<j} C(c_l, i) xⁱ + u C(c_l, j) xʲ)  /  C(n, k)

    No draw is enumerated or simulated. One pass gives every k up to the largest asked for, so ask for a curve at once.

    * `n < k`: undefined, hence None; so also with no samples at all. Nothing is extrapolated.
    * k = 1: the mean score of the samples, an abstention counting as 0.
    * k = n: whether the vote on all is right, ties shared evenly.
    * an abstention is drawn like any sample and votes for nobody; a draw of abstentions alone counts 0.
    * all in one cluster: its mean score, whatever k.

    Args:
        labels: the cluster of each sample (any hashable value); None or NaN where it abstains.
        right: how right each sample is, in [0, 1] or as a bool; what abstentions have is not looked at.
        k: votes that a user would pay for, at least 1; or several such numbers, for a list of results.

    Raises:
        RTKError: labels and scores of different lengths, a score outside [0, 1], or k below 1.
    """
    many, ks = _several(k)
    members: dict[Hashable, list[float]] = {}
    paired = _paired(labels, right)
    for label, score in paired:
        if label is not None and label == label:
            members.setdefault(label, []).append(_checked(score))
    shape = tuple(sorted((len(of), sum(of) / len(of)) for of in members.values()))
    found = _majority(shape, len(paired), ks)
    return found if many else found[0]


@overload
def best_of_k(scores: Iterable[float | None], right: Iterable[Any], k: int) -> float | None: ...
@overload
def best_of_k(scores: Iterable[float | None], right: Iterable[Any], k: Sequence[int]) -> list[float | None]: ...
def best_of_k(
    scores: Iterable[float | None], right: Iterable[Any], k: int | Sequence[int]
) -> float | list[float | None] | None:
    """How often the best-scored of k samples is right, exactly, over all k of the n samples.

    The highest score of a draw lies in the group g of samples with the same score with the chance

        (C(n_≤g, k) − C(n_<g, k)) / C(n, k)

    where `n_≤g` samples score as low or lower and `n_<g` lower; then each of the group is taken equally often.

    * `n < k`: undefined, hence None; so also with no samples at all.
    * k = 1: the mean of `right`.
    * k = n: how right the best-scored sample is; the mean of them where several share the score.
    * a sample without a score (None or NaN) comes last: it is taken only where no sample drawn has one.

    Args:
        scores: of the verifier or judge, one for each sample; None where it gave none.
        right: how right each sample is, in [0, 1] or as a bool.
        k: samples that a user would pay for, at least 1; or several such numbers, for a list of results.

    Raises:
        RTKError: two sequences of different lengths, a `right` outside [0, 1], or k below 1.
    """
    many, ks = _several(k)
    groups: dict[float, list[float]] = {}
    paired = _paired(scores, right)
    for score, one in paired:
        known = float("-inf") if score is None or score != score else float(score)
        groups.setdefault(known, []).append(_checked(one))
    ranked = [groups[score] for score in sorted(groups)]
    found = [_best(ranked, len(paired), one) for one in ks]
    return found if many else found[0]


def _several(k: int | Sequence[int]) -> tuple[bool, list[int]]:
    many = not isinstance(k, (int, np.integer))
    ks = [int(one) for one in k] if many else [int(k)]  # type: ignore[union-attr]
    if any(one < 1 for one in ks):
        raise RTKError(f"a choice among {min(ks)} samples has no meaning", mend="pass k of 1 or more")
    return many, ks


def _paired(samples: Iterable[Any], right: Iterable[Any]) -> list[tuple[Any, float]]:
    listed, known = list(samples), numbers(right, "'right'").tolist()
    if len(listed) != len(known):
        raise RTKError(f"{len(listed)} samples and {len(known)} scores", mend="pass one score for each sample")
    return list(zip(listed, known, strict=True))


def _checked(score: float) -> float:
    if not 0 <= score <= 1:
        raise RTKError(
            f"a sample's score of {score:g} is not in [0, 1]", mend="pass a bool, or a share, for each sample"
        )
    return score


def _best(ranked: list[list[float]], n: int, k: int) -> float | None:
    if n < k:
        return None
    below, total, all_ways, lower = 0, 0.0, comb(n, k), 0
    for group in ranked:
        below += len(group)
        ways = comb(below, k)
        total += (ways - lower) / all_ways * (sum(group) / len(group))
        lower = ways
    return min(1.0, total)


def _majority(shape: Shape, n: int, ks: list[int]) -> list[float | None]:
    """The mean for several k; beyond what a double can hold, each by itself."""
    asked = [k for k in ks if k <= n]
    if n > LARGE:
        found = {k: _curve(shape, n, k, min(k / n, 0.999))[k] for k in asked}
    else:
        found = dict(enumerate(_curve(shape, n, max(asked), 0.5))) if asked else {}
    return [found.get(k) for k in ks]


@lru_cache(maxsize=4096)
def _curve(shape: Shape, n: int, top: int, theta: float) -> tuple[float, ...]:
    """The mean for k = 0 … top. The chance `theta` only keeps the numbers in range: it cancels."""
    total = np.zeros(top + 1)
    for level in range(1, min(top, max((count for count, _ in shape), default=0)) + 1):
        tall = [one for one in shape if one[0] >= level]
        low = n - sum(count for count, _ in tall)  # abstentions, and clusters too small to win at this level
        total += _level(tall, low, level, top, theta)
    with np.errstate(invalid="ignore", divide="ignore"):  # of k that are not asked for, where n is large
        return tuple(np.minimum(1.0, total / _chances(n, top, theta)).tolist())


def _level(tall: list[tuple[int, float]], low: int, level: int, top: int, theta: float) -> Floats:
    """What the draws add in which the largest clusters have exactly `level` samples.

    Two polynomials in x by powers of u, as rows padded so that one convolution serves them all: in `state[0]` how many
    draws there are, in `state[1]` the sum of the tied clusters' scores in them.
    """
    state = np.zeros((2, 1, top + 1 + level))
    state[0, 0, : top + 1] = _chances(low, top, theta)
    for count, score in tall:
        chances = _chances(count, level, theta)
        ties, width = state.shape[1], state.shape[2]
        grown = np.zeros((2, min(ties + 1, top // level + 1), width))
        kept = np.convolve(state.ravel(), chances[:level])[: state.size].reshape(state.shape)
        grown[:, :ties] = kept[:, : grown.shape[1]]
        tied = state[:, : grown.shape[1] - 1, : top + 1 - level] * chances[level]
        tied[1] += score * tied[0]
        grown[:, 1:, level : top + 1] += tied
        grown[:, :, top + 1 :] = 0
        state = grown
    return (state[1, 1:, : top + 1] / np.arange(1, state.shape[1])[:, None]).sum(axis=0)


@lru_cache(maxsize=4096)
def _chances(count: int, top: int, theta: float) -> Floats:
    """The binomial coefficients of `count` over 0 … top, each with its powers of theta and 1 − theta."""
    from scipy.stats import binom

    return np.asarray(binom.pmf(np.arange(top + 1), count, theta))
