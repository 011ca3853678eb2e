"""A task as a researcher holds it: a signature, three splits, a metric, and a checker where there is one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

import dspy

from rtk.answers import Checker, Comparer, equal
from rtk.errors import TaskError
from rtk.tasks.families import Family, Inputs
from rtk.tasks.items import SPLITS


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """Questions with gold answers in disjoint splits, and what is needed to work on them.

    Attributes:
        name: as given to `rtk.tasks.load`.
        level: difficulty, from the task's own levels.
        seed: which draw of questions.
        signature: a DSPy signature class fit for the questions.
        train: examples to take demonstrations from; each has its inputs, the answer and an `id`.
        dev: examples to choose settings and prompts on.
        test: examples to report on.
        answer_field: the output field that holds the answer.
        comparer: the comparer of `rtk.answers.equal` that fits the answers.
        check: `(inputs, candidate) -> Check` on a whole or a partial candidate, never shown the gold; None where
            there is none.
        depth: `(inputs) -> int`, how many thoughts complete a solution; None where answers are not built in parts.
        random_proposal: `(inputs, partial, rng) -> str`, a uniformly random next thought, for a control row that
            proposes blindly at as many checks; None as above.
    """

    name: str
    level: int
    seed: int
    signature: type[dspy.Signature]
    train: list[dspy.Example]
    dev: list[dspy.Example]
    test: list[dspy.Example]
    answer_field: str = "answer"
    comparer: Comparer = "auto"
    check: Checker | None = None
    depth: Callable[[Inputs], int] | None = None
    random_proposal: Callable[[Inputs, Any, Random], str] | None = None
    _family: Family | None = field(default=None)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split}={len(getattr(self, split))}" for split in SPLITS)
        return f"Task({self.name!r}, level={self.level}, seed={self.seed}, {sizes})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all items, in order, as 64 hexadecimal digits: two tasks with the same one ask the same."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for example in getattr(self, split):
                row = [split, example.id, example.inputs().toDict(), example[self.answer_field]]
                digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True, default=str).encode() + b"\n")
        return digest.hexdigest()

    def metric(self, example: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> bool:
        """Whether a prediction's answer is right, in the shape that DSPy's `Evaluate` and optimizers call.

        No answer (None, empty, an empty prediction) is wrong. The last three arguments are DSPy's and change
        nothing.

        Raises:
            TaskError: the prediction has outputs, but none of the task's answer field.
        """
        answer = _answer_of(pred, self.answer_field)
        if answer is None or (isinstance(answer, str) and not answer.strip()):
            return False
        if self._family is not None and self._family.agrees is not None:
            return bool(self._family.agrees(example, answer))
        return bool(equal(answer, example[self.answer_field], comparer=self.comparer))

    def demos(self, k: int) -> list[dspy.Example]:
        """The first `k` training questions with worked `reasoning` and answer, for a predictor's `demos`.

        The reasoning is written by the generator's own solver from the question alone.

        Raises:
            TaskError: the task has no solver that writes, or fewer than `k` training questions.
        """
        if self._family is None or self._family.explain is None:
            raise self._unwritten()
        explain = self._family.explain
        return [self._worked(example, explain(example.inputs().toDict())) for example in self._first(k)]

    def partial_demos(
        self, k: int, partial: str = "partial", thought: str = "thought", *, found: int | None = None
    ) -> list[dspy.Example]:
        """`k` demonstrations of one thought each: a right partial solution, the `reasoning`, the next thought.

        The i-th takes the i-th training question, at a position that goes round: nothing found yet, one number
        found, and so on.

        Args:
            k: how many.
            partial: name of the input field that holds the solution so far (`""` at the start, else `"4, 7"`).
            thought: name of the output field that holds what comes next.
            found: how many are found already, in all of them; it goes round by default.

        Raises:
            TaskError: the task is not solved in parts, has fewer than `k` training questions, or its solutions have no
                more than `found` parts.
        """
        if self._family is None or self._family.explain_next is None or self.depth is None:
            raise self._unwritten()
        made = []
        for i, example in enumerate(self._first(k)):
            inputs = example.inputs().toDict()
            place = i % self.depth(inputs) if found is None else found
            so_far = ", ".join(example[self.answer_field].split(", ")[:place])
            worked = self._family.explain_next(inputs, so_far)
            fields = {**inputs, partial: so_far, "reasoning": worked.reasoning, thought: worked.answer}
            made.append(dspy.Example(**fields).with_inputs(*inputs.keys(), partial))
        return made

    def _worked(self, example: dspy.Example, worked: Any) -> dspy.Example:
        inputs = example.inputs()
        fields = {**inputs, "reasoning": worked.reasoning, self.answer_field: worked.answer}
        return dspy.Example(**fields).with_inputs(*inputs.keys())

    def _first(self, k: int) -> list[dspy.Example]:
        if not 0 <= k <= len(self.train):
            raise TaskError(
                f"{self!r} has {len(self.train)} training questions, {k} demonstrations were asked for",
                mend=f"ask for {len(self.train)} or fewer",
            )
        return self.train[:k]

    def _unwritten(self) -> TaskError:
        return TaskError(
            f"{self.name} has no solver that writes such demonstrations",
            mend="take task.train as it is, or let an optimizer bootstrap demonstrations from it",
        )


def _answer_of(pred: Any, name: str) -> Any:
    """What a prediction, a mapping or a bare answer holds under the answer field."""
    if not isinstance(pred, dspy.Example | Mapping):
        return pred
    if name in pred:
        return pred[name]
    others = [key for key in pred.keys() if key != "reasoning"]  # noqa: SIM118 - an Example iterates otherwise
    if others:
        raise TaskError(
            f"the prediction has {', '.join(others)} but no {name!r}",
            mend=f"give the program an output field named {name!r}, as in task.signature",
        )
    return None
