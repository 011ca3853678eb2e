"""Thresholds: from which confidence on each level of a cascade is given, learned from questions it was tried on. Pure.

What is chosen is judged on questions that it was not learned from: by cross-validation among rules of different
strictness, and, where wrong answers are bounded, by a test of each, from the strictest on, until the first that fails
(fixed-sequence testing as in Learn then Test, Angelopoulos et al., 2021, arXiv:2110.01052).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from random import Random
from typing import Any

import numpy as np

from rtk.statistics import Discrimination, auroc
from rtk.strategies.accepting import Accept

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

MOST = 16  # thresholds of one level that are tried
ALL = 400  # policies of which each is tried; of more, one level's threshold after the other's
DOUBT = 0.1  # how often a bound on wrong answers may be broken
_EVEN = 1e-9

Gates = tuple[Accept, ...]


@dataclass(frozen=True)
class Table:
    """What each level came to on each question; rows are levels, columns questions.

    Attributes:
        names: of the levels.
        sure: their confidence; NaN where there is none.
        said: whether there is an answer at all.
        answered: whether there is one that does not say that there is none.
        score: of the answer, from 0 to 1.
        silent: of each question, the score of no answer.
        costs: of each level and question, by address what its samples cost.
        extra: of each level and question, what it costs besides.
        looked_up: whether a level is asked though none of its answers is given.
        hand_over: whether the last level needs its threshold as well.
    """

    names: tuple[str, ...]
    sure: Floats
    said: Bools
    answered: Bools
    score: Floats
    silent: Floats
    costs: Sequence[Sequence[dict[str, float]]]
    extra: Floats
    looked_up: tuple[bool, ...]
    hand_over: bool
    _paid: dict[tuple[bool, ...], Floats] = field(default_factory=dict)
    _played: dict[Any, Played] = field(default_factory=dict)
    _choices: list[tuple[Accept, ...]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many questions there are."""
        return self.silent.size

    def of(self, chosen: Sequence[int]) -> Table:
        """The same of some of the questions."""
        at = list(chosen)
        costs = [[row[one] for one in at] for row in self.costs]
        cut = (self.sure[:, at], self.said[:, at], self.answered[:, at], self.score[:, at], self.silent[at])
        return Table(self.names, *cut, costs, self.extra[:, at], self.looked_up, self.hand_over)

    def paid(self, asked: tuple[bool, ...]) -> Floats:
        """What a question has cost by the end of each level, where these levels are asked: a sample is paid once."""
        if asked not in self._paid:
            found = np.zeros_like(self.extra)
            for question in range(self.size):
                total, seen = 0.0, set[str]()
                for level, wanted in enumerate(asked):
                    if wanted:
                        own = self.costs[level][question]
                        total += self.extra[level, question] + sum(own[one] for one in own.keys() - seen)
                        seen |= own.keys()
                    found[level, question] = total
            self._paid[asked] = found
        return self._paid[asked]

    @property
    def deepest(self) -> Gates:
        """The last level for every question."""
        return (*(False for _ in self.names[1:]), True)

    @property
    def nothing(self) -> Gates:
        """No level at all."""
        return tuple(False for _ in self.names)


@dataclass(frozen=True)
class Played:
    """What thresholds come to, question by question.

    Attributes:
        level: the place of the level whose answer is given; −1 for none.
        score: from 0 to 1.
        cost: in the table's unit.
        wrong: whether an answer is given that is less than half right.
    """

    level: np.ndarray[Any, Any]
    score: Floats
    cost: Floats
    wrong: Bools


def played(table: Table, gates: Gates) -> Played:
    """What thresholds come to on a table, exactly as the cascade would run with them."""
    key = tuple((type(gate), gate) for gate in gates)  # for 1.0 is True
    if key not in table._played:
        table._played[key] = _played(table, gates)
    return table._played[key]


def _played(table: Table, gates: Gates) -> Played:
    final = not table.hand_over
    asked = tuple(
        gate is not False or looked_up or (final and place == len(gates) - 1)
        for place, (gate, looked_up) in enumerate(zip(gates, table.looked_up, strict=True))
    )
    given = np.stack([_given(table, gates, place) for place in range(len(gates))])
    stopped, columns = given.any(axis=0), np.arange(table.size)
    level = np.where(stopped, given.argmax(axis=0), -1)
    end = np.where(stopped, level, len(gates) - 1)
    if final and not stopped.all():
        level = np.where(stopped, level, _nearest(table, gates, asked))
    score = np.where(level >= 0, table.score[level, columns], table.silent)
    return Played(level, score, table.paid(asked)[end, columns], (level >= 0) & (score < 0.5))


def _given(table: Table, gates: Gates, place: int) -> Bools:
    """On which questions a level's answer is given, should it be asked."""
    gate = gates[place]
    if not table.hand_over and place == len(gates) - 1:
        return table.said[place]
    if isinstance(gate, bool):
        return table.answered[place] & gate
    with np.errstate(invalid="ignore"):
        return table.answered[place] & (table.sure[place] >= gate)


