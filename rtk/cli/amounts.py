"""Amounts as a person reads them: dollars, bytes, moments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rtk.cli.output import UNKNOWN

if TYPE_CHECKING:
    from rtk.store import Tally

_UNITS = ("B", "kB", "MB", "GB", "TB")
_AGES = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"))


def count(number: int, what: str, several: str | None = None) -> str:
    """A number of things."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"


def dollars(tally: Tally) -> str:
    """What samples cost; at least that much, where the price of some is unknown."""
    if tally.unpriced == tally.samples:
        return UNKNOWN
    return f"{'≥ ' if tally.unpriced else ''}{price(tally.dollars)}"


def price(amount: float | None) -> str:
    """Dollars to the last digit that matters."""
    if amount is None:
        return UNKNOWN
    return f"{amount:,.2f}" if amount >= 100 or amount == 0 else f"{amount:.4f}" if amount >= 0.01 else f"{amount:.2g}"


def size(number: float) -> str:
    """Bytes, in thousands."""
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} {_UNITS[-1]}"


def _parsed(time: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def moment(time: str) -> str:
    """A moment in ISO 8601 as the clock on the wall shows it."""
    found = _parsed(time)
    return UNKNOWN if found is None else f"{found.astimezone():%Y-%m-%d %H:%M}"


def ago(time: str) -> str:
    """How long ago a moment in ISO 8601 was."""
    found = _parsed(time)
    if found is None:
        return UNKNOWN
    seconds = (datetime.now(UTC) - found).total_seconds()
    return next((f"{seconds // span:.0f} {unit} ago" for span, unit in _AGES if seconds >= span), "just now")
