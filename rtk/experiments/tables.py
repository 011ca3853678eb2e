"""Tables of results: the same cells as aligned text and as HTML that a screen reader can walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtk._html import Markup, element

Cells = Mapping[str, str]


def text_table(rows: Sequence[Cells]) -> str:
    """Rows under their headings, columns aligned, numbers to the right."""
    headings, words = list(rows[0]) if rows else [], _words(rows)
    lines = [dict(zip(headings, headings, strict=True)), *rows]
    widths = {name: max(len(line[name]) for line in lines) for name in headings}
    padded = [[f"{line[name]:{'<' if name in words else '>'}{widths[name]}}" for name in headings] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def html_table(caption: str, rows: Sequence[Cells], note: str = "") -> Markup:
    """Rows as a table with a caption and headings of columns, which scrolls where it is wider; a note below it."""
    headings, words = list(rows[0]) if rows else [], _words(rows)
    styles = {name: _LEFT if name in words else "white-space:nowrap" for name in headings}
    head = element("tr", *(element("th", name, scope="col", style=styles[name]) for name in headings))
    body = (element("tr", *(element("td", row[name], style=styles[name]) for name in headings)) for row in rows)
    told = element("caption", caption, style=_LEFT)
    table = element("table", told, element("thead", head), element("tbody", *body))
    scrolled = element("div", table, style="overflow-x:auto;max-width:100%", tabindex="0", role="region",
                       aria_label=caption)  # fmt: skip
    return element("div", scrolled, element("p", note) if note else None, class_="rtk-table")


_LEFT = "text-align:left"


def _words(rows: Sequence[Cells]) -> set[str]:
    """The columns that hold words, and not numbers alone."""
    return {name for row in rows for name, text in row.items() if any(map(str.isalpha, text))}
