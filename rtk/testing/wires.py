"""The wires that a scripted server speaks, by name: each with its shapes, of which the first is the main one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtk.testing.llamacpp_shape import LlamaCppShape
from rtk.testing.ollama_shape import OllamaGenerateShape, OllamaOpenAIShape, OllamaShape
from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.scoring_shape import ClassifyShape, LlamaCppRerankShape, PoolingShape, RerankShape, ScoreShape
from rtk.testing.shape import Shape, Usage
from rtk.testing.vllm_shape import VLLM09Shape, VLLMShape

WireName = Literal[
    "openai", "ollama", "vllm", "vllm-0.9", "llamacpp", "vllm-score", "vllm-classify", "vllm-pooling", "llamacpp-rerank"
]  # fmt: skip
"""The kinds of servers."""


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
    "vllm-score": Wire((ScoreShape("/score"), *map(RerankShape, ("/rerank", "/v1/rerank"))), base=""),
    "vllm-classify": Wire((ClassifyShape("/classify"),), base=""),
    "vllm-pooling": Wire((PoolingShape("/pooling"),), base=""),
    "llamacpp-rerank": Wire(tuple(map(LlamaCppRerankShape, ("/v1/rerank", "/rerank"))), base=""),
}
