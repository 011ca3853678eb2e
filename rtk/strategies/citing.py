"""Citing: passages shown to a level by number, and the numbers that its answer cites."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from rtk.retrieval import Passage

CONTEXT = "context"
"""The input field in which a level is shown passages."""

MOST = 20  # numbers that one pair of brackets may hold

_CITED = re.compile(r"\[\s*(\d{1,3}(?:\s*(?:[,;]|–|-|and)\s*\d{1,3})*)\s*\]")
_SPAN = re.compile(r"(\d+)\s*[–-]\s*(\d+)")
_NUMBERED = re.compile(r"\[(\s*\d[\d\s,;–-]*)\]")
_MARK = re.compile(r"\[\[\s*##")


def shown(passages: Sequence[Passage], annotation: Any) -> str | list[str]:
    """Passages as a level is shown them: each with its number, `[1] …`; a list where the field is one.

    What a passage says is nobody's word but its own: numbers in brackets in it, which a reader could take for
    citations, are put in round ones, and what DSPy marks its fields with is broken.
    """
    texts = [f"[{number}] {_harmless(one.text)}" for number, one in enumerate(passages, 1)]
    if annotation is list or get_origin(annotation) is list:
        return texts
    return "\n\n".join(texts) if texts else "none was found"


def _harmless(text: str) -> str:
    return _MARK.sub("[ [##", _NUMBERED.sub(r"(\1)", text)).strip()


def cited(fields: Mapping[str, Any], size: int) -> tuple[list[int], list[int]]:
    """The numbers that the fields of an answer cite, in the order in which they first do: those that were shown, and
    those that were not.

    Args:
        fields: of an answer; a field `sources` or `citations` may hold plain numbers.
        size: how many passages were shown, as 1, 2, ….
    """
    found: list[int] = []
    for name in sorted(fields, key=lambda name: name == "reasoning"):  # the answer first
        if name in ("sources", "citations"):
            found += [int(one) for one in re.findall(r"\d{1,3}", str(fields[name]))]
        else:
            found += [number for one in _CITED.findall(str(fields[name])) for number in _numbers(one)]
    once = list(dict.fromkeys(found))
    return [one for one in once if 1 <= one <= size], [one for one in once if not 1 <= one <= size]


def _numbers(inside: str) -> list[int]:
    spans = {one.group(0): range(int(one.group(1)), int(one.group(2)) + 1) for one in _SPAN.finditer(inside)}
    if spans and sum(map(len, spans.values())) <= MOST:
        return [number for span in spans.values() for number in span] + [
            int(one) for one in re.findall(r"\d+", _SPAN.sub(" ", inside))
        ]
    return [int(one) for one in re.findall(r"\d+", inside)][:MOST]
