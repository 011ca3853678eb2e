"""Charts of a metric against a cost: their axes, and the colours and shapes of what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from rtk.experiments.analysis.telling import RAISED
from rtk.experiments.figures import DIGITS, HEIGHT, PALETTE, SHAPES, WIDTH
from rtk.statistics import Estimate

KINDS = len(PALETTE)
CLOSE = 12  # pixels: the names of points that are closer, across and down, would stand over each other
GREY = PALETTE[-1]
NARROW = 1.5  # a lone cost stands in the middle of an axis from it divided by this to it times this


def kinds_of(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """What tells points of different programs and models apart, in as few words as do.

    Args:
        pairs: a program and a model for each point. Of more kinds than there are shapes, the last are `others`.
    """
    programs, models = {program for program, _ in pairs}, {model for _, model in pairs}
    said = [
        ", ".join([program] * (len(programs) > 1) + [model] * (len(models) > 1)) or program for program, model in pairs
    ]
    known = list(dict.fromkeys(said))
    return said if len(known) <= KINDS else [one if one in known[: KINDS - 1] else "others" for one in said]


def short(label: str, program: str, model: str) -> str:
    """A label less what colour and shape say."""
    parts = [part for part in label.split(", ") if part not in (program, f"model={model}")]
    return ", ".join(parts) or label


def drawn(cost: float, found: Estimate) -> dict[str, float]:
    """A point with its interval, in digits that are the same on every machine."""
    value = found.value or 0.0
    ends = {"value": value, "low": found.low, "high": found.high}
    return {"cost": float(f"{cost:.4g}"), **{name: round(end, DIGITS) for name, end in ends.items()}}


def cost_axis(costs: Sequence[float], title: str) -> Any:
    """A logarithmic axis a little wider than what is on it, with few ticks."""
    import altair as alt

    known = [cost for cost in costs if cost > 0] or [1.0]
    least, most = min(known), max(known)
    room = max((most / least) ** 0.07, NARROW if least == most else 1.05)
    domain = [float(f"{end:.4g}") for end in (least / room, most * room)]
    ticks = _ticks(*domain)
    words = " : ".join([*(f"datum.value == {tick!r} ? '{_word(tick)}'" for tick in ticks), "''"])
    scale = alt.Scale(type="log", domain=domain, nice=False, clamp=True)
    return alt.X("cost:Q", title=title, scale=scale, axis=alt.Axis(grid=False, values=ticks, labelExpr=words))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in between: the fewer for each power of ten, the wider it is."""
    wide = log10(high / low)
    steps = (1, 2, 5) if wide < 2 else (1, 3) if wide < 3.5 else (1,)
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if wide < 0.8 else (1, 2, 3, 5) if wide < 1.2 else steps
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    return [tick for power in powers for step in steps if low <= (tick := float(f"{step}e{power}")) <= high]


def _word(tick: float) -> str:
    power = floor(log10(tick) + 1e-9)
    if -4 < power < 6:
        return f"{tick:,.4f}".rstrip("0").rstrip(".")
    step = f"{tick / 10**power:.1f}".removesuffix(".0")
    return ("" if step == "1" else f"{step}×") + "10" + str(power).translate(RAISED)


def value_axis(
    rows: Sequence[Mapping[str, Any]], title: str, ends: tuple[float, float] = (0.0, 1.0), ticks: int = 5
) -> Any:
    """The metric, as far as its intervals reach; of differences, with 0 on it."""
    import altair as alt

    found = [row[name] for row in rows for name in ("low", "high")]
    found = [*found, 0.0] if ends[0] < 0 else found or list(ends)
    low, high = max(ends[0], min(found) - 0.04), min(ends[1], max(found) + 0.04)
    scale = alt.Scale(domain=[floor(low * 20) / 20, ceil(high * 20) / 20], nice=False, zero=False)
    return alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=ticks))


def kind_marks(kinds: Sequence[str]) -> dict[str, Any]:
    """Colour and shape of each kind, with a legend where there are several."""
    import altair as alt

    known = list(dict.fromkeys(kinds))
    legend = None
    if len(known) > 1:
        legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=WIDTH, symbolOpacity=1, symbolSize=70)
    colours = alt.Scale(domain=known, range=list(PALETTE[: len(known)]))
    shapes = alt.Scale(domain=known, range=list(SHAPES[: len(known)]))
    return {
        "color": alt.Color("kind:N", scale=colours, legend=legend),
        "shape": alt.Shape("kind:N", scale=shapes, legend=legend),
    }


def points(base: Any, x: Any, y: Any, look: Mapping[str, Any], tooltip: Sequence[Any]) -> list[Any]:
    """Points with their intervals; hollow where `on` is false."""
    import altair as alt

    whisker = base.mark_rule(opacity=0.5).encode(
        x=x, y=alt.Y("low:Q", scale=y["scale"]), y2="high:Q", color=look["color"]
    )
    filled = alt.condition("datum.on", alt.value(1), alt.value(0))
    point = base.mark_point(size=70, opacity=1, strokeWidth=2).encode(
        x=x, y=y, **look, fill=look["color"], fillOpacity=filled, tooltip=list(tooltip)
    )
    return [whisker, point]


def names(rows: Sequence[Mapping[str, Any]], x: Any, y: Any, look: Mapping[str, Any]) -> Any:
    """The names of points, above to the left, where nothing is that beats them; below to the right of the first.

    Points at one place have one name, which says both. They have the colour of their points: a theme for dark pages
    leaves other text in a chart black.
    """
    import altair as alt

    low, high = x["scale"]["domain"]
    edge = low * (high / low) ** 0.3
    said = [{**row, "first": row["cost"] < edge} for row in _joined(rows, log10(high / low), y["scale"]["domain"])]
    base = alt.Chart(alt.InlineData(values=said, name="names")).encode(x=x, y=y, text="name:N", color=look["color"])
    first = base.transform_filter("datum.first").mark_text(align="left", dx=7, dy=10, fontSize=11)
    others = base.transform_filter("!datum.first").mark_text(align="right", dx=-7, dy=-8, fontSize=11)
    return alt.layer(first, others)


def _joined(rows: Sequence[Mapping[str, Any]], powers: float, values: Sequence[float]) -> list[dict[str, Any]]:
    """The rows, those whose names would stand over each other as the first of them with all their names."""
    found: list[dict[str, Any]] = []
    for row in rows:
        for other in found:
            across = (
                abs(log10(row["cost"] / other["cost"])) / powers * WIDTH if row["cost"] > 0 < other["cost"] else 0.0
            )
            if across < CLOSE and abs(row["value"] - other["value"]) / (values[1] - values[0]) * HEIGHT < CLOSE:
                other["name"] = f"{other['name']} and {row['name']}"
                break
        else:
            found.append(dict(row))
    return found
