"""Running a flow to see what it would ask: nobody hears of it, and whether all of that is known beforehand."""

from __future__ import annotations

import copy
from typing import Any

import dspy

from rtk.strategies.questions import modules_of


def unheard() -> dict[str, Any]:
    """The DSPy context in which nobody hears of anything."""
    settings: dict[str, Any] = {"rtk_watchers": (), "rtk_unheard": True, "callbacks": [], "trace": None}
    if dspy.settings.adapter is not None:  # it may have callbacks of its own
        settings["adapter"] = copy.copy(dspy.settings.adapter)
        settings["adapter"].callbacks = []
    return {**settings, "disable_history": True, "usage_tracker": None}


def asks_once(strategy: dspy.Module) -> bool:
    """Whether all that is asked is known before anything came: each says so where it defines its flow."""
    inside = [one for _, one in modules_of(strategy) if hasattr(type(one), "own_budget")]
    return all(map(_says_so, inside))


def _says_so(strategy: Any) -> bool:
    owner: Any = next(base for base in type(strategy).__mro__ if "flow" in vars(base))
    said = vars(owner).get("asks_once", False)
    return bool(said(strategy) if callable(said) else said)
