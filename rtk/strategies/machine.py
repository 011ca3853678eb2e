"""The scheduler of generators: pure, without threads, loops or I/O. Two drivers feed it.

A running strategy is a tree of nodes, one for each generator. A node waits for what it yielded; a leaf is what a
driver must do: draw samples of a predictor, or run a module that is not ours. Addresses are fixed when a generator
yields, before any I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import dspy

from rtk.budget import Budget
from rtk.errors import BudgetSpent, StrategyError
from rtk.events import BestSoFar, BudgetLeft, SampleArrived, tell, watchers
from rtk.models import Endpoint, Gathered
from rtk.samples import Stream
from rtk.strategies.arrivals import Arrivals, Shared
from rtk.strategies.calls import Call, Calls
from rtk.strategies.flow import AskFor, Candidate, Candidates, Flow, Outcome
from rtk.strategies.nodes import Deliver, Draw, Leaf, Node, Order, Part, Rollout, collected, nested
from rtk.strategies.sampling import predictor_of, splits
from rtk.strategies.scoring import prepared

BEST = (Outcome, Candidate, dspy.Prediction)
LAZY = (FunctionType, MethodType, partial)


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
        self._due: deque[tuple[Node, Any, BaseException | None]] = deque()
        self._calls: list[Call | Calls] = []
        callers = tuple(dspy.settings.caller_modules or ())
        self._root = self._begun(Node(strategy, stream, budgets, self.meter, (), self._done, callers), inputs)

    def start(self) -> list[Leaf]:
        """The first leaves."""
        self._advance(self._root)
        return self._drained()

    def feed(self, leaf: Leaf, result: Gathered | Candidate | BaseException) -> list[Leaf]:
        """Hand a leaf's result on; the leaves that follow from it.

        Raises:
            BaseException: what a generator or a draw raised and no strategy made an abstention of.
        """
        if isinstance(result, BaseException) and not isinstance(result, (Exception, BudgetSpent)):
            raise result
        leaf.deliver(self._read(leaf, result) if isinstance(leaf, Draw) else result)
        return self._drained()

    def heard(self, leaf: Draw, event: SampleArrived) -> list[Leaf]:
        """A sample of a leaf came before the others; the leaves that follow from it."""
        if leaf.arrivals is not None:
            with leaf.node.here():
                for index, candidate in leaf.sampling.early(leaf.ask, event.sample):
                    leaf.arrivals.note(index, candidate)
        return self._drained()

    def abandon(self, error: BaseException) -> None:
        """Nothing more is admitted, and the calls under way are told to be over."""
        self.meter.close()
        for call in reversed(self._calls):
            call.ends(None, error)

    def _read(self, leaf: Draw, result: Any) -> Candidates | BaseException:
        """What a draw brought, as candidates."""
        with leaf.node.here():
            if isinstance(result, Gathered):
                return leaf.sampling.candidates(leaf.ask, result)
            leaf.sampling.failed(result)
            return result

    def _drained(self) -> list[Leaf]:
        """The leaves to see to, once every generator that can go on has gone on."""
        while self._due:  # a queue and no recursion: a flow may be answered at once any number of times
            self._advance(*self._due.popleft())
        if isinstance(self.result, BaseException):
            raise self.result
        ready, self._ready = self._ready, []
        return ready

    def _done(self, node: Node, result: Any) -> None:
        self.result = result

    # --- nodes ---

    def _begun(self, node: Node, inputs: dict[str, Any]) -> Node:
        """A strategy's node with its generator, not yet run, and the budget among its inputs."""
        own, inputs = node.strategy.own_budget(inputs)
        node.budgets = (*node.budgets, *own, node.meter)
        self.ordered = self.ordered or any(budget.ordered for budget in own)
        with node.here():
            node.flow = node.strategy.begin(inputs)
        return node

    def _resume(self, node: Node, value: Any, error: BaseException | None = None) -> None:
        """Let a generator go on, in its turn."""
        self._due.append((node, value, error))

    def _advance(self, node: Node, value: Any = None, error: BaseException | None = None) -> None:
        """Run a generator up to its next ask, and set out for what it asks."""
        ended, wanted = self._step(node, value, error)
        while not ended and isinstance(wanted, (*BEST, *LAZY)):
            node.best = wanted
            self._say_best(node, wanted)
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
            if isinstance(wanted, (AskFor, list, tuple, *BEST, *LAZY)):
                return False, wanted
            node.flow.close()
            raise StrategyError(
                f"{_name(node)}.flow yielded {type(wanted).__name__}",
                mend="yield ask(program, inputs), a list of asks and generators, or the best prediction so far",
            )
        except StopIteration as end:
            return True, self._concluded(node, end.value)
        except BudgetSpent as spent:
            node.cut = node.cut or spent
            return True, self._concluded(node, node.best)
        except Exception as failure:  # noqa: BLE001 - carried to whoever asked, who raises it or counts it
            return True, failure

    def _say_best(self, node: Node, best: Any) -> None:
        """Tell those who watch what the answer would be."""
        if not watchers():
            return
        with node.here():
            best = best() if isinstance(best, LAZY) else best
            prediction = best if isinstance(best, dspy.Prediction) else best.prediction
            if isinstance(prediction, dspy.Prediction):
                tell(BestSoFar, fields=dict(prediction.items()))

    def _say_left(self, node: Node) -> None:
        """Tell those who watch what is left of the budgets."""
        if node.limited and watchers():
            with node.here():
                for budget in node.budgets:
                    if budget.limits:
                        tell(BudgetLeft, left=budget.left, limits=dict(budget.limits))

    def _concluded(self, node: Node, value: Any) -> Any:
        try:
            if isinstance(value, LAZY):
                with node.here():
                    value = value()
            return node.strategy.conclude(node, value)
        except Exception as failure:  # noqa: BLE001 - carried, likewise
            return failure

    def _sent(self, node: Node, got: Candidates | BaseException) -> None:
        """One ask came back."""
        node.turns += 1
        self._say_left(node)
        if isinstance(got, BaseException):
            return self._resume(node, None, got)
        node.seconds += got.seconds
        return self._resume(node, got) if node.hear(got) else self._resume(node, None, got.cut)

    def _set_out_all(self, wanted: list[Any], node: Node) -> None:
        """Asks and child generators side by side, joined in index order."""
        if not wanted:
            return self._resume(node, [])
        wrong = [type(one).__name__ for one in wanted if not isinstance(one, (AskFor, Generator))]
        if wrong:
            error = StrategyError(
                f"a list yielded by {_name(node)}.flow holds {wrong[0]}",
                mend="hold asks, and generators that yield asks",
            )
            return self._resume(node, None, error)
        results: dict[int, Any] = {}

        def arrived(index: int, result: Any, child: Node | None = None) -> None:
            results[index] = (result, child)
            if len(results) == len(wanted):
                self._joined(node, [results[i] for i in range(len(wanted))])

        for index, one in enumerate(wanted):
            order = (*node.order, node.turns, index)
            if isinstance(one, AskFor):
                self._set_out(one, node, order, lambda got, i=index: arrived(i, got))
            else:
                self._branch(one, node, order, index, lambda child, result, i=index: arrived(i, result, child))
        return None

    def _branch(self, flow: Flow, node: Node, order: Order, index: int, finish: Any) -> None:
        """A child generator: part of the same strategy call, one rollout level down."""
        part = node.strategy if isinstance(node.strategy, Part) else Part(node.strategy)
        child = Node(
            part, node.stream.enter(index), node.budgets, node.meter, order, finish, node.callers, node.call, flow,
            node.cursors, node.home, node.shared,
        )  # fmt: skip
        self._advance(child)

    def _joined(self, node: Node, pairs: list[tuple[Any, Node | None]]) -> None:
        node.turns += 1
        self._say_left(node)
        node.seconds += max(getattr(result if child is None else child, "seconds", 0.0) for result, child in pairs)
        results, heard = [], []
        for result, child in pairs:
            if child is not None:
                result = node.join(child, result)
            elif isinstance(result, Candidates):
                heard.append(node.hear(result))
            results.append(result)
        errors = [one for one in results if isinstance(one, BaseException)]
        if errors:  # a mistake first: the end of a budget must not hide it
            return self._resume(node, None, min(errors, key=lambda error: isinstance(error, BudgetSpent)))
        if heard and not any(heard):
            return self._resume(node, None, node.cut)
        return self._resume(node, results)

    # --- asks ---

    def _set_out(self, wanted: AskFor, node: Node, order: Order, deliver: Deliver) -> None:
        """Set out for what was asked; a mistake in it is raised where it was yielded."""
        deliver = _named(wanted, deliver)
        arrivals = None
        if wanted.each is not None or (wanted.heard is not None and watchers()):
            arrivals = Arrivals(wanted, node, order, deliver, self._branch)
            deliver = arrivals.all
        try:
            if wanted.shared:
                told = self._sharing(wanted, node, deliver)
                if told is None:
                    return
                deliver = told
            with node.here():
                predictor = predictor_of(wanted.program)
                if isinstance(wanted.program, Endpoint) or (predictor is not None and splits(predictor)):
                    self._ready.append(self._drawn(wanted, predictor, node, order, deliver, arrivals))
                    return
                stream, first = self._place(wanted, node, flat=predictor is not None)
        except Exception as error:  # noqa: BLE001 - carried to the generator
            return deliver(error)
        self._roll_out(wanted, node, stream, first, order, deliver, arrivals)

    def _sharing(self, wanted: AskFor, node: Node, deliver: Deliver) -> Deliver | None:
        """Where the same is asked by others: None where it is under way or back, else how to tell them all."""
        key = (id(wanted.program), wanted.samples, wanted.rollout, repr(wanted.config), repr(wanted.inputs))
        if key in node.shared:
            node.shared[key].join(deliver)
            return None
        node.shared[key] = Shared(deliver)
        return node.shared[key].all

    def _drawn(
        self, wanted: AskFor, predictor: dspy.Predict | None, node: Node, order: Order, deliver: Deliver, arrivals: Any
    ) -> Draw:
        """Flat: n samples of a predictor are n further indices in one stream; of what is shared, the first n."""
        stream = node.home if wanted.shared else node.stream
        stream = stream if wanted.rollout is None else stream.enter(wanted.rollout)
        sampling = prepared(wanted, predictor)
        self._calls.append(sampling.calls)
        key = sampling.key()
        start = 0 if wanted.shared else node.take(key, stream, wanted.samples)
        return Draw(order, node, sampling, sampling.ask(start, wanted.samples, stream), deliver, arrivals)

    def _place(self, wanted: AskFor, node: Node, *, flat: bool) -> tuple[Stream, int | None]:
        """The stream in which rollouts are numbered, and the first number; None for a run in that very stream.

        A predictor whose adapter makes calls of its own is rolled out too; asked again, it gives the next rollouts.
        """
        if wanted.config and not isinstance(wanted.program, (dspy.Predict, dspy.ChainOfThought)):
            raise StrategyError(
                f"config= reaches a predictor, not {type(wanted.program).__name__}",
                mend="set it on the module's own predictors: predictor.config",
            )
        stream = node.home if wanted.shared else node.stream
        if wanted.shared or not flat:
            return stream, 0 if wanted.rollout is None and wanted.samples > 1 else wanted.rollout
        stream = stream.enter(wanted.rollout) if wanted.rollout else stream
        first = node.take(f"{id(wanted.program)} {wanted.inputs!r} {wanted.config!r}", stream, wanted.samples)
        return stream, first if first or wanted.samples > 1 else None

    def _roll_out(
        self, wanted: AskFor, node: Node, stream: Stream, first: int | None, order: Order, deliver: Deliver,
        arrivals: Arrivals | None,
    ) -> None:  # fmt: skip
        """Composite: n rollouts of anything else run in n streams."""
        results: dict[int, Any] = {}

        def arrived(index: int, result: Any) -> None:
            results[index] = result
            if arrivals is not None and isinstance(result, Candidate) and not node.limited:
                arrivals.note(index, result)
            if len(results) == wanted.samples:
                deliver(collected([results[i] for i in range(wanted.samples)], node))

        config = {"config": {**wanted.inputs.get("config", {}), **wanted.config}} if wanted.config else {}
        for index in range(wanted.samples):
            where = stream if first is None else stream.enter(first + index)
            place, back = (*order, index), lambda result, index=index: arrived(index, result)
            leaf = Rollout(place, node, wanted.program, {**wanted.inputs, **config}, where, index, back)
            if _is_strategy(wanted.program):
                self._nest(leaf)
            else:
                self._ready.append(leaf)

    def _nest(self, leaf: Rollout) -> None:
        """A strategy inside a strategy: a call of its own, with cursors of its own."""
        node, strategy = leaf.node, leaf.program
        with node.here():
            call = Call(strategy, leaf.inputs)
        self._calls.append(call)

        def finish(child: Node, result: Any) -> None:
            failed = isinstance(result, BaseException)
            with node.here():
                call.ends(None if failed else result, result if failed else None)
            leaf.deliver(result if failed else nested(child, node, result, leaf.index))

        callers = (*node.callers, strategy)
        child = Node(strategy, leaf.stream, node.budgets, Budget(), leaf.order, finish, callers, call)
        try:
            self._begun(child, leaf.inputs)
        except Exception as error:  # noqa: BLE001 - carried to the generator that asked
            return finish(child, error)
        return self._advance(child)


def _is_strategy(program: dspy.Module) -> bool:
    """Whether it can be run as a node. `rtk.Strategy` is built on this file, so it is known by what it has."""
    return hasattr(type(program), "own_budget")


def _named(asked: AskFor, deliver: Deliver) -> Deliver:
    """Deliver candidates that know what was asked."""

    def named(got: Any) -> None:
        if isinstance(got, Candidates):
            got.program, got.asked = asked.program, asked
        deliver(got)

    return named


def _name(node: Node) -> str:
    strategy = node.strategy.whole if isinstance(node.strategy, Part) else node.strategy
    return type(strategy).__name__
