"""From the thoughts that a tree of thoughts found to its answer: one branch, the most consistent one, or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy

from rtk.answers import Abstention, Vote, equal, vote
from rtk.deliberation import Step
from rtk.statistics import proportion
from rtk.strategies.flow import Candidate, Flow, Outcome, ask
from rtk.strategies.tree_thoughts import Search, Thought

Tree = Any  # the `rtk.TreeOfThoughts`, which is built on this file


@dataclass(eq=False)
class Leaf:
    """A branch that may answer.

    Attributes:
        thought: its end.
        prediction: what it answers; None where that could not be read.
        final: the candidate that gave the answer, where it was asked for.
    """

    thought: Thought
    prediction: dspy.Prediction | None
    final: Candidate | None = None


def concluded(tree: Tree, search: Search) -> Flow:
    """Answer from the branches found; where a budget ended the search, from the best thought, without a further ask."""
    ranked = search.ranked("best" if tree.answered_by == "best" else "deepest")
    ends = [one for one in ranked if one.level == ranked[0].level] if ranked else []
    leaves = [Leaf(one, _read(tree, one)) for one in ends]
    if not ends or search.cut or tree.separator is not None or tree.runs:
        return _outcome(tree, search, leaves)
    yield _outcome(tree, search, leaves)  # should a budget end here
    leaves = leaves[: tree.wholes]
    asked = yield [ask(tree.answer, {**search.inputs, "thoughts": leaf.thought.text}, rollout=0) for leaf in leaves]
    for leaf, got in zip(leaves, asked, strict=True):
        for final in got:
            leaf.prediction, leaf.final = final.prediction, final
            leaf.thought.step.children.append(_told(tree, final))
    return _outcome(tree, search, leaves)


def _read(tree: Tree, thought: Thought) -> dspy.Prediction:
    """A thought as the answer, nothing being asked."""
    proposal = thought.proposal
    if tree.runs and thought.level == 1 and proposal is not None and proposal.prediction is not None:
        return proposal.prediction
    return dspy.Prediction(**{**dict.fromkeys(tree._outputs), tree._outputs[-1]: thought.text})


def _told(tree: Tree, final: Candidate) -> Step:
    answer = "" if final.prediction is None else str(final.answer(tree._outputs[-1]))
    reason = "answer" if final.abstention is None else final.abstention.kind
    state: Any = "kept" if answer else "dead end"
    return Step("thought", answer, state=state, tokens=final.tokens, address=final.address, reason=reason)


def _outcome(tree: Tree, search: Search, leaves: list[Leaf]) -> Outcome:
    """The answer of the best leaf, or of the most consistent ones, the others behind it."""
    root, name = search.root.step, tree._outputs[-1]
    if not leaves:
        root.state, root.reason = "dead end", "no thought stands" if root.children else "no thought was found"
        return Outcome(tree._nothing(), deliberation=root)
    if tree.steps is not None and search.expansions >= tree.steps and not search.whole():
        root.reason = f"ended after {search.expansions} steps"
    found: Vote | None = None
    chosen = leaves[0]
    if tree.answered_by == "consistent":
        found = vote([_answer(leaf, name) for leaf in leaves])
        chosen = leaves[found.winner_index or 0]
        root.text = f"{len(found.voters)} of {found.votes} branches agree" if found.votes else ""
    _choose(chosen, search)
    first = chosen.prediction if chosen.prediction is not None else tree._nothing()
    others = [leaf.prediction for leaf in leaves if leaf is not chosen and leaf.prediction is not None]
    return Outcome(
        first,
        used=[*chosen.thought.path, *([chosen.final] if chosen.final is not None else [])],
        completions=_distinct([first, *others], name, tree.distinct, tree.top),
        deliberation=root,
        confidence=proportion(len(found.voters), found.votes) if found is not None and found.votes else None,
        vote=found,
    )


def _answer(leaf: Leaf, name: str) -> Any:
    return Abstention("malformed") if leaf.prediction is None else leaf.prediction.get(name, None)


def _choose(chosen: Leaf, search: Search) -> None:
    """Mark the way to the answer."""
    for one in search.found:
        if one.step.state == "chosen":  # by a best so far
            one.step.state = "kept"
    for thought in chosen.thought.line:
        thought.step.state = "chosen"
    for step in chosen.thought.step.children:
        if chosen.final is not None and step.address == chosen.final.address and step.state == "kept":
            step.state = "chosen"


def _distinct(predictions: list[dspy.Prediction], name: str, loosely: bool, most: int) -> list[dspy.Prediction]:
    """One of those that answer the same, or nearly the same, the first; so many at most."""
    kept: list[dspy.Prediction] = []
    for one in predictions:
        if len(kept) == most:
            break
        said = one.get(name, None)
        if not any(equal(said, other.get(name, None), "similar" if loosely else "auto") for other in kept):
            kept.append(one)
    return kept
