"""A family: what a kind of task must say about itself so that it can be loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import dspy

from rtk.answers import Checker, Comparer
from rtk.tasks.items import Item
from rtk.tasks.judging import Judge
from rtk.tasks.kinds import AnswerType

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Worked:
    """A solution written out: the reasoning in plain steps, what it arrives at, and passages that it rests on."""

    reasoning: str
    answer: str
    context: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A kind of task at its levels.

    Attributes:
        name: as given to `rtk.tasks.load`; families that share one have different levels.
        levels: the levels there are, easiest first.
        level: the one taken where none is asked for.
        signature: a DSPy signature class fit for the questions.
        draw: (level, seed, index) to an item; None past the end.
        comparer: the comparer of `rtk.answers.equal` that fits the answers.
        answer_type: what an answer is.
        check: a checker of whole and partial candidates, where there is one that does not give the answer away.
        depth: how many thoughts complete a solution.
        random_proposal: a uniformly random next thought.
        explain: inputs to a worked solution.
        explain_next: inputs and a right partial solution to the worked next thought.
        agrees: (example, answer) to whether the answer is right, where equality with the gold does not decide.
        separator: what stands between thoughts where the answer is the thoughts one after the other; None where the
            answer is something else, which is concluded from them.
        thoughts: inputs to the thoughts of a right solution, where they are not the items of the gold answer.
        judge: what is asked of a judge, where there is no gold answer.
        kept: (inputs, answer) to the share of what the question demands that the answer keeps, for judged answers.
        silent: example to whether no answer is the right one, where some questions have none; `agrees` then tells
            whether a text is no answer either.
        passages: what is known in writing, as `Task.passages` has it.
        sizes: how many questions each split has, where they are fixed; None where they are made when asked for.
    """

    name: str
    levels: tuple[int, ...]
    level: int
    signature: type[dspy.Signature]
    draw: Callable[[int, int, int], Item | None]
    comparer: Comparer = "auto"
    answer_type: AnswerType = "text"
    check: Checker | None = None
    depth: Callable[[Inputs], int] | None = None
    random_proposal: Callable[[Inputs, Any, Random], str] | None = None
    explain: Callable[[Inputs], Worked] | None = None
    explain_next: Callable[[Inputs, Any], Worked] | None = None
    agrees: Callable[[Any, Any], bool] | None = None
    separator: str | None = ", "
    thoughts: Callable[[Inputs], list[str]] | None = None
    judge: Judge | None = None
    kept: Callable[[Inputs, Any], float] | None = None
    silent: Callable[[Any], bool] | None = None
    passages: Callable[[], tuple[Mapping[str, str], ...]] | None = None
    sizes: Callable[[], Mapping[str, int]] | None = None
