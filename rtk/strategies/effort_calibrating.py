"""Calibrating effort: from every rung's answers on dev questions, votes counted in many orders, to a policy."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy
import numpy as np

from rtk.answers import Cluster, Vote, vote
from rtk.budget import Cost
from rtk.errors import StrategyError
from rtk.statistics import Discrimination, auroc, difference, mean
from rtk.strategies.ballots import Ballot
from rtk.strategies.calibrated import Calibrated
from rtk.strategies.certainty import mean_logprob
from rtk.strategies.difficulty import measured, name_of
from rtk.strategies.effort_climbing import Climb, Effort, Rung
from rtk.strategies.effort_learning import at_equal_score, cheapest, chosen, folds_of
from rtk.strategies.effort_policy import STOP, Branch, EffortPolicy
from rtk.strategies.effort_tables import Climbs, Table, Walked, fixed, walked
from rtk.strategies.flow import Candidate
from rtk.strategies.prediction import evidence
from rtk.strategies.trials import Metric, Trial, Trials, score

UNITS = ("samples", "tokens", "dollars", "seconds")
LEAST = 10  # questions that anything can be learned from
FEW = 30  # questions below which the report warns
ORDERS = 32  # in which the chains of each question are counted


@dataclass(frozen=True)
class Fit:
    """What calibrating was asked for.

    Attributes:
        examples: the questions.
        metric: how answers are scored.
        efforts: the ladder.
        measure: of difficulty.
        nothing: no answer, in the fields of the chains.
        within: accuracy that may be given up.
        cost: the unit of cost.
        folds: parts of the questions.
        seed: of the parts and the orders.
    """

    examples: Sequence[dspy.Example]
    metric: Metric
    efforts: Sequence[Effort]
    measure: Any
    nothing: dspy.Prediction
    within: float
    cost: str
    folds: int
    seed: int

    def __post_init__(self) -> None:
        if self.cost not in UNITS:
            raise StrategyError(f"cost={self.cost!r:.40}", mend=f"one of {', '.join(UNITS)}")
        self.enough(len(self.examples), None)

    def enough(self, size: int, stopped: str | None, failed: str = "") -> None:
        """Refuse to learn from next to nothing."""
        if size < LEAST:
            ended = f", for the budget of {stopped} ended first" if stopped else failed
            raise StrategyError(
                f"calibrate: {size} {'question' if size == 1 else 'questions'} whole{ended}",
                mend=f"at least {LEAST}, better 50 and more; what was drawn is kept",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The rungs by name."""
        return tuple(one.name for one in self.efforts)


# --- from climbs to arrays ---


