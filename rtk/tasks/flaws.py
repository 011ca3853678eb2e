"""What is wrong with a table of questions, row by row: named, counted, never guessed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtk.errors import TaskError

SHOWN = 10


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """One thing that is wrong with one row.

    Attributes:
        row: its place in the table, from 0, whatever the table's own index says.
        column: where.
        reason: what is wrong.
    """

    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column!r}: {self.reason}"


def told(flaws: Sequence[Flaw]) -> str:
    """The first ten, and how many more there are."""
    more = f"; and {len(flaws) - SHOWN} more" if len(flaws) > SHOWN else ""
    return f"{'; '.join(map(str, flaws[:SHOWN]))}{more}"


def counted(flaws: Sequence[Flaw]) -> str:
    """How many rows are bad, and what is wrong with them."""
    rows = len({flaw.row for flaw in flaws})
    return f"{rows} bad row{'s' * (rows > 1)}: {told(flaws)}. Rows count from 0"


def refuse(flaws: Sequence[Flaw]) -> None:
    """Raise for flaws, if there are any.

    Raises:
        TaskError: naming up to ten of them by row and column.
    """
    if flaws:
        raise TaskError(counted(flaws), mend='mend these rows, or leave them out with bad="drop"')
