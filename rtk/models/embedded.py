"""The model that rtk brings along: llama.cpp in this process, spoken to over its own loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtk.errors import ModelError, UnsupportedParameter
from rtk.models import weights
from rtk.models.engine import NEUTRAL_SAMPLING, Engine, engine
from rtk.models.gguf import header
from rtk.models.http import Pool
from rtk.models.openai_wire import OpenAIWire
from rtk.models.wire import Completion, Hear
from rtk.samples import Address, Request

_TAKEN = frozenset(
    {
        "temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
        "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "repeat_last_n", "presence_penalty",
        "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
        "dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "samplers", "min_keep", "logit_bias",
        "ignore_eos", "seed", "stop", "max_tokens", "max_completion_tokens", "n_predict", "n_keep", "n_indent",
        "t_max_predict_ms", "logprobs", "top_logprobs", "n_probs", "post_sampling_probs", "response_format", "grammar",
        "json_schema", "chat_template_kwargs", "reasoning_format",
        "reasoning_budget_tokens", "thinking_budget_tokens", "cache_prompt", "lora", "extra_body",
    }
)  # fmt: skip
"""Fields of a chat request that llama.cpp's server reads (`tools/server/README.md`, "Completion" and "Chat"), but for
tools: where a model's template has no place for them, as that of rtk's own has none, it passes over them."""

MAX_TOKENS = 512
SLOTS = 8
CONTEXT = 2048


def is_embedded(model: str) -> bool:
    """Whether a model string names the embedded model."""
    return model == "embedded" or model.startswith("embedded/")


def identity(model: str, gguf: str | Path | None) -> dict[str, Any]:
    """What tells one embedded model from another: the SHA-256 of its weights. rtk's own need not be there for it.

    Raises:
        ModelError: for a name that is none of rtk's models.
        WeightsError: for a file that is no GGUF.
    """
    if gguf is not None:
        return {"gguf": weights.sha256(weights.check_gguf(gguf))}
    return {"gguf": weights.known_sha256(_name(model))}


def parameters(model: str, gguf: str | Path | None) -> int | None:
    """How many parameters an embedded model has; None where its file does not say."""
    return weights.parameters(_name(model)) if gguf is None else header(weights.check_gguf(gguf)).parameters


def _name(model: str) -> str:
    name = model.partition("/")[2] or weights.names()[0]
    if name not in weights.names():
        raise ModelError(
            f"no embedded model is named {name!r}",
            mend=f"there is {', '.join(weights.names())}; any other GGUF runs with rtk.LM('embedded', gguf=PATH)",
        )
    return name


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling options as they are sent: llama.cpp's own defaults are switched off unless asked for.

    Raises:
        UnsupportedParameter: for an option that llama.cpp has no place for; it would ignore it.
    """
    extra = given.get("extra_body") or {}
    unknown = sorted(({*given, *extra} if isinstance(extra, Mapping) else {*given}) - _TAKEN)
    if unknown:
        raise UnsupportedParameter(
            f"the embedded engine has no place for {', '.join(unknown)}",
            mend="leave them out; it takes what llama.cpp's server takes, such as repeat_penalty= or grammar=",
        )
    return {"max_tokens": MAX_TOKENS, **NEUTRAL_SAMPLING, **given}


class EmbeddedWire:
    """The embedded model. The engine starts with the first request, so that what is stored needs no weights.

    Args:
        model: the model string.
        gguf: other weights.
        slots: samples computed side by side.
        context: tokens that one sample and its prompt may have together.
    """

    many: bool | None = True
    streams: bool = True

    def __init__(self, model: str, gguf: str | Path | None, slots: int, context: int) -> None:
        self._model, self._gguf, self._slots, self._context = model, gguf, slots, context
        self.most = slots
        self._wire: OpenAIWire | None = None
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """See `rtk.models.wire.Streaming.complete`."""
        async with self._starting:
            if self._wire is None or self._engine is None or not self._engine.running:
                await self.close()
                self._engine = await asyncio.to_thread(self._start)
                self._wire = self._speaking_to(self._engine)
        found = await self._wire.complete(request, addresses, hear)
        # llama.cpp gives the path of its file, which is nobody's business, and another one on every machine.
        served = f"gguf:{self._engine.sha256[:12]}"
        return [replace(one, served_model=served) for one in found]

    async def served(self) -> list[str]:
        """The one model there is."""
        return [_name(self._model) if self._gguf is None else Path(self._gguf).name]

    def _start(self) -> Engine:
        path = weights.check_gguf(self._gguf) if self._gguf is not None else weights.require(_name(self._model))
        return engine(path, slots=self._slots, context=self._context)

    def _speaking_to(self, running: Engine) -> OpenAIWire:
        pool = Pool(self._model, running.url, {"Authorization": f"Bearer {running.api_key}"}, seconds=600)
        return OpenAIWire(self._model, pool, many=True, most=self._slots, streamed=True)

    async def close(self) -> None:
        """Close the connections; the engine stays for others."""
        if self._wire is not None:
            await self._wire.close()
