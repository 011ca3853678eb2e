"""Ollama's own wire: `POST /api/chat`, with `"stream": false` unless somebody listens.

Form: `docs/api.md` of ollama/ollama, "Generate a chat completion", and `docs/modelfile.md` for the options.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.http import Pool
from rtk.models.streamed import broken, objects, well_formed
from rtk.models.tokens import counted
from rtk.models.wire import Completion, Fault, Hear, seed_of
from rtk.samples import Address, Request, readable

_AS_OPTIONS = {
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    **{
        name: name
        for name in (
            "temperature", "top_p", "top_k", "min_p", "typical_p", "stop", "num_ctx", "num_keep", "num_batch",
            "num_predict", "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty", "mirostat",
            "mirostat_eta", "mirostat_tau", "tfs_z", "num_gpu", "num_thread", "penalize_newline",
        )
    },
}  # fmt: skip
_AS_FIELDS = ("tools", "keep_alive", "think", "logprobs", "top_logprobs")
_EFFORTS = {"none": False, "low": "low", "medium": "medium", "high": "high"}


class OllamaWire:
    """One Ollama endpoint, spoken to directly; it gives one completion a request."""

    many: bool | None = False
    most: int = 1
    streams: bool = True

    def __init__(self, name: str, pool: Pool) -> None:
        self._name, self._pool = name, pool
        self._prepared: tuple[str, dict[str, Any], bytes] = ("", {}, b"")

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """See `rtk.models.wire.Streaming.complete`; always one completion, for the first address."""
        seed = seed_of(request, addresses)
        if hear is None:
            reply = await self._pool.post("/api/chat", self._body(request, seed))
        else:
            body = _encoded({**seeded(body_of(request, self._name), seed), "stream": True})
            reply = await self._pool.stream("/api/chat", body, lambda lines: assembled(objects(lines), hear))
        return await counted(request, [completion(reply)])

    def _body(self, request: Request, seed: int | None) -> bytes:
        """The payload; all but a seed is prepared once for all samples of a request."""
        if self._prepared[0] != request.key:
            body = body_of(request, self._name)
            self._prepared = (request.key, body, _encoded(body))
        _, body, encoded = self._prepared
        return encoded if seed is None else _encoded(seeded(body, seed))

    async def served(self) -> list[str]:
        """The names of the models there: those in memory first, then the smaller ones, and last those that only embed.

        Raises:
            What `Pool.get` raises.
        """
        there, running = [_cards(await self._pool.get(path)) for path in ("/api/tags", "/api/ps")]
        in_memory = {card.get("name") for card in running}
        order = lambda card: (_embeds(card), card.get("name") not in in_memory, card.get("size") or 0)  # noqa: E731
        return [str(card.get("name")) for card in sorted(there, key=order)]

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()


def _cards(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Models, as `GET /api/tags` and `GET /api/ps` list them."""
    return [card for card in page.get("models") or () if isinstance(card, dict)]


