"""A stream that LiteLLM carries, read as rtk reads its own.

Where rtk knows the wire, it reads what the server sends, below LiteLLM's translation, which takes apart what the model
wrote (`<think>`) and puts in what the server did not say. A hosted provider's stream is read as LiteLLM gives it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

from rtk.models import ollama_wire, openai_wire
from rtk.models.streamed import assembled, broken, chunks, events, objects
from rtk.models.wire import Completion, Fault, Hear

ASKED = {"stream": True, "stream_options": {"include_usage": True}}
"""What LiteLLM is told for it."""


class Broken(Exception):
    """Whatever LiteLLM, or what it stands on, raised in the middle of a stream; that is its cause."""


async def completions(reply: Any, wire: Literal["openai", "ollama"] | None, hear: Hear) -> list[Completion]:
    """The one completion of a stream.

    Args:
        reply: LiteLLM's stream.
        wire: the server's, where rtk knows it.
        hear: told of its parts as they come.

    Raises:
        Fault: where it breaks off, or is no chat completion.
        Broken: where something below fails.
    """
    try:
        if wire == "ollama":
            return [ollama_wire.completion(await ollama_wire.assembled(objects(_lines(reply)), hear))]
        if wire == "openai":
            return openai_wire.completions(assembled(await chunks(_told(reply), hear)))
        whole = assembled(await chunks(_translated(reply), hear))
        return openai_wire.completions(whole if _counted(reply) else _uncounted(whole))
    except Fault:
        raise
    except Exception as error:
        raise Broken(str(error)) from error
    finally:
        await reply.aclose()


async def _lines(reply: Any) -> AsyncIterator[bytes]:
    """The server's own lines."""
    async for line in reply.completion_stream.streaming_response:
        yield line if isinstance(line, bytes) else line.encode()


def _told(reply: Any) -> AsyncIterator[dict[str, Any]]:
    """The server's own chunks; OpenAI's client has parsed them already."""
    parsed = not hasattr(reply.completion_stream, "streaming_response")
    return _plain(reply.completion_stream) if parsed else events(_lines(reply))


async def _plain(stream: AsyncIterator[Any]) -> AsyncIterator[dict[str, Any]]:
    async for chunk in stream:
        yield chunk.model_dump(exclude_unset=True)


async def _translated(reply: Any) -> AsyncIterator[dict[str, Any]]:
    async for chunk in reply:
        yield chunk.model_dump()


def _counted(reply: Any) -> bool:
    """Whether the provider itself reported tokens; else LiteLLM counts them, and does not say so."""
    return any(getattr(chunk, "usage", None) for chunk in reply.chunks)


def _uncounted(whole: dict[str, Any]) -> dict[str, Any]:
    """Without what LiteLLM counted. Of a stream without anything in it, it makes an empty completion."""
    if not any(choice["message"] != {"content": ""} for choice in whole["choices"]):
        raise broken()
    for told in (whole, *whole["choices"]):
        told.pop("usage", None)
    return whole
