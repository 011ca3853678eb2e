"""Votes: many answers in, one answer out, with the whole distribution kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from rtk.answers.equality import Comparer, text_of
from rtk.answers.grouping import grouped
from rtk.answers.numbers import write_number
from rtk.answers.quantities import TRIM, check_trim, middle_of, number_in
from rtk.answers.similarity import likeness, medoid
from rtk.errors import AnswerError

Kind = Literal["malformed", "empty", "refused", "length", "failed"]
Rule = Literal["majority", "weighted", "mean", "median", "trimmed_mean", "medoid"]
KINDS, RULES = get_args(Kind), get_args(Rule)
QUANTITIES = ("mean", "median", "trimmed_mean")


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
        if self.kind not in KINDS:
            raise AnswerError(f"{self.kind!r} is no kind of abstention", mend=f"one of {', '.join(KINDS)}")


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
        winner: the answer, as the earliest member of its cluster wrote it, or its medoid; None where all abstained. A
            mean or median that nobody gave is a number, or its text where the answers are text.
        winner_index: the answer that stands for it: the earliest of its cluster, its medoid, or the one nearest to a
            mean or median; None where all abstained.
        clusters: what was voted for, the heaviest first, the earliest first among equals.
        distribution: share of each answer, by its text; the shares sum to 1.
        share: the winner's share; 0.0 where nobody gave it, as with a mean.
        margin: share of the first cluster minus that of the second.
        votes: answers that counted.
        size: all answers, abstentions included.
        abstentions: how many of each kind.
        logprobs: of each answer, abstentions included, the mean log-probability of its tokens, in nats; None where it
            is not known. Empty where none is.
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
    logprobs: tuple[float | None, ...] = ()

    @property
    def voters(self) -> tuple[int, ...]:
        """The answers that voted for the winner; none where it is a mean or median that nobody gave."""
        elected = (one.members for one in self.clusters if self.winner_index in one.members)
        return next(elected, ()) if self.share else ()

    @property
    def logprob(self) -> float | None:
        """The mean log-probability of the winner's voters; None where nothing is known of any of them."""
        return self._logprob_of(self.voters)

    def rows(self) -> list[dict[str, Any]]:
        """What was voted for as a table, the heaviest first: `answer`, `votes`, `share` in [0, 1], `logprob` (the mean
        of its voters', in nats; None where it is not known).
        """
        return [
            {
                "answer": text_of(one.answer),
                "votes": len(one.members),
                "share": one.share,
                "logprob": self._logprob_of(one.members),
            }
            for one in self.clusters
        ]

    def _logprob_of(self, members: tuple[int, ...]) -> float | None:
        known = [one for index in members if self.logprobs and (one := self.logprobs[index]) is not None]
        return math.fsum(known) / len(known) if known else None


def vote(
    answers: Sequence[Any],
    *,
    rule: Rule = "majority",
    weights: Sequence[float] | None = None,
    comparer: Comparer = "auto",
    exclude: Sequence[str] = (),
    trim: float | None = None,
) -> Vote:
    """Elect one of many answers (self-consistency; Wang et al., 2022, arXiv:2203.11171).

    Args:
        answers: in index order. None, blank text and `Abstention`s do not count; nor does, under `"mean"`, `"median"`
            and `"trimmed_mean"`, what holds no number (an abstention of kind `"malformed"`).
        rule: `"majority"`: the largest cluster. `"weighted"`: the heaviest. Ties go to the one with the earliest
            answer. `"mean"`, `"median"`, `"trimmed_mean"`: of the numbers, computed exactly. `"medoid"`: for free text,
            the member of the largest cluster that is most like its others (see `medoid`); of several largest clusters,
            that whose medoid is most like all answers.
        weights: one for each answer, from 0 on, for `"weighted"`; those of abstentions are ignored. Where they sum
            to 0 every answer weighs the same.
        comparer: which answers are the same; see `equal`. Clusters are closed under it: if a is b and b is c, the
            three are one, also where a function says that a is not c.
        exclude: names of fields whose values do not count in comparing; see `equal`.
        trim: the share of the numbers that `"trimmed_mean"` leaves out at each end, from 0 to below 0.5, rounded down
            to whole numbers; 0.2 by default, so that from five numbers on the extremes are left out.

    Raises:
        AnswerError: an unknown rule or comparer, weights or a trim that do not fit.
    """
    answers = list(answers)
    _check_arguments(rule, weights, len(answers), trim)
    abstained = {index: kind for index, answer in enumerate(answers) if (kind := abstains(answer, rule)) is not None}
    return elect(answers, abstained, rule, comparer, exclude, weights, trim)


def elect(
    answers: list[Any],
    abstained: Mapping[int, str],
    rule: str,
    comparer: Comparer,
    exclude: Sequence[str] = (),
    weights: Sequence[float] | None = None,
    trim: float | None = None,
) -> Vote:
    """A vote of those that do not abstain."""
    counted = [index for index in range(len(answers)) if index not in abstained]
    groups = grouped(answers, counted, comparer, exclude)
    clusters = clustered(answers, groups, _weights_of(counted, weights))
    winner, winner_index, share = _elected(answers, counted, clusters, rule, TRIM if trim is None else trim)
    return tallied(clusters, abstained, len(answers), winner=winner, winner_index=winner_index, share=share)


