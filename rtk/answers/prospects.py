"""What further answers are worth to a vote: how likely they change it, and how much the better winner would gain.

A rule looks at a vote so far and says which of many votes the next answer should go to. It is the counterpart of
`stopping`, which looks at one vote alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb

from rtk.answers.field_votes import FieldsVote
from rtk.answers.votes import Vote

KNOWN = 2  # votes that each of the first two answers is taken to have had before: Beta(2, 2), as in `horizon`
BEFORE, UNSEEN = 10, 1  # answers that are taken to have come before, and how many of them nobody else gave
FURTHER = 16  # how many answers beyond a tie are looked ahead


@dataclass(frozen=True)
class Prospect:
    """What further answers promise a vote.

    Attributes:
        gain: by how much an answer raises the share of all answers that the winner is expected to have, where as many
            are added as pay best; 0 where those that are left cannot change the vote.
        ahead: how many pay best; 0 where none does.
        change: the probability that the second answer leads when all that are left are there.
    """

    gain: float
    ahead: int
    change: float


def prospect(found: Vote, left: int) -> Prospect:
    """What up to `left` further answers promise a vote.

    The shares of the first two answers are as if drawn from Beta(2, 2), so that what comes next is beta-binomial. A
    further answer is worth something only where it may change the winner, and one alone cannot where the leader is two
    ahead; so it is looked ahead, and the number of answers counts that gains most for each of them: the knowledge
    gradient KG(*) of Frazier and Powell, "Paradoxes in learning and the marginal value of information", Decision
    Analysis 7 (2010), 378-403. As there, a winner is worth what it is: the share of all answers that it is expected to
    have, so that a close race between two answers that are both rare is worth little. Chen, Lin and Zhou ("Optimistic
    knowledge gradient policy for optimal budget allocation in crowdsourcing", ICML 2013) give labels to questions in
    such a way, of which each has two answers.

    Only what falls on the first two moves them. Their part of all is the less, the more answers were given once (the
    probability that the next one is new is about their share: Good, "The population frequencies of species and the
    estimation of population parameters", Biometrika 40 (1953), 237-264), the more went to others, and the more
    abstained. That is what keeps a question to which every answer is another one from swallowing a budget.

    * no answer yet: the first one is worth all that a winner with one vote is; the less, the more have abstained.
    * all answers different: the less, the more there are.
    * a vote field by field: that of the field with the largest gain.
    * `left` of 0, or a lead that they cannot make up for: nothing.

    Args:
        found: the vote so far. Its answers count by heads, whatever they weigh.
        left: how many answers may still come.
    """
    if isinstance(found, FieldsVote) and found.fields:
        return max((prospect(one, left) for one in found.fields.values()), key=lambda one: (one.gain, one.change))
    heads = sorted((len(one.members) for one in found.clusters), reverse=True)
    first, second = [*heads, 0, 0][:2]
    if not first:
        answers = 1 / (found.size + 2)  # after so many abstentions, by Laplace's rule of succession
        return Prospect(_FIRST * answers**2, 1, 1.0) if left else Prospect(0.0, 0, 0.0)
    part = _part(first, second, heads.count(1), found.votes) * found.votes / found.size
    return _prospect(first, second, part, left)


def _part(first: int, second: int, once: int, votes: int) -> float:
    """The part of all answers that the first two are expected to have, where so many were given once."""
    new = (once + UNSEEN) / (votes + BEFORE)
    return (1 - new) * (first + second + 2 * KNOWN) / (votes + 2 * KNOWN)


_FIRST = _part(1, 0, 1, 1) * (1 + KNOWN) / (1 + 2 * KNOWN)
"""What the winner of a vote of one is worth."""


@cache
def _prospect(first: int, second: int, part: float, left: int) -> Prospect:
    lead = first - second
    most = min(left, lead + FURTHER)
    gains = {more: part * part * _gain(first, second, more) / more for more in range(max(1, lead), most + 1)}
    ahead = max(gains, key=lambda more: gains[more], default=0)
    if not ahead or not gains[ahead]:
        return Prospect(0.0, 0, 0.0)
    return Prospect(gains[ahead], ahead, _change(first, second, part, left))


@cache
def _gain(first: int, second: int, more: int) -> float:
    """How much larger the share of the leader of two is expected to be after so many more answers, than that of the
    one who leads now: E max(p', 1 - p') - max(p, 1 - p), where p' is the mean of what is known of p then."""
    total = first + second + 2 * KNOWN
    ahead = (
        _chance(first, second, more, own) * (second + more - own - first - own)
        for own in range(more + 1)
        if second + more - own > first + own
    )
    return sum(ahead) / (total + more)


def _change(first: int, second: int, part: float, left: int) -> float:
    """The probability that the second of two is ahead after so many more answers, of which a part is for the two."""
    return sum(
        comb(left, more) * part**more * (1 - part) ** (left - more) * _overtakes(first, second, more)
        for more in range(left + 1)
    )


@cache
def _overtakes(first: int, second: int, more: int) -> float:
    """The probability that the second of two is ahead after so many more answers for one of them."""
    return sum(_chance(first, second, more, own) for own in range(more + 1) if second + more - own > first + own)


@cache
def _chance(first: int, second: int, more: int, own: int) -> float:
    """P(X = own) for X ~ BetaBinomial(more, first + 2, second + 2), exactly."""
    ways = comb(first + KNOWN - 1 + own, own) * comb(second + KNOWN - 1 + more - own, more - own)
    return ways / comb(first + second + 2 * KNOWN - 1 + more, more)
