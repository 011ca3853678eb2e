"""Samples in the shapes that DSPy expects: outputs, replies, usage, history."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rtk.models.asking import Ask
from rtk.samples import Sample


def outputs(samples: Sequence[Sample], *, logprobs: bool) -> list[Any]:
    """Texts, or dicts with the same keys for every sample where any has more than text."""
    reasoning = any(sample.reasoning for sample in samples)
    tools = any(sample.tool_calls for sample in samples)
    if not (reasoning or tools or logprobs):
        return [sample.text for sample in samples]
    return [_output(sample, reasoning, tools, logprobs) for sample in samples]


def _output(sample: Sample, reasoning: bool, tools: bool, logprobs: bool) -> dict[str, Any]:
    return {
        "text": sample.text,
        **({"reasoning_content": sample.reasoning} if reasoning else {}),
        **({"logprobs": sample.logprobs} if logprobs else {}),
        **({"tool_calls": sample.tool_calls} if tools else {}),
    }


def usage(samples: Sequence[Sample]) -> dict[str, int]:
    """The tokens of some samples, in OpenAI's form."""
    read = sum(sample.usage.prompt_tokens for sample in samples)
    written = sum(sample.usage.completion_tokens for sample in samples)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def reply_body(model: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """A chat completion in OpenAI's form."""
    choices = [
        {
            "index": i,
            "finish_reason": sample.finish_reason or "stop",
            "logprobs": sample.logprobs,
            "message": {"role": "assistant", "content": sample.text, "reasoning_content": sample.reasoning,
                        "tool_calls": sample.tool_calls},
        }
        for i, sample in enumerate(samples)
    ]  # fmt: skip
    served = samples[0].served_model or model
    return {"id": samples[0].address.key[:24], "object": "chat.completion", "model": served, "choices": choices,
            "usage": usage(samples)}  # fmt: skip


def history_entry(
    model: str, ask: Ask, samples: Sequence[Sample], drawn: Sequence[Sample], prompt: Any, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """An entry of DSPy's history. Usage and cost are of what was drawn now."""
    dollars = [sample.usage.dollars for sample in drawn]
    return {
        "prompt": prompt,
        "messages": ask.request.messages,
        "kwargs": dict(kwargs),
        "response": reply_body(model, samples),
        "outputs": outputs(samples, logprobs=bool(ask.request.options.get("logprobs"))),
        "usage": usage(drawn) if drawn else {},
        "cost": None if None in dollars else sum(one or 0.0 for one in dollars),
        "timestamp": datetime.now().isoformat(),
        "uuid": str(uuid.uuid4()),
        "model": model,
        "response_model": samples[0].served_model or model,
        "model_type": "chat",
    }
