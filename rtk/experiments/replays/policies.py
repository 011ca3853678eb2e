"""Policies: what may be done with attempts that were drawn, as `rtk.SelfConsistency` and `rtk.BestOfN` do it.

A policy reads attempts one behind the other, stops perhaps before the last one, and elects an answer or takes the best.
`played` plays one exactly: it is what the strategies' own rules come to, asked of stored attempts in place of new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from rtk.answers import Abstention, Comparer, Vote, stopping, text_of, vote
from rtk.errors import RTKError

HEADS = ("majority", "medoid")  # rules that count heads, so that they may be settled early
QUANTITIES = ("mean", "median", "trimmed_mean")
WEIGHED = ("weighted", "best")
RULES = ("majority", "confidence", "weighted", "medoid", *QUANTITIES, "best")
WEIGHTS = ("logprob", "reward")
STOPS = ("beta", "window", "horizon")


@dataclass(frozen=True, repr=False)
class Policy:
    """How an answer is made of attempts.

    Attributes:
        samples: how many attempts at most; None for all that every question has.
        vote: how they elect: a rule of `rtk.SelfConsistency` (`"majority"`, `"confidence"`, `"weighted"`, `"medoid"`,
            `"mean"`, `"median"`, `"trimmed_mean"`), or a function from the answers to an `rtk.answers.Vote`; or
            `"best"`: the attempt with the highest reward, as `rtk.BestOfN`.
        stop: None for all attempts; `"beta"`, `"window"`, `"horizon"`, or a function of the vote so far. With a vote
            that counts heads.
        certainty: of `"beta"` and `"horizon"`; their own by default.
        window: of `"window"`, in attempts; its own by default.
        threshold: of a vote: the confidence (the winner's share of the votes) below which it abstains. Of `"best"`: a
            reward that is good enough, so that the first attempt that reaches it is taken.
        weight: of `"weighted"`, and as the reward of `"best"`: `"reward"` (what the sweep's verifier gave), `"logprob"`
            (what the tokens were worth; as a weight their mean probability), or a function `(question, attempt)` to a
            number or None. It is shown no gold answer, nor whether the attempt is right.
        extract: None for the answers as they were read; else how the raw text is read again: a `how` of
            `rtk.answers.extract`, or a function of the text that returns an answer or None.
        trim: of `"trimmed_mean"`; its own by default.
    """

    samples: int | None = None
    vote: Any = "majority"
    stop: Any = None
    certainty: float | None = None
    window: int | None = None
    threshold: float | None = None
    weight: Any = None
    extract: Any = None
    trim: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.vote) and self.vote not in RULES:
            known = f"one of {', '.join(RULES)}, or a function of the answers"
            raise RTKError(f"vote={self.vote!r} cannot be replayed", mend=f"{known}; others ask a model")
        whole = isinstance(self.samples, int) and not isinstance(self.samples, bool) and self.samples >= 1
        if self.samples is not None and not whole:
            raise RTKError(f"samples={self.samples!r}", mend="a whole number from 1 on, or None for all")
        if self.threshold is not None and (isinstance(self.threshold, bool) or not _finite(self.threshold)):
            raise RTKError(f"threshold={self.threshold!r}", mend="a number, or None")
        if self.trim is not None and self.vote != "trimmed_mean":
            raise RTKError(f"trim= with vote={self.vote!r}", mend='trim= goes with vote="trimmed_mean"')
        self._check_stop()
        self._check_weight()

    def _check_stop(self) -> None:
        if self.stop is not None and not callable(self.stop):
            stopping(self.stop, self.certainty, self.window)  # which refuses what cannot be
        if self.stop is not None and not callable(self.vote) and self.vote not in HEADS:
            raise RTKError(f"stop= counts votes; vote={self.vote!r} does not", mend='vote="majority", or no stop=')

    def _check_weight(self) -> None:
        if (self.weight is not None) != (self.vote in WEIGHED):
            raise RTKError(
                f"vote={called(self.vote)!r} with weight={called(self.weight)!r}",
                mend='weight= goes with vote="weighted" and vote="best", which need one',
            )
        if self.weight is not None and not callable(self.weight) and self.weight not in WEIGHTS:
            raise RTKError(f"weight={self.weight!r}", mend='"reward", "logprob", or a function (question, attempt)')

    @property
    def exactly(self) -> bool:
        """Whether it holds a function of votes, so that it must be played one order at a time."""
        return callable(self.vote) or callable(self.stop)

    @property
    def set(self) -> int:
        """How many settings it has besides the vote."""
        return sum(value is not None for value in self.row().values())

    def row(self) -> dict[str, Any]:
        """Its settings as a row: functions by their names."""
        return {one.name: called(getattr(self, one.name)) for one in fields(self)}

    def __repr__(self) -> str:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        said = [
            f"{name}=<{called(value)}>" if callable(value) else f"{name}={value!r}"
            for name, value in values.items()
            if value is not None
        ]
        return f"Policy({', '.join(said)})"

    def __str__(self) -> str:
        said = [f"{name}={value}" for name, value in self.row().items() if value is not None]
        return ", ".join(said)


def called(value: Any) -> Any:
    """A setting as a table says it."""
    return getattr(value, "__name__", type(value).__name__) if callable(value) else value


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


# --- every combination ---


def combined(axes: Mapping[str, Sequence[Any] | None]) -> list[Policy]:
    """Every combination that can be: a setting that a vote does not take is left out of it, and nothing is twice.

    Args:
        axes: `samples`, `stop`, `vote`, `threshold`, `weight`, `extract`, each with its values or None for the default;
            a stop may be a pair of its name and its settings.

    Raises:
        RTKError: for a setting that cannot be whatever the others are, or where nothing goes together.
    """
    for name, values in axes.items():
        if isinstance(values, str | Mapping) or (values is not None and not hasattr(values, "__iter__")):
            raise RTKError(f"{name}={values!r:.40}", mend=f"a list of values, such as {name}=[{values!r:.40}]")
    given = {name: [None] if values is None else list(values) for name, values in axes.items()}
    given["vote"] = [one or "majority" for one in given["vote"]]
    found: dict[Policy, None] = {}
    for values in product(*given.values()):
        one = _one(dict(zip(given, values, strict=True)), given)
        if one is not None:
            found.setdefault(one)
    if not found:
        raise RTKError("these settings do not go together", mend='stop= goes with vote=["majority"], weight= with '
                       'vote=["weighted"] or ["best"]')  # fmt: skip
    return list(found)


def _one(chosen: dict[str, Any], given: Mapping[str, list[Any]]) -> Policy | None:
    """One combination; None where another one says the same, or it cannot be."""
    stop, rule = chosen.pop("stop"), chosen["vote"]
    settings = dict(stop[1]) if isinstance(stop, tuple) else {}
    stop = stop[0] if isinstance(stop, tuple) else stop
    counts = callable(rule) or rule in HEADS or rule not in RULES
    if not counts and stop is not None:
        Policy(stop=stop, **settings)  # which refuses what cannot be
        stop, settings = None, {}
    if rule in WEIGHED and chosen["weight"] is None:
        if any(one is not None for one in given["weight"]):
            return None
        chosen["weight"] = "reward"
    if rule not in WEIGHED and chosen["weight"] is not None:
        Policy(vote="best", weight=chosen["weight"])
        chosen["weight"] = None
    return Policy(**chosen, stop=stop, **settings)


# --- one policy, exactly ---


@dataclass(frozen=True)
class Choice:
    """What a policy makes of attempts in one order.

    Attributes:
        seen: how many it looked at.
        place: the attempt that stands for the answer, in that order; None where it abstains.
        answer: the answer; None where it abstains.
        own: whether that attempt says the answer itself; else it is a value that the vote made.
        confidence: the winner's share of the votes; None where nobody voted.
    """

    seen: int
    place: int | None
    answer: Any
    own: bool
    confidence: float | None


def played(
    policy: Policy,
    answers: Sequence[Any],
    twins: Sequence[Any],
    samples: int,
    comparer: Comparer = "auto",
    weights: Sequence[float] | None = None,
) -> Choice:
    """Play a policy of votes on attempts in one order, by the rules of `rtk.answers` themselves.

    Args:
        policy: any but `"best"`.
        answers: of the attempts, an `Abstention` where there is none.
        twins: what attempts share that are one sample; it counts once, and no further ones are asked for.
        samples: how many there are at most.
        comparer: which answers are the same.
        weights: of a weighed vote.
    """
    seen = _seen(policy, answers, twins, samples, comparer)
    places = [place for place in range(seen) if twins[place] not in twins[:place]]
    counted = [answers[place] for place in places]
    found = elected(policy, counted, comparer, None if weights is None else [weights[place] for place in places])
    if found.winner_index is None:
        return Choice(seen, None, None, False, None)
    share = len(found.voters) / found.votes if found.votes else None
    if policy.threshold is not None and (share is None or share < policy.threshold):
        return Choice(seen, None, None, False, share)
    own = text_of(found.winner) == text_of(counted[found.winner_index])
    return Choice(seen, places[found.winner_index], found.winner, own, share)


def _seen(policy: Policy, answers: Sequence[Any], twins: Sequence[Any], samples: int, comparer: Comparer) -> int:
    """How many attempts are looked at, asked for in the waves in which the strategy asks."""
    seen = 0
    while seen < samples and len(set(twins[:seen])) == seen:
        needed = _needed(policy, answers[:seen], samples - seen, comparer)
        if not needed:
            break
        seen += needed
    return seen


def _needed(policy: Policy, answers: Sequence[Any], left: int, comparer: Comparer) -> int:
    if policy.stop is None:
        return left
    found = elected(policy, answers, comparer)
    if callable(policy.stop):
        return 0 if answers and policy.stop(found) else 1
    return stopping(policy.stop, policy.certainty, policy.window)(found, left)


def elected(policy: Policy, answers: Sequence[Any], comparer: Comparer, weights: Sequence[float] | None = None) -> Vote:
    """The vote of some answers."""
    if callable(policy.vote):
        if all(isinstance(one, Abstention) for one in answers):
            return vote(answers)
        found = policy.vote(list(answers))
        if not isinstance(found, Vote):
            raise RTKError(
                f"the vote function returned {type(found).__name__}",
                mend="return an rtk.answers.Vote, such as rtk.answers.vote(answers, …) gives",
            )
        return found
    rule: Any = "weighted" if weights is not None else policy.vote
    return vote(answers, rule=rule, weights=weights, comparer=meaning(policy, comparer), trim=policy.trim)


def meaning(policy: Policy, comparer: Comparer) -> Comparer:
    """Which answers are the same under a vote: free texts that are written alike, where nothing else is said."""
    return "similar" if policy.vote == "medoid" and comparer == "auto" else comparer


Weight = Callable[[str, Mapping[str, Any]], Any]
