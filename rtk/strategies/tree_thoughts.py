"""The nodes of a tree of thoughts, and one search under way: what it has found, merged and given up."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from rtk.answers import Check, equal
from rtk.deliberation import Step
from rtk.events import Backtracked, BranchPruned, ThoughtScored, tell
from rtk.strategies.flow import Candidate, Candidates
from rtk.strategies.inputs import Inputs

SAME = "the same as one before"
Which = Literal["deepest", "best", "consistent"]


@dataclass(eq=False)
class Thought:
    """One node of the tree.

    Attributes:
        text: the partial solution up to and including this thought.
        step: its place in the deliberation.
        proposal: the candidate it was read from; None for the root.
        score: how promising it is, in [0, 1] unless a scorer of one's own says otherwise.
        level: thoughts so far.
        parent: the thought it goes on from; None for the root.
        times: how often it was proposed.
        verdict: what a checker said.
        judged: the verdicts that its score rests on, which agree with it.
        cut: whether a budget ended before it was evaluated.
        turn: its number in the order of the search.
    """

    text: str
    step: Step
    proposal: Candidate | None = None
    score: float = 1.0
    level: int = 0
    parent: Thought | None = None
    times: int = 1
    verdict: Check = field(default_factory=lambda: Check(None))
    judged: tuple[Candidate, ...] = ()
    cut: bool = False
    turn: int = 0

    @property
    def line(self) -> list[Thought]:
        """The thoughts from the root to this one."""
        return [*(self.parent.line if self.parent is not None else []), self]

    @property
    def path(self) -> list[Candidate]:
        """The candidates it rests on, from the root: proposals, and the verdicts that carried them."""
        line = [one for one in self.line if one.proposal is not None]
        return [found for one in line for found in (one.proposal, *one.judged) if found is not None]

    @property
    def stands(self) -> bool:
        """Whether nothing speaks against it so far."""
        return self.step.state not in ("pruned", "dead end")

    def prune(self, reason: str) -> None:
        """Give it up."""
        self.step.state, self.step.reason = "pruned", reason
        tell(BranchPruned, text=self.text, reason=reason, level=self.level)


@dataclass(eq=False)
class Search:
    """One search under way.

    Attributes:
        inputs: the question's.
        shown: of those, what a checker or scorer may see.
        depth: thoughts of a whole solution.
        root: where it began.
        found: the thoughts that were evaluated and stand, in that order.
        cut: whether a budget cut an ask short. Nothing more is asked then, so that a run under a budget consults
            nothing that the whole run does not.
        expansions: how often thoughts were asked for.
        spare: thoughts that were given up for nothing but a value of impossible, in that order.
        unvalued: thoughts that a budget left without a value; they answer where nothing else does.
    """

    inputs: dict[str, Any]
    shown: Inputs
    depth: int
    root: Thought
    found: list[Thought] = field(default_factory=list)
    cut: bool = False
    expansions: int = 0
    spare: list[Thought] = field(default_factory=list)
    unvalued: list[Thought] = field(default_factory=list)
    _seen: dict[Hashable, Thought] = field(default_factory=dict)

    def hear(self, asked: list[Candidates]) -> list[Candidates]:
        """Note whether what came back was cut."""
        self.cut = self.cut or any(got.cut is not None for got in asked)
        return asked

    def merge(self, children: list[Thought], state: Callable[[str], Hashable], distinct: bool) -> list[Thought]:
        """One thought for all that reach the same state, the first, and of those that are alike where wanted.

        The score of one that has none yet is its share of the proposals.
        """
        kept: list[Thought] = []
        for child in children:
            key = state(child.text)
            first = self._seen.setdefault(key, child)
            if first is not child:
                first.times += first in kept
                if child.stands:
                    child.prune(SAME)
            elif distinct and child.stands and (twin := _twin(child, kept)) is not None:
                child.prune(f"too like another: {twin.step.text}"[:160])
            else:
                kept.append(child)
        for child in kept:
            if child.step.score is None:
                child.score = child.times / len(children)
        return kept

    def keep(self, children: Iterable[Thought]) -> None:
        """Note thoughts that were evaluated and stand."""
        for child in children:
            child.turn = len(self.found)
            child.step.score = child.score
            self.found.append(child)
            tell(ThoughtScored, text=child.text, score=child.score, level=child.level)

    def revived(self, most: int, least: int) -> list[Thought]:
        """Where nothing else is left: what was only valued impossible, which is no proof. At most so many of the
        deepest level, which is `least` or a deeper one.
        """
        deepest = max((one.level for one in self.spare), default=0)
        if self.cut or deepest < least:
            return []
        back = [one for one in self.spare if one.level == deepest][:most]
        self.spare = [one for one in self.spare if one not in back]
        for one in back:
            one.step.state, one.step.reason = "open", "impossible, but nothing else is left"
        self.keep(back)
        return back

    def whole(self) -> list[Thought]:
        """Those that are whole solutions."""
        return [one for one in self.found if one.level == self.depth and one.stands]

    def ranked(self, which: Which) -> list[Thought]:
        """The thoughts that may answer, the best first. Whole solutions come first; then, where `which` is `"best"`,
        the score decides, else how deep they are.
        """
        standing = [one for one in self.found or self.unvalued if one.stands]
        if which == "best":
            return sorted(standing, key=lambda one: (one.level < self.depth, -one.score, -one.level, one.turn))
        return sorted(standing, key=lambda one: (-one.level, -one.score, one.turn))


def _twin(child: Thought, others: list[Thought]) -> Thought | None:
    """One of some thoughts that says nearly the same."""
    return next((one for one in others if one.stands and equal(one.step.text, child.step.text, "similar")), None)


def backtrack(thought: Thought, waiting: list[Thought]) -> None:
    """Nothing follows from a thought: back to the last one of its line that has children left to try."""
    parents = {id(one.parent) for one in waiting}
    for one in reversed(thought.line):
        if id(one) in parents or one.parent is None:
            return
        one.step.state = "backtracked"
        tell(Backtracked, text=one.text, level=one.level)


def words(text: str) -> str:
    """The state that a partial solution is in, where nobody says otherwise: its words."""
    return " ".join(text.split()).casefold()
