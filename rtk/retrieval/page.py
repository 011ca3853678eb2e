"""A retriever as a reader sees it in a notebook cell."""

from __future__ import annotations

from collections.abc import Sequence

from rtk._html import Markup, element, fragment
from rtk.retrieval.passages import Dropped

SHOWN = 5


def drawn(summary: str, dropped: Sequence[Dropped]) -> Markup:
    """How many passages, from where and how searched; and what of the source is none."""
    more = len(dropped) - SHOWN
    items = [element("li", element("code", one.source), f": {one.reason}") for one in dropped[:SHOWN]]
    rest = element("li", f"{more} more: .dropped") if more > 0 else None
    title = element("summary", f"{len(dropped)} left out")
    details = element("details", title, element("ul", *items, rest)) if dropped else None
    return element("div", fragment(element("b", "Retriever"), f": {summary}"), details, class_="rtk-retriever")
