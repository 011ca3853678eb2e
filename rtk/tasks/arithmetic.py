"""Arithmetic on small whole numbers: short questions whose difficulty is known, for calibrating a strategy.

A question at level 1 and its answer:

    What is (7 + 4) × 8?

    88

Levels:
    1. a sum of two digits, times a number up to 12: out of reach of a small model that answers at once, and within
       reach of the same one when it writes the sum down first.
    2. a digit times a number of two digits: What is 7 × 23?
    3. two numbers of two digits: What is 34 × 23?
    4. three operations: What is (17 + 5) × 13 - 8?

There is no checker: it would have to calculate the answer.
"""

from __future__ import annotations

import re
from random import Random

import dspy

from rtk.errors import TaskError
from rtk.tasks.families import Family, Inputs, Worked
from rtk.tasks.items import Item

PRODUCT = re.compile(r"What is (\d+) × (\d+)\?")
SUM = re.compile(r"What is \((\d+) \+ (\d+)\) × (\d+)\?")
EXPRESSION = re.compile(r"What is \((\d+) ([+-]) (\d+)\) × (\d+) ([+-]) (\d+)\?")


class Arithmetic(dspy.Signature):
    """Calculate. Answer with one whole number."""

    question: str = dspy.InputField()
    answer: int = dspy.OutputField()


def draw(level: int, seed: int, index: int) -> Item:
    """The question at an address; a function of its arguments alone."""
    rng = Random(f"arithmetic/{level}/{seed}/{index}")  # a string seeds the same in every process
    if level == 1:
        return _sum(index, rng)
    if level == 4:
        return _expression(index, rng)
    a, b = rng.randint(2, 9) if level == 2 else rng.randint(11, 99), rng.randint(11, 99)
    # The same product the other way round is the same question.
    key = f"{min(a, b)} × {max(a, b)}"
    return Item(index, {"question": f"What is {a} × {b}?"}, a * b, key)


def _sum(index: int, rng: Random) -> Item:
    a, b, c = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 12)
    key = f"({min(a, b)} + {max(a, b)}) × {c}"
    return Item(index, {"question": f"What is ({a} + {b}) × {c}?"}, (a + b) * c, key)


def _expression(index: int, rng: Random) -> Item:
    a, b, c, d = rng.randint(11, 49), rng.randint(2, 10), rng.randint(3, 19), rng.randint(2, 20)
    inner, outer = rng.choice("+-"), rng.choice("+-")
    question = f"What is ({a} {inner} {b}) × {c} {outer} {d}?"
    return Item(index, {"question": question}, _applied(_applied(a, inner, b) * c, outer, d), question)


def _applied(a: int, sign: str, b: int) -> int:
    return a + b if sign == "+" else a - b


def explain(inputs: Inputs) -> Worked:
    """The calculation in steps, from the question alone.

    Raises:
        TaskError: the question is not one of these.
    """
    question = " ".join(inputs["question"].split())
    if found := PRODUCT.fullmatch(question):
        working, product = _product(int(found[1]), int(found[2]))
        return Worked(working, str(product))
    if found := SUM.fullmatch(question):
        a, b, c = map(int, found.groups())
        return Worked(f"{a} + {b} = {a + b}. {a + b} × {c} = {(a + b) * c}.", str((a + b) * c))
    if found := EXPRESSION.fullmatch(question):
        a, inner, b, c, outer, d = found.groups()
        bracket = _applied(int(a), inner, int(b))
        working, product = _product(bracket, int(c))
        result = _applied(product, outer, int(d))
        return Worked(f"{a} {inner} {b} = {bracket}. {working} {product} {outer} {d} = {result}.", str(result))
    raise TaskError(
        f"not an arithmetic question: {question!r}",
        mend='ask about a question as rtk.tasks.load("arithmetic") gives it, unchanged',
    )


def _product(a: int, b: int) -> tuple[str, int]:
    """A product in the way it is done by heart: tens and ones of one factor apart, and its value."""
    factor, split = (a, b) if a < 10 or b >= 10 else (b, a)
    tens, ones = split - split % 10, split % 10
    if not tens or not ones:
        return f"{a} × {b} = {a * b}.", a * b
    parts = f"{factor} × {tens} + {factor} × {ones}"
    return f"{a} × {b} = {parts} = {factor * tens} + {factor * ones} = {a * b}.", a * b


ARITHMETIC = Family(
    name="arithmetic",
    levels=(1, 2, 3, 4),
    level=1,
    signature=Arithmetic,
    draw=draw,
    comparer="numeric",
    answer_type="int",
    explain=explain,
)
