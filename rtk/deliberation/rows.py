"""A tree of steps as the rows that are shown of it: equal siblings folded, and as much as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

MARKS = {"chosen": "✓", "pruned": "✗", "dead end": "✗", "backtracked": "↩", "kept": "•", "open": "·"}
GIVEN_UP = ("pruned", "dead end", "backtracked")
SMALL = 12  # rows of a tree that is read as it stands
LONG = 4000  # characters of a text from which on it is compared as it is, blanks included


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
    """One step, or several siblings that say the same, as it will be drawn.

    Attributes:
        step: the step, the first of several.
        depth: below the root.
        key: equal for steps that look the same, themselves and below.
        times: how many siblings say the same.
        tokens: of all of them.
        rows: within it.
        parent: in which it is; None for the root.
        led: whether it led to the answer: the root, and what was chosen within what led there.
        shown: whether there is room for it.
        size: steps it stands for, itself included.
    """

    step: Drawable
    depth: int
    key: int
    times: int = 1
    tokens: int = 0
    rows: list[Row] = field(default_factory=list)
    parent: Row | None = None
    led: bool = False
    shown: bool = False
    size: int = 1

    @property
    def hidden(self) -> list[Row]:
        """Those within that are not shown."""
        return [row for row in self.rows if not row.shown]

    @property
    def given_up(self) -> bool:
        """Whether nothing followed from it."""
        return self.step.state in GIVEN_UP

    def walk(self) -> Iterator[Row]:
        """The row and all within it, a row before those within it."""
        waiting: list[Row] = [self]
        while waiting:
            row = waiting.pop()
            yield row
            waiting.extend(reversed(row.rows))


def tree(root: Drawable) -> Row:
    """A step and all within it as rows; siblings that say the same, in themselves and below, become one."""
    found = _rows([root], 0, {})[0]
    for row in found.walk():
        row.led = row is found or (row.step.state == "chosen" and row.parent is not None and row.parent.led)
        for inner in row.rows:
            inner.parent = row
    return found


def _rows(steps: list[Any], depth: int, known: dict[Any, int]) -> list[Row]:
    found: dict[int, Row] = {}
    for step in steps:
        within = _rows(step.children, depth + 1, known)
        said = (step.kind, _same(step.text), step.label, step.state, step.score, step.reason)
        below = tuple((row.key, row.times) for row in within)
        key = known.setdefault((said, below), len(known))  # a number, as what is nested is not compared twice
        row = Row(step, depth, key, 1, step.tokens, within, size=1 + sum(one.size for one in within))
        if key in found:
            _fold(found[key], row)
        else:
            found[key] = row
    return list(found.values())


def _same(text: str) -> str:
    return " ".join(text.split()) if len(text) < LONG else text


def _fold(row: Row, other: Row) -> None:
    row.times += 1
    row.size += other.size
    for one, same in zip(row.walk(), other.walk(), strict=True):
        one.tokens += same.tokens


def line(root: Row) -> Iterator[Row]:
    """One way from the root to the answer: where several siblings led to it, over the last of them."""
    row: Row | None = root
    while row is not None:
        yield row
        row = next((one for one in reversed(row.rows) if one.led), None)


def choose(root: Row, room: float, cost: Callable[[Row, int, int], float]) -> None:
    """Mark as shown what there is room for; the root always.

    What led to the answer comes first; then what stood beside it and was not given up, what stood beside it and was;
    then all else, likewise; each level by level.

    Args:
        root: of the tree.
        room: for all that is shown.
        cost: what showing a row takes of it, given how many of its siblings are shown already, and of how many rows.
    """
    way, ranks, count = set(map(id, line(root))), dict[int, int](), dict[int, int]()
    everything = list(root.walk())
    for row in everything:  # no row comes before the one that it is in
        own = 0 if id(row) in way else _rank(row)
        ranks[id(row)] = own if row.parent is None else max(own, ranks[id(row.parent)])
    used = 0.0
    for row in sorted(everything, key=lambda row: (ranks[id(row)], row.depth)):
        parent = row.parent
        if parent is None:
            row.shown, used = True, cost(row, 0, 1)
            continue
        place, of = count.get(id(parent), 0), len(parent.rows)
        if not parent.shown or (used >= room and place < of - 1 and ranks[id(row)]):
            continue
        more = cost(row, place, of)
        if used + more <= room:
            row.shown = True
            used += more
            count[id(parent)] = place + 1


def _rank(row: Row) -> int:
    beside = row.parent is not None and row.parent.led
    return 1 if row.led else (2 if beside else 4) + row.given_up


def counted(number: int, what: str) -> str:
    """A number of things: `1 more step`, `1,000 more steps`."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def score_of(row: Row) -> str:
    """Its score in a few characters; empty where nobody judged."""
    score = row.step.score
    if score is None:
        return ""
    return f"{score:.2f}" if abs(score) < 1000 else f"{score:.3g}"
