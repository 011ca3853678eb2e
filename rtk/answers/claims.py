"""Arithmetic claims in a text, such as `3 + 4 = 7`, found and evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rtk.answers.numbers import write_number
from rtk.answers.writing import plain

LONGEST = 200  # characters on either side of the equals sign
DEEPEST = 20  # parentheses within parentheses

_SIGNS = str.maketrans({"∗": "*", "⋅": "·", "∙": "·", "•": "·", "✕": "×", "✖": "×", "$": ""})
_LATEX = re.compile(r"\\(times|cdot|div)(?![a-zA-Z])|\\[()\[\]$,;! ]|\*\*(?![\d( ])|(?<![\d)])\*\*")
_EQUALS = re.compile(r"(?<![=!<>:≈~])=(?![=>])")
_LEFT = re.compile(r"[0-9.,()+\-*/×÷·xX \t]*\Z")
_RIGHT = re.compile(r"[0-9.,()+\-*/×÷·xX \t]*")
_BULLET = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,2}[.)])[ \t]+")
_OPENS = re.compile(r"[\s:;,.\"'“(\[>!?—–]")
_TOKEN = re.compile(r"\s*((?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+|[-+*/×÷·xX()])")
_OPERATORS = "+-*/×÷·xX"
_START = re.compile(r"(?:\A|(?<=[\s,(]))(?=[0-9.(-])")
_REMAINDER = re.compile(r"\s*(?:[rR]\b|rem(?:ainder)?\b|with a remainder\b|mod\b)")


@dataclass(frozen=True)
class Claim:
    """One arithmetic claim.

    Attributes:
        text: the claim, as in the text but for the characters of operators.
        ok: whether it holds. A decimal result may be rounded or cut at its last place.
        value: what its left side is, exactly.
    """

    text: str
    ok: bool
    value: Fraction

    @property
    def reason(self) -> str:
        """What the left side is, for a reader: `3 × 14 is 42`."""
        return f"{self.text.partition('=')[0].strip()} is {write_number(self.value)}"


def check_arithmetic(text: str) -> list[Claim]:
    """The arithmetic claims in a text, each evaluated exactly.

    A claim is a sum, difference, product or quotient of plain numbers (`+ - * / × ÷ x`, parentheses), an equals
    sign, and a number or another such expression. Powers, percentages, variables and units are not read, nor is
    anything of more than 200 characters: what cannot be read for certain is no claim, so that no right step is
    called wrong. In `3 + 4 = 7 + 2 = 9`, sloppy but common, `3 + 4` is held against 7.
    """
    text = _LATEX.sub(_operator, plain(text).translate(_SIGNS))
    found = (_claim(text, sign.start()) for sign in _EQUALS.finditer(text))
    return [claim for claim in found if claim is not None]


def _operator(found: re.Match[str]) -> str:
    return {"times": "×", "cdot": "·", "div": "÷"}.get(found[1] or "", "")


def _claim(text: str, sign: int) -> Claim | None:
    left = _left_side(text[max(0, sign - LONGEST - 20) : sign])
    if left is None:
        return None
    value = _evaluated(left)
    if value is None:
        return None
    sides = list(_right_sides(text[sign + 1 : sign + 1 + LONGEST]))
    if not sides:
        return None
    rights = [(right, number) for right in sides if (number := _evaluated(right)) is not None]
    holding = [right for right, number in rights if _agrees(value, right, number)]
    right = holding[0] if holding else (rights[0][0] if rights else None)
    return None if right is None else Claim(f"{left} = {right}", bool(holding), value)


def _left_side(before: str) -> str | None:
    """The longest calculation that ends where `before` ends and certainly begins where it seems to."""
    run = _LEFT.search(before)
    start = run.start() if run else len(before)
    bullet = _BULLET.match(before, before.rfind("\n") + 1)
    start = max(start, bullet.end()) if bullet else start
    run_text, earlier = before[start:], before[:start]
    if not bullet and not _begins_here(run_text, earlier):
        return None
    for found in _START.finditer(run_text):
        candidate = run_text[found.start() :].strip()
        if run_text[: found.start()].rstrip()[-1:] in tuple(_OPERATORS):
            continue  # in the middle of a calculation
        if any(one in candidate.lstrip("-") for one in _OPERATORS) and _evaluated(candidate) is not None:
            return candidate
    return None


def _begins_here(run: str, earlier: str) -> bool:
    """Whether a run of numbers and operators is no rest of something that cannot be read, such as `2^` or `y +`."""
    if not run.strip() or (earlier and not run[0].isspace() and not _OPENS.match(earlier[-1])):
        return False
    first = run.lstrip()[0]
    if first == "-":
        return not earlier.strip() or earlier.rstrip()[-1] in ":;,.\n\"'([>="
    return first not in _OPERATORS


def _right_sides(after: str) -> Iterator[str]:
    """The whole right side, and where that is a calculation going on, its first number."""
    found = _RIGHT.match(after)
    run = found[0] if found else ""
    rest = after[len(run) :]
    if re.match(r"[%^°!_\\{\[]", rest) or (rest[:1].isalpha() and run[-1:].isdigit()) or _REMAINDER.match(rest):
        return
    run = run.rstrip().rstrip(".,").rstrip()
    while run.endswith(")") and run.count(")") > run.count("("):
        run = run[:-1].rstrip().rstrip(".,")
    if run and run[-1] in _OPERATORS:
        return  # it goes on with something that cannot be read
    number = re.match(r"\s*-?\s*(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?", run)
    if _evaluated(run) is not None:
        yield run.strip()
        if number and rest.startswith("="):
            yield number[0].strip()
    elif number and re.match(r"\s*[,;.]\s|\s*,|\s+\(\Z", run[number.end() :]):
        yield number[0].strip()


def _agrees(value: Fraction, written: str, number: Fraction) -> bool:
    decimals = re.fullmatch(r"-?\s*[0-9,]*\.([0-9]+)", written)
    return value == number or (decimals is not None and abs(value - number) < Fraction(1, 10 ** len(decimals[1])))


# --- the grammar: sum = product (("+" | "-") product)*; product = factor (("*" | "/") factor)*;
# --- factor = "-" factor | number | "(" sum ")"


def _evaluated(text: str) -> Fraction | None:
    """The value of a calculation; None where the text is none, or divides by zero."""
    tokens = _tokens(text)
    if not tokens:
        return None
    try:
        value, at = _sum(tokens, 0, 0)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return value if at == len(tokens) else None


def _tokens(text: str) -> list[str] | None:
    tokens, at, text = [], 0, text.rstrip()
    if len(text) > LONGEST:
        return None
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return None
        tokens.append(found[1])
        at = found.end()
    return tokens


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        operator = tokens[at]
        other, at = _product(tokens, at + 1, depth)
        value = value + other if operator == "+" else value - other
    return value, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _factor(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "*/×÷·xX":
        operator = tokens[at]
        other, at = _factor(tokens, at + 1, depth)
        value = value / other if operator in "/÷" else value * other
    return value, at


def _factor(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if depth > DEEPEST:
        raise ValueError("too many parentheses")
    token = tokens[at]
    if token == "-":
        value, at = _factor(tokens, at + 1, depth + 1)
        return -value, at
    if token != "(":
        return Fraction(token.replace(",", "")), at + 1
    value, at = _sum(tokens, at + 1, depth + 1)
    if tokens[at] != ")":
        raise ValueError("a parenthesis stays open")
    return value, at + 1
