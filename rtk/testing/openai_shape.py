"""OpenAI's chat completions, which the shapes of other servers build on.

Forms: OpenAI API reference, "Create chat completion", "The chat completion object", "The chat completion chunk object"
and "Error codes"; a test holds them against the types of its client (openai 3.57).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rtk.testing.pieces import Piece, interleaved, pieces
from rtk.testing.replies import Received, Reply
from rtk.testing.shape import Page, Usage, completion_tokens, encoded, prompt_tokens, reasoning_tokens


class OpenAIShape:
    """OpenAI's own, and that of servers that add nothing to it."""

    chat = "/v1/chat/completions"
    media = "text/event-stream"
    end = b"data: [DONE]\n\n"
    owner = "script"

    # --- what is asked ---

    def messages(self, body: Mapping[str, Any]) -> Any:
        """As they are."""
        return body.get("messages")

    def asked(self, body: Mapping[str, Any]) -> Any:
        """OpenAI's `n`."""
        return 1 if body.get("n") is None else body["n"]

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Only where it says so."""
        return bool(body.get("stream"))

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """Names are taken as they are."""
        return name in models

    def unknown(self, name: Any) -> Reply:
        """Status 404."""
        return Reply(f"model {name!r:.200} not found", status=404)

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """A request without messages, or with an `n` that is no count."""
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            return Reply("the request is no JSON object with messages", status=400)
        n = self.asked(body)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            return Reply(f"n is {n!r:.40}, not a whole number above 0", status=400)
        return None

    def idle(self, body: Mapping[str, Any], model: str) -> dict[str, Any] | None:
        """There is no such request."""
        return None

    # --- pages ---

    def guards(self, path: str) -> bool:
        """All of them."""
        return True

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """The list of models."""
        listed = {"object": "list", "data": [self._card(name) for name in models]}
        return {("GET", "/v1/models"): lambda body: listed}

    def _card(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": self.owner}

    # --- a whole answer ---

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A chat completion with one choice for each reply."""
        asked = bool(received.body.get("logprobs"))
        answer = self._head(received, model, "chat.completion")
        answer["choices"] = [self._choice(index, reply, asked) for index, reply in enumerate(replies)]
        answer |= self._counts(received, replies[:1] if usage == "one" else replies, usage)
        return answer

    def _head(self, received: Received, model: str, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{received.index}", "object": kind, "created": int(time.time()), "model": model}

    def _choice(self, index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
        logprobs = {"content": reply.logprobs} if logprobs_asked and reply.logprobs is not None else None
        choice = {"index": index, "message": self._message(reply), "logprobs": logprobs}
        return {**choice, "finish_reason": reply.finish_reason}

    def _message(self, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.refusal is not None:
            message |= {"content": reply.text or None, "refusal": reply.refusal}
        if reply.reasoning is not None:
            message["reasoning_content"] = reply.reasoning
        if reply.tool_calls:
            message |= {"tool_calls": reply.tool_calls, "content": reply.text or None}
        return message

    def _counts(self, received: Received, counted: Sequence[Reply], usage: Usage) -> dict[str, Any]:
        """The report on some replies; with `timings`, by which its clients know llama.cpp's server."""
        given = next((reply.usage for reply in counted if reply.usage is not None), None)
        prompt, written = prompt_tokens(received, counted), sum(map(completion_tokens, counted))
        told: dict[str, Any] = {}
        if given is not None:
            told["usage"] = dict(given)
        elif usage != "none":
            told["usage"] = self._usage(prompt, written, sum(map(reasoning_tokens, counted)))
        if usage == "one":
            told["timings"] = {"prompt_n": prompt, "predicted_n": written}
        return told

    def _usage(self, prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return counts | ({"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {})

    # --- a stream ---

    def events(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> list[dict[str, Any]]:
        """Chunks: each choice's role, its pieces in turn with those of others, its end; then the usage, if asked."""
        head, told = self._head(received, model, "chat.completion.chunk"), self._tells_usage(received.body)
        open_head = head | self._untold(told)
        found = [{**open_head, "choices": [self._begun(index)]} for index in range(len(replies))]
        for index, piece in interleaved([pieces(reply) for reply in replies]):
            if piece is not None:
                logprobs = piece.logprobs if received.body.get("logprobs") else None
                found.append({**open_head, "choices": [self._part(index, self._delta(piece), logprobs)]})
                continue
            found.append({**open_head, "choices": [self._ended(index, replies[index])]})
            if usage == "one":
                found[-1:] = self._reported(found[-1], self._counts(received, [replies[index]], "one"), told)
        counts = self._counts(received, replies, usage) if told and usage != "one" else {}
        return [*found, {**head, "choices": [], **counts}] if counts else found

    def _reported(self, last: dict[str, Any], counts: dict[str, Any], told: bool) -> list[dict[str, Any]]:
        """The end of a choice on llama.cpp's server: a chunk of its own usage follows; unasked, timings are in it."""
        return [last, {**last, "choices": [], **counts}] if told else [{**last, "timings": counts["timings"]}]

    def _tells_usage(self, body: Mapping[str, Any]) -> bool:
        return bool((body.get("stream_options") or {}).get("include_usage"))

    def _untold(self, told: bool) -> dict[str, Any]:
        """A usage that is to come is null until then."""
        return {"usage": None} if told else {}

    def _begun(self, index: int) -> dict[str, Any]:
        return self._part(index, {"role": "assistant", "content": ""})

    def _delta(self, piece: Piece) -> dict[str, Any]:
        names = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}
        if piece.kind != "call":
            return {names[piece.kind]: piece.text}
        if piece.call is None:
            return {"tool_calls": [{"index": piece.place, "function": {"arguments": piece.text}}]}
        function = {**piece.call["function"], "arguments": ""}
        return {"tool_calls": [{"index": piece.place, "type": "function", **piece.call, "function": function}]}

    def _part(self, index: int, delta: dict[str, Any], logprobs: list[Any] | None = None) -> dict[str, Any]:
        told = None if logprobs is None else {"content": logprobs}
        return {"index": index, "delta": delta, "logprobs": told, "finish_reason": None}

    def _ended(self, index: int, reply: Reply) -> dict[str, Any]:
        return {**self._part(index, {}), "finish_reason": reply.finish_reason}

    def framed(self, event: Mapping[str, Any]) -> bytes:
        """A server-sent event."""
        return b"data: " + encoded(event) + b"\n\n"

    # --- errors ---

    def error(self, status: int, message: str) -> dict[str, Any]:
        """OpenAI's nested error."""
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": codes.get(status)}}
