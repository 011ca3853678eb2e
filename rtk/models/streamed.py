"""A streamed chat completion put together again, each choice with the tokens and the seconds of its own.

llama.cpp's server reports, for n choices in one reply, the tokens of one of them. Streamed, it ends every choice with
a report on that choice: a chunk without choices follows the chunk that holds its `finish_reason`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import Any

from rtk.models.wire import Fault

Chunk = tuple[float, dict[str, Any]]
"""Seconds since sending, and the chunk."""

_PREFIX, _DONE = b"data: ", b"[DONE]"


async def chunks(lines: AsyncIterator[bytes]) -> list[Chunk]:
    """The chunks of a stream of server-sent events (WHATWG HTML, "Server-sent events"), to its end.

    Raises:
        Fault: where the stream holds an error, something unreadable, or no end.
    """
    started, found = perf_counter(), []
    async for line in lines:
        data = line.strip().removeprefix(_PREFIX)
        if not line.startswith(_PREFIX):
            continue
        if data == _DONE:
            return found
        found.append((perf_counter() - started, _parsed(data)))
    raise Fault("truncated", "the stream broke off", retryable=True)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        chunk = None
    if not isinstance(chunk, dict):
        raise Fault("truncated", f"the stream holds {data[:80]!r}", retryable=True)
    if "error" in chunk:
        raise Fault("stream", str(chunk["error"])[:300], retryable=True)
    return chunk


def assembled(stream: Iterable[Chunk]) -> dict[str, Any]:
    """A reply as it would have come in one piece, every choice with its own `usage` and `seconds`."""
    reply: dict[str, Any] = {"choices": []}
    choices: dict[int, dict[str, Any]] = {}
    ended: dict[str, Any] = {}
    for seconds, chunk in stream:
        reply["model"] = chunk.get("model")
        for delta in chunk.get("choices") or ():
            choice = choices.setdefault(delta["index"], _fresh(delta["index"]))
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
    for name in ("content", "reasoning_content"):
        if said.get(name):
            message[name] = message.get(name, "") + said[name]
    if tokens := (delta.get("logprobs") or {}).get("content"):
        choice["logprobs"] = choice["logprobs"] or {"content": []}
        choice["logprobs"]["content"] += tokens
    choice["finish_reason"] = delta.get("finish_reason") or choice["finish_reason"]
