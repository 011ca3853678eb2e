"""What a store holds, request by request: counted in one pass over it, not verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

Rows = Iterable[tuple[str, bytes]]
"""Row keys and values, in order of the keys."""


@dataclass(slots=True)
class Tally:
    """How much there is, of a request or of several.

    Attributes:
        requests: how many.
        samples: how many can be read; their checksums are not looked at.
        ingested: those of them that others drew.
        damaged: entries that cannot be read.
        prompt_tokens: tokens read, as counted when each sample was drawn.
        completion_tokens: tokens written, likewise.
        dollars: likewise, of the samples whose price is known.
        unpriced: samples whose price is unknown.
        drawn_at: when the last one was drawn: UTC time, ISO 8601; empty where that is unknown.
        size: bytes of all entries.
    """

    requests: int = 0
    samples: int = 0
    ingested: int = 0
    damaged: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    drawn_at: str = ""
    size: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Tally) -> None:
        """Count what another has counted, too."""
        self.requests += other.requests
        self.samples += other.samples
        self.ingested += other.ingested
        self.damaged += other.damaged
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.dollars += other.dollars
        self.unpriced += other.unpriced
        self.drawn_at = max(self.drawn_at, other.drawn_at)
        self.size += other.size


@dataclass(frozen=True, slots=True)
class Held:
    """What a store holds of one request.

    Attributes:
        key: the request's.
        model: the model string; empty where the request's own entry is missing or damaged.
        said: the text of its last message.
        tally: how much of it there is.
    """

    key: str
    model: str = ""
    said: str = ""
    tally: Tally = field(default_factory=Tally)


class _Request(msgspec.Struct):
    model: str
    messages: list[dict[str, Any]]


class _Sample(msgspec.Struct, gc=False):
    usage: tuple[int, int, float | None, float]
    drawn_at: str
    ingested: bool = False


_request, _sample = msgspec.json.Decoder(_Request).decode, msgspec.json.Decoder(_Sample).decode


def overview(requests: Rows, samples: Rows) -> Iterator[Held]:
    """One for each request, in order of their keys.

    Args:
        requests: the rows of requests.
        samples: the rows of samples; those whose request is missing count too.
    """
    asked = ((row.removeprefix("request:"), True, body) for row, body in requests)
    given = ((row.removeprefix("sample:").partition(":")[0], False, text) for row, text in samples)
    for key, entries in groupby(merge(asked, given, key=itemgetter(0)), itemgetter(0)):
        yield _held(key, entries)


def _held(key: str, entries: Iterable[tuple[str, bool, bytes]]) -> Held:
    model, said, tally = "", "", Tally(requests=1)
    for _, is_request, value in entries:
        tally.size += len(value)
        try:
            if is_request:
                request = _request(value)
                model, said = request.model, _text(request.messages)
            else:
                _count(tally, _sample(value))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            tally.damaged += 1
    return Held(key, model, said, tally)


def _count(tally: Tally, sample: _Sample) -> None:
    read, written, dollars, _ = sample.usage
    tally.samples += 1
    tally.ingested += sample.ingested
    tally.prompt_tokens += read
    tally.completion_tokens += written
    tally.dollars += dollars or 0
    tally.unpriced += dollars is None
    tally.drawn_at = max(tally.drawn_at, sample.drawn_at)


def _text(messages: list[dict[str, Any]]) -> str:
    """The text of the last message; what is no text in it is named by its kind."""
    content = messages[-1].get("content") if messages else None
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [part for part in content if isinstance(part, dict)]
    return " ".join(str(part["text"] if "text" in part else f"[{part.get('type')}]") for part in parts)
