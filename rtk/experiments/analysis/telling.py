"""Figures as a reader wants them: counts, amounts, differences and chances, the same words in every table."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from math import floor, isnan, log10
from typing import Any

from rtk._html import Markup, element, fragment
from rtk.statistics import Estimate

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def counted(number: int, noun: str) -> str:
    """`1 question`, `1,200 questions`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def amount(value: float | None) -> str:
    """A cost: whole numbers in groups of three, others with three digits, very large and small ones as a power of ten;
    a dash where it is unknown.
    """
    if unknown(value) or value is None:
        return "–"
    if value == 0 or (isinstance(value, int) and abs(value) < 1e9):
        return f"{value:,.0f}"
    power = floor(log10(abs(value)))
    if not -5 <= power < 6:
        return f"{value / 10**power:.2f}×10{str(power).translate(RAISED)}"
    return f"{value:,.{max(0, 2 - power)}f}"


def unknown(value: Any) -> bool:
    """Whether there is no such figure: None or NaN."""
    return value is None or (isinstance(value, float) and isnan(value))


def percent(level: float) -> str:
    """A level as a heading has it: `95 %`."""
    return f"{100 * level:g} %"


def share(value: float | None) -> str:
    """A share with two decimals, halves rounded up as by hand; a dash where there is none."""
    if value is None or isnan(value):
        return "–"
    return str(_rounded(value))


def _rounded(value: float) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal("0.01"), ROUND_HALF_UP)


def signed(value: float | None) -> str:
    """A difference with its sign; what rounds to nothing has none."""
    if value is None or isnan(value):
        return "–"
    text = f"{_rounded(value):+}".replace("-", "−")
    return text[1:] if text[1:] == "0.00" else text


def span(found: Estimate, sign: bool = False) -> str:
    """The interval of an estimate."""
    said = signed if sign else share
    return f"[{said(found.low)}, {said(found.high)}]"


def chance(p_value: float | None) -> str:
    """A p-value in a table."""
    if p_value is None or isnan(p_value):
        return "–"
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def ratio(more: float, less: float) -> str:
    """How many times as much: `7.9×`."""
    if not less:
        return "1.0×" if not more else "∞×"
    return f"{more / less:.1f}×" if more / less < 100 else f"{more / less:,.0f}×"


def some(names: Sequence[str], most: int = 4) -> str:
    """A list in a sentence, the rest of a long one counted."""
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def noted(warnings: Sequence[str], heading: str = "Warnings") -> str:
    """Sentences below a text table; empty where there are none."""
    return "".join([f"\n{heading}:", *(f"\n- {one}" for one in warnings)]) if warnings else ""


def with_notes(table: Markup, warnings: Sequence[str], heading: str = "Warnings") -> Markup:
    """The same below a table of a page."""
    if not warnings:
        return table
    return fragment(table, element("p", element("b", heading)), element("ul", *(element("li", w) for w in warnings)))
