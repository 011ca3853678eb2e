"""A policy played on many pools in many orders at once, or, where it holds a function of votes, one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.answers import Abstention, vote
from rtk.experiments.replays.counting import Table, numeric
from rtk.experiments.replays.middles import may_be, middles, nearest
from rtk.experiments.replays.orders import Array, stops
from rtk.experiments.replays.policies import HEADS, Policy, meaning, played

SLOW = 16  # random orders of what is played one by one
TIE = 1e-9  # weights that differ by less, as a part of the larger, are added up exactly


@dataclass(frozen=True, eq=False)
class Plays:
    """What a policy makes of pools in orders: arrays of pools × orders, NaN in scores where it was not played.

    Attributes:
        seen: attempts that it looked at.
        place: the attempt that stands for the answer, by its place in the pool; -1 where it abstains.
        score: how right the answer is.
        confidence: the winner's share of the votes; NaN where there is none.
        made: answers that no attempt gave, by pool and order; None for one that is wrong and was not written out.
    """

    seen: Array
    place: Array
    score: Array
    confidence: Array
    made: dict[tuple[int, int], Any]


def play(policy: Policy, table: Table, samples: int) -> Plays:
    """Play a policy.

    Args:
        policy: any.
        table: the pools, in orders of which the first is the one they were drawn in.
        samples: how many attempts at most; no more than the table holds.
    """
    if policy.vote == "best":
        return _best(policy, table, samples)
    slow = np.ones(len(table.pools), dtype=bool)
    found = _nothing(table)
    if not policy.exactly:
        found = _voted(policy, table, samples)
        slow = table.labels(policy.extract, meaning(policy, table.comparer), numeric(policy.vote))[1]
        if numeric(policy.vote):
            slow = slow | np.array([one is None for one in table.whole_numbers(policy.extract)])
    return _one_by_one(policy, table, samples, found, slow) if slow.any() else found


def _nothing(table: Table) -> Plays:
    shape = table.orders.shape[:2]
    nowhere, unknown = np.full(shape, -1), np.full(shape, np.nan)
    return Plays(np.zeros(shape, dtype=np.int64), nowhere, unknown.copy(), unknown, {})


def _voted(policy: Policy, table: Table, samples: int) -> Plays:
    seen = _seen(policy, table, samples)
    place, confidence, made = _elected(policy, table, seen, samples)
    scores = table.scores(policy.extract)
    score = np.where(place < 0, 0.0, np.take_along_axis(scores, np.maximum(place, 0), axis=1))
    for at, answer in made.items():
        score[at] = table.right(at[0], answer)
    return _above(policy, Plays(seen, place, score, confidence, made))


def _above(policy: Policy, found: Plays) -> Plays:
    """Abstain where the confidence is below the threshold."""
    if policy.threshold is None:
        return found
    low = ~(found.confidence >= policy.threshold)
    made = {at: one for at, one in found.made.items() if not low[at]}
    place, score = np.where(low, -1, found.place), np.where(low, 0.0, found.score)
    return Plays(found.seen, place, score, found.confidence, made)


def _seen(policy: Policy, table: Table, samples: int) -> Array:
    if policy.stop is None:
        return np.full(table.orders.shape[:2], samples)
    comparer, rule = meaning(policy, table.comparer), (policy.stop, policy.certainty, policy.window)
    votes = table.votes(policy.extract, comparer)
    key = "stops", policy.extract, comparer, samples, rule
    return table.once(key, lambda: stops(votes, table.whole, samples, *rule))


# --- votes ---


def _elected(policy: Policy, table: Table, seen: Array, samples: int) -> tuple[Array, Array, dict[Any, Any]]:
    if numeric(policy.vote):
        return _middle(policy, table, samples)
    if policy.vote in HEADS:
        votes = table.votes(policy.extract, meaning(policy, table.comparer), distinct=True)
        at = (seen - 1)[..., None]
        leader, first, counted = (
            np.take_along_axis(one, at, axis=2)[..., 0] for one in (votes.leader, votes.first, votes.votes)
        )
        place = _in_pool(table, leader)
        if policy.vote == "medoid":
            key = "medoid", policy.extract, samples, policy.stop, policy.certainty, policy.window
            place = table.once(key, lambda: _medoids(policy, table, seen, place))
        return place, _share(first, counted), {}
    leader, label = _heaviest(policy, table, samples)
    voting = table.voting(policy.extract, table.comparer)[..., :samples]
    votes = (voting == label[..., None]).sum(axis=2)
    return _in_pool(table, leader), _share(votes, (voting >= 0).sum(axis=2)), {}


def _in_pool(table: Table, at: Array) -> Array:
    """Places in the pool of places in the orders; -1 stays."""
    found = np.take_along_axis(table.orders, np.maximum(at, 0)[..., None].astype(np.int64), axis=2)[..., 0]
    return np.where(at < 0, -1, found)


def _share(votes: Array, counted: Array) -> Array:
    return np.where(counted > 0, votes / np.maximum(counted, 1), np.nan)


def _heaviest(policy: Policy, table: Table, samples: int) -> tuple[Array, Array]:
    """The place in the order of the heaviest cluster's earliest answer, and the cluster; -1 where all abstain."""
    key = "heaviest", policy.vote, policy.weight, policy.extract, samples
    return table.once(key, lambda: _heaviest_of(policy, table, samples))


