"""What a written answer says once its dress is off: quotes, emphasis, LaTeX delimiters, typographic characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

DRESSES = (
    *(("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`")),
    *(('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’")),
    *((r"\boxed{", "}"), (r"\fbox{", "}"), (r"\text{", "}"), (r"\mathrm{", "}")),
)
MOST_DRESSES = 8
_MINUS = dict.fromkeys("−‐‑‒–﹣－", "-")
_SLASHES = {"⁄": "/", "∕": "/"}
_SPELLINGS = {**_MINUS, **_SLASHES}
_EMPHASIS = re.compile(r"(?<![\w)*])\*\*(?=[^\s*])([^*\n]+)(?<=\S)\*\*(?![\w(*])")
_SPACING = re.compile(r"\\(?:left|right)(?![a-zA-Z])|\\[,;!: ]")
_PLAIN_FRACTION = re.compile(
    r"\\[dt]?frac\s*(?:\{\s*([+-]?\d+(?:\.\d+)?)\s*\}|(\d))\s*(?:\{\s*([+-]?\d+(?:\.\d+)?)\s*\}|(\d))"
)


def plain(text: str) -> str:
    """The same text in plain characters: minus signs, full-width digits, `½`; superscripts stay what they are."""
    if text.isascii():
        return text
    return "".join(_plain_character(character) for character in unicodedata.normalize("NFC", text))


@lru_cache(maxsize=4096)
def _plain_character(character: str) -> str:
    if character in _SPELLINGS:
        return _SPELLINGS[character]
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind == "<fraction>":  # a space, because 1½ is no eleven halves
        return " " + unicodedata.normalize("NFKC", character).replace("⁄", "/")
    if kind in ("<wide>", "<narrow>", "<noBreak>", "<font>"):
        return unicodedata.normalize("NFKC", character)
    return character


def bare(text: str) -> str:
    """A text without blanks and pairs of delimiters around it."""
    text = text.strip()
    if text[:1].isalnum():  # as most texts: no delimiter begins so
        return text
    for _ in range(MOST_DRESSES):
        inner = next((found for dress in DRESSES if (found := _inside(text, *dress)) is not None), None)
        if inner is None:
            return text
        text = inner.strip()
    return text


def _inside(text: str, opening: str, closing: str) -> str | None:
    """What stands between a pair that encloses the whole text, else None."""
    if len(text) <= len(opening) + len(closing) or not (text.startswith(opening) and text.endswith(closing)):
        return None
    inner = text[len(opening) : -len(closing)]
    if closing == "}":
        return inner if balanced(inner) else None
    within = inner.replace("\\$", "")  # a price in a formula closes nothing
    return inner if closing not in within and opening not in within else None


def balanced(text: str, pair: str = "{}") -> bool:
    """Whether every bracket of one pair closes, and none closes before it opens."""
    depth = 0
    for character in text:
        depth += (character == pair[0]) - (character == pair[1])
        if depth < 0:
            return False
    return depth == 0


def unemphasised(text: str) -> str:
    """A text without Markdown's `**`, which stays where it is a power."""
    return _EMPHASIS.sub(r"\1", text)


def without_latex(text: str) -> str:
    """A text with LaTeX's spacing, escapes and plain fractions written out; other commands stay."""
    if "\\" not in text and "{,}" not in text:
        return text
    text = _SPACING.sub("", text).replace("\\%", "%").replace("\\$", "$").replace("{,}", ",")
    text = text.replace("\\{", "{").replace("\\}", "}")
    return _PLAIN_FRACTION.sub(lambda found: f" {found[1] or found[2]}/{found[3] or found[4]} ", text).strip()


def phrase(text: str) -> str:
    """A text as compared by its words: case, blanks and closing punctuation make no difference."""
    text = " ".join(bare(plain(text)).split()).casefold().rstrip(" .,;:")
    return re.sub(r"(?<=[^\W\d_])[!?]+$", "", bare(text))
