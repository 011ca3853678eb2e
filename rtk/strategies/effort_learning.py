"""Learning an effort policy from questions on which all rungs were climbed. Pure: arrays in, a table out.

Two kinds of policies are tried: thresholds that are the same at every rung (`effort_thresholds.py`), and tables of
their own for every rung, by backward induction (R. Bellman, "Dynamic Programming", 1957). There, what going on from a
rung is worth is known once it is known what is done further up, for many prices of a unit of cost. Of all, the cheapest
is taken that loses little enough against full effort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtk.strategies.effort_tables import Climbs, Floats, Rule, Table, Walked, ends, fixed, short_between, take, walked
from rtk.strategies.effort_thresholds import thresholds

PRICES = 25  # that are tried, and none at all
OCCUPANCY = 0.05  # the least share of the questions in a bin
LEAST = 4.0  # questions in a bin, at least
CAUTION = 0.5  # standard errors by which a loss is put higher; on made-up populations new questions then lose `within`
SHRINKAGE = 4.0  # questions' worth of the whole rung that is mixed into what a bin says


@dataclass(frozen=True)
class Bins:
    """The bins of one rung.

    Attributes:
        edges: between them, ascending.
        places: of each value; questions × orders.
    """

    edges: tuple[float, ...]
    places: Floats


def bins_of(climbs: Climbs) -> list[Bins]:
    """The bins of every rung but the last."""
    least, found = max(LEAST, OCCUPANCY * climbs.size), []
    for rung in range(climbs.rungs - 1):
        values = climbs.values[:, :, rung]
        edges = binned(values, least)
        found.append(Bins(edges, np.searchsorted(np.asarray(edges), values, side="right")))
    return found


def learned(climbs: Climbs, price: float, bins: Sequence[Bins] = ()) -> Table:
    """The best policy on these questions where a unit of cost is worth so much score.

    Args:
        climbs: of the questions.
        price: score for a unit of cost.
        bins: theirs, where they are known.
    """
    scores, costs = ends(climbs)
    bins = bins or bins_of(climbs)
    rules: list[Rule] = [((), (None,))]
    for rung in reversed(range(climbs.rungs - 1)):
        here, actions = bins[rung], [rung, *range(climbs.rungs - 1, rung, -1)]
        gains = [np.zeros_like(scores[rung])]
        for other in actions[1:]:
            paid = costs[other] + climbs.steps[:, rung, other, None]
            gains.append(scores[other] - price * paid - scores[rung])
        best = np.asarray(actions)[_best(np.stack(gains), here)]
        take(climbs, rung, best[here.places], scores, costs)
        rules.append(merged(here.edges, [None if one == rung else int(one) for one in best]))
    return tuple(reversed(rules))


def _best(gains: Floats, bins: Bins) -> Floats:
    """For each bin the action that gains most, each bin's mean drawn towards that of the whole rung.

    Of equal ones the first: to stop, else to the furthest rung, which takes the fewest rounds.
    """
    size, flat, orders = len(bins.edges) + 1, bins.places.ravel(), gains.shape[2]
    count = np.bincount(flat, minlength=size) / orders
    sums = np.stack([np.bincount(flat, one.ravel(), minlength=size) / orders for one in gains])
    whole = gains.mean(axis=(1, 2))[:, None]
    means = (sums + SHRINKAGE * whole) / (count + SHRINKAGE)
    return (means > means.max(axis=0) - 1e-9).argmax(axis=0)


def merged(edges: Sequence[float], actions: Sequence[int | None]) -> Rule:
    """Without the edges on whose two sides the same is done."""
    kept = [place for place in range(len(edges)) if actions[place] != actions[place + 1]]
    return tuple(edges[place] for place in kept), (*(actions[place] for place in kept), actions[-1])


def binned(values: Floats, least: float) -> tuple[float, ...]:
    """Edges between values, such that every bin holds the values of so many questions.

    Args:
        values: questions × orders.
        least: in questions; the smallest bin is joined with its smaller neighbour until none is smaller.
    """
    known, counts = np.unique(values, return_counts=True)
    counts = list(counts / values.shape[1])
    edges = [*pairwise(known)]
    while edges and min(counts) < least:
        place = int(np.argmin(counts))
        left = place > 0 and (place == len(counts) - 1 or counts[place - 1] <= counts[place + 1])
        edge = place - 1 if left else place
        counts[edge : edge + 2] = [counts[edge] + counts[edge + 1]]
        del edges[edge]
    return tuple(short_between(float(low), float(high)) for low, high in edges)


# --- which price ---


def folds_of(size: int, folds: int, seed: int) -> list[Floats]:
    """Places of the questions, shuffled and dealt out."""
    return np.array_split(np.random.default_rng(seed).permutation(size), min(folds, size))


def priced(climbs: Climbs) -> list[float]:
    """Prices to try, from none at all to one at which nothing beyond the first rung is worth it."""
    scale = 1 / max(float(climbs.steps[:, 0, -1].mean()), 1e-12)
    return [0.0, *(float(one) for one in scale * np.logspace(-3, 0.7, PRICES))]


def aside(climbs: Climbs, prices: Sequence[float], parts: Sequence[Floats]) -> list[Walked]:
    """How policies of each price do, on each part when they were learned from the others."""
    found = [Walked(np.zeros(climbs.size), np.zeros(climbs.size)) for _ in prices]
    for part in parts:
        rest, kept = climbs.of(np.setdiff1d(np.arange(climbs.size), part)), climbs.of(part)
        bins = bins_of(rest)
        for price, did in zip(prices, found, strict=True):
            got = walked(kept, learned(rest, price, bins))
            did.scores[part], did.costs[part] = got.scores, got.costs
    return found


def chosen(climbs: Climbs, within: float, folds: int, seed: int) -> Table:
    """The cheapest policy that keeps within so much of full effort.

    What a policy loses is put half a standard error higher than it was, since it is chosen among many. That of tables
    is of questions kept aside; thresholds are too few numbers to need it.
    """
    full = walked(climbs, fixed(climbs.rungs - 1, climbs.rungs))
    best, cost = None, np.inf
    for one, did in thresholds(climbs):
        if did.cost < cost - 1e-9 and lost(full, did) <= within + 1e-9:
            best, cost = one, did.cost
    table = fixed(climbs.rungs - 1, climbs.rungs) if best is None else best.table(climbs)
    prices = priced(climbs)
    for price, did in zip(prices, aside(climbs, prices, folds_of(climbs.size, folds, seed)), strict=True):
        if did.cost < cost - 1e-9 and lost(full, did) <= within + 1e-9:
            table, cost = learned(climbs, price), did.cost
    return straight(table)


def lost(full: Walked, did: Walked) -> float:
    """What a policy loses against full effort, half a standard error higher than it was."""
    each = full.scores - did.scores
    return float(each.mean() + CAUTION * each.std() / np.sqrt(each.size))


def straight(table: Table) -> Table:
    """The same with fewer rounds: a rung after which everybody goes on is passed over."""
    found = list(table)
    for rung in reversed(range(len(table))):
        edges, actions = found[rung]
        found[rung] = merged(edges, [one if one is None else _through(found, one) for one in actions])
    return tuple(found)


def _through(table: Sequence[Rule], rung: int) -> int:
    """Where those end up who are sent to a rung after which everybody goes on."""
    _, actions = table[rung]
    further = actions[0] if len(actions) == 1 else None
    return rung if further is None else further


def cheapest(climbs: Climbs, within: float) -> int:
    """The cheapest fixed rung that keeps within so much of full effort, as `chosen` has it."""
    did = [walked(climbs, fixed(rung, climbs.rungs)) for rung in range(climbs.rungs)]
    near = [rung for rung, one in enumerate(did) if lost(did[-1], one) <= within + 1e-9]
    return min(near, key=lambda rung: (did[rung].cost, rung))


def at_equal_score(climbs: Climbs, score: float) -> float:
    """What fixed effort costs that scores so much on average, where some questions may be given one rung, some another.

    Beyond the best rung's score: what that costs.
    """
    did = sorted((one.cost, one.score) for one in (walked(climbs, fixed(r, climbs.rungs)) for r in range(climbs.rungs)))
    best = max(did, key=lambda one: (one[1], -one[0]))
    if score >= best[1]:
        return best[0]
    found = [cost for cost, one in did if one >= score]
    for low in did:
        for high in did:
            if low[1] < score <= high[1]:
                found.append(low[0] + (high[0] - low[0]) * (score - low[1]) / (high[1] - low[1]))
    return min(found)
