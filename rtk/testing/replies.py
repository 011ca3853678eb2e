"""What a scripted server is told to answer, and what it was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal, TypeAlias

from rtk.errors import ModelError


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion, or one way to fail.

    Attributes:
        text: the completion; for a status of 400 and above, the error's message.
        status: HTTP status.
        finish_reason: as sent; nothing else (`max_tokens`, say) changes it.
        reasoning: reasoning text, apart from the answer.
        refusal: what the model says instead of an answer, apart from it; on Ollama's wire, which has no place for it,
            it is the text.
        logprobs: a list of token log-probabilities in OpenAI's form, sent only where the request asks for them; a
            stream sends a token a chunk where the tokens are the text.
        tool_calls: in OpenAI's form.
        delay: seconds before this reply, in place of the server's latency; `math.inf` hangs until the client leaves.
        cut: True breaks the connection in the middle of the body or stream, `"start"` resets it before the first byte.
        failure: the message of an error that ends the reply: after half of a stream, else with status 500.
        headers: more HTTP headers, such as `{"Retry-After": "1"}`.
        prompt_tokens: in place of the number of words of the prompt.
        completion_tokens: in place of the number of words of reasoning and text.
        usage: OpenAI's `usage` object, as sent, in place of any count; Ollama's wire takes its two counts from it.
        body: raw bytes in place of the wire's JSON.
    """

    text: str = ""
    status: int = 200
    finish_reason: str | None = "stop"
    reasoning: str | None = None
    refusal: str | None = None
    logprobs: list[Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    delay: float | None = None
    cut: bool | Literal["start"] = False
    failure: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usage: Mapping[str, Any] | None = None
    body: bytes | None = None

    @property
    def whole(self) -> bool:
        """Whether it can be one choice among several: no error, no raw body, no broken connection."""
        return self.status == 200 and self.body is None and not self.cut and self.failure is None


@dataclass(frozen=True, slots=True)
class Unanswered(Reply):
    """What a script answers where it has no reply: 400 and not 500, since asking again would only hide its mistake."""

    status: int = 400


@dataclass(frozen=True)
class Received:
    """One chat request, as it arrived.

    Attributes:
        index: requests that arrived before it, since the start or the last reset.
        occurrence: those of them whose body was the same, up to the order of its keys.
        path: of the URL.
        headers: HTTP headers, names in lower case; not shown in the repr, which could print a key.
        body: the JSON object; empty where it was none.
        messages: the chat messages.
        n: completions asked for.
        choice: which of them a script is asked for now.
    """

    index: int
    occurrence: int
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    messages: list[dict[str, Any]]
    n: int = 1
    choice: int = 0

    @cached_property
    def prompt(self) -> str:
        """The text of all messages, one after the other."""
        return "\n".join(_text(message) for message in self.messages)

    @property
    def last(self) -> str:
        """The text of the last message."""
        return _text(self.messages[-1]) if self.messages else ""


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


Answering: TypeAlias = Callable[[Received, int], list[Reply]]
"""A request and how many choices it gets -> their replies; fewer where the script has no more, never none."""


class Wrapper(ABC):
    """A script around another script."""

    @abstractmethod
    def answering(self) -> Answering:
        """Start from the beginning."""


Script: TypeAlias = str | Reply | Mapping[str, Any] | Iterable[str | Reply] | Callable[[Received], Any] | Wrapper
"""What to answer: see `rtk.testing.ScriptedServer`."""


def answering(script: Any) -> Answering:
    """A script, from its beginning, as one function.

    Raises:
        ModelError: for what is no script.
    """
    if isinstance(script, Wrapper):
        return script.answering()
    if isinstance(script, (str, Reply)):
        return lambda received, count: [as_reply(script)] * count
    if isinstance(script, Mapping):
        return _by_prompt({key: answering(value) for key, value in script.items()})
    if callable(script):
        return lambda received, count: _computed(script, received, count)
    if isinstance(script, Iterable):
        return _in_order(script)
    raise ModelError(
        f"{script!r:.80} is no script", mend="give a text, a list, a dict, a function or rtk.testing.faults"
    )


def as_reply(value: Any) -> Reply:
    """A text as a reply.

    Raises:
        ModelError: for anything else than a text or a reply.
    """
    if isinstance(value, str):
        return Reply(value)
    if isinstance(value, Reply):
        return value
    raise ModelError(f"a script answered {value!r:.80}", mend="a reply is a text or an rtk.testing.Reply")


def _in_order(script: Iterable[Any]) -> Answering:
    left = iter(script)

    def answer(received: Received, count: int) -> list[Reply]:
        return [as_reply(value) for value in islice(left, count)] or [Unanswered("the script is at its end")]

    return answer


def _by_prompt(scripts: dict[str, Answering]) -> Answering:
    named = {key: script for key, script in scripts.items() if key}

    def answer(received: Received, count: int) -> list[Reply]:
        # the last message first: few-shot examples before it may hold other questions of the same script
        for text in (received.last, received.prompt):
            for key, script in named.items():
                if key in text:
                    return script(received, count)
        if "" in scripts:
            return scripts[""](received, count)
        return [Unanswered(f"no key of the script is in the prompt: {received.last[-200:]!r}")]

    return answer


def _computed(script: Callable[[Received], Any], received: Received, count: int) -> list[Reply]:
    """A function is asked choice by choice; a list from it answers all choices at once."""
    replies: list[Reply] = []
    for choice in range(count):
        value = script(replace(received, choice=choice))
        if isinstance(value, (list, tuple)):
            return [*replies, *(as_reply(one) for one in value)][:count] or [_NONE]
        replies.append(as_reply(value))
    return replies


_NONE = Unanswered("the script answered with an empty list")
