"""A tree of steps as HTML that needs no script and no stylesheet: a browser folds it by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rtk._html import Markup, element, fragment, lines
from rtk.deliberation.plain import LONGEST, wrapped
from rtk.deliberation.rows import GIVEN_UP, MARKS, SMALL, Drawable, Row, choose, counted, line, score_of, tree
from rtk.deliberation.tallies import Fate, fates, glimpse, within
from rtk.deliberation.why import Reason, Why, why

LABEL, LINE, GLIMPSE = 60, 90, 60  # columns of a label and of a text on a step's line; of a text that is folded
FEW = 3  # siblings that were given up and still stand in their place
ENDS = 10  # steps from each end of a long way to the answer that are told above the tree
_LIST = "list-style:none;margin:0;padding-left:2.2em"
_HANGING = "margin-left:-1.1em"  # the sign that unfolds a row stands left of the row's own
_WHOLE = (
    "white-space:pre-wrap;margin:.2em 0 .4em 1.3em;padding-left:.7em;border-left:2px solid var(--jp-border-color1,gray)"
)
_FADED = "opacity:.7"


@dataclass(frozen=True)
class Page:
    """What holds for all rows.

    Attributes:
        characters: the most that is shown of one text; None for all.
        large: whether siblings that were given up are folded together.
    """

    characters: int | None
    large: bool


def page(root: Drawable, steps: int | None, characters: int | None) -> Markup:
    """The tree under a step; above a large one, why the answer was given."""
    row = tree(root)
    way = frozenset(map(id, line(row)))
    large = sum(1 for _ in row.walk()) > SMALL
    room = math.inf if steps is None else max(0, steps - len(way))
    choose(row, room, lambda one, place, of: id(one) not in way)
    above = _above(why(row)) if large else None
    drawn = _drawn(row, Page(None if characters is None else max(0, characters), large))
    # by these classes JupyterLab knows not to read "$3 and $4" as a formula
    return element(
        "div", above, drawn, class_="rtk-deliberation tex2jax_ignore mathjax_ignore", style="line-height:1.5"
    )


# --- the tree ---


def _drawn(row: Row, page: Page) -> Markup:
    """A row; where it holds more than a line, folded under that line unless it led to the answer."""
    texts = [str(row.step.label), str(row.step.text), str(row.step.reason)]
    glimpses = _glimpses(row)
    inside = [
        element("div", element("bdi", lines(text, page.characters)), style=_WHOLE)
        for text, seen in zip(texts, glimpses, strict=True)
        if len(text) > LONGEST or seen != " ".join(text.split())
    ]
    items = _items(row, page)
    if items:
        inside.append(element("ul", *items, style=_LIST))
    said = _line(row, glimpses, _inside(row) if page.large and row.rows and not row.led else None)
    if not inside:
        return said
    return element("details", element("summary", said), *inside, open=row.led, style=_hanging(row.depth))


def _items(row: Row, page: Page) -> list[Markup]:
    """What is within a row, in its order; then siblings that were given up, if they are many; then what is left out."""
    shown = [inner for inner in row.rows if inner.shown]
    lost = [inner for inner in shown if inner.given_up]
    folded = frozenset(map(id, lost)) if page.large and len(lost) > FEW else frozenset[int]()
    items = [element("li", _drawn(inner, page)) for inner in shown if id(inner) not in folded]
    if folded:
        head = element("span", _ends(fates((one, one.times) for one in lost)), style=_FADED)
        inner = element("ul", *(element("li", _drawn(one, page)) for one in lost), style=_LIST)
        items.append(element("li", element("details", element("summary", head), inner, style=_hanging(row.depth + 1))))
    if row.hidden:
        more = counted(sum(one.size for one in row.hidden), "more step")
        items.append(element("li", element("small", f"… {more}: ", _ends(fates(within(row.hidden))))))
    return items


def _hanging(depth: int) -> str | None:
    return _HANGING if depth else None


def _inside(row: Row) -> Markup:
    """How many steps a folded row holds, and what became of them."""
    many = sum(one.size for one in row.rows)
    return element("small", f" · {many:,} within: ", _ends(fates(within(row.rows)), reasons=False))


def _line(row: Row, glimpses: list[str], inside: Markup | None) -> Markup:
    """What became of it, in a sign and in a word; what it is, and says; its numbers; what it holds."""
    state = row.step.state
    sign = element("span", MARKS.get(state, "·"), aria_hidden="true")
    said = fragment(sign, element("small", f" {state}"), *_said(row, glimpses), _numbers(row), inside)
    return element("span", said, style=_FADED) if state in GIVEN_UP else said


def _said(row: Row, glimpses: list[str]) -> list[Markup | str | None]:
    """Kind, label, text, reason, how often."""
    kind, (label, text, reason) = row.step.kind, glimpses
    return [
        None if label.casefold().split(" ")[0] == kind else f" {kind}",
        fragment(" ", element("strong", element("bdi", label))) if label else None,
        fragment(" — ", element("bdi", text)) if text not in ("", label) else None,
        fragment(" (", element("bdi", reason), ")") if reason not in ("", text) else None,
        f" ×{row.times:,}" if row.times > 1 else None,
    ]


def _numbers(row: Row) -> Markup | None:
    score, tokens = score_of(row), row.tokens
    said = [f"score {score}" if score else "", counted(tokens, "token") if tokens else ""]
    return element("small", " · ", " · ".join(filter(None, said))) if any(said) else None


def _glimpses(row: Row) -> list[str]:
    """Label, text and reason, each on one line."""
    texts = ((row.step.label, LABEL), (row.step.text, LINE), (row.step.reason, LINE))
    return [_glimpse(str(text), most) for text, most in texts]


def _glimpse(text: str, columns: int) -> str:
    """A text on one line, or its beginning, which ends in an ellipsis."""
    one = " ".join(text[:LONGEST].split())
    whole = wrapped(one, columns, 1)[0]
    return whole if whole == one else wrapped(one, min(columns, GLIMPSE), 1)[0]


# --- what stands above it ---


def _above(told: Why) -> Markup:
    """Why the answer was given: a list of the steps that led to it, each with how it stood among others."""
    many = len(told.led)
    whole = many <= 2 * ENDS
    lists = [_listed(told.led, 1)] if whole else [
        _listed(told.led[:ENDS], 1),
        element("small", f"… {counted(many - 2 * ENDS, 'step')} between"),
        _listed(told.led[-ENDS:], many - ENDS + 1),
    ]  # fmt: skip
    rest = element("div", element("small", f"{told.rest}: ", _ends(told.fates))) if told.fates else None
    return element("div", element("strong", told.title), *lists, rest, style="margin-bottom:.7em")


def _listed(led: list[Reason], start: int) -> Markup | None:
    items = [element("li", _reason(one)) for one in led]
    style = "margin:.2em 0;padding-left:2.2em"
    return element("ol", *items, style=style, start=None if start == 1 else start) if items else None


def _reason(one: Reason) -> Markup:
    score = score_of(one.row)
    said = fragment(*_said(one.row, _glimpses(one.row)), element("small", f" · score {score}") if score else None)
    ends = fragment("beside it ", _ends(one.beside)) if one.beside else None
    told = [part for part in (one.standing or None, ends) if part is not None]
    between = [piece for part in told for piece in ("; ", part)][1:]
    return fragment(said, element("div", element("small", *between)) if told else None)


def _ends(found: list[Fate], *, reasons: bool = True) -> Markup:
    """`• 5 kept, ✗ 7 pruned (impossible ×4, below 0.5 ×3)`."""
    parts: list[object] = []
    for one in found:
        sign = element("span", one.mark, aria_hidden="true")
        parts += [", " if parts else None, sign, f" {one.said}", _groups(one) if reasons else None]
    return fragment(*parts)


def _groups(one: Fate) -> Markup | None:
    named = [piece for said, times in one.named() for piece in (", ", element("bdi", glimpse(said)), times)]
    return fragment(" (", *named[1:], ")") if named else None
