"""What the tests of streams share: a chain whose reply has fields, and what a watcher of its stream sees."""

import asyncio

import dspy
import pytest

import rtk

TEXT = (
    "[[ ## reasoning ## ]]\nTwo and two are {}, as all know.\n\n[[ ## answer ## ]]\nfour (4)\n\n[[ ## completed ## ]]"
)
FOUR = TEXT.format("four")
OTHER = TEXT.format("a sum")
FIELDS = {"reasoning": "Two and two are four, as all know.", "answer": "four (4)"}
QUESTION = "2 + 2?"

WAYS = {
    "openai": ("openai/scripted", "openai", "direct"),
    "openai through LiteLLM": ("openai/scripted", "openai", "litellm"),
    "vLLM": ("hosted_vllm/scripted", "vllm", "direct"),
    "vLLM through LiteLLM": ("hosted_vllm/scripted", "vllm", "litellm"),
    "llama.cpp": ("openai/scripted", "llamacpp", "direct"),
    "Ollama": ("ollama_chat/scripted", "ollama", "direct"),
    "Ollama through LiteLLM": ("ollama_chat/scripted", "ollama", "litellm"),
    "hosted": ("deepseek/scripted", "openai", "litellm"),
}
EACH_WAY = pytest.mark.parametrize(("model", "wire", "way"), WAYS.values(), ids=WAYS)
BOTH = pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])


def at(server, model, way, **settings):
    """An LM that reaches the server one way."""
    return rtk.LM(model, api_base=server.url, api_key="any", transport=way, **settings)


def streamed(fields=FIELDS, program=None, **settings):
    """A chain of thought that streams some of its fields; raw chunks where there are none."""
    listeners = [dspy.streaming.StreamListener(field) for field in fields]
    program = program or dspy.ChainOfThought("question -> answer")
    return dspy.streamify(program, stream_listeners=listeners, **settings)


async def _all(stream):
    return [value async for value in stream]


def seen(lm, fields=FIELDS, program=None, adapter=None, **settings):
    """All that a watcher of one call sees, in order."""
    with dspy.context(lm=lm, adapter=adapter):
        stream = streamed(fields, program, **settings)(question=QUESTION)
        return asyncio.run(_all(stream)) if hasattr(stream, "__aiter__") else list(stream)


def by_field(values):
    """The text of each field, put together."""
    told = {}
    for value in values:
        if isinstance(value, dspy.streaming.StreamResponse):
            told[value.signature_field_name] = told.get(value.signature_field_name, "") + value.chunk
    return told


def kinds(values):
    """The types of what was seen, each once, in order of its first."""
    return list(dict.fromkeys(type(value).__name__ for value in values))


def words(values):
    """The text of raw chunks."""
    return "".join(value.choices[0].delta.content or "" for value in values if hasattr(value, "choices"))
