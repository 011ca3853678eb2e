"""When two answers are the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Set
from enum import Enum
from typing import Any, Literal

from rtk.answers.lists import split_items, split_loosely, unbracketed
from rtk.answers.numbers import read_number, sole_number
from rtk.answers.symbolic import same_expression
from rtk.answers.writing import bare, phrase, plain, without_latex
from rtk.errors import AnswerError

Comparer = Literal["auto", "exact", "text", "numeric", "sequence", "set", "math"] | Callable[[Any, Any], bool]
DEEPEST = 12  # lists within lists; what lies deeper is compared as text


def equal(a: Any, b: Any, comparer: Comparer = "auto") -> bool:
    """Whether two answers are the same.

    Args:
        a: an answer: text, a number, a list, a pydantic object, None.
        b: another.
        comparer: how they are read.
            `"auto"`: as numbers where both say one (exactly, so `0.50` is `1/2` and `-5` is not `5`), as sequences
            where there are several items, as sets in braces, as mappings for objects, else as text.
            `1,234` is a number: unbracketed groups of three digits are thousands; `[1,234]`, `1, 234` and `3,14` are
            sequences. `50%` is `0.5`; a currency sign is dropped; `(A)` is `A`.
            `"exact"`: the same characters. `"text"`: the same words; case, blanks, quotes and a full stop do not count.
            `"numeric"`: as auto's numbers, also the only number in a text (`42 km` is `42`).
            `"sequence"`, `"set"`: item by item, in order or not, between commas, semicolons, `and` or blanks.
            `"math"`: numbers exactly, else as expressions by math-verify (`\\sqrt8` is `2\\sqrt2`; decimals to 6
            places); expressions that would take long to expand, and words, are compared as text.
            A function `(a, b) -> bool` decides by itself.

    Raises:
        AnswerError: an unknown comparer.
    """
    if callable(comparer):
        return bool(comparer(a, b))
    if comparer == "math":
        return _same_mathematics(a, b)
    return canonical(a, comparer) == canonical(b, comparer)


def canonical(value: Any, comparer: Comparer = "auto") -> Hashable | None:
    """A key that two answers share if and only if they are equal; None where only pairs can be compared.

    Pairs alone are compared under `"math"` and functions.

    Raises:
        AnswerError: an unknown comparer.
    """
    if callable(comparer) or comparer == "math":
        return None
    if comparer not in _KEYS:
        raise AnswerError(f"comparer={comparer!r} is unknown", mend=f"one of {', '.join(_KEYS)}, math, or a function")
    return _KEYS[comparer](_simple(value))


def text_of(value: Any) -> str:
    """An answer as text; never an error, also for whole numbers longer than Python cares to print."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except ValueError:
        return f"a whole number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__


def _simple(value: Any) -> Any:
    """An enumeration's value, a pydantic object's fields; everything else as it is."""
    if isinstance(value, Enum):
        return value.value
    return value.model_dump() if callable(getattr(type(value), "model_dump", None)) else value


def _auto(value: Any, depth: int = 0) -> Hashable:
    value = _simple(value)
    if value is None:
        return ("nothing",)
    number = read_number(value)
    if number is not None:
        return ("number", number)
    if depth < DEEPEST:
        if isinstance(value, str):
            return _auto_text(value, depth)
        if isinstance(value, Mapping):
            return ("mapping", frozenset((text_of(key), _auto(one, depth + 1)) for key, one in value.items()))
        if isinstance(value, list | tuple):
            return ("sequence", tuple(_auto(one, depth + 1) for one in value))
        if isinstance(value, Set):
            return ("set", frozenset(_auto(one, depth + 1) for one in value))
    return ("text", phrase(text_of(value)))


def _auto_text(text: str, depth: int) -> Hashable:
    """A text that is no number: several items, one item in brackets, or words."""
    found = without_latex(bare(plain(text))).rstrip(". ")
    if found.startswith("{") and ":" in found and (mapping := _object(found)) is not None:
        return _auto(mapping, depth)
    brackets, inner = unbracketed(found)
    items = split_items(inner)
    if brackets == "()" and len(items) == 1 and not inner.rstrip().endswith(","):
        return _auto(inner, depth + 1)
    if not brackets and len(items) < 2:
        return ("text", phrase(text))
    keys = [_auto(item, depth + 1) for item in items]
    return ("set", frozenset(keys)) if brackets == "{}" else ("sequence", tuple(keys))


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _numeric(value: Any) -> Hashable:
    number = read_number(value)
    if number is None and isinstance(value, str):
        number = sole_number(value)
    return ("number", number) if number is not None else _auto(value)


def _items(value: Any) -> tuple[Hashable, ...]:
    if isinstance(value, str):
        value = split_loosely(without_latex(bare(plain(value))).rstrip(". "))
    elif not isinstance(value, list | tuple | Set):
        value = [] if value is None else [value]
    return tuple(_auto(item, 1) for item in value)


_KEYS: dict[str, Callable[[Any], Hashable]] = {
    "auto": _auto,
    "exact": text_of,
    "text": lambda value: phrase(text_of(value)),
    "numeric": _numeric,
    "sequence": _items,
    "set": lambda value: frozenset(_items(value)),
}


def _same_mathematics(a: Any, b: Any) -> bool:
    one, other = read_number(_simple(a)), read_number(_simple(b))
    if one is not None and other is not None:
        return one == other
    first, second = text_of(a), text_of(b)
    return phrase(first) == phrase(second) or same_expression(first, second)
