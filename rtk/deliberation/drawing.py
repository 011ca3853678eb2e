"""A tree of steps as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rtk.deliberation.plain import clean, columns, wrapped
from rtk.deliberation.rows import MARKS, SMALL, Drawable, Row, choose, counted, score_of, tree
from rtk.deliberation.tallies import Fate, fates, glimpse, within
from rtk.deliberation.why import Reason, Why, why

SELF_EVIDENT = ("step", "thought")  # kinds that need no word: the tree shows what they are
LEAST_WIDTH, LEAST_TEXT = 48, 18
LINES_OF_TEXT = 2
MORE = 25  # columns of a line that counts what is hidden
GAP = 2
INDENT = 3
LEAST_WHY = 7  # lines of what stands above the tree


@dataclass(frozen=True)
class Layout:
    """The columns: how wide the page is, and what of it the scores and the tokens take at the right.

    Attributes:
        width: of the page.
        score: columns of it.
        tokens: columns of it.
        most: lines of a step that did not lead to the answer.
    """

    width: int
    score: int
    tokens: int
    most: int

    @property
    def left(self) -> int:
        """Columns left of scores and tokens."""
        return self.width - self.score - self.tokens

    def holds(self, depth: int) -> bool:
        """Whether a step so deep leaves room for its text."""
        return INDENT * depth + 2 + LEAST_TEXT <= self.left and INDENT * depth + MORE <= self.width


def drawn(root: Drawable, width: int, lines: int) -> str:
    """The tree under a step as lines of text; above a large one, why the answer was given."""
    row, width = tree(root), max(width, LEAST_WIDTH)
    everything = list(row.walk())
    large = len(everything) > SMALL
    above = _above(why(row), width, lines // 2) if large else []
    scores = max((columns(score_of(one)) for one in everything), default=0)
    tokens = max((columns(_tokens(one)) for one in everything), default=0)
    most = 1 if large else LINES_OF_TEXT
    layout = Layout(width, scores + GAP if scores else 0, tokens + GAP if tokens else 0, most)
    choose(row, lines - len(above), lambda one, place, of: _cost(one, place, of, layout))
    pairs = list(_lines(row, "", "", layout))
    # Short trees keep their numbers near their text.
    left = min(layout.left, max(columns(text) for text, _ in pairs))
    return "\n".join([*above, *(_joined(text, of, left, layout) for text, of in pairs)])


# --- the tree ---


def _cost(row: Row, place: int, of: int, layout: Layout) -> float:
    """The lines of a row; the first of several siblings takes one more, for the others, and the last gives it back."""
    if row.depth and not layout.holds(row.depth):
        return math.inf
    own = 1 if layout.most == 1 and not row.led else len(_said(row, INDENT * row.depth, layout))
    return own + (of > 1) * ((place == 0) - (place == of - 1))


def _lines(row: Row, branch: str, below: str, layout: Layout) -> Iterator[tuple[str, Row | None]]:
    """A row's lines, each with the row whose numbers stand at its right; then the rows within."""
    shown, hidden = [inner for inner in row.rows if inner.shown], row.hidden
    said = _said(row, columns(branch), layout)
    yield f"{branch}{said[0]}".rstrip(), row
    rail = below + ("│ " if shown else "  ")
    yield from ((f"{rail}{more}", None) for more in said[1:])
    for place, inner in enumerate(shown, start=1):
        last = place == len(shown) and not hidden
        yield from _lines(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), layout)
    if shown and hidden:
        more = counted(sum(one.size for one in hidden), "more step")
        said = wrapped(f"… {more}: {_ends(fates(within(hidden)))}", layout.width - columns(below) - INDENT, 1)
        yield f"{below}└─ {said[0]}", None


