"""Streamed replies put together again, as they would have come in one piece.

llama.cpp's server reports, for n choices in one reply, the tokens of one of them. Streamed, it ends every choice with
a report on that choice: a chunk without choices follows the chunk that holds its `finish_reason`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rtk.models.wire import Fault, Hear

Chunk = tuple[float, dict[str, Any]]
"""Seconds since sending, and the chunk."""

END: dict[str, Any] = {"choices": []}
"""The chunk that stands for the word by which a server ends a stream."""

_PREFIX, _DONE = b"data:", b"[DONE]"
_REASONING = ("reasoning_content", "reasoning")  # vLLM's name since 0.10 is the second


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines in the pieces of a body, however long they are, without their ends; what follows the last one too."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


async def events(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The chunks in server-sent events (WHATWG HTML, "Server-sent events"), each on a line; `END` where it says so.

    Raises:
        Fault: where the stream holds an error, or something unreadable.
    """
    async for line in lines:
        if not line.startswith(_PREFIX):
            continue
        data = line.removeprefix(_PREFIX).strip()
        if data == _DONE:
            yield END
            return
        yield parsed(data)


async def objects(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The chunks in a stream of JSON objects, each on a line; raises what `events` raises."""
    async for line in lines:
        if line.strip():
            yield parsed(line)


async def chunks(stream: AsyncIterator[dict[str, Any]], hear: Hear | None = None) -> list[Chunk]:
    """All chunks of a stream; `hear` is told of the parts of the one choice as they come.

    Raises:
        Fault: where it breaks off, without the word that ends it and before every choice has ended; or where it is of
            another form.
    """
    started, found, ended = perf_counter(), list[Chunk](), dict[int, bool]()
    with well_formed():
        async for chunk in stream:
            found.append((perf_counter() - started, chunk))
            for choice in chunk.get("choices") or ():
                place = choice.get("index") or 0
                ended[place] = ended.get(place, False) or bool(choice.get("finish_reason"))
                if hear is not None:
                    hear(*_words(choice))
    whole = ended and all(ended.values())  # not every server says that it has no more to say
    if not whole and (not found or found[-1][1] is not END):
        raise broken()
    return found


def _words(choice: dict[str, Any]) -> tuple[str, str]:
    """The text and the reasoning that a chunk adds."""
    said = choice.get("delta") or {}
    reasoning = next((said[name] for name in _REASONING if said.get(name)), "")
    return said.get("content") or said.get("refusal") or "", reasoning


@contextmanager
def well_formed() -> Iterator[None]:
    """What cannot be read inside is no chat completion.

    Raises:
        Fault: for that.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise Fault("malformed", f"the stream is no chat completion ({error!r})", retryable=True) from None


def broken() -> Fault:
    """What a stream without an end is."""
    return Fault("truncated", "the stream broke off", retryable=True, lost=True)


def parsed(data: bytes) -> dict[str, Any]:
    """A chunk.

    Raises:
        Fault: where it is none, or says that there will be no more.
    """
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        chunk = None
    if not isinstance(chunk, dict):
        words = data[:80].decode("utf-8", "replace")
        raise Fault("truncated", f"the stream holds {words!r}", retryable=True, lost=True)
    if "error" in chunk:
        raise Fault("stream", str(chunk["error"])[:300], retryable=True, lost=True)
    return chunk


@well_formed()
def assembled(stream: Iterable[Chunk]) -> dict[str, Any]:
    """A chat completion of OpenAI's form as it would have come in one piece, each choice with its own `seconds`; and
    with its own `usage`, where the stream reports it so.

    Raises:
        Fault: where it is of another form.
    """
    reply: dict[str, Any] = {"choices": []}
    choices: dict[int, dict[str, Any]] = {}
    ended: dict[str, Any] = {}
    for seconds, chunk in stream:
        reply["model"] = chunk.get("model") or reply.get("model")
        for delta in chunk.get("choices") or ():
            place = delta.get("index") or 0
            choice = choices.setdefault(place, _fresh(place))
            _add(choice, delta)
            if delta.get("finish_reason"):
                choice["seconds"], ended = seconds, choice
        if chunk.get("usage"):
            reply["usage"] = ended["usage"] = chunk["usage"]
    reply["choices"] = [choices[index] for index in sorted(choices)]
    return reply


def _fresh(index: int) -> dict[str, Any]:
    return {"index": index, "message": {"content": ""}, "finish_reason": None, "logprobs": None}


def _add(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    """One chunk's part of a choice."""
    message, said = choice["message"], delta.get("delta") or {}
    for name in ("content", "refusal", *_REASONING):
        if said.get(name):
            message[name] = (message.get(name) or "") + said[name]
    for call in said.get("tool_calls") or ():
        _call(message.setdefault("tool_calls", []), call)
    if told := delta.get("logprobs"):
        choice["logprobs"] = choice["logprobs"] or {}
        _lengthen(choice["logprobs"], told)
    choice["finish_reason"] = delta.get("finish_reason") or choice["finish_reason"]


def _lengthen(known: dict[str, Any], told: dict[str, Any]) -> None:
    """Add the log-probabilities of one more chunk."""
    for name, tokens in told.items():
        if tokens and known.get(name):
            known[name] += tokens
        else:
            known[name] = known.get(name) or (tokens and [*tokens])


def _call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """A part of a tool call: the first one names it, those that follow go on with its arguments."""
    place = part.get("index")
    known = next((call for call in calls if place is not None and call["index"] == place), None)
    if known is None:
        calls.append({**part, "index": len(calls) if place is None else place, "function": {**part["function"]}})
        return
    function = known["function"]
    function["arguments"] = (function.get("arguments") or "") + (part["function"].get("arguments") or "")
