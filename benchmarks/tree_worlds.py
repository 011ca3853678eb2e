"""Worlds for tree searches, and a simulated model of known accuracy that thinks in them.

A world has questions, states reached by thoughts, and a test of whether a state can still be solved, which only the
simulated model and the tests know. The model proposes a right next thought with a given probability and a legal wrong
one otherwise; it values a state rightly, unsurely or wrongly with given probabilities. What it says is a function of
the question, the partial solution and the number of the sample alone: whoever asks gets the same samples.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import Any, Protocol

import rtk
from rtk.answers import Check

Numbers = tuple[Fraction, ...]
Inputs = Mapping[str, Any]


class World(Protocol):
    """What a search and the model need of a task.

    Attributes:
        name: of the world.
        signature: question to answer.
        separator: between the thoughts of a solution, which is the answer.
        checked: what a search is told by its checker, in words.
        questions: what is asked.
        check: what a search is given to prune by; None for nothing.
        state: from a partial solution what it reached, for merging.
    """

    name: str
    signature: Any
    separator: str
    checked: str
    questions: list[str]
    check: Callable[[Any, Any], Check] | None
    state: Callable[[str], Hashable] | None

    def depth(self, inputs: Inputs) -> int:
        """Thoughts of a whole solution."""
        ...

    def alive(self, question: str, partial: str) -> bool:
        """Whether it is, or can become, a right solution."""
        ...

    def thoughts(self, question: str, partial: str) -> tuple[list[str], list[str]]:
        """Next thoughts after which it can, and plausible ones after which it cannot."""
        ...

    def right(self, inputs: Inputs, candidate: Any) -> Check:
        """Whether a whole solution is one."""
        ...


# --- Game of 24 -------------------------------------------------------------------------------------------------------

LEFT = re.compile(r"\(left: ([^)]*)\)")
TARGET = Fraction(24)
OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction | None]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else None,
}


@cache
def moves(numbers: Numbers) -> dict[str, Numbers]:
    """Every step from some numbers, as it is written: `10 - 4 = 6 (left: 3 6 7)`; one for each result of a pair."""
    found: dict[str, Numbers] = {}
    for one, two in combinations(range(len(numbers)), 2):
        rest = [number for place, number in enumerate(numbers) if place not in (one, two)]
        low, high = sorted((numbers[one], numbers[two]))
        for sign, first, second in (("+", low, high), ("*", low, high), ("-", high, low), ("-", low, high),
                                    ("/", high, low), ("/", low, high)):  # fmt: skip
            result = OPERATIONS[sign](first, second)
            if result is not None:
                left = tuple(sorted([*rest, result]))
                found[f"{first} {sign} {second} = {result} (left: {' '.join(map(str, left))})"] = left
    return found


@cache
def makes_24(numbers: Numbers) -> bool:
    """Whether 24 can be made of all of them."""
    if len(numbers) == 1:
        return numbers[0] == TARGET
    return any(makes_24(left) for left in moves(numbers).values())


def read_numbers(text: str) -> Numbers:
    """Numbers with blanks between them, sorted."""
    return tuple(sorted(Fraction(word) for word in text.split()))


class Game24:
    """Four numbers, each used once, are to make 24 with + - * /. Three steps; a state is the numbers that are left.

    Args:
        size: questions.
        seed: of the draw.
        whole: whether a search has a checker, which knows whole solutions alone.
    """

    signature = "question -> answer"
    separator = "\n"

    def __init__(self, size: int, seed: int, *, whole: bool) -> None:
        chance = random.Random(f"24/{seed}")
        self.name = "Game of 24, checked" if whole else "Game of 24"
        self.checked = "whole solutions are checked, dead ends are not known" if whole else "no checker"
        self.check = self.right if whole else None
        self.questions: list[str] = []
        while len(self.questions) < size:
            numbers = tuple(sorted(Fraction(chance.randint(1, 13)) for _ in range(4)))
            question = f"Use {' '.join(map(str, numbers))} to make 24."
            if makes_24(numbers) and question not in self.questions:
                self.questions.append(question)

    def depth(self, inputs: Inputs) -> int:
        """Each step leaves one number less."""
        return 3

    def state(self, partial: str) -> Hashable:
        """The numbers that are left, in whatever order and however they came about."""
        return LEFT.findall(partial)[-1]

    def alive(self, question: str, partial: str) -> bool:
        """By search over all that can follow."""
        return makes_24(_left(question, partial))

    def thoughts(self, question: str, partial: str) -> tuple[list[str], list[str]]:
        """The steps from which 24 can still be made, and the others."""
        return _sorted_out(_left(question, partial))

    def right(self, inputs: Inputs, candidate: Any) -> Check:
        """Whether the steps are legal, and whether a whole solution ends in 24; it does not look ahead."""
        numbers = _left(inputs["question"], "")
        for line in str(candidate).splitlines():
            if line not in moves(numbers):
                return Check(False, f"{line!r} is no step from {' '.join(map(str, numbers))}")
            numbers = moves(numbers)[line]
        wrong = len(numbers) == 1 and numbers[0] != TARGET
        return Check(not wrong, f"{numbers[0]} is not 24" if wrong else "")


def _left(question: str, partial: str) -> Numbers:
    found = LEFT.findall(partial)
    return read_numbers(found[-1] if found else question.split("Use ")[1].split(" to ")[0])


@cache
def _sorted_out(numbers: Numbers) -> tuple[list[str], list[str]]:
    good = [said for said, left in moves(numbers).items() if makes_24(left)]
    return good, [said for said, left in moves(numbers).items() if not makes_24(left)]


# --- hidden sequences -------------------------------------------------------------------------------------------------


class Hidden:
    """`rtk.tasks.load("hidden_sequence")`: numbers from clues, one a thought; its checker reads the clues and does not
    look ahead.

    Args:
        size: questions.
        seed: of the task.
        level: of the task.
    """

    separator = ", "
    state = None

    def __init__(self, size: int, seed: int, level: int = 5) -> None:
        task = rtk.tasks.load("hidden_sequence", size=size, seed=seed, level=level)
        self.name, self.checked = f"hidden sequences, level {level}", "the clues are checked, as far as they can be"
        self.signature, self.check, self.depth = task.signature, task.check, task.depth
        self._gold = {one.question: one.answer for one in task.test}
        self.questions = list(self._gold)

    def right(self, inputs: Inputs, candidate: Any) -> Check:
        """Whether it is the one solution."""
        return Check(self._gold[inputs["question"]] == candidate)

    def alive(self, question: str, partial: str) -> bool:
        """There is one solution."""
        return f"{self._gold[question]}, ".startswith(f"{partial}, ")

    def thoughts(self, question: str, partial: str) -> tuple[list[str], list[str]]:
        """The next number of the solution, and those that no clue speaks against so far, or any where there is none."""
        return _next_numbers(self, question, partial)


@cache
def _next_numbers(world: Hidden, question: str, partial: str) -> tuple[list[str], list[str]]:
    gold, place = world._gold[question].split(", "), len(partial.split(", ")) if partial else 0
    begun = not partial or world.alive(question, partial)
    every = [str(number) for number in range(1, 21)]
    good = gold[place : place + 1] if begun else []
    wrong = [one for one in every if one not in good]
    so_far = f"{partial}, " if partial else ""
    plausible = [one for one in wrong if world.check({"question": question}, so_far + one)]
    return good, plausible or wrong


# --- the model --------------------------------------------------------------------------------------------------------


SPREAD = 2.0  # how alike partial solutions are to a model: its accuracy at one is Beta(SPREAD p, SPREAD (1 - p))


@dataclass(frozen=True)
class Model:
    """Says what a model of known accuracy would. As a real one it finds some steps easy and others hard, and has
    habits: of the right thoughts, and of the wrong ones, the i-th most usual comes with a weight of 1 / i.

    Attributes:
        world: in which it thinks.
        step: the mean probability that a next thought is right, where there is a right one.
        sure: the probability that a state is valued rightly (`sure` or `impossible`).
        unsure: the probability that it is called `likely`, whatever it is; else it is valued wrongly.
        seed: another one, other samples.
    """

    world: Any
    step: float
    sure: float
    unsure: float
    seed: int = 0

    def _chance(self, *words: Any) -> random.Random:
        return random.Random("|".join(map(str, (self.world.name.partition(",")[0], self.seed, *words))))

    def thought(self, question: str, partial: str, number: int) -> str:
        """The next thought, in the sample of that number."""
        good, wrong = self.world.thoughts(question, partial)
        knows = self._chance("knows", question, partial)
        here = knows.betavariate(SPREAD * self.step, SPREAD * (1 - self.step))
        habits = {True: knows.sample(good, len(good)), False: knows.sample(wrong, len(wrong))}
        chance = self._chance("thought", question, partial, number)
        right = bool(good) and (chance.random() < here or not wrong)
        return chance.choices(habits[right], [1 / place for place in range(1, len(habits[right]) + 1)])[0]

    def verdict(self, question: str, partial: str, number: int) -> str:
        """How a state is valued."""
        lot = self._chance("verdict", question, partial, number).random()
        if self.sure <= lot < self.sure + self.unsure:
            return "likely"
        return "sure" if self.world.alive(question, partial) == (lot < self.sure) else "impossible"

    def chain(self, question: str, number: int) -> str:
        """All thoughts in one go, each as right as when it is asked for alone."""
        partial = ""
        for _ in range(self.world.depth({"question": question})):
            thought = self.thought(question, partial, number)
            partial = f"{partial}{self.world.separator}{thought}" if partial else thought
        return partial

    def reply(self, received: Any) -> dict[str, Any]:
        """The reply to one sample of a request, as `rtk.testing.play` asks for it."""
        fields = read_fields(received.last)
        question, number = fields["question"], received.occurrence
        if "verdict" in fields:
            return {"reasoning": "So it seems.", "verdict": self.verdict(question, fields["partial"], number)}
        if "thought" in fields:
            return {"reasoning": "Next.", "thought": self.thought(question, fields["partial"], number)}
        return {"reasoning": "All of it.", "answer": self.chain(question, number)}


FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")


def read_fields(prompt: str) -> dict[str, str]:
    """The fields of DSPy's chat format: the inputs with what they hold, and the names of what is asked for."""
    given, _, asked = prompt.partition("Respond with the corresponding output fields")
    parts = FIELD.split(given)
    found = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    return {**dict.fromkeys(FIELD.findall(asked), ""), **found}


# --- the reference ----------------------------------------------------------------------------------------------------


def reference(model: Model, question: str, breadth: int, branching: int) -> tuple[str | None, int]:
    """Breadth-first search as published (Yao et al., 2023, algorithm 1): of each partial solution `branching` thoughts
    are sampled; each is valued once, one that was written twice once; the best `breadth` go on. The best of the last
    level is the answer. Where a search is given a checker, so is it: what it refuses is not valued.

    Returns:
        The answer, and the samples that it took.
    """
    world, calls, frontier = model.world, 0, [""]
    for _ in range(world.depth({"question": question})):
        proposed = []
        for partial in frontier:
            thoughts = [model.thought(question, partial, number) for number in range(branching)]
            proposed += [f"{partial}{world.separator}{one}" if partial else one for one in thoughts]
        calls += len(proposed)
        fresh = list(dict.fromkeys(proposed))
        if world.check is not None:
            fresh = [one for one in fresh if world.check({"question": question}, one).ok is not False]
        calls += len(fresh)
        value = {"sure": 1.0, "likely": 0.5, "impossible": 0.0}
        frontier = sorted(fresh, key=lambda one: -value[model.verdict(question, one, 0)])[:breadth]
    return (frontier[0] if frontier else None), calls
