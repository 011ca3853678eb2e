"""A check: one verdict on one candidate, whole or partial. The subject of checkers, verifiers and pruning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """What a checker found.

    Attributes:
        ok: True where the candidate may stand, False where it cannot, None where the checker cannot tell.
        reason: one sentence for a reader, and for the model in a repair round.
        score: in [0, 1] where the checker grades rather than decides; None otherwise.
    """

    ok: bool | None
    reason: str = ""
    score: float | None = None

    def __bool__(self) -> bool:
        return self.ok is not False


Checker = Callable[[Mapping[str, Any], Any], Check]
"""A checker sees a question's inputs and one candidate (an answer, or a partial one), never the gold answer."""
