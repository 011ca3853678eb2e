"""The game of 24 one step at a time: two of the numbers left become one, until one is left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from rtk.tasks.formulas import Formula, applied, plain_signs, written

Pool = Counter[Fraction]
"""Numbers left, each with how often."""

_NUMBER = r"-?\d{1,9}(?:\.\d{1,9}|/\d{1,9})?"
_STEP = re.compile(
    rf"(?:(?:step\s*)?\d{{1,2}}[.:]\s+)?({_NUMBER})\s*([-+*/])\s*({_NUMBER})\s*=\s*({_NUMBER})\s*(?:\(left:([^()]*)\))?\.?",
    re.IGNORECASE,
)
_LEFT = re.compile(rf"\(?(?:left:)?\s*({_NUMBER}(?:[\s,]+{_NUMBER})*)\s*\)?\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Taken:
    """One step: `a sign b = result`, and the numbers said to be left, None where nothing is said."""

    a: Fraction
    sign: str
    b: Fraction
    result: Fraction
    left: tuple[Fraction, ...] | None = None

    @property
    def equation(self) -> str:
        """Such as `8 - 6 = 2`."""
        return f"{self.a} {self.sign} {self.b} = {self.result}"

    def __str__(self) -> str:
        return self.equation if self.left is None else f"{self.equation} (left: {' '.join(map(str, self.left))})"


def spelled(pool: Pool) -> str:
    """The numbers of a pool in ascending order, such as `2 3 4`."""
    return " ".join(map(str, sorted(pool.elements())))


def read_step(line: str) -> Taken | None:
    """A step as a line has it, `8 - 6 = 2 (left: 2 3 4)`; None for anything else."""
    found = _STEP.fullmatch(plain_signs(line))
    if not found:
        return None
    a, b, result = (_number(found[i]) for i in (1, 3, 4))
    left = None if found[5] is None else bare_numbers(found[5])
    if a is None or b is None or result is None or (found[5] is not None and left is None):
        return None
    return Taken(a, found[2], b, result, None if left is None else tuple(left))


def bare_numbers(candidate: Any) -> list[Fraction] | None:
    """Numbers and nothing else: `"2 3 4"`, `"left: 2, 3, 4"`, `[2, 3, 4]`; `[]` for nothing, None for what is else."""
    if isinstance(candidate, list | tuple):
        candidate = " ".join(map(str, candidate)) if candidate else ""
    if isinstance(candidate, int | Fraction) and not isinstance(candidate, bool):
        candidate = str(candidate)
    if not isinstance(candidate, str):
        return None
    text = plain_signs(candidate)
    found = _LEFT.fullmatch(text)
    numbers = [_number(one) for one in re.split(r"[\s,]+", found[1])] if found else []
    if (text and not found) or None in numbers:
        return None
    return [number for number in numbers if number is not None]


def _number(text: str) -> Fraction | None:
    return None if re.search(r"/0+$", text) else Fraction(text)


def take(pool: Pool, step: Taken) -> Pool | str:
    """The numbers left after a step; or, as a sentence, what is wrong with it."""
    used = Counter([step.a, step.b])
    if used - pool:
        return f"{step.equation} uses {spelled(used - pool)}, which is not among {spelled(pool)}."
    made = applied(step.a, step.sign, step.b)
    if made != step.result:
        said = "divides by zero" if made is None else f"should say {made}"
        return f"{step.equation} {said}."
    after = pool - used + Counter([step.result])
    if step.left is not None and Counter(step.left) != after:
        return f"{step.equation} leaves {spelled(after)}, not {spelled(Counter(step.left))}."
    return after


def steps_of(pool: Pool) -> Iterator[tuple[Taken, Pool]]:
    """Every step that can be taken, each with what it leaves; both sides of a sum or product in one order only."""
    numbers = sorted(pool)
    for i, small in enumerate(numbers):
        for large in numbers[i:]:
            if large == small and pool[small] < 2:
                continue
            pairs = [(large, "+", small), (large, "*", small), (large, "-", small), (large, "/", small)]
            if large != small:
                pairs += [(small, "-", large), (small, "/", large)]
            for a, sign, b in pairs:
                made = applied(a, sign, b)
                if made is not None:
                    after = pool - Counter([a, b]) + Counter([made])
                    yield Taken(a, sign, b, made, tuple(sorted(after.elements()))), after


def can_reach(pool: Pool) -> bool:
    """Whether 24 can be made of all the numbers, found by trying everything."""
    return _reaches(tuple(sorted(pool.elements())))


@lru_cache(maxsize=20_000)
def _reaches(numbers: tuple[Fraction, ...]) -> bool:
    if len(numbers) == 1:
        return numbers[0] == 24
    return any(_reaches(tuple(sorted(after.elements()))) for _, after in steps_of(Counter(numbers)))


def solved(pool: Pool) -> tuple[list[Taken], str] | None:
    """A solution as steps and as a formula, steps that stay with whole numbers from 0 on being taken first; None
    where there is none.
    """
    steps = _way(pool)
    if steps is None:
        return None
    made: list[tuple[Fraction, Formula]] = [(number, _whole(number)) for number in pool.elements()]
    for step in steps:
        left, right = _popped(made, step.a), _popped(made, step.b)
        made.append((step.result, (step.sign, left, right)))
    return steps, written(made[0][1])


def _way(pool: Pool) -> list[Taken] | None:
    if pool.total() == 1:
        return [] if pool[Fraction(24)] else None
    ahead = sorted(steps_of(pool), key=lambda pair: not (pair[0].result >= 0 and pair[0].result.denominator == 1))
    found = next(((step, after) for step, after in ahead if can_reach(after)), None)
    rest = _way(found[1]) if found is not None else None
    return None if found is None or rest is None else [found[0], *rest]


def _whole(number: Fraction) -> Formula:
    """A number of a formula; what a later step starts from may be none that a formula writes."""
    return int(number) if number.denominator == 1 else ("/", number.numerator, number.denominator)


def _popped(made: list[tuple[Fraction, Formula]], number: Fraction) -> Formula:
    place = next(i for i, (one, _) in enumerate(made) if one == number)
    return made.pop(place)[1]
