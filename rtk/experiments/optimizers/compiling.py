"""What an optimizer does while it does it: candidates it has scored, runs it has made, and when it has to stop."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from rtk.budget import Budget
from rtk.errors import BudgetSpent, ModelError, SampleError, StoreError
from rtk.experiments.optimizers.ended import Ended
from rtk.strategies import evidence


@dataclass(frozen=True, repr=False)
class Tried:
    """A candidate that an optimizer has scored.

    Attributes:
        program: the candidate; a copy.
        score: the mean over the questions that it was scored on, in [0, 1] where the metric's scores are.
        questions: how many they were. A mini-batch is fewer than all.
        chosen: whether its prompts are those of the program that came out in the end.
    """

    program: dspy.Module
    score: float
    questions: int
    chosen: bool = False

    def __repr__(self) -> str:
        chosen = ", chosen" if self.chosen else ""
        asked = "1 question" if self.questions == 1 else f"{self.questions} questions"
        return f"Tried({self.score:.2f} on {asked}{chosen})"


class Watch(BaseCallback):
    """A DSPy callback that hears of every run and every evaluation of an optimizer.

    It stops the optimizer, by a `BaseException`, as soon as a budget has cut a run short: what was answered under a
    spent budget says nothing about a candidate.

    Args:
        student: what is optimized.
        budgets: those that may end it.
        chosen_on: the questions candidates are scored on.
        tick: called after each run.
    """

    def __init__(
        self, student: dspy.Module, budgets: Sequence[Budget], chosen_on: Sequence[Any], tick: Callable[[], object]
    ) -> None:
        self._kind, self._budgets, self._tick = type(student), tuple(budgets), tick
        self._questions = {id(example) for example in chosen_on}
        self._depth = len(dspy.settings.caller_modules or ())
        self._lock = threading.Lock()
        self._under_way: dict[str, dspy.Module] = {}
        self._evaluated: dict[str, tuple[dspy.Module, int]] = {}
        self._here = threading.local()
        self.tried: list[Tried] = []
        self.runs = 0
        self.errors: list[str] = []

    # --- runs ---

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        """A module runs; one of the student's kind that no other module runs is a run of the program."""
        if type(instance) is self._kind and len(dspy.settings.caller_modules or ()) == self._depth:
            with self._lock:
                self._under_way[call_id] = instance

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """A module has run."""
        with self._lock:
            program = self._under_way.pop(call_id, None)
        self._stop_where_cut(outputs)
        if program is None:
            return
        self._here.program = program
        self._count(exception)
        if _hopeless(exception):
            raise Ended(exception)  # type: ignore[arg-type]
        self._tick()

    def _count(self, exception: BaseException | None) -> None:
        with self._lock:
            self.runs += 1
            if isinstance(exception, Exception):
                told = str(exception).strip().partition("\n")[0]
                self.errors.append(f"{type(exception).__name__}: {told}"[:200])

    def _stop_where_cut(self, outputs: Any) -> None:
        cut = evidence(outputs, "cut") if isinstance(outputs, dspy.Prediction) else None
        if cut is not None and cut.budget in self._budgets:
            raise BudgetSpent(cut.limit, cut.budget)

    # --- evaluations ---

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        """DSPy evaluates a program; a copy is kept, since some optimizers go on changing it."""
        program, questions = inputs["program"], inputs.get("devset") or instance.devset
        if type(program) is self._kind and all(id(example) in self._questions for example in questions):
            with self._lock:
                self._evaluated[call_id] = (_apart(program), len(questions))

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """It is evaluated on all its questions, or was not."""
        with self._lock:
            program, questions = self._evaluated.pop(call_id, (None, 0))
            if program is not None and outputs is not None:
                scores = [_number(score) for *_, score in outputs.results]
                self.tried.append(Tried(program, sum(scores) / len(scores), questions))

    def here(self) -> dspy.Module | None:
        """The program that ran last in this thread."""
        return getattr(self._here, "program", None)

    def best(self) -> dspy.Module | None:
        """The best so far of those scored on the most questions, the first of several; None before any was."""
        most = max((one.questions for one in self.tried), default=0)
        whole = [one for one in self.tried if one.questions == most]
        return max(whole, key=lambda one: one.score).program if whole else None


