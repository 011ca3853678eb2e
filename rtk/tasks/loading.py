"""From a name to a task: the families there are, and the splits drawn from one; a file of one's own is a table."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike, fspath
from typing import Any

import dspy

from rtk.errors import TaskError
from rtk.tasks import gym
from rtk.tasks.ambiguous import AMBIGUOUS
from rtk.tasks.arithmetic import ARITHMETIC
from rtk.tasks.brainstorm import BRAINSTORM
from rtk.tasks.families import Family
from rtk.tasks.game24 import GAME24
from rtk.tasks.hidden_sequence import HIDDEN_SEQUENCE
from rtk.tasks.items import Item, collect
from rtk.tasks.sources import kind_of_file
from rtk.tasks.support import SUPPORT
from rtk.tasks.task import Task

OWN = {one.name: [one] for one in (ARITHMETIC, BRAINSTORM, GAME24, SUPPORT)}
OWN["hidden_sequence"] = [HIDDEN_SEQUENCE, AMBIGUOUS]
SIZE = 100
TRAIN_SIZE = 40
LEAST_DEV_SIZE = 10


def names() -> list[str]:
    """Every name that `load` takes: rtk's own tasks first, then reasoning-gym's data sets, each sorted."""
    return [*sorted(OWN), *(name for name in gym.names() if name not in OWN)]


def load(
    name: str | PathLike[str], *, size: int | None = None, seed: int = 0, level: int | None = None, **table: Any
) -> Task:
    """A task by name: `size` test questions, `max(10, size // 2)` dev questions, 40 training questions.

    An item is a function of (name, level, seed, index) alone, so a larger `size` keeps the items of a smaller one,
    and the three splits never share a question, whatever their seeds and sizes. An item's `id` is
    `name/level/seed/index`.

    The questions of `"support"` are fixed: without a `size` it has all of them, and a seed says their order alone.

    Args:
        name: one of `rtk.tasks.names()`: `"hidden_sequence"`, `"arithmetic"`, `"game24"`, `"brainstorm"`,
            `"support"`, or a reasoning-gym data set. Or the path of a table of questions: `.csv`, `.tsv`, `.jsonl`,
            `.json`, `.parquet`.
        size: number of test questions, at least 1; 100 by default, and all that there are in a table or fixed.
        seed: which draw of questions.
        level: difficulty; without it the task's usual one. See the task's own documentation.
        **table: for a table: the options of `rtk.Task.from_frame`, such as `question="problem"`.

    Raises:
        TaskError: no such task or level, too few different questions for the size, or what `from_frame` raises.
    """
    if not isinstance(name, str) or kind_of_file(name):
        if level is not None:
            raise TaskError(f"the table {fspath(name)} has no levels", mend="leave level= out")
        return Task.from_frame(name, size=size, seed=seed, **table)
    if table:
        raise TaskError(f"{', '.join(table)} says how a table is read, and {name!r} is none", mend="leave it out")
    family = _family(name, level)
    if level is None:
        level = family.level
    found = collect(lambda index: family.draw(level, seed, index), _wanted(family, size), f"{name} at level {level}")
    examples = {split: [_example(item, name, level, seed) for item in items] for split, items in found.items()}
    return Task(
        name=name,
        level=level,
        seed=seed,
        signature=family.signature,
        train=examples["train"],
        dev=examples["dev"],
        test=examples["test"],
        comparer=family.comparer,
        check=family.check,
        depth=family.depth,
        random_proposal=family.random_proposal,
        answer_type=family.answer_type,
        separator=family.separator,
        judge=family.judge,
        passages=family.passages() if family.passages is not None else (),
        _family=family,
    )


def _wanted(family: Family, size: int | None) -> Mapping[str, int]:
    """How many questions of each split."""
    there = None if family.sizes is None else family.sizes()
    if size is None:
        if there is not None:
            return there
        size = SIZE
    if size < 1:
        raise TaskError(f"a task of size {size} asks nothing", mend="pass a size of 1 or more")
    train = TRAIN_SIZE if there is None else min(TRAIN_SIZE, there["train"])
    return {"train": train, "dev": max(LEAST_DEV_SIZE, size // 2), "test": size}


def _family(name: str, level: int | None) -> Family:
    """The family of a name that has a level."""
    families = OWN.get(name) or [_from_gym(name)]
    levels = [one for family in families for one in family.levels]
    if level is not None and level not in levels:
        known = ", ".join(map(str, levels))
        raise TaskError(
            f"{name} has no level {level!r}", mend=f"its levels are {known}; without one it is {families[0].level}"
        )
    return next((family for family in families if level in family.levels), families[0])


def _example(item: Item, name: str, level: int, seed: int) -> dspy.Example:
    address = f"{name}/{level}/{seed}/{item.index}"
    return dspy.Example(**item.inputs, answer=item.answer, **item.besides, id=address).with_inputs(*item.inputs)


def _from_gym(name: str) -> Family:
    known = names()
    if name in known:
        return gym.family(name)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise TaskError(f"no task is named {name!r}", mend=f"{guess}rtk.tasks.names() lists them all")