class _Question:
    """One question's climb, counted in any order of its chains."""

    def __init__(self, fit: Fit, trial: Trial, ballot: Ballot) -> None:
        self._fit, self._trial = fit, trial
        route: Any = trial.candidate.prediction and evidence(trial.candidate.prediction, "route")
        self.rungs: dict[str, Rung] = {one.name: one for one in route}
        climb = Climb(ballot, fit.measure, fit.nothing, rungs=list(route))
        for one in route:
            climb.chains.extend(one.came if one.kind == "votes" else ())
        self.chains: list[Candidate] = list(climb.votes)
        self.drawn = list(climb.chains)
        self._clusters = ballot.count(self.chains).clusters
        self._answers = ballot.answers(self.chains)
        self._own = {index: place for place, one in enumerate(self._clusters) for index in one.members}
        self._logprobs = [mean_logprob(one.sample) for one in self.chains]
        self._comparer, self._scored = ballot.comparer, dict[int, float]()

    def vote(self, order: Sequence[int]) -> Vote:
        """The vote of some chains, in this order."""
        groups: dict[int, list[int]] = {}
        for place, index in enumerate(order):
            if index in self._own:
                groups.setdefault(self._own[index], []).append(place)
        votes = sum(map(len, groups.values()))
        pairs = sorted(groups.values(), key=lambda one: (-len(one), one[0]))
        clusters = tuple(
            Cluster(self._answers[order[one[0]]], tuple(one), float(len(one)), len(one) / votes) for one in pairs
        )
        shares = [one.share for one in clusters[:2]] + [0.0, 0.0]
        logprobs = tuple(self._logprobs[index] for index in order)
        return Vote(
            winner=clusters[0].answer if clusters else None,
            winner_index=clusters[0].members[0] if clusters else None,
            clusters=clusters, distribution={}, share=shares[0], margin=shares[0] - shares[1], votes=votes,
            size=len(order), abstentions={}, logprobs=logprobs if any(one is not None for one in logprobs) else (),
        )  # fmt: skip

    def score(self, one: Candidate | None) -> float:
        """What an answer is worth; each is scored once."""
        key = id(one)
        if key not in self._scored:
            said = self._fit.nothing if one is None or one.prediction is None else one.prediction
            self._scored[key] = score(self._fit.metric, self._trial.example, said)
        return self._scored[key]

    def counted(self, order: Sequence[int]) -> tuple[list[float], list[float | None]]:
        """Of every rung, what its answer is worth and what the measure says."""
        scores: list[float] = []
        values: list[float | None] = []
        for effort in self._fit.efforts:
            if effort.votes is not None:
                first = order[: effort.votes]
                found = self.vote(first)
                winner = None if found.winner_index is None else self.chains[first[found.winner_index]]
                scores.append(self.score(winner))
                values.append(measured(self._fit.measure, found))
            else:
                one = self.rungs[effort.name].came[0]
                scores.append(scores[0] if one.prediction is None else self.score(one))
                values.append(self._value(effort.name, order))
        return scores, values

    def _value(self, name: str, order: Sequence[int]) -> float | None:
        """Of a program; where it says nothing itself, by those of the probe that agree, in this order."""
        rung = self.rungs[name]
        if rung.vote is not None or rung.confidence is not None or rung.answer is None:
            return rung.value
        said = vote([rung.answer, *self._answers], comparer=self._comparer).clusters
        members = next((one.members for one in said if 0 in one.members), ())
        probe = order[: self._fit.efforts[0].votes]
        return sum(index + 1 in members for index in probe) / len(probe)

    # --- costs ---

    def steps(self) -> Any:
        """What going from each rung straight to each later one costs, and what the first one costs."""
        size = len(self._fit.efforts)
        found = np.zeros((size, size))
        for after in range(size):
            for before in range(after):
                found[before, after] = self._between(before, after)
        return found, self._between(None, 0)

    def _between(self, before: int | None, after: int) -> float:
        efforts, unit = self._fit.efforts, self._fit.cost
        to = efforts[after]
        if unit == "seconds" and to.votes is None:
            return self.rungs[to.name].seconds
        had = 0 if before is None else efforts[before].votes or 0
        if unit == "seconds":
            return max((one.seconds for one in self.drawn[had : to.votes]), default=0.0)
        first = 0 if before is None else before + 1
        costs = dict[str, Cost]()
        for one in efforts[first : after + 1]:
            costs |= self.rungs[one.name].costs
        if to.votes is None:  # of what the rungs passed over would have drawn it draws its own
            own = {where for one in self.rungs[to.name].came for where in one.addresses}
            costs = {where: one for where, one in costs.items() if where in own}
        return self._amount(list(costs.values()))

    def _amount(self, costs: Sequence[Cost]) -> float:
        unit = self._fit.cost
        if unit == "samples":
            return float(len(costs))
        amounts = [getattr(one, unit) for one in costs]
        if None in amounts:
            raise StrategyError('cost="dollars" over an unknown price', mend="give rtk.LM its price=(input, output)")
        return float(sum(amounts))


def climbs_of(fit: Fit, trials: Sequence[Trial], ballot: Ballot) -> Climbs:
    """What every rung came to on every question, in many orders of the chains; the first is the one they came in."""
    scores, values, steps, first = [], [], [], []
    for number, trial in enumerate(trials):
        asked = _Question(fit, trial, ballot)
        chance = random.Random(f"{fit.seed} {number}")
        order = list(range(len(asked.chains)))
        orders = [order, *(chance.sample(order, len(order)) for _ in range(ORDERS - 1))]
        pairs = [asked.counted(one) for one in orders]
        scores.append([one for one, _ in pairs])
        values.append([one for _, one in pairs])
        step, start = asked.steps()
        steps.append(step)
        first.append(start)
    told = np.array(values, dtype=float)
    for rung in range(told.shape[2]):  # what is not known is harder than all that is
        known = told[:, :, rung][~np.isnan(told[:, :, rung])]
        told[:, :, rung] = np.nan_to_num(told[:, :, rung], nan=(known.min() if known.size else 0.0) - 1)
    return Climbs(np.array(scores), told, np.array(steps), np.array(first))


# --- learning, and what it is worth ---


def fitted(fit: Fit, trials: Trials, ballot: Ballot) -> tuple[Calibrated, EffortPolicy]:
    """What is learned from the questions that were answered whole, and how it does on questions kept aside.

    Raises:
        StrategyError: for too few of them.
    """
    asked = [one for one in trials if one.candidate.prediction is not None]
    failed = _failed([one.candidate for one in trials if one.candidate.prediction is None])
    fit.enough(len(asked), trials.stopped, failed)
    climbs = climbs_of(fit, asked, ballot)
    told = _discriminations(fit, climbs)
    table, why, did, informative = _decided(fit, climbs, told)
    full = walked(climbs, fixed(climbs.rungs - 1, climbs.rungs))
    policy = _policy(fit, table)
    found = Calibrated(
        learned={"policy": policy},
        informative=informative,
        why=why + _few(len(asked)) + failed,
        size=len(asked),
        full=mean(full.scores),
        accuracy=mean(did.scores),
        difference=difference(full.scores, did.scores),
        cost=did.cost,
        full_cost=full.cost,
        unit=fit.cost,
        discrimination=told,
        stopped=trials.stopped,
    )
    return found, policy


