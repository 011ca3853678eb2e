"""A tree of steps as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rtk.deliberation.plain import clean, columns, wrapped
from rtk.deliberation.rows import MARKS, Drawable, Row, choose, counted, rows, score_of

SELF_EVIDENT = ("step", "thought")  # kinds that need no word: the tree shows what they are
LEAST_WIDTH, LEAST_TEXT = 48, 16
LINES_OF_TEXT = 2
MORE = 25  # columns of a line that counts what is hidden
GAP = 2
INDENT = 3


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
    row = rows([root])[0]
    everything = list(row.walk())
    scores = max((columns(score_of(one)) for one in everything), default=0)
    tokens = max((columns(_tokens(one)) for one in everything), default=0)
    layout = Layout(max(width, LEAST_WIDTH), scores + GAP if scores else 0, tokens + GAP if tokens else 0)
    choose(row, lines, lambda one, last: _lines_of(one, last, layout))
    pairs = list(_lines(row, "", "", layout))
    # Short trees keep their numbers near their text.
    left = min(layout.left, max(columns(text) for text, _ in pairs))
    return "\n".join(_joined(text, of, left, layout) for text, of in pairs)


def _lines_of(row: Row, last: bool, layout: Layout) -> float:
    """A row that hides something takes a line more, to say so; its last child to appear gives that line back."""
    if row.depth and not layout.holds(row.depth):
        return math.inf
    return len(_said(row, INDENT * row.depth, layout)) + bool(row.rows) - last


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
        yield f"{below}└─ … {counted(row.hidden, 'more step')}", None


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


def _tokens(row: Row) -> str:
    return f"{row.tokens:,} tok" if row.tokens else ""


def _joined(text: str, row: Row | None, left: int, layout: Layout) -> str:
    if row is None:
        return text
    numbers = f"{score_of(row):>{layout.score}}{_tokens(row):>{layout.tokens}}" if layout.width > layout.left else ""
    return (text + " " * max(0, left - columns(text)) + numbers).rstrip()
