"""The candidates of one ask as they come: what is done with each, and who hears of them before all are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtk.errors import BudgetSpent
from rtk.strategies.flow import AskFor, Candidate, Candidates, Flow

Node = Any  # a `rtk.strategies.nodes.Node`, which is built on this file
Deliver = Callable[[Any], None]
Order = tuple[int, ...]
Branch = Callable[[Flow, Node, Order, int, Callable[[Node, Any], None]], None]


class Arrivals:
    """One ask under way.

    A child generator is run for each candidate; what was asked is delivered when they all have ended. Nothing depends
    on the order of arrival but the time it takes: what is made of a candidate is on it, and they are delivered in
    index order.

    Args:
        wanted: the ask, with an `each` or a `heard`.
        node: whose ask it is.
        order: its place.
        deliver: told of all candidates, or of an error.
        branch: starts a child generator.
    """

    def __init__(self, wanted: AskFor, node: Node, order: Order, deliver: Deliver, branch: Branch) -> None:
        self._wanted, self._node, self._order = wanted, node, order
        self._deliver, self._branch = deliver, branch
        self._came: dict[int, Candidate] = {}
        self._heard = 0
        self._ended: dict[int, tuple[Node, Any]] = {}
        self._got: Candidates | None = None

    def note(self, index: int, candidate: Candidate) -> None:
        """A candidate came."""
        if index in self._came:
            return
        self._came[index] = candidate
        if self._wanted.each is not None:
            flow, order = self._wanted.each(candidate), (*self._order, index)
            self._branch(flow, self._node, order, index, lambda child, result: self._made(index, child, result))
        if self._wanted.heard is not None:
            self._hear()

    def _hear(self) -> None:
        before = self._heard
        while self._heard in self._came:
            self._heard += 1
        if self._heard > before and self._wanted.heard is not None:
            with self._node.here():
                self._wanted.heard(Candidates(self._came[index] for index in range(self._heard)))

    def all(self, got: Any) -> None:
        """The ask is back."""
        if not isinstance(got, Candidates):
            return self._deliver(got)
        self._got = got
        for index, candidate in enumerate(got):
            self.note(index, candidate)
        return self._finish()

    def _made(self, index: int, child: Node, result: Any) -> None:
        self._ended[index] = (child, result)
        self._finish()

    def _finish(self) -> None:
        """Deliver, once everything has ended."""
        got = self._got
        if got is None or (self._wanted.each is not None and not self._ended.keys() >= set(range(len(got)))):
            return
        self._got, errors = None, []
        for index in sorted(self._ended):
            child, result = self._ended[index]
            result = self._node.join(child, result)
            if isinstance(result, BaseException):
                errors.append(result)
            elif index < len(got):
                got[index].made = result
                got[index].seconds += child.seconds
        mistakes = [error for error in errors if not isinstance(error, BudgetSpent)]
        if mistakes:
            return self._deliver(mistakes[0])
        got.cut = got.cut or next(iter(errors), None)
        return self._deliver(got)


class Shared:
    """What is asked once in a strategy call: whoever asks it again is told the same."""

    def __init__(self, deliver: Deliver) -> None:
        self._waiting = [deliver]
        self._back: list[Any] = []

    def join(self, deliver: Deliver) -> None:
        """Somebody else asks it."""
        if self._back:
            deliver(self._back[0])
        else:
            self._waiting.append(deliver)

    def all(self, got: Any) -> None:
        """It is back."""
        self._back = [got]
        waiting, self._waiting = self._waiting, []
        for deliver in waiting:
            deliver(got)