def tallied(clusters: tuple[Cluster, ...], abstained: Mapping[int, str], size: int, **elected: Any) -> Vote:
    """A vote from its clusters, those that abstained, and who was elected."""
    second = clusters[1].share if len(clusters) > 1 else 0.0
    return Vote(
        **elected,
        clusters=clusters,
        distribution=_distribution(clusters),
        margin=clusters[0].share - second if clusters else 0.0,
        votes=size - len(abstained),
        size=size,
        abstentions=dict(sorted(Counter(abstained.values()).items())),
    )


def _check_arguments(rule: str, weights: Sequence[float] | None, size: int, trim: float | None) -> None:
    if rule not in RULES:
        raise AnswerError(f"rule={rule!r} is no rule of voting", mend=f"one of {', '.join(RULES)}")
    if (rule == "weighted") != (weights is not None):
        raise AnswerError(f"rule={rule!r} with weights={weights!r}", mend='weights= and rule="weighted" go together')
    if weights is not None and len(weights) != size:
        raise AnswerError(f"{len(weights)} weights for {size} answers", mend="one weight for each answer")
    if trim is not None and rule != "trimmed_mean":
        raise AnswerError(f"rule={rule!r} with trim={trim!r}", mend='trim= goes with rule="trimmed_mean"')
    check_trim(TRIM if trim is None else trim)


def abstains(answer: Any, rule: str) -> str | None:
    """The kind of abstention that an answer is, None where it counts."""
    if isinstance(answer, Abstention):
        return answer.kind
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return "empty"
    return "malformed" if rule in QUANTITIES and number_in(answer) is None else None


def _weights_of(counted: list[int], weights: Sequence[float] | None) -> dict[int, float]:
    """The weight of each answer that counts."""
    if weights is None:
        return dict.fromkeys(counted, 1.0)
    found = {index: float(weights[index]) for index in counted}
    for index, weight in found.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise AnswerError(f"weight {weight} of answer {index}", mend="finite numbers from 0 on, such as exp(log p)")
    return found if any(found.values()) else dict.fromkeys(counted, 1.0)


def clustered(answers: Sequence[Any], groups: list[list[int]], weights: Mapping[int, float]) -> tuple[Cluster, ...]:
    """Groups of answers as clusters, the heaviest first."""
    total = math.fsum(weights.values())
    found = []
    for members in groups:
        weight = math.fsum(weights[index] for index in members)
        found.append(Cluster(answers[members[0]], tuple(members), weight, weight / total))
    return tuple(sorted(found, key=lambda cluster: (-cluster.weight, cluster.members[0])))


def _distribution(clusters: tuple[Cluster, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for cluster in clusters:
        text = text_of(cluster.answer)
        found[text] = found.get(text, 0.0) + cluster.share
    return found


def _elected(
    answers: list[Any], counted: list[int], clusters: tuple[Cluster, ...], rule: str, trim: float
) -> tuple[Any, int | None, float]:
    """Winner, the index that stands for it, and its share."""
    if not clusters:
        return None, None, 0.0
    if rule in QUANTITIES:
        return _quantity(answers, counted, clusters, rule, trim)
    first = _medoid(answers, counted, clusters) if rule == "medoid" else clusters[0].members[0]
    return answers[first], first, clusters[0].share


def _quantity(
    answers: list[Any], counted: list[int], clusters: tuple[Cluster, ...], rule: str, trim: float
) -> tuple[Any, int, float]:
    numbers = {index: number for index in counted if (number := number_in(answers[index])) is not None}
    middle = middle_of(list(numbers.values()), rule, trim)
    nearest = min(counted, key=lambda index: (abs(numbers[index] - middle), index))
    if numbers[nearest] == middle:
        own = next(cluster for cluster in clusters if nearest in cluster.members)
        return answers[nearest], nearest, own.share
    return (write_number(middle) if isinstance(answers[nearest], str) else _as_number(middle)), nearest, 0.0


def _medoid(answers: list[Any], counted: list[int], clusters: tuple[Cluster, ...]) -> int:
    """The medoid of the largest cluster; of several such, that which is most like all answers."""
    texts = {index: text_of(answers[index]) for index in counted}
    largest = [one for one in clusters if one.weight == clusters[0].weight]
    found = [one.members[medoid([texts[index] for index in one.members])] for one in largest]
    if len(found) == 1:
        return found[0]
    sums = likeness([texts[index] for index in found], list(texts.values()))
    return min(zip(sums, found, strict=True), key=lambda pair: (-pair[0], pair[1]))[1]


def _as_number(number: Fraction) -> int | float:
    """A plain number; whole where it is whole, or too large for a float."""
    try:
        return int(number) if number.denominator == 1 else float(number)
    except OverflowError:
        return int(number)
