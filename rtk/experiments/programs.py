"""The usual programs on a task: the same signature, the same worked demonstrations, thinking in different ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import dspy
from dspy.signatures.signature import ensure_signature

from rtk.errors import StrategyError, TaskError
from rtk.strategies import ChainOfThought, SelfConsistency, Strategy, TreeOfThoughts
from rtk.tasks import Task

Thinking = Literal["direct", "chain of thought", "self-consistency", "tree of thoughts"]
STRATEGIES: tuple[Thinking, ...] = get_args(Thinking)
"""In the field's words, from the cheapest on."""

SHOTS = 4  # worked demonstrations in every prompt: without any, a small model gets nothing right


def program(
    strategy: Thinking,
    on: Any,
    *,
    samples: int = 8,
    breadth: int = 2,
    branching: int = 4,
    depth: int = 3,
    shots: int = SHOTS,
    instructions: str | None = None,
) -> Strategy:
    """One of the usual programs.

    Args:
        strategy: `"direct"` (a vote over answers given at once), `"chain of thought"`, `"self-consistency"` or
            `"tree of thoughts"`.
        on: a task, or a signature; a task brings worked demonstrations, its comparer, its checker and its depth.
        samples: of a vote.
        breadth: partial solutions of a tree that go on.
        branching: proposals of a tree for each partial solution.
        depth: thoughts of a tree's whole solution, where the task does not know.
        shots: worked demonstrations in each prompt; none where the task has no solver that writes them.
        instructions: in place of the signature's own.

    Raises:
        StrategyError: for another strategy, or a setting that cannot be.
        TaskError: for more demonstrations than there are training questions.
    """
    if strategy not in STRATEGIES:
        raise StrategyError(f"{strategy!r} is none of the usual programs", mend=f"one of {', '.join(STRATEGIES)}")
    if isinstance(shots, bool) or not isinstance(shots, int) or shots < 0:
        raise StrategyError(f"shots={shots!r}", mend="a whole number from 0 on")
    task: Any = on if isinstance(on, Task) else None
    signature: Any = _signature(on if task is None else task.signature)
    signature = signature if instructions is None else signature.with_instructions(instructions)
    if strategy == "tree of thoughts":
        return tree(signature, task, breadth=breadth, branching=branching, depth=depth, shots=shots)
    demos = _worked(task, shots)
    if strategy == "chain of thought":
        chain = ChainOfThought(signature)
        chain.predict.demos = demos
        return chain
    asked: Any = dspy.Predict(signature) if strategy == "direct" else dspy.ChainOfThought(signature)
    for _, predictor in asked.named_predictors():
        predictor.demos = [demo.without("reasoning") for demo in demos] if strategy == "direct" else demos
    return SelfConsistency(asked, samples, comparer="auto" if task is None else task.comparer)


def tree(
    signature: Any,
    task: Task | None = None,
    *,
    breadth: int = 2,
    branching: int = 4,
    depth: int = 3,
    shots: int = SHOTS,
    checked: bool = True,
    propose: dspy.Module | None = None,
) -> TreeOfThoughts:
    """A tree of thoughts; on a task that is solved in parts, one part a thought, with demonstrations for each place.

    Args:
        signature: the task's, perhaps with other instructions; any where there is no task.
        task: where there is one.
        breadth: partial solutions that go on.
        branching: proposals for each.
        depth: thoughts of a whole solution, where the task does not know.
        shots: worked demonstrations in each prompt.
        checked: whether the task's checker prunes.
        propose: a module in place of the proposal predictors.
    """
    check = task.check if task is not None and checked else None
    if task is None or task.depth is None:
        return TreeOfThoughts(signature, breadth, branching, depth, check=check)
    steps = task.depth(task.train[0].inputs().toDict())
    made = TreeOfThoughts(
        signature, breadth, branching, task.depth, check=check, values=0, separator=task.separator, propose=propose,
        proposers=steps,
    )  # fmt: skip
    if propose is None:
        for found, proposer in enumerate(made.propose if isinstance(made.propose, list) else [made.propose]):
            proposer.predict.demos = _written(task, shots, lambda k, found=found: task.partial_demos(k, found=found))
    if task.separator is None:
        made.answer.predict.demos = _written(task, shots, task.concluding_demos)
    return made


def _signature(on: Any) -> type[dspy.Signature]:
    """A signature, or its text, as a class."""
    cause = None
    try:
        found: Any = ensure_signature(on)
    except (ValueError, TypeError, SyntaxError) as error:
        found, cause = None, error
    if not (isinstance(found, type) and issubclass(found, dspy.Signature)):
        raise StrategyError(
            f"{on!r:.80} is neither a task nor a signature",
            mend="for example rtk.tasks.load('arithmetic'), or 'question -> answer'",
        ) from cause
    return found


def _worked(task: Task | None, shots: int) -> list[dspy.Example]:
    """A task's worked demonstrations; none where nobody wrote any."""
    return [] if task is None else _written(task, shots, task.demos)


def _written(task: Task, shots: int, write: Callable[[int], list[dspy.Example]]) -> list[dspy.Example]:
    if shots == 0:
        return []
    try:
        return write(shots)
    except TaskError:
        if len(task.train) < shots:
            raise
        return []
