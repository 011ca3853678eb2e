"""Every data set of reasoning-gym as a family: its questions by seed and index, its own scorer as the metric.

Source: reasoning-gym (Z. Stojanovski et al., "Reasoning Gym: Reasoning Environments for Reinforcement Learning with
Verifiable Rewards", 2025, arXiv:2505.24760). Level 0 is a data set's default configuration; level n sets every
attribute of its curriculum to its n-th value, or to its last.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import Any

import dspy

from rtk.errors import TaskError
from rtk.tasks.families import Family
from rtk.tasks.items import Item
from rtk.tasks.scoring import scored_right

SIZE = 1_000_000  # how far indices reach; questions are made when asked for
REACH = {"acre": 500}  # makes all its questions on opening
SEEDS = 2**31  # seeds are folded below this, numpy's limit in some data sets
BY_PROCESS = "its questions or answers hang on Python's string hashes, so they differ from process to process"
REFUSED = {
    "composite": "it is a mixture of other data sets and asks nothing by itself",
    "isomorphic_strings": BY_PROCESS,
    "knight_swap": "it makes another question at the same index each time, so its questions have no address",
    "list_functions": "it draws from a global random state, so its questions have no address",
    "polynomial_multiplication": BY_PROCESS,
    "ransom_note": BY_PROCESS,
    "word_ladder": BY_PROCESS,
}


class GymQuestion(dspy.Signature):
    """Answer the question. Give the final answer only, in the form that the question asks for."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


def names() -> list[str]:
    """The names of all of reasoning-gym's data sets, sorted; those that cannot be drawn from say so on loading."""
    return sorted(_factory().DATASETS)


def family(name: str) -> Family:
    """A data set as a family.

    Raises:
        TaskError: a data set from which no questions with an address can be drawn; the message says why.
    """
    if name in REFUSED:
        raise TaskError(
            f"reasoning-gym's {name!r} cannot be a task: {REFUSED[name]}",
            mend="choose another of rtk.tasks.names(), or build a task from rows of your own",
        )
    return Family(
        name=name,
        levels=tuple(range(_levels(name) + 1)),
        level=0,
        signature=GymQuestion,
        draw=partial(draw, name),
        agrees=agrees,
    )


def draw(name: str, level: int, seed: int, index: int) -> Item | None:
    """The question at an address; None past the end of a data set that is finite."""
    if index >= REACH.get(name, SIZE):
        return None
    entry = _entry(name, level, seed, index)
    return Item(index, {"question": entry["question"]}, entry["answer"], entry["question"])


def agrees(example: Any, answer: Any) -> bool:
    """Whether the data set's own scorer gives an answer full marks.

    The entry, with what the scorer knows beyond the gold answer, is drawn again from the example's address.
    """
    name, level, seed, index = example.id.split("/")
    entry = _entry(name, int(level), int(seed), int(index))
    return scored_right(_dataset(name, int(level), int(seed)), name, entry, str(answer).strip())


@lru_cache(maxsize=4096)
def _entry(name: str, level: int, seed: int, index: int) -> Mapping[str, Any]:
    try:
        return _dataset(name, level, seed)[index]
    except (ValueError, TypeError, KeyError, IndexError, AssertionError, RuntimeError, OSError) as error:
        raise TaskError(
            f"reasoning-gym's {name!r} has no question at level {level}, seed {seed}, index {index}: {error}",
            mend="take another seed or level, or another data set",
        ) from error


@lru_cache(maxsize=64)
def _dataset(name: str, level: int, seed: int) -> Any:
    """A data set opened at a level and a seed."""
    factory = _factory()
    settings = {"seed": seed % SEEDS, "size": REACH.get(name, SIZE)}
    try:
        if not level:
            return factory.create_dataset(name, **settings)
        curriculum = factory.create_curriculum(name)
        curriculum.set_global_level(level - 1)
        # A configuration's sizes come from the curriculum, so the data set is opened by its class.
        return factory.DATASETS[name][0](config=curriculum.generate_configuration(settings))
    except (ValueError, TypeError, KeyError, AssertionError, RuntimeError, OSError, ImportError) as error:
        raise TaskError(
            f"reasoning-gym cannot open {name!r} at level {level}: {error}",
            mend="take level 0, its default, or another data set",
        ) from error


def _levels(name: str) -> int:
    """How many levels the data set's curriculum has; 0 without a curriculum."""
    factory = _factory()
    if not factory.has_curriculum(name):
        return 0
    return max((len(attribute.levels) for attribute in factory.create_curriculum(name).attributes.values()), default=0)


@cache
def _factory() -> ModuleType:
    """reasoning-gym with all its data sets registered; loaded on first use, it takes over a second."""
    import reasoning_gym

    return reasoning_gym.factory
