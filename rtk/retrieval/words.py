"""Text as the terms it is found by: words in lower case, brought to their stem, without accents.

Scripts that write no spaces between words (Chinese, Japanese, Thai, …) give overlapping pairs of characters, as
Lucene's CJK analyzer does; emoji and other symbols are terms of their own. What is joined by a hyphen ("Wi-Fi") is its
parts and, as it is also written, one word. Stems are Snowball's (Porter, 2001), from PyStemmer.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, pairwise

import Stemmer

from rtk.errors import RetrievalError

LANGUAGES: tuple[str, ...] = tuple(sorted(set(Stemmer.algorithms()) - {"porter", "dutch_porter"}))

_ASCII_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "BOPOMOFO", "YI ")
_ONE_WAY = str.maketrans("’ʼ＇‘‐‑", "''''--")
_MORE_ENGLISH = "could would may might must shall im ive id hi hello hey please thanks thank"

_own = threading.local()


@dataclass(frozen=True)
class Words:
    """How texts of a language become terms.

    Args:
        language: a Snowball stemmer's (`LANGUAGES`), whose stop words are left out where bm25s lists them; None neither
            stems nor leaves out anything.

    Raises:
        RetrievalError: for another language.
    """

    language: str | None = "english"
    stop: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.language is not None and self.language not in LANGUAGES:
            raise RetrievalError(f"language={self.language!r:.60}", mend=f"None, or one of {', '.join(LANGUAGES)}")
        object.__setattr__(self, "stop", _stop_words(self.language) if self.language else frozenset())

    def terms(self, text: str) -> list[str]:
        """The terms of a text in its order, stop words left out, repetitions kept."""
        return [_term(self.language, word) for word in words(text) if word not in self.stop]


def words(text: str) -> list[str]:
    """The words of a text in lower case, in its order."""
    plain = text.translate(_ONE_WAY).lower()
    found = _ASCII_WORD.findall(plain) if plain.isascii() else _in_any_script(plain)
    return [part for word in found for part in _parts(word)]


def spelled(text: str) -> str:
    """A text as it is compared as a whole: in lower case, one space between what is written apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _parts(word: str) -> list[str]:
    """A word without its apostrophes; of a compound with hyphens its parts, and all of them in one."""
    if "'" in word:
        word = word.removesuffix("'s").replace("'", "")
    if "-" not in word:
        return [word] if word else []
    return [*filter(None, word.split("-")), *filter(None, [word.replace("-", "")])]


def _in_any_script(text: str) -> Iterator[str]:
    for kind, run in groupby(unicodedata.normalize("NFKC", text.casefold()), _kind):
        found = "".join(run)
        if kind == "word":
            yield found.strip("-'")
        elif kind == "unspaced":
            yield from map("".join, pairwise(found)) if len(found) > 1 else (found,)
        elif kind == "symbol":
            yield from found


@lru_cache(maxsize=16384)
def _kind(character: str) -> str:
    if character in "-'":
        return "word"
    category = unicodedata.category(character)
    if category[0] in "LMN":
        return "unspaced" if unicodedata.name(character, "").startswith(_UNSPACED) else "word"
    return "symbol" if category == "So" else "gap"


@lru_cache(maxsize=65536)
def _term(language: str | None, word: str) -> str:
    """A word's stem, without accents."""
    stem = _stemmer(language).stemWord(word) if language else word
    if stem.isascii():
        return stem
    bare = "".join(one for one in unicodedata.normalize("NFD", stem) if not unicodedata.combining(one))
    return unicodedata.normalize("NFC", bare) or stem


def _stemmer(language: str) -> Stemmer.Stemmer:
    """A stemmer of this thread's own, as PyStemmer wants it."""
    known = vars(_own).setdefault("stemmers", {})
    if language not in known:
        known[language] = Stemmer.Stemmer(language)
    return known[language]


@lru_cache
def _stop_words(language: str) -> frozenset[str]:
    """Words that say nothing of a text's subject, as `words` gives them."""
    from bm25s import stopwords

    name = "EN_PLUS" if language == "english" else language.upper()
    listed = [part for word in getattr(stopwords, f"STOPWORDS_{name}", ()) for part in words(word)]
    return frozenset(listed + (_MORE_ENGLISH.split() if language == "english" else []))
