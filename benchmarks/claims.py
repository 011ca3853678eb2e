"""How well the shipped check of chains finds claims and tells wrong ones, on claims that a person labelled.

Measured: `tests/answers/claims.jsonl` holds steps of chains that the embedded model wrote (SmolLM2-135M-Instruct, on
reasoning-gym's grade-school, arithmetic, fraction and time questions and on questions of our own), and in them what a
reader takes for a claim: that two things without an unknown in them are equal, in signs or in words. Each was read and
labelled by hand as right, wrong, or not a claim (an equation with an unknown, a definition, code, a conversion). Right
is what is right but for the rounding of a decimal; `3 + 4 = 7 + 2 = 9` claims that 3 + 4 is 7. The check was developed
on one half of the chains; the other half was drawn from other questions and labelled before the check was run on it. A
script proposed what to label, from steps drawn at random: what stands around a sign or word of equality (`=`, `is`,
`gives`, `to get`, …) with a number on either side. A claim in other words is not among them.

A verdict belongs to the label whose numbers hold its own in that order. Precision of "wrong" is the share of its wrong
verdicts that are on claims labelled wrong; recall the share of those labelled wrong that it calls wrong; found is the
share of claims, right or wrong, on which it says anything. Intervals are Wilson's, at 95 %. The mistakes are listed.

Contenders: `rtk.answers.check_arithmetic`; and the reading that most people write first, a regular expression for
`number sign number = number`. Nothing is timed, and nothing varies from round to round.

Goals, on the half held out: precision of "wrong" ≥ 0.95, recall ≥ 0.75, found ≥ 0.75.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import bench
from bench import Goal, Report

from rtk.answers import check_arithmetic
from rtk.statistics import Estimate, proportion

LABELLED = bench.ROOT / "tests" / "answers" / "claims.jsonl"
HALVES = ("developed on", "held out")
_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|\.[0-9]+")
_SIMPLE = re.compile(r"(-?[\d.]+) ?([-+*x×/÷]) ?(-?[\d.]+) ?= ?\$?(-?[\d,]*\.?\d+)")
_SIGNS = {"+": operator.add, "-": operator.sub, "/": operator.truediv, "÷": operator.truediv}

Verdicts = list[tuple[str, bool]]
"""What a contender says of a text: each claim it finds, and whether it holds."""


def ours(text: str) -> Verdicts:
    """The check that ships."""
    return [(claim.text, claim.ok) for claim in check_arithmetic(text)]


def simple(text: str) -> Verdicts:
    """One sign between two numbers, and a number."""
    found: Verdicts = []
    for one in _SIMPLE.finditer(text):
        try:
            left, right = Fraction(one[1]), Fraction(one[3])
            value = _SIGNS.get(one[2], operator.mul)(left, right)
            found.append((one[0], abs(value - Fraction(one[4].replace(",", ""))) < Fraction(1, 100)))
        except (ValueError, ZeroDivisionError):
            continue
    return found


CONTENDERS: dict[str, Callable[[str], Verdicts]] = {"rtk": ours, "simple": simple}
LABELS = {"rtk": "rtk.answers.check_arithmetic", "simple": "a regular expression"}


def labelled(path: Path = LABELLED) -> list[dict[str, Any]]:
    """The labelled claims, as they are in the file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def judged(rows: Iterable[dict[str, Any]], check: Callable[[str], Verdicts]) -> list[dict[str, Any]]:
    """Every label with the verdict on it (`"right"`, `"wrong"` or None), and every verdict that no label has."""
    chains: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        chains.setdefault(row["chain"], []).append({**row, "verdict": None})
    for chain, claims in chains.items():
        for text, ok in check(chain):
            verdict = "right" if ok else "wrong"
            fit = [one for one in claims if one["verdict"] is None and _within(text, one["claim"])]
            if fit:
                min(fit, key=lambda one: len(_numbers(one["claim"])))["verdict"] = verdict
            else:
                claims.append({**claims[0], "claim": text, "label": "not a claim", "verdict": verdict})
    return [one for claims in chains.values() for one in claims]


def _within(text: str, claim: str) -> bool:
    """Whether the numbers of a verdict stand in a claim in that order, one after the other."""
    wanted, there = _numbers(text), _numbers(claim)
    return bool(wanted) and any(there[at : at + len(wanted)] == wanted for at in range(len(there)))


def _numbers(text: str) -> list[str]:
    text = re.sub(r"(?<=[a-z])\^[23]", "", text.replace("{,}", ","))
    return [one.replace(",", "") for one in _NUMBER.findall(text)]


def scores(found: list[dict[str, Any]]) -> dict[str, Estimate]:
    """Precision and recall of "wrong", and how many claims were found."""
    claims = [one for one in found if one["label"] != "not a claim"]
    wrong = [one for one in found if one["label"] == "wrong"]
    called = [one for one in found if one["verdict"] == "wrong"]
    return {
        "precision": proportion(sum(one["label"] == "wrong" for one in called), len(called)),
        "recall": proportion(sum(one["verdict"] == "wrong" for one in wrong), len(wrong)),
        "found": proportion(sum(one["verdict"] is not None for one in claims), len(claims)),
    }


def mistakes(found: list[dict[str, Any]]) -> list[str]:
    """Every label that the verdict does not agree with, the worst kind first."""
    off = [one for one in found if (one["verdict"] or "not a claim") != one["label"]]
    off.sort(key=lambda one: (one["verdict"] != "wrong", one["verdict"] is None))
    return [f"  {one['label']}, said {one['verdict'] or 'nothing'}: {' '.join(one['claim'].split())}" for one in off]


def report(options: Any, rows: list[dict[str, Any]]) -> tuple[Report, dict[str, Any]]:
    """The table, and the figures in it."""
    claims = sum(row["label"] != "not a claim" for row in rows)
    title = f"claims: {claims} labelled claims, and {len(rows) - claims} that are none"
    columns = ["check", "half", 'precision of "wrong"', 'recall of "wrong"', "found"]
    made, raw = Report(title, columns, {key: str(value) for key, value in vars(options).items()}), {}
    for name in bench.chosen(options.only, list(CONTENDERS)):
        for half in HALVES:
            found = judged([row for row in rows if row["half"] == half], CONTENDERS[name])
            figures = scores(found)
            made.rows.append((LABELS[name], half, *map(str, figures.values())))
            raw[f"{name}, {half}"] = {what: vars_of(one) for what, one in figures.items()}
            if name == "rtk":
                made.notes += [f"{half}, where the check and the label differ:", *mistakes(found)]
                made.goals += goals(figures) if half == "held out" else []
    return made, raw


def vars_of(estimate: Estimate) -> dict[str, Any]:
    """An estimate for a file."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "size": estimate.size}


def goals(figures: dict[str, Estimate]) -> list[Goal]:
    """On the half that the check was not developed on."""
    bounds = {"precision": 0.95, "recall": 0.75, "found": 0.75}
    return [Goal(f"{what}, held out", figures[what].value, bound) for what, bound in bounds.items()]


def main() -> None:
    """The command."""
    options = bench.arguments(__doc__ or "", __file__).parse_args()
    made, raw = report(options, labelled())
    bench.conclude(made, raw, options)


if __name__ == "__main__":
    main()
