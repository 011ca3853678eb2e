"""Means and medians of the first answers of many orders, exactly: whole numbers over one denominator for each pool."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np

from rtk.answers import canonical
from rtk.experiments.replays.orders import Array

TRIM = 0.2  # of the numbers, at each end, as `rtk.answers.vote` has it
LARGEST = 2**40  # beyond it, sums and products might not fit
NEAR = 1e-6  # how far a number may be written from where it is, as a part of itself


def scaled(answers: list[Any], counted: Array) -> tuple[Array, int] | None:
    """The numbers that answers say, as whole numbers over one denominator; None where they are too large for that.

    Args:
        answers: of a pool.
        counted: which of them hold a number.
    """
    numbers: dict[int, Fraction] = {int(at): number_of(answers[at]) or Fraction(0) for at in np.flatnonzero(counted)}
    below = lcm(*(one.denominator for one in numbers.values())) if numbers else 1
    whole = [int(numbers.get(at, Fraction(0)) * below) for at in range(len(answers))]
    if below > LARGEST or any(abs(one) > LARGEST for one in whole):
        return None
    return np.array(whole, dtype=np.int64), below


def number_of(answer: Any) -> Fraction | None:
    """The number that an answer says, as a mean counts it; None where there is none."""
    found: Any = canonical(answer, "numeric")
    return found[1] if found is not None and found[0] == "number" else None


def middles(values: Array, counted: Array, rule: str, trim: float | None) -> tuple[Array, Array]:
    """The middle of the numbers of each order as a whole number and how often it is to be divided by.

    Args:
        values: whole numbers in order, orders × samples.
        counted: which of them count.
        rule: `"mean"`, `"median"` or `"trimmed_mean"`.
        trim: of the last.

    Returns:
        A sum for each order, and of how many numbers it is; 0 of 1 where none counts.
    """
    many = counted.sum(axis=1)
    largest = np.iinfo(np.int64).max
    ordered = np.sort(np.where(counted, values, largest), axis=1)  # what does not count comes last
    share = Fraction(str(TRIM if trim is None else trim))
    cuts = np.array([_cut(int(one), rule, share) for one in range(values.shape[1] + 1)])[many]
    place = np.arange(values.shape[1])
    kept = (place >= cuts[:, None]) & (place < (many - cuts)[:, None])
    return np.where(kept, ordered, 0).sum(axis=1), np.maximum(kept.sum(axis=1), 1)


def _cut(many: int, rule: str, trim: Fraction) -> int:
    """How many numbers are left out at each end."""
    if rule == "median":
        return (many - 1) // 2 if many else 0
    return int(trim * many) if rule == "trimmed_mean" else 0


def nearest(values: Array, counted: Array, total: Array, of: Array) -> tuple[Array, Array]:
    """The place of the number nearest to the middle, of equally near ones the earliest, and whether it is the middle.

    Args:
        values, counted: see `middles`.
        total, of: what it returns.
    """
    away = np.abs(values * of[:, None] - total[:, None])
    away = np.where(counted, away, np.iinfo(np.int64).max)
    place = away.argmin(axis=1)
    return place, np.take_along_axis(away, place[:, None], axis=1)[:, 0] == 0


def may_be(total: Array, of: Array, below: int, gold: Any) -> Array:
    """Whether a middle might be taken for the gold answer, however either is written; nearly always not.

    Args:
        total, of: see `middles`.
        below: the denominator.
        gold: the right answer.
    """
    right = number_of(gold)
    if right is None:
        return np.zeros(len(total), dtype=bool)
    return np.abs(total / of / below - float(right)) <= NEAR * max(1.0, abs(float(right)))