def _heaviest_of(policy: Policy, table: Table, samples: int) -> tuple[Array, Array]:
    voting = table.voting(policy.extract, table.comparer)[..., :samples]
    weights = table.ordered(table.weights(policy.vote, policy.weight))[..., :samples]
    weights = np.where(voting >= 0, weights, 0.0)
    weights = np.where(weights.sum(axis=2, keepdims=True) > 0, weights, 1.0)
    clusters = np.arange(max(1, int(voting.max(initial=0)) + 1))
    sums, first = (np.zeros((*voting.shape[:2], len(clusters))) for _ in range(2))
    first += samples
    for k in range(samples):
        mine = voting[..., k, None] == clusters
        sums += mine * weights[..., k, None]
        first = np.where(mine, np.minimum(first, k), first)
    sums[first == samples] = -1.0
    largest = sums.max(axis=2, keepdims=True)
    tied = sums >= largest - TIE * np.abs(largest)
    label = np.where(tied, first, np.inf).argmin(axis=2)
    for at in zip(*np.nonzero(tied.sum(axis=2) > 1), strict=True):
        label[at] = _exactly(voting[at], weights[at], first[at], np.flatnonzero(tied[at]))
    leader = np.take_along_axis(first, label[..., None], axis=2)[..., 0].astype(np.int64)
    nobody = leader == samples
    return np.where(nobody, -1, leader), np.where(nobody, -2, label)


def _exactly(voting: Array, weights: Array, first: Array, tied: Array) -> int:
    """The heaviest of clusters of about one weight, added up as a vote does."""
    sums = {int(one): math.fsum(weights[voting == one]) for one in tied}
    return min(sums, key=lambda one: (-sums[one], first[one]))


def _middle(policy: Policy, table: Table, samples: int) -> tuple[Array, Array, dict[Any, Any]]:
    """Means and medians; the same whatever the threshold."""
    key = "middle", policy.vote, policy.trim, policy.extract, samples
    return table.once(key, lambda: _middle_of(policy, table, samples))


