"""A prediction as HTML for a notebook's cell: the answer, how sure it is, the vote, what it cost, how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtk._html import Markup, element, lines
from rtk.answers import Vote, answer_fields
from rtk.budget import Spent
from rtk.deliberation import Deliberation
from rtk.statistics import Estimate

SHORT = 120  # characters of an answer that stands in large letters
MOST = 2000  # characters of one output
ANSWERS = 10  # rows of a vote
BAR = 20  # block characters of a share of 1
_WON, _LOST = "color:var(--jp-brand-color1,#4a86c8)", "opacity:.45"  # how bars are coloured
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def page(fields: Mapping[str, Any], about: Mapping[str, Any]) -> Markup:
    """A prediction's fields, and its evidence by name."""
    answers = answer_fields(fields)
    vote = about.get("vote") if isinstance(about.get("vote"), Vote) else None
    return element(
        "div",
        *(_answer(name, fields[name]) for name in answers),
        _drawn(about.get("hand_over")),
        _stopped(about.get("stopped")),
        _line("explanation", _text(said)) if (said := about.get("explanation")) else None,
        _sure(about.get("confidence")),
        _line("margin", None if vote is None else f"{vote.margin:.2f}"),
        _votes(vote) if vote is not None else _abstained(about.get("abstentions") or {}),
        _drawn(about.get("route")),
        _line("spent", _cost(about.get("spent"))),
        *(_folded(name, _text(fields[name])) for name in fields if name not in answers),
        _told(about.get("deliberation")),
        class_="rtk-prediction tex2jax_ignore mathjax_ignore",  # else "$3 and $4" becomes a formula
        style="line-height:1.6",
    )


def _line(name: str, *said: object) -> Markup | None:
    """A line with its name before it; none where there is nothing to say."""
    return None if said == (None,) else element("div", element("small", name), " ", *said)


def _drawn(evidence: Any) -> Markup | None:
    """Evidence that draws itself: a route, a hand-over."""
    return Markup(evidence._repr_html_()) if hasattr(evidence, "_repr_html_") else None


def _folded(name: str, said: Markup) -> Markup:
    inside = element("div", said, style="margin:.2em 0 .4em 1.1em")
    return element("details", element("summary", element("small", name)), inside)


# --- the answer ---


def _answer(name: str, value: Any) -> Markup | None:
    if value is None:
        return _line(name, element("em", "no answer"))
    if len(str(value)) <= SHORT and "\n" not in str(value):
        return _line(name, element("strong", element("bdi", value), style="font-size:1.25em"))
    return _line(name, _text(value))


def _text(value: Any) -> Markup:
    return element("div", element("bdi", lines(value, MOST)), style="white-space:pre-wrap")


def _stopped(unit: str | None) -> Markup | None:
    if unit is None:
        return None
    why = "" if unit == "closed" else f": the budget of {unit} ran out"
    return element("div", element("strong", "stopped"), f"{why}; this is the best so far")


def _cost(spent: Any) -> Any:
    """Without what was drawn and what reused: a cell shows the same when it is run again."""
    return spent.amounts() if isinstance(spent, Spent) else spent


def _sure(confidence: Any) -> Markup | None:
    if not isinstance(confidence, Estimate):
        return _line("confidence", f"{confidence:.2f}" if isinstance(confidence, float) else confidence)
    how = f" ({100 * confidence.level:g} % interval, {confidence.method})"
    return _line("confidence", confidence, element("small", how))


# --- the vote ---


def _votes(vote: Vote) -> Markup:
    """A table with a bar for each answer; what does not fit, and what abstained, is counted in it."""
    rows = [_row(element("bdi", lines(one.answer, SHORT)), len(one.members), one.share, one.members == vote.voters)
            for one in vote.clusters[:ANSWERS]]  # fmt: skip
    if rest := vote.clusters[ANSWERS:]:
        votes, share = sum(len(one.members) for one in rest), sum(one.share for one in rest)
        rows.append(_row(element("em", f"{len(rest):,} more"), votes, share))
    if vote.abstentions:
        rows.append(_row(element("em", _kinds(vote.abstentions)), vote.size - vote.votes))
    head = element("tr", _cell("answer", "left", "th"), *(_cell(name, "right", "th") for name in ("votes", "share")))
    return element("table", element("thead", head), element("tbody", *rows), style="margin:.4em 0")


def _row(said: Markup, votes: int, share: float | None = None, won: bool = False) -> Markup:
    bar = element("span", _bar(share or 0.0), aria_hidden="true", style=_WON if won else _LOST)
    shown = "" if share is None else f"{100 * share:.0f} %"
    return element(
        "tr",
        _cell(element("strong", "✓ ", said) if won else said, "left"),
        _cell(f"{votes:,}", "right"),
        _cell(shown, "right"),
        _cell(bar, "left"),
    )


def _cell(said: object, side: str, kind: str = "td") -> Markup:
    return element(kind, said, style=f"text-align:{side};padding:.1em .7em .1em 0")


def _bar(share: float) -> str:
    eighths = round(8 * BAR * min(max(share, 0.0), 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def _abstained(abstentions: Mapping[str, int]) -> Markup | None:
    return element("div", _kinds(abstentions)) if abstentions else None


def _kinds(abstentions: Mapping[str, int]) -> str:
    return "abstained: " + ", ".join(f"{count:,} {kind}" for kind, count in abstentions.items())


# --- how it came about ---


def _told(deliberation: Any) -> Markup | None:
    if not isinstance(deliberation, Deliberation):
        return None
    steps = sum(1 for _ in deliberation.walk())
    return _folded(f"deliberation ({steps:,} {'step' if steps == 1 else 'steps'})", Markup(deliberation.html()))
