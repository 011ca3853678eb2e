"""Answers without a gold one: who judges them, on which scale, and how a verdict becomes a score in [0, 1]."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dspy

from rtk.answers import read_number
from rtk.errors import TaskError

_OF = re.compile(r"\D*?(\d+(?:\.\d+)?)\s*(?:/|out of)\s*(\d+(?:\.\d+)?)\W*")


class JudgeAnswer(dspy.Signature):
    """Judge the answer to an open question. Score it from 0 (useless) to 10 (could not be better)."""

    question: str = dspy.InputField()
    answer: str = dspy.InputField()
    score: int = dspy.OutputField(desc="a whole number from 0 to 10")


@dataclass(frozen=True, repr=False)
class Judge:
    """What a task asks of a judge, and the judge where there is one.

    Attributes:
        signature: the question and the answer to a `score`; its instructions are the criteria.
        low: the worst score.
        high: the best score.
        program: who judges; None until `task.judged_by(…)` has said it.
    """

    signature: type[dspy.Signature]
    low: float = 0.0
    high: float = 10.0
    program: Any = None

    def __repr__(self) -> str:
        by = "nobody yet" if self.program is None else _name(self.program)
        return f"Judge({by}, from {self.low:g} to {self.high:g})"

    def score(self, inputs: Mapping[str, Any], answer_field: str, answer: Any) -> float:
        """A verdict on an answer, from 0 for the worst to 1 for the best.

        Raises:
            TaskError: there is no judge, or it said no number on the scale.
        """
        if self.program is None:
            raise TaskError(
                "this task has no gold answers: a judge scores them, and it has none",
                mend="task = task.judged_by(lm), with an rtk.LM or a dspy module that gives a `score`",
            )
        said = self._asked({**inputs, answer_field: answer})
        number = _number(said, self.high)
        if number is None or not self.low <= number <= self.high:
            raise TaskError(
                f"the judge said {said!r:.80}, which is no score from {self.low:g} to {self.high:g}",
                mend="let its last output be a number on that scale, or pass judged_by(…, scale=(low, high))",
            )
        return (number - self.low) / (self.high - self.low)

    def _asked(self, fields: dict[str, Any]) -> Any:
        wanted = _fields(self.program)
        given = fields if wanted is None else {name: fields[name] for name in wanted}
        said = self.program(**given)
        if isinstance(said, dspy.Example | Mapping):
            said = said["score"] if "score" in said else list(said.values())[-1]
        return said

    def described(self) -> list[Any]:
        """What decides its verdicts, for a fingerprint: the criteria, the scale and the judge."""
        return [_criteria(self.signature), self.low, self.high, _described(self.program)]


def judged_by(judge: Judge, program: Any, scale: tuple[float, float] | None, fields: list[str]) -> Judge:
    """A judge that is there; see `Task.judged_by`.

    Raises:
        TaskError: it can judge nothing, its scale is none, or it asks for what the task does not have.
    """
    low, high = scale if scale is not None else (judge.low, judge.high)
    if not low < high:
        raise TaskError(f"a scale from {low} to {high}", mend="scale=(0, 10): the worst score first")
    if isinstance(program, dspy.BaseLM):
        asked = dspy.Predict(judge.signature)
        asked.set_lm(program)
        program = asked
    if not callable(program) or isinstance(program, type):
        raise TaskError(
            f"{program!r:.80} judges nothing", mend="pass an rtk.LM, a dspy module, or a function of the fields"
        )
    unknown = [name for name in _fields(program) or [] if name not in fields]
    if unknown:
        raise TaskError(
            f"the judge asks for {', '.join(unknown)}, which the task does not have",
            mend=f"give it input fields of these: {', '.join(fields)}",
        )
    return replace(judge, program=program, low=float(low), high=float(high))


def _fields(program: Any) -> list[str] | None:
    """The inputs of a predictor or a chain of thought; None for what may take anything."""
    inner = getattr(program, "predict", None) if isinstance(program, dspy.ChainOfThought) else program
    signature: Any = inner.signature if isinstance(inner, dspy.Predict) else None
    return None if signature is None else list(signature.input_fields)


def _number(said: Any, high: float) -> float | None:
    if isinstance(said, str) and (found := _OF.fullmatch(said)):
        return float(found[1]) if float(found[2]) == high else None
    number = read_number(said)
    return None if number is None else float(number)


def _criteria(signature: Any) -> list[Any]:
    return [signature.instructions, sorted(signature.input_fields), sorted(signature.output_fields)]


def _described(program: Any) -> Any:
    if program is None or not isinstance(program, dspy.Module):
        return None if program is None else name_of(program)
    predictors = [
        [name, _criteria(predictor.signature), getattr(predictor.lm, "model", None)]
        for name, predictor in program.named_predictors()
    ]
    return [name_of(program), predictors]


def _name(program: Any) -> str:
    models = [one.lm.model for _, one in program.named_predictors() if one.lm] if hasattr(program, "predictors") else []
    return f"{name_of(program).rpartition('.')[2]}{f' by {models[0]}' if models else ''}"


def name_of(function: Callable[..., Any]) -> str:
    """A function by module and name, an object by those of its class: the same in every process."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
