"""`rtk.allocate`: one budget over many questions, each next sample to the question where it pays most."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dspy

from rtk._progress import Display, Progress, reporting
from rtk.budget import Budget, Cost, current_budgets
from rtk.errors import BudgetSpent, RTKError, SampleError, StrategyError
from rtk.events import SampleArrived, watch
from rtk.samples import current_stream
from rtk.strategies.allocated import Allocated
from rtk.strategies.allotments import Allotment, Ledger, Voting, refuse
from rtk.strategies.drivers import arun, run
from rtk.strategies.flow import Candidates, Flow
from rtk.strategies.machine import Machine
from rtk.strategies.questions import inputs_of, predictors_of
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.settings import check_whole
from rtk.strategies.strategy import Strategy
from rtk.tasks import Task

TOGETHER = 256  # first samples that are asked for at once
PART = 8  # a wave goes to one in so many questions


def allocate(
    program: SelfConsistency,
    questions: Any,
    budget: Budget | int | None,
    *,
    least: int = 1,
    most: int | None = None,
    wave: int | None = None,
    progress: Progress = "auto",
) -> Allocated:
    """Answer many questions under one budget, giving each next sample to the question where it pays most.

    A vote that is clear wants no more samples, and one among answers that are all different will not be helped by a
    few. So every question is given `least` samples, and then, wave by wave, one goes to each of those questions whose
    vote it is most likely to change for the better: see `rtk.answers.prospect` for the rule and its sources. Where the
    budget limits dollars or tokens, what counts is the gain for each of them, by what the question's samples cost so
    far. It ends where the budget does, where every question has its most, or where no vote can change any more.

    The i-th sample of a question is that of `program(question=…)` alone: what was drawn is shared with plain calls and
    sweeps, the same call after an interruption goes on where it ended, and a recording replays it. Who gets the next
    sample follows from the samples in index order, whichever came first.

    >>> vote = rtk.SelfConsistency(task.signature, samples=32)  # doctest: +SKIP
    >>> found = rtk.allocate(vote, task, budget=8 * len(task.test))  # doctest: +SKIP
    >>> found.accuracy(), found.to_frame()  # doctest: +SKIP

    Args:
        program: a vote over chains. A `stop=` of its own ends a question's share as soon as it is settled by that rule.
            A weight function is asked once a question's samples are there; until then its chains count alike.
        questions: a task, whose test questions are meant, or dicts of inputs or `dspy.Example`s. Those that ask the
            same are asked once.
        budget: over all questions: an `rtk.Budget`, or how many samples; None for the budgets in force alone. One that
            is smaller than a sample for each leaves the last questions without an answer.
        least: samples that each question is given first.
        most: samples that one question may have; by default the `samples=` of the program. It should be several times
            what the budget allows each, else there is nothing to choose.
        wave: questions that are given one side by side, before it is decided anew; by default one in eight of all.
            Fewer choose a little better, more keep a fast model busier.
        progress: a bar, by default; None for none, or a function that is called for each sample.

    Raises:
        StrategyError: for a program that is no vote, or whose vote asks a model for more than chains or has no leader
            that could change (a mean), for questions that are none, or settings that cannot be.
        RTKError: as a plain call would, for a mistake in it; where not one sample came, the error of the first.
    """
    with _prepared(program, questions, budget, least, most, wave, progress) as machine:
        return run(machine)


async def aallocate(
    program: SelfConsistency,
    questions: Any,
    budget: Budget | int | None,
    *,
    least: int = 1,
    most: int | None = None,
    wave: int | None = None,
    progress: Progress = "auto",
) -> Allocated:
    """As `allocate`, on the running event loop."""
    with _prepared(program, questions, budget, least, most, wave, progress) as machine:
        return await arun(machine)


@contextmanager
def _prepared(
    program: Any, questions: Any, budget: Any, least: int, most: int | None, wave: int | None, progress: Progress
) -> Iterator[Machine]:
    """A machine that runs the allocation, once nothing is wrong with what was given."""
    refuse(program)
    each: int = program.samples if most is None else most
    check_whole("most", each)
    check_whole("least", least)
    check_whole("wave", 1 if wave is None else wave)
    if least > each:
        raise StrategyError(f"least={least} of at most {each} samples", mend="a smaller least=, or a larger most=")
    given, limit = _given(questions), _budget(budget)
    size = len(given) * each
    size = min(size, int(limit.left["samples"])) if limit is not None and "samples" in limit.limits else size
    ledger = Ledger()
    with reporting(progress, size) as display, watch(ledger, only=SampleArrived):
        flow = _Allocation(Voting(program, each), given, least, wave, ledger, display)
        flow.metric = questions.metric if isinstance(questions, Task) else None
        inputs = {} if limit is None else {"budget": limit}
        yield Machine(flow, inputs, current_stream(), current_budgets())
        display.size = display.done


def _budget(given: Any) -> Budget | None:
    if given is None or isinstance(given, Budget):
        return given
    if isinstance(given, bool) or not isinstance(given, int):
        raise StrategyError(
            f"allocate(budget={given!r:.40})", mend="an rtk.Budget, such as rtk.Budget(tokens=100_000), or samples"
        )
    return Budget(samples=given)


# --- questions ---


def _given(questions: Any) -> list[tuple[Any, dict[str, Any]]]:
    """The questions, each as it was given and as inputs."""
    if isinstance(questions, Task):
        questions = questions.test
    several = isinstance(questions, Iterable) and not isinstance(questions, (str, Mapping, dspy.Example))
    found = [(one, _inputs(one)) for one in questions] if several else []
    if not found:
        raise StrategyError(
            f"allocate({questions!r:.60}): no questions",
            mend="a task, or a list of dicts of inputs, such as {'question': …}, or of dspy.Examples",
        )
    return found


def _inputs(question: Any) -> dict[str, Any]:
    inputs = inputs_of(question)
    if any(isinstance(value, Budget) for value in inputs.values()):
        raise StrategyError("a question with a budget of its own", mend="one budget= over all of them")
    return inputs


def _key(inputs: Mapping[str, Any], named: set[str]) -> Any:
    """What tells questions apart that a program asks: the fields that its predictors take."""
    shown = {name: value for name, value in inputs.items() if not named or name in named}
    return tuple((name, *_told(value)) for name, value in sorted(shown.items()))


def _told(value: Any) -> tuple[str, Any]:
    try:
        return type(value).__qualname__, json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        pass
    try:
        hash(value)
    except TypeError:
        return "one of its own", id(value)
    return type(value).__qualname__, value


# --- the allocation ---


class _Allocation(Strategy):
    """All questions in one flow: rounds of lists of asks, so that each draws where a plain call does."""

    metric: Any = None

    def __init__(
        self, voting: Voting, given: Sequence[tuple[Any, dict[str, Any]]], least: int, wave: int | None,
        ledger: Ledger, display: Display,
    ) -> None:  # fmt: skip
        super().__init__()
        self._voting, self._given, self._least, self._wave = voting, list(given), least, wave
        self._ledger, self._display = ledger, display
        self._questions: list[Allotment] = []
        self._cut: BudgetSpent | None = None
        self._heard = False  # whether any sample came

    def conclude(self, node: Any, value: Any) -> Any:
        """What the flow came to, as it is."""
        return value

    def flow(self, **inputs: Any) -> Flow:
        """The least to each, then waves to those that promise most."""
        self._questions = self._allotments()
        self._display.begin()
        try:
            yield from self._give_least()
            yield from self._give_out()
        except BudgetSpent as cut:
            self._cut = cut
        return self._allocated()

    def _allotments(self) -> list[Allotment]:
        """The questions, those that ask the same together."""
        predictors: list[Any] = predictors_of(self._voting.program.chain) if self._voting.flat else []
        named = {name for one in predictors for name in one.signature.input_fields}
        named |= {"config", "demos", "lm", "signature"} if named else set()  # DSPy's own arguments of a call
        found: dict[Any, Allotment] = {}
        for place, (_, inputs) in enumerate(self._given):
            key = _key(inputs, named)
            if key in found:
                found[key].places.append(place)
            else:
                found[key] = Allotment(self._voting, [place], self._voting.asks(inputs))
        return list(found.values())

    def _give_least(self) -> Flow:
        for _ in range(self._least):
            for start in range(0, len(self._questions), TOGETHER):
                wanted = [one for one in self._questions[start : start + TOGETHER] if one.left]
                yield from self._give(wanted)

    def _give_out(self) -> Flow:
        size = self._wave or max(1, len(self._questions) // PART)
        limits = {unit for budget in current_budgets() for unit in budget.limits}
        unit = next((one for one in ("dollars", "tokens") if one in limits), None)
        while chosen := self._best(size, unit):
            yield from self._give(chosen)

    def _best(self, size: int, unit: str | None) -> list[Allotment]:
        """The questions whose next sample pays most, the best first."""
        price = self._prices(unit)
        gains = [one.promise.gain * len(one.places) / price[one] for one in self._questions]
        ranked = sorted((-gain, place) for place, gain in enumerate(gains) if gain > 0)
        return [self._questions[place] for _, place in ranked[:size]]

    def _prices(self, unit: str | None) -> dict[Allotment, float]:
        """What a further sample of each is expected to cost: as its own so far, and as one more of the average."""
        if unit is None:
            return dict.fromkeys(self._questions, 1.0)
        self._ledger.read(current_budgets()[-1])
        known = {one: [_amount(cost, unit) for cost in self._ledger.costs(one.chains)] for one in self._questions}
        every = [amount for own in known.values() for amount in own]
        average = sum(every) / len(every) if every else 1.0
        return {one: (sum(own) + average) / (len(own) + 1) or 1.0 for one, own in known.items()}

    def _give(self, chosen: Sequence[Allotment]) -> Flow:
        """One sample more to each of these."""
        if not chosen:
            return
        try:
            got = yield [one.next for one in chosen]
        except RTKError:
            raise  # a mistake
        except Exception as failure:
            if self._voting.flat:
                raise
            got = yield from self._one_by_one(chosen, failure)
        for one, came in zip(chosen, got, strict=True):
            one.take(came)
            for _ in came:
                self._display.tick()
        cut = next((came.cut for came in got if came.cut is not None), None)
        if cut is not None:
            raise cut
        self._refuse_silence()

    def _one_by_one(self, chosen: Sequence[Allotment], failure: Exception) -> Flow:
        """A user's module failed at one of the questions: which one, and what the others came to."""
        got, failed = list[Candidates](), 0
        for one in chosen:
            try:
                got += yield [one.next]
            except RTKError:
                raise
            except Exception as error:  # noqa: BLE001 - likewise; it costs its own question a sample
                got.append(one.failed(error))
                failed += 1
        if failed == len(chosen) and not any(one.chains for one in self._questions):
            raise failure
        return got

    def _refuse_silence(self) -> None:
        """Where nothing came of any question, empty answers would hide it."""
        if self._heard:
            return
        every = [one.abstention for question in self._questions for one in question.chains]
        failed = [one.reason for one in every if one is not None and one.kind == "failed"]
        self._heard = len(failed) < len(every)
        if every and not self._heard:
            raise SampleError(
                f"allocate: no sample came of {len(every)} asked for ({failed[0]})",
                mend="ask again: what did come is kept and is not drawn twice",
                kind=failed[0].partition(":")[0] or "failed",
            )

    def _allocated(self) -> Allocated:
        """What it came to."""
        budgets = current_budgets()
        self._ledger.read(budgets[-1])
        predictions: list[Any] = [None] * len(self._given)
        samples, changes = [0] * len(self._given), [0.0] * len(self._given)
        for one in self._questions:
            for place in one.places:
                predictions[place] = one.answer(self._given[place][1], self._ledger, self._cut)
                samples[place], changes[place] = len(one.chains), one.promise.change
        return Allocated(
            tuple(question for question, _ in self._given), predictions, samples, changes, budgets[-1].spent,
            None if self._cut is None else self._cut.limit, self._least, self._voting.most, self.metric,
        )  # fmt: skip


def _amount(cost: Cost, unit: str) -> float:
    return float(getattr(cost, unit) or 0.0)
