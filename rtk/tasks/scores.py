"""Scores: what a metric says of an answer, as a number."""

from __future__ import annotations

from typing import Any

import dspy

from rtk.errors import TaskError


def score_of(found: Any) -> float:
    """What a metric said, as a score in [0, 1].

    Args:
        found: True or False, a number, one of numpy's, or a `dspy.Prediction` with a `score`.

    Raises:
        TaskError: for what is none.
    """
    found = getattr(found, "score", found) if isinstance(found, dspy.Prediction) else found
    if isinstance(found, (bool, int, float)) and 0 <= found <= 1:
        return float(found)
    item = getattr(found, "item", None)  # a number of numpy's
    if callable(item) and getattr(found, "ndim", 1) == 0:
        return score_of(item())
    raise TaskError(
        f"the metric returned {found!r:.40}, which is no score", mend="return True or False, or a score from 0 to 1"
    )
