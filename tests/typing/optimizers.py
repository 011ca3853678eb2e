"""Optimizing a program, and programs as files: every public call, written once and only type-checked."""

from pathlib import Path
from typing import Any, assert_type

import dspy

import rtk


def optimizers(task: rtk.tasks.Task, lm: rtk.LM, folder: Path) -> None:
    """Every optimizer by its name, or as DSPy has it, and what comes of it."""
    for name in rtk.experiments.OPTIMIZERS:
        known: rtk.experiments.OptimizerName = name
        rtk.optimize(rtk.ChainOfThought(task.signature), task, known, budget=rtk.Budget(samples=100))
    rtk.optimize(dspy.Predict("question -> answer"), task, dspy.LabeledFewShot(k=4), progress=None)
    rtk.optimize(dspy.Predict("question -> answer"), task, dspy.BootstrapFewShot, max_bootstrapped_demos=2)
    found = rtk.experiments.optimize(
        rtk.SelfConsistency(task.signature, samples=4), task, "gepa", prompt_model=lm, train=20, dev=10, test=100,
        seed=1, concurrency=4, progress="auto", max_metric_calls=200,
    )  # fmt: skip
    assert_type(found, rtk.experiments.Optimized)
    assert_type((found.program, found.original), tuple[dspy.Module, dspy.Module])
    assert_type((found.improved, found.verdict, found.stopped), tuple[bool, str, str | None])
    assert_type(found.results, rtk.Results | None)
    assert_type(found.comparison, rtk.experiments.Contrast | None)
    assert_type(found.before, dict[str, Any] | None)
    assert_type(found.candidates, list[rtk.experiments.Tried])
    assert_type(found.diff(), rtk.experiments.PromptDiff)
    print(found.after, found.difference, found.p_value, found.spent, found.seconds, found.runs, found.errors, found.log)
    print(found.optimizer, found.settings, found.task, found.rows(), found.to_frame())
    for one in found.candidates:
        assert_type((one.program, one.score, one.questions, one.chosen), tuple[dspy.Module, float, int, bool])
    print(found.diff().text(characters=80), found.diff().html(), found.diff().to_frame(), found.diff().changed)
    saved = rtk.experiments.read_program(found.save(folder / "better.json"))
    assert_type(saved, rtk.experiments.SavedProgram)
    assert_type(rtk.experiments.load_program(saved.path, rtk.ChainOfThought(task.signature)), dspy.Module)
    described: dict[str, Any] = {**saved.about, **saved.predictors}
    print(described, saved.program, saved.into(rtk.ChainOfThought(task.signature)))
