"""The answer in a model's free text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Literal

from rtk.answers.writing import unemphasised
from rtk.errors import AnswerError

How = Literal["auto", "last_line", "boxed", "field"]
MOST_BOXES = 50  # tried from the last one back, for texts that repeat an unclosed one
NOT_ANSWERS = frozenset({"completed", "reasoning", "rationale", "thoughts"})
"""Names of fields that lead to an answer and hold none."""


_THINKING = re.compile(r"<(think|thinking)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_HEADER = re.compile(r"^[ \t]*\[\[ ## (\w+) ## \]\][ \t]*", re.MULTILINE)
_TAG = re.compile(r"<answer>([^<]*)(?:</answer>|\Z)", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:^[ \t#>*_-]*|\b(?:final|correct|the)[ \t]+)answer[ \t]*[*_]*[ \t]*[:=][ \t]*[*_]*", re.I | re.M
)
_IS = re.compile(r"\banswer[ \t]+(?:is|equals|must be|should be)(?:[ \t]+(?:therefore|thus|that))?[ \t]*:?[ \t]*", re.I)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S[^\n]*)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[^\s.])[.!?](?=\s|$)|\n")
_BOX = re.compile(r"\\f?boxed\s*(\{|[^\s{}\\$.,;]+)")


def answer_fields(names: Iterable[str]) -> list[str]:
    """Those of some fields that hold answers; all of them where none does."""
    given = list(names)
    return [name for name in given if name not in NOT_ANSWERS] or given


def extract(text: str, how: How = "auto") -> str | None:
    """The answer in a model's text, as written there; None where there is none.

    What a model writes between `<think>` and `</think>` is left out, also where it never closed the tag.

    Args:
        text: a whole completion.
        how: where to look. `"boxed"`: the last `\\boxed{…}`. `"field"`: the last `[[ ## name ## ]]` that is not
            reasoning, else `<answer>`, a JSON object's `answer`, the last `Answer: …`, `The answer is ….` or `#### …`.
            `"last_line"`: the last line with anything in it. `"auto"`: these three, in this order.

    Raises:
        AnswerError: an unknown `how`.
    """
    if how not in _WAYS:
        raise AnswerError(f"how={how!r} is unknown", mend=f"one of {', '.join(_WAYS)}")
    said = _THINKING.sub("\n", text).strip()
    for way in _WAYS[how]:
        found = way(said)
        if found:
            return found
    return None


def _boxed(text: str) -> str | None:
    """The content of the last box that closes."""
    for found in reversed(list(_BOX.finditer(text))[-MOST_BOXES:]):
        if found[1] != "{":
            return found[1]
        end = _closing(text, found.end())
        if end is not None:
            return text[found.end() : end].strip()
    return None


def _closing(text: str, start: int) -> int | None:
    """Where the brace that was opened before `start` closes."""
    depth = 1
    for index in range(start, len(text)):
        if text[index] in "{}" and text[index - 1] != "\\":
            depth += 1 if text[index] == "{" else -1
        if not depth:
            return index
    return None


def _field(text: str) -> str | None:
    ways = (_dspy_field, _tagged, _json_field, _labelled)
    return next((found for way in ways if (found := way(text))), None)


def _dspy_field(text: str) -> str | None:
    """The last field in DSPy's chat format."""
    headers = list(_HEADER.finditer(text))
    ends = [*(header.start() for header in headers[1:]), len(text)]
    fields = [
        text[header.end() : end].strip()
        for header, end in zip(headers, ends, strict=False)
        if header[1].casefold() not in NOT_ANSWERS
    ]
    return fields[-1] if fields else None


def _tagged(text: str) -> str | None:
    found = _TAG.findall(text)
    return found[-1].strip() if found else None


def _json_field(text: str) -> str | None:
    """The `answer` of a text that is one JSON object, else its last value that is not reasoning."""
    start, end = text.find("{"), text.rfind("}")
    if text[:start].strip("` \njson") or start < 0 or text[end + 1 :].strip("` \n"):
        return None
    try:
        fields = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    names = [name for name in fields if name not in NOT_ANSWERS]
    if not names:
        return None
    value = fields.get("answer", fields[names[-1]])
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _labelled(text: str) -> str | None:
    """What the last announcement of an answer announces."""
    text = unemphasised(text)
    places = [(found.end(), True) for found in _LABEL.finditer(text)]
    places += [(found.end(), False) for found in _IS.finditer(text)]
    places += [(found.start(1), True) for found in _HASHES.finditer(text)]
    for start, whole_line in sorted(places, reverse=True):
        rest = text[start:].lstrip()
        line = rest.partition("\n")[0] if whole_line else _SENTENCE_END.split(rest, maxsplit=1)[0]
        if found := _clean(line):
            return found
    return None


def _last_line(text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip("`*_# \t-")]
    return _clean(unemphasised(lines[-1])) if lines else None


def _clean(line: str) -> str:
    """A line without Markdown at its edges and without its full stop."""
    line = re.sub(r"^(?:#+\s+|>\s+|[*-]\s+)+", "", line.strip())
    return re.sub(r"(?<=[^.])\.$", "", line.strip("`").strip()).strip()


_WAYS = {
    "auto": (_boxed, _field, _last_line),
    "last_line": (_last_line,),
    "boxed": (_boxed,),
    "field": (_field,),
}
