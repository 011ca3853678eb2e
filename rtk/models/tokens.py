"""Tokens counted here, where a server reports none: an estimate, and marked as one.

The tokenizer is `cl100k_base`, which LiteLLM brings along, so that nothing is fetched. Another model splits text
otherwise: on English text most are within some 20 % of it. A prompt is counted as OpenAI's cookbook has it ("How to
count tokens with tiktoken"): its text, 4 for each message and 3 for the reply to begin. Images are not counted.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rtk.models.litellm_library import library
from rtk.models.wire import Completion
from rtk.samples import Request

_A_MESSAGE, _A_REPLY = 4, 3


async def counted(request: Request, found: list[Completion]) -> list[Completion]:
    """The completions of one reply; what the server did not report of their tokens is counted here."""
    told = any(one.completion_tokens for one in found)  # a share of a small sum may be none
    if found[0].prompt_tokens and (told or not any(map(_written, found))):
        return found
    tokens = await asyncio.to_thread(_tokenizer)  # LiteLLM's import takes seconds
    prompt = found[0].prompt_tokens or sum(map(tokens, _read(request))) + _frame(request)
    written = [one.completion_tokens if told else sum(map(tokens, _written(one))) for one in found]
    return [
        replace(one, prompt_tokens=prompt, completion_tokens=count, estimated=True)
        for one, count in zip(found, written, strict=True)
    ]


def prompt_size(request: Request) -> int:
    """The tokens of a prompt as they are counted here."""
    tokens = _tokenizer()
    return sum(map(tokens, _read(request))) + _frame(request)


def _frame(request: Request) -> int:
    return _A_MESSAGE * len(request.messages) + _A_REPLY


def _read(request: Request) -> list[str]:
    """The texts that a model reads."""
    texts = [text for message in request.messages for text in _texts(message)]
    tools = request.options.get("tools")
    return [*texts, json.dumps(tools)] if tools else texts


def _texts(message: dict[str, Any]) -> Sequence[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    calls = [json.dumps(message["tool_calls"])] if message.get("tool_calls") else []
    return [str(part["text"]) for part in parts if part.get("text")] + calls


def _written(one: Completion) -> list[str]:
    """The texts that a model wrote."""
    calls = json.dumps(one.tool_calls) if one.tool_calls else ""
    return [text for text in (one.text, one.reasoning, calls) if text]


@functools.cache
def _tokenizer() -> Any:
    encoding = library().encoding
    return lambda text: len(encoding.encode(text, disallowed_special=()))
