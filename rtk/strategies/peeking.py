"""What a strategy would say with the samples that are there, and how many it would have to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy

from rtk.answers import Abstention
from rtk.budget import current_budgets
from rtk.models import glimpse
from rtk.samples import current_stream
from rtk.strategies.flow import Candidate
from rtk.strategies.machine import Machine
from rtk.strategies.nodes import Draw, Leaf
from rtk.strategies.prediction import Prediction
from rtk.strategies.strategy import Strategy


@dataclass(frozen=True)
class Peek:
    """What is there of a call that was not made.

    Attributes:
        prediction: what the strategy says with what is there; where all is there, what the call would say.
        wanted: samples the call needs, as far as that is known before it is made.
        there: those of them that are in the recording or the store.
        exact: whether `wanted` is all of them; False where what comes decides what is asked next, or where a module
            of somebody else's draws by itself.
    """

    prediction: Prediction
    wanted: int
    there: int
    exact: bool

    @property
    def whole(self) -> bool:
        """Whether the call would draw nothing."""
        return self.exact and self.there == self.wanted


def peek(strategy: Strategy, **inputs: Any) -> Peek:
    """Look at a call before it is made: nothing is drawn, recorded, charged to a budget outside, or put on a trace.

    Args:
        strategy: the strategy; modules inside that are no strategies are not run.
        **inputs: its inputs, perhaps with a `budget=`, which is charged with what is there.

    Raises:
        RTKError: as the call would, for a mistake in it.
    """
    quiet = {"rtk_watchers": (), "rtk_unheard": True, "disable_history": True, "usage_tracker": None, "trace": None}
    with dspy.context(**quiet):
        machine = Machine(strategy, inputs, current_stream(), current_budgets())
        wanted = there = 0
        complete, waiting = True, machine.start()
        while waiting:
            leaf, *waiting = sorted(waiting, key=lambda leaf: leaf.order)
            found, asked, have = _seen(leaf)
            wanted, there, complete = wanted + asked, there + have, complete and isinstance(leaf, Draw)
            waiting += machine.feed(leaf, found)
    exact = complete and (there == wanted or _asks_once(strategy))
    return Peek(machine.result, wanted, there, exact)


def _seen(leaf: Leaf) -> tuple[Any, int, int]:
    """What a leaf brings now, how many samples it wants, and how many of them are there."""
    if not isinstance(leaf, Draw):
        return Candidate(leaf.index, abstention=Abstention("empty", "not run yet")), 1, 0
    seen = glimpse(leaf.ask)
    return seen.gathered, seen.wanted, len({result.address for result in seen.gathered.results})


def _asks_once(strategy: Strategy) -> bool:
    """Whether all that is asked is known before anything came."""
    within: list[Any] = [one for _, one in strategy.named_sub_modules(Strategy)]
    return all(one.asks_once for one in within)
