"""Hidden sequences: find a few small whole numbers from clues in plain English. rtk's own task with a checker.

A question at level 2, its answer, and what the checker says:

    Find the 3 hidden numbers, each from 1 to 20. The first number is 4. The second number is the first plus 3.
    The third number is the second times 2.

    4, 7, 14

    check(inputs, "4, 7, 14")   ok=True    all clues hold
    check(inputs, "4, 7")       ok=True    no clue about the first two numbers is violated
    check(inputs, "4, 8")       ok=False   4, 8 goes against: The second number is the first plus 3.

The checker reads the clues and never the answer. It evaluates only clues whose numbers are all present and does not
look ahead: a partial sequence that stands may still have no completion.

Levels:
    1. two numbers, the first is given.
    2. three numbers, each from the one before.
    3. four numbers, each from one or two before.
    4. five numbers, clues in any order and direction, the one to start from described rather than given.
    5. four numbers, none given: only how they hang together and what they add up to.
    6. four numbers, and sentences that can be read in several ways; the thoughts of a tree are readings, see
       `ambiguous.py`.

Every sequence is unique, proved by exhaustive search within the bounds that the question states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import dspy

from rtk.answers import Check
from rtk.errors import TaskError
from rtk.tasks.clues import Clue, Puzzle, read_puzzle
from rtk.tasks.deduction import deduce, solutions, solve_in_words, violated
from rtk.tasks.families import Family, Inputs, Worked
from rtk.tasks.items import Item

LOW, HIGH = 1, 20
LENGTHS = {1: 2, 2: 3, 3: 4, 4: 5, 5: 4}
ATTEMPTS = 200  # far more than ever needed: most attempts at every level succeed


class HiddenSequence(dspy.Signature):
    """Find the hidden numbers. Answer with the numbers in order, separated by commas."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


def draw(level: int, seed: int, index: int) -> Item:
    """The puzzle at an address; a function of its arguments alone."""
    rng = Random(f"hidden_sequence/{level}/{seed}/{index}")  # a string seeds the same in every process
    for _ in range(ATTEMPTS):
        gold, clues = _written(level, rng)
        puzzle = Puzzle(len(gold), LOW, HIGH, tuple(clues))
        if solutions(puzzle) == [gold]:
            return Item(index, {"question": str(puzzle)}, joined(gold), puzzle.key)
    raise TaskError(f"no unique puzzle at level {level}, seed {seed}, index {index}", mend="take another seed")


def _written(level: int, rng: Random) -> tuple[tuple[int, ...], list[Clue]]:
    """A sequence and clues that are true of it; whether they are enough is for the caller to prove."""
    length = LENGTHS[level]
    order = list(range(length)) if level <= 3 else rng.sample(range(length), length)
    numbers = {order[0]: rng.randint(LOW, HIGH)}
    clues = []
    for i, place in enumerate(order[1:], start=1):
        near = order[i - 1 : i] if level <= 2 else order[:i]
        clue, numbers[place] = rng.choice(_relations(place, near, numbers, level, rng))
        clues.append(clue)
    gold = tuple(numbers[place] for place in range(length))
    total = Clue("total", tuple(range(length)), sum(gold))
    if level <= 3:
        return gold, [Clue("value", (0,), gold[0]), *clues]
    if level == 4 and rng.random() < 0.5:
        clues[-1] = total  # no other clue rests on the number placed last
    clues += described(order[0], gold[order[0]], rng) if level == 4 else [total]
    rng.shuffle(clues)
    return gold, clues


