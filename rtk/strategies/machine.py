"""The scheduler of generators: pure, without threads, loops or I/O. Two drivers feed it.

A running strategy is a tree of nodes, one for each generator. A node waits for what it yielded; a leaf is what a
driver must do: draw samples of a predictor, or run a module that is not ours. Addresses are fixed when a generator
yields, before any I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from rtk.answers import Abstention
from rtk.budget import Budget
from rtk.errors import BudgetSpent, RTKError, SampleError, StrategyError
from rtk.models import Ask, Gathered
from rtk.samples import Stream
from rtk.strategies.flow import AskFor, Candidate, Candidates, Flow, Outcome
from rtk.strategies.sampling import Sampling, predictor_of

Deliver = Callable[[Any], None]
Order = tuple[int, ...]


@dataclass(eq=False)
class Draw:
    """A leaf: samples of one predictor."""

    order: Order
    node: Node
    sampling: Sampling
    ask: Ask
    deliver: Deliver


@dataclass(eq=False)
class Rollout:
    """A leaf: one run of a module that is not ours, in a stream of its own."""

    order: Order
    node: Node
    program: dspy.Module
    inputs: dict[str, Any]
    stream: Stream
    index: int
    deliver: Deliver


Leaf = Draw | Rollout


@dataclass(eq=False)
class Node:
    """One generator under way.

    Attributes:
        strategy: whose flow it is.
        stream: where its asks draw.
        cursors: next index for each (request key, stream) of its strategy call, shared by its child generators.
        budgets: all it is charged to, outermost first.
        meter: what its strategy call spent.
        order: its place among what runs side by side.
        asked: what it was sent, in the order of asking.
        best: what it returns should a budget run out.
        seconds: its asks so far, as long as they took when drawn, one after the other.
    """

    strategy: Any
    flow: Flow
    stream: Stream
    cursors: dict[tuple[str, str], int]
    budgets: tuple[Budget, ...]
    meter: Budget
    order: Order
    finish: Callable[[Node, Any], None]
    asked: list[Candidates] = field(default_factory=list)
    best: Any = None
    stopped: str | None = None
    seconds: float = 0.0
    turns: int = 0

    @contextmanager
    def here(self) -> Iterator[None]:
        """The DSPy context in which its code, and what it calls, runs."""
        with dspy.context(rtk_stream=self.stream, rtk_budgets=self.budgets):
            yield

    def take(self, key: str, stream: Stream, count: int) -> int:
        """The index of the first of `count` further samples of a request."""
        place = (key, str(stream))
        start = self.cursors.get(place, 0)
        self.cursors[place] = start + count
        return start


class Machine:
    """Runs one strategy call.

    Args:
        strategy: the strategy.
        inputs: its inputs.
        stream: where it draws.
        budgets: those it runs under, outermost first.
    """

    def __init__(self, strategy: Any, inputs: dict[str, Any], stream: Stream, budgets: tuple[Budget, ...]) -> None:
        self.ordered = any(budget.ordered for budget in budgets)
        self.result: Any = None
        self.meter = Budget()
        self._ready: list[Leaf] = []
        self._root = self._node(strategy, inputs, stream, budgets, self.meter, (), self._done)

    def start(self) -> list[Leaf]:
        """The first leaves."""
        self._advance(self._root, None)
        return self._drained()

    def feed(self, leaf: Leaf, result: Gathered | Candidate | BaseException) -> list[Leaf]:
        """Hand a leaf's result on; the leaves that follow from it.

        Raises:
            BaseException: what a generator or a draw raised and no strategy made an abstention of.
        """
        if isinstance(result, BaseException) and not isinstance(result, (Exception, BudgetSpent)):
            raise result
        if isinstance(leaf, Draw) and isinstance(result, Gathered):
            with leaf.node.here():
                leaf.deliver(leaf.sampling.candidates(leaf.ask, result))
        else:
            if isinstance(leaf, Draw) and isinstance(result, BaseException):
                leaf.sampling.failed(result)
            leaf.deliver(result)
        return self._drained()

    def _drained(self) -> list[Leaf]:
        ready, self._ready = self._ready, []
        return ready

    def _done(self, node: Node, result: Any) -> None:
        if isinstance(result, BaseException):
            raise result
        self.result = result

    # --- nodes ---

    def _node(
        self, strategy: Any, inputs: dict, stream: Stream, budgets: tuple[Budget, ...], meter: Budget, order: Order, finish: Any
    ) -> Node:  # fmt: skip
        own, inputs = strategy.own_budget(inputs)
        within = (*budgets, *own, meter)
        self.ordered = self.ordered or any(budget.ordered for budget in own)
        node = Node(strategy, iter(()), stream, {}, within, meter, order, finish)  # type: ignore[arg-type]
        with node.here():
            node.flow = strategy.begin(inputs)
        return node

    def _advance(self, node: Node, value: Any, error: BaseException | None = None) -> None:
        """Run a generator up to its next ask, and set out for what it asks."""
        ended, wanted = self._step(node, value, error)
        while not ended and isinstance(wanted, (Outcome, Candidate, dspy.Prediction)):
            node.best = wanted
            ended, wanted = self._step(node, None, None)
        if ended:
            node.finish(node, wanted)
        elif isinstance(wanted, AskFor):
            self._set_out(wanted, node, (*node.order, node.turns), lambda got: self._sent(node, got))
        else:
            self._set_out_all(wanted, node)

    def _step(self, node: Node, value: Any, error: BaseException | None) -> tuple[bool, Any]:
        """One turn of a generator: whether it has ended, and what it wants or came to (perhaps an error)."""
        try:
            with node.here():
                wanted = node.flow.throw(error) if error is not None else node.flow.send(value)
            if isinstance(wanted, (AskFor, list, tuple, Outcome, Candidate, dspy.Prediction)):
                return False, wanted
            node.flow.close()
            raise StrategyError(
                f"{type(node.strategy).__name__}.flow yielded {type(wanted).__name__}",
                mend="yield ask(program, inputs), a list of asks and generators, or the best prediction so far",
            )
        except StopIteration as end:
            return True, self._concluded(node, end.value)
        except BudgetSpent as spent:
            node.stopped = node.stopped or spent.limit
            return True, self._concluded(node, node.best)
        except Exception as failure:  # noqa: BLE001 - carried to whoever asked, who raises it or counts it
            return True, failure

    def _concluded(self, node: Node, value: Any) -> Any:
        try:
            return node.strategy.conclude(node, value)
        except RTKError as failure:
            return failure

    def _sent(self, node: Node, got: Candidates | BaseException) -> None:
        """One ask came back."""
        node.turns += 1
        if isinstance(got, BaseException):
            return self._advance(node, None, got)
        node.seconds += got.seconds
        if not self._heard(node, got):
            return self._advance(node, None, BudgetSpent(got.stopped or ""))
        return self._advance(node, got)

    def _heard(self, node: Node, got: Candidates) -> bool:
        """Note what an ask brought; False where a budget admitted nothing of it."""
        node.stopped = node.stopped or got.stopped
        node.asked.append(got)
        return bool(got) or got.stopped is None

    def _set_out_all(self, wanted: list[Any], node: Node) -> None:
        """Asks and child generators side by side, joined in index order."""
        if not wanted:
            return self._advance(node, [])
        wrong = next((one for one in wanted if not (isinstance(one, AskFor) or hasattr(one, "send"))), None)
        if wrong is not None:
            error = StrategyError(f"a list yielded by a flow holds {type(wrong).__name__}", mend="asks and generators")
            return self._advance(node, None, error)
        results: dict[int, Any] = {}

        def arrived(index: int, result: Any, seconds: float) -> None:
            results[index] = (result, seconds)
            if len(results) == len(wanted):
                self._joined(node, [results[i] for i in range(len(wanted))])

        for index, one in enumerate(wanted):
            order = (*node.order, node.turns, index)
            if isinstance(one, AskFor):
                self._set_out(one, node, order, lambda got, i=index: arrived(i, got, getattr(got, "seconds", 0.0)))
            else:
                self._branch(one, node, order, index, arrived)
        return None

    def _branch(self, flow: Flow, node: Node, order: Order, index: int, arrived: Any) -> None:
        """A child generator: part of the same strategy call, one rollout level down."""

        def finish(child: Node, result: Any) -> None:
            node.asked.extend(child.asked)
            node.stopped = node.stopped or child.stopped
            arrived(index, result, child.seconds)

        stream = node.stream.enter(index)
        part = _Part(node.strategy)
        self._advance(Node(part, flow, stream, node.cursors, node.budgets, node.meter, order, finish), None)

    def _joined(self, node: Node, pairs: list[tuple[Any, float]]) -> None:
        node.turns += 1
        node.seconds += max(seconds for _, seconds in pairs)
        results = [result for result, _ in pairs]
        error = next((one for one in results if isinstance(one, BaseException)), None)
        if error is not None:
            return self._advance(node, None, error)
        heard = [self._heard(node, one) for one in results if isinstance(one, Candidates)]
        if heard and not any(heard):
            return self._advance(node, None, BudgetSpent(node.stopped or ""))
        return self._advance(node, results)

    # --- asks ---

    def _set_out(self, wanted: AskFor, node: Node, order: Order, deliver: Deliver) -> None:
        with node.here():
            predictor = predictor_of(wanted.program)
            if predictor is not None:
                self._ready.append(self._drawn(wanted, predictor, node, order, deliver))
                return
        if wanted.config:
            raise StrategyError(
                f"config= reaches a predictor, not {type(wanted.program).__name__}",
                mend="set it on the module's own predictors: predictor.config",
            )
        self._roll_out(wanted, node, order, deliver)

    def _drawn(self, wanted: AskFor, predictor: dspy.Predict, node: Node, order: Order, deliver: Deliver) -> Draw:
        """Flat: n samples of a predictor are n further indices in one stream."""
        stream = node.stream if wanted.rollout is None else node.stream.enter(wanted.rollout)
        sampling = Sampling(predictor, wanted.inputs, wanted.config)
        start = node.take(sampling.key(), stream, wanted.samples)
        return Draw(order, node, sampling, sampling.ask(start, wanted.samples, stream), deliver)

    def _roll_out(self, wanted: AskFor, node: Node, order: Order, deliver: Deliver) -> None:
        """Composite: n rollouts of anything else run in n streams; one without a number in this very stream."""
        plain = wanted.samples == 1 and wanted.rollout is None
        results: dict[int, Any] = {}

        def arrived(index: int, result: Any) -> None:
            results[index] = result
            if len(results) == wanted.samples:
                deliver(_collected([results[i] for i in range(wanted.samples)]))

        for index in range(wanted.samples):
            stream = node.stream if plain else node.stream.enter((wanted.rollout or 0) + index)
            place, back = (*order, index), lambda result, index=index: arrived(index, result)
            if hasattr(wanted.program, "flow"):
                self._nest(wanted, node, stream, place, back, index)
            else:
                self._ready.append(Rollout(place, node, wanted.program, wanted.inputs, stream, index, back))

    def _nest(self, wanted: AskFor, node: Node, stream: Stream, order: Order, back: Deliver, index: int) -> None:
        """A strategy inside a strategy: a call of its own, with cursors of its own."""

        def finish(child: Node, result: Any) -> None:
            back(result if isinstance(result, BaseException) else _nested(child, result, index))

        child = self._node(wanted.program, wanted.inputs, stream, node.budgets, Budget(), order, finish)
        self._advance(child, None)


def _nested(child: Node, prediction: Any, index: int) -> Candidate | BudgetSpent:
    """What a nested strategy came to, as a candidate; where a budget let it come to nothing, the budget's end."""
    answered = child.strategy.answered(prediction)
    if child.stopped and not answered:
        return BudgetSpent(child.stopped)
    return Candidate(
        index,
        prediction=prediction if answered else None,
        abstention=None if answered else Abstention("empty", "no answer"),
        trace=child.strategy.trace_of(prediction) if answered else [],
        deliberation=prediction.deliberation.root,
        seconds=child.seconds,
        stopped=child.stopped,
    )


class _Part:
    """A child generator's view of its strategy: it is no call of its own, so what it returns is handed on as it is."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def conclude(self, node: Node, value: Any) -> Any:
        return value


def _collected(results: list[Candidate | BaseException]) -> Candidates | BaseException:
    """Rollouts as candidates. A budget's end cuts the list; a failure is an abstention, unless all failed so."""
    found = Candidates()
    for index, result in enumerate(results):
        if isinstance(result, BudgetSpent):
            found.stopped = found.stopped or result.limit
            break
        if isinstance(result, RTKError) and not isinstance(result, SampleError):
            return result  # a wrong key or a wrong setting is no matter of luck
        one = Candidate(index, abstention=_abstention(result)) if isinstance(result, BaseException) else result
        found.append(one)
        found.stopped = found.stopped or one.stopped
    errors = [result for result in results if isinstance(result, Exception)]
    if errors and len(errors) == len(results) and not isinstance(errors[0], (AdapterParseError, SampleError)):
        return errors[0]
    return found


def _abstention(error: BaseException) -> Abstention:
    if isinstance(error, AdapterParseError):
        return Abstention("malformed", " ".join(str(error).split())[:160])
    return Abstention("failed", f"{type(error).__name__}: {error}"[:160])
