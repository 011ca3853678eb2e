"""The searches of a tree of thoughts: which thoughts go on, and when there is enough.

Each is a generator over a `Grower`, which asks for thoughts, checks, merges and evaluates them. What a search decides
follows from thoughts in index order.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

from rtk.strategies.flow import Flow
from rtk.strategies.tree_thoughts import Search, Thought, backtrack

LONGEST_ODDS = 19.0  # the best odds a thought can have in a resampling, and the worst: 1 to it


class Grower(Protocol):
    """What a search needs of the tree.

    Attributes:
        breadth: thoughts that go on.
        steps: the most thoughts that are gone on from; None for no limit of its own.
    """

    breadth: Any
    steps: Any

    @property
    def wholes(self) -> int:
        """Whole solutions that are enough for the answer."""
        ...

    def grown(
        self, search: Search, thoughts: Sequence[Thought], samples: Sequence[int] | None = None, *, merged: bool = True
    ) -> Flow:
        """Ask for thoughts that go on from these; the new ones that stand, evaluated, the best first.

        Unless `merged`, one for each sample, in order.
        """
        ...


def breadth_first(tree: Grower, search: Search) -> Flow:
    """A beam: level by level, the best `breadth` go on (Yao et al., 2023, algorithm 1)."""
    frontier = [search.root]
    while frontier and frontier[0].level < search.depth and not search.cut:
        level = frontier[0].level
        frontier = frontier[: _most(tree.steps, search, level, len(frontier))]
        if not frontier:
            return
        alive = yield from tree.grown(search, frontier)
        frontier = alive[: tree.breadth] or search.revived(tree.breadth, level + 1)
        for child in frontier:
            child.step.state = "kept"


def depth_first(tree: Grower, search: Search) -> Flow:
    """The best child first, at most `breadth` of each, back from dead ends (Yao et al., 2023, algorithm 2)."""
    stack, wholes = [search.root], 0
    while not search.cut:
        reach = _reach(tree.steps, search)
        if not stack or stack[-1].level < reach:
            stack += search.revived(1, reach)
        if not stack:
            return
        thought = stack.pop()
        if thought.level == search.depth:
            thought.step.state, wholes = "kept", wholes + 1
            if wholes == tree.wholes:
                return
            continue
        if _spent(tree.steps, search):
            return
        thought.step.state = "kept"
        alive = yield from tree.grown(search, [thought])
        stack += reversed(alive[: tree.breadth])
        if not alive:
            backtrack(thought, stack)


def best_first(tree: Grower, search: Search) -> Flow:
    """The best thoughts found so far go on, on whatever level, `breadth` of them side by side.

    It goes on from no more thoughts than a beam of that breadth would, unless `steps` says so, and ends when a whole
    solution is the best there is. Of equals the deeper one goes first; what the steps that are left could not make
    whole comes last.
    """
    waiting, wholes = [search.root], 0
    limit = tree.steps or 1 + tree.breadth * (search.depth - 1)
    while not search.cut:
        reach = _reach(limit, search)
        if all(one.level < reach for one in waiting):
            waiting += search.revived(tree.breadth, reach)
        if not waiting:
            return
        waiting.sort(key=lambda one: (one.level < reach, -one.score, -one.level, one.turn))
        if waiting[0].level == search.depth:
            waiting.pop(0).step.state = "kept"
            wholes += 1
            if wholes == tree.wholes:
                return
            continue
        if _spent(limit, search):
            return
        batch = _batch(waiting, _most(limit, search, waiting[0].level, tree.breadth), search.depth)
        waiting = waiting[len(batch) :]
        alive = yield from tree.grown(search, batch)
        waiting += alive
        for thought in batch:
            if not any(one.parent is thought for one in alive):
                backtrack(thought, waiting)


def _batch(waiting: list[Thought], most: int, depth: int) -> list[Thought]:
    """The first of those that wait, up to the first whole solution."""
    end = next((place for place, one in enumerate(waiting) if one.level == depth), len(waiting))
    batch = waiting[: min(most, end)]
    for thought in batch:
        thought.step.state = "kept"
    return batch


def _reach(limit: int | None, search: Search) -> int:
    """The first level from which the steps that are left can make a solution whole."""
    return 0 if limit is None else search.depth - (limit - search.expansions)


def _most(limit: int | None, search: Search, level: int, wanted: int) -> int:
    """How many thoughts of a level, of so many wanted, may be gone on from: an even part of the steps that are left for
    the levels to come; where they do not reach that far anyway, as many as there are.
    """
    if limit is None:
        return wanted
    left, levels = limit - search.expansions, search.depth - level
    return min(wanted, -(-left // levels) if left >= levels else left)


def particle(tree: Grower, search: Search) -> Flow:
    """Particle filtering: `breadth` partial solutions take one step each, are scored, and are resampled by the odds of
    their scores (Puri et al., 2025, arXiv:2502.01618). Chance is seeded by the inputs: the same samples, the same
    choice. A value of impossible is as fallible as any: it makes the odds small and not none.
    """
    particles = [search.root] * tree.breadth
    chance = random.Random(_seed(search.inputs))
    for _ in range(search.depth):
        states = list(dict.fromkeys(particles))
        if search.cut or (tree.steps is not None and search.expansions + len(states) > tree.steps):
            return
        counts = [sum(one is state for one in particles) for state in states]
        moved = yield from tree.grown(search, states, counts, merged=False)
        if not moved:
            return
        particles = resampled(moved, tree.breadth, chance.random())
        for one in particles:
            one.step.state = "kept"


def resampled(thoughts: Sequence[Thought], count: int, start: float) -> list[Thought]:
    """`count` of some thoughts, each as often as its share of the weight says, or once more or less (systematic
    resampling; `start` in [0, 1) is its one random number).
    """
    weights = _weights([one.score for one in thoughts])
    edges = list(accumulate(weights))
    points = [(start + number) * edges[-1] / count for number in range(count)]
    places = [next((place for place, edge in enumerate(edges) if point < edge), len(edges) - 1) for point in points]
    return [thoughts[place] for place in places]


def _weights(scores: list[float]) -> list[float]:
    """The odds of each score, bounded; of scores that are no probabilities their exponentials."""
    if all(0 <= score <= 1 for score in scores):
        return [min(LONGEST_ODDS, max(1 / LONGEST_ODDS, score / max(1 - score, 1e-9))) for score in scores]
    return [math.exp(score - max(scores)) for score in scores]


def _seed(inputs: dict[str, Any]) -> int:
    said = "\n".join(f"{name}={inputs[name]}" for name in sorted(inputs))
    return int.from_bytes(hashlib.sha256(said.encode(errors="replace")).digest()[:8], "big")


def _spent(limit: int | None, search: Search) -> bool:
    return limit is not None and search.expansions >= limit


SEARCHES: dict[str, Callable[[Grower, Search], Flow]] = {
    "bfs": breadth_first,
    "dfs": depth_first,
    "best_first": best_first,
    "particle": particle,
}
