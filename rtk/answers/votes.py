"""Votes: many answers in, one answer out, with the whole distribution kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from statistics import median
from typing import Any, Literal, get_args

from rtk.answers.equality import Comparer, canonical, equal, text_of
from rtk.answers.numbers import read_number, sole_number, write_number
from rtk.errors import AnswerError

Kind = Literal["malformed", "empty", "refused", "length", "failed"]
Rule = Literal["majority", "weighted", "mean", "median"]


@dataclass(frozen=True)
class Abstention:
    """A completion that holds no answer.

    Attributes:
        kind: `"malformed"` (cannot be read), `"empty"`, `"refused"`, `"length"` (cut off) or `"failed"` (never came).
        reason: one sentence for a reader.
    """

    kind: Kind
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise AnswerError(f"{self.kind!r} is no kind of abstention", mend=f"one of {', '.join(get_args(Kind))}")


@dataclass(frozen=True)
class Cluster:
    """Answers that are the same.

    Attributes:
        answer: as its earliest member wrote it.
        members: their indices in the answers voted on, ascending.
        weight: the sum of their weights; their number where votes weigh the same.
        share: the weight as a part of all, in [0, 1].
    """

    answer: Any
    members: tuple[int, ...]
    weight: float
    share: float


@dataclass(frozen=True)
class Vote:
    """What a vote found.

    Attributes:
        winner: the answer, as the earliest member of its cluster wrote it; None where all abstained. A mean or median
            that nobody gave is a number, or its text where the answers are text.
        winner_index: the answer that stands for it: the earliest of its cluster, or the one nearest to a mean or
            median; None where all abstained.
        clusters: what was voted for, the heaviest first, the earliest first among equals.
        distribution: share of each answer, by its text; the shares sum to 1.
        share: the winner's share; 0.0 where nobody gave it, as with a mean.
        margin: share of the first cluster minus that of the second.
        votes: answers that counted.
        size: all answers, abstentions included.
        abstentions: how many of each kind.
    """

    winner: Any
    winner_index: int | None
    clusters: tuple[Cluster, ...]
    distribution: dict[str, float]
    share: float
    margin: float
    votes: int
    size: int
    abstentions: dict[str, int]

    @property
    def voters(self) -> tuple[int, ...]:
        """The answers that voted for the winner; none where it is a mean or median that nobody gave."""
        elected = (one.members for one in self.clusters if self.winner_index in one.members)
        return next(elected, ()) if self.share else ()


def vote(
    answers: Sequence[Any],
    *,
    rule: Rule = "majority",
    weights: Sequence[float] | None = None,
    comparer: Comparer = "auto",
) -> Vote:
    """Elect one of many answers (self-consistency; Wang et al., 2022, arXiv:2203.11171).

    Args:
        answers: in index order. None, blank text and `Abstention`s do not count; nor does, under `"mean"` and
            `"median"`, what holds no number (an abstention of kind `"malformed"`).
        rule: `"majority"`: the largest cluster. `"weighted"`: the heaviest. `"mean"`, `"median"`: of the numbers,
            computed exactly. Ties go to the cluster with the earliest answer.
        weights: one for each answer, from 0 on, for `"weighted"`; those of abstentions are ignored. Where they sum
            to 0 every answer weighs the same.
        comparer: which answers are the same; see `equal`. Clusters are closed under it: if a is b and b is c, the
            three are one, also where a function says that a is not c.

    Raises:
        AnswerError: an unknown rule or comparer, weights that do not fit.
    """
    answers = list(answers)
    _check_arguments(rule, weights, len(answers))
    abstained = {index: kind for index, answer in enumerate(answers) if (kind := _abstains(answer, rule)) is not None}
    counted = [index for index in range(len(answers)) if index not in abstained]
    clusters = _clusters(answers, counted, _weights_of(counted, weights), comparer)
    winner, winner_index, share = _elected(answers, counted, clusters, rule)
    second = clusters[1].share if len(clusters) > 1 else 0.0
    return Vote(
        winner=winner,
        winner_index=winner_index,
        clusters=clusters,
        distribution=_distribution(clusters),
        share=share,
        margin=clusters[0].share - second if clusters else 0.0,
        votes=len(counted),
        size=len(answers),
        abstentions=dict(sorted(Counter(abstained.values()).items())),
    )


def _check_arguments(rule: str, weights: Sequence[float] | None, size: int) -> None:
    if rule not in get_args(Rule):
        raise AnswerError(f"rule={rule!r} is no rule of voting", mend=f"one of {', '.join(get_args(Rule))}")
    if (rule == "weighted") != (weights is not None):
        raise AnswerError(f"rule={rule!r} with weights={weights!r}", mend='weights= and rule="weighted" go together')
    if weights is not None and len(weights) != size:
        raise AnswerError(f"{len(weights)} weights for {size} answers", mend="one weight for each answer")


def _abstains(answer: Any, rule: str) -> str | None:
    """The kind of abstention that an answer is, None where it counts."""
    if isinstance(answer, Abstention):
        return answer.kind
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return "empty"
    return "malformed" if rule in ("mean", "median") and _number(answer) is None else None


def _number(answer: Any) -> Fraction | None:
    number = read_number(answer)
    return sole_number(answer) if number is None and isinstance(answer, str) else number


def _weights_of(counted: list[int], weights: Sequence[float] | None) -> dict[int, float]:
    """The weight of each answer that counts."""
    if weights is None:
        return dict.fromkeys(counted, 1.0)
    found = {index: float(weights[index]) for index in counted}
    for index, weight in found.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise AnswerError(f"weight {weight} of answer {index}", mend="finite numbers from 0 on, such as exp(log p)")
    return found if any(found.values()) else dict.fromkeys(counted, 1.0)


def _clusters(
    answers: list[Any], counted: list[int], weights: dict[int, float], comparer: Comparer
) -> tuple[Cluster, ...]:
    total = math.fsum(weights.values())
    found = []
    for members in _grouped(answers, counted, comparer):
        weight = math.fsum(weights[index] for index in members)
        found.append(Cluster(answers[members[0]], tuple(members), weight, weight / total))
    return tuple(sorted(found, key=lambda cluster: (-cluster.weight, cluster.members[0])))


def _grouped(answers: list[Any], counted: list[int], comparer: Comparer) -> list[list[int]]:
    """Indices of equal answers together: by key, and where there is none, by pairs of different texts."""
    groups: dict[Any, list[int]] = {}
    key_of = cache(lambda text: canonical(text, comparer))  # a vote holds few different texts
    for index in counted:
        answer = answers[index]
        key = key_of(answer) if type(answer) is str else canonical(answer, comparer)
        groups.setdefault((type(answer), text_of(answer)) if key is None else key, []).append(index)
    found = list(groups.values())
    if callable(comparer) or comparer == "math":
        return _joined(answers, found, comparer)
    return found


def _joined(answers: list[Any], groups: list[list[int]], comparer: Comparer) -> list[list[int]]:
    """Groups united wherever one of a pair is equal to the other, in either order."""
    joined: list[list[list[int]]] = []  # a cluster is the groups it has united
    for group in groups:
        same = [cluster for cluster in joined if any(_same(answers, group, one, comparer) for one in cluster)]
        joined = [cluster for cluster in joined if cluster not in same]
        joined.append([*(one for cluster in same for one in cluster), group])
    return [sorted(index for group in cluster for index in group) for cluster in joined]


def _same(answers: list[Any], group: list[int], other: list[int], comparer: Comparer) -> bool:
    a, b = answers[other[0]], answers[group[0]]
    return equal(a, b, comparer) or (callable(comparer) and equal(b, a, comparer))


def _distribution(clusters: tuple[Cluster, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for cluster in clusters:
        text = text_of(cluster.answer)
        found[text] = found.get(text, 0.0) + cluster.share
    return found


def _elected(
    answers: list[Any], counted: list[int], clusters: tuple[Cluster, ...], rule: str
) -> tuple[Any, int | None, float]:
    """Winner, the index that stands for it, and its share."""
    if not clusters:
        return None, None, 0.0
    if rule in ("majority", "weighted"):
        return clusters[0].answer, clusters[0].members[0], clusters[0].share
    numbers = {index: number for index in counted if (number := _number(answers[index])) is not None}
    values = list(numbers.values())
    middle = sum(values, Fraction(0)) / len(values) if rule == "mean" else median(values)
    nearest = min(counted, key=lambda index: (abs(numbers[index] - middle), index))
    if numbers[nearest] == middle:
        own = next(cluster for cluster in clusters if nearest in cluster.members)
        return answers[nearest], nearest, own.share
    return (write_number(middle) if isinstance(answers[nearest], str) else _as_number(middle)), nearest, 0.0


def _as_number(number: Fraction) -> int | float:
    """A plain number; whole where it is whole, or too large for a float."""
    try:
        return int(number) if number.denominator == 1 else float(number)
    except OverflowError:
        return int(number)
