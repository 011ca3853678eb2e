"""Brainstorming: open questions without a gold answer. A judge scores the ideas; what can be counted is counted.

A question at level 2:

    Think of 4 different ways in which a small library could win new visitors in winter. Write one idea a line. Use
    the word "coffee" and the word "music".

A judge sees the question and the ideas and gives a score; see `task.judged_by`. Its score is multiplied by the share
of the question's demands that the answer keeps: how many ideas, all different, words that must or must not come, the
length of each. `task.check` counts the demands alone and needs no judge.

Levels:
    1. how many ideas.
    2. and two words that must come.
    3. and two words that must not come, and at most 12 words an idea.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any

import dspy

from rtk.answers import Check, equal
from rtk.errors import TaskError
from rtk.tasks.families import Family, Inputs
from rtk.tasks.items import Item
from rtk.tasks.judging import Judge

LONGEST = 12  # words of an idea at level 3
COUNTS = (3, 4, 5, 6)
WHO = (
    "a small library", "a village bakery", "a city museum", "a school for adults", "a family farm", "a bicycle shop",
    "a community garden", "a public swimming pool", "a train station", "a mountain hostel", "a local newspaper",
    "a repair café", "a puppet theatre", "a chess club", "a botanical garden", "a second-hand shop", "a hospital ward",
    "a youth orchestra", "a fishing port", "a research laboratory",
)  # fmt: skip
WHAT = (
    "win new visitors", "use less energy", "help newcomers feel at home", "waste less food", "raise money",
    "teach children something", "bring old and young together", "make waiting pleasant", "be of use after dark",
    "become known beyond its town", "save water", "make good use of an empty room", "find volunteers",
    "thank its helpers", "be easier to reach", "run well with half the staff",
)  # fmt: skip
WHEN = ("in winter", "on rainy days", "without spending money", "within one week", "during school holidays")
WORDS = (
    "coffee", "music", "bridge", "letter", "window", "garden", "story", "lantern", "map", "bread", "river", "mirror",
    "chalk", "rope", "clock", "basket", "paper", "colour", "wheel", "blanket",
)  # fmt: skip
BARRED = ("app", "free", "online", "discount", "event", "social", "website", "party", "voucher", "poster")
QUESTION = re.compile(
    r"Think of (\d+) different ways in which .+?\. Write one idea a line(?:, of at most (\d+) words)?\."
    r'(?: Use the word "(\w+)" and the word "(\w+)"\.)?(?: Do not use the word "(\w+)" or the word "(\w+)"\.)?'
)
MARK = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.):])\s*")


class Brainstorm(dspy.Signature):
    """Find ideas that are different, concrete and would work. Write one idea a line and nothing else."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField(desc="the ideas, one a line")


class JudgeIdeas(dspy.Signature):
    """Judge ideas that answer an open question. A good set of ideas is original (few others would have had them),
    useful (they do what is asked for), feasible (somebody could start tomorrow) and varied (no two are one idea in
    other words). Score the set from 0 (nothing of this) to 10 (all of it).
    """

    question: str = dspy.InputField()
    answer: str = dspy.InputField(desc="the ideas, one a line")
    score: int = dspy.OutputField(desc="a whole number from 0 to 10")


def draw(level: int, seed: int, index: int) -> Item:
    """The question at an address; a function of its arguments alone."""
    rng = Random(f"brainstorm/{level}/{seed}/{index}")
    about = f"{rng.choice(WHO)} could {rng.choice(WHAT)} {rng.choice(WHEN)}"
    length = f", of at most {LONGEST} words" if level == 3 else ""
    question = f"Think of {rng.choice(COUNTS)} different ways in which {about}. Write one idea a line{length}."
    if level >= 2:
        one, other = rng.sample(WORDS, 2)
        question += f' Use the word "{one}" and the word "{other}".'
    if level == 3:
        one, other = rng.sample(BARRED, 2)
        question += f' Do not use the word "{one}" or the word "{other}".'
    return Item(index, {"question": question}, None, about)


