"""Orders of attempts, and what the votes on their beginnings come to: whole numbers in arrays, all orders at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from rtk.answers import Cluster, Vote, stopping

Array = np.ndarray[Any, Any]


def orders_of(pools: range, size: int, count: int, seed: int = 0) -> Array:
    """Orders of the attempts of some pools: first the one in which they were drawn, then random ones.

    Random orders come in sets of `size` that are turns of one another, so that in each set every attempt stands in
    every place once; each by itself is any order with the same chance. The first k of one are a random choice of k.

    Args:
        pools: their numbers; the orders of a pool depend on its number and the seed alone.
        size: attempts of each.
        count: random orders of each.
        seed: other orders.

    Returns:
        Places in the pool, of shape pools × (1 + count) × size.
    """
    turns = (np.arange(size)[None, :] + np.arange(size)[:, None]) % size
    found = np.empty((len(pools), 1 + count, size), dtype=np.int32)
    found[:, 0] = np.arange(size)
    for place, pool in enumerate(pools):
        random = np.random.default_rng([seed, pool])
        shuffled = random.permuted(np.tile(np.arange(size), (ceil(count / size), 1)), axis=1)
        found[place, 1:] = shuffled[:, turns].reshape(-1, size)[:count]
    return found


@dataclass(frozen=True, eq=False)
class Beginnings:
    """The vote on the first k attempts of every order, at `[..., k - 1]`: arrays of pools × orders × size.

    Attributes:
        first: votes for the leader, the largest cluster, of equals the one with the earliest answer.
        second: votes for the next one.
        early: whether the leader's earliest answer comes before that of the next one.
        leader: the place in the order of the leader's earliest answer; -1 where all abstain.
        votes: answers that count.
        run: how many answers, back from the last one, are in one cluster.
    """

    first: Array
    second: Array
    early: Array
    leader: Array
    votes: Array
    run: Array


def beginnings(labels: Array) -> Beginnings:
    """Count the votes of all beginnings.

    Args:
        labels: the cluster of each answer in order, -1 where it abstains; pools × orders × size.
    """
    *shape, size = labels.shape
    flat, step = labels.reshape(-1, size), size + 1
    rows, several = np.arange(len(flat)), max(2, int(labels.max(initial=0)) + 1)
    # A cluster's standing is its votes, and among equals how early it began: one number, of which the largest leads.
    standing = np.zeros((len(flat), several), dtype=np.int32)
    found = {
        name: np.zeros((len(flat), size), dtype=np.int16) for name in ("first", "second", "leader", "votes", "run")
    }
    early, last = np.zeros((len(flat), size), dtype=bool), np.full(len(flat), -1)
    for k in range(size):
        label = flat[:, k]
        here = np.flatnonzero(label >= 0)
        own = standing[here, label[here]]
        standing[here, label[here]] = own + step + np.where(own == 0, size - k, 0)
        leader = standing.argmax(axis=1)
        best = standing[rows, leader]
        standing[rows, leader] = -1
        second = standing.max(axis=1)
        standing[rows, leader] = best
        found["first"][:, k], found["second"][:, k] = best // step, second // step
        found["leader"][:, k] = np.where(best > 0, size - best % step, -1)
        early[:, k] = best % step > second % step
        before = found["run"][:, k - 1] if k else 0
        found["run"][:, k] = np.where(label >= 0, np.where(label == last, before + 1, 1), 0)
        found["votes"][:, k] = (found["votes"][:, k - 1] if k else 0) + (label >= 0)
        last = label
    early |= found["second"] == 0
    whole = {name: values.reshape(*shape, size) for name, values in found.items()}
    return Beginnings(early=early.reshape(*shape, size), **whole)


def stops(
    votes: Beginnings, whole: Array, samples: int, rule: str, certainty: float | None, window: int | None
) -> Array:
    """How many attempts a stopping rule of `rtk.answers` looks at in each order; pools × orders.

    The rule is asked as the strategy asks it, only once for each state that occurs: the votes of the first two, how
    many may still come, and whether the last window agrees.

    Args:
        votes: of all beginnings.
        whole: whether the first k attempts of an order are different samples, at `[..., k - 1]`.
        samples: how many attempts there are at most.
        rule: its name.
        certainty: its level; None for its own.
        window: its size; None for its own.
    """
    needed = _asked(rule, certainty, window, samples)
    span = _window(rule, window)
    seen = np.full(votes.first.shape[:-1], needed(0, 0, True, False, 0), dtype=np.int64)
    going = np.ones(seen.shape, dtype=bool)
    while True:
        going &= seen < samples
        at = (*np.nonzero(going), seen[going] - 1)
        keep = whole[at]
        going[going] = keep
        at = tuple(one[keep] for one in at)
        if not len(at[0]):
            return seen
        shape = (samples + 1, samples + 1, 2, 2, samples + 1)
        parts = (votes.first[at], votes.second[at], votes.early[at], votes.run[at] >= span, at[-1] + 1)
        states, which = np.unique(
            np.ravel_multi_index([one.astype(np.int64) for one in parts], shape), return_inverse=True
        )
        told = zip(*(one.tolist() for one in np.unravel_index(states, shape)), strict=True)
        more = np.array([needed(first, second, bool(c), bool(d), size) for first, second, c, d, size in told])[which]
        seen[going] += more
        going[going] = more > 0


def _window(rule: str, window: int | None) -> int:
    """The size of a window: what the rule wants of nothing."""
    return _asked(rule, None, window, 10**6)(0, 0, True, False, 0) if rule == "window" else 1


def _asked(
    rule: str, certainty: float | None, window: int | None, samples: int
) -> Callable[[int, int, bool, bool, int], int]:
    """The rule as a function of votes for the first two, which began first, whether the last agree, and how many."""
    asked, window_rule = stopping(rule, certainty, window), rule == "window"

    def needed(first: int, second: int, early: bool, agree: bool, size: int) -> int:
        if window_rule:
            clusters = [tuple(range(size))] if agree else []
        else:
            one, other = range(first), range(first, first + second)
            if not early:
                one, other = range(second, first + second), range(second)
            clusters = [tuple(members) for members in (one, other) if members]
        told = tuple(Cluster("", members, 0.0, 0.0) for members in clusters)
        return asked(Vote(None, None, told, {}, 0.0, 0.0, 0, size, {}), samples - size)

    return needed
