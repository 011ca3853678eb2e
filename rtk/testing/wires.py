"""How replies, errors and lists of models look on each wire. Pure: no HTTP here.

Forms: OpenAI API reference, "Create chat completion"; `docs/api.md` of ollama/ollama; for `usage="one"`, the server
of llama.cpp, which merges n completions into the first one's envelope and so reports the first one's tokens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from rtk.testing.replies import Received, Reply

Usage = Literal["sum", "one", "none"]


class Shape(Protocol):
    """One wire."""

    base: str
    """What a client appends its paths to."""

    chat: str
    """The path of the chat endpoint."""

    def asked(self, body: Mapping[str, Any]) -> Any:
        """How many completions a request asks for; not checked."""
        ...

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Whether a request asks for a stream."""
        ...

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """Whether a name is that of one of the models."""
        ...

    def listings(self, models: Sequence[str]) -> dict[str, Any]:
        """What can be got: path -> JSON."""
        ...

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A whole answer."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]:
        """The envelope of an error."""
        ...


class OpenAIShape:
    """OpenAI's chat completions."""

    base = "/v1"
    chat = "/v1/chat/completions"

    def asked(self, body: Mapping[str, Any]) -> Any:
        """OpenAI's `n`."""
        return 1 if body.get("n") is None else body["n"]

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Only where it says so."""
        return bool(body.get("stream"))

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """Names are taken as they are."""
        return name in models

    def listings(self, models: Sequence[str]) -> dict[str, Any]:
        """The list of models."""
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in models]
        return {"/v1/models": {"object": "list", "data": data}}

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A chat completion with one choice for each reply."""
        asked = bool(received.body.get("logprobs"))
        answer: dict[str, Any] = {
            "id": f"chatcmpl-{received.index}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [_choice(index, reply, asked) for index, reply in enumerate(replies)],
        }
        given = next((reply.usage for reply in replies if reply.usage is not None), None)
        counted = replies[:1] if usage == "one" else replies
        if given is not None:
            answer["usage"] = dict(given)
        elif usage != "none":
            answer["usage"] = _usage(prompt_tokens(received, replies), sum(map(completion_tokens, counted)))
        if usage == "one":  # by this its clients know llama.cpp's server
            answer["timings"] = {
                "prompt_n": prompt_tokens(received, replies),
                "predicted_n": completion_tokens(replies[0]),
            }
        return answer

    def error(self, status: int, message: str) -> dict[str, Any]:
        """OpenAI's nested error."""
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": codes.get(status)}}


def _choice(index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message |= {"tool_calls": reply.tool_calls, "content": reply.text or None}
    logprobs = {"content": reply.logprobs} if logprobs_asked and reply.logprobs is not None else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason}


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class OllamaShape:
    """Ollama's own chat endpoint; one completion a request."""

    base = ""
    chat = "/api/chat"

    def asked(self, body: Mapping[str, Any]) -> Any:
        """Ollama knows no `n`."""
        return 1

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Ollama streams unless told not to."""
        return body.get("stream", True) is not False

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """A name without a tag means `:latest`."""
        return isinstance(name, str) and _tagged(name) in map(_tagged, models)

    def listings(self, models: Sequence[str]) -> dict[str, Any]:
        """Models and version."""
        tags = [{"name": _tagged(name), "model": _tagged(name), "size": 0, "details": {}} for name in models]
        return {"/api/tags": {"models": tags}, "/api/version": {"version": "0.0.0"}}

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A chat reply from the first of the replies."""
        reply = replies[0]
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.reasoning is not None:
            message["thinking"] = reply.reasoning
        if reply.tool_calls:
            message["tool_calls"] = [_ollama_call(call) for call in reply.tool_calls]
        answer = {
            "model": model,
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "message": message,
            "done": True,
            "done_reason": reply.finish_reason,
        }
        if reply.logprobs is not None and received.body.get("logprobs"):
            answer["logprobs"] = reply.logprobs
        return answer if usage == "none" else answer | _counts(received, reply)

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Ollama's flat error."""
        return {"error": message}


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _ollama_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of OpenAI's form as Ollama sends it: the arguments are an object, not a text."""
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    return {"function": {**function, "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments}}


def _counts(received: Received, reply: Reply) -> dict[str, int]:
    """Tokens, and the durations (nanoseconds) that come with them; nothing was computed, so those are 0."""
    given = reply.usage or {}
    return {
        "total_duration": 0,
        "load_duration": 0,
        "prompt_eval_count": given.get("prompt_tokens", prompt_tokens(received, [reply])),
        "prompt_eval_duration": 0,
        "eval_count": given.get("completion_tokens", completion_tokens(reply)),
        "eval_duration": 0,
    }


def prompt_tokens(received: Received, replies: Sequence[Reply]) -> int:
    """The first count given among the replies, else the words of the prompt."""
    given = (reply.prompt_tokens for reply in replies if reply.prompt_tokens is not None)
    return next(given, len(received.prompt.split()))


def completion_tokens(reply: Reply) -> int:
    """The count given, else the words of reasoning and text."""
    if reply.completion_tokens is not None:
        return reply.completion_tokens
    return len((reply.reasoning or "").split()) + len(reply.text.split())


SHAPES: dict[str, Shape] = {"openai": OpenAIShape(), "ollama": OllamaShape()}
