"""Charts of several lines, told apart by colour, by dash and by shape, so that none of the three is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, floor
from typing import Any

import numpy as np

from rtk.experiments.figures import DIGITS, HEIGHT, PALETTE, THEME, WIDTH
from rtk.experiments.figures import SHAPES as FIVE

COLOURS = (*PALETTE, "#c9566f")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (4, 6))
SHAPES = (*FIVE, "triangle-down")
RING = "#8a8a8a"
TIGHT = {"orient": "bottom", "direction": "vertical", "columns": 1, "labelLimit": WIDTH, "labelFontSize": 11,
         "titleFontSize": 11, "titleFontWeight": "normal", "titleLimit": WIDTH, "symbolSize": 60, "symbolOpacity": 1,
         "symbolStrokeWidth": 0}  # fmt: skip


@dataclass(frozen=True)
class Apart:
    """Which line looks how.

    Attributes:
        names: of the lines, in order.
        colours, dashes, shapes: of each; beyond six lines they come round again, the dashes shifted.
    """

    names: tuple[str, ...]

    @property
    def colours(self) -> list[str]:
        """A colour for each line."""
        return [COLOURS[at % len(COLOURS)] for at in range(len(self.names))]

    @property
    def dashes(self) -> list[tuple[int, ...]]:
        """A dash for each line."""
        return [DASHES[(at + at // len(DASHES)) % len(DASHES)] for at in range(len(self.names))]

    @property
    def shapes(self) -> list[str]:
        """A shape for the points of each line."""
        return [SHAPES[(at + at // len(SHAPES)) % len(SHAPES)] for at in range(len(self.names))]


def told_apart(names: Iterable[str]) -> Apart:
    """Looks for some lines; the order of their first appearance."""
    return Apart(tuple(dict.fromkeys(names)))


def rounded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows for a chart, with as many digits as all machines agree on."""
    return [
        {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def framed(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a pandas frame in which what is missing among texts stays None."""
    import pandas as pd

    frame = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        plain = all(isinstance(value, int | float | np.number | np.bool_) for value in values)
        frame[name] = pd.Series(values, dtype=None if plain else object)
    return pd.DataFrame(frame)


def span(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The intervals' ends, outwards to the next tenth."""
    lows, highs = [row["low"] for row in rows], [row["high"] for row in rows]
    return [floor(min(lows, default=0) * 10) / 10, ceil(max(highs, default=1) * 10) / 10]


def looks(apart: Apart, legend: str | None) -> tuple[Any, Any, Any]:
    """Colour, dash and shape of the lines in altair; the legend shows colour and shape."""
    import altair as alt

    names = list(apart.names)
    shown = alt.Legend(title=legend, **TIGHT) if len(names) > 1 or legend else None
    encoded = partial(_encoded, names, shown)
    return (
        alt.Color(**encoded(apart.colours)),
        alt.StrokeDash(**{**encoded([list(one) for one in apart.dashes]), "legend": None}),
        alt.Shape(**encoded(apart.shapes)),
    )


def _encoded(names: list[str], legend: Any, values: list[Any]) -> dict[str, Any]:
    import altair as alt

    return {"shorthand": "line:N", "scale": alt.Scale(domain=names, range=values), "legend": legend}


def heading(title: str, subtitle: list[str]) -> dict[str, Any]:
    """A chart's title, as altair takes it."""
    return {"text": title, "subtitle": subtitle}


def panel(
    rows: Sequence[Mapping[str, Any]],
    apart: Apart,
    *,
    x: Any,
    y: str,
    legend: str | None,
    over: Sequence[Mapping[str, Any]] = (),
    bands: bool = True,
    below: Sequence[Any] = (),
    domain: Sequence[float] | None = None,
) -> Any:
    """Lines with points and their intervals, and perhaps further points over them.

    Args:
        rows: with `line`, `x`, `y`, `low`, `high`, and `said`, which the pointer shows.
        apart: how the lines look.
        x: the altair axis.
        y: what the values are.
        legend: its title; None for none.
        over: further points with `x`, `y`, `said`, as open rings.
        bands: whether intervals are bands; else they are whiskers.
        below: layers that lie below all.
        domain: of the values; by default what the intervals need.
    """
    import altair as alt

    data = alt.InlineData(values=rounded(rows))
    colour, dash, shape = looks(apart, legend)
    scale = alt.Scale(domain=list(domain or span(rows)))
    up = partial(alt.Y, type="quantitative", title=y, scale=scale, axis=alt.Axis(tickCount=5))
    base = alt.Chart(data).encode(x=x, color=colour)
    spread = base.mark_area(opacity=0.15) if bands else base.mark_rule(opacity=0.6)
    tip = alt.Tooltip("said:N", title="figure")
    layers = [
        *below,
        spread.encode(y=up("low"), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=up("y"), strokeDash=dash),
        base.mark_point(filled=True, size=45, opacity=1).encode(y=up("y"), shape=shape, tooltip=tip),
    ]
    if over:
        rings = alt.Chart(alt.InlineData(values=rounded(over))).encode(x=x, y=up("y"), tooltip=tip)
        layers.append(rings.mark_point(size=140, strokeWidth=1.5, color=RING, shape="circle"))
    return alt.layer(*layers, width=WIDTH, height=HEIGHT)


def drawn(panels: Mapping[str, Any], title: str, subtitle: list[str], description: str) -> Any:
    """A chart of one panel, or of several, one below the other, each under its name.

    Args:
        panels: by their names.
        title: in bold above the chart.
        subtitle: lines below it.
        description: all of it in words, for a screen reader.
    """
    import altair as alt

    if len(panels) == 1:
        whole = next(iter(panels.values()))
    else:
        named = [one.properties(title=alt.TitleParams(name, fontSize=11)) for name, one in panels.items()]
        whole = alt.vconcat(*named, spacing=16)
    made = whole.properties(title=heading(title, subtitle), description=description)
    return made.configure(**THEME)


def marked(
    rows: Sequence[Mapping[str, Any]],
    apart: Apart,
    *,
    x: str,
    y: str,
    title: str,
    subtitle: list[str],
    legend: str,
    description: str,
) -> Any:
    """Points by kind, the best of them on a line with their intervals.

    Args:
        rows: with `line`, `x`, `y`, `low`, `high`, `policy`, and `best`, whether it is on the line.
        apart: how the kinds look.
        x: what the cost is; on a logarithmic axis.
        y: what the values are.
        title: in bold above the chart.
        subtitle: lines below it.
        legend: its title.
        description: all of it in words, for a screen reader.
    """
    import altair as alt

    shown = rounded(rows)
    best, costs = [row for row in shown if row["best"]], [row["x"] for row in shown]
    ticks = [k for k in (2**power for power in range(12)) if min(costs) <= k <= max(costs)]
    axis = alt.Axis(grid=False, values=ticks) if len(ticks) > 1 else alt.Axis(grid=False, tickCount=4, format="~g")
    across = alt.X("x:Q", title=x, scale=alt.Scale(type="log", base=2, nice=False, padding=14), axis=axis)
    heights = [{"low": row["y"], "high": row["y"]} for row in shown] + best
    up = partial(alt.Y, type="quantitative", title=y, scale=alt.Scale(domain=span(heights)), axis=alt.Axis(tickCount=5))
    colour, _, shape = looks(apart, legend)
    every = alt.Chart(alt.InlineData(values=shown, name="policies")).encode(x=across, color=colour, shape=shape)
    unbeaten = alt.Chart(alt.InlineData(values=best, name="frontier")).encode(x=across)
    tip = ["policy:N", alt.Tooltip("y:Q", title=y, format=".2f"), alt.Tooltip("low:Q", format=".2f"),
           alt.Tooltip("high:Q", format=".2f"), alt.Tooltip("x:Q", title="samples", format=".1f")]  # fmt: skip
    layers = alt.layer(
        unbeaten.mark_rule(color=RING, opacity=0.6).encode(y=up("low"), y2="high:Q"),
        unbeaten.mark_line(color=RING, interpolate="step-after", strokeWidth=1.5).encode(y=up("y")),
        every.mark_point(filled=True, size=40).encode(
            y=up("y"), tooltip=tip, opacity=alt.condition("datum.best", alt.value(1), alt.value(0.45))
        ),
        width=WIDTH,
        height=HEIGHT,
    )
    return layers.properties(title=heading(title, subtitle), description=description).configure(**THEME)
