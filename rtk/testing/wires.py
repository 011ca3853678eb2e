"""The wires that a scripted server speaks, by name: each with its shapes, of which the first is the main one."""

from __future__ import annotations

from dataclasses import dataclass

from rtk.testing.llamacpp_shape import LlamaCppShape
from rtk.testing.ollama_shape import OllamaGenerateShape, OllamaOpenAIShape, OllamaShape
from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.shape import Shape, Usage
from rtk.testing.vllm_shape import VLLM09Shape, VLLMShape


@dataclass(frozen=True)
class Wire:
    """One kind of server.

    Attributes:
        shapes: the wires it speaks.
        base: what clients of the first append their paths to.
        usage: how it reports tokens, unless told otherwise.
    """

    shapes: tuple[Shape, ...]
    base: str = "/v1"
    usage: Usage = "sum"


WIRES: dict[str, Wire] = {
    "openai": Wire((OpenAIShape(),)),
    "ollama": Wire((OllamaShape(), OllamaGenerateShape(), OllamaOpenAIShape()), base=""),
    "vllm": Wire((VLLMShape(),)),
    "vllm-0.9": Wire((VLLM09Shape(),)),
    "llamacpp": Wire((LlamaCppShape(),), usage="one"),
}
