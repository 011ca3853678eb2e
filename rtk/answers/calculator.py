"""A calculator: the answer to a question that is nothing but a calculation, read by a small grammar."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction

from rtk.answers.calculation import LONGEST, Unreadable, read
from rtk.answers.formulas import Token, flat, tokens

DIGITS = 10  # significant ones of a result that has no end
MOST_EXACT = 15  # of one that has

_ASKED = re.compile(
    r"(?:please\s+|can you\s+|could you\s+|tell me\s+)*"
    r"(?:(?P<sure>calculate|compute|evaluate|work out|how much (?:is|are|does)|how many (?:is|are))"
    r"|what\s+(?:is|are|does)|what[’']s)?\s*(?:the\s+)?(?:(?:value|result|answer)\s+(?:of|to)\s+)?",
    re.IGNORECASE,
)
_END = re.compile(r"(?P<sure>\s*(?:=|\bequals?\b|\bmake\b|\bcome to\b)\s*)?[?.=\s]*(?:please)?[?.\s]*$", re.IGNORECASE)
_MONEY = re.compile(r"[$€£¥]")


def calculate(question: str) -> str | None:
    """What a question comes to that is nothing but a calculation; None for any other.

    Read are numbers, `+ - × / ^ ** ! %` and their words (`15% of 80`, `half of 12`, `the sum of 3 and 4`), with or
    without "What is", "Calculate" and the like around them. Nothing is evaluated but this grammar, whose powers,
    factorials and lengths are bounded. What could mean something else is None: amounts with units or of money,
    divisions that can be read in two ways, and two bare numbers that touch a sign, such as `24/7` or `555-1234`, unless
    it is asked to calculate them.

    >>> calculate("What is 15% of 80?"), calculate("7 / 3 ="), calculate("What is the capital of France?")
    ('12', '2.333333333', None)

    Returns:
        the result: a whole number, a decimal that ends, or one of ten significant digits.
    """
    if not isinstance(question, str) or len(question) > 2 * LONGEST or _MONEY.search(question):
        return None
    begun = _ASKED.match(question.strip())
    rest = question.strip()[begun.end() :] if begun is not None else question.strip()
    ended = _END.search(rest)
    asked = rest[: ended.start()] if ended is not None else rest
    found = tokens(flat(asked.replace("**", "^")))
    if not found or len(asked) > LONGEST:
        return None
    try:
        side = read(found, 0, len(found))
    except Unreadable:
        return None
    sure = bool((begun and begun["sure"]) or (ended and ended["sure"]))
    if side.end < len(found) or not side.operations or side.units or side.mixed or not _plain(found, asked, sure):
        return None
    return written(side.value)


def written(value: Fraction) -> str:
    """A number as it is written: whole, as a decimal that ends, or with ten significant digits."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    above, below = Decimal(value.numerator), Decimal(value.denominator)
    exact = Context(prec=MOST_EXACT).divide(above, below)
    found = exact if rest == 1 and Fraction(exact) == value else Context(prec=DIGITS).divide(above, below)
    return str(found.normalize()).lower()


def _plain(found: list[Token], asked: str, sure: bool) -> bool:
    """Whether these are numbers and signs of a calculation, and no date, telephone number or saying."""
    numbers = [one.text for one in found if one.kind == "num"]
    if any(re.match(r"0[0-9]", one) for one in numbers):
        return False
    if asked.rstrip().endswith("!") and asked.count("!") == 1 and not sure:  # a factorial, or somebody who is loud
        return False
    bare = re.fullmatch(r"\s*[0-9]+(?:[-/][0-9]+)+\s*", asked)
    return bare is None or sure
