"""Verdicts: a user's checker is called, and what it says is a `Check`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rtk.answers import Check
from rtk.errors import RTKError, StrategyError


def said(checker: Callable[..., Any], what: str, takes: str, *given: Any) -> Any:
    """What a checker says of the inputs and a candidate.

    Args:
        checker: the checker.
        what: what it is called in an error.
        takes: what one of its kind takes, for the mend.
        *given: the inputs, the candidate, and what else it takes.

    Raises:
        StrategyError: where it fails, naming it.
    """
    try:
        return checker(*given)
    except RTKError:
        raise
    except Exception as error:
        raise StrategyError(
            f"{what} raised {type(error).__name__} on {given[1]!r:.60}: {error}",
            mend=f"{takes}, and returns an rtk.answers.Check",
        ) from error


def verdict(found: Any, what: str) -> Check:
    """What a checker said as a `Check`; a plain True, False (numpy's too) or None is one too.

    Raises:
        StrategyError: for anything else.
    """
    if found is None or isinstance(found, bool | np.bool_):
        return Check(None if found is None else bool(found))
    if not isinstance(found, Check):
        raise StrategyError(f"{what} returned {found!r:.60}", mend="return an rtk.answers.Check")
    return found
