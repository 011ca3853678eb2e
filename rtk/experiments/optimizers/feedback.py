"""A task's metric as optimizers call it: its own mistakes end them, and who reads gets a word on what was wrong."""

from __future__ import annotations

from typing import Any

import dspy

from rtk.errors import TaskError
from rtk.experiments.optimizers.ended import Ended
from rtk.tasks import Task

LONGEST = 300  # characters of an answer in a feedback


class Judged:
    """A task's metric. What it refuses, such as a program without the answer's field, ends the optimizer.

    DSPy would count it as a wrong answer, of every candidate alike.

    Args:
        task: questions with a metric.
        whole: whether a demonstration has to be right, where the metric gives scores between.
    """

    def __init__(self, task: Task, whole: bool = False) -> None:
        self._metric, self._whole = task.metric, whole

    def __call__(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> Any:
        """The score; with a trace, which is where demonstrations are collected, whether it is right."""
        try:
            score = self._metric(gold, pred, trace)
        except TaskError as error:
            raise Ended(error) from error
        return score >= 1 if self._whole and trace is not None else score


class Feedback:
    """A metric as `dspy.GEPA` calls it: a score, and where one predictor is looked at, what was wrong in words.

    The words name the gold answer, which only who writes prompts from training questions gets to read, and what the
    task's checker, which never sees it, says of the answer that was given.

    Args:
        task: questions with a metric and perhaps a checker.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._judged = task, Judged(task)

    def __call__(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> Any:
        """The score, as a number; with `pred_name` a prediction that holds `score` and `feedback`."""
        score = float(self._judged(gold, pred, trace))
        return score if pred_name is None else dspy.Prediction(score=score, feedback=self._said(gold, pred, score))

    def _said(self, gold: Any, pred: Any, score: float) -> str:
        if score >= 1:
            return "The answer is right."
        name = self._task.answer_field
        answer = pred.get(name, None) if isinstance(pred, dspy.Example) else pred
        if answer is None:
            return f"There is no answer: the reply has no readable {name}. {self._right(gold)}".strip()
        return " ".join(filter(None, [f"The answer {_short(answer)} is wrong.", self._checked(gold, answer),
                                      self._right(gold)]))  # fmt: skip

    def _right(self, gold: Any) -> str:
        right = gold.get(self._task.answer_field, None)
        return "" if right is None else f"The right answer is {_short(right)}."

    def _checked(self, gold: Any, answer: Any) -> str:
        if self._task.check is None:
            return ""
        found = self._task.check(gold.inputs().toDict(), answer)
        return found.reason if found.ok is False else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
