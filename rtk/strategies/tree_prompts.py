"""What a tree of thoughts asks, as DSPy signatures made from the question's own."""

from __future__ import annotations

from typing import Any, Literal

import dspy
from dspy.signatures.signature import make_signature

from rtk.errors import StrategyError
from rtk.strategies.flow import Candidate, Candidates

SCORES = {"sure": 1.0, "likely": 0.5, "maybe": 0.5, "impossible": 0.0}
UNJUDGED = 0.5
OWN = frozenset({"partial", "thought", "thoughts", "verdict", "choices", "best", "branching"})
"""Names of the fields in a tree's own prompts."""


def refuse_own_names(whole: Any) -> None:
    """Refuse a question with fields called as the tree's own are: they would be taken for these.

    Raises:
        StrategyError: naming them.
    """
    taken = [name for name in whole.input_fields if name in OWN]
    if taken:
        raise StrategyError(
            f"the input field {', '.join(taken)} is called as one of the tree's own",
            mend=f"call it otherwise; a tree's prompts have {', '.join(sorted(OWN))} themselves",
        )


def proposal(whole: Any, listed: bool) -> Any:
    """Propose the next thought, or several of them as one list."""
    asked = " ".join(whole.instructions.split())
    partial = ("str", dspy.InputField(desc="the solution so far; empty at the start"))
    if not listed:
        return _ahead(
            whole,
            f"{asked}\nThe solution is found one step at a time. Given what is found so far, write the next step only.",
            partial=partial,
            thought=("str", dspy.OutputField(desc="the next step only")),
        )
    return _ahead(
        whole,
        f"{asked}\nThe solution is found one step at a time. Given what is found so far, write several different next "
        "steps, each of which could follow directly.",
        partial=partial,
        branching=(int, dspy.InputField(desc="how many next steps to write")),
        thoughts=(list[str], dspy.OutputField(desc="the next steps, each of them one alternative")),
    )


def valuation(whole: Any) -> Any:
    """Judge one partial solution."""
    asked = " ".join(whole.instructions.split())
    return _ahead(
        whole,
        f"{asked}\nJudge whether the partial solution can still become a right and whole one.",
        partial=("str", dspy.InputField(desc="the solution so far")),
        verdict=(Literal["sure", "likely", "impossible"], dspy.OutputField()),
    )


def ballot(whole: Any) -> Any:
    """Choose among partial solutions."""
    asked = " ".join(whole.instructions.split())
    return _ahead(
        whole,
        f"{asked}\nSeveral partial solutions are given. Compare them and choose the most promising one.",
        choices=("str", dspy.InputField(desc="the partial solutions, numbered")),
        best=(int, dspy.OutputField(desc="the number of the most promising one")),
    )


def conclusion(whole: Any) -> Any:
    """Answer, given the thoughts of a branch."""
    return whole.append("thoughts", dspy.InputField(desc="steps found so far"), str)


def _ahead(whole: Any, instructions: str, **fields: tuple[Any, Any]) -> Any:
    """A signature with a whole one's inputs, and these further fields in place of its outputs."""
    inputs = {name: (one.annotation, one) for name, one in whole.input_fields.items()}
    typed = {name: (str if kind == "str" else kind, one) for name, (kind, one) in fields.items()}
    return make_signature({**inputs, **typed}, instructions)


def merit(verdicts: Candidates) -> tuple[float, tuple[Candidate, ...]]:
    """The mean of the verdicts that came, 0.5 without any; and the first of them that says no less."""
    found = [(SCORES.get(str(one.answer("verdict")), UNJUDGED), one) for one in verdicts if one.abstention is None]
    if not found:
        return UNJUDGED, ()
    mean = sum(score for score, _ in found) / len(found)
    return mean, tuple(one for score, one in found if score >= mean)[:1]


def chosen(votes: Candidates, among: int) -> list[tuple[int, Candidate]]:
    """The votes that name one of the choices, as its place from 0, and who cast it."""
    found = [(one.answer("best"), one) for one in votes if one.abstention is None]
    return [(number - 1, one) for number, one in found if isinstance(number, int) and 1 <= number <= among]


def numbered(texts: list[str]) -> str:
    """Choices for a reader."""
    return "\n\n".join(f"Choice {number}:\n{text}" for number, text in enumerate(texts, 1))
