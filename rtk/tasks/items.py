"""One question at its address, and which split it belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from rtk.errors import TaskError

SPLITS = ("train", "dev", "test")
PATIENCE = 3000  # indices without one usable question after which a space of questions counts as used up


@dataclass(frozen=True, slots=True)
class Item:
    """A question and its gold answer.

    Attributes:
        index: the item's place in its generator; the item is a function of (name, level, seed, index) alone.
        inputs: input field names to values.
        answer: the gold answer; None where a question has many right answers and only a scorer.
        key: what makes two questions the same puzzle, such as the clues in any order.
        besides: what an example carries that is neither an input nor the answer.
        split: the split it belongs to, where the hash of its key does not decide.
    """

    index: int
    inputs: Mapping[str, str]
    answer: Any
    key: str
    besides: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None


def split_of(key: str) -> str:
    """The split of a question: a quarter train, a quarter dev, half test, by the hash of its key.

    So the same puzzle can never be in two splits, whatever the seed and the sizes.
    """
    return ("train", "dev", "test", "test")[hashlib.sha256(key.encode()).digest()[0] % 4]


def collect(draw: Callable[[int], Item | None], wanted: Mapping[str, int], name: str) -> dict[str, list[Item]]:
    """The first items of each split, in index order and without repeats, until every split has what is wanted.

    Args:
        draw: item of an index; None past the generator's end.
        wanted: split to number of items.
        name: the task, for messages.

    Raises:
        TaskError: the generator has no more different questions.
    """
    found: dict[str, list[Item]] = {split: [] for split in SPLITS}
    seen: set[str] = set()
    last = 0
    for index in count():
        if all(len(found[split]) >= wanted[split] for split in SPLITS):
            return found
        item = draw(index) if index - last < PATIENCE else None
        if item is None:
            break
        split = item.split or split_of(item.key)
        if item.key not in seen and len(found[split]) < wanted[split]:
            seen.add(item.key)
            found[split].append(item)
            last = index
    have = ", ".join(f"{len(found[split])} of {wanted[split]} {split}" for split in SPLITS)
    raise TaskError(
        f"{name} has too few different questions: {have}", mend=f"pass size={len(found['test'])} or less, or a level"
    )