def _embeds(card: dict[str, Any]) -> bool:
    family = (card.get("details") or {}).get("family") or ""
    return "bert" in str(family).lower() or "embed" in str(card.get("name")).lower()


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def seeded(body: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """A body with a seed among its options."""
    return body if seed is None else {**body, "options": {**body["options"], "seed": seed}}


def body_of(request: Request, name: str) -> dict[str, Any]:
    """A request as Ollama's wire has it, but for its seed.

    Raises:
        UnsupportedParameter: naming every option that Ollama has no place for; it would ignore it.
    """
    options = request.options
    options.pop("seed", None)  # derived per sample
    options |= options.pop("extra_body", {})
    body: dict[str, Any] = {"model": name, "messages": _messages(request.messages), "stream": False}
    if "response_format" in options:
        body["format"] = _format(options.pop("response_format"))
    if "reasoning_effort" in options:
        options["think"] = _thinking(options.pop("reasoning_effort"), options)
    body |= {field: options.pop(field) for field in _AS_FIELDS if field in options}
    unknown = sorted(options.keys() - _AS_OPTIONS.keys())
    if unknown:
        raise UnsupportedParameter(
            f"Ollama has no place for {', '.join(unknown)}",
            mend="leave them out (how much it thinks is think=True, False, 'low', 'medium' or 'high'), "
            "or use its /v1 endpoint as openai/…",
        )
    body["options"] = {_AS_OPTIONS[option]: value for option, value in options.items()}
    return body


def _thinking(effort: Any, options: dict[str, Any]) -> Any:
    """OpenAI's `reasoning_effort` as Ollama's `think`; as its own OpenAI-compatible endpoint translates it."""
    if effort not in _EFFORTS or "think" in options:
        raise UnsupportedParameter(
            f"reasoning_effort={effort!r:.40} is none that Ollama knows, or think= says otherwise",
            mend=f"one of {', '.join(_EFFORTS)}, without think=",
        )
    return _EFFORTS[effort]


def _format(response_format: Any) -> Any:
    """OpenAI's `response_format` as Ollama's `format`: `"json"` or a JSON schema."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        return response_format["json_schema"]["schema"]
    raise UnsupportedParameter(f"Ollama cannot take response_format {response_format!r:.80}", mend="use a JSON schema")


def _messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chat messages. What a tool gave is named after the tool; OpenAI's form names the call."""
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    tools = {call["id"]: call["function"]["name"] for call in calls if call.get("id")}
    named = [
        {**message, "tool_name": tools[message["tool_call_id"]]} if message.get("tool_call_id") in tools else message
        for message in messages
    ]
    return [_message(message) for message in named]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A chat message; content parts become one text and a list of base64 images, arguments of tool calls objects."""
    if message.get("tool_calls"):
        message = {**message, "tool_calls": [_called(call) for call in message["tool_calls"]]}
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [part["text"] for part in content if part.get("type") == "text"]
    images = [part["image_url"]["url"].partition("base64,")[2] for part in content if part.get("type") == "image_url"]
    if len(texts) + len(images) != len(content) or not all(images):
        raise UnsupportedParameter("Ollama takes text and base64 images only", mend="pass images as data URLs")
    return {**message, "content": "\n".join(texts), **({"images": images} if images else {})}


def _called(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call of an earlier turn; OpenAI's form has its arguments as text."""
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    return {"function": {**function, "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments}}


def _openais(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call in OpenAI's form."""
    function = {"name": call["function"]["name"], "arguments": json.dumps(call["function"].get("arguments") or {})}
    return {**({"id": call["id"]} if call.get("id") else {}), "type": "function", "function": function}


async def assembled(stream: AsyncIterator[dict[str, Any]], hear: Hear) -> dict[str, Any]:
    """A streamed reply as it would have come in one piece; `hear` is told of its parts as they come.

    Raises:
        Fault: where it breaks off (the last chunk says that it is the last), or is of another form.
    """
    message: dict[str, Any] = {"content": ""}
    logprobs: list[Any] = []
    with well_formed():
        async for chunk in stream:
            said = chunk.get("message") or {}
            _add(message, said)
            logprobs += chunk.get("logprobs") or ()
            hear(said.get("content") or "", said.get("thinking") or "")
            if chunk.get("done"):
                return {**chunk, "message": message, "logprobs": logprobs}
    raise broken()


def _add(message: dict[str, Any], said: dict[str, Any]) -> None:
    """One chunk's part of a message."""
    for name in ("content", "thinking"):
        if said.get(name):
            message[name] = message.get(name, "") + said[name]
    if said.get("tool_calls"):
        message["tool_calls"] = [*message.get("tool_calls", ()), *said["tool_calls"]]


def completion(reply: dict[str, Any]) -> Completion:
    """The completion in a reply.

    Raises:
        Fault: where it is no chat reply.
    """
    message = reply.get("message")
    if not isinstance(message, dict) or not reply.get("done", True):
        raise Fault("malformed", "the reply is no chat completion", retryable=True)
    try:
        return _completion(reply, message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fault("malformed", f"the reply is no chat completion ({error!r})", retryable=True) from None


def _completion(reply: dict[str, Any], message: dict[str, Any]) -> Completion:
    calls = [_openais(call) for call in message.get("tool_calls") or ()]
    return Completion(
        text=readable(message.get("content") or ""),
        reasoning=readable(message["thinking"]) if message.get("thinking") else None,
        finish_reason="tool_calls" if calls else reply.get("done_reason"),
        logprobs={"content": reply["logprobs"]} if reply.get("logprobs") else None,
        tool_calls=calls or None,
        prompt_tokens=int(reply.get("prompt_eval_count") or 0),
        completion_tokens=int(reply.get("eval_count") or 0),
        served_model=reply.get("model"),
    )
