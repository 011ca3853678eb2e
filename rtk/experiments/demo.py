"""The main job as one study: the same small model on the same questions, thinking for longer and longer.

Every arm is an ordinary program; arms that ask the same request share its samples, as they would anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import dspy

from rtk.experiments.measuring import Measured, measure
from rtk.samples import current_stream
from rtk.strategies import ChainOfThought, SelfConsistency, TreeOfThoughts
from rtk.tasks import Task, load

SHOTS = 4  # worked demonstrations in every prompt: without any, so small a model scores 0


@dataclass(frozen=True)
class Arm:
    """One row of the table: a strategy at one budget.

    Attributes:
        task: what it is measured on.
        strategy: in the field's words.
        budget: how long it may think, in words.
        program: the program.
        measured: its result, once it has run.
    """

    task: Task
    strategy: str
    budget: str
    program: dspy.Module
    measured: Measured | None = None


@dataclass(frozen=True)
class Demo:
    """What the study found.

    Attributes:
        arms: all rows, measured.
        shown: a question whose tree found the answer (else the first), with its prediction.
    """

    arms: list[Arm]
    shown: tuple[dspy.Example, Any] | None


def arms(size: int, seed: int) -> list[Arm]:
    """The rows: products (twice as many as puzzles) and hidden sequences."""
    products = load("arithmetic", size=2 * size, seed=seed)
    puzzles = load("hidden_sequence", size=size, seed=seed)
    return [*_common(products), *_common(puzzles), *_trees(puzzles)]


def demo(
    rows: list[Arm], lm: dspy.BaseLM, *, concurrency: int = 16, progress: Callable[[Arm], None] | None = None
) -> Demo:
    """Run the study.

    Args:
        rows: the arms, as `arms` makes them.
        lm: the model.
        concurrency: questions under way at once.
        progress: called with the arm under way after each question.
    """
    done = []
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        for arm in rows:
            tick = None if progress is None else lambda arm=arm: progress(arm)
            measured = measure(arm.program, arm.task.test, arm.task.metric, concurrency=concurrency, progress=tick)
            done.append(Arm(arm.task, arm.strategy, arm.budget, arm.program, measured))
    return Demo(done, _shown(done))


def _common(task: Task) -> Iterator[Arm]:
    """Direct, one chain, and votes: what every task has."""
    direct = dspy.Predict(task.signature)
    direct.demos = [demo.without("reasoning") for demo in task.demos(SHOTS)]
    yield Arm(task, "direct", "1 sample", direct)
    chain = ChainOfThought(task.signature)
    chain.predict.demos = task.demos(SHOTS)
    yield Arm(task, "chain of thought", "1 sample", chain)
    for samples in (4, 8):
        vote = SelfConsistency(task.signature, samples, comparer=task.comparer)
        vote.chain.predict.demos = task.demos(SHOTS)
        yield Arm(task, "self-consistency", f"{samples} samples", vote)


def _trees(task: Task) -> Iterator[Arm]:
    """Trees of one number at a time, and the two controls that say what the checker does by itself."""
    for breadth in (1, 3):
        yield Arm(task, "tree of thoughts", f"breadth {breadth}", _tree(task, breadth, check=task.check))
    yield Arm(task, "tree, no checker", "breadth 3", _tree(task, 3, check=None))
    chance = _tree(task, 3, check=task.check, propose=RandomProposer(task))
    yield Arm(task, "random proposer, checked", "breadth 3", chance)


def _tree(task: Task, breadth: int, *, check: Any, propose: dspy.Module | None = None) -> TreeOfThoughts:
    tree = TreeOfThoughts(
        task.signature, breadth, 4, task.depth or 1, check=check, values=0, separator=", ", propose=propose
    )
    if propose is None:
        tree.propose.predict.demos = task.partial_demos(SHOTS)
    return tree


class RandomProposer(dspy.Module):
    """Proposes a uniformly random next thought: what a checker achieves when nobody thinks.

    Args:
        task: one with a `random_proposal`.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def forward(self, partial: str, **inputs: Mapping[str, Any]) -> dspy.Prediction:
        """A thought that depends on nothing but the question, the partial solution and the stream."""
        rng = Random(f"{current_stream()}|{partial}|{sorted(inputs.items())}")
        propose = self._task.random_proposal
        return dspy.Prediction(thought=propose(inputs, partial, rng) if propose is not None else "")


def _shown(done: list[Arm]) -> tuple[dspy.Example, Any] | None:
    """A tree to print: the first that found the answer after something was pruned, else the first."""
    trees = [row for arm in done if arm.strategy == "tree of thoughts" and arm.measured for row in arm.measured.rows]
    solved = [row for row in trees if row.correct and "pruned" in str(row.prediction.deliberation)]
    row = next(iter([*solved, *(row for row in trees if row.correct), *trees]), None)
    return None if row is None else (row.example, row.prediction)
