"""Do intervals cover as often as they say, and are p-values what they claim: simulated experiments with known truth.

Measured: how many of many experiments have the truth inside their 95 % interval, at 20, 100 and 1,000 questions, for
programs that are right on a share of 0.02, 0.1, 0.5, 0.9 and 0.98 of all questions. As counts are whole numbers, the
coverage at one truth jumps up and down from one truth to the next; so each share stands for truths around it, uniform
within half its distance to the nearer end (0.05 at most), and the figure is their average. Four designs: right or
wrong, one row a question; right or wrong, three replicates a question, whose chances differ from question to question
(beta-distributed, correlation 0.4 within a question); graded scores (beta-distributed); and the paired difference of
two programs, whose answers to a question are correlated, by up to 0.1, with one and with three replicates. Then
p-values of two programs that are truly alike: how often they are 0.05 or less, and how far their distribution is from
uniform (Kolmogorov's distance) when what is exactly as extreme as seen is counted by a random part.

Contenders: `rtk.statistics.mean`, `difference` and `p_value`, called as a user calls them; the normal (Wald) interval
and Clopper and Pearson's over rows, as if replicates were questions; Student's t over questions; Newcombe's paired
interval; McNemar's test with its χ² approximation, and the exact one over rows. Nothing is timed.

Goals: coverage 0.94 to 0.96, on average over the shares and at the share that is furthest from it; exact p-values of
0.05 or less at most 5 times in 100; randomised p-values uniform. Where hardly a pair differs no interval can keep the
second goal: with so few outcomes each of them covers all the truths nearby.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from typing import Any

import bench
import numpy as np
from bench import Figures, Goal, Report
from scipy.stats import beta, chi2, kstest, norm, t

from rtk import statistics

SHARES, QUESTIONS, LEVEL = (0.02, 0.1, 0.5, 0.9, 0.98), (20, 100, 1000), 0.95
Z = float(norm.ppf((1 + LEVEL) / 2))
Array = np.ndarray[Any, Any]
Interval = Callable[..., tuple[float, float]]


# --- experiments: rows by question and replicate, with the truth they were drawn from ---------------------------------


@dataclass(frozen=True)
class Experiment:
    """What was seen, questions × replicates, and the truth."""

    truth: float
    after: Array
    before: Array = field(default_factory=lambda: np.zeros((1, 1)))


def near(share: float, random: np.random.Generator) -> float:
    """A truth that the share stands for."""
    reach = min(share, 1 - share, 0.1) / 2
    return share + reach * random.uniform(-1, 1)


def plain(share: float, questions: int, random: np.random.Generator) -> Experiment:
    """Right or wrong, one row a question."""
    truth = near(share, random)
    return Experiment(truth, (random.random((questions, 1)) < truth) * 1.0)


def replicated(share: float, questions: int, random: np.random.Generator) -> Experiment:
    """Right or wrong, three rows a question, each question with a chance of its own."""
    truth, spread = near(share, random), 1 / 0.4 - 1
    chance = random.beta(truth * spread, (1 - truth) * spread, (questions, 1))
    return Experiment(truth, (random.random((questions, 3)) < chance) * 1.0)


def graded(share: float, questions: int, random: np.random.Generator) -> Experiment:
    """Scores in [0, 1], many of them near the ends."""
    truth = near(share, random)
    return Experiment(truth, random.beta(truth, 1 - truth, (questions, 1)))


def arms(share: float, questions: int, random: np.random.Generator, replicates: int, apart: float) -> Experiment:
    """Two programs: a question's difficulty moves both (correlation 0.6), and what each makes of it is its own."""
    first = near(share, random)
    second = float(np.clip(first + apart * random.uniform(-1, 1), 0.005, 0.995)) if apart else first
    common = sqrt(0.6) * random.standard_normal((questions, 1))
    seen = []
    for chance in (first, second):
        own = sqrt(0.4) * random.standard_normal((questions, 1))
        if replicates == 1:
            seen.append((common + own < norm.ppf(chance)) * 1.0)
        else:  # half of what is its own is the same in all replicates
            drawn = sqrt(0.5) * own + sqrt(0.2) * random.standard_normal((questions, replicates))
            seen.append((common + drawn < norm.ppf(chance)) * 1.0)
    return Experiment(second - first, seen[1], seen[0])


# --- intervals --------------------------------------------------------------------------------------------------------


