"""vLLM's chat completions: OpenAI's, with fields of its own, and stricter.

Forms: vLLM docs, "OpenAI-Compatible Server", which shows the classes of vllm-project/vllm, in `vllm/entrypoints`:
`openai/chat_completion/protocol.py` at 002032ee (`ChatCompletionRequest`, `ChatCompletionResponse`,
`ChatCompletionStreamResponse`), `openai/chat_completion/serving.py` at 006c49d4 (`chat_completion_stream_generator`),
`serve/engine/protocol.py` (`UsageInfo`, `ErrorResponse`, `ModelCard`) and `serve/exception_handling` at ba638200,
`serve/middleware/authenticate.py` at baaf6e9c. Of v0.9 they are in `openai/protocol.py`: errors are flat (nested from
0.10.1 on: pull request 22099), reasoning is `reasoning_content`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import pydantic

from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.pieces import Piece
from rtk.testing.replies import Received, Reply
from rtk.testing.shape import Page, Usage

CONTEXT = 32_768
"""The longest prompt and completion that `/v1/models` tells of."""

_MOST_LOGPROBS = 20


class _Format(pydantic.BaseModel):
    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: dict[str, Any] | None = None


class _Function(pydantic.BaseModel):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(pydantic.BaseModel):
    type: Literal["function"] = "function"
    function: _Function


class _Request(pydantic.BaseModel):
    """`ChatCompletionRequest`, as far as its fields have types that can be wrong; others are let pass, unread."""

    messages: list[dict[str, Any]] = pydantic.Field(min_length=1)
    model: str | None = None
    n: int | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    min_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    response_format: _Format | None = None
    structured_outputs: dict[str, Any] | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n": (lambda n: n >= 1, "at least 1"),
    "max_tokens": (lambda count: count >= 1, "at least 1"),
    "max_completion_tokens": (lambda count: count >= 1, "at least 1"),
    "temperature": (lambda heat: heat >= 0, "0 or more"),
    "top_p": (lambda share: 0 < share <= 1, "in (0, 1]"),
    "top_k": (lambda count: count >= -1, "-1 or 0 (off), or at least 1"),
    "min_p": (lambda share: 0 <= share <= 1, "in [0, 1]"),
    "repetition_penalty": (lambda penalty: penalty > 0, "above 0"),
    "presence_penalty": (lambda penalty: -2 <= penalty <= 2, "in [-2, 2]"),
    "frequency_penalty": (lambda penalty: -2 <= penalty <= 2, "in [-2, 2]"),
    "top_logprobs": (lambda count: -1 <= count <= _MOST_LOGPROBS, f"at most {_MOST_LOGPROBS}"),
}
"""What `SamplingParams` takes of each (vLLM docs, "Sampling Parameters")."""


class VLLMShape(OpenAIShape):
    """vLLM of today."""

    owner = "vllm"
    version = "0.19.0"
    _reasoning = "reasoning"

    # --- what is asked ---

    def unknown(self, name: Any) -> Reply:
        """Status 404."""
        return Reply(f"The model `{name!s:.200}` does not exist.", status=404)

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """Values of a wrong type or out of range; fields that it does not know are let pass, unread."""
        try:
            asked = _Request.model_validate(body)
        except pydantic.ValidationError as error:
            told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3]]
            return Reply(f"{error.error_count()} validation errors: {'; '.join(told)}", status=400)
        wrong = _out_of_range(asked) or _at_odds(asked)
        return Reply(wrong, status=400) if wrong else None

    # --- pages ---

    def guards(self, path: str) -> bool:
        """Only what is below `/v1`."""
        return path.startswith("/v1")

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """Models, with the longest context of each; health and version."""
        more: dict[tuple[str, str], Page] = {
            ("GET", "/health"): lambda body: None,
            ("GET", "/version"): lambda body: {"version": self.version},
        }
        return super().pages(models) | more

    def _card(self, name: str) -> dict[str, Any]:
        more = {"root": name, "parent": None, "max_model_len": CONTEXT, "permission": []}
        return {**super()._card(name), **more}

    # --- a whole answer ---

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """A chat completion, with vLLM's own fields, most of them null."""
        answer = super().reply(received, replies, model, usage)
        return {**answer, **dict.fromkeys(self._own_fields)}

    _own_fields: tuple[str, ...] = (
        "service_tier", "prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params",
        "ec_transfer_params", "metrics",
    )  # fmt: skip

    def _choice(self, index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
        choice = super()._choice(index, reply, logprobs_asked)
        return {**choice, "stop_reason": None, "token_ids": None, "routed_experts": None}

    def _message(self, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
        message |= dict.fromkeys(("annotations", "audio", "function_call")) | {"reasoning": reply.reasoning}
        return message | ({"tool_calls": reply.tool_calls} if reply.tool_calls else {})

    def _usage(self, prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
        details = {"reasoning_tokens": reasoning} if reasoning else None  # only with a parser of reasoning
        counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
        return {**counts, "prompt_tokens_details": None, "completion_tokens_details": details}

    # --- a stream ---

    def _tells_usage(self, body: Mapping[str, Any]) -> bool:
        options = body.get("stream_options")
        return options is not None and options.get("include_usage", True) is not False

    def _untold(self, told: bool) -> dict[str, Any]:
        return {}  # what is not there yet is left out

    def _delta(self, piece: Piece) -> dict[str, Any]:
        return {self._reasoning: piece.text} if piece.kind == "reasoning" else super()._delta(piece)

    def _ended(self, index: int, reply: Reply) -> dict[str, Any]:
        ended = self._part(index, {"content": ""})
        return {**ended, "finish_reason": reply.finish_reason, "stop_reason": None}

    # --- errors ---

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Nested, the code being the status; of a refused key the word alone."""
        if status == 401:
            return {"error": "Unauthorized"}
        return {"error": {"message": message, "type": _kind(status), "param": None, "code": status}}


class VLLM09Shape(VLLMShape):
    """vLLM 0.9: flat errors, and reasoning under its first name."""

    version = "0.9.2"
    _reasoning = "reasoning_content"
    _own_fields = ("prompt_logprobs", "kv_transfer_params")

    def _choice(self, index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
        return {**OpenAIShape._choice(self, index, reply, logprobs_asked), "stop_reason": None}

    def _message(self, reply: Reply) -> dict[str, Any]:
        text = reply.text or reply.refusal or ""
        message = {"role": "assistant", "reasoning_content": reply.reasoning, "content": text}
        return {**message, "tool_calls": reply.tool_calls or []}

    def _usage(self, prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
        counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
        return {**counts, "prompt_tokens_details": None}

    def _delta(self, piece: Piece) -> dict[str, Any]:
        return {"content": piece.text} if piece.kind == "refusal" else super()._delta(piece)

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Flat; of a refused key the word alone."""
        if status == 401:
            return {"error": "Unauthorized"}
        return {"object": "error", "message": message, "type": _kind(status), "param": None, "code": status}


def _kind(status: int) -> str:
    """`BadRequestError`, `NotFoundError`, `InternalServerError`: the status's own words in one."""
    words = "".join(HTTPStatus(status).phrase.split())
    return words if words.endswith("Error") else f"{words}Error"


def _out_of_range(asked: _Request) -> str | None:
    for name, (fits, told) in _RANGES.items():
        value = getattr(asked, name)
        if value is not None and not fits(value):
            return f"{name} must be {told}, got {value}"
    return None


def _at_odds(asked: _Request) -> str | None:
    """Fields that do not go together."""
    choice = asked.tool_choice
    told = {
        "n must be 1 when sampling is greedy": (asked.n or 1) > 1 and asked.temperature == 0,
        "top_logprobs needs logprobs": bool(asked.top_logprobs) and not asked.logprobs,
        "stream_options needs stream": asked.stream_options is not None and not asked.stream,
        "tools must not be empty": asked.tools == [],
        "tool_choice needs tools": choice not in (None, "none") and not asked.tools,
        "response_format json_schema needs its schema": asked.response_format is not None
        and asked.response_format.type == "json_schema"
        and asked.response_format.json_schema is None,
    }
    return next((words for words, wrong in told.items() if wrong), None)