class Scored:
    """A metric that tells a `Watch` of the scores, for SIMBA, which does not evaluate as others do.

    A program counts once it has been scored on a whole mini-batch, or on all questions.

    Args:
        metric: the optimizer's own.
        watch: who is told.
        sizes: of a mini-batch and of all.
    """

    def __init__(self, metric: Any, watch: Watch, sizes: Sequence[int]) -> None:
        self._metric, self._watch, self._sizes = metric, watch, set(sizes)
        self._scores: dict[int, tuple[dspy.Module, dict[int, float]]] = {}
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()

    def __call__(self, example: Any, prediction: Any, *more: Any, **named: Any) -> Any:
        """The metric's own score."""
        program = self._watch.here()
        found = self._metric(example, prediction, *more, **named)
        if program is not None and all(predictor.lm is None for predictor in program.predictors()):
            self._note(program, example, _number(found))
        return found

    def _note(self, program: dspy.Module, example: Any, score: float) -> None:
        with self._lock:
            _, scores = self._scores.setdefault(id(program), (program, {}))
            scores[id(example)] = score
            if len(scores) not in self._sizes:
                return
            one = Tried(program, sum(scores.values()) / len(scores), len(scores))
            at = self._places.setdefault(id(program), len(self._watch.tried))
            self._watch.tried[at : at + 1] = [one]


def _apart(program: dspy.Module) -> dspy.Module:
    """A copy, without the `forward` that DSPy puts over a program's own while it collects traces."""
    bare = copy.copy(program)
    vars(bare).pop("forward", None)
    return bare.deepcopy()


def _number(score: Any) -> float:
    return float(score.score if isinstance(score, dspy.Prediction) else score)


def _hopeless(exception: BaseException | None) -> bool:
    """Whether no other run could get past it: a wrong key, nobody listening, a store that cannot be read."""
    return isinstance(exception, ModelError | StoreError) and not isinstance(exception, SampleError)


def collected(optimizer: Any, trainset: Sequence[dspy.Example]) -> dspy.Module | None:
    """What `dspy.BootstrapFewShot` has so far: its student with the demonstrations found, and labels as it would add.

    None for another optimizer, and where nothing was found.
    """
    traces = getattr(optimizer, "name2traces", None)
    if not isinstance(optimizer, dspy.BootstrapFewShot) or not traces or not any(traces.values()):
        return None
    used = [demo for demos in traces.values() for demo in demos]
    optimizer.validation = [one for one in trainset if not any(_same(one, demo) for demo in used)]
    Random(0).shuffle(optimizer.validation)  # as it does itself
    made = optimizer._train()
    made._compiled = True
    return made


def _same(example: dspy.Example, demo: dspy.Example) -> bool:
    inputs = example.inputs().toDict()
    return all(demo.get(name, None) == value for name, value in inputs.items())


def prompts(program: dspy.Module) -> str:
    """All prompts of a program as one text: two programs that share it ask the same."""
    told = {}
    for name, predictor in program.named_predictors():
        state: Any = predictor.dump_state()
        told[name] = {"signature": state["signature"], "demos": state["demos"], "fields": state.get("fields")}
    return json.dumps(told, sort_keys=True, ensure_ascii=False, default=str)


@contextmanager
def settings_kept(models: Sequence[Any]) -> Iterator[None]:
    """Models have their own settings again when the block ends; SIMBA changes those of a teacher."""
    kept = [(model, dict(model.kwargs)) for model in models if isinstance(getattr(model, "kwargs", None), dict)]
    try:
        yield
    finally:
        for model, kwargs in kept:
            model.kwargs.clear()
            model.kwargs.update(kwargs)
