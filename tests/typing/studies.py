"""Every public call of statistics, tasks and experiments, written once and only type-checked; see `api.py`."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import assert_type

import dspy

import rtk

# --- statistics ---


def statistics() -> None:
    """Numbers to estimates."""
    share = rtk.statistics.proportion(8, 10, level=0.9)
    assert_type(share, rtk.statistics.Estimate)
    assert_type((share.value, share.low, share.high, share.size), tuple[float | None, float, float, int])
    assert_type(rtk.statistics.pass_at_k(16, 3, 4), float | None)
    before, after = [True, False], [True, True]
    assert_type(rtk.statistics.paired_difference(before, after, level=0.9), rtk.statistics.Estimate)
    assert_type(rtk.statistics.mcnemar(before, after), float)
    questions = ["a", "a", "b"]
    assert_type(rtk.statistics.mean([1, 0.5, True], questions, level=0.9), rtk.statistics.Estimate)
    assert_type(rtk.statistics.difference(before, after, clusters=questions), rtk.statistics.Estimate)
    assert_type(rtk.statistics.p_value(before, after, questions, mid=True), float)
    assert_type(rtk.statistics.holm([0.01, 0.04]), list[float])
    planned = rtk.power(0.1, accuracy=0.7, disagreement=0.2, power=0.9, level=0.01)
    assert_type((planned, int(planned)), tuple[rtk.statistics.Power, int])
    assert_type(rtk.statistics.power(questions=200).difference, float)
    assert_type(rtk.statistics.majority_at_k(["4", "4", None], before, 2), float | None)
    assert_type(rtk.statistics.majority_at_k(["4", "4", None], before, [1, 2]), list[float | None])
    assert_type(rtk.statistics.best_of_k([0.5, None], [True, False], 2), float | None)
    assert_type(rtk.statistics.best_of_k([0.5, None], [True, False], range(1, 3)), list[float | None])
    assert_type(rtk.statistics.pareto([1, 2], [0.5, 0.6]), list[int])
    assert_type(rtk.statistics.on_frontier([1, 2], [[0, 1], [1, 1]], draws=500, seed=1), list[float])
    calibrated: rtk.statistics.Calibration = rtk.statistics.calibration([0.5, None], [True, False], bins=5, mass=True)
    assert_type((calibrated.bins, calibrated.ece.high), tuple[tuple[rtk.statistics.Bin, ...], float])
    sorts: rtk.statistics.Discrimination = rtk.statistics.auroc([0.5, None], [True, False], level=0.9)
    assert_type((sorts.area, sorts.p, sorts.informative), tuple[rtk.statistics.Estimate, float, bool])
    assert_type(rtk.statistics.bootstrap(lambda w: w.sum(axis=1), questions, draws=500), rtk.statistics.Estimate)


# --- tasks ---


def tasks() -> rtk.tasks.Task:
    """Questions, their metric and their checker."""
    assert_type(rtk.tasks.names(), list[str])
    assert_type(rtk.tasks.score_of(True), float)
    task = rtk.tasks.load("hidden_sequence", size=20, seed=0, level=2)
    assert_type(task.train + task.dev + task.test, list[dspy.Example])
    assert_type(task.metric(task.test[0], dspy.Prediction(answer="4")), bool | float)
    print(task.answer_type, task.comparer, task.reports, task.separator, task.fingerprint, task.fingerprint_of("test"))
    assert_type(task.concluding_demos(1), list[dspy.Example])
    assert_type(rtk.tasks.load("support").passages, tuple[Mapping[str, str], ...])
    assert_type(task.demos(4) + task.partial_demos(2), list[dspy.Example])
    if task.check is not None and task.random_proposal is not None:
        proposal = task.random_proposal(task.test[0].inputs().toDict(), "", Random(0))
        assert_type(task.check({}, proposal), rtk.answers.Check)
    own = rtk.Task.from_frame([{"question": "1 + 1?", "answer": 2}], bad="drop", size={"test": 1}, answer_type="int")
    assert_type(own, rtk.Task)
    assert_type(own.dropped + own.repeated, tuple[rtk.tasks.Flaw, ...])
    rtk.tasks.load("rows.csv", question="problem", split="part")
    rtk.Task.from_csv("rows.csv", "problem", answer="solution")
    rtk.Task.from_jsonl("rows.jsonl", {"question": "problem"})
    rtk.Task.from_parquet("rows.parquet", ["context", "problem"])
    rtk.Task.from_hub("owner/name", config="main", split="test", size=50)
    judged = rtk.tasks.load("brainstorm").judged_by(rtk.LM("openai/NAME"), scale=(1, 5))
    assert_type(judged.judge, rtk.tasks.Judge | None)
    return task


# --- experiments ---


def experiments(task: rtk.tasks.Task, lm: rtk.LM) -> None:
    """Programs on a task, and the demo."""
    for name in rtk.experiments.STRATEGIES:
        thinking: rtk.experiments.Thinking = name
        rtk.experiments.program(thinking, task, samples=4, shots=rtk.experiments.SHOTS, instructions="Be brief.")
    rtk.experiments.program("self-consistency", "question -> answer", samples=4)
    rtk.experiments.program("tree of thoughts", task, breadth=2, branching=4, depth=3)
    study = rtk.experiments.demo(lm, size=4, seed=1, concurrency=2)
    assert_type(study, rtk.experiments.Demo)
    assert_type(study.results, dict[str, rtk.Results])


Asked = rtk.experiments.Summary | rtk.experiments.Frontier | rtk.experiments.Matched | rtk.experiments.Latency


def analyses(sides: rtk.experiments.Contrasts, runs: rtk.experiments.Replicated, *more: Asked) -> None:
    """What is asked of a sweep's results."""
    for found in (sides, runs, *more):
        print(found.rows(), found.to_frame())
    assert_type(sides.pairs, tuple[rtk.experiments.Contrast, ...])
    assert_type(sides.pairs[0].difference, rtk.statistics.Estimate)
    print(sides.warnings, sides.pairs[0].told_apart, runs.wins_frame())


