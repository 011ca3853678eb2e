"""What a program is called in a table."""

from __future__ import annotations

from typing import Any

import dspy

from rtk.strategies import Strategy


def name_of(program: dspy.Module) -> str:
    """A program in a table: its class; of a strategy also its amounts, and the settings that are not the default.

    `SelfConsistency(samples=8)`. A setting that is no number or text, such as a function, is left out: what it prints
    as may differ from run to run.
    """
    kind = type(program)
    if not isinstance(program, Strategy):
        return kind.__name__
    settings = getattr(program, "settings", None)  # a strategy that declares none has none
    values = settings.values if settings is not None else {}
    said = [f"{name}={value!r}" for name, value in values.items() if _is_said(value, getattr(kind, name).default)]
    return f"{kind.__name__}({', '.join(said)})" if said else kind.__name__


def _is_said(value: Any, default: Any) -> bool:
    amount = isinstance(value, int) and not isinstance(value, bool)
    return amount or (isinstance(value, bool | float | str) and value != default)
