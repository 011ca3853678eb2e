"""What a strategy makes of attempts that another setting of it drew: its own flow, handed them instead of asking.

An experiment with many settings reads and parses each sample once so. The answer, its evidence and what it is charged
are those of a call; only DSPy's history and callbacks hear nothing, for nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import dspy

from rtk.budget import Budget, Cost, settle_stored
from rtk.events import watchers
from rtk.samples import Address, current_stream
from rtk.strategies.flow import AskFor, Attempts, Candidates
from rtk.strategies.machine import BEST, LAZY
from rtk.strategies.nodes import Node
from rtk.strategies.prediction import Prediction


def retold(strategy: Any, inputs: dict[str, Any], attempts: Attempts, costs: Mapping[Address, Cost]) -> Any:
    """What a strategy answers where all that it asks for is among some attempts; None where it asks for more.

    Args:
        strategy: one whose program that is asked is the very one that was asked for the attempts.
        inputs: of the call.
        attempts: of another setting of the strategy, on the same inputs, model and stream.
        costs: of their samples, which are charged as reused ones to the budgets it runs under, where none of these
            has a limit.

    Returns:
        The prediction, with its evidence.
    """
    if attempts.asked is None or watchers() or dspy.settings.callbacks:
        return None
    node = Node(strategy, current_stream(), (), Budget(), (), lambda node, result: None)
    flow, reader = strategy.begin(dict(inputs)), _Reader(attempts, costs)
    value = None
    try:
        while True:
            wanted = flow.send(value)
            value = None if isinstance(wanted, (*BEST, *LAZY)) else reader.serve(node, wanted)
            if value is None and not isinstance(wanted, (*BEST, *LAZY)):
                return None
    except StopIteration as end:
        return _concluded(node, reader, end.value)
    finally:
        flow.close()


def _concluded(node: Node, reader: _Reader, value: Any) -> Prediction | None:
    budgets = (*(dspy.settings.get("rtk_budgets") or ()), node.meter)
    if any(budget.limits for budget in budgets):
        return None
    for charged in reader.charged:
        settle_stored(budgets, charged)
    node.budgets = budgets
    return node.strategy.conclude(node, value() if isinstance(value, LAZY) else value)


class _Reader:
    """Hands out attempts in their order."""

    def __init__(self, attempts: Attempts, costs: Mapping[Address, Cost]) -> None:
        self._attempts, self._costs, self._served = attempts, costs, 0
        self._by_text: dict[str, Address] = {}
        self.charged: list[dict[Address, Cost]] = []

    def serve(self, node: Node, wanted: Any) -> Candidates | None:
        """The next attempts; None where they are not what is wanted."""
        first, end = self._served, self._served + getattr(wanted, "samples", 0)
        if not self._is_that(wanted) or end > len(self._attempts.candidates):
            return None
        self._served = end
        found = Candidates(map(copy, self._attempts.candidates[first:end]))
        for index, one in enumerate(found):
            one.index = index
        found.program, found.asked = wanted.program, wanted
        self.charged.append({address: self._costs[address] for address in self._addresses(found)})
        node.seconds += found.seconds
        node.hear(found)
        return found

    def _is_that(self, wanted: Any) -> bool:
        asked = self._attempts.asked
        return (
            isinstance(wanted, AskFor)
            and asked is not None
            and wanted.program is asked.program
            and (wanted.rollout or 0) in (0, self._served)
            and not wanted.shared
            and wanted.each is None
            and wanted.config == asked.config
            and wanted.inputs == asked.inputs
        )

    def _addresses(self, found: Candidates) -> list[Address]:
        if not self._by_text:
            self._by_text = {str(address): address for address in self._costs}
        return [
            self._by_text[one] for candidate in found for one in sorted(candidate.addresses) if one in self._by_text
        ]
