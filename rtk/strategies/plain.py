"""Strategies over an LM that is not rtk's: it works, unstored, and says so once."""

from __future__ import annotations

import threading
import warnings

import dspy

from rtk.models import LM

_WRAPPED = "_rtk_wrapped"  # kept on the LM itself, so that both go together
_lock = threading.Lock()
_warned: set[tuple[str, str]] = set()


def rtk_lm(lm: dspy.BaseLM) -> LM:
    """The LM itself, or one around it that draws anew every time."""
    if isinstance(lm, LM):
        return lm
    with _lock:
        found = vars(lm).get(_WRAPPED)
        if found is None or found.wrapped is not lm:  # a copy of an LM brings that of its original along
            _warn_once(type(lm).__name__, lm.model)
            found = vars(lm)[_WRAPPED] = LM.of(lm, cache=False)
        return found


def _warn_once(kind: str, model: str) -> None:
    if (kind, model) not in _warned:
        _warned.add((kind, model))
        warnings.warn(
            f"{kind} {model!r} is no rtk.LM: its samples are not stored; rtk.LM.of(lm) keeps them", stacklevel=4
        )
