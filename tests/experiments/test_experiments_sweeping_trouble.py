"""A sweep in trouble: what hangs, what is asked in vain, what would change nothing, and what only looks alike."""

import asyncio
import functools
import subprocess
import sys

import dspy
import numpy as np
import pytest

import rtk
from rtk.errors import StrategyError
from rtk.experiments import asweep, sweep
from rtk.testing import ScriptedServer

EXAMPLES = [dspy.Example(question=f"number {i}?", answer="1").with_inputs("question") for i in range(12)]
SIGNATURE = "question -> answer"


def right(example, pred):
    return pred.answer == example.answer


@pytest.fixture
def server():
    with ScriptedServer("reasoning: r\nanswer: 1", models=None) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x", price=(1.0, 2.0), params=1e9)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


HANGS = """
import signal, sys, threading, os, time
import dspy, rtk
signal.signal(signal.SIGINT, signal.default_int_handler)
class Hangs(dspy.Module):
    def forward(self, question):
        if "3" in question:
            time.sleep(10000)
        return dspy.Prediction(answer="1")
examples = [dspy.Example(question=f"number {i}?", answer="1").with_inputs("question") for i in range(12)]
threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
found = rtk.sweep(Hangs(), examples, metric=lambda example, pred: True, progress=None)
print(found.stopped, len(found.rows()), flush=True)
"""


def test_what_hangs_costs_itself_alone():
    """Interrupted while one answer hangs for ever, the others are rows, and the process ends."""
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["interrupted", "11"], done.stderr
    assert done.returncode == 0


def test_a_cancelled_sweep_has_what_came(server):
    """The error of a cancelled `asweep` holds the results so far."""

    class Slow(dspy.Module):
        async def aforward(self, question):
            if "11" in question:
                await asyncio.sleep(1000)
            return dspy.Prediction(answer="1")

    async def cell():
        task = asyncio.ensure_future(asweep(Slow(), EXAMPLES, metric=right, progress=None))
        await asyncio.sleep(1.0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as cancelled:
            return cancelled.results

    found = asyncio.run(cell())
    assert (found.stopped, len(found.rows())) == ("interrupted", 11)


def test_a_few_bad_questions_do_not_end_it(server):
    """A metric and a program that fail on the first three of twelve questions cost these three."""
    metric = lambda example, pred: 1 / 0 if example.question in first else True  # noqa: E731
    first = {example.question for example in EXAMPLES[:3]}
    frame = sweep(rtk.SelfConsistency(SIGNATURE, samples=1), EXAMPLES, metric=metric, progress=None).rows()
    assert list(frame["error"].notna()) == [True] * 3 + [False] * 9

    class Picky(dspy.Module):
        def forward(self, question):
            if question in first:
                rtk.answers.vote([], rule="none")
            return dspy.Prediction(answer="1")

    frame = sweep(Picky(), EXAMPLES, metric=right, progress=None).rows()
    assert list(frame["error"].notna()) == [True] * 3 + [False] * 9


def test_a_metric_that_never_works_says_so(server):
    """Its own error is raised, with a note that it is the metric's, and on which question."""
    with pytest.raises(ZeroDivisionError) as caught:
        sweep(rtk.SelfConsistency(SIGNATURE, samples=1), EXAMPLES, metric=lambda e, p: 1 / 0, progress=None)
    assert "the metric failed on every answer so far" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("axis", "values"),
    [("vote", ["majorty"]), ("stop", ["bta"]), ("vote", ["judge"]), ("trim", [0.2]), ("finish_cut", [True])],
)
def test_a_setting_is_checked_as_the_constructor_does(server, axis, values):
    """A misspelt rule, and one that needs what the program was built without, are refused before anything is asked."""
    with pytest.raises(rtk.RTKError):
        sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES, {axis: values}, metric=right, progress=None)
    assert server.count == 0


def test_what_a_strategy_allows_may_be_swept(server):
    """A tree takes no values and a depth that is a function, and a chain no repair: as their constructors do."""
    tree = rtk.TreeOfThoughts(SIGNATURE, breadth=1, branching=1, depth=1)
    over = {"values": [0], "depth": [lambda inputs: 1, 1]}
    assert len(sweep(tree, EXAMPLES[:1], over, metric=right, progress=None).rows()) == 2
    chain = rtk.ChainOfThought(SIGNATURE, repair=1)
    assert len(sweep(chain, EXAMPLES[:1], {"repair": [0, 1]}, metric=right, progress=None).rows()) == 2
    with pytest.raises(StrategyError, match="repair=-1"):
        sweep(chain, EXAMPLES[:1], {"repair": [-1]}, metric=right, progress=None)


