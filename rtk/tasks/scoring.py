"""Asking a reasoning-gym scorer about a model's answer, without letting the answer run as code.

Some of the scorers hand the answer to Python's `eval`, or to sympy's parser, which evaluates too. Such an answer is
first held against the only form in which a right one can come, and is wrong otherwise.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from tokenize import TokenError
from typing import Any

EVALUATED = frozenset({"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"})
FORMULAS = frozenset({"countdown", "intermediate_integration", "puzzle24", "simple_integration"})
BY_GOLD = frozenset({"game_of_life_halting"})  # its scorer takes any text but the empty one for "True"
LONGEST_FORMULA = 500
FUNCTIONS = frozenset({"sin", "cos", "tan", "exp", "log", "ln", "sqrt", "asin", "acos", "atan", "pi", "E", "C"})
TOKENS = re.compile(r"\s*(?:(?P<name>[A-Za-z]+)|(?P<number>\d{1,12}(?:\.\d{1,12})?)|\*\*|[-+*/()])")
POWER = re.compile(r"\*\*\s*(?:\d{1,2}|\(\s*-?\d{1,2}(?:\s*/\s*\d{1,2})?\s*\))(?!\s*\*\*)(?![\d.])")
NOT_NUMBERS = frozenset({"nan", "inf", "infinity"})
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, NameError, TokenError)


def scored_right(dataset: Any, name: str, entry: Mapping[str, Any], answer: str) -> bool:
    """Whether the scorer gives the answer 1.0; an answer that the scorer cannot read is wrong.

    Partial credit is none: some scorers pay in part for an answer that merely contains the gold one.
    """
    gold = entry["answer"]
    if isinstance(gold, str) and answer == gold.strip():
        return True
    if name in BY_GOLD:
        return answer.lower() == str(gold).lower()
    if not _harmless(name, answer) or NOT_NUMBERS & set(re.findall(r"[a-z]+", answer.lower())):
        return False
    try:
        return float(dataset.score_answer(answer, entry)) == 1.0
    except UNREADABLE:
        return False


def _harmless(name: str, answer: str) -> bool:
    if name in EVALUATED:
        return _is_literal(answer)
    return is_formula(answer) if name in FORMULAS else True


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (*UNREADABLE, RecursionError, MemoryError):
        # A board of queens is not Python, and no other text of these letters alone does anything when evaluated.
        return re.fullmatch(r"[_Q\s]*", text) is not None
    return True


def is_formula(text: str) -> bool:
    """Whether a text is plain arithmetic in single letters and elementary functions, small enough to evaluate."""
    if (
        len(text) > LONGEST_FORMULA
        or text.count("**") != len(POWER.findall(text))
        or len(re.findall(r"\)\s*\*\*", text)) > 2
    ):
        return False
    at = 0
    text = text.strip()
    while at < len(text):
        found = TOKENS.match(text, at)
        if not found or (found["name"] and len(found["name"]) > 1 and found["name"] not in FUNCTIONS):
            return False
        at = found.end()
    return True
