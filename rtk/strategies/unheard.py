"""Running a flow to see what it would ask: nobody hears of it, no budget pays; and whether all is known before."""

from __future__ import annotations

import copy
from typing import Any

import dspy

from rtk.budget import Budget
from rtk.samples import current_stream
from rtk.strategies.machine import Machine
from rtk.strategies.nodes import Node
from rtk.strategies.questions import modules_of


def unheard() -> dict[str, Any]:
    """The DSPy context in which nobody hears of anything."""
    settings: dict[str, Any] = {"rtk_watchers": (), "rtk_unheard": True, "callbacks": [], "trace": None}
    if dspy.settings.adapter is not None:  # it may have callbacks of its own
        settings["adapter"] = copy.copy(dspy.settings.adapter)
        settings["adapter"].callbacks = []
    return {**settings, "disable_history": True, "usage_tracker": None}


class Twins:
    """Budgets that stand where real ones do and are charged in their place."""

    def __init__(self) -> None:
        self._twins: dict[Budget, Budget] = {}
        self._ours = set[Budget]()

    @property
    def limits(self) -> set[str]:
        """The units that the real ones limit."""
        return {unit for budget in self._twins for unit in budget.limits}

    def of(self, budget: Budget) -> Budget:
        """What is charged in place of a budget; a twin stands for itself."""
        if budget in self._ours:
            return budget
        if budget not in self._twins:
            self._twins[budget] = made = budget.twin()
            self._ours.add(made)
        return self._twins[budget]


class Unpaid(Machine):
    """A machine whose budgets are twins.

    Args:
        twins: of the budgets.
        strategy: the strategy.
        inputs: its inputs.
        budgets: those it would run under.
    """

    def __init__(self, twins: Twins, strategy: Any, inputs: dict[str, Any], budgets: tuple[Budget, ...]) -> None:
        self._twins = twins
        super().__init__(strategy, inputs, current_stream(), tuple(map(twins.of, budgets)))

    def _begun(self, node: Node, inputs: dict[str, Any]) -> Node:
        own, _ = node.strategy.own_budget(inputs)
        return super()._begun(node, {**inputs, "budget": self._twins.of(own[0])} if own else inputs)


def asks_once(strategy: dspy.Module) -> bool:
    """Whether all that is asked is known before anything came: each says so where it defines its flow."""
    inside = [one for _, one in modules_of(strategy) if hasattr(type(one), "own_budget")]
    return all(map(_says_so, inside))


def _says_so(strategy: Any) -> bool:
    owner: Any = next(base for base in type(strategy).__mro__ if "flow" in vars(base))
    said = vars(owner).get("asks_once", False)
    return bool(said(strategy) if callable(said) else said)
