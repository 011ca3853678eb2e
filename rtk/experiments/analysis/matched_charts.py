"""The chart of a match at equal cost: two groups against cost, and below it how far apart they are at each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtk.experiments.analysis.cost_charts import GREY, cost_axis, drawn, kind_marks, points, value_axis
from rtk.experiments.analysis.equal_cost import Match
from rtk.experiments.figures import HEIGHT, PALETTE, THEME, WIDTH

Row = dict[str, Any]


def matched_chart(
    settings: Sequence[Row],
    found: Sequence[Match],
    *,
    margin: float,
    title: Any,
    axis: str,
    metric: str,
    description: str,
) -> Any:
    """Two panels or more with one axis of cost.

    Args:
        settings: rows of `drawn`, with `setting`, `kind` (the group) and `on` (no other of the group beats it).
        found: the matches; a panel for each pair of groups.
        margin: see `Match.verdict`; a band around 0.
        title: text and subtitle.
        axis: what the cost is.
        metric: what the value is.
        description: all of it in words, for a screen reader.
    """
    import altair as alt

    costs = [row["cost"] for row in settings]
    pairs = list(dict.fromkeys((match.group, match.other) for match in found if match.difference is not None))
    kinds = list(dict.fromkeys(row["kind"] for row in settings))
    panels = [_above(settings, cost_axis(costs, "" if pairs else axis), metric)]
    for number, pair in enumerate(pairs):
        here = [match for match in found if (match.group, match.other) == pair and match.difference is not None]
        x = cost_axis(costs, axis if number == len(pairs) - 1 else "")
        colour = PALETTE[kinds.index(pair[0]) % len(PALETTE)]
        panels.append(_below([_differing(match, margin) for match in here], x, pair, colour, margin, number))
    chart = alt.vconcat(*panels, spacing=16)
    return chart.properties(title=title, description=description).configure(**THEME)


def _above(rows: Sequence[Row], x: Any, metric: str) -> Any:
    import altair as alt

    y, look = value_axis(rows, metric), kind_marks([row["kind"] for row in rows])
    base = alt.Chart(alt.InlineData(values=list(rows), name="settings"))
    shown = ["setting:N", "kind:N", "cost:Q"]
    shown += [alt.Tooltip(f"{name}:Q", format=".2f") for name in ("value", "low", "high")]
    line = base.transform_filter("datum.on").mark_line(strokeWidth=1.5).encode(x=x, y=y, color=look["color"])
    return alt.layer(line, *points(base, x, y, look, shown), width=WIDTH, height=HEIGHT)


def _differing(match: Match, margin: float) -> Row:
    about = {"setting": match.setting, "held_against": " and ".join(match.others), "how": match.how}
    point = {} if match.difference is None else drawn(match.cost, match.difference)
    return {**about, "verdict": match.verdict(margin), "on": match.how == "measured", **point}


def _below(rows: Sequence[Row], x: Any, pair: tuple[str, str], colour: str, margin: float, number: int) -> Any:
    """The differences of a pair: filled where both were measured, hollow where the other is read off in between."""
    import altair as alt

    y = value_axis(rows, "", ends=(-1.0, 1.0), ticks=3)
    title = {"text": f"{pair[0]} less {pair[1]}", "fontSize": 11, "fontWeight": "normal", "limit": WIDTH}
    base = alt.Chart(alt.InlineData(values=list(rows), name=f"differences {number}"))
    ends = alt.Chart(alt.InlineData(values=[{"low": -margin, "high": margin, "value": 0.0}], name=f"zero {number}"))
    band = ends.mark_rect(color=GREY, opacity=0.2).encode(y=alt.Y("low:Q", scale=y["scale"]), y2="high:Q")
    zero = ends.mark_rule(color=GREY).encode(y=y)
    whisker = base.mark_rule(color=colour, strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", scale=y["scale"]), y2="high:Q")
    shown = ["setting:N", "held_against:N", "how:N", "verdict:N"]
    shown += [alt.Tooltip(f"{name}:Q", format="+.2f") for name in ("value", "low", "high")]
    filled = alt.condition("datum.on", alt.value(1), alt.value(0))
    point = base.mark_point(size=60, color=colour, fill=colour, opacity=1, strokeWidth=2).encode(
        x=x, y=y, fillOpacity=filled, tooltip=shown
    )
    return alt.layer(band, zero, whisker, point, width=WIDTH, height=HEIGHT * 0.5, title=title)
