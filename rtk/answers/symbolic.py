"""Whether two written expressions are the same mathematics, by math-verify."""

from __future__ import annotations

import logging
import re
import threading
from functools import lru_cache
from typing import Any

from rtk.answers.writing import bare, plain

LONGEST = 300
_WORD = re.compile(r"(?<!\\)(?<![a-zA-Z])(?!(?:sin|cos|tan|log|exp|sqrt|pi)(?![a-zA-Z]))[a-zA-Z]{3,}")
_TEXT = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\{[^{}]*\}|\\[a-zA-Z]+")
_EXPENSIVE = re.compile(
    r"\\(?:i*int|oint|sum|prod|lim|binom)|[0-9]{40}"
    r"|(?:\^|\*\*)\s*\{?[^{}]{0,80}(?:\^|\*\*)|(?:\^|\*\*)\s*\{?\s*[+-]?[0-9]{4}"
    r"|[)\]}]\s*(?:\^|\*\*)\s*\{?\s*[+-]?(?:[0-9]{3}|[3-9][0-9])|[0-9]{4}\s*!|\)\s*!|!\s*!|[eE]\+?[0-9]{4}"
)
_LOCK = threading.Lock()  # protects sympy's and the parser's shared caches


def same_expression(a: str, b: str) -> bool:
    """Whether two expressions are mathematically the same; False where one is words or cannot be read.

    math-verify's own time limits are signals, which only a main thread may set, so they are off here; expressions
    that could run long (towers of powers, sums, integrals, large factorials) are not handed to it at all.
    """
    first, second = _prepared(a), _prepared(b)
    if first is None or second is None:
        return False
    with _LOCK:
        one, other = _parsed(first), _parsed(second)
        if not one or not other:
            return False
        # Either direction counts: math-verify treats its first argument as the gold answer, and a vote has none.
        return bool(_verify(one, other) or _verify(other, one))


def _prepared(text: str) -> str | None:
    text = bare(plain(text)).rstrip(". ")
    if not text or len(text) > LONGEST or _EXPENSIVE.search(text) or _WORD.search(_TEXT.sub(" ", text)):
        return None
    return f"${text}$"


@lru_cache(maxsize=2048)
def _parsed(text: str) -> tuple[Any, ...]:
    return tuple(_library().parse(text, parsing_timeout=None))


def _verify(gold: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    return _library().verify(list(gold), list(target), timeout_seconds=None)


@lru_cache(maxsize=1)
def _library() -> Any:
    import math_verify  # heavy: brings sympy

    # It warns that its time limits are off, and logs a traceback for every answer it cannot read.
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return math_verify