def questions_of(rows: Array) -> Array | None:
    """The question of each row; none is passed where there is one row a question, as users do."""
    return np.repeat(np.arange(rows.shape[0]), rows.shape[1]) if rows.shape[1] > 1 else None


def rtk_mean(seen: Experiment) -> tuple[float, float]:
    """As a user calls it."""
    found = statistics.mean(seen.after.ravel(), questions_of(seen.after), LEVEL)
    return found.low, found.high


def rtk_difference(seen: Experiment) -> tuple[float, float]:
    """As a user calls it."""
    found = statistics.difference(seen.before.ravel(), seen.after.ravel(), questions_of(seen.after), LEVEL)
    return found.low, found.high


def newcombe(seen: Experiment) -> tuple[float, float]:
    """Newcombe's paired interval, of one row a question."""
    found = statistics.paired_difference((seen.before.ravel() > 0).tolist(), (seen.after.ravel() > 0).tolist(), LEVEL)
    return found.low, found.high


def moves(seen: Experiment) -> Array:
    """What the interval is about."""
    return seen.after - seen.before


def wald(seen: Experiment) -> tuple[float, float]:
    """The normal interval over rows."""
    rows = moves(seen).ravel()
    reach = Z * rows.std() / sqrt(rows.size)
    return rows.mean() - reach, rows.mean() + reach


def student(seen: Experiment) -> tuple[float, float]:
    """Student's interval over questions."""
    means = moves(seen).mean(axis=1)
    reach = QUANTILES[means.size] * means.std(ddof=1) / sqrt(means.size)
    return means.mean() - reach, means.mean() + reach


QUANTILES = {size: float(t.ppf((1 + LEVEL) / 2, size - 1)) for size in QUESTIONS}


def clopper(seen: Experiment) -> tuple[float, float]:
    """Clopper and Pearson's exact interval over rows."""
    right, size = int(seen.after.sum()), seen.after.size
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, right, size - right + 1)) if right else 0.0
    return low, float(beta.ppf(1 - tail, right + 1, size - right)) if right < size else 1.0


DESIGNS: dict[str, tuple[Callable[..., Experiment], dict[str, Interval]]] = {
    "right or wrong": (plain, {"rtk": rtk_mean, "wald": wald, "clopper": clopper, "student": student}),
    "3 replicates": (replicated, {"rtk": rtk_mean, "wald": wald, "clopper": clopper, "student": student}),
    "graded": (graded, {"rtk": rtk_mean, "wald": wald, "student": student}),
    "difference": (
        lambda share, questions, random: arms(share, questions, random, 1, 0.1),
        {"rtk": rtk_difference, "wald": wald, "student": student, "newcombe": newcombe},
    ),
    "difference, 3 replicates": (
        lambda share, questions, random: arms(share, questions, random, 3, 0.1),
        {"rtk": rtk_difference, "wald": wald, "student": student},
    ),
}
SHOWN = {
    "rtk": "rtk", "wald": "normal, over rows", "clopper": "Clopper-Pearson, over rows", "student": "Student's t",
    "newcombe": "Newcombe", "mcnemar": "McNemar's χ², over rows", "rows": "McNemar exact, over rows",
}  # fmt: skip


# --- p-values ---------------------------------------------------------------------------------------------------------


def chances(seen: Experiment, random: np.random.Generator) -> dict[str, float]:
    """The p-values of two programs that are alike; of ours also the randomised one."""
    before, after, questions = seen.before.ravel(), seen.after.ravel(), questions_of(seen.after)
    exact = statistics.p_value(before, after, questions)
    tied = 2 * (exact - statistics.p_value(before, after, questions, mid=True))
    won, lost = int((after > before).sum()), int((after < before).sum())
    squared = (won - lost) ** 2 / (won + lost) if won + lost else 0.0
    return {
        "rtk": exact,
        "randomised": exact - random.random() * tied if won + lost else random.random(),
        "mcnemar": float(chi2.sf(squared, 1)),
        "rows": statistics.p_value(before, after),
    }


