"""The main job as one study: the same small model on the same questions, thinking for longer and longer.

Every arm is an ordinary program; arms that ask the same request share its samples, as they would anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import dspy

from rtk.deliberation import Deliberation
from rtk.experiments.programs import program, tree
from rtk.experiments.results import Results
from rtk.experiments.sweeping import sweep
from rtk.models import LinesAdapter
from rtk.samples import current_stream
from rtk.tasks import Task, load

MAX_TOKENS = 120  # a whole chain takes 80 at most; what goes on is a loop

Progress = Callable[[str, int, int], None]
"""Called after each answer with the task under way, answers so far, and answers in all."""
Arm = tuple[str, str]
"""A strategy in the field's words, and its budget: samples of a question, or proposals for each step of a tree."""


@dataclass(frozen=True, repr=False)
class Demo:
    """What the study found.

    Attributes:
        results: of each task, by its name.
    """

    results: dict[str, Results]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each arm: accuracy with its 95 % Wilson interval, and what it cost in all.

        Tokens are completion tokens; `checks` counts thoughts held against the clues; `seconds` is the longest path of
        asks of one question, on average, as long as it took when drawn.
        """
        return [row for name, found in self.results.items() for row in _rows(name, found)]

    @property
    def drawn(self) -> int:
        """Samples that were drawn now."""
        return sum(int(found.rows("drawn")["drawn"].sum()) for found in self.results.values())

    @property
    def reused(self) -> int:
        """Samples that were in the store."""
        return sum(int(found.rows("reused")["reused"].sum()) for found in self.results.values())

    @property
    def shown(self) -> tuple[dict[str, Any], Deliberation] | None:
        """A tree to print, with the row of its answer: the first that found it after something was pruned, else the
        first.
        """
        found = self.results["hidden_sequence"]
        rows = found.rows("program", "question", "answer", "gold", "correct")
        trees = [number for number, name in enumerate(rows["program"]) if name.startswith("tree of thoughts")]
        solved = [number for number in trees if rows["correct"][number]]
        pruned = (number for number in solved if _pruned(found.deliberation(number)))
        number = next(pruned, next(iter([*solved, *trees]), None))
        told = None if number is None else found.deliberation(number)
        return None if told is None else (dict(rows.loc[number]), told)

    def __repr__(self) -> str:
        rows = self.rows()
        said = [f"  {row['task']}: {row['strategy']}, {row['budget']}: accuracy {row['accuracy']:.2f}" for row in rows]
        return "\n".join(["Demo:", *said])


def demo(
    lm: dspy.BaseLM, *, size: int = 20, seed: int = 0, concurrency: int = 4, progress: Progress | None = None
) -> Demo:
    """Run the study: `2 * size` calculations and `size` hidden sequences.

    Args:
        lm: the model; the study bounds its completions to 120 tokens.
        size: puzzles.
        seed: which draw of questions.
        concurrency: questions under way at once.
        progress: told after each answer.

    Raises:
        ModelError: where no question could ever be answered (no weights, a wrong key, nobody listening).
        TaskError: where there are not so many different questions.
        KeyboardInterrupt: when it is interrupted; what was drawn is kept.
    """
    tasks = [load("arithmetic", size=2 * size, seed=seed), load("hidden_sequence", size=size, seed=seed)]
    studies = [(task, dict(_arms(task))) for task in tasks]
    total, answered, found = sum(len(task.test) * len(arms) for task, arms in studies), 0, {}
    with dspy.context(lm=lm.copy(max_tokens=MAX_TOKENS), adapter=LinesAdapter()):
        for task, arms in studies:

            def tick(name: str = task.name) -> None:
                nonlocal answered
                answered += 1
                if progress is not None:
                    progress(name, answered, total)

            programs = {_label(*arm): one for arm, one in arms.items()}
            found[task.name] = sweep(programs, task, concurrency=concurrency, progress=tick)
            if found[task.name].stopped == "interrupted":
                raise KeyboardInterrupt
    return Demo(found)


# --- the arms ---


def _arms(task: Task) -> Iterator[tuple[Arm, dspy.Module]]:
    """Direct, one chain and votes; where there is a checker, trees too."""
    yield ("direct", _samples(1)), program("direct", task, samples=1)
    yield ("chain of thought", _samples(1)), program("chain of thought", task)
    for samples in (4, 8):
        yield ("self-consistency", _samples(samples)), program("self-consistency", task, samples=samples)
    if task.check is not None:
        yield from _trees(task)


def _samples(count: int) -> str:
    return f"{count} sample" if count == 1 else f"{count} samples"


def _trees(task: Task) -> Iterator[tuple[Arm, dspy.Module]]:
    """Trees of one number at a time, and the two controls that say what the checker does by itself."""
    for branching in (2, 4):
        yield ("tree of thoughts", f"{branching} a step"), tree(task.signature, task, branching=branching)
    yield ("tree, unchecked", "4 a step"), tree(task.signature, task, checked=False)
    yield ("random, checked", "4 a step"), tree(task.signature, task, propose=RandomProposer(task))


def _label(strategy: str, budget: str) -> str:
    return f"{strategy} | {budget}"


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


def _rows(task: str, found: Results) -> list[dict[str, Any]]:
    checks = _checks(found)
    return [_row(task, line, checks.get(line["setting"], 0)) for line in found.summary().rows()]


def _row(task: str, line: dict[str, Any], checks: int) -> dict[str, Any]:
    strategy, _, budget = line["program"].partition(" | ")
    return {
        "task": task, "strategy": strategy, "budget": budget,
        "accuracy": line["accuracy"], "low": line["low"], "high": line["high"], "n": line["questions"],
        "failed": line["failed"], "abstained": line["abstained"],
        "samples": int(line["total_consulted"] or 0), "tokens": int(line["total_tokens_out"] or 0),
        "checks": checks, "seconds": line["seconds"] or 0.0,
    }  # fmt: skip


def _checks(found: Results) -> dict[str, int]:
    """Thoughts that were held against the clues, by setting."""
    settings, sums = found.rows("setting")["setting"], dict[str, int]()
    checked = ("tree of thoughts", "random, checked")
    for number, told in found.deliberations():
        if settings[number].startswith(checked):
            thoughts = sum(step.kind == "thought" and bool(step.text) for _, step in told.walk())
            sums[settings[number]] = sums.get(settings[number], 0) + thoughts
    return sums


def _pruned(told: Deliberation | None) -> bool:
    return told is not None and any(step.state == "pruned" for _, step in told.walk())