def _middle_of(policy: Policy, table: Table, samples: int) -> tuple[Array, Array, dict[Any, Any]]:
    place, confidence, made = np.full(table.orders.shape[:2], -1), np.full(table.orders.shape[:2], np.nan), {}
    voting = table.voting(policy.extract, table.comparer, numbers=True)[..., :samples]
    for pool, answers in enumerate(table.answers(policy.extract)):
        whole = table.whole_numbers(policy.extract)[pool]
        if whole is None:
            continue  # played one by one
        order, labels = table.orders[pool, :, :samples], voting[pool]
        values, counted = whole[0][order], labels >= 0
        total, of = middles(values, counted, policy.vote, policy.trim)
        at, own = nearest(values, counted, total, of)
        some = counted.any(axis=1)
        place[pool] = np.where(some, np.take_along_axis(order, at[:, None], axis=1)[:, 0], -1)
        mine = labels == np.take_along_axis(labels, at[:, None], axis=1)
        share = (mine & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        confidence[pool] = np.where(some, np.where(own, share, 0.0), np.nan)
        written = may_be(total, of, whole[1], table.gold(pool)) | callable(table.comparer)
        written[0] = True
        for number in np.flatnonzero(some & ~own):
            made[pool, int(number)] = None
            if written[number]:
                told: Any = [answers[one] for one in order[number][counted[number]]]
                made[pool, int(number)] = vote(told, rule=policy.vote, trim=policy.trim, comparer="exact").winner
    return place, confidence, made


def _medoids(policy: Policy, table: Table, seen: Array, place: Array) -> Array:
    """The winners of free-text votes: the members of the largest clusters that are most like their others."""
    voting, found = table.voting(policy.extract, meaning(policy, table.comparer)), place.copy()
    texts = table.texts(policy.extract)
    for pool in range(len(table.pools)):
        alike = table.alike(policy.extract, pool)
        for number in np.flatnonzero(place[pool] >= 0):
            size = int(seen[pool, number])
            labels, order = voting[pool, number, :size], table.orders[pool, number, :size]
            counted = order[labels >= 0]
            if len(np.unique(texts[pool, counted])) > 1:
                found[pool, number] = _medoid(counted.tolist(), labels[labels >= 0].tolist(), texts[pool], alike)
    return found


def _medoid(counted: list[int], labels: list[int], texts: Array, alike: Callable[[int, int], float]) -> int:
    sizes = Counter(labels)
    largest = [label for label in sizes if sizes[label] == max(sizes.values())]  # the earliest first
    found = []
    for label in largest:
        members = [one for one, own in zip(counted, labels, strict=True) if own == label]
        found.append(_most_alike(members, members, texts, alike))
    return found[0] if len(found) == 1 else _most_alike(sorted(found, key=counted.index), counted, texts, alike)


def _most_alike(of: list[int], to: list[int], texts: Array, alike: Callable[[int, int], float]) -> int:
    """The one most like some others, by the sum of its similarities to them; of several such the earliest."""
    counts = Counter(int(texts[one]) for one in to)
    stands = {int(texts[one]): one for one in to}
    sums: dict[int, float] = {}
    for one in of:
        code = int(texts[one])
        if code not in sums:
            sums[code] = math.fsum(count * alike(one, stands[other]) for other, count in counts.items())
    return max(of, key=lambda one: sums[int(texts[one])])


# --- the best of many ---


def _best(policy: Policy, table: Table, samples: int) -> Plays:
    """The attempt with the highest reward, as `rtk.BestOfN` takes it."""
    rewards = table.rewards(policy.weight)
    answered = np.array([[not isinstance(one, Abstention) for one in row] for row in table.answers(policy.extract)])
    worth = np.where(answered, np.where(np.isnan(rewards), -1e300, rewards), -np.inf)
    ordered = np.where(table.fresh, table.ordered(worth), -np.inf)[..., :samples]
    seen = np.full(ordered.shape[:2], samples)
    if policy.threshold is not None:
        enough = (ordered >= policy.threshold) | ~table.fresh[..., :samples]  # what comes twice ends it too
        seen = np.where(enough.any(axis=2), enough.argmax(axis=2) + 1, samples)
        ordered = np.where(np.arange(samples) < seen[..., None], ordered, -np.inf)
    best = ordered.argmax(axis=2)
    best = np.where(ordered.max(axis=2) == -np.inf, -1, best)
    place = _in_pool(table, best)
    scores = table.scores(policy.extract)
    score = np.where(place < 0, 0.0, np.take_along_axis(scores, np.maximum(place, 0), axis=1))
    return Plays(seen, place, score, np.full(seen.shape, np.nan), {})


# --- one by one ---


def _one_by_one(policy: Policy, table: Table, samples: int, found: Plays, slow: Array) -> Plays:
    """Some pools by the rules themselves, in fewer orders."""
    scores, weighed = table.scores(policy.extract), policy.vote in ("confidence", "weighted")
    weights = table.weights(policy.vote, policy.weight) if weighed else None
    made = {at: answer for at, answer in found.made.items() if not slow[at[0]]}
    for pool in np.flatnonzero(slow):
        answers = table.answers(policy.extract)[pool]
        found.score[pool] = np.nan
        for number in range(min(1 + SLOW, table.orders.shape[1])):
            order = table.orders[pool, number]
            own = None if weights is None else weights[pool, order].tolist()
            one = played(
                policy, [answers[at] for at in order], table.twins[pool, order].tolist(), samples, table.comparer, own
            )
            at = int(pool), number
            found.seen[at] = one.seen
            found.confidence[at] = np.nan if one.confidence is None else one.confidence
            found.place[at] = -1 if one.place is None else order[one.place]
            found.score[at] = 0.0 if one.place is None else scores[pool, order[one.place]]
            if one.place is not None and not one.own:
                made[at], found.score[at] = one.answer, table.right(at[0], one.answer)
    return Plays(found.seen, found.place, found.score, found.confidence, made)