def test_settings_that_belong_together_are_checked_together(server):
    """One that is refused by itself is taken with its companion, in either order."""
    for over in ({"trim": [0.2], "vote": ["trimmed_mean"]}, {"vote": ["trimmed_mean"], "trim": [0.2]}):
        frame = sweep(rtk.SelfConsistency(SIGNATURE, samples=3), EXAMPLES[:1], over, metric=right, progress=None).rows()
        assert frame["error"].isna().all()


def test_an_axis_that_would_change_nothing_is_refused(server):
    """A model or a temperature does not reach a predictor that has its own."""
    own = dspy.ChainOfThought(SIGNATURE)
    own.set_lm(rtk.LM("openai/other", api_base=server.url, api_key="x"))
    for options in ({"model": [rtk.LM("openai/b")]}, {"over": {"temperature": [0.1, 0.9]}}):
        with pytest.raises(StrategyError, match="has a model of its own"):
            sweep(own, EXAMPLES, metric=right, progress=None, **options)
    heated = dspy.Predict(SIGNATURE, temperature=0.3)
    with pytest.raises(StrategyError, match="sets temperature itself"):
        sweep(heated, EXAMPLES, {"temperature": [0.1]}, metric=right, progress=None)


def test_two_models_that_nothing_tells_apart_are_refused(server):
    """Their samples would be the same ones; a parameter or a revision tells them apart, and is in the name."""
    make = functools.partial(rtk.LM, "openai/scripted", api_base=server.url, api_key="x")
    with pytest.raises(StrategyError, match="the same ones"):
        sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES, model=[make(), make()], metric=right, progress=None)
    found = sweep(
        rtk.ChainOfThought(SIGNATURE), EXAMPLES[:1], model=[make(max_tokens=50), make(max_tokens=60)], metric=right,
        progress=None,
    )  # fmt: skip
    assert [arm.model for arm in found.settings] == [
        "openai/scripted (max_tokens=50)",
        "openai/scripted (max_tokens=60)",
    ]


def test_no_model_is_refused():
    """Before anything is asked, with what to write."""
    with dspy.context(lm=None), pytest.raises(StrategyError, match="no model"):
        sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES, metric=right, progress=None)


def test_values_may_be_functions_names_and_numpys(server):
    """Functions of one name are told apart, a value may be given a name, and numpy's numbers are numbers."""
    program = rtk.SelfConsistency(SIGNATURE, samples=4)
    stops = [lambda vote: vote.votes >= 1, lambda vote: vote.votes >= 3]
    frame = sweep(program, EXAMPLES[:1], {"stop": stops}, metric=right, progress=None).rows()
    assert list(frame["consulted"]) == [1, 3]
    assert frame["stop"].nunique() == 2
    named = sweep(program, EXAMPLES[:1], {"stop": {"at once": stops[0]}}, metric=right, progress=None)
    assert named.settings[0].values == {"stop": "at once"}
    counted = sweep(program, EXAMPLES[:1], {"samples": np.array([1, 2])}, metric=right, progress=None)
    assert list(counted.rows("samples")["samples"]) == [1, 2]


def test_many_settings_at_one_question_have_pools_of_their_own(server):
    """Seventy temperatures are seventy pools at each question, and no pool holds two questions."""
    heats = [round(0.1 + 0.01 * number, 2) for number in range(70)]
    found = sweep(rtk.SelfConsistency(SIGNATURE, samples=1), EXAMPLES[:3], {"temperature": heats}, metric=right,
                  progress=None)  # fmt: skip
    pools = found.candidates("pool", "question").groupby("pool")["question"].nunique()
    assert (len(pools), pools.max()) == (210, 1)


def test_an_answer_costs_the_same_whatever_else_is_swept(server):
    """Dollars and operations of one sample are those of one sample, also where sixteen were drawn together."""
    costs = []
    for heat, samples in ((0.71, [1]), (0.72, [1, 16]), (0.73, [16, 1])):
        over = {"samples": samples, "temperature": [heat]}
        frame = sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES[:2], over, metric=right, progress=None).rows()
        costs.append(tuple(frame[frame["samples"] == 1][["dollars", "flops"]].mean().round(12)))
    assert costs[0] == pytest.approx(costs[1])
    assert costs[0] == pytest.approx(costs[2])
    assert costs[0][0] > 0


def test_what_is_reported_follows_from_the_scores(server):
    """Of examples with a graded metric it is the mean score, of others the accuracy."""
    vote = rtk.SelfConsistency(SIGNATURE, samples=1)
    graded = sweep(vote, EXAMPLES, metric=lambda example, pred: 0.9, progress=None)
    assert graded.task.metric == "mean score"
    assert graded.summary().rows()[0]["questions"] == 12
    assert sweep(vote, EXAMPLES, metric=right, progress=None).task.metric == "accuracy"
