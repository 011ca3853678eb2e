"""A tree of steps as HTML that needs no script and no stylesheet: a browser folds it by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rtk._html import Markup, element, fragment, lines
from rtk.deliberation.plain import wrapped
from rtk.deliberation.rows import MARKS, Drawable, Row, choose, chosen, counted, rows, score_of

LABEL, LINE, GLIMPSE = 60, 90, 60  # columns of a label and of a text on a step's line; of a text that is folded
GIVEN_UP = ("pruned", "dead end", "backtracked")
_LIST = "list-style:none;margin:0;padding-left:2.2em"
_HANGING = "margin-left:-1.1em"  # the sign that unfolds a row stands left of the row's own
_WHOLE = (
    "white-space:pre-wrap;margin:.2em 0 .4em 1.3em;padding-left:.7em;border-left:2px solid var(--jp-border-color1,gray)"
)


@dataclass(frozen=True)
class Page:
    """What holds for all rows.

    Attributes:
        path: the rows that led to the answer, by identity.
        characters: the most that is shown of one text; None for all.
    """

    path: frozenset[int]
    characters: int | None


def page(root: Drawable, steps: int | None, characters: int | None) -> Markup:
    """The tree under a step."""
    row = rows([root])[0]
    path = frozenset(map(id, chosen(row)))
    room = math.inf if steps is None else max(0, steps - len(path))
    choose(row, room, lambda one, last: id(one) not in path)
    drawn = _drawn(row, Page(path, None if characters is None else max(0, characters)))
    # by these classes JupyterLab knows not to read "$3 and $4" as a formula
    return element("div", drawn, class_="rtk-deliberation tex2jax_ignore mathjax_ignore", style="line-height:1.5")


def _drawn(row: Row, page: Page) -> Markup:
    """A row; where it holds more than a line, folded under that line unless it led to the answer."""
    texts = [str(row.step.label), str(row.step.text), str(row.step.reason)]
    glimpses = [_glimpse(text, most) for text, most in zip(texts, (LABEL, LINE, LINE), strict=True)]
    within = [
        element("div", element("bdi", lines(text, page.characters)), style=_WHOLE)
        for text, glimpse in zip(texts, glimpses, strict=True)
        if glimpse != " ".join(text.split())
    ]
    items = [element("li", _drawn(inner, page)) for inner in row.rows if inner.shown]
    if row.hidden:
        items.append(element("li", element("small", f"… {counted(row.hidden, 'more step')}")))
    if items:
        within.append(element("ul", *items, style=_LIST))
    line = _line(row, *glimpses)
    if not within:
        return line
    hanging = _HANGING if row.depth else None
    return element("details", element("summary", line), *within, open=id(row) in page.path, style=hanging)


def _line(row: Row, label: str, text: str, reason: str) -> Markup:
    """What became of it, in a sign and in a word; what it is, and says; its numbers."""
    state, kind = row.step.state, row.step.kind
    line = fragment(
        element("span", MARKS.get(state, "·"), aria_hidden="true"),
        element("small", f" {state}"),
        None if label.casefold().split(" ")[0] == kind else f" {kind}",
        fragment(" ", element("strong", element("bdi", label))) if label else None,
        fragment(" — ", element("bdi", text)) if text not in ("", label) else None,
        fragment(" (", element("bdi", reason), ")") if reason not in ("", text) else None,
        f" ×{row.times:,}" if row.times > 1 else None,
        _numbers(row),
    )
    return element("span", line, style="opacity:.7") if state in GIVEN_UP else line


def _numbers(row: Row) -> Markup | None:
    score, tokens = score_of(row), row.tokens
    said = [f"score {score}" if score else "", counted(tokens, "token") if tokens else ""]
    return element("small", " · ", " · ".join(filter(None, said))) if any(said) else None


def _glimpse(text: str, columns: int) -> str:
    """A text on one line, or its beginning, which ends in an ellipsis."""
    one = " ".join(text.split())
    whole = wrapped(one, columns, 1)[0]
    return whole if whole == one else wrapped(one, min(columns, GLIMPSE), 1)[0]
