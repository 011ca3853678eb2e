"""How an answer ended, in a word and a sign: right, wrong, abstained, failed; or scored, where nothing is right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rtk.deliberation import Deliberation
from rtk.errors import RTKError
from rtk.experiments.records.records import Records

RIGHT, SCORED, WRONG, ABSTAINED, FAILED = "right", "scored", "wrong", "abstained", "failed"
SIGNS = {RIGHT: "✓", SCORED: "•", WRONG: "✗", ABSTAINED: "○", FAILED: "!"}
"""Told apart without colours; the words stand beside them wherever there is room."""
WORST_FIRST = (FAILED, ABSTAINED, WRONG, SCORED, RIGHT)


def ended(records: Records, *columns: str) -> Any:
    """The rows as a pandas frame, in order, with `outcome` beside the columns wanted.

    An error is `failed`, whatever else is said of it; of a task whose metric is a score, an answer is `scored`.
    """
    frame = records.rows(*dict.fromkeys(["error", "abstained", "correct", *columns]))
    answered = WRONG if records.task.metric == "accuracy" else SCORED
    outcome = frame["correct"].eq(True).map({True: RIGHT, False: answered})
    if answered == SCORED:
        outcome[:] = SCORED
    outcome[frame["abstained"].eq(True)] = ABSTAINED
    outcome[frame["error"].notna()] = FAILED
    frame["outcome"] = outcome.astype(object)
    return frame


def counts(outcomes: Any) -> dict[str, int]:
    """How many ended in each way, the worst first; ways that none ended in are left out."""
    found = outcomes.value_counts()
    return {name: int(found[name]) for name in WORST_FIRST if name in found.index}


def said(many: dict[str, int]) -> str:
    """`3 failed, 5 wrong`."""
    return ", ".join(f"{count:,} {name}" for name, count in many.items())


def stories(records: Records, rows: Collection[int]) -> dict[int, Deliberation | None]:
    """The deliberations of some rows; None where there is none, or one that cannot be read."""
    found: dict[int, Deliberation | None] = {}
    for row in rows:
        try:
            found[row] = records.deliberation(row)
        except (RTKError, ValueError, RecursionError):  # a stranger's: the row itself is worth reading still
            found[row] = None
    return found


def known_labels(records: Records, settings: Sequence[str] | None) -> list[str]:
    """Labels of settings, all without; in the order of the sweep.

    Raises:
        RTKError: for one that there is not.
    """
    labels = [arm.label for arm in records.settings]
    if unknown := [label for label in settings or () if label not in labels]:
        raise RTKError(f"there is no setting {unknown[0]!r:.100}", mend=f"one of {', '.join(labels)}"[:400])
    return labels if settings is None else [label for label in labels if label in set(settings)]