def _discriminations(fit: Fit, climbs: Climbs) -> dict[str, Discrimination]:
    """By rung before the last, how well the measure tells right answers from wrong ones, as the samples came."""
    return {
        name: auroc(climbs.values[:, 0, place], climbs.scores[:, 0, place]) for place, name in enumerate(fit.names[:-1])
    }


def _decided(fit: Fit, climbs: Climbs, told: Mapping[str, Discrimination]) -> tuple[Table, str, Walked, bool]:
    """What is done from now on and why, how it does on questions kept aside, and whether the measure is worth it."""
    measure = name_of(fit.measure)
    rung, best = min(told.items(), key=lambda one: one[1].p)
    informative = best.p * len(told) < 0.05  # Bonferroni: one of several rungs may be informative by chance
    if not informative:
        why = f"{measure} does not tell right answers from wrong ones beyond chance (best after {rung}: {best})"
        return *_same(fit, climbs, why), informative
    table, did = _learn(fit, climbs), _aside(fit, climbs, _learn)
    equal = at_equal_score(climbs, did.score)
    costs = f"{did.cost:,.3g} {fit.cost} a question, and fixed effort of the same accuracy {equal:,.3g}"
    lost = difference(walked(climbs, fixed(climbs.rungs - 1, climbs.rungs)).scores, did.scores)
    if lost.high < -fit.within:
        why = f"what was learned loses too much on questions kept aside ({100 * (lost.value or 0):+.1f} points)"
        return *_same(fit, climbs, why), informative
    if did.cost >= equal:
        return *_same(
            fit, climbs, f"what was learned saves nothing on questions kept aside: it costs {costs}"
        ), informative
    why = f"effort by {measure} costs {costs}; {measure} tells right answers from wrong ones (after {rung}: {best})"
    return table, why, did, informative


def _learn(fit: Fit, climbs: Climbs) -> Table:
    return chosen(climbs, fit.within, fit.folds, fit.seed)


def _fix(fit: Fit, climbs: Climbs) -> Table:
    return fixed(cheapest(climbs, fit.within), climbs.rungs)


def _same(fit: Fit, climbs: Climbs, why: str) -> tuple[Table, str, Walked]:
    """The same effort for every question."""
    rung = cheapest(climbs, fit.within)
    table, name = fixed(rung, climbs.rungs), fit.names[rung]
    points = f"{100 * fit.within:.3g} {'point' if fit.within == 0.01 else 'points'}"
    why += f"; so every question gets rung {name}, the cheapest within {points} of full effort"
    full = name == fit.names[-1]  # which is nothing that was learned
    return table, why, walked(climbs, table) if full else _aside(fit, climbs, _fix)


def _aside(fit: Fit, climbs: Climbs, learn: Any) -> Walked:
    """How what is learned does, on each fold when it was learned from the others."""
    scores, costs = np.zeros(climbs.size), np.zeros(climbs.size)
    for part in folds_of(climbs.size, fit.folds, fit.seed + 1):
        rest = np.setdiff1d(np.arange(climbs.size), part)
        got = walked(climbs.of(part), learn(fit, climbs.of(rest)))
        scores[part], costs[part] = got.scores, got.costs
    return Walked(scores, costs)


def _policy(fit: Fit, table: Table) -> EffortPolicy:
    """A table as a policy, without the rungs that it never comes to."""
    names, after = fit.names, {}
    for rung, (edges, actions) in zip(names[:-1], table, strict=False):
        thens = [STOP if one is None else names[one] for one in actions]
        after[rung] = tuple(Branch(*one) for one in zip((*edges, float("inf")), thens, strict=True))
    found = EffortPolicy(name_of(fit.measure), names, after)
    return replace(found, after={rung: after[rung] for rung in found.reached if rung in after})


def _failed(lost: Sequence[Candidate]) -> str:
    """What is said of questions of which no sample came."""
    if not lost:
        return ""
    reason = lost[0].abstention.reason if lost[0].abstention is not None else ""
    return f"; of {len(lost)} more no sample came ({reason:.100})"


def _few(size: int) -> str:
    return "" if size >= FEW else f"; {size} questions are few, so take it for a rough guess"
