"""A tree of steps as the rows that are shown of it: equal siblings folded, and as much as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

MARKS = {"chosen": "✓", "pruned": "✗", "dead end": "✗", "backtracked": "↩", "kept": "•", "open": "·"}


class Drawable(Protocol):
    """What a step must have to be drawn."""

    kind: Any
    text: str
    score: float | None
    state: Any
    label: str
    tokens: int
    reason: str
    children: list[Any]


@dataclass(eq=False)
class Row:
    """One step, or several siblings that say the same, as it will be drawn."""

    step: Drawable
    depth: int
    key: Any  # equal for siblings that look the same
    times: int = 1
    tokens: int = 0
    rows: list[Row] = field(default_factory=list)
    shown: bool = False
    size: int = 1  # steps it stands for, itself included

    @property
    def hidden(self) -> int:
        """Steps within that are not shown."""
        return sum(row.size for row in self.rows if not row.shown)

    def walk(self) -> Iterator[Row]:
        """The row and all within it."""
        yield self
        for inner in self.rows:
            yield from inner.walk()


def rows(steps: list[Any], depth: int = 0) -> list[Row]:
    """Siblings as rows; those that say the same, in themselves and below, become one."""
    found: dict[Any, Row] = {}
    for step in steps:
        within = rows(step.children, depth + 1)
        said = (step.kind, " ".join(step.text.split()), step.label, step.state, step.score, step.reason)
        key = (said, tuple((row.key, row.times) for row in within))
        row = Row(step, depth, key, 1, step.tokens, within, size=1 + sum(one.size for one in within))
        if key in found:
            _fold(found[key], row)
        else:
            found[key] = row
    return list(found.values())


def _fold(row: Row, other: Row) -> None:
    row.times += 1
    row.size += other.size
    for one, same in zip(row.walk(), other.walk(), strict=True):
        one.tokens += same.tokens


def chosen(row: Row) -> Iterator[Row]:
    """The rows that led to the answer, from this one down."""
    yield row
    inner = next((one for one in row.rows if one.step.state == "chosen"), None)
    if inner is not None:
        yield from chosen(inner)


def choose(root: Row, room: float, cost: Callable[[Row, bool], float]) -> None:
    """Mark as shown what there is room for: the chosen path first, then level by level; the root always.

    Args:
        root: of the tree.
        room: for all that is shown.
        cost: what showing a row takes of it, given whether all its siblings are shown already.
    """
    everything = list(root.walk())
    parents = {id(inner): row for row in everything for inner in row.rows}
    left = {id(row): len(row.rows) for row in everything}
    path = set(map(id, chosen(root)))
    used = 0.0
    for row in sorted(everything, key=lambda row: (id(row) not in path, row.depth)):
        parent = parents.get(id(row))
        if parent is not None and not parent.shown:
            continue
        more = cost(row, parent is not None and left[id(parent)] == 1)
        if used + more <= room or parent is None:
            row.shown = True
            used += more
            if parent is not None:
                left[id(parent)] -= 1


def counted(number: int, what: str) -> str:
    """A number of things: `1 more step`, `1,000 more steps`."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def score_of(row: Row) -> str:
    """Its score in a few characters; empty where nobody judged."""
    score = row.step.score
    if score is None:
        return ""
    return f"{score:.2f}" if abs(score) < 1000 else f"{score:.3g}"
