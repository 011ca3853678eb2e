"""Game of 24: reach 24 from four numbers. Every question can be solved, most in several ways; each way is right.

A question, a right answer, and how it is built up in steps:

    Use each of the numbers 3, 4, 6 and 8 exactly once, with + - * / and brackets, to make 24.

    (8 - 6) * 3 * 4

    8 - 6 = 2 (left: 2 3 4)
    2 * 3 = 6 (left: 4 6)
    4 * 6 = 24 (left: 24)

An answer is right where it is such a formula, or such steps. It is valued exactly and never run.

The checker never sees a gold answer, but it is strict: it refuses numbers left over from which 24 cannot be reached
any more, found by trying everything. How much of a tree's success is the checker's own, a control with
`task.random_proposal` shows; without `check=` a tree has to judge by itself.

Levels, by how many different ways there are:
    1. 11 ways and more.
    2. 5 to 10.
    3. 1 to 4.

Source: the game as in S. Yao et al., "Tree of Thoughts", 2023, arXiv:2305.10601; here with all 1,362 solvable
quadruples of the numbers from 1 to 13.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from random import Random
from typing import Any

import dspy

from rtk.answers import Check
from rtk.errors import TaskError
from rtk.tasks.families import Family, Inputs, Worked
from rtk.tasks.formulas import applied, numbers_in, read_formula, same_formula, value
from rtk.tasks.items import Item
from rtk.tasks.steps24 import Pool, Taken, bare_numbers, can_reach, read_step, solved, spelled, steps_of, take

TARGET = Fraction(24)
HIGHEST = 13  # as in a deck of cards
LEAST_WAYS = {1: 11, 2: 5, 3: 1}
QUESTION = re.compile(r"Use each of the numbers (\d+), (\d+), (\d+) and (\d+) exactly once, .*to make 24\.")


class Game24(dspy.Signature):
    """Make 24 from the four numbers with + - * / and brackets, using each once. Answer with the formula."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


# --- questions --------------------------------------------------------------------------------------------------


def draw(level: int, seed: int, index: int) -> Item | None:
    """The question at an address; None past the last of its level."""
    found = list(_of_level(level))
    Random(f"game24/{level}/{seed}").shuffle(found)
    if index >= len(found):
        return None
    numbers = list(found[index])
    key = " ".join(map(str, numbers))
    Random(f"game24/{level}/{seed}/{index}").shuffle(numbers)
    a, b, c, d = numbers
    question = f"Use each of the numbers {a}, {b}, {c} and {d} exactly once, with + - * / and brackets, to make 24."
    return Item(index, {"question": question}, solved_in_words({"question": question}).answer, key)


@lru_cache(maxsize=len(LEAST_WAYS))
def _of_level(level: int) -> tuple[tuple[int, ...], ...]:
    most = LEAST_WAYS.get(level - 1, 10**9)
    every = combinations_with_replacement(range(1, HIGHEST + 1), 4)
    return tuple(numbers for numbers in every if LEAST_WAYS[level] <= ways(numbers) < most)


@lru_cache(maxsize=4096)
def ways(numbers: tuple[int, ...]) -> int:
    """In how many ways numbers, in ascending order, make 24: formulas, two sides of a sum or product in one order.

    Zero is a proof that they cannot: every way to divide them in two and every value of either side is looked at.
    """
    return sum(
        count * _values(large)[y]
        for small, large in _halves(numbers)
        for x, count in _values(small).items()
        for y in _partners(x)
        if y in _values(large)
        for made in _made(x, y)
        if made == TARGET
    )


@lru_cache(maxsize=1024)
def _values(numbers: tuple[int, ...]) -> Counter[Fraction]:
    """What numbers can make, all of them used, and in how many ways each."""
    if len(numbers) == 1:
        return Counter({Fraction(numbers[0]): 1})
    found = Counter[Fraction]()
    for small, large in _halves(numbers):
        for x, count in _values(small).items():
            for y, times in _values(large).items():
                for made in _made(x, y):
                    found[made] += count * times
    return found


