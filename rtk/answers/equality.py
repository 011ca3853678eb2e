"""When two answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import Any, Literal, get_args

from rtk.answers.lists import split_items, split_loosely, unbracketed
from rtk.answers.numbers import read_number, sole_number
from rtk.answers.objects import DEEPEST, json_object, simple, without
from rtk.answers.similarity import alike
from rtk.answers.symbolic import same_expression
from rtk.answers.writing import bare, phrase, plain, without_latex
from rtk.errors import AnswerError

Named = Literal["auto", "exact", "text", "numeric", "sequence", "set", "math", "similar"]
Comparer = Named | Callable[[Any, Any], bool]


def equal(a: Any, b: Any, comparer: Comparer = "auto", exclude: Sequence[str] = ()) -> bool:
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
            `"similar"`: as auto, and texts written alike: at least 0.8 of `similarity`, with the same numbers, and both
            or neither with a negation. For free text; it knows writing, not meaning.
            A function `(a, b) -> bool` decides by itself.
        exclude: names of fields whose values do not count, in objects, mappings and what lies in them, such as the
            arguments of tool calls; `"args.seed"` is every `seed` within an `args`. Not for a function.

    Raises:
        AnswerError: an unknown comparer, or names that are none.
    """
    _check(comparer, exclude)
    if callable(comparer):
        return bool(comparer(a, b))
    a, b = without(a, exclude), without(b, exclude)
    if comparer == "math":
        return _same_mathematics(a, b)
    if comparer == "similar":
        return _auto(a) == _auto(b) or alike(text_of(a), text_of(b))
    return canonical(a, comparer) == canonical(b, comparer)


def canonical(value: Any, comparer: Comparer = "auto", exclude: Sequence[str] = ()) -> Hashable | None:
    """A key that two answers share if and only if they are equal; None where only pairs can be compared.

    Pairs alone are compared under `"math"`, `"similar"` and functions. `exclude` is as in `equal`.

    Raises:
        AnswerError: an unknown comparer, or names that are none.
    """
    _check(comparer, exclude)
    if callable(comparer) or comparer not in _KEYS:
        return None
    return _KEYS[comparer](simple(without(value, exclude)))


def _check(comparer: Comparer, exclude: Sequence[str]) -> None:
    if not callable(comparer) and comparer not in get_args(Named):
        known = ", ".join(get_args(Named))
        raise AnswerError(f"comparer={comparer!r} is unknown", mend=f"one of {known}, or a function")
    if exclude and callable(comparer):
        raise AnswerError("exclude= with a function as the comparer", mend="let the function leave them out")


def text_of(value: Any) -> str:
    """An answer as text; never an error, also for whole numbers longer than Python cares to print."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except ValueError:
        return f"a whole number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__


def _auto(value: Any, depth: int = 0) -> Hashable:
    value = simple(value)
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
    if found.startswith("{") and ":" in found and (mapping := json_object(found)) is not None:
        return _auto(mapping, depth)
    brackets, inner = unbracketed(found)
    items = split_items(inner)
    if brackets == "()" and len(items) == 1 and not inner.rstrip().endswith(","):
        return _auto(inner, depth + 1)
    if not brackets and len(items) < 2:
        return ("text", phrase(text))
    keys = [_auto(item, depth + 1) for item in items]
    return ("set", frozenset(keys)) if brackets == "{}" else ("sequence", tuple(keys))


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
    one, other = read_number(simple(a)), read_number(simple(b))
    if one is not None and other is not None:
        return one == other
    first, second = text_of(a), text_of(b)
    return phrase(first) == phrase(second) or same_expression(first, second)
