"""What a machine keeps: its generators under way, and the leaves that a driver must see to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from rtk.answers import Abstention
from rtk.budget import Budget
from rtk.errors import BudgetSpent, RTKError, SampleError, StrategyError
from rtk.models import Ask
from rtk.samples import Stream
from rtk.strategies.arrivals import Arrivals, Deliver, Order, Shared
from rtk.strategies.calls import Call
from rtk.strategies.flow import Candidate, Candidates, Flow
from rtk.strategies.prediction import Prediction, evidence
from rtk.strategies.sampling import Prepared


@dataclass(eq=False)
class Draw:
    """A leaf: samples of one predictor, or a score."""

    order: Order
    node: Node
    sampling: Prepared
    ask: Ask
    deliver: Deliver
    arrivals: Arrivals | None = None

    @property
    def early(self) -> bool:
        """Whether its samples are wanted one by one. Not under a limit: what they lead to has its turn then."""
        return self.arrivals is not None and not self.node.limited


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
        budgets: all it is charged to, outermost first.
        meter: what its strategy call spent.
        order: its place among what runs side by side.
        finish: told what it came to, perhaps an error.
        callers: the modules it runs in, outermost first, as DSPy's history wants them.
        call: of a nested strategy, as DSPy's callbacks see it.
        flow: the generator.
        cursors: next index for each (request key, stream) of its strategy call, shared by its child generators.
        home: where the strategy call draws; its child generators draw further down.
        shared: what is asked once in the strategy call, by what is asked.
        asked: what it was sent, in the order of asking.
        best: what it returns should a budget run out.
        cut: the end of a budget that came before its own end.
        seconds: its asks so far, as long as they took when drawn, one after the other.
        turns: how often it was sent something.
    """

    strategy: Any
    stream: Stream
    budgets: tuple[Budget, ...]
    meter: Budget
    order: Order
    finish: Callable[[Node, Any], None]
    callers: tuple[Any, ...] = ()
    call: Call | None = None
    flow: Flow = field(default_factory=lambda: (_ for _ in ()))
    cursors: dict[tuple[str, str], int] = field(default_factory=dict)
    home: Stream = None  # type: ignore[assignment] - its own stream, by default
    shared: dict[Any, Shared] = field(default_factory=dict)
    asked: list[Candidates] = field(default_factory=list)
    best: Any = None
    cut: BudgetSpent | None = None
    seconds: float = 0.0
    turns: int = 0

    def __post_init__(self) -> None:
        self.home = self.home or self.stream

    @property
    def limited(self) -> bool:
        """Whether it runs under any limit."""
        return any(budget.limits for budget in self.budgets)

    @contextmanager
    def here(self) -> Iterator[None]:
        """The DSPy context in which its code, and what it calls, runs."""
        with (
            dspy.context(rtk_stream=self.stream, rtk_budgets=self.budgets, caller_modules=list(self.callers)),
            self.call.current() if self.call is not None else nullcontext(),
        ):
            yield

    @property
    def stopped(self) -> str | None:
        """The unit that ran out before its own end."""
        return self.cut.limit if self.cut is not None else None

    def take(self, key: str, stream: Stream, count: int) -> int:
        """The index of the first of `count` further samples of a request."""
        place = (key, str(stream))
        start = self.cursors.get(place, 0)
        self.cursors[place] = start + count
        return start

    def hear(self, got: Candidates) -> bool:
        """Note what an ask brought; False where a budget admitted nothing of it."""
        self.cut = self.cut or got.cut
        self.asked.append(got)
        return bool(got) or got.cut is None

    def join(self, child: Node, result: Any) -> Any:
        """Note what a child generator was sent; what it came to: where a budget let it come to nothing, its end."""
        self.cut = self.cut or child.cut
        known = set(map(id, self.asked))  # what is shared was sent to several
        self.asked.extend(one for one in child.asked if id(one) not in known)
        return child.cut if result is None and child.cut is not None else result

    def own(self, cut: BudgetSpent | None) -> BudgetSpent | None:
        """The end of one of its own budgets; None for that of a budget further down, which ends nothing but that."""
        return cut if cut is not None and cut.budget in self.budgets else None


class Part:
    """A child generator's view of its strategy: it is no call of its own, so what it returns is handed on as it is."""

    def __init__(self, whole: Any) -> None:
        self.whole = whole

    def conclude(self, node: Node, value: Any) -> Any:
        """What it returned."""
        return value


# --- what a program that was rolled out came to ---


def nested(child: Node, node: Node, prediction: Prediction, index: int) -> Candidate | BudgetSpent:
    """A nested strategy's answer as a candidate; where a budget let it come to nothing, that budget's end."""
    found = rolled_out(node, prediction, index)
    if isinstance(found, Candidate):
        found.trace = evidence(prediction, "trace") if found.abstention is None else []
        found.addresses = frozenset().union(*(one.addresses for asked in child.asked for one in asked))
    return found


def rolled_out(node: Node, prediction: Any, index: int) -> Candidate | BudgetSpent:
    """What a module returned as a candidate; an `rtk.Prediction` brings its evidence.

    Raises:
        StrategyError: for anything that is no prediction.
    """
    if not isinstance(prediction, dspy.Prediction):
        raise StrategyError(
            f"a module that a strategy ran returned {type(prediction).__name__}", mend="return a dspy.Prediction"
        )
    if not isinstance(prediction, Prediction):
        return Candidate(index, prediction)
    ended, told = evidence(prediction, "cut"), evidence(prediction, "deliberation").root
    seconds, cut = evidence(prediction, "seconds"), node.own(ended)
    found = Candidate(index, prediction, deliberation=told, seconds=seconds, cut=cut)
    if any(value is not None for value in prediction.values()):
        return found
    if cut is not None:
        return cut
    found.prediction, found.abstention = None, _ended(ended) if ended is not None else Abstention("empty", "no answer")
    return found


def collected(results: list[Candidate | BaseException], node: Node) -> Candidates | BaseException:
    """Rollouts as candidates. A budget's end cuts the list; a failure is an abstention, unless all failed so."""
    found = Candidates()
    for index, result in enumerate(results):
        if isinstance(result, BudgetSpent) and node.own(result):
            found.cut = found.cut or result
            break
        if isinstance(result, RTKError) and not isinstance(result, SampleError):
            return result  # a wrong key or a wrong setting is no matter of luck
        one = Candidate(index, abstention=_abstention(result)) if isinstance(result, BaseException) else result
        found.append(one)
        found.cut = found.cut or one.cut
    errors = [result for result in results if isinstance(result, Exception)]
    if errors and len(errors) == len(results) and not isinstance(errors[0], (AdapterParseError, SampleError)):
        return errors[0]
    return found


def _abstention(error: BaseException) -> Abstention:
    if isinstance(error, AdapterParseError):
        return Abstention("malformed", " ".join(str(error).split())[:160])
    if isinstance(error, BudgetSpent):
        return _ended(error)
    return Abstention("failed", f"{type(error).__name__}: {error}"[:160])


def _ended(cut: BudgetSpent) -> Abstention:
    return Abstention("empty", f"its own budget of {cut.limit} ended first")
