"""A tree of steps as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtk.deliberation.plain import clean, columns, wrapped

MARKS = {"chosen": "✓", "pruned": "✗", "dead end": "✗", "backtracked": "↩", "kept": "•", "open": "·"}
SELF_EVIDENT = ("step", "thought")  # kinds that need no word: the tree shows what they are
LEAST_WIDTH, LEAST_TEXT = 48, 16
LINES_OF_TEXT = 2
MORE = 25  # columns of a line that counts what is hidden
GAP = 2
INDENT = 3


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


@dataclass(frozen=True)
class Layout:
    """The columns: how wide the page is, and what of it the scores and the tokens take at the right."""

    width: int
    score: int
    tokens: int

    @property
    def left(self) -> int:
        """Columns left of scores and tokens."""
        return self.width - self.score - self.tokens

    def holds(self, depth: int) -> bool:
        """Whether a step so deep leaves room for its text."""
        return INDENT * depth + 2 + LEAST_TEXT <= self.left and INDENT * depth + MORE <= self.width


def drawn(root: Drawable, width: int, lines: int) -> str:
    """The tree under a step as lines of text."""
    row = _rows([root], 0)[0]
    everything = list(_within(row))
    scores = max((columns(_score(one)) for one in everything), default=0)
    tokens = max((columns(_tokens(one)) for one in everything), default=0)
    layout = Layout(max(width, LEAST_WIDTH), scores + GAP if scores else 0, tokens + GAP if tokens else 0)
    _choose(row, everything, lines, layout)
    pairs = list(_lines(row, "", "", layout))
    # Short trees keep their numbers near their text.
    left = min(layout.left, max(columns(text) for text, _ in pairs))
    return "\n".join(_joined(text, of, left, layout) for text, of in pairs)


# --- what is drawn: equal siblings folded, as much of the tree as fits ---


def _rows(steps: list[Any], depth: int) -> list[Row]:
    """Siblings as rows; those that say the same, in themselves and below, become one."""
    found: dict[Any, Row] = {}
    for step in steps:
        rows = _rows(step.children, depth + 1)
        said = (step.kind, " ".join(step.text.split()), step.label, step.state, step.score, step.reason)
        key = (said, tuple((row.key, row.times) for row in rows))
        row = Row(step, depth, key, 1, step.tokens, rows, size=1 + sum(one.size for one in rows))
        if key in found:
            _fold(found[key], row)
        else:
            found[key] = row
    return list(found.values())


def _fold(row: Row, other: Row) -> None:
    row.times += 1
    row.size += other.size
    for one, same in zip(_within(row), _within(other), strict=True):
        one.tokens += same.tokens


def _within(row: Row) -> Iterator[Row]:
    yield row
    for inner in row.rows:
        yield from _within(inner)


def _choose(root: Row, everything: list[Row], lines: int, layout: Layout) -> None:
    """Mark as shown what fits: the chosen path first, then level by level."""
    parents = {id(inner): row for row in everything for inner in row.rows}
    left = {id(row): len(row.rows) for row in everything}
    chosen = set(map(id, _chosen(root)))
    order = sorted(everything, key=lambda row: (id(row) not in chosen, row.depth))
    used = 0
    for row in order:
        parent = parents.get(id(row))
        if parent is not None and not (parent.shown and layout.holds(row.depth)):
            continue
        # A row that hides something takes a line more, to say so; its last child to appear gives that line back.
        cost = (
            len(_said(row, INDENT * row.depth, layout))
            + bool(row.rows)
            - (parent is not None and left[id(parent)] == 1)
        )
        if used + cost <= lines or parent is None:
            row.shown = True
            used += cost
            if parent is not None:
                left[id(parent)] -= 1


def _chosen(row: Row) -> Iterator[Row]:
    yield row
    inner = next((one for one in row.rows if one.step.state == "chosen"), None)
    if inner is not None:
        yield from _chosen(inner)


# --- how it is drawn ---


def _lines(row: Row, branch: str, below: str, layout: Layout) -> Iterator[tuple[str, Row | None]]:
    """A row's lines, each with the row whose numbers stand at its right; then the rows within."""
    shown = [inner for inner in row.rows if inner.shown]
    said = _said(row, columns(branch), layout)
    yield f"{branch}{said[0]}".rstrip(), row
    rail = below + ("│ " if row.rows else "  ")
    yield from ((f"{rail}{more}", None) for more in said[1:])
    for place, inner in enumerate(shown, start=1):
        last = place == len(shown) and not row.hidden
        yield from _lines(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), layout)
    if row.hidden:
        yield f"{below}└─ … {_counted(row.hidden, 'more step')}", None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def _said(row: Row, indent: int, layout: Layout) -> list[str]:
    """What a row says, in at most two lines: mark, kind, label, text, reason."""
    room = max(LEAST_TEXT, layout.left - indent - 2)
    first, *more = wrapped(_sentence(row), room, LINES_OF_TEXT) or [""]
    return [f"{MARKS.get(row.step.state, '·')} {first}", *more]


def _sentence(row: Row) -> str:
    step = row.step
    kind, label, text, reason = step.kind, clean(step.label), clean(step.text), clean(step.reason)
    if kind in SELF_EVIDENT or label.casefold().split(" ")[0] == kind:
        kind = ""
    if text == label or reason == text:
        text, reason = ("" if text == label else text), ("" if reason == text else reason)
    head = " ".join(part for part in (kind, label) if part)
    said = " — ".join(part for part in (head, text) if part)
    times = f" ×{row.times}" if row.times > 1 else ""
    return (f"{said} ({reason})" if reason and said else said or reason or str(step.kind)) + times


def _score(row: Row) -> str:
    score = row.step.score
    if score is None:
        return ""
    return f"{score:.2f}" if abs(score) < 1000 else f"{score:.3g}"


def _tokens(row: Row) -> str:
    return f"{row.tokens:,} tok" if row.tokens else ""


def _joined(text: str, row: Row | None, left: int, layout: Layout) -> str:
    if row is None:
        return text
    numbers = f"{_score(row):>{layout.score}}{_tokens(row):>{layout.tokens}}" if layout.width > layout.left else ""
    return (text + " " * max(0, left - columns(text)) + numbers).rstrip()
