"""Figures inside a page: what the drawing library gives, let through element by element."""

from __future__ import annotations

import html
import re
from typing import Any
from xml.etree import ElementTree

from rtk._html import Markup, element, visible
from rtk.errors import MissingExtra
from rtk.experiments.analysis.telling import amount, unknown, with_notes
from rtk.experiments.figures import Figure
from rtk.experiments.tables import html_table

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = frozenset({
    "circle", "clipPath", "defs", "desc", "ellipse", "g", "line", "linearGradient", "marker", "path", "pattern",
    "polygon", "polyline", "radialGradient", "rect", "stop", "svg", "text", "title", "tspan",
})  # fmt: skip
ATTRIBUTES = frozenset({
    "class", "clip-path", "clipPathUnits", "cx", "cy", "d", "display", "dominant-baseline", "dx", "dy", "fill",
    "fill-opacity", "fill-rule", "font-family", "font-size", "font-style", "font-weight", "gradientTransform",
    "gradientUnits", "height", "id", "letter-spacing", "offset", "opacity", "patternUnits", "points",
    "preserveAspectRatio", "r", "refX", "refY", "rotate", "rx", "ry", "stop-color", "stop-opacity", "stroke",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "text-anchor", "transform", "version", "viewBox", "visibility", "width", "x",
    "x1", "x2", "y", "y1", "y2",
})  # fmt: skip
_LOADS = re.compile(r"url\((?!#[\w.-]+\))|[\\<>]|javascript:", re.IGNORECASE)
_ROWS = 200  # of a figure's table


def drawn(figure: Figure, prefix: str) -> Markup:
    """A figure as inline SVG with what it shows in words, and its rows as a table below, folded.

    Args:
        figure: a figure of ours.
        prefix: what no other figure's ids on the page begin with.
    """
    label = str(figure.chart().to_dict().get("description", "")) or "A figure; its rows are in the table below."
    try:
        picture: Markup = embedded(figure.svg(), prefix, label)
    except MissingExtra as error:
        picture = element("p", f"The figure is not drawn: {error}. {error.mend or ''}", class_="note")
    warnings = getattr(figure, "warnings", ())
    return with_notes(element("figure", picture, _table(figure), class_="figure"), list(warnings))


def _table(figure: Any) -> Markup | None:
    frame = figure.to_frame() if hasattr(figure, "to_frame") else None
    if frame is None or not len(frame):
        return None
    rows = [{str(name): _text(value) for name, value in row.items()} for row in frame.head(_ROWS).to_dict("records")]
    note = f"{len(frame) - _ROWS:,} rows more are not shown." if len(frame) > _ROWS else ""
    said = "What the figure shows"
    return element("details", element("summary", f"Its rows as a table ({len(rows):,})"), html_table(said, rows, note))


def _text(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "–" if unknown(value) else amount(value)
    return "–" if value is None else str(value)


def embedded(svg: str, prefix: str, label: str) -> Markup:
    """An SVG as part of a page: nothing in it runs or loads, its ids are its own, its white ground is left out.

    Args:
        svg: as it was drawn.
        prefix: before each of its ids.
        label: what it shows, for who does not see it.
    """
    root = ElementTree.fromstring(svg)
    if root.tag != f"{SVG}svg":
        return element("p", "The figure is no SVG.")
    inside = "".join(_written(child, prefix) for child in root if not _is_ground(child, root))
    size = " ".join(f'{name}="{html.escape(root.get(name, ""))}"' for name in ("width", "height", "viewBox"))
    return Markup(f'<svg role="img" aria-label="{html.escape(visible(label))}" {size}>{inside}</svg>')


def _is_ground(child: ElementTree.Element, root: ElementTree.Element) -> bool:
    """Whether it is the white rectangle behind the whole figure."""
    same = all(child.get(name) == root.get(name) for name in ("width", "height"))
    return child.tag == f"{SVG}rect" and same and child.get("fill") == "white"


def _written(one: ElementTree.Element, prefix: str) -> str:
    name = one.tag.removeprefix(SVG) if isinstance(one.tag, str) else ""
    if name not in ELEMENTS:
        return ""
    attributes = "".join(
        f' {word}="{html.escape(visible(_own(word, value, prefix)))}"'
        for word, value in one.attrib.items()
        if word in ATTRIBUTES and not _LOADS.search(value)
    )
    inside = _words(one.text) + "".join(_written(child, prefix) + _words(child.tail) for child in one)
    return f"<{name}{attributes}>{inside}</{name}>"


def _own(word: str, value: str, prefix: str) -> str:
    return f"{prefix}{value}" if word == "id" else value.replace("url(#", f"url(#{prefix}")


def _words(text: str | None) -> str:
    return html.escape(visible(text), quote=False) if text else ""
