"""What a wire is to a scripted server: paths, forms, refusals. And how replies are counted. Pure: no HTTP here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from rtk.testing.replies import Received, Reply

Usage = Literal["sum", "one", "none"]
"""How tokens are reported: those of all choices, those of the first (as llama.cpp's server does), or not at all."""

Page: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""The body of a request for a page -> its JSON; a `Reply` where it is refused; None for an empty page."""


class Shape(Protocol):
    """One wire: requests for completions at one path, and pages at others.

    Attributes:
        chat: the path where completions are asked for.
        media: the content type of a stream.
        end: the bytes that end a stream.
    """

    chat: str
    media: str
    end: bytes

    def messages(self, body: Mapping[str, Any]) -> Any:
        """The chat messages of a request; not checked."""
        ...

    def asked(self, body: Mapping[str, Any]) -> Any:
        """How many completions a request asks for; not checked."""
        ...

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Whether a request asks for a stream."""
        ...

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """Whether a name is that of one of the models."""
        ...

    def unknown(self, name: Any) -> Reply:
        """The refusal of an unknown model."""
        ...

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """The refusal of a request that such a server does not take."""
        ...

    def idle(self, body: Mapping[str, Any], model: str) -> dict[str, Any] | None:
        """The answer to a request that asks no model for anything, where such a server has one."""
        ...

    def guards(self, path: str) -> bool:
        """Whether a page asks for the key."""
        ...

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """What can be had besides completions: (method, path) -> page."""
        ...

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A whole answer."""
        ...

    def events(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> list[dict[str, Any]]:
        """The same answer as a stream."""
        ...

    def framed(self, event: Mapping[str, Any]) -> bytes:
        """One event as it is sent."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]:
        """The envelope of an error."""
        ...


def encoded(event: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8, as servers stream it; what UTF-8 cannot carry is escaped."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace")


def prompt_tokens(received: Received, replies: Sequence[Reply]) -> int:
    """The first count given among the replies, else the words of the prompt."""
    given = (reply.prompt_tokens for reply in replies if reply.prompt_tokens is not None)
    return next(given, len(received.prompt.split()))


def completion_tokens(reply: Reply) -> int:
    """The count given, else the words of reasoning and text."""
    if reply.completion_tokens is not None:
        return reply.completion_tokens
    return reasoning_tokens(reply) + len((reply.text or reply.refusal or "").split())


def reasoning_tokens(reply: Reply) -> int:
    """The words of the reasoning."""
    return len((reply.reasoning or "").split())
