"""Ollama's own wire, and its OpenAI-compatible one.

Forms, of ollama/ollama: `docs/api.md` at 01e52d24 ("Generate a chat completion", "Generate a completion", "List Local
Models", "Show Model Information", "List Running Models"); `docs/openapi.yaml` at 017eb8ae (`ChatRequest`,
`ChatResponse`, `ChatStreamEvent`, `Logprob`, `ShowResponse`); `docs/api/errors.mdx` at 36bc90b8; for `/v1`,
`docs/api/openai-compatibility.mdx` and `openai/openai.go` at 00988753 (`ToChatCompletion`, `ToChunk`, `NewError`). A
test holds them against the types of its client (ollama 0.6). Counts and durations of 0 are left out, as Go does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pydantic

from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.pieces import Piece, pieces
from rtk.testing.replies import Received, Reply
from rtk.testing.shape import Page, Usage, completion_tokens, encoded, prompt_tokens

_NANOSECONDS_A_TOKEN = 1_000_000  # nothing is computed; a client may still divide by it
_VERSION = "0.13.5"
_LONG_AGO = "2025-01-01T00:00:00Z"


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("illegal base64 data") from None
    return text


class _Function(pydantic.BaseModel):
    name: str | None = None
    arguments: dict[str, Any] | None = None


class _Call(pydantic.BaseModel):
    function: _Function


class _Message(pydantic.BaseModel):
    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    images: list[Annotated[str, pydantic.AfterValidator(_base64)]] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None


class _Request(pydantic.BaseModel):
    """`ChatRequest` and `GenerateRequest`, as far as Go refuses wrong types; null and unknown fields it ignores."""

    model_config = pydantic.ConfigDict(strict=True)

    model: str | None = None
    messages: list[_Message] | None = None
    prompt: str | None = None
    stream: bool | None = None
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    think: bool | Literal["high", "medium", "low"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, pydantic.Field(ge=0, le=20)] | None = None


class OllamaShape:
    """`/api/chat`; one completion a request."""

    chat = "/api/chat"
    media = "application/x-ndjson"
    end = b""

    # --- what is asked ---

    def messages(self, body: Mapping[str, Any]) -> Any:
        """As they are."""
        return body.get("messages")

    def asked(self, body: Mapping[str, Any]) -> Any:
        """Ollama knows no `n`."""
        return 1

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Ollama streams unless told not to."""
        return body.get("stream", True) is not False

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """A name without a tag means `:latest`."""
        return isinstance(name, str) and _tagged(name) in map(_tagged, models)

    def unknown(self, name: Any) -> Reply:
        """Status 404."""
        return Reply(f"model '{name!s:.200}' not found", status=404)

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """What Go's decoder refuses: content that is no text, arguments that are no object, images not in base64."""
        try:
            _Request.model_validate(body)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            return Reply(f"json: cannot unmarshal into Go struct field {place}: {first['msg']}", status=400)
        return None

    def idle(self, body: Mapping[str, Any], model: str) -> dict[str, Any] | None:
        """Without messages, a model is loaded or unloaded."""
        if self.messages(body):
            return None
        reason = "unload" if body.get("keep_alive") == 0 else "load"
        return {**_head(model), **self._said({}), "done": True, "done_reason": reason}

    # --- pages ---

    def guards(self, path: str) -> bool:
        """All of them, where there is a key: Ollama itself asks for none, a proxy before it may."""
        return True

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """Models that there are, that run, one of them in detail; the version."""
        cards = [_card(name) for name in models]
        running = [{**card, "expires_at": _LONG_AGO, "size_vram": 0, "context_length": 4096} for card in cards]
        return {
            ("GET", "/api/tags"): lambda body: {"models": cards},
            ("GET", "/api/ps"): lambda body: {"models": running},
            ("GET", "/api/version"): lambda body: {"version": _VERSION},
            ("POST", "/api/show"): lambda body: self._shown(models, body.get("model") or body.get("name")),
        }

    def _shown(self, models: Sequence[str], name: Any) -> Any:
        if not self.knows(models, name):
            return self.unknown(name)
        return {
            "modelfile": "", "parameters": "", "template": "{{ .Prompt }}", "details": _card(name)["details"],
            "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
            "capabilities": ["completion", "tools", "thinking", "vision"], "modified_at": _LONG_AGO,
        }  # fmt: skip

    # --- answers ---

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A chat reply from the first of the replies."""
        reply = replies[0]
        message: dict[str, Any] = {"content": reply.text or reply.refusal or ""}
        if reply.reasoning is not None:
            message["thinking"] = reply.reasoning
        if reply.tool_calls:
            message["tool_calls"] = [_call(call, place) for place, call in enumerate(reply.tool_calls)]
        logprobs = reply.logprobs if received.body.get("logprobs") else None
        ended = {"done": True, "done_reason": _reason(reply), **_less_empty({"logprobs": logprobs})}
        counts = {} if usage == "none" else _counts(received, reply)
        return {**_head(model), **self._said(message), **ended, **counts}

    def events(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> list[dict[str, Any]]:
        """The pieces of the first reply, a line each; last a line without text, with the reason and the counts."""
        reply, head = replies[0], _head(model)
        found = []
        for piece in pieces(reply):
            if piece.kind == "call" and piece.call is None:
                continue  # a call comes in one piece
            logprobs = piece.logprobs if received.body.get("logprobs") else None
            said = self._said(_part(piece))
            found.append({**head, **said, "done": False, **_less_empty({"logprobs": logprobs})})
        counts = {} if usage == "none" else _counts(received, reply)
        return [*found, {**head, **self._said({}), "done": True, "done_reason": _reason(reply), **counts}]

    def _said(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": "", **message}}

    def framed(self, event: Mapping[str, Any]) -> bytes:
        """A line."""
        return encoded(event) + b"\n"

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Ollama's flat error, also as the last line of a stream."""
        return {"error": message}


