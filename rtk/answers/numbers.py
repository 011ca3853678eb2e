"""Numbers as people and models write them, read exactly."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Rational, Real
from typing import Any

from rtk.answers.writing import bare, plain, without_latex

LONGEST = 400  # characters of a number; longer ones are compared as text
LARGEST_EXPONENT = 300  # of ten; larger ones are compared as text, so that 1e999999999 costs nothing

_DIGITS = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_POWER = r"(?:[eE]|\s*(?:[*×xX·]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*)\{?([+-]?[0-9]{1,9})\}?"
_TERM = re.compile(rf"\s*([+-]?)\s*({_DIGITS})(?:{_POWER})?\s*")
_MIXED = re.compile(r"([+-]?)\s*([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)")
_MONEY = re.compile(r"^([+-]?)\s*[$€£¥]\s*")
_WITHIN = re.compile(rf"(?<![\w.,/])[+-]?[$€£¥]?(?:{_DIGITS})(?:[eE][+-]?[0-9]{{1,9}})?(?:\s*/\s*[0-9]+)?%?(?![\w/])")


def read_number(value: Any) -> Fraction | None:
    """The number that a value is or a text says, exactly; None where it is none.

    Read are `-5`, `+5`, `42.`, `.5`, `1,234` (groups of three digits), `1/2`, `1 1/2`, `½`, `\\frac12`, `1e-3`,
    `1.5 × 10^3`, `$5.00` (the currency is dropped) and `50%` (which is 0.5, not 50). A float is read at its 15
    significant digits. Booleans, NaN, infinities and numbers too large to write out are none.
    """
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    if isinstance(value, Integral):
        return Fraction(int(value))
    if isinstance(value, Rational):
        return Fraction(value)
    if isinstance(value, Decimal):
        return _read_text(str(value))
    number = float(value)
    return Fraction(f"{number:.15g}") if math.isfinite(number) else None


def sole_number(text: str) -> Fraction | None:
    """The number in a text that holds only one, such as `about 42 km`; None where there are none or several."""
    if len(text) > 10 * LONGEST:
        return None
    found = _WITHIN.findall(without_latex(plain(text)))
    return _read_text(found[0]) if len(found) == 1 else None


def write_number(number: Fraction) -> str:
    """A number as a person writes it: `42`, `0.25`, `2.33333333333`; 12 significant digits where it is not whole."""
    if number.denominator == 1 and abs(number.numerator) < 10**LONGEST:
        return str(number.numerator)
    return f"{Decimal(number.numerator) / Decimal(number.denominator):.12g}"


def _read_text(text: str) -> Fraction | None:
    if len(text) > LONGEST:
        return None
    text = bare(without_latex(bare(plain(text)))).rstrip(".")
    hundredth = text.endswith("%")
    text = _MONEY.sub(r"\1", text.rstrip("% ") if hundredth else text)
    number = _read_mixed(text) if _MIXED.fullmatch(text) else _read_ratio(text)
    return number / 100 if hundredth and number is not None else number


def _read_mixed(text: str) -> Fraction | None:
    found = _MIXED.fullmatch(text)
    if found is None or not int(found[4]):
        return None
    number = int(found[2]) + Fraction(int(found[3]), int(found[4]))
    return -number if found[1] == "-" else number


def _read_ratio(text: str) -> Fraction | None:
    above, slash, below = text.partition("/")
    top, bottom = _read_term(above), _read_term(below) if slash else Fraction(1)
    return top / bottom if top is not None and bottom else None


def _read_term(text: str) -> Fraction | None:
    found = _TERM.fullmatch(text)
    if found is None:
        return None
    exponent = int(found[3] or 0)
    if abs(exponent) > LARGEST_EXPONENT:
        return None
    number = Fraction(found[2].replace(",", "").rstrip(".")) * Fraction(10) ** exponent
    return -number if found[1] == "-" else number