def _nearest(table: Table, gates: Gates, asked: Sequence[bool]) -> np.ndarray[Any, Any]:
    """The level whose answer is nearest to its threshold, the later one of equals; −1 where none has one."""
    margins = np.full_like(table.sure, -math.inf)
    for place, gate in enumerate(gates):
        sure = np.full(table.size, math.nan) if isinstance(gate, bool) else table.sure[place] - gate
        known = np.where(np.isnan(sure), -1e300, sure)
        margins[place] = np.where(table.answered[place] & asked[place], known, -math.inf)
    best = len(gates) - 1 - margins[::-1].argmax(axis=0)
    return np.where(margins.max(axis=0) > -math.inf, best, -1)


# --- what is looked for ---


@dataclass(frozen=True)
class Rule:
    """What thresholds must keep to.

    Attributes:
        within: how much less accurate than all effort they may be.
        wrong: the share of all questions that may get a wrong answer; None for any.
    """

    within: float
    wrong: float | None = None


@dataclass(frozen=True)
class Strictness:
    """How strictly a rule is kept on the questions that thresholds are learned from.

    Attributes:
        slack: the part of what the rule allows that is used.
        kept: the part of the answers that then pass a threshold which are still given, the surest ones.
    """

    slack: float = 1.0
    kept: float = 1.0


LADDER = (Strictness(0.0, 0.25), Strictness(0.0, 0.5), Strictness(0.0), Strictness(0.5), Strictness(1.0))
"""From the strictest on."""

BOUNDS = (*LADDER[:3], *(Strictness(eighth / 8) for eighth in range(1, 9)))
"""The same for a bound on wrong answers, in smaller steps: tested one after the other, more of them cost nothing."""

Key = Callable[[Played], tuple[float, ...]]


def discriminations(table: Table) -> dict[str, Discrimination]:
    """By level, how well its confidence tells right answers from wrong ones."""
    found = {}
    for place, name in enumerate(table.names):
        at = table.answered[place]
        found[name] = auroc(table.sure[place][at], table.score[place][at])
    return found


def fitted(table: Table, rule: Rule, strictness: Strictness) -> Gates:
    """The thresholds that keep a rule at least cost, on these very questions.

    A level whose confidence is no better than chance at telling right from wrong has no threshold: each of its answers
    is given, or none.
    """
    choices = table._choices or _choices(table)
    table._choices[:] = choices
    if rule.wrong is None:
        full = played(table, table.deepest).score.mean()
        gates = _search(table, choices, _cheapest(full - rule.within * strictness.slack))
    else:
        allowed = rule.wrong * strictness.slack
        best = _search(table, choices, lambda one: (_over(one, allowed), -one.score.mean(), one.cost.mean()))
        need = played(table, best).score.mean() - rule.within * strictness.slack
        gates = _search(table, choices, lambda one: (_over(one, allowed), *_cheapest(need)(one)), best)
    return _stricter(table, gates, strictness.kept) if strictness.kept < 1 else gates


def _cheapest(need: float) -> Key:
    return lambda one: (max(0.0, need - one.score.mean() - _EVEN), one.cost.mean(), -one.score.mean())


def _over(one: Played, allowed: float) -> float:
    return max(0.0, one.wrong.mean() - allowed - _EVEN)


def _choices(table: Table) -> list[tuple[Accept, ...]]:
    """The thresholds of each level that are tried."""
    told = discriminations(table)
    found: list[tuple[Accept, ...]] = []
    for place, name in enumerate(table.names):
        if place == len(table.names) - 1 and not table.hand_over:
            found.append((True,))
        else:
            found.append((False, _always(table, place), *(_steps(table, place) if told[name].informative else ())))
    return found


def _always(table: Table, place: int) -> Accept:
    """The gate at which all answers of a level are given.

    Where none of them is wrong it is the least confidence among them: what a lower one is worth nobody has seen.
    """
    at = table.answered[place]
    least = table.sure[place][at].min(initial=math.inf)  # NaN where one of them is
    return math.floor(float(least) * 1e4) / 1e4 if (table.score[place][at] >= 0.5).all() and least < math.inf else True


def _steps(table: Table, place: int) -> list[float]:
    """Thresholds of a level, the highest first: those between answers that are worse and surer ones that are better.

    Of more than are tried, those evenly apart.
    """
    at = table.answered[place] & ~np.isnan(table.sure[place])
    values, group = np.unique(table.sure[place][at], return_inverse=True)
    score = np.bincount(group, table.score[place][at]) / np.bincount(group)
    pairs = zip(pairwise(values), pairwise(score), strict=True)
    middle = [_between(low, high) for (low, high), (worse, better) in pairs if worse < better]
    if len(middle) > MOST:
        middle = [middle[round(one)] for one in np.linspace(0, len(middle) - 1, MOST)]
    return middle[::-1]


