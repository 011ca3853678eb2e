"""A sweep whose samples are stored: its rows are those of calls, and it makes none."""

import random

import dspy
import pytest
from dspy.utils.callback import BaseCallback

import rtk
from rtk.experiments import sweep
from rtk.experiments.sweeps.runs import Run
from rtk.testing import Reply, ScriptedServer

EXAMPLES = [dspy.Example(question=f"number {i}?", answer=i, id=f"n/{i}").with_inputs("question") for i in range(20)]
SIGNATURE = "question -> answer: int"


def right(example, pred):
    return pred.answer == example.answer


def replies(received):
    """Each question's own number, two times in three; number 3 is malformed, number 5 cut off, number 7 never comes."""
    number = int(received.last.partition("number ")[2].partition("?")[0])
    if number == 7:
        return Reply("no", status=400)
    draw = random.Random(f"{number} {received.body['seed']}")
    if number == 3:
        return "nothing"
    if number == 5 and draw.random() < 0.5:
        return Reply("reasoning: r", finish_reason="length")
    return f"reasoning: r {draw.random()}\nanswer: {number if draw.random() < 0.67 else 100 + number}"


@pytest.fixture
def server():
    with ScriptedServer(replies) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x", seed=1, num_retries=0)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def longest(inputs, prediction):
    return len(prediction.reasoning) / 100


PROGRAMS = {
    "vote": lambda: (rtk.SelfConsistency(SIGNATURE), {"samples": [1, 4, 2, 8], "stop": [None, "beta"]}),
    "finish": lambda: (
        rtk.SelfConsistency(SIGNATURE, finish_cut=True),
        {"samples": [4, 2], "finish_cut": [True, None]},
    ),
    "best": lambda: (rtk.BestOfN(SIGNATURE, reward_fn=longest, fail_count=9), {"N": [2, 5], "threshold": [None, 0.18]}),
    "predictor": lambda: (dspy.Predict(dspy.Signature(SIGNATURE).insert(0, "reasoning", dspy.OutputField())), None),
    "chain": lambda: (dspy.ChainOfThought(SIGNATURE), {"temperature": [0.2, 0.7]}),
}


def seen(results):
    """All that rows, attempts and deliberations say, but for the time that it took now."""
    return (
        results.rows().drop(columns="wall").to_dict("records").__repr__(),
        results.candidates().to_dict("records").__repr__(),
        [one.to_dict() for _, one in sorted(results.deliberations(), key=lambda pair: pair[0])],
    )


@pytest.mark.parametrize("replicates", [1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_that_are_told_are_those_of_calls(server, name, replicates, monkeypatch):
    """From the store, with a listener, for whom every row is called, and without."""
    program, over = PROGRAMS[name]()

    def swept():
        return sweep(program, EXAMPLES, over, metric=right, replicates=replicates)

    first = swept()
    with dspy.context(callbacks=[BaseCallback()]):
        called = seen(swept())
    asked = len(server.requests)
    calls, made = [], Run._called
    monkeypatch.setattr(Run, "_called", lambda run, program, shared: calls.append(shared) or made(run, program, shared))
    told = swept()
    assert seen(told) == called
    assert {one.asked.example.id for one in calls} <= {"n/3", "n/5", "n/7"}  # where a sample is none, or never came
    lost = first.rows("failed")["failed"].sum()  # what never comes is asked for each time
    assert len(server.requests) - asked <= lost
    assert told.rows("drawn")["drawn"].sum() == 0


def test_a_sweep_is_recorded_and_replayed(server, tmp_path):
    """The recording holds every sample that a row rests on, and a replay needs neither model nor store."""
    program, over = PROGRAMS["vote"]()
    with rtk.recording(tmp_path / "a.jsonl"):
        first = sweep(program, EXAMPLES[:3], over, metric=right)
    empty = dspy.settings.lm.copy()
    with rtk.recording(tmp_path / "a.jsonl", mode="replay"), dspy.context(lm=empty):
        again = sweep(program, EXAMPLES[:3], over, metric=right)
    names = ("answer", "correct", "tokens_out", "addresses", "confidence")
    assert again.rows(*names).equals(first.rows(*names))


def test_a_metric_that_writes_over_answers_harms_no_other_row(server):
    """What it is handed is its own."""
    program, over = PROGRAMS["vote"]()

    def tidy(example, pred):
        pred.answer = -1 if pred.answer is None else pred.answer % 100
        return pred.answer == example.answer

    for _ in range(2):
        spoiled = sweep(program, EXAMPLES, over, metric=tidy).rows("confidence", "attempts")
    assert spoiled.equals(sweep(program, EXAMPLES, over, metric=right).rows("confidence", "attempts"))


def test_a_judge_s_own_samples_are_not_the_answer_s(server):
    """What a metric asks of a model is charged to no row."""
    judge = dspy.Predict(dspy.Signature("question -> reasoning, answer: int"))

    def judged(example, pred):
        judge(question=example.question)
        return pred.answer == example.answer

    plain = sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES[:2], {"samples": [2]}, metric=right).rows("tokens_out")
    assert (
        sweep(rtk.SelfConsistency(SIGNATURE), EXAMPLES[:2], {"samples": [2]}, metric=judged)
        .rows("tokens_out")
        .equals(plain)
    )