@dataclass(frozen=True, slots=True)
class Demands:
    """What a question demands and a count can tell."""

    count: int
    longest: int | None
    use: tuple[str, ...]
    avoid: tuple[str, ...]

    @property
    def number(self) -> int:
        """How many demands: the count, all different, each word, the length."""
        return 2 + len(self.use) + len(self.avoid) + (self.longest is not None)


def demands_of(inputs: Inputs) -> Demands:
    """What a question demands.

    Raises:
        TaskError: the question is not one of these.
    """
    found = QUESTION.fullmatch(" ".join(inputs["question"].split()))
    if not found:
        raise TaskError(
            f"not a brainstorming question: {inputs['question']!r:.120}",
            mend='ask about a question as rtk.tasks.load("brainstorm") gives it, unchanged',
        )
    count, longest, *words = found.groups()
    use, avoid = (tuple(word for word in pair if word) for pair in (words[:2], words[2:]))
    return Demands(int(count), int(longest) if longest else None, use, avoid)


def ideas_of(candidate: Any) -> list[str]:
    """The ideas of an answer: its lines, or the items of a list, without bullets and numbers."""
    lines = candidate if isinstance(candidate, list | tuple) else str(candidate or "").splitlines()
    return [idea for line in lines if (idea := MARK.sub("", str(line)).strip())]


def check(inputs: Inputs, candidate: Any) -> Check:
    """Whether ideas keep what the question demands; fewer ideas than demanded are a beginning.

    Args:
        inputs: has the `question`.
        candidate: one idea a line, or a list of them.

    Returns:
        ok False where an idea is too long, uses a barred word or says what another one says, where there are too many,
        and where all are there and a word is missing; None where there is none yet. `score` is the share of the
        demands that are kept by now.

    Raises:
        TaskError: the question is not one of these.
    """
    demands, ideas = demands_of(inputs), ideas_of(candidate)
    if not ideas:
        return Check(None, "There is no idea yet.", 0.0)
    broken, missing = _broken(demands, ideas), _missing(demands, ideas)
    score = (demands.number - len(broken) - len(missing) - (len(ideas) < demands.count)) / demands.number
    if broken:
        return Check(False, broken[0], score)
    if len(ideas) < demands.count:
        return Check(True, f"{len(ideas)} of {demands.count} ideas, nothing against them.", score)
    return Check(not missing, missing[0] if missing else "All that is demanded is there.", score)


def kept(inputs: Inputs, answer: Any) -> float:
    """The share of the demands that a whole answer keeps; 0 without an idea."""
    return check(inputs, answer).score or 0.0


def _broken(demands: Demands, ideas: list[str]) -> list[str]:
    """What is wrong and stays so, whatever ideas are added; one sentence for each demand."""
    said = []
    if len(ideas) > demands.count:
        said.append(f"There are {len(ideas)} ideas, not {demands.count}.")
    if twins := next((pair for pair in combinations(ideas, 2) if equal(*pair, "similar")), None):
        said.append(f"Two ideas are the same: {twins[0]:.60} / {twins[1]:.60}")
    long = [idea for idea in ideas if demands.longest is not None and len(idea.split()) > demands.longest]
    if long:
        said.append(f"More than {demands.longest} words: {long[0]:.80}")
    return said + [f'The word "{word}" is used.' for word in demands.avoid if _has(word, ideas)]


def _missing(demands: Demands, ideas: list[str]) -> list[str]:
    return [f'The word "{word}" is not used.' for word in demands.use if not _has(word, ideas)]


def _has(word: str, ideas: list[str]) -> bool:
    return any(re.search(rf"\b{word}s?\b", idea, re.IGNORECASE) for idea in ideas)


def depth(inputs: Inputs) -> int:
    """How many ideas are wanted, one a thought."""
    return demands_of(inputs).count


BRAINSTORM = Family(
    name="brainstorm",
    levels=(1, 2, 3),
    level=2,
    signature=Brainstorm,
    draw=draw,
    comparer="text",
    check=check,
    depth=depth,
    separator="\n",
    judge=Judge(JudgeIdeas),
    kept=kept,
)
