"""What became of steps, counted: by their state, and within a state by what was answered or why it was given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rtk.deliberation.plain import wrapped
from rtk.deliberation.rows import GIVEN_UP, MARKS, Row, counted

NAMED = 3  # reasons or answers of a state that are named; what else there is is counted
LONGEST = 48  # columns of one of them
ORDER = ("chosen", "kept", "open", "backtracked", "pruned", "dead end")
WORDS = {"chosen": "chosen within"}  # what was chosen in a branch that was not
VOTED = {"chosen": "chosen", "kept": "agree", "open": "say otherwise", "dead end": "without an answer"}


@dataclass(frozen=True)
class Fate:
    """Steps that came to the same end.

    Attributes:
        state: theirs.
        said: how many, and what became of them: `7 pruned`.
        groups: the most frequent reasons or answers, as they were written, each with how often.
        others: how many steps have another one.
    """

    state: str
    said: str
    groups: tuple[tuple[str, int], ...] = ()
    others: int = 0

    @property
    def mark(self) -> str:
        """The sign of the state."""
        return MARKS.get(self.state, "·")

    def named(self) -> list[tuple[str, str]]:
        """The groups, each with how often, where that is not said already; then how many others there are."""
        alone = len(self.groups) == 1 and not self.others
        times = [(said, "" if alone or many == 1 else f" ×{many:,}") for said, many in self.groups]
        return times + ([("others", f" ×{self.others:,}")] if self.others else [])


def within(rows: Iterable[Row], times: int = 1) -> Iterator[tuple[Row, int]]:
    """All rows of a tree, each with the number of steps that it stands for."""
    waiting = [(row, times) for row in reversed(list(rows))]
    while waiting:
        row, around = waiting.pop()
        yield row, around * row.times
        waiting += [(inner, around * row.times) for inner in reversed(row.rows)]


def fates(steps: Iterable[tuple[Row, int]], answers: str | None = None) -> list[Fate]:
    """What became of some steps.

    Args:
        steps: as rows, each with the number of steps that it stands for.
        answers: the kind of those that voted, whose labels are their answers; None where nobody did.
    """
    many, said = Counter[tuple[str, bool]](), dict[tuple[str, bool], Counter[str]]()
    for row, times in steps:
        state, voted = row.step.state, answers is not None and row.step.kind == answers
        many[state, voted] += times
        why = _why(row) if state in GIVEN_UP else row.step.label if voted else ""
        if why:
            said.setdefault((state, voted), Counter())[" ".join(str(why)[:400].split())] += times
    found = []
    for key in sorted(many, key=lambda key: (ORDER.index(key[0]), key[1])):
        groups = _shared(said.get(key, Counter())).most_common()
        groups = groups[:NAMED] if len(groups) > NAMED + 1 else groups
        others = many[key] - sum(times for _, times in groups) if groups else 0
        found.append(Fate(key[0], _said(many[key], *key), tuple(groups), others))
    return found


def _said(many: int, state: str, voted: bool) -> str:
    if voted and state in VOTED:
        return f"{many:,} {'agrees' if many == 1 and state == 'kept' else VOTED[state]}"
    return counted(many, state) if state == "dead end" else f"{many:,} {WORDS.get(state, state)}"


def _why(row: Row) -> str:
    """Why it was given up: what stands with it, else with the first within it that speaks against it."""
    own = row.step.reason if row.step.kind == "check" else row.step.label or row.step.reason
    return own or next((one.step.reason or one.step.text for one in row.rows if one.step.state == "dead end"), "")


def _shared(said: Counter[str]) -> Counter[str]:
    """Reasons that share what stands before or behind a colon as one: the same clue, broken by different numbers."""
    parts = {one: one.partition(": ") for one in said}
    heads, tails, found = Counter[str](), Counter[str](), Counter[str]()
    for one, (head, colon, tail) in parts.items():
        if colon:
            heads[head] += said[one]
            tails[tail] += said[one]
    for one, (head, _, tail) in parts.items():
        ways = [(said[one], one), (heads[head], f"{head}: …"), (tails[tail], f"…: {tail}")]
        found[max(ways, key=lambda way: way[0])[1]] += said[one]
    return found


def glimpse(said: str) -> str:
    """A reason or an answer, shortened."""
    return wrapped(said, LONGEST, 1)[0]
