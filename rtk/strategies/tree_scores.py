"""How promising thoughts are: checked, then valued one by one, voted on, scored by something else, or counted."""

from __future__ import annotations

from typing import Any

from rtk.answers import Check
from rtk.errors import BudgetSpent
from rtk.strategies import tree_prompts as prompts
from rtk.strategies.flow import Candidates, Flow, ask
from rtk.strategies.rewards import amount, given, verdict_of
from rtk.strategies.tree_thoughts import Search, Thought
from rtk.strategies.verdicts import said, verdict

Tree = Any  # the `rtk.TreeOfThoughts`, which is built on this file


class Evaluation:
    """What a tree thinks of the thoughts of one search.

    Args:
        tree: the strategy.
        search: the search.
    """

    def __init__(self, tree: Tree, search: Search) -> None:
        self.tree, self.search = tree, search

    # --- checking ---

    def check(self, thought: Thought) -> None:
        """Prune what the checker refuses."""
        thought.verdict = self._verdict(thought.text)
        if not thought.verdict:
            thought.prune(thought.verdict.reason)
        else:
            thought.step.reason = thought.verdict.reason

    def _verdict(self, partial: str) -> Check:
        """The checker's verdict."""
        if self.tree.check is None:
            return Check(None)
        takes = "a checker takes (inputs, candidate), whatever the candidate"
        return verdict(said(self.tree.check, "the checker", takes, self.search.shown, partial), "the checker")

    # --- evaluating ---

    def early(self, children: list[Thought]) -> Flow:
        """Evaluate thoughts of one candidate before the others came, where they are judged one by one. What another
        candidate says too is asked once.
        """
        if not self.tree.distinct:
            yield from self._one_by_one([child for child in children if child.stands])

    def ranked(self, kept: list[Thought], *, in_order: bool) -> Flow:
        """Evaluate what is not yet; those that stand, the best first, the earliest first among equals."""
        alive = [child for child in kept if child.stands]
        if self.tree.distinct:
            yield from self._one_by_one(alive)
        if self.tree.evaluate == "vote" and self.tree.values and len(alive) > 1:
            yield from self._voted(alive)
        self._counted(alive)
        for child in alive:
            self._prune(child, resampled=in_order)
        standing = [child for child in alive if child.stands and not child.cut]
        self.search.unvalued += [child for child in alive if child.cut]
        self.search.keep(standing)
        return standing if in_order else sorted(standing, key=lambda one: -one.score)

    def _one_by_one(self, children: list[Thought]) -> Flow:
        """Value each by itself."""
        asker = {"value": self._valued, "judge": self._judged}.get(self.tree.evaluate)
        if self.tree.evaluate == "scorer":
            for child in children:
                self._score(child, self.tree.scorer(self.search.shown, child.text))
        if asker is None or not self.tree.values or not children:
            return
        try:
            asked = self.search.hear((yield [asker(child) for child in children]))
        except BudgetSpent:
            asked, self.search.cut = [Candidates() for _ in children], True
        for child, got in zip(children, asked, strict=True):
            child.cut = not got
            self._heard(child, got)

    def _valued(self, child: Thought) -> Any:
        inputs = {**self.search.inputs, "partial": child.text}
        return ask(self.tree.value, inputs, samples=self.tree.values, shared=True)

    def _judged(self, child: Thought) -> Any:
        seen = given(self.tree.judge, self.search.shown, {"partial": child.text})
        return ask(self.tree.judge, seen, samples=self.tree.values, shared=True)

    def _heard(self, child: Thought, got: Candidates) -> None:
        """What was said of a thought, as its score."""
        if self.tree.evaluate == "value":
            child.score, child.judged = prompts.merit(got)
            child.step.score = child.score
            return
        told = [(verdict_of(one)[0], one) for one in got]
        numbers = [number for number, _ in told if number is not None]
        child.judged = tuple(one for number, one in told if number is not None)[:1]
        child.score = sum(numbers) / len(numbers) if numbers else prompts.UNJUDGED
        child.step.score = child.score

    def _score(self, child: Thought, found: Any) -> None:
        score, reason = amount(found)
        child.score = prompts.UNJUDGED if score is None else score
        child.step.score, child.step.reason = child.score, reason or child.step.reason

    def _voted(self, alive: list[Thought]) -> Flow:
        """Votes among siblings: the share that each one has of them."""
        inputs = {**self.search.inputs, "choices": prompts.numbered([child.text for child in alive])}
        try:
            got = self.search.hear([(yield ask(self.tree.vote, inputs, samples=self.tree.values, rollout=0))])[0]
        except BudgetSpent:  # they stand as they were proposed
            self.search.cut = True
            return
        found = prompts.chosen(got, len(alive))
        for place, child in enumerate(alive):
            mine = [one for number, one in found if number == place]
            child.score = child.step.score = len(mine) / len(found) if found else 1 / len(alive)
            child.judged = tuple(mine[:1])

    def _counted(self, alive: list[Thought]) -> None:
        """Where nobody was asked: the checker's score, else the share of the proposals, which is there already."""
        for child in alive:
            if child.step.score is None and child.verdict.score is not None:
                child.score = child.verdict.score

    def _prune(self, child: Thought, *, resampled: bool) -> None:
        """Give up what scores less than is asked for, and, while there is anything else, what was valued impossible.
        Particles are resampled by the odds of that, which are never none.
        """
        child.step.score = child.score
        low = self.tree.threshold is not None and child.score < self.tree.threshold
        if self.tree.evaluate == "value" and self.tree.values and child.score <= 0 and not resampled:
            child.prune("impossible")
            self.search.spare += [] if low else [child]
        elif low:
            child.prune(f"below {self.tree.threshold:g}")
