"""LiteLLM itself: where it is imported, and what it is told before anything else."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # DSPy imports LiteLLM too: it must find this set


def library() -> Any:
    """LiteLLM, imported on first use (it takes seconds), told to fetch nothing and to print nothing."""
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def ask_nobody_about(model: str) -> None:
    """Keep LiteLLM from asking an Ollama what a model can do: it asks at this machine, whatever `api_base` says.

    It does not ask about what is in its list. An entry without prices says nothing else.
    """
    provider = model.partition("/")[0]
    if provider in ("ollama", "ollama_chat"):
        library().model_cost.setdefault(model, {"litellm_provider": provider, "mode": "chat"})