def _halves(numbers: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every way to divide numbers in two, each once, the smaller part first."""
    places, seen = range(len(numbers)), set[frozenset[tuple[int, ...]]]()
    for size in range(1, len(numbers) // 2 + 1):
        for chosen in combinations(places, size):
            small = tuple(numbers[i] for i in chosen)
            large = tuple(numbers[i] for i in places if i not in chosen)
            if frozenset((small, large)) not in seen:
                seen.add(frozenset((small, large)))
                yield small, large


def _made(x: Fraction, y: Fraction) -> list[Fraction]:
    made = [x + y, x * y, x - y, *([y - x] if x != y else []), applied(x, "/", y)]
    return [one for one in [*made, applied(y, "/", x) if x != y else None] if one is not None]


def _partners(x: Fraction) -> set[Fraction]:
    """All that may make 24 together with a number."""
    return {TARGET - x, TARGET + x, x - TARGET, TARGET * x, *([TARGET / x, x / TARGET] if x else [])}


def numbers_of(inputs: Inputs) -> list[int]:
    """The four numbers of a question, as it has them.

    Raises:
        TaskError: the question is not one of these.
    """
    found = QUESTION.fullmatch(" ".join(inputs["question"].split()))
    if not found:
        raise TaskError(
            f"not a question of the game of 24: {inputs['question']!r:.120}",
            mend='ask about a question as rtk.tasks.load("game24") gives it, unchanged',
        )
    return [int(number) for number in found.groups()]


# --- answers ----------------------------------------------------------------------------------------------------


def check(inputs: Inputs, candidate: Any) -> Check:
    """Whether a formula, steps or numbers left over may stand.

    Args:
        inputs: has the `question`.
        candidate: a formula of all numbers, `"(8 - 6) * 3 * 4"`; steps, one a line, `"8 - 6 = 2 (left: 2 3 4)"`, where
            `(left: …)` may be left out; or the numbers left after some steps, `"2 3 4"` or `[2, 3, 4]`.

    Returns:
        ok True where it is right, or where 24 can still be reached from what is left; False where it cannot, where a
        number is used that is not there, where a step is miscalculated, and for what cannot be read; None where
        nothing is there yet. The reason says which.

    Raises:
        TaskError: the question is not one of these.
    """
    return _looked_at(inputs, candidate)[0]


def solves(inputs: Inputs, answer: Any) -> bool:
    """Whether an answer is a formula or steps that use each number once and make 24."""
    verdict, whole = _looked_at(inputs, answer)
    return whole and verdict.ok is True


def _looked_at(inputs: Inputs, candidate: Any) -> tuple[Check, bool]:
    """What is to be said of a candidate, and whether it is a whole one."""
    start = Counter(map(Fraction, numbers_of(inputs)))
    if (left := bare_numbers(candidate)) is not None:
        return (_of_left(start, left) if left else Check(None, "There is no step yet.")), False
    lines = [line for line in re.split(r"[\n;]+", candidate if isinstance(candidate, str) else "") if line.strip()]
    steps = [read_step(line) for line in lines]
    if steps and all(steps):
        return _of_steps(start, [step for step in steps if step is not None])
    return _of_formula(start, lines[-1] if lines else ""), True


def _of_left(start: Pool, left: Sequence[Fraction]) -> Check:
    pool = Counter(left)
    said = spelled(pool)
    if pool != start and not _derived(start, pool):
        return Check(False, f"{said} is not what steps leave of {spelled(start)}.")
    if not can_reach(pool):
        return Check(False, f"24 cannot be reached from {said}.")
    return Check(True, f"24 can be reached from {said}.")


def _derived(start: Pool, pool: Pool) -> bool:
    """Whether some steps lead from the numbers at the start to those of a pool."""
    reached = {tuple(sorted(start.elements()))}
    for _ in range(start.total() - pool.total()):
        reached = {tuple(sorted(after.elements())) for one in reached for _, after in steps_of(Counter(one))}
    return tuple(sorted(pool.elements())) in reached


def _of_steps(start: Pool, steps: Sequence[Taken]) -> tuple[Check, bool]:
    pool = start
    for step in steps:
        after = take(pool, step)
        if isinstance(after, str):
            return Check(False, after), False
        pool = after
    if pool.total() > 1 and not can_reach(pool):
        return Check(False, f"24 cannot be reached from {spelled(pool)}."), False
    if pool.total() > 1:
        return Check(True, f"24 can be reached from {spelled(pool)}."), False
    right = TARGET in pool
    return Check(right, "The steps make 24." if right else f"The steps make {spelled(pool)}, not 24."), True


def _of_formula(start: Pool, line: str) -> Check:
    said, _, result = line.partition("=")
    if read_formula(said) == int(TARGET) and result:  # 24 = …
        said, result = result, said
    formula = read_formula(said.rstrip(" .") if not result else said)
    if formula is None or (result and read_formula(result.rstrip(" .")) is None):
        return Check(False, f"{line.strip()!r:.80} is no formula of whole numbers with + - * / and brackets.")
    if Counter(map(Fraction, numbers_in(formula))) != start:
        return Check(False, f"It uses {', '.join(map(str, numbers_in(formula)))}, not each of {spelled(start)} once.")
    made = value(formula)
    if made is None:
        return Check(False, "It divides by zero.")
    if made != TARGET or (result and read_formula(result.rstrip(" .")) != int(TARGET)):
        return Check(False, f"It makes {made}, not 24." if made != TARGET else "It says another result than 24.")
    return Check(True, "It makes 24.")


def agrees(example: Any, answer: Any) -> bool:
    """Whether an answer is right; the example's own answer is one of many."""
    return solves(example.inputs().toDict(), answer)


# --- solutions in steps -----------------------------------------------------------------------------------------


def depth(inputs: Inputs) -> int:
    """How many steps use up the numbers: three."""
    return len(numbers_of(inputs)) - 1


def random_proposal(inputs: Inputs, partial: Any, rng: Random) -> str:
    """A step, uniform over all that can be taken from the numbers left; from those of the question where `partial`
    cannot be read or nothing is left to do.
    """
    pool = _after(inputs, partial) or Counter(map(Fraction, numbers_of(inputs)))
    return str(rng.choice([step for step, _ in steps_of(pool)]))


def _after(inputs: Inputs, partial: Any) -> Pool | None:
    """The numbers left after some steps; None where they are wrong, unreadable, or leave one number."""
    pool = Counter(map(Fraction, numbers_of(inputs)))
    for line in str(partial or "").splitlines():
        step = read_step(line)
        after = take(pool, step) if step is not None else ""
        if isinstance(after, str):
            return None
        pool = after
    return pool if pool.total() > 1 else None


def thoughts(inputs: Inputs) -> list[str]:
    """The steps of one solution, found by search."""
    found = solved(Counter(map(Fraction, numbers_of(inputs))))
    return [] if found is None else [str(step) for step in found[0]]


def solved_in_words(inputs: Inputs) -> Worked:
    """One solution: its steps as the reasoning, its formula as the answer."""
    found = solved(Counter(map(Fraction, numbers_of(inputs))))
    if found is None:
        raise TaskError(f"24 cannot be made: {inputs['question']}", mend='questions of rtk.tasks.load("game24") can')
    steps, formula = found
    return Worked(" ".join(f"{step.equation}." for step in steps), formula)


def explain_next(inputs: Inputs, partial: Any) -> Worked:
    """The next step of a solution that goes on from some right ones.

    Raises:
        TaskError: the steps are wrong, or whole, or leave numbers that cannot make 24.
    """
    pool = _after(inputs, partial)
    found = solved(pool) if pool is not None else None
    if pool is None or found is None:
        raise TaskError(
            f"{partial!r:.120} has no next step", mend='pass right steps, one a line, such as "" or "8 - 6 = 2"'
        )
    ahead = ", then ".join(step.equation for step in found[0])
    return Worked(f"Left: {spelled(pool)}. {ahead}.", str(found[0][0]))


GAME24 = Family(
    name="game24",
    levels=tuple(LEAST_WAYS),
    level=1,
    signature=Game24,
    draw=draw,
    comparer=same_formula,
    check=check,
    depth=depth,
    random_proposal=random_proposal,
    explain=solved_in_words,
    explain_next=explain_next,
    agrees=agrees,
    separator="\n",
    thoughts=thoughts,
)