def _relations(
    place: int, near: Sequence[int], numbers: Mapping[int, int], level: int, rng: Random
) -> list[tuple[Clue, int]]:
    """One relation of each possible kind between a place and those near it, with the number it gives the place."""
    base = rng.choice(near)
    n, most = numbers[base], 5 if level == 2 else 9
    found = []
    if ks := range(1, min(most, HIGH - n) + 1):
        k = rng.choice(ks)
        turned = level > 3 and rng.random() < 0.5
        found.append((Clue("minus", (base, place), k) if turned else Clue("plus", (place, base), k), n + k))
    if ks := range(1, min(most, n - LOW) + 1):
        k = rng.choice(ks)
        turned = level > 3 and rng.random() < 0.5
        found.append((Clue("plus", (base, place), k) if turned else Clue("minus", (place, base), k), n - k))
    if ks := range(2, min(5, HIGH // n) + 1):
        k = rng.choice(ks)
        found.append((Clue("times", (place, base), k), n * k))
    if level > 3 and (ks := [k for k in range(2, 6) if n % k == 0]):
        k = rng.choice(ks)
        found.append((Clue("times", (base, place), k), n // k))
    if level > 2 and (pairs := [(a, b) for a in near for b in near if a < b and numbers[a] + numbers[b] <= HIGH]):
        a, b = rng.choice(pairs)
        found.append((Clue("sum", (place, a, b)), numbers[a] + numbers[b]))
    return found


def described(place: int, number: int, rng: Random) -> list[Clue]:
    """Clues that single a number out without naming it: its parity and at most one neighbour on either side."""
    over = max(0, number - 1 - rng.randint(0, 1))
    under = number + 1 + rng.randint(0, 1)
    parity = "odd" if number % 2 else "even"
    return [Clue("over", (place,), over), Clue("under", (place,), under), Clue(parity, (place,))]


def check(inputs: Inputs, candidate: Any) -> Check:
    """Whether a whole or a partial sequence goes against a clue; a partial one is a shorter one.

    Args:
        inputs: has the `question`.
        candidate: `"4, 7"`, `"[4, 7]"` or numbers in a list or tuple.

    Returns:
        ok True where no clue whose numbers are all present is violated, False where one is (the reason quotes it),
        where a number is out of bounds, where there are too many, or where the candidate cannot be read; None where
        there is no number yet. It never looks ahead.

    Raises:
        TaskError: the question is not one of these.
    """
    puzzle = read_puzzle(inputs["question"])
    numbers = read_numbers(candidate)
    if numbers is None:
        return Check(False, f"{str(candidate)[:60]!r} is not a list of whole numbers separated by commas.")
    if not numbers:
        return Check(None, "There is no number yet.")
    if len(numbers) > puzzle.length:
        return Check(False, f"There are {puzzle.length} hidden numbers, not {len(numbers)}.")
    outside = next((number for number in numbers if not puzzle.low <= number <= puzzle.high), None)
    if outside is not None:
        return Check(False, f"{outside} is not from {puzzle.low} to {puzzle.high}.")
    broken = violated(puzzle, dict(enumerate(numbers)))
    if broken is not None:
        return Check(False, f"{joined(numbers)} goes against: {broken}")
    if len(numbers) < puzzle.length:
        return Check(True, f"{joined(numbers)} goes against no clue so far.")
    return Check(True, f"{joined(numbers)} fits all clues.")


def read_numbers(candidate: Any) -> list[int] | None:
    """The whole numbers of a candidate in order; None where it is anything but a list of them."""
    if isinstance(candidate, int) and not isinstance(candidate, bool):
        return [candidate]
    if isinstance(candidate, list | tuple):
        plain = all(isinstance(number, int) and not isinstance(number, bool) for number in candidate)
        return list(candidate) if plain else read_numbers(", ".join(map(str, candidate)))
    text = candidate.strip().rstrip(".") if isinstance(candidate, str) else "unreadable"
    text = re.sub(r"^([\[(])(.*)[\])]$", r"\2", text, flags=re.DOTALL).strip()
    if not text:
        return []
    parts = re.split(r"\s*,\s*|\s+", text)
    return [int(part) for part in parts] if all(re.fullmatch(r"[-−]?[0-9]{1,9}", part) for part in parts) else None


def depth(inputs: Inputs) -> int:
    """How many numbers there are to find, one a thought."""
    return read_puzzle(inputs["question"]).length


def random_proposal(inputs: Inputs, partial: Any, rng: Random) -> str:
    """A next number, uniform over the bounds whatever the partial sequence, as text."""
    puzzle = read_puzzle(inputs["question"])
    return str(rng.randint(puzzle.low, puzzle.high))


def explain(inputs: Inputs) -> Worked:
    """The sequence deduced in words from the question alone."""
    puzzle = read_puzzle(inputs["question"])
    said, found = solve_in_words(puzzle, {})
    answer = joined([found[place] for place in range(puzzle.length)])
    return Worked(" ".join(said), answer)


def explain_next(inputs: Inputs, partial: Any) -> Worked:
    """The next number deduced in words from the question and a right partial sequence.

    Raises:
        TaskError: the partial sequence is not the beginning of a solution, or is whole already.
    """
    puzzle = read_puzzle(inputs["question"])
    numbers = read_numbers(partial)
    if numbers is None or len(numbers) >= puzzle.length:
        raise TaskError(f"{partial!r} has no next number", mend='pass the numbers so far, such as "" or "4, 7"')
    known, place = dict(enumerate(numbers)), len(numbers)
    said: list[str] = []
    for step in deduce(puzzle, known):
        said.append(step.sentence)
        if step.place == place:
            return Worked(" ".join(said), str(step.number))
    said, found = solve_in_words(puzzle, known)
    if len(found) < puzzle.length:
        raise TaskError(f"{partial!r} does not begin a solution", mend="pass the first numbers of the answer")
    return Worked(" ".join(said), str(found[place]))


def joined(numbers: Sequence[int]) -> str:
    """Numbers as an answer, such as `4, 7`."""
    return ", ".join(map(str, numbers))


HIDDEN_SEQUENCE = Family(
    name="hidden_sequence",
    levels=tuple(LENGTHS),
    level=2,
    signature=HiddenSequence,
    draw=draw,
    comparer="sequence",
    answer_type="list",
    check=check,
    depth=depth,
    random_proposal=random_proposal,
    explain=explain,
    explain_next=explain_next,
)
