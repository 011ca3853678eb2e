"""A task as a researcher holds it: a signature, three splits, a metric, and a checker where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Literal

import dspy

from rtk.answers import Checker, Comparer, equal
from rtk.errors import TaskError
from rtk.tasks.cards import card, digest, said
from rtk.tasks.families import Family, Inputs
from rtk.tasks.flaws import Flaw
from rtk.tasks.items import SPLITS
from rtk.tasks.judging import Judge, judged_by, name_of
from rtk.tasks.kinds import AnswerType
from rtk.tasks.own import Table
from rtk.tasks.tabled import Tabled

Reports = Literal["accuracy", "mean judged score"]


@dataclass(frozen=True, eq=False, repr=False)
class Task(Tabled):
    """Questions in disjoint splits, and what is needed to work on them.

    Attributes:
        name: as given to `rtk.tasks.load`, or what a table of one's own is called.
        level: difficulty, from the task's own levels; None for a table of one's own.
        seed: which draw of questions.
        signature: a DSPy signature class fit for the questions.
        train: examples to take demonstrations from; each has its inputs, the answer and an `id`.
        dev: examples to choose settings and prompts on.
        test: examples to report on.
        answer_field: the output field that holds the answer. In an example it is the gold answer; None where a
            question has many right answers, or none.
        answer_type: what an answer is: `"int"`, `"float"`, `"text"`, `"bool"`, `"list"` or `"choice"`.
        comparer: the comparer of `rtk.answers.equal` that fits the answers.
        check: `(inputs, candidate) -> Check` on a whole or a partial candidate, never shown the gold. None where there
            is none: `BestOfN(…, reward_fn=task.check)` then needs a judge or a function in its place.
        depth: `(inputs) -> int`, how many thoughts complete a solution; None where answers are not built in parts.
        random_proposal: `(inputs, partial, rng) -> str`, a uniformly random next thought, for a control row that
            proposes blindly at as many checks; None as above.
        separator: what stands between thoughts where the answer is the thoughts one after the other, as
            `TreeOfThoughts(separator=)` takes it; None where the answer is concluded from them.
        judge: of answers without a gold one: the criteria, the scale, and who judges; None where equality or a scorer
            decides.
        dropped: what was wrong with the rows that were left out of a table, by row and column.
        repeated: rows of a table that ask, with the same answer, what an earlier one asks; they count once.
        passages: what is known in writing, pairs with `id`, `question` and `answer`, as `rtk.Retriever` takes them;
            empty where a task has none.
    """

    name: str
    level: int | None
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
    answer_type: AnswerType = "text"
    separator: str | None = ", "
    judge: Judge | None = None
    dropped: tuple[Flaw, ...] = ()
    repeated: tuple[Flaw, ...] = ()
    passages: tuple[Mapping[str, str], ...] = ()
    _family: Family | None = field(default=None)

    # --- what it is ---

    @property
    def reports(self) -> Reports:
        """What its metric is the mean of: `"accuracy"`, or the `"mean judged score"` where answers are graded."""
        return "accuracy" if self.judge is None else "mean judged score"

    def __repr__(self) -> str:
        return said(self)

    def _repr_html_(self) -> str:
        return str(card(self))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all items in order and of how they are scored, as 64 hexadecimal digits.

        Two tasks with the same one ask the same and score it alike. A function (a comparer, a judge) counts by its
        module and name.
        """
        return digest(self._scoring(), self._items(SPLITS))

    def fingerprint_of(self, split: str) -> str:
        """The same of one split alone, `"train"`, `"dev"` or `"test"`.

        Raises:
            TaskError: there is no such split.
        """
        if split not in SPLITS:
            raise TaskError(f"no split is called {split!r}", mend=f"one of {', '.join(SPLITS)}")
        return digest(self._scoring(), self._items([split]))

    def _scoring(self) -> dict[str, Any]:
        """What decides a score."""
        family = self._family
        scorer = None if family is None else family.agrees or family.kept
        known = {"passages": [dict(passage) for passage in self.passages]} if self.passages else {}
        return {
            **known,
            "answer_field": self.answer_field,
            "answer_type": self.answer_type,
            "comparer": self.comparer if isinstance(self.comparer, str) else name_of(self.comparer),
            "scorer": None if scorer is None else name_of(scorer),
            "judge": None if self.judge is None else self.judge.described(),
        }

    def _items(self, splits: Iterable[str]) -> Iterable[list[Any]]:
        for split in splits:
            for example in getattr(self, split):
                inputs = example.inputs().toDict()
                besides = self._besides(example)
                yield [split, example.id, inputs, example.get(self.answer_field, None), *([besides] if besides else [])]

    def _besides(self, example: dspy.Example) -> dict[str, Any]:
        """What a scorer of rtk's own reads of an example beyond its answer."""
        if self._family is None:
            return {}
        known = {*example.inputs().keys(), self.answer_field, "id"}
        return {name: value for name, value in example.items() if name not in known}

    # --- scoring ---

    def metric(
        self, example: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
    ) -> bool | float:
        """Whether a prediction's answer is right, in the shape that DSPy's `Evaluate` and optimizers call.

        Where answers are judged it is the judge's score, from 0.0 to 1.0. No answer (None, empty, an empty
        prediction) is wrong, or 0.0; where the task has questions that nothing answers (`"support"`), it is right for
        those. The last three arguments are DSPy's and change nothing.

        Raises:
            TaskError: the prediction has outputs, but none of the task's answer field; the example has no gold answer
                and nothing else decides; answers are judged, and there is no judge.
        """
        answer = _answer_of(pred, self.answer_field)
        if answer is None or (isinstance(answer, str) and not answer.strip()):
            return self._silent(example) if self.judge is None else 0.0
        if self.judge is not None:
            return self._judged(self.judge, example.inputs().toDict(), answer)
        if self._family is not None and self._family.agrees is not None:
            return bool(self._family.agrees(example, answer))
        gold = example.get(self.answer_field, None)
        if gold is None:
            raise TaskError(
                f"the example has no gold {self.answer_field!r} to compare with",
                mend="score with the task's own examples; a table without answers is judged: answer=None",
            )
        return bool(equal(answer, gold, comparer=self.comparer))

    def _silent(self, example: Any) -> bool:
        """Whether no answer is the right one."""
        return self._family is not None and self._family.silent is not None and self._family.silent(example)

    def _judged(self, judge: Judge, inputs: dict[str, Any], answer: Any) -> float:
        score = judge.score(inputs, self.answer_field, answer)
        kept = None if self._family is None else self._family.kept
        return score if kept is None else score * kept(inputs, answer)

    def judged_by(self, judge: Any, *, scale: tuple[float, float] | None = None) -> Task:
        """The same task with a judge, for answers that have no gold one.

        The metric then is what the judge gives, put on [0, 1]; of rtk's own tasks, times the share of the question's
        checkable demands that the answer keeps.

        Args:
            judge: a model (an `rtk.LM` or another `dspy.LM`), which is asked with `task.judge.signature`; a DSPy module
                that takes the task's fields and gives a `score` (else its last output counts); or a function of these
                fields that returns a number.
            scale: the worst and the best score; `task.judge`'s by default, 0 and 10.

        Raises:
            TaskError: the task has gold answers, or the judge or the scale cannot be one.
        """
        if self.judge is None:
            raise TaskError(
                f"{self.name} has right answers and needs no judge",
                mend="leave it out, or make a task without gold answers: from_frame(…, answer=None)",
            )
        fields = [*self.signature.input_fields, self.answer_field]
        return replace(self, judge=judged_by(self.judge, judge, scale, fields))

    # --- demonstrations ---

    def demos(self, k: int) -> list[dspy.Example]:
        """The first `k` training questions with worked `reasoning` and answer, for a predictor's `demos`.

        The reasoning is written by the generator's own solver from the question alone; that of `"support"` by hand,
        with the passages that it rests on as a further input, `context`.

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

        The i-th takes the i-th training question, at a position that goes round: nothing found yet, one thought
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
            so_far = self._between.join(self._thoughts(example)[:place])
            worked = self._family.explain_next(inputs, so_far)
            fields = {**inputs, partial: so_far, "reasoning": worked.reasoning, thought: worked.answer}
            made.append(dspy.Example(**fields).with_inputs(*inputs.keys(), partial))
        return made

    def concluding_demos(self, k: int, thoughts: str = "thoughts") -> list[dspy.Example]:
        """`k` demonstrations of the answer being concluded from all thoughts, for the predictor that does so.

        Args:
            k: how many.
            thoughts: name of the input field that holds the thoughts, one a line.

        Raises:
            TaskError: the task has no solver that writes them, or fewer than `k` training questions.
        """
        if self.separator is not None or self.depth is None:
            raise self._unwritten()
        worked = zip(self.demos(k), self._first(k), strict=True)
        return [
            dspy.Example(**demo, **{thoughts: self._between.join(self._thoughts(example))}).with_inputs(
                *demo.inputs().keys(), thoughts
            )
            for demo, example in worked
        ]

    @property
    def _between(self) -> str:
        """What a tree puts between thoughts."""
        return "\n" if self.separator is None else self.separator

    def _thoughts(self, example: dspy.Example) -> list[str]:
        """The thoughts of a right solution."""
        if self._family is not None and self._family.thoughts is not None:
            return self._family.thoughts(example.inputs().toDict())
        return example[self.answer_field].split(", ")

    def _worked(self, example: dspy.Example, worked: Any) -> dspy.Example:
        inputs = {**example.inputs(), **({"context": list(worked.context)} if worked.context else {})}
        fields = {**inputs, "reasoning": worked.reasoning, self.answer_field: worked.answer}
        return dspy.Example(**fields).with_inputs(*inputs)

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

    # --- tables of one's own ---

    @classmethod
    def _of_table(cls, found: Table, seed: int, check: Checker | None, judge: Judge | None) -> Task:
        train, dev, test = (found.splits[split] for split in SPLITS)
        return cls(
            found.name, None, seed, found.signature, train, dev, test, answer_field=found.answer_field,
            answer_type=found.answer_type, comparer=found.comparer, check=check, judge=judge,
            dropped=found.dropped, repeated=found.repeated,
        )  # fmt: skip


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
