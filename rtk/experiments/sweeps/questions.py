"""What a sweep asks: a task's split, or examples with a metric, with the card that says which they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk.errors import TaskError
from rtk.experiments.records.records import Card
from rtk.experiments.sweeps.rows import Metric, gold_of, question_of, said
from rtk.tasks import Task

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Questions:
    """What is asked.

    Attributes:
        examples: with gold answers.
        metric: `(example, prediction) -> bool`, or a score in [0, 1].
        card: which they are; what is reported is empty where only the scores will tell.
        answer_field: the output that holds the answer; None where nobody says.
        scores_attempts: whether the metric may be asked of every attempt; not where a model is behind it.
    """

    examples: Sequence[dspy.Example]
    metric: Metric
    card: Card
    answer_field: str | None
    scores_attempts: bool

    def rows(self) -> Iterator[dict[str, Any]]:
        """The questions as rows."""
        ids: dict[str, int] = {}
        return (self._row(place, example, ids) for place, example in enumerate(self.examples))

    def _row(self, place: int, example: dspy.Example, ids: dict[str, int]) -> dict[str, Any]:
        name = str(example.get("id", None) or place)
        ids[name] = ids.get(name, 0) + 1
        name = name if ids[name] == 1 else f"{name} ({ids[name]})"
        gold, kind = said(gold_of(example, self.answer_field)), said(example.get("kind", None))
        return {"example": name, "question": question_of(example), "gold": gold, "kind": kind}


def questions(given: Any, metric: Metric | None, split: str) -> Questions:
    """A task's split, or a list of examples.

    Args:
        given: a task, or `dspy.Example`s.
        metric: in place of the task's; with examples there is none without.
        split: of a task.

    Raises:
        TaskError: for what is neither, for examples that do not say which fields are inputs, for no metric, or for no
            question.
    """
    if isinstance(given, Task):
        return _of_task(given, metric, split)
    examples = _examples(given)
    if not callable(metric):
        raise TaskError(
            "examples without a metric", mend="metric=lambda example, prediction: …, which is True if right"
        )
    card = Card("examples", "", len(examples), _fingerprint(examples, metric), metric="")
    return Questions(examples, metric, card, None, not _asks(metric))


def _of_task(task: Task, metric: Metric | None, split: str) -> Questions:
    if split not in SPLITS:
        raise TaskError(f"split={split!r} is none", mend=f"one of {', '.join(SPLITS)}")
    examples = list(getattr(task, split))
    if not examples:
        raise TaskError(f"{task!r} has no {split} questions", mend="another split=, or a task with more questions")
    reports = task.reports if metric is None else ""
    named = reports or getattr(metric, "__qualname__", type(metric).__name__)
    print_of = hashlib.sha256(f"{task.fingerprint}/{split}/{named}".encode()).hexdigest()
    card = Card(task.name, split, len(examples), print_of, reports, task.level, task.seed)
    scored = metric or task.metric
    judged = "judge" in reports or _asks(scored)
    return Questions(examples, scored, card, task.answer_field, not judged)


def _asks(metric: Any) -> bool:
    """Whether a metric is a program, which asks a model for every score."""
    return isinstance(metric, dspy.Module)


def _examples(given: Any) -> list[dspy.Example]:
    if isinstance(given, (str, Mapping, dspy.Example)) or not hasattr(given, "__iter__"):
        raise TaskError(f"{given!r:.60} are no questions", mend="a task, or a list of dspy.Examples")
    found = list(given)
    if not found:
        raise TaskError("no question", mend="a task, or a list of dspy.Examples with one at least")
    for place, example in enumerate(found):
        if not isinstance(example, dspy.Example):
            raise TaskError(
                f"question {place} is a {type(example).__name__}, no dspy.Example",
                mend='dspy.Example(question="…", answer="…").with_inputs("question")',
            )
        if example._input_keys is None:
            raise TaskError(
                f"example {place} does not say which of its fields are inputs",
                mend='make it with .with_inputs("question"), naming every input field',
            )
    return found


def _fingerprint(examples: Sequence[dspy.Example], metric: Any) -> str:
    """SHA-256 of the examples in order, and of what the metric is called."""
    digest = hashlib.sha256(getattr(metric, "__qualname__", type(metric).__name__).encode())
    for example in examples:
        row = [sorted(example.inputs().keys()), example.toDict()]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()
