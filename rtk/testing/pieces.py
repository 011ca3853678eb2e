"""Replies cut into what the chunks of a stream carry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtk.testing.replies import Reply

_PART = re.compile(r"\s*\S{1,8}|\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk carries of a choice.

    Attributes:
        kind: what `text` is a part of: the answer, the reasoning, a refusal, or a tool call's arguments.
        call: the tool call, where the piece begins one.
        place: of the tool call among its choice's.
        logprobs: those of the chunk's tokens.
    """

    kind: Literal["text", "reasoning", "refusal", "call"]
    text: str = ""
    call: Mapping[str, Any] | None = None
    place: int = 0
    logprobs: list[Any] | None = None


def pieces(reply: Reply) -> list[Piece]:
    """A reply, piece by piece: reasoning, text, refusal, tool calls; joined again, they are the reply."""
    found = [Piece("reasoning", part) for part in _PART.findall(reply.reasoning or "")]
    found += _of_text(reply)
    found += [Piece("refusal", part) for part in _PART.findall(reply.refusal or "")]
    for place, call in enumerate(reply.tool_calls or ()):
        written = str(call["function"].get("arguments") or "")
        half = len(written) // 2
        found.append(Piece("call", call=call, place=place))
        found += [Piece("call", part, place=place) for part in (written[:half], written[half:]) if part]
    return found


def _of_text(reply: Reply) -> list[Piece]:
    """The text, token by token where the log-probabilities name its tokens; else all of them come with the first."""
    tokens = reply.logprobs or []
    names = [str(one.get("token")) if isinstance(one, Mapping) else "" for one in tokens]
    if tokens and "".join(names) == reply.text:
        return [Piece("text", name, logprobs=[one]) for name, one in zip(names, tokens, strict=True)]
    parts = _PART.findall(reply.text)
    return [Piece("text", part, logprobs=list(tokens) if tokens and not n else None) for n, part in enumerate(parts)]


def interleaved(choices: Sequence[Sequence[Piece]]) -> Iterator[tuple[int, Piece | None]]:
    """The pieces of all choices in turn, each with its choice's place; None where a choice is at its end."""
    for place in range(1 + max(map(len, choices), default=0)):
        for index, own in enumerate(choices):
            if place <= len(own):
                yield index, own[place] if place < len(own) else None
