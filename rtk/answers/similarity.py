"""How alike two texts are written, and the one among many that is most like the others.

A text is counted as pieces of three characters within its words, so the order of words, case, punctuation and endings
matter little, in any language; likeness is the cosine of two counts. It knows writing, not meaning.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rtk.answers.writing import plain
from rtk.errors import AnswerError

SIMILAR = 0.8  # from here on two texts are taken for the same
LONGEST = 20_000  # characters of a text that are looked at: of a longer one its beginning and its end
PIECE = 3

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:no|not|never|none|nobody|nothing|nor|neither|cannot|without)\b|n['’]t\b")


class _Profile(NamedTuple):
    """What is compared of a text: its pieces, the sum of their squares, the numbers in it, and whether it denies."""

    pieces: Counter[str]
    square: int
    numbers: frozenset[str]
    denies: bool


def similarity(a: str, b: str) -> float:
    """How alike two texts are written, in [0, 1]: 1 for the same words in any order, 0 where they share no piece."""
    if a == b:
        return 1.0
    one, other = _profile(a), _profile(b)
    if not one.square or not other.square:  # no words at all, such as a smiley
        return float(a.split() == b.split())
    few, many = sorted((one.pieces, other.pieces), key=len)
    shared = sum(count * many[piece] for piece, count in few.items() if piece in many)
    return min(1.0, shared / math.sqrt(one.square * other.square))


def alike(a: str, b: str) -> bool:
    """Whether two texts are so alike that they are taken for the same: a similarity of 0.8 or more, with the same
    numbers in them, and both or neither with a word of negation (English ones are known).
    """
    if a == b:
        return True
    one, other = _profile(a), _profile(b)
    same = one.numbers == other.numbers and one.denies == other.denies
    return same and similarity(a, b) >= SIMILAR


def medoid(texts: Sequence[str]) -> int:
    """The place of the text that is most like all of them, by its mean similarity; of several such the earliest.

    Raises:
        AnswerError: where there is none.
    """
    if not texts:
        raise AnswerError("no texts have no medoid", mend="pass at least one")
    return max(range(len(texts)), key=likeness(texts, texts).__getitem__)


def likeness(texts: Sequence[str], others: Sequence[str]) -> list[float]:
    """How much each text is like all of some others: the sum of its similarities, the same in whatever order."""
    counts = Counter(others)
    sums = {one: math.fsum(count * similarity(one, other) for other, count in counts.items()) for one in set(texts)}
    return [sums[one] for one in texts]


@lru_cache(maxsize=512)
def _profile(text: str) -> _Profile:
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} {text[-LONGEST // 2 :]}"
    text = plain(text).casefold()
    pieces = Counter[str]()
    for word in _WORD.findall(text):
        padded = f" {word} "
        pieces.update(padded[place : place + PIECE] for place in range(len(padded) - PIECE + 1))
    square = sum(count * count for count in pieces.values())
    return _Profile(pieces, square, frozenset(_NUMBER.findall(text)), _NEGATION.search(text) is not None)
