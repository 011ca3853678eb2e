"""A text cut into passages, at its headings and blank lines; each knows its line and the headings it stands under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

CHARACTERS = 8  # a word and its space take fewer; what has longer ones, or writes no spaces, is measured by these

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r"(=+|-+|~+)[ \t]*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_LEVELS = {"=": 1, "-": 2, "~": 3}


@dataclass(frozen=True)
class Piece:
    """A piece of a text.

    Attributes:
        line: where it begins, from 1.
        heading: the headings that it stands under, outermost first, joined by " > "; empty for none.
        text: what it says.
        joint: what stands between it and the piece before.
    """

    line: int
    heading: str
    text: str
    joint: str = "\n\n"


def split(text: str, words: int) -> list[Piece]:
    """The passages of a text, in its order.

    Paragraphs under one heading go together while they have at most so many words. A longer paragraph is cut at its
    lines and sentences, and a longer sentence between words. A heading with nothing below it is no passage.

    Args:
        text: plain, or Markdown: headings are those with `#`, and those underlined with `=`, `-` or `~`. Fenced code
            is one paragraph.
        words: how long a passage may be, at least 1.
    """
    pieces = (part for paragraph in _paragraphs(text) for part in _cut(paragraph, words))
    return list(_packed(pieces, words))


def _paragraphs(text: str) -> Iterator[Piece]:
    headings: dict[int, str] = {}
    begun: list[str] = []
    start, fence = 0, ""

    def done() -> Iterator[Piece]:
        whole = "\n".join(begun).rstrip()
        if whole.strip():
            yield Piece(start, " > ".join(headings[level] for level in sorted(headings)), whole)
        begun.clear()

    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        fenced = _FENCE.match(line)
        if fence:
            fence = "" if fenced and fenced[1].startswith(fence) else fence
        elif fenced:
            fence = fenced[1]
        elif heading := _HEADING.fullmatch(line):
            yield from done()
            _enter(headings, len(heading[1]), heading[2])
            continue
        elif len(begun) == 1 and _underlines(line, begun[0]):
            title = begun.pop()
            _enter(headings, _LEVELS[line[0]], title)
            continue
        elif not line.strip():
            yield from done()
            continue
        start = start if begun else number
        begun.append(line.rstrip())
    yield from done()


def _underlines(line: str, title: str) -> bool:
    return len(line.rstrip()) >= 3 and _UNDERLINE.fullmatch(line) is not None and title.strip("-=~ ") != ""


def _enter(headings: dict[int, str], level: int, title: str) -> None:
    """Under a heading: those of its level and below it end."""
    for ended in [other for other in headings if other >= level]:
        del headings[ended]
    if title.strip():
        headings[level] = " ".join(title.split())


def _cut(paragraph: Piece, words: int) -> Iterator[Piece]:
    """A paragraph as pieces of at most so many words."""
    if _size(paragraph.text) <= words:
        yield paragraph
        return
    joint = paragraph.joint
    for offset, line in enumerate(paragraph.text.split("\n")):
        for sentence in filter(str.strip, _SENTENCE.split(line)):
            for part in [sentence] if _size(sentence) <= words else _bits(sentence, words):
                yield replace(paragraph, line=paragraph.line + offset, text=part, joint=joint)
                joint = " "
        joint = "\n"


def _bits(sentence: str, words: int) -> Iterator[str]:
    """A sentence cut between words, and a word that is too long between characters."""
    most = words * CHARACTERS
    bits = (word[at : at + most] for word in sentence.split() for at in range(0, len(word), most))
    taken: list[str] = []
    for bit in bits:
        if taken and _size(" ".join([*taken, bit])) > words:
            yield " ".join(taken)
            taken.clear()
        taken.append(bit)
    yield " ".join(taken)


def _packed(pieces: Iterable[Piece], words: int) -> Iterator[Piece]:
    """Neighbours under one heading put together while they have at most so many words."""
    held: Piece | None = None
    for piece in pieces:
        both = held and replace(held, text=held.text + piece.joint + piece.text)
        if held and both and held.heading == piece.heading and _size(both.text) <= words:
            held = both
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _size(text: str) -> int:
    """How many words a text has."""
    return max(len(text.split()), len(text) // CHARACTERS)
