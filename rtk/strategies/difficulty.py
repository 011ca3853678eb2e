"""How hard a question is, as far as votes tell: measures of a vote, each the higher the surer it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from numbers import Real
from typing import Any

from rtk.answers import Vote
from rtk.errors import StrategyError
from rtk.statistics import Estimate
from rtk.strategies.prediction import evidence

Measure = Callable[[Vote], float]

LOGPROBS = "confidence"
"""The measure that needs log-probabilities."""


def measured(measure: str | Measure, found: Vote) -> float:
    """What a measure makes of a vote.

    Args:
        measure: its name, or a function of a vote that returns a number.
        found: the vote so far; where all abstained, a measure by name is at its lowest.

    Raises:
        StrategyError: for `"confidence"` where the model gave no log-probabilities, and for a function's answer that
            is no finite number.
    """
    value = measure(found) if callable(measure) else MEASURES[measure](found)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise StrategyError(f"measure= gave {value!r:.40}", mend="a function from an rtk.answers.Vote to a number")
    return float(value)


def name_of(measure: Any) -> str:
    """A measure's name, for a reader and for a saved policy."""
    return measure if isinstance(measure, str) else getattr(measure, "__name__", type(measure).__name__)


def _counts(found: Vote) -> tuple[int, int]:
    """Votes for the first answer and for the second."""
    first, second, *_ = [*(len(one.members) for one in found.clusters[:2]), 0, 0]
    return first, second


def _lead(found: Vote) -> float:
    return _more_frequent(*_counts(found))


def _agreement(found: Vote) -> float:
    return _counts(found)[0] / found.size if found.size else 0.0


def _margin(found: Vote) -> float:
    first, second = _counts(found)
    return (first - second) / found.size if found.size else 0.0


def _evenness(found: Vote) -> float:
    """1 less the entropy of the votes as a share of the most it could be; who abstains agrees with nobody."""
    if not found.votes:
        return 0.0
    if found.size == 1:
        return 1.0
    shares = [len(one.members) / found.size for one in found.clusters] + [1 / found.size] * (found.size - found.votes)
    return max(0.0, 1 + math.fsum(one * math.log(one) for one in shares) / math.log(found.size))


def _confidence(found: Vote) -> float:
    if not found.votes:
        return 0.0
    if found.logprob is None:
        raise StrategyError(
            f'measure="{LOGPROBS}" needs log-probabilities, and the model gave none',
            mend="ask lm.ping().logprobs, or `rtk doctor`, which models give them; or another measure=",
        )
    return math.exp(found.logprob)


MEASURES: dict[str, Measure] = {
    "lead": _lead,
    "agreement": _agreement,
    "margin": _margin,
    "entropy": _evenness,
    LOGPROBS: _confidence,
}


@cache
def _more_frequent(first: int, second: int) -> float:
    """P(p > 1/2) for p ~ Beta(first + 1, second + 1), exactly: that of at most `first` heads in so many throws."""
    throws = first + second + 1
    return sum(math.comb(throws, heads) for heads in range(first + 1)) / 2**throws


def said_of(prediction: Any) -> float | None:
    """How sure a program is of its answer by its own account; None where it gives none."""
    told = evidence(prediction, "confidence")
    if isinstance(told, Estimate):
        return told.value
    return float(told) if isinstance(told, (int, float)) and not isinstance(told, bool) else None