def replays(results: rtk.experiments.Results) -> None:
    """What is made of attempts already drawn."""
    policy = rtk.experiments.Policy(8, "majority", "beta", certainty=0.9, threshold=0.5)
    stops = [None, "horizon", ("window", {"window": 3})]
    replayed = results.replay([policy], samples=[4, 8], stop=stops, vote=["majority", "best"], threshold=[None, 0.5],
                              weight=["reward", lambda question, attempt: len(attempt["text"])], orders=32)  # fmt: skip
    assert_type(replayed, rtk.experiments.Replayed)
    assert_type(rtk.experiments.replay(results, extract=["boxed"], comparer="math"), rtk.experiments.Replayed)
    print(replayed.to_frame(), replayed.rows(policy), replayed.rows(0), replayed.frontier("tokens"), replayed.notes)
    assert_type(replayed.policies, list[rtk.experiments.Policy])
    assert_type(replayed.chosen(folds=10), rtk.statistics.Estimate)
    curve = results.curve("tokens")
    assert_type(curve, rtk.experiments.Curve)
    assert_type(curve.drawn[0].gap, rtk.statistics.Estimate)
    levels, bins = results.by_difficulty(bins=3), results.calibration(bins=5)
    came_from = results.routes(by_kind=False)
    assert_type(came_from, rtk.experiments.Routes)
    assert_type([one.share for one in came_from], list[rtk.statistics.Estimate])
    each: list[rtk.experiments.Route] = list(came_from)
    print(came_from.rows(), came_from.to_frame(), each[0].p95)
    assert_type(levels, rtk.experiments.Difficulty)
    assert_type(bins, rtk.experiments.Reliability)
    print(levels.accuracy, levels.left_out, bins.calibrations, bins.errors(), curve.rows(), levels.rows(), bins.rows())
    bins.save("calibration.png")


def swept(task: rtk.Task, vote: rtk.SelfConsistency, folder: Path) -> rtk.Results:
    """A sweep, and what can be asked of it."""
    programs = {"vote": vote, "chain": rtk.ChainOfThought("question -> answer")}
    found = rtk.sweep(programs, task, over={"samples": [1, 8], "temperature": (0.2, 0.9)}, model=["embedded"])
    rtk.experiments.sweep(vote, task, {"budget": [rtk.Budget(samples=2)]}, split="dev", deliberations=False)
    rtk.sweep(vote, task.dev, metric=task.metric, budget=rtk.Budget(dollars=5), replicates=3, concurrency=4)
    assert_type(found, rtk.Results)
    assert_type(found.summary(), rtk.experiments.Summary)
    assert_type(found.compare("samples=1", {"samples": 8}), rtk.experiments.Contrast)
    assert_type(found.compare(baseline="samples=1"), rtk.experiments.Contrasts)
    assert_type(found.frontier("flops"), rtk.experiments.Frontier)
    assert_type(found.matched("flops", by="program"), rtk.experiments.Matched)
    assert_type(found.replicated(), rtk.experiments.Replicated)
    assert_type(found.latency(parallel=8), rtk.experiments.Latency)
    assert_type(found.failures(each=3), rtk.experiments.Failures)
    assert_type(found.grid(order="hardest"), rtk.experiments.Grid)
    more = [rtk.experiments.Section("Cost", [found.frontier("dollars")])]
    found.report(folder / "study.html", sections=more, title="A study")
    found.save(folder)
    print(found.to_frame(), found.rows("answer"), found.candidates(), found.examples(), found.columns, found.axes)
    print(found.deliberation(0), list(found.deliberations()), found.stopped, found.interrupted, found.about)
    print(found.task.fingerprint, [arm.label for arm in found.settings], found.replicates, found.asked)
    return rtk.Results.load(folder)


async def swept_awaited(task: rtk.Task, vote: rtk.SelfConsistency) -> rtk.Results:
    """A sweep, awaited."""
    await rtk.experiments.asweep(rtk.ChainOfThought(task.signature), task.test, metric=task.metric, progress=print)
    return await rtk.asweep(vote, task, {"samples": [1, 2]}, replicates=2)
