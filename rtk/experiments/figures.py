"""Figures: one look for all of them, and the forms in which a notebook, a paper and a blind reader take them.

A figure shows itself as a Vega-Lite chart, which JupyterLab draws with what it brings along, and as a PNG for
everything that draws no charts (GitHub, nbviewer, a mail). Nothing is fetched: the data stand in the chart.

There is no HTML among the forms on purpose: JupyterLab (4.6) and nbconvert prefer HTML to a chart and to a picture,
so that a table beside them is all they would show. The figures are in the plain text, in `to_frame()`, and in the
description that a screen reader is given.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import Any

from rtk._html import visible
from rtk.errors import MissingExtra, RTKError

VEGA_LITE = "application/vnd.vegalite.v5+json"
"""What JupyterLab 4 draws; it knows no version 6, which altair 6 writes, and our charts are the same in both."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # a name; nobody fetches it
DRAWN_BY = "5.20"  # the version of Vega-Lite inside vl-convert that draws PNG and SVG, whatever altair's own

# Seen as well on white as on the grey of a dark notebook (at least 3:1 against #fff and #333).
BLUE = "#2e86c1"
ORANGE = "#d1600a"
PALETTE = (BLUE, ORANGE, "#b56cc4", "#118f6b", "#8a8a8a")
"""Of several kinds of points, each of the same contrast; whoever sees no colours tells them apart by their `SHAPES`."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # of equal widths; the first one comes with vl-convert
WIDTH, HEIGHT = 300, 200  # with its axis it fits the output area of a window of 480 pixels, and a column of a paper
DIGITS = 4  # of a share in a chart: beyond them machines differ

# No colour of text or background: those are the page's theme's, light or dark, and black on white in a file.
THEME = {
    "font": FONT,
    "view": {"stroke": None},
    "title": {"anchor": "start", "frame": "group", "fontSize": 13, "subtitleFontSize": 11, "subtitlePadding": 4,
              "offset": 12, "limit": WIDTH + 50},
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 8,
             "gridOpacity": 0.4},
}  # fmt: skip


class Figure:
    """What draws itself; a subclass gives the `chart`."""

    def chart(self) -> Any:
        """The altair chart."""
        raise NotImplementedError

    def svg(self) -> str:
        """The chart as SVG, on white.

        Raises:
            MissingExtra: without vl-convert.
        """
        return _converter().vegalite_to_svg(self._spec(), vl_version=DRAWN_BY)

    def png(self, scale: float = 2) -> bytes:
        """The chart as PNG, on white.

        Args:
            scale: pixels of the picture for each pixel of the chart.

        Raises:
            MissingExtra: without vl-convert.
        """
        return _packed(_converter().vegalite_to_png(self._spec(), vl_version=DRAWN_BY, scale=scale))

    def save(self, path: str | Path) -> None:
        """Write the chart to a file.

        Args:
            path: ends in `.svg`, `.png`, or `.json` for the Vega-Lite chart itself.

        Raises:
            MissingExtra: for SVG and PNG, without vl-convert.
            RTKError: another ending.
        """
        path = Path(path)
        match path.suffix:
            case ".svg":
                path.write_text(self.svg(), "utf-8")
            case ".png":
                path.write_bytes(self.png(scale=4))  # 288 dots an inch: enough for print
            case ".json":
                path.write_text(json.dumps(self._spec(), indent=2, ensure_ascii=False) + "\n", "utf-8")
            case other:
                raise RTKError(f"a figure is not written as {other or 'a file without an ending'!r}",
                               mend="end the name in .svg, .png or .json")  # fmt: skip

    def _spec(self) -> dict[str, Any]:
        return {**_drawable(self.chart().to_dict()), "$schema": SCHEMA}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        spec = self._spec()
        data, about = {"text/plain": repr(self), VEGA_LITE: spec}, {}
        try:
            data["image/png"] = png = self.png()
        except MissingExtra:
            return data, about  # JupyterLab then puts a picture of its own into the notebook
        width, height = (int.from_bytes(png[at : at + 4]) // 2 for at in (16, 20))
        return data, {"image/png": {"width": width, "height": height, "alt": spec.get("description", "")}}


def _drawable(value: Any) -> Any:
    """A chart whose texts can be drawn: at a control character vl-convert ends the process."""
    if isinstance(value, str):
        return visible(value).replace("\ufffe", "�").replace("\uffff", "�")
    if isinstance(value, Mapping):
        return {_drawable(name): _drawable(one) for name, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list) else value


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra(
            "drawing a figure as PNG or SVG needs vl-convert", mend="pip install 'rtk-inference[notebook]'"
        ) from error
    return vl_convert


def _packed(png: bytes) -> bytes:
    """The same picture in a third of the bytes, since notebooks keep it: vl-convert compresses for speed."""
    chunks = list(_chunks(png))
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    *first, end = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    made = [*first, (b"IDAT", zlib.compress(pixels, 9)), end]
    return png[:8] + b"".join(
        len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in made
    )


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size


def accuracy_chart(
    rows: Sequence[Mapping[str, Any]], amount: str, *, title: str, subtitle: list[str], axis: str, description: str
) -> Any:
    """Accuracy against an amount of compute: points on a line, and their intervals as a band.

    Args:
        rows: tidy rows with `accuracy`, `low`, `high`, `n`, `tokens` and the amount.
        amount: the column to draw against, on a logarithmic axis with ticks where something was measured.
        title: in bold above the chart.
        subtitle: lines below it: how many questions, which interval, what the points share.
        axis: what the amount is.
        description: all of it in words, for a screen reader.
    """
    import altair as alt

    shown = [_rounded(row) for row in rows if row["accuracy"] is not None]
    settings = [row[amount] for row in shown]
    x = alt.X(f"{amount}:Q", title=axis, scale=_scale(settings), axis=alt.Axis(values=settings, grid=False, format="d"))
    y = partial(
        alt.Y, type="quantitative", title="accuracy", scale=alt.Scale(domain=_span(shown)), axis=alt.Axis(tickCount=5)
    )
    fields = [f"{amount}:Q", *(alt.Tooltip(f"{name}:Q", format=".2f") for name in ("accuracy", "low", "high")), "n:Q",
              alt.Tooltip("tokens:Q", format=",")]  # fmt: skip
    base = alt.Chart().encode(x=x)
    band = base.mark_area(color=BLUE, opacity=0.2).encode(y=y("low"), y2="high:Q")
    whisker = base.mark_rule(color=BLUE, opacity=0.5).encode(y=y("low"), y2="high:Q")
    line = base.mark_line(color=BLUE, strokeWidth=2).encode(y=y("accuracy"))
    point = base.mark_point(color=BLUE, filled=True, size=60, opacity=1).encode(y=y("accuracy"), tooltip=fields)
    # A name for the data: without one altair makes it from a hash, and moves the data elsewhere in the chart.
    data = alt.InlineData(values=shown, name="accuracy")
    layers = alt.layer(band, whisker, line, point, data=data, width=WIDTH, height=HEIGHT)
    return layers.properties(title={"text": title, "subtitle": subtitle}, description=description).configure(**THEME)


def _scale(settings: Sequence[int]) -> Any:
    """A logarithmic axis with room at both ends; around a single setting, from half of it to twice."""
    import altair as alt

    if len(settings) < 2:
        return alt.Scale(type="log", base=2, domain=[settings[0] / 2, settings[0] * 2] if settings else [1, 2])
    return alt.Scale(type="log", base=2, nice=False, padding=14)


def _span(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The intervals' ends, outwards to the next tenth."""
    lows, highs = [row["low"] for row in rows], [row["high"] for row in rows]
    return [floor(min(lows, default=0) * 10) / 10, ceil(max(highs, default=1) * 10) / 10]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
