"""Stopping early: how many further answers a vote needs at least before it can be called settled.

A rule looks at the vote so far, in index order, and says how many further answers there must be before it could stop;
0 is now. So answers can be asked for in waves without paying for one that the rule, asked after every single answer,
would not have wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import comb

from rtk.answers.votes import Vote
from rtk.errors import AnswerError

StoppingRule = Callable[[Vote, int], int]
"""From a vote and the number of answers that may still come (one or more): further answers needed, at most as many."""


def stopping(rule: str, level: float | None = None, size: int | None = None) -> StoppingRule:
    """A rule by its name: `"beta"`, `"window"` or `"horizon"`.

    Args:
        rule: its name.
        level: the certainty of `beta` and `horizon`, between 0.5 and 1; their own by default.
        size: of a window, in answers; its own by default.

    Raises:
        AnswerError: for a name, a level or a size that cannot be.
    """
    if rule not in RULES:
        raise AnswerError(f"stop={rule!r} is no rule", mend=f"one of {', '.join(RULES)}, or a function of the vote")
    if level is not None and not 0.5 < level <= 1:
        raise AnswerError(f"a level of {level!r}", mend="between 0.5 and 1, such as 0.95")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 2):
        raise AnswerError(f"a window of {size!r}", mend="a whole number from 2 on")
    setting = size if rule == "window" else level
    return RULES[rule]() if setting is None else RULES[rule](setting)


def beta(level: float = 0.95) -> StoppingRule:
    """Adaptive-Consistency (Aggarwal et al., 2023, arXiv:2305.11860): stop where the leader is the more frequent of
    the first two answers with probability `level`, of which nothing was known before.
    """

    def needed(found: Vote, left: int) -> int:
        first, second, _ = _leaders(found)
        return _first(left, lambda more: _more_frequent(first + more, second) >= level)

    return needed


def window(size: int = 5) -> StoppingRule:
    """Early-stopping self-consistency (Li et al., 2024, arXiv:2401.10480): stop after a window of `size` answers, one
    window behind the other, that are all the same. Whoever abstains agrees with nobody.
    """

    def needed(found: Vote, left: int) -> int:
        rest = -found.size % size
        last = range(found.size - size, found.size)
        agree = not rest and found.size and any(set(last) <= set(one.members) for one in found.clusters)
        return 0 if agree else min(left, rest or size)

    return needed


def horizon(level: float = 0.935) -> StoppingRule:
    """Stop where the leader will still lead when all answers are there, with probability `level`.

    Unlike `beta` it knows how many answers may still come: a lead that they cannot or will hardly make up for is
    enough, be the answers ever so close. As if every one of them were for one of the first two: a beta-binomial
    distribution, with Beta(2, 2) as what was known of their shares before. Under a flat one, three answers that agree
    would be enough, and the vote would be wrong for it too often. The default level was chosen on made-up matrices
    (`benchmarks/adaptive_stop.py`, of other seeds) as one that takes four fifths of `beta`'s answers.
    """

    def needed(found: Vote, left: int) -> int:
        first, second, ties = _leaders(found)
        return _first(left, lambda more: _still_leads(first + more, second, left - more, ties) >= level)

    return needed


def _leaders(found: Vote) -> tuple[int, int, bool]:
    """Votes for the first two answers, and whether the first one would win a tie."""
    sizes = [len(one.members) for one in found.clusters[:2]] + [0, 0]
    early = len(found.clusters) < 2 or found.clusters[0].members[0] < found.clusters[1].members[0]
    return sizes[0], sizes[1], early


def _first(left: int, settled: Callable[[int], bool]) -> int:
    """The fewest further answers with which it is settled, should all be for the leader; `left` where none are
    enough. More of them settle it all the more."""
    low, high = 0, left
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle + 1, high)
    return low


RULES: dict[str, Callable[..., StoppingRule]] = {"beta": beta, "window": window, "horizon": horizon}


@cache
def _more_frequent(first: int, second: int) -> float:
    """P(p > 1/2) for p ~ Beta(first + 1, second + 1), exactly: that of at most `first` heads in so many throws."""
    throws = first + second + 1
    return sum(comb(throws, heads) for heads in range(first + 1)) / 2**throws


@cache
def _still_leads(first: int, second: int, left: int, ties: bool) -> float:
    """P(first + X leads second + left - X) for X ~ BetaBinomial(left, first + 2, second + 2), exactly."""
    least = (second + left - first) // 2 + 1  # the fewest of the rest with which it is ahead
    if ties and (second + left - first) % 2 == 0:
        least -= 1
    ways = sum(
        comb(first + 1 + more, more) * comb(second + 1 + left - more, left - more)
        for more in range(max(0, least), left + 1)
    )
    return ways / comb(first + second + 3 + left, left)
