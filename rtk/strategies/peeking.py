"""What a strategy would say with the samples that are there, and how many it would have to draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dspy

from rtk.budget import current_budgets
from rtk.errors import BudgetSpent
from rtk.models import NOT_DRAWN, Ask, Gathered, glimpse
from rtk.samples import Address
from rtk.strategies.nodes import Draw, Leaf, Node
from rtk.strategies.prediction import Prediction
from rtk.strategies.strategy import Strategy
from rtk.strategies.unheard import Twins, Unpaid, asks_once, unheard


@dataclass(frozen=True)
class Peek:
    """What is there of a call that was not made.

    Attributes:
        prediction: what the strategy says with what is there; where all is there, what the call would say.
        wanted: samples the call needs, as far as that is known before it is made.
        there: those of them that are in the recording or the store.
        exact: whether `wanted` is all of them; False where what comes decides what is asked next or what a budget
            still admits, and where a module of somebody else's draws by itself, of which nothing is counted.
    """

    prediction: Prediction
    wanted: int
    there: int
    exact: bool

    @property
    def whole(self) -> bool:
        """Whether the call would draw nothing."""
        return self.exact and self.there == self.wanted


def peek(strategy: Strategy, /, **inputs: Any) -> Peek:
    """Look at a call before it is made: nothing is drawn, recorded, charged to a budget, or put on a trace.

    What a flow asks of an `rtk.LM` without yielding it is looked up too. A deadline ends nothing here.

    Args:
        strategy: the strategy; modules inside that are no strategies are not run.
        **inputs: its inputs, perhaps with a `budget=`.

    Raises:
        RTKError: as the call would, for a mistake in it.
    """
    look = _Look()
    with dspy.context(**unheard(), rtk_gather=look.gather):
        machine = Unpaid(look.twins, strategy, inputs, current_budgets())
        leaves = machine.start()
        while leaves:  # in rounds, as under a budget: its admission goes in their order
            ahead, leaves = sorted(leaves, key=lambda leaf: leaf.order), []
            for leaf in ahead:
                leaves += machine.feed(leaf, look.at(leaf))
    exact = look.exact and (look.there == look.wanted or asks_once(strategy))
    return Peek(machine.result, len(look.wanted), len(look.there), exact)


class _Look:
    """What was seen so far.

    Attributes:
        twins: of the budgets; the call's own meters are charged themselves.
        wanted: the samples that the call needs.
        there: those of them that are there.
        exact: whether those are all.
    """

    def __init__(self) -> None:
        self.twins = Twins()
        self.wanted, self.there = set[Address](), set[Address]()
        self.exact = True

    def at(self, leaf: Leaf) -> Gathered | BudgetSpent:
        """What a leaf brings now."""
        if isinstance(leaf, Draw):
            return self.gather(leaf.ask, counted=not _undrawn(leaf.node))
        self.exact = False
        return BudgetSpent(NOT_DRAWN, leaf.node.budgets[0])

    def gather(self, ask: Ask, counted: bool = True) -> Gathered:
        """What an ask brings now; not counted where it rests on what was not drawn, and perhaps is never made."""
        budgets = [self.twins.of(budget) if budget.limits else budget for budget in ask.budgets]
        seen = glimpse(replace(ask, budgets=tuple(budgets)))
        self.exact = self.exact and seen.exact
        if counted:
            self.wanted |= seen.wanted
            self.there |= {result.address for result in seen.gathered.results}
        own = dict(zip(budgets, ask.budgets, strict=True))
        found = seen.gathered
        return replace(found, budget=None if found.budget is None else own[found.budget])


def _undrawn(node: Node) -> bool:
    """Whether a generator went on without something that was not drawn."""
    return node.cut is not None and node.cut.limit == NOT_DRAWN
