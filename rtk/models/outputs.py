"""Samples in the shapes that DSPy expects: outputs, replies, usage."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from rtk.samples import Sample


def outputs(samples: Sequence[Sample], *, logprobs: bool) -> list[Any]:
    """Texts, or dicts with the same keys for every sample where any has more than text."""
    reasoning = any(map(attrgetter("reasoning"), samples))
    tools = any(map(attrgetter("tool_calls"), samples))
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
