"""Records of sweeps that never ran: two models, several numbers of samples, seeded answers with known chances."""

import random

from rtk.experiments.records.records import Arm, Card, Records


def arms_of(models=("small", "large"), samples=(1, 2, 4, 8)):
    """A setting for each number of samples and model."""
    several = len(models) > 1
    return [
        Arm(f"samples={k}" + (f", model={model}" if several else ""), "SelfConsistency", model, {"samples": k})
        for model in models
        for k in samples
    ]


def made(
    arms,
    right,
    questions=60,
    replicates=1,
    seed=0,
    change=lambda arm, at, row: row,
    size=lambda arm: 10.0 if arm.model == "large" else 1.0,
    metric="accuracy",
    **about,
):
    """Records in which setting `arm` is right with chance `right(arm, ease)`, each question having its own ease.

    Args:
        arms: the settings.
        right: chance of a right answer.
        change: takes an arm, a question's place and a row, and returns the row, changed; None drops it.
        size: FLOPs of a token, in units of 1e9; None where it is not known.
    """
    draw = random.Random(seed)
    ease = [draw.random() for _ in range(questions)]
    rows = []
    for replicate in range(replicates):
        for place, arm in enumerate(arms):
            for at in range(questions):
                k, flops = arm.values.get("samples") or 1, size(arm)
                hit = draw.random() < right(arm, ease[at])
                row = answered(place, replicate, at, k, hit, flops)
                rows.append(change(arm, at, row))
    examples = [{"example": f"q{at}", "question": f"What is {at} + 1?", "gold": str(at + 1)} for at in range(questions)]
    card = Card("arithmetic", "test", questions, "ab" * 32, metric=metric, seed=0)
    kept = [row for row in rows if row is not None]
    return Records.of(card, arms, kept, examples, replicates=replicates, asked=len(rows), **about)


def answered(arm, replicate, at, samples, right, flops):
    """A row."""
    out = 20 * samples + at % 3
    return {
        "arm": arm, "replicate": replicate, "at": at, "answer": str(at + right), "correct": right,
        "score": float(right), "abstained": False, "error": None, "stopped": None, "confidence": 0.5, "calls": 1,
        "consulted": samples, "drawn": samples, "reused": 0, "failed": 0, "tokens_in": 30 * samples, "tokens_out": out,
        "dollars": 0.0001 * samples, "seconds": 1.0, "work": 1.0 * samples, "wall": 1.1,
        "flops": None if flops is None else flops * 1e9 * 2 * (30 * samples + out),
        "addresses": [f"k:0:{n}" for n in range(samples)], "pool": None, "attempts": None,
    }  # fmt: skip


def lost(row, error="SampleError: status 500"):
    """The row, failed."""
    return {**row, "error": error, "correct": False, "score": 0.0, "answer": None, "failed": 1}


def ladder(arm, ease):
    """The large model is better at each number of samples, and both get better with more."""
    lift = {1: 0.0, 2: 0.06, 4: 0.16, 8: 0.24, 16: 0.28}[arm.values["samples"]]
    return min(0.98, 0.15 + 0.45 * ease + lift + (0.18 if arm.model == "large" else 0))
