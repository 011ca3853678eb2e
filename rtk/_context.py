"""What travels in DSPy's context: budgets, streams, watchers and recordings, under names of rtk's own.

Ground floor: imports nothing of ours. DSPy is loaded where it is used: it takes seconds, and who only looks at what is
stored never comes by.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def of_context(name: str) -> Any:
    """What travels under a name; None where nothing does, which most often is so.

    `dspy.settings.get` says the same, by an error that it raises and catches at each look.
    """
    import dspy

    settings = dspy.settings
    return settings[name] if name in settings else None  # noqa: SIM401


def in_context(**carried: Any) -> AbstractContextManager[None]:
    """What runs inside is given these on its way."""
    import dspy

    return dspy.context(**carried)