# --- the command ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Simulate, count, show."""
    parser = bench.arguments(__doc__ or "", __file__)
    parser.add_argument("--experiments", type=int, default=800, help="of each kind and round (%(default)s)")
    parser.add_argument("--questions", type=int, nargs="+", default=QUESTIONS, choices=QUESTIONS, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.only = bench.chosen(options.only, list(SHOWN))
    covered, tested = Figures(), Figures()
    work = [(number, size, place) for number in range(options.rounds) for size in options.questions for place in PLACES]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for intervals, tests in pool.map(partial(simulated, options), work):
            for name, figures in intervals.items():
                covered.add(name, **figures)
            for name, figures in tests.items():
                tested.add(name, **figures)
    made = report(options, covered, tested)
    bench.conclude(made, {"coverage": covered.by_name, "p-values": tested.by_name}, options)


Found = dict[str, dict[str, float]]
PLACES = range(len(SHARES) + 2)
"""The shares, and after them p-values with one and with three replicates."""


def simulated(options: Any, which: tuple[int, int, int]) -> tuple[Found, Found]:
    """One round of intervals at one share, or of p-values, from a seed of its own."""
    number, size, place = which
    random = np.random.default_rng((options.seed, number, size, place))
    if place < len(SHARES):
        found = coverages(SHARES[place], size, options, random)
        return {name: {str(SHARES[place]): figure} for name, figure in found}, {}
    return {}, dict(p_values(size, 1 if place == len(SHARES) else 3, options, random))


def coverages(share: float, size: int, options: Any, random: np.random.Generator) -> Iterator[tuple[str, float]]:
    """How often each contender's interval holds the truth, in one round."""
    for design, (draw, contenders) in DESIGNS.items():
        wanted = {name: interval for name, interval in contenders.items() if name in options.only}
        inside = dict.fromkeys(wanted, 0)
        for _ in range(options.experiments):
            seen = draw(share, size, random)
            for name, interval in wanted.items():
                low, high = interval(seen)
                inside[name] += low <= seen.truth <= high
        for name, count in inside.items():
            yield f"{design} | {name} | {size}", count / options.experiments


def p_values(
    size: int, replicates: int, options: Any, random: np.random.Generator
) -> Iterator[tuple[str, dict[str, float]]]:
    """How often a p-value is 0.05 or less where nothing differs, and how far from uniform, in one round."""
    drawn = [
        chances(arms(SHARES[place % len(SHARES)], size, random, replicates, 0.0), random)
        for place in range(options.experiments)
    ]
    for name in ("rtk", "mcnemar", "rows"):
        if name in options.only:
            below = float(np.mean([one[name] <= 0.05 + 1e-12 for one in drawn]))
            figures = {"below": below}
            if name == "rtk":
                figures["apart"] = float(kstest([one["randomised"] for one in drawn], "uniform").statistic)
            yield f"{replicates} | {name} | {size}", figures


def report(options: Any, covered: Figures, tested: Figures) -> Report:
    """The table and the goals."""
    columns = ("design", "contender", "questions", *map(str, SHARES), "average")
    count = options.experiments * options.rounds
    title = f"interval_coverage: the truth inside a 95 % interval, {count:,} experiments each"
    made = Report(title, columns, {**vars(options), "json": str(options.json)})
    for name, figures in covered.by_name.items():
        cells = [float(np.mean(figures[str(share)])) for share in SHARES]
        design, contender, size = name.split(" | ")
        shown = (*(f"{cell:.3f}" for cell in cells), f"{np.mean(cells):.3f}")
        made.rows.append((design, SHOWN[contender], size, *shown))
        if contender == "rtk":
            furthest = max(cells, key=lambda cell: abs(cell - LEVEL))
            made.goals += [
                Goal(f"{design}, {size}: |coverage − 0.95|, average", abs(float(np.mean(cells)) - LEVEL), 0.01, True),
                Goal(f"{design}, {size}: |coverage − 0.95|, furthest share", abs(furthest - LEVEL), 0.01, True),
            ]
    made.rows.sort(key=lambda row: (list(DESIGNS).index(row[0]), int(row[2])))
    for name, figures in tested.by_name.items():
        replicates, contender, size = name.split(" | ")
        below = float(np.mean(figures["below"]))
        where = f"p ≤ 0.05 where nothing differs, {replicates} a question, {size} questions"
        made.notes.append(f"{where}: {SHOWN[contender]} {below:.3f}")
        if contender == "rtk":
            noise = 2.6 * sqrt(0.05 * 0.95 / count)
            apart = float(np.mean(figures["apart"])) * sqrt(options.experiments)
            made.goals += [
                Goal(f"p-value, {replicates} a question, {size}: share ≤ 0.05", below, round(0.05 + noise, 4), True),
                Goal("the same, randomised: Kolmogorov's distance × √experiments", apart, 1.36, True),
            ]
    return made


if __name__ == "__main__":
    sys.exit(main())
