"""Escalating: what a cascade learns from questions that every level of it was tried on, and what that is worth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
import numpy as np

from rtk.errors import StrategyError
from rtk.statistics import Discrimination, Estimate, difference, mean, proportion
from rtk.strategies.accept_thresholds import (
    Gates,
    Played,
    Rule,
    Table,
    discriminations,
    learned,
    least_size,
    played,
)
from rtk.strategies.accepting import Accept
from rtk.strategies.calibrated import Calibrated
from rtk.strategies.prediction import evidence
from rtk.strategies.routes import Level
from rtk.strategies.settings import check_share, check_whole
from rtk.strategies.trials import Metric, Trials, score

UNITS = ("tokens", "samples", "calls", "dollars", "seconds")


@dataclass(frozen=True)
class Learning:
    """What thresholds are learned for.

    Attributes:
        metric: what an answer is worth.
        rule: what they must keep to.
        unit: of the cost.
        folds: parts of the questions, each of which is answered with what was learned from the others.
        seed: of the parts.
    """

    metric: Metric
    rule: Rule
    unit: str
    folds: int
    seed: int


def learning(metric: Metric, within: Any, wrong: Any, unit: Any, folds: Any, seed: Any, hand_over: bool) -> Learning:
    """What thresholds are learned for.

    Raises:
        StrategyError: for a setting that cannot be.
    """
    check_whole("folds", folds, 2)
    check_whole("seed", seed, 0)
    for name, share in (("within", within), ("wrong_accepts", 0.5 if wrong is None else wrong)):
        check_share(name, share)
    if wrong is not None and (not hand_over or not wrong):
        raise StrategyError(
            f"wrong_accepts={wrong!r}" + (" cannot be kept by anybody" if hand_over else " without a person to ask"),
            mend="a share above 0, such as 0.05" if hand_over else "rtk.Cascade(…, hand_over=True)",
        )
    if unit not in UNITS:
        raise StrategyError(f"cost={unit!r:.40}", mend=f"one of {', '.join(UNITS)}")
    return Learning(metric, Rule(float(within), None if wrong is None else float(wrong)), unit, folds, seed)


def table_of(
    trials: Trials, outputs: Sequence[str], wanted: Learning, looked_up: tuple[bool, ...], hand_over: bool
) -> Table:
    """Trials as a table.

    Raises:
        StrategyError: where not one question was answered whole, or a price is unknown.
        TaskError: where the metric gives no score.
    """
    routes = [evidence(one.candidate.prediction, "route") for one in trials if one.candidate.prediction is not None]
    if not routes:
        raise StrategyError(
            f"calibrate: the budget of {trials.stopped} ended before a single question was answered by every level",
            mend="a larger budget=, or none",
        )
    levels: list[tuple[Level, ...]] = list(zip(*routes, strict=True))
    asked = [one.example for one in trials if one.candidate.prediction is not None]
    silent = [score(wanted.metric, one, dspy.Prediction(**dict.fromkeys(outputs))) for one in asked]
    grid = lambda tell, kind=float: np.array([[tell(one) for one in row] for row in levels], dtype=kind)  # noqa: E731
    scores = np.array(
        [
            [_worth(wanted.metric, example, one, outputs) for example, one in zip(asked, row, strict=True)]
            for row in levels
        ],
        dtype=float,
    )
    return Table(
        tuple(row[0].name for row in levels),
        grid(lambda one: math.nan if one.confidence is None else one.confidence),
        grid(lambda one: one.answer is not None, bool),
        grid(lambda one: one.answered, bool),
        scores,
        np.array(silent, dtype=float),
        [[_costs(one, wanted.unit) for one in row] for row in levels],
        grid(lambda one: _besides(one, wanted.unit)),
        looked_up,
        hand_over,
    )


def _worth(metric: Metric, example: dspy.Example, one: Level, outputs: Sequence[str]) -> float:
    if one.answer is None:
        return 0.0
    return score(metric, example, dspy.Prediction(**{name: one.fields.get(name) for name in outputs}))


def _costs(one: Level, unit: str) -> dict[str, float]:
    """What each sample costs that a level rests on."""
    if unit == "samples":
        return dict.fromkeys(one.costs, 1.0)
    if unit not in ("tokens", "dollars"):
        return {}
    found = {address: getattr(cost, unit) for address, cost in one.costs.items()}
    if None in found.values():
        raise StrategyError(
            f"the price of the level {one.name} is unknown", mend='give rtk.LM its price=, or cost="tokens"'
        )
    return found


def _besides(one: Level, unit: str) -> float:
    return one.seconds if unit == "seconds" else float(one.spent.calls) if unit == "calls" else 0.0


# --- what it is worth ---


def calibrated(table: Table, wanted: Learning, stopped: str | None) -> Calibrated:
    """Learn thresholds from a table, and tell what they are worth."""
    gates, found, kept = learned(table, wanted.rule, wanted.folds, wanted.seed)
    full, told = played(table, table.deepest), discriminations(table)
    names = table.names if table.hand_over else table.names[:-1]
    accept = dict(zip(names, gates, strict=False))
    return Calibrated(
        learned={"accept": accept},
        informative=any(one.informative for name, one in told.items() if name in names),
        why=_why(table, gates, kept, wanted, told),
        size=table.size,
        full=mean(full.score),
        accuracy=mean(found.score),
        difference=difference(full.score, found.score),
        cost=float(found.cost.mean()),
        full_cost=float(full.cost.mean()),
        unit=wanted.unit,
        discrimination=told,
        stopped=stopped,
        rates=_rates(table, found),
    )


def _rates(table: Table, found: Played) -> dict[str, Estimate]:
    """How many questions each level answers, how many are handed over, and how many get a wrong answer."""
    counts = Counter(int(one) for one in found.level)
    rates = {f"answered by {name}": proportion(counts[place], table.size) for place, name in enumerate(table.names)}
    if table.hand_over:
        rates["handed over"] = proportion(counts[-1], table.size)
    return {**rates, "given a wrong answer": proportion(int(found.wrong.sum()), table.size)}


def _why(table: Table, gates: Gates, kept: bool, wanted: Learning, told: Mapping[str, Any]) -> str:
    said = [_on_level(table, place, gate, told) for place, gate in enumerate(gates)]
    if kept:
        return "; ".join(filter(None, said))
    if wanted.rule.wrong is None:
        return (
            f"no thresholds stay within {wanted.rule.within:g} of {table.names[-1]} for every question, on questions "
            f"they were not learned from: it answers all of them. {'; '.join(filter(None, said[:-1]))}"
        )
    needed = least_size(wanted.rule.wrong)
    few = f" ({needed} questions without a wrong answer would be needed)" if needed > table.size else ""
    asked = "1 question does" if table.size == 1 else f"{table.size} questions do"
    return (
        f"{asked} not show that at most {100 * wanted.rule.wrong:g} % would get a wrong answer, "
        f"whatever is given{few}: every question is handed over"
    )


def _on_level(table: Table, place: int, gate: Accept, told: Mapping[str, Any]) -> str:
    """What was decided on one level, and why."""
    name, at = table.names[place], table.answered[place]
    if place == len(table.names) - 1 and not table.hand_over:
        return f"{name} answers the rest"
    if not isinstance(gate, bool):
        passing = at & (np.nan_to_num(table.sure[place], nan=-math.inf) >= gate)
        return f"{name} is given where it is at least {gate:.3g} sure ({_right(table, place, passing)})"
    why = _worthless(told[name])
    if gate:
        return f"{name} is given whatever its confidence ({_right(table, place, at)}){why}"
    return f"{name} is never given ({_right(table, place, at)}){why}"


def _right(table: Table, place: int, at: Any) -> str:
    size = int(at.sum())
    return f"{table.score[place][at].sum():.3g} of {size} right" if size else "it answered nothing"


def _worthless(one: Discrimination) -> str:
    """Why there is no threshold; nothing where all answers, or none, are right, and there was nothing to tell apart."""
    value = one.area.value
    if one.informative or value is None:
        return ""
    return f", for its confidence tells right from wrong no better than chance (AUROC {value:.2f}, p = {one.p:.2g})"
