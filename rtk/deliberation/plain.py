"""Text that a terminal shows and never obeys, measured in columns."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rtk._html import JOINERS, visible

LONGEST = 2000  # characters of one text that are looked at; two lines show fewer
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)


def clean(text: object) -> str:
    """A text on one line without terminal escapes; other control characters become visible."""
    one = _ESCAPES.sub("", str(text)[:LONGEST])
    return visible(" ".join(one.split()))


def columns(text: str) -> int:
    """How many columns a terminal gives a text: two for wide characters, none for combining marks."""
    return len(text) if text.isascii() else sum(map(_column, text))


@lru_cache(maxsize=4096)
def _column(character: str) -> int:
    if unicodedata.combining(character) or character in JOINERS or unicodedata.category(character) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(text: str, width: int, most: int, tail: str = "") -> list[str]:
    """A text in at most `most` lines of `width` columns, broken between words; an ellipsis ends it if more was cut.

    The tail, which is shorter than a line, stands whole behind it.
    """
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < most:
        lines.append(_line(words, width))
    room = width - columns(tail)
    if not words and columns(lines[-1]) > room and len(lines) < most:
        return [*lines, tail.strip()]
    if words or columns(lines[-1]) > room:
        lines[-1] = _shortened(lines[-1], room - 1).rstrip(" ,;:—") + "…"
    lines[-1] += tail
    return lines


def _shortened(line: str, width: int) -> str:
    """A line cut to a width, between words where there are several."""
    return line if columns(line) <= width else _line(line.split(" "), width)


def _line(words: list[str], width: int) -> str:
    """Take from the front of `words` what fits on one line; a word longer than a line is split."""
    line = ""
    while words:
        longer = f"{line} {words[0]}" if line else words[0]
        if columns(longer) <= width:
            line = longer
            words.pop(0)
        elif line:
            break
        else:
            line = _cut(words[0], width)
            words[0] = words[0][len(line) :]
            break
    return line


def _cut(text: str, width: int) -> str:
    """The beginning of a text that fits; at least one character, so that a split word grows shorter."""
    used = 0
    for index, character in enumerate(text):
        used += _column(character)
        if used > width and index:
            return text[:index]
    return text
