"""Strategies over an LM that is not rtk's: it works, unstored, and says so once."""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakKeyDictionary

import dspy

from rtk.models import LM

_wrapped: WeakKeyDictionary[Any, LM] = WeakKeyDictionary()


def rtk_lm(lm: dspy.BaseLM) -> LM:
    """The LM itself, or one around it that draws anew every time."""
    if isinstance(lm, LM):
        return lm
    if lm not in _wrapped:
        warnings.warn(
            f"{type(lm).__name__} {lm.model!r} is no rtk.LM: its samples are not stored; rtk.LM.of(lm) keeps them",
            stacklevel=2,
        )
        _wrapped[lm] = LM.of(lm, cache=False)
    return _wrapped[lm]
