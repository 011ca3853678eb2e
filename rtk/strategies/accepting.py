"""Accepting: when a level's answer is given. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtk.errors import StrategyError
from rtk.strategies.routes import Level

DEFAULT = 0.5
"""The confidence from which on an answer is given, as long as nothing was learned."""

LOOKED_UP = 0.4
"""The same of a passage's, whose scale is lower: in other words than its own a question rarely reaches a half. At it 9
of 10 answers to the questions of `rtk.tasks.load("support")` are right."""

Accept = float | bool


@dataclass(frozen=True)
class Gate:
    """What an answer needs to be given.

    Attributes:
        threshold: the least confidence; True where any answer is given, False where none is.
        last: whether no level comes after.
        default: whether nobody set it.
        final: whether the answer is given whatever it says: the last level's, where nobody takes over.
    """

    threshold: Accept = DEFAULT
    last: bool = False
    default: bool = False
    final: bool = False

    @property
    def skips(self) -> bool:
        """Whether no answer is given."""
        return self.threshold is False


def passes(gate: Gate, answered: bool, unknown: bool, confidence: float | None) -> tuple[bool, str]:
    """Whether an answer is given, and why.

    Args:
        gate: what it needs.
        answered: whether there is one.
        unknown: whether it says that it does not know.
        confidence: how sure it is; None where that is not known.
    """
    if not answered:
        return False, "it gave no answer"
    if gate.final:
        return True, "the last level is given whatever it says"
    if unknown:
        return False, "it says that it does not know"
    if isinstance(gate.threshold, bool):
        return gate.threshold, f"{'each' if gate.threshold else 'none'} of its answers is given, by accept="
    if confidence is None:
        if gate.default and gate.last:
            return True, "the last level, which does not say how sure it is"
        return False, "it does not say how sure it is"
    reached = confidence >= gate.threshold
    return reached, f"{confidence:.3g} sure, {gate.threshold:.3g} {'reached' if reached else 'needed'}"


def best_of(route: Sequence[Level]) -> Level | None:
    """The level whose answer is nearest to what it needs, the later one of equals; None where none has an answer.

    One that does not say how sure it is, or whose confidence does not count, stands behind all others.
    """
    answered = [(place, one) for place, one in enumerate(route) if one.answered]
    if not answered:
        return None
    return max(answered, key=lambda pair: (_margin(pair[1]), pair[0]))[1]


def _margin(one: Level) -> float:
    if one.confidence is None or isinstance(one.threshold, bool) or one.threshold is None:
        return -math.inf
    return one.confidence - one.threshold


def check_accept(accept: Any, names: Collection[str]) -> None:
    """Refuse thresholds that cannot be.

    Raises:
        StrategyError: naming the level.
    """
    mend = f"a number for all levels, or by level ({', '.join(names)}) a number, True (any answer) or False (none)"
    if isinstance(accept, Mapping):
        unknown = [name for name in accept if name not in names]
        if unknown:
            raise StrategyError(f"accept={{{unknown[0]!r}: …}}: no level is called so", mend=mend)
        wrong = [name for name, one in accept.items() if not (one is None or isinstance(one, bool) or _is_number(one))]
        if wrong:
            raise StrategyError(f"accept={{{wrong[0]!r}: {accept[wrong[0]]!r:.60}}}", mend=mend)
    elif accept is not None and (isinstance(accept, bool) or not _is_number(accept)):
        raise StrategyError(f"accept={accept!r:.60}", mend=mend)


def _is_number(one: Any) -> bool:
    return isinstance(one, (int, float)) and math.isfinite(one)