class OllamaGenerateShape(OllamaShape):
    """`/api/generate`: a prompt in place of messages, a text in place of a message."""

    chat = "/api/generate"

    def messages(self, body: Mapping[str, Any]) -> Any:
        """The prompt, as the one message."""
        return [{"role": "user", "content": body["prompt"]}] if body.get("prompt") else []

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """Those of `/api/chat` are there already."""
        return {}

    def _said(self, message: Mapping[str, Any]) -> dict[str, Any]:
        told = {"response": message.get("content", "")}
        return told | {name: message[name] for name in ("thinking", "tool_calls") if name in message}


class OllamaOpenAIShape(OpenAIShape):
    """Ollama's `/v1`: one completion a request, whatever `n` says."""

    owner = "library"

    def asked(self, body: Mapping[str, Any]) -> Any:
        """It passes over `n`."""
        return 1

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """As on its own wire."""
        return OllamaShape().knows(models, name)

    def unknown(self, name: Any) -> Reply:
        """As on its own wire."""
        return OllamaShape().unknown(name)

    def _head(self, received: Received, model: str, kind: str) -> dict[str, Any]:
        return {**super()._head(received, model, kind), "system_fingerprint": "fp_ollama"}

    def _message(self, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or reply.refusal or ""}
        calls = [{**call, "index": place} for place, call in enumerate(reply.tool_calls or ())]
        return message | _less_empty({"reasoning": reply.reasoning, "tool_calls": calls})

    def _choice(self, index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
        choice = super()._choice(index, reply, logprobs_asked) | {"finish_reason": _openai_reason(reply)}
        return {name: value for name, value in choice.items() if name != "logprobs" or value is not None}

    def _usage(self, prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
        return super()._usage(prompt, completion, 0)

    def _untold(self, told: bool) -> dict[str, Any]:
        return {}

    def _delta(self, piece: Piece) -> dict[str, Any]:
        told: dict[str, Any] = {"role": "assistant", "content": piece.text if piece.kind in ("text", "refusal") else ""}
        if piece.kind == "reasoning":
            told["reasoning"] = piece.text
        if piece.call is not None:
            told["tool_calls"] = [{**piece.call, "index": piece.place}]
        return told

    def _ended(self, index: int, reply: Reply) -> dict[str, Any]:
        return {**self._part(index, {"role": "assistant", "content": ""}), "finish_reason": _openai_reason(reply)}

    def error(self, status: int, message: str) -> dict[str, Any]:
        """OpenAI's form, without a code."""
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _reason(reply: Reply) -> str | None:
    """Ollama has no word of its own for an end in tool calls."""
    return "stop" if reply.finish_reason == "tool_calls" else reply.finish_reason


def _openai_reason(reply: Reply) -> str | None:
    return "tool_calls" if reply.tool_calls else reply.finish_reason


def _tagged(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _card(name: str) -> dict[str, Any]:
    details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
               "parameter_size": "1B", "quantization_level": "Q4_0"}  # fmt: skip
    return {"name": _tagged(name), "model": _tagged(name), "modified_at": _LONG_AGO, "size": 0, "digest": "0" * 64,
            "details": details}  # fmt: skip


def _head(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z")}


def _part(piece: Piece) -> dict[str, Any]:
    """What a line of a stream carries of a message."""
    if piece.call is not None:
        return {"tool_calls": [_call(piece.call, piece.place)]}
    return {"thinking" if piece.kind == "reasoning" else "content": piece.text}


def _call(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A tool call of OpenAI's form as Ollama sends it: the arguments are an object, not a text."""
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return {**_less_empty({"id": call.get("id")}), "function": {"index": place, "name": function["name"],
            "arguments": arguments}}  # fmt: skip


def _counts(received: Received, reply: Reply) -> dict[str, int]:
    """Tokens, and the durations (nanoseconds) that come with them."""
    given = reply.usage or {}
    read = given.get("prompt_tokens", prompt_tokens(received, [reply]))
    written = given.get("completion_tokens", completion_tokens(reply))
    return _less_empty({
        "total_duration": (read + written) * _NANOSECONDS_A_TOKEN,
        "load_duration": _NANOSECONDS_A_TOKEN,
        "prompt_eval_count": read,
        "prompt_eval_duration": read * _NANOSECONDS_A_TOKEN,
        "eval_count": written,
        "eval_duration": written * _NANOSECONDS_A_TOKEN,
    })  # fmt: skip


def _less_empty(form: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that Go leaves out: null, empty and 0."""
    return {name: value for name, value in form.items() if value}
