"""Ollama's own wire: `POST /api/chat` with `"stream": false`.

Form: `docs/api.md` of ollama/ollama, "Generate a chat completion", and `docs/modelfile.md` for the options.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.http import Pool
from rtk.models.wire import Completion, Fault, seed_of
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


class OllamaWire:
    """One Ollama endpoint, spoken to directly; it gives one completion a request."""

    many: bool | None = False
    most: int = 1

    def __init__(self, name: str, pool: Pool) -> None:
        self._name, self._pool = name, pool

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`; always one completion, for the first address."""
        body, seed = body_of(request, self._name), seed_of(request, addresses)
        if seed is not None:
            body["options"]["seed"] = seed
        return [completion(await self._pool.post("/api/chat", json.dumps(body, ensure_ascii=False).encode()))]

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()


def body_of(request: Request, name: str) -> dict[str, Any]:
    """A request as Ollama's wire has it.

    Raises:
        UnsupportedParameter: naming every option that Ollama has no place for.
    """
    options = request.options
    options.pop("seed", None)  # derived per sample
    options |= options.pop("extra_body", {})
    body: dict[str, Any] = {"model": name, "messages": [_message(m) for m in request.messages], "stream": False}
    if "response_format" in options:
        body["format"] = _format(options.pop("response_format"))
    body |= {field: options.pop(field) for field in _AS_FIELDS if field in options}
    unknown = sorted(options.keys() - _AS_OPTIONS.keys())
    if unknown:
        raise UnsupportedParameter(
            f"Ollama has no place for {', '.join(unknown)}", mend="leave them out, or use its /v1 endpoint as openai/…"
        )
    body["options"] = {_AS_OPTIONS[option]: value for option, value in options.items()}
    return body


def _format(response_format: Any) -> Any:
    """OpenAI's `response_format` as Ollama's `format`: `"json"` or a JSON schema."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object":
        return "json"
    if kind == "json_schema":
        return response_format["json_schema"]["schema"]
    raise UnsupportedParameter(f"Ollama cannot take response_format {response_format!r:.80}", mend="use a JSON schema")


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
    calls = [
        {"type": "function", "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in message.get("tool_calls") or ()
    ]
    prompt = int(reply.get("prompt_eval_count") or 0)
    return Completion(
        text=readable(message.get("content") or ""),
        reasoning=readable(message["thinking"]) if message.get("thinking") else None,
        finish_reason="tool_calls" if calls else reply.get("done_reason"),
        logprobs={"content": reply["logprobs"]} if reply.get("logprobs") else None,
        tool_calls=calls or None,
        prompt_tokens=prompt,
        billed_prompt_tokens=prompt,
        completion_tokens=int(reply.get("eval_count") or 0),
        served_model=reply.get("model"),
    )
