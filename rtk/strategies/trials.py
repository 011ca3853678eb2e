"""Trials: one program run on many questions, for settings that are learned from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk._progress import Display, Progress, reporting
from rtk.answers import answer_fields, equal
from rtk.budget import Budget, Spent, current_budgets
from rtk.deliberation import Step
from rtk.errors import RTKError, StrategyError
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.prediction import evidence
from rtk.strategies.questions import inputs_of
from rtk.strategies.strategy import Strategy
from rtk.tasks import Task, score_of

Metric = Callable[[dspy.Example, Any], Any]
"""`(example, prediction) -> score`, as `rtk.tasks.score_of` reads it, and as DSPy's `Evaluate` calls it."""

TOGETHER = 8  # questions at a time under a limit: where it ends, most of those that were begun are whole


@dataclass(frozen=True)
class Trial:
    """One question that was asked.

    Attributes:
        example: the question, with its gold answer.
        candidate: what the program came to; its evidence is on `candidate.prediction`.
    """

    example: dspy.Example
    candidate: Candidate


@dataclass(frozen=True)
class Trials:
    """A program's answers to many questions.

    Attributes:
        asked: those that were answered whole, in order.
        size: how many questions there were.
        spent: on all of them.
        stopped: the unit of the budget that ran out before the rest of them; None otherwise.
    """

    asked: tuple[Trial, ...]
    size: int
    spent: Spent
    stopped: str | None = None

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.asked)

    def __len__(self) -> int:
        return len(self.asked)


def tried(
    program: Strategy, examples: Sequence[dspy.Example], *, budget: Budget | None = None, progress: Progress = "auto"
) -> Trials:
    """Ask a program many questions, side by side. The samples are those of plain calls, and are drawn once.

    Args:
        program: a strategy.
        examples: the questions.
        budget: over all of them; where it ends, the questions that are whole are given.
        progress: a bar, by default; None for none, or a function that is called after each answer.

    Raises:
        RTKError: as the program's own call would, for a mistake.
    """
    with reporting(progress, len(examples)) as display:
        run = _Run(program, examples, display)
        return run.found(run(**({} if budget is None else {"budget": budget})))


async def atried(
    program: Strategy, examples: Sequence[dspy.Example], *, budget: Budget | None = None, progress: Progress = "auto"
) -> Trials:
    """As `tried`, on the running event loop."""
    with reporting(progress, len(examples)) as display:
        run = _Run(program, examples, display)
        return run.found(await run.acall(**({} if budget is None else {"budget": budget})))


class _Run(Strategy):
    """Asks all questions at once: each in the stream of a plain call, so that it has its samples."""

    def __init__(self, program: Strategy, examples: Sequence[dspy.Example], display: Display) -> None:
        super().__init__()
        self.program, self.examples, self._display = program, list(examples), display
        self._got: list[Candidates] = []

    def flow(self, **inputs: Any) -> Flow:
        """A list of asks; under a limit, some after the others."""
        self._display.begin()
        yield Outcome(dspy.Prediction(), deliberation=Step("route", "trials"))
        asks = [ask(self.program, inputs_of(one), each=self._tick) for one in self.examples]
        size = TOGETHER if any(budget.limits for budget in current_budgets()) else len(asks)
        for start in range(0, len(asks), size):
            self._got += yield asks[start : start + size]
            if any(got.cut is not None for got in self._got):
                break
        return Outcome(dspy.Prediction(), deliberation=Step("route", "trials"))

    def _tick(self, candidate: Candidate) -> Flow:
        self._display.tick()
        yield from ()

    def answered(self, prediction: Any) -> bool:
        """What came is not on the prediction."""
        return True

    def found(self, prediction: dspy.Prediction) -> Trials:
        """What came of a call."""
        pairs = zip(self.examples, self._got, strict=False)
        whole = [Trial(example, got[0]) for example, got in pairs if got and got.cut is None]
        return Trials(tuple(whole), len(self.examples), evidence(prediction, "spent"), evidence(prediction, "stopped"))


# --- questions and how they are scored ---


def examples_of(questions: Any) -> list[dspy.Example]:
    """Questions to learn from: of a task its dev questions, else a list of examples.

    Raises:
        StrategyError: for anything else, no question, or an example that does not say which fields are inputs.
    """
    found = list(questions.dev) if isinstance(questions, Task) else questions
    found = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []
    if not found or not all(isinstance(one, dspy.Example) for one in found):
        raise StrategyError(
            f"calibrate({questions!r:.60}): no questions to learn from",
            mend="task.dev, a task, or a list of dspy.Examples with their answers",
        )
    for one in found:
        inputs_of(one)  # which refuses one that does not say which fields are inputs
    return found


def metric_of(questions: Any, metric: Metric | None) -> Metric:
    """The metric: the one given, a task's own, else equality with the example's field of the last output's name."""
    if metric is not None:
        if not callable(metric):
            raise StrategyError(f"metric={metric!r:.60}", mend="a function (example, prediction) -> score")
        return metric
    return questions.metric if isinstance(questions, Task) else agrees


def agrees(example: dspy.Example, prediction: Any) -> bool:
    """Whether the last output that is not reasoning equals the example's field of that name, by `rtk.answers.equal`.

    Where that field is None, to give none is right, and nothing else is.

    Raises:
        StrategyError: for an example without that field.
    """
    names = answer_fields(list(prediction.keys()))
    name = names[-1] if names else ""
    if name not in example:
        raise StrategyError(
            f"the examples have no {name!r} to compare with", mend="metric=task.metric, or a function of your own"
        )
    answer, gold = prediction[name], example[name]
    if answer is None or gold is None:
        return answer is gold
    return bool(equal(answer, gold))


def score(metric: Metric, example: dspy.Example, prediction: Any) -> float:
    """What a metric makes of a prediction, from 0.0 to 1.0.

    Raises:
        TaskError: where it is no such number.
    """
    return score_of(metric(example, prediction))


def check_metric(metric: Metric, example: dspy.Example, nothing: dspy.Prediction) -> None:
    """Ask a metric about no answer, before anything is drawn for it.

    Raises:
        StrategyError: where it fails.
        TaskError: where it gives no score.
    """
    try:
        score(metric, example, nothing)
    except RTKError:
        raise
    except Exception as error:
        raise StrategyError(
            f"the metric failed on no answer: {type(error).__name__}: {error}"[:300],
            mend="let it take (example, prediction), and say what an answer of None is worth: mostly False",
        ) from error
