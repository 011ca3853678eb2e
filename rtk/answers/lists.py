"""The items of a written list."""

from __future__ import annotations

import re

from rtk.answers.writing import balanced

PAIRS = ("[]", "()", "{}")
_OPENING, _CLOSING = "[({", "])}"
_LAST = re.compile(r"^(?:and|or)\s+", re.IGNORECASE)


def unbracketed(text: str) -> tuple[str, str]:
    """The brackets around a whole text (`"[]"`, `"()"`, `"{}"`, or `""`), and what they enclose."""
    for pair in PAIRS:
        if len(text) > 1 and text[0] == pair[0] and text[-1] == pair[1] and balanced(text[1:-1], pair):
            return pair, text[1:-1]
    return "", text


def split_items(text: str, separators: str = ",") -> list[str]:
    """A text cut at its separators outside brackets and double quotes; blanks and a last, empty item dropped."""
    items, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character in separators and depth <= 0:
            items.append(text[start:index].strip())
            start = index + 1
    last = text[start:].strip()
    return [*items, last] if last else items


def split_loosely(text: str) -> list[str]:
    """The items of a text known to be a list: `[2, 4]`, `2; 4`, `2, 3 and 4`, `2 4`."""
    _, text = unbracketed(text)
    items = split_items(text, ",;\n")
    if len(items) == 1:
        items = re.split(r"\s+(?:and|or)\s+", items[0], flags=re.IGNORECASE)
    elif items:
        *rest, last = items
        items = [*rest, *re.split(r"\s+(?:and|or)\s+", _LAST.sub("", last), flags=re.IGNORECASE)]
    return items[0].split() if len(items) == 1 and unbracketed(items[0])[0] == "" else items
