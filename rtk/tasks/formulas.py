"""Formulas of whole numbers with + - * / and brackets: read without running them, valued exactly, compared."""

from __future__ import annotations

import re
from fractions import Fraction

Formula = int | tuple[str, "Formula", "Formula"]
"""A number, or (sign, left, right)."""

LONGEST = 120  # characters; one of four numbers takes 30
_TOKENS = re.compile(r"\s*(\d{1,9}|[-+*/()])")
_SIGNS = {
    "\\times": "*", "\\cdot": "*", "\\div": "/", "\\left": "", "\\right": "", "×": "*", "✕": "*", "∗": "*", "·": "*",
    "⋅": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "[": "(", "]": ")", "$": "", "`": "",
}  # fmt: skip


def plain_signs(text: str) -> str:
    """A text in which every sign of arithmetic is one of `+ - * /`, however it was written."""
    for written, sign in _SIGNS.items():
        text = text.replace(written, sign)
    return re.sub(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])", " * ", text).strip()


def read_formula(text: str) -> Formula | None:
    """A formula such as `(1 + 2) * 3`; None for anything else, and where it is longer than 120 characters."""
    text = plain_signs(text)
    if len(text) > LONGEST:
        return None
    tokens, at = [], 0
    while at < len(text.rstrip()):
        found = _TOKENS.match(text, at)
        if not found:
            return None
        tokens.append(found[1])
        at = found.end()
    reader = _Reader(tokens)
    formula = reader.level(("+", "-"))
    return formula if not reader.tokens else None


class _Reader:
    """Reads tokens from the front: sums of products of numbers and brackets."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def level(self, signs: tuple[str, str]) -> Formula | None:
        """Parts between signs of one rank, taken together from the left."""
        left = self._part(signs)
        while left is not None and self.tokens and self.tokens[0] in signs:
            sign = self.tokens.pop(0)
            right = self._part(signs)
            left = None if right is None else (sign, left, right)
        return left

    def _part(self, signs: tuple[str, str]) -> Formula | None:
        if signs == ("+", "-"):
            return self.level(("*", "/"))
        token = self.tokens.pop(0) if self.tokens else ""
        if token.isdigit():
            return int(token)
        inner = self.level(("+", "-")) if token == "(" else None
        closed = self.tokens.pop(0) if self.tokens else ""
        return inner if closed == ")" else None


def numbers_in(formula: Formula) -> list[int]:
    """The numbers of a formula, from the left."""
    return [formula] if isinstance(formula, int) else [*numbers_in(formula[1]), *numbers_in(formula[2])]


def value(formula: Formula) -> Fraction | None:
    """What it comes to, exactly; None where it divides by zero."""
    if isinstance(formula, int):
        return Fraction(formula)
    left, right = value(formula[1]), value(formula[2])
    return None if left is None or right is None else applied(left, formula[0], right)


def applied(left: Fraction, sign: str, right: Fraction) -> Fraction | None:
    """One operation, exactly; None for a division by zero and for a sign that is none."""
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/" if right:
            return left / right
    return None


def written(formula: Formula) -> str:
    """A formula as text, with no more brackets than it needs."""
    return str(formula) if isinstance(formula, int) else _written(formula)


def _written(formula: tuple[str, Formula, Formula]) -> str:
    sign, left, right = formula
    return f"{_side(left, sign, False)} {sign} {_side(right, sign, True)}"


def _side(side: Formula, sign: str, after: bool) -> str:
    if isinstance(side, int):
        return str(side)
    looser = sign in "*/" and side[0] in "+-"
    same = after and sign in "-/" and (side[0] in "+-") == (sign in "+-")
    return f"({_written(side)})" if looser or same else _written(side)


def same_formula(a: object, b: object) -> bool:
    """Whether two texts write one formula: blanks, spelling of signs, needless brackets, the order of a sum's or a
    product's two sides and a result behind an equals sign do not matter. What is no formula is compared as text.
    """
    return _key(a) == _key(b)


def _key(text: object) -> str:
    said = " ".join(plain_signs(str(text)).split()).rstrip(".")
    formula = read_formula(said.partition("=")[0])
    return said.casefold() if formula is None else _canonical(formula)


def _canonical(formula: Formula) -> str:
    if isinstance(formula, int):
        return str(formula)
    sides = [_canonical(formula[1]), _canonical(formula[2])]
    return f"({formula[0].join(sorted(sides) if formula[0] in '+*' else sides)})"
