"""What a model can do, as DSPy's adapters ask before they write a prompt: known without asking any host.

LiteLLM would ask Ollama at this machine, whatever `api_base` says, and Hugging Face's hub. Besides being nobody's
business, a prompt that depends on who answers is another one in a replay. Of those models nothing is taken for granted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rtk.models.embedded import is_embedded
from rtk.models.litellm_library import library

_ASKED_ABOUT = ("ollama/", "ollama_chat/", "huggingface/")
_EMBEDDED = frozenset({"temperature", "max_tokens", "top_p", "stop", "seed", "logprobs", "response_format"})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A model's, under the names by which DSPy asks for them.

    Attributes:
        supports_function_calling: whether it takes tools.
        supports_reasoning: whether it reasons apart from its answer.
        supports_response_schema: whether a JSON schema constrains the output.
        supported_params: names of the sampling parameters it takes.
    """

    supports_function_calling: bool
    supports_reasoning: bool
    supports_response_schema: bool
    supported_params: frozenset[str]


@cache
def capabilities(model: str) -> Capabilities:
    """Those of a model, by its model string."""
    if is_embedded(model):
        return Capabilities(False, False, True, _EMBEDDED)
    provider = model.partition("/")[0] if "/" in model else "openai"
    known = library()
    taken = frozenset(known.get_supported_openai_params(model=model, custom_llm_provider=provider) or ())
    if model.startswith(_ASKED_ABOUT):
        return Capabilities(False, False, False, taken)
    return Capabilities(
        bool(known.supports_function_calling(model=model)),
        bool(known.supports_reasoning(model=model)),
        bool(known.supports_response_schema(model=model, custom_llm_provider=provider)),
        taken,
    )