def _between(low: float, high: float) -> float:
    """A number above one and not above another, as short as it can be."""
    middle = (float(low) + float(high)) / 2
    return next((short for digits in (2, 3, 4) if low < (short := round(middle, digits)) <= high), middle)


def _search(table: Table, choices: Sequence[Sequence[Accept]], key: Key, start: Gates | None = None) -> Gates:
    """The policy with the least key: of few all are tried, of many one threshold after the other, from several starts.

    Of equals the first: one that gives less.
    """

    def worth(gates: Gates) -> tuple[float, ...]:
        return key(played(table, gates))

    if math.prod(map(len, choices)) <= ALL:
        return min(product(*choices), key=worth)
    starts = [tuple(one[0] for one in choices), tuple(one[1 % len(one)] for one in choices)]
    starts += [start] if start is not None else []
    return min((_descended(one, choices, worth) for one in starts), key=worth)


def _descended(gates: Gates, choices: Sequence[Sequence[Accept]], worth: Callable[[Gates], Any]) -> Gates:
    """From a policy on, one threshold after the other is the best it can be, until none gets better."""
    while True:
        before = gates
        for place, options in enumerate(choices):
            moved = ((*gates[:place], option, *gates[place + 1 :]) for option in options)
            best = min(moved, key=worth)
            gates = best if worth(best) < worth(gates) else gates
        if gates == before:
            return gates


def _stricter(table: Table, gates: Gates, kept: float) -> Gates:
    """Thresholds that let only the surest of the answers pass which these do; where all or none pass they stay."""
    found: list[Accept] = []
    for place, gate in enumerate(gates):
        if isinstance(gate, bool):
            found.append(gate)
            continue
        passing = table.sure[place][_given(table, gates, place)]
        found.append(gate if not passing.size else max(gate, round(float(np.quantile(passing, 1 - kept)), 4)))
    return tuple(found)


# --- what is chosen ---


def folds_of(size: int, folds: int, seed: int) -> list[list[int]]:
    """Questions in as many parts, by chance."""
    order = list(range(size))
    Random(seed).shuffle(order)
    return [sorted(order[start::folds]) for start in range(min(folds, size))]


def learned(table: Table, rule: Rule, folds: int, seed: int) -> tuple[Gates, Played, bool]:
    """The thresholds of a table, what such thresholds come to, and whether any keep the rule.

    What they come to is judged with each question's answer by thresholds that were learned, as strictly, from the other
    parts. Where none keep the rule it is all effort, or no answer at all.
    """
    parts = _parted(table, folds_of(table.size, folds, seed))
    ladder = LADDER if rule.wrong is None else BOUNDS
    tried = ((one, crossed(parts, partial(fitted, rule=rule, strictness=one))) for one in ladder)
    if rule.wrong is None:
        full = played(table, table.deepest).score.mean()
        aside = table.size > 1  # of a single question nothing is learned that was tried on another
        kept = [(one, found) for one, found in tried if aside and found.score.mean() >= full - rule.within - _EVEN]
        best = min(reversed(kept), key=lambda pair: pair[1].cost.mean(), default=None)
    else:
        best = None
        for one, found in tried:
            if not bounded(int(found.wrong.sum()), table.size, rule.wrong):
                break
            best = (one, found)
    if best is None:
        gates = table.deepest if rule.wrong is None else table.nothing
        return gates, played(table, gates), False
    return fitted(table, rule, best[0]), best[1], True


Parts = list[tuple[list[int], Table, Table]]


def _parted(table: Table, parts: Sequence[list[int]]) -> Parts:
    """Of each part, its questions, its table, and that of the other parts."""
    every = set(range(table.size))
    return [(part, table.of(part), table.of(sorted(every - set(part)))) for part in parts]


def crossed(parts: Parts, learn: Callable[[Table], Gates]) -> Played:
    """What learned thresholds come to, each question with those that were learned from the other parts."""
    size = sum(len(part) for part, _, _ in parts)
    level, score = np.full(size, -1), np.zeros(size)
    cost, wrong = np.zeros(size), np.zeros(size, dtype=bool)
    for part, own, rest in parts:
        found = played(own, learn(rest) if rest.size else own.deepest)
        level[part], score[part], cost[part], wrong[part] = found.level, found.score, found.cost, found.wrong
    return Played(level, score, cost, wrong)


def bounded(wrong: int, size: int, most: float) -> bool:
    """Whether so few wrong answers are enough to say that their share is at most `most`, at 90 % confidence.

    The test of the exact binomial distribution: P(X ≤ wrong) for X ~ Binomial(size, most), which is to be at most 0.1
    (Clopper and Pearson, 1934).
    """
    from scipy.stats import binom

    return bool(binom.cdf(wrong, size, most) <= DOUBT)


def least_size(most: float) -> int:
    """How many questions it takes to show a bound without one wrong answer."""
    return math.ceil(math.log(DOUBT) / math.log(1 - most))
