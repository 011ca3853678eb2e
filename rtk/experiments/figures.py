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
from collections.abc import Iterator, Mapping
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