def _said(row: Row, indent: int, layout: Layout) -> list[str]:
    """What a row says: mark, kind, label, text, reason; how often, and what is hidden within it."""
    room = max(LEAST_TEXT, layout.left - indent - 2)
    most = LINES_OF_TEXT if row.led else layout.most
    times = f" ×{row.times:,}" if row.times > 1 else ""
    tail = times
    if row.rows and not any(one.shown for one in row.rows):
        inside = sum(one.size for one in row.rows)
        short = f"{times} [+{inside:,}]"
        ends = f"{times} [+{inside:,}: {_ends(fates(within(row.rows)), reasons=False)}]"
        tail = ends if columns(ends) <= room // 2 else short if columns(short) < room else times
    first, *more = wrapped(_sentence(row, room * most - columns(tail)), room, most, tail) or [""]
    return [f"{MARKS.get(row.step.state, '·')} {first}", *more]


def _sentence(row: Row, room: int) -> str:
    """Kind, label, text and reason; where that is too long, the text gives way to the reason."""
    step = row.step
    kind, label, text, reason = step.kind, clean(step.label), clean(step.text), clean(step.reason)
    if kind in SELF_EVIDENT or label.casefold().split(" ")[0] == kind:
        kind = ""
    if text == label or reason == text:
        text, reason = ("" if text == label else text), ("" if reason == text else reason)
    head = " ".join(part for part in (kind, label) if part)
    said = " — ".join(part for part in (head, text) if part)
    if not (said and reason):
        return said or reason or str(step.kind)
    if columns(said) + columns(reason) + 3 > room:
        said = wrapped(said, max(room - columns(reason) - room // 8, room // 2), 1)[0]
    return f"{said} ({reason})"


def _tokens(row: Row) -> str:
    return f"{row.tokens:,} tok" if row.tokens else ""


def _joined(text: str, row: Row | None, left: int, layout: Layout) -> str:
    if row is None:
        return text
    numbers = f"{score_of(row):>{layout.score}}{_tokens(row):>{layout.tokens}}" if layout.width > layout.left else ""
    return (text + " " * max(0, left - columns(text)) + numbers).rstrip()


# --- what stands above it ---


def _above(told: Why, width: int, lines: int) -> list[str]:
    """Why the answer was given, in so many lines and an empty one; nothing where that is too few."""
    if lines < LEAST_WHY:
        return []
    rest = wrapped(f"{told.rest}: {_ends(told.fates)}", width, 2) if told.fates else []
    room = lines - len(rest) - 2
    first, last = (room + 1) // 2 - 1, room // 2
    if len(told.led) <= room:
        first, last = len(told.led), 0
    led = [*enumerate(told.led[:first], 1), *list(enumerate(told.led, 1))[len(told.led) - last :]]
    parts: list[list[str]] = []
    for most, beside in ((2, 2), (1, 2), (1, 1), (1, 0)):
        parts = [_reason(number, one, width, most, beside) for number, one in led]
        if sum(map(len, parts)) <= room - (last > 0):
            break
    if last:
        parts.insert(first, [f"   … {counted(len(told.led) - first - last, 'step')} between"])
    return [told.title, *(line for part in parts for line in part), *rest, ""]


def _reason(number: int, one: Reason, width: int, most: int, beside: int) -> list[str]:
    """A step that led to the answer; below it, in at most so many lines, how it stood among others."""
    start = f"{number}. "
    room = width - len(start)
    score = f" · score {score_of(one.row)}" if score_of(one.row) else ""
    tail = score + (f" ×{one.row.times:,}" if one.row.times > 1 else "")
    said = wrapped(_sentence(one.row, room * most - columns(tail)), room, most, tail)
    if beside and (one.standing or one.beside):
        ends = f"beside it {_ends(one.beside)}" if one.beside else ""
        said += wrapped("; ".join(filter(None, (one.standing, ends))), room, beside)
    return [f"{start}{said[0]}", *(" " * len(start) + more for more in said[1:])]


def _ends(found: list[Fate], *, reasons: bool = True) -> str:
    """`• 5 kept, ✗ 7 pruned (impossible ×4, below 0.5 ×3)`."""
    return ", ".join(f"{one.mark} {one.said}{_groups(one) if reasons else ''}" for one in found)


def _groups(one: Fate) -> str:
    named = ", ".join(f"{glimpse(clean(said))}{times}" for said, times in one.named())
    return f" ({named})" if named else ""
