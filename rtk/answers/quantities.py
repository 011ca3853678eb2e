"""The middle of many numbers, exactly."""

from __future__ import annotations

from fractions import Fraction
from statistics import median
from typing import Any

from rtk.answers.numbers import read_number, sole_number
from rtk.errors import AnswerError

TRIM = 0.2  # of the numbers, at each end


def number_in(answer: Any) -> Fraction | None:
    """The number that an answer is, or the only one in its text; None where there is none."""
    number = read_number(answer)
    return sole_number(answer) if number is None and isinstance(answer, str) else number


def check_trim(trim: Any) -> None:
    """Refuse a share that cannot be left out at both ends.

    Raises:
        AnswerError: for anything but a number from 0 to below 0.5.
    """
    if isinstance(trim, bool) or not isinstance(trim, int | float) or not 0 <= trim < 0.5:
        raise AnswerError(f"trim={trim!r}", mend="a share from 0 to below 0.5, left out at each end, such as 0.2")


def middle_of(numbers: list[Fraction], rule: str, trim: float = TRIM) -> Fraction:
    """The mean, the median or the trimmed mean of some numbers, which leaves out the smallest and the largest, `trim`
    of all at each end, rounded down.
    """
    if rule == "median":
        return median(numbers)
    cut = int(Fraction(str(trim)) * len(numbers)) if rule == "trimmed_mean" else 0  # as written: 0.29 of 100 is 29
    kept = sorted(numbers)[cut : len(numbers) - cut]
    return sum(kept, Fraction(0)) / len(kept)
