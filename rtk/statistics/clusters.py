"""Rows that belong together: the replicates of one question are no independent observations of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.errors import RTKError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which row belongs to which question.

    Attributes:
        codes: the number of each row's question, counted from 0.
        sizes: how many rows each question has.
    """

    codes: Ints
    sizes: Ints

    @property
    def repeated(self) -> bool:
        """Whether some question has more than one row."""
        return self.sizes.size < self.codes.size

    def means(self, values: Floats) -> Floats:
        """The mean of each question's rows."""
        return np.bincount(self.codes, values, self.sizes.size) / self.sizes


def clustered(rows: int, clusters: Iterable[Hashable] | None) -> Clusters:
    """The questions of so many rows; without clusters every row is a question of its own.

    Raises:
        RTKError: not as many clusters as rows.
    """
    if clusters is None:
        return Clusters(np.arange(rows), np.ones(rows, dtype=np.int64))
    known: dict[Hashable, int] = {}
    if isinstance(clusters, np.ndarray) and clusters.dtype.kind in "iu":
        codes = np.unique(clusters, return_inverse=True)[1].ravel()
    else:
        codes = np.array([known.setdefault(one, len(known)) for one in clusters], dtype=np.int64)
    if codes.size != rows:
        raise RTKError(
            f"{codes.size} clusters for {rows} rows", mend="pass one cluster, such as a question's id, a row"
        )
    return Clusters(codes, np.bincount(codes))


def all_or_nothing(array: Floats) -> bool:
    """Whether there is nothing but 0 and 1."""
    return bool(((array == 0) | (array == 1)).all())


def paired_scores(before: Iterable[Any], after: Iterable[Any]) -> tuple[Floats, Floats]:
    """Two times the same rows, as arrays.

    Raises:
        RTKError: different numbers of rows, or a score that is missing or outside [0, 1].
    """
    first, second = scores(before, "scores before"), scores(after, "scores after")
    if first.size != second.size:
        raise RTKError(
            f"{first.size} scores before and {second.size} after are no pairs",
            mend="pass the same questions in the same order, twice",
        )
    return first, second


def numbers(values: Iterable[Any], what: str) -> Floats:
    """A list, array or column as an array of floats; None is NaN.

    Raises:
        RTKError: what are no numbers, or not in one dimension.
    """
    try:
        array = np.asarray(values if hasattr(values, "__len__") else list(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RTKError(f"{what} are no numbers: {error}", mend="pass one number or bool a row") from error
    if array.ndim != 1:
        raise RTKError(f"{what} have {array.ndim} dimensions", mend="pass one number or bool a row")
    return array


def scores(values: Iterable[Any], what: str = "scores") -> Floats:
    """Scores in [0, 1] as an array.

    Raises:
        RTKError: a score that is missing or outside [0, 1].
    """
    array = numbers(values, what)
    wrong = np.flatnonzero(~((array >= 0) & (array <= 1)))
    if wrong.size:
        first = int(wrong[0])
        raise RTKError(
            f"row {first} of the {what} is {array[first]:g}, which is not in [0, 1]",
            mend="count what failed or abstained as 0, and scale other scores to [0, 1]",
        )
    return array
