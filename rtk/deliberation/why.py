"""Why an answer was given, as far as the tree tells: what led to it, what stood beside it, what became of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rtk.deliberation.rows import Row, counted
from rtk.deliberation.tallies import Fate, fates, within


@dataclass(frozen=True)
class Reason:
    """A step that led to the answer.

    Attributes:
        row: the step.
        standing: its score among those of others; empty where that tells nothing.
        beside: what became of its siblings that did not lead to the answer.
    """

    row: Row
    standing: str
    beside: list[Fate]


@dataclass(frozen=True)
class Why:
    """What is told above a tree.

    Attributes:
        title: of it.
        led: the steps that led to the answer, from the root down.
        rest: what the other steps are called, and how many they are.
        fates: what became of them.
    """

    title: str
    led: list[Reason]
    rest: str
    fates: list[Fate]


def why(root: Row) -> Why:
    """What led to the answer of a tree and what became of the rest, counted."""
    everything = list(within([root]))
    led = [row for row, _ in everything if row.led]
    steps, ours = (sum(times for row, times in everything if row.led >= only) for only in (False, True))
    rest = fates((row, times) for row, times in everything if not row.led)
    if len(led) == 1 and root.step.state != "chosen":
        title = "Why there is no answer" if root.given_up else "What was thought"
        return Why(title, [], counted(steps - 1, "step"), rest)
    if all(row.led or (row.parent is root and not row.rows) for row, _ in everything) and len(led) > 1:
        rest = []  # it is told beside the one choice that there was
    reasons = {id(one.row): one for row in led for one in _reasons(row)}
    told = [reasons.get(id(row), Reason(row, "", [])) for row in led]
    title = f"Why this answer: {counted(ours, 'step')} of {steps:,} led to it"
    return Why(title, told, f"The other {counted(steps - ours, 'step')}", rest)


def _reasons(parent: Row) -> Iterator[Reason]:
    """The steps within one that led to the answer; what stood beside them is told with the first."""
    led = [row for row in parent.rows if row.led]
    for row in led:
        voted = parent.step.kind == "vote" and bool(row.step.label)
        others = [(one, one.times) for one in parent.rows if not one.led] if row is led[0] else []
        ranked = len(led) == 1 and row.times == 1 and row.step.score is not None and not voted
        beside = fates(others, row.step.kind if voted else None)
        yield Reason(row, _standing(row, parent) if ranked else "", beside)


def _standing(row: Row, parent: Row) -> str:
    """How its score compares: the end of a branch with all of that depth that stand, others with their siblings."""
    if row.step.kind == "thought" and not any(one.led and one.step.score is not None for one in row.rows):
        root = parent
        while root.parent is not None and root.step.kind == row.step.kind:
            root = root.parent
        level = [(one, times) for one, times in within(root.rows)
                 if one.depth == row.depth and one.step.kind == row.step.kind and not one.given_up]  # fmt: skip
        alone = sum(times for _, times in level) == 1
        return "no other branch that stands is as deep" if alone else _compared(row, level, " as deep")
    return _compared(row, [(one, one.times) for one in parent.rows], "")


def _compared(row: Row, others: Iterable[tuple[Row, int]], which: str) -> str:
    scored = [(one, times, one.step.score) for one, times in others if one.step.score is not None]
    many, own = sum(times for _, times, _ in scored), row.step.score
    if many < 2 or own is None:
        return ""
    higher = [(one, times) for one, times, score in scored if score > own]
    if higher:
        ends = ", ".join(one.said for one in fates(higher))
        return f"{sum(times for _, times in higher):,} of {many:,}{which} scored higher ({ends})"
    equal = [(one, times) for one, times, score in scored if score == own]
    if (same := sum(times for _, times in equal)) == 1:
        return f"the best score of {many:,}{which}"
    first = "the first of" if equal[0][0] is row else "one of"
    return f"{first} {same:,} with the best score, of {many:,}{which}"
