"""llama.cpp's server: OpenAI's chat completions, counted and streamed in a way of its own.

Forms: the server inside xllamacpp 2026.10 (`tools/server/README.md` of ggml-org/llama.cpp, "POST
/v1/chat/completions", "GET /v1/models", "GET /health"); a test compares these forms with its replies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.replies import Received, Reply
from rtk.testing.shape import Page, Usage

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


class LlamaCppShape(OpenAIShape):
    """One model, whatever name is asked for."""

    owner = "llamacpp"

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """It serves the one model it has."""
        return True

    def guards(self, path: str) -> bool:
        """All but its health."""
        return path != "/health"

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """Models and health."""
        return super().pages(models) | {("GET", "/health"): lambda body: {"status": "ok"}}

    def _card(self, name: str) -> dict[str, Any]:
        return {**super()._card(name), "aliases": [name], "tags": [], "meta": {"n_ctx": 4096, "n_ctx_train": 8192}}

    def _head(self, received: Received, model: str, kind: str) -> dict[str, Any]:
        return {**super()._head(received, model, kind), "system_fingerprint": "b0-scripted"}

    def _choice(self, index: int, reply: Reply, logprobs_asked: bool) -> dict[str, Any]:
        return _less(super()._choice(index, reply, logprobs_asked), "logprobs")

    def _usage(self, prompt: int, completion: int, reasoning: int) -> dict[str, Any]:
        return {**super()._usage(prompt, completion, 0), "prompt_tokens_details": {"cached_tokens": 0}}

    def _counts(self, received: Received, counted: Sequence[Reply], usage: Usage) -> dict[str, Any]:
        told = super()._counts(received, counted, usage)
        if "timings" in told:
            told["timings"] = _timings(**told["timings"])
        return told

    def _untold(self, told: bool) -> dict[str, Any]:
        return {}

    def _begun(self, index: int) -> dict[str, Any]:
        return self._part(index, {"role": "assistant", "content": None})

    def _part(self, index: int, delta: dict[str, Any], logprobs: list[Any] | None = None) -> dict[str, Any]:
        return _less(super()._part(index, delta, logprobs), "logprobs")

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Nested, the code being the status."""
        return {"error": {"code": status, "message": message, "type": _KINDS.get(status, "server_error")}}


def _less(form: dict[str, Any], name: str) -> dict[str, Any]:
    """Without a field that is null."""
    return {key: value for key, value in form.items() if key != name or value is not None}


def _timings(prompt_n: int, predicted_n: int) -> dict[str, Any]:
    """A millisecond a token, for what is reckoned from it."""

    def rates(name: str, count: int) -> Mapping[str, Any]:
        per = {f"{name}_per_token_ms": 1.0 if count else 0.0, f"{name}_per_second": 1000.0 if count else 0.0}
        return {f"{name}_n": count, f"{name}_ms": float(count), **per}

    return {"cache_n": 0, **rates("prompt", prompt_n), **rates("predicted", predicted_n)}
