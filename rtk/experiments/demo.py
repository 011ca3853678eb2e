"""The main job as one study: the same small model on the same questions, thinking for longer and longer.

Every arm is an ordinary program; arms that ask the same request share its samples, as they would anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import dspy

from rtk.experiments.measuring import Measured, measure
from rtk.experiments.programs import program, tree
from rtk.models import LinesAdapter
from rtk.samples import current_stream
from rtk.tasks import Task, load

MAX_TOKENS = 120  # a whole chain takes 80 at most; what goes on is a loop

Progress = Callable[["Arm", int, int], None]
"""Called after each question with the arm under way, questions answered, and questions in all."""


@dataclass(frozen=True, repr=False)
class Arm:
    """One row of the table: a strategy at one budget.

    Attributes:
        task: what it is measured on.
        strategy: in the field's words.
        budget: how long it may think, in words: samples of a question, or proposals for each step of a tree.
        program: the program.
        measured: its result, once it has run.
    """

    task: Task
    strategy: str
    budget: str
    program: dspy.Module
    measured: Measured | None = None

    def __repr__(self) -> str:
        found = "not measured" if self.measured is None else f"accuracy {self.measured.accuracy}"
        return f"Arm({self.task.name}: {self.strategy}, {self.budget}: {found})"


@dataclass(frozen=True, repr=False)
class Demo:
    """What the study found.

    Attributes:
        arms: all rows, measured.
        shown: a question whose tree found the answer (else the first), with its prediction.
    """

    arms: list[Arm]
    shown: tuple[dspy.Example, Any] | None

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each arm: accuracy with its 95 % Wilson interval, and what it cost in all.

        Tokens are completion tokens; `checks` counts thoughts held against the clues; `seconds` is the longest path of
        asks of one question, on average, as long as it took when drawn.
        """
        return [_row(arm, arm.measured) for arm in self.arms if arm.measured is not None]

    def __repr__(self) -> str:
        return "\n".join(["Demo:", *(f"  {arm!r}" for arm in self.arms)])


def demo(
    lm: dspy.BaseLM, *, size: int = 20, seed: int = 0, concurrency: int = 4, progress: Progress | None = None
) -> Demo:
    """Run the study: `2 * size` calculations and `size` hidden sequences.

    Args:
        lm: the model; the study bounds its completions to 120 tokens.
        size: puzzles.
        seed: which draw of questions.
        concurrency: questions under way at once.
        progress: told after each question.

    Raises:
        ModelError: where no question could ever be answered (no weights, a wrong key, nobody listening).
        TaskError: where there are not so many different questions.
    """
    rows = list(_arms(size, seed))
    total, answered, done = sum(len(arm.task.test) for arm in rows), 0, []
    with dspy.context(lm=lm.copy(max_tokens=MAX_TOKENS), adapter=LinesAdapter()):
        for arm in rows:

            def tick(arm: Arm = arm) -> None:
                nonlocal answered
                answered += 1
                if progress is not None:
                    progress(arm, answered, total)

            measured = measure(arm.program, arm.task.test, arm.task.metric, concurrency=concurrency, progress=tick)
            done.append(replace(arm, measured=measured))
    return Demo(done, _shown(done))


# --- the arms ---


def _arms(size: int, seed: int) -> Iterator[Arm]:
    """All arms: on calculations, and on puzzles, where there is a checker and so a tree."""
    sums, puzzles = load("arithmetic", size=2 * size, seed=seed), load("hidden_sequence", size=size, seed=seed)
    yield from _common(sums)
    yield from _common(puzzles)
    yield from _trees(puzzles)


def _common(task: Task) -> Iterator[Arm]:
    """Direct, one chain, and votes: what every task has."""
    yield Arm(task, "direct", _samples(1), program("direct", task, samples=1))
    yield Arm(task, "chain of thought", _samples(1), program("chain of thought", task))
    for samples in (4, 8):
        yield Arm(task, "self-consistency", _samples(samples), program("self-consistency", task, samples=samples))


def _samples(count: int) -> str:
    return f"{count} sample" if count == 1 else f"{count} samples"


def _trees(task: Task) -> Iterator[Arm]:
    """Trees of one number at a time, and the two controls that say what the checker does by itself."""
    for branching in (2, 4):
        yield Arm(task, "tree of thoughts", f"{branching} a step", tree(task.signature, task, branching=branching))
    yield Arm(task, "tree, unchecked", "4 a step", tree(task.signature, task, checked=False))
    yield Arm(task, "random, checked", "4 a step", tree(task.signature, task, propose=RandomProposer(task)))


class RandomProposer(dspy.Module):
    """Proposes a uniformly random next thought: what a checker achieves when nobody thinks.

    Args:
        task: one with a `random_proposal`.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def forward(self, partial: str, **inputs: Any) -> dspy.Prediction:
        """A thought that depends on nothing but the question, the partial solution and the stream."""
        rng = Random(f"{current_stream()}|{partial}|{sorted(inputs.items())}")
        propose = self._task.random_proposal
        return dspy.Prediction(thought=propose(inputs, partial, rng) if propose is not None else "")


# --- what is shown ---


def _row(arm: Arm, measured: Measured) -> dict[str, Any]:
    named = {"task": arm.task.name, "strategy": arm.strategy, "budget": arm.budget}
    return {**named, **measured.summary(), "checks": _checks(arm, measured), "seconds": measured.seconds}


def _checks(arm: Arm, measured: Measured) -> int:
    """Thoughts that were held against the clues."""
    if getattr(arm.program, "check", None) is None:
        return 0
    trees = [row.prediction.deliberation for row in measured.rows if row.prediction is not None]
    return sum(step.kind == "thought" and bool(step.text) for tree in trees for _, step in tree.walk())


def _shown(done: list[Arm]) -> tuple[dspy.Example, Any] | None:
    """A tree to print: the first that found the answer after something was pruned, else the first."""
    trees = [row for arm in done if arm.strategy == "tree of thoughts" and arm.measured for row in arm.measured.rows]
    solved = [row for row in trees if row.correct]
    pruned = [row for row in solved if any(step.state == "pruned" for _, step in row.prediction.deliberation.walk())]
    row = next(iter([*pruned, *solved, *trees]), None)
    return None if row is None else (row.example, row.prediction)
