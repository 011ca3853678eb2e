"""Measuring: every example is a row, and nothing is dropped."""

import random

import dspy
import pytest

import rtk
from rtk.errors import EndpointError
from rtk.experiments import measure
from rtk.testing import Reply, ScriptedServer

EXAMPLES = [dspy.Example(question=f"number {i}?", answer=i).with_inputs("question") for i in range(6)]


def right(example, pred):
    return pred.answer == example.answer


def answering(received):
    """Each question's own number, after a while of its own; number 3 never comes, number 4 is malformed."""
    number = int(received.last.partition("number ")[2].partition("?")[0])
    if number == 3:
        return Reply("no", status=400)
    text = "nothing" if number == 4 else f"reasoning: r\nanswer: {number}"
    return Reply(text, delay=random.Random(number).uniform(0, 0.05))


@pytest.fixture
def server():
    with ScriptedServer(answering) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def test_every_example_is_a_row_in_its_place(server):
    """What failed and what was malformed are wrong answers, counted, and the others are in order."""
    found = measure(rtk.ChainOfThought("question -> answer: int"), EXAMPLES, right)
    assert [row.example.answer for row in found.rows] == list(range(6))
    assert [row.correct for row in found.rows] == [True, True, True, False, False, True]
    assert (found.asked, found.errors, found.accuracy.size) == (6, 1, 6)
    assert found.rows[3].error.startswith("status_400")
    assert found.rows[4].prediction.abstentions == {"malformed": 1}


def test_a_measurement_adds_up_what_its_rows_cost(server):
    """Samples drawn and failed are those of the rows, and a second run reuses what came."""
    program = rtk.ChainOfThought("question -> answer: int")
    first, second = measure(program, EXAMPLES, right), measure(program, EXAMPLES, right)
    assert (first.spent.samples, first.spent.drawn, first.spent.failed) == (5, 5, 1)
    assert (second.spent.samples, second.spent.drawn, second.spent.reused) == (5, 0, 5)
    assert first.spent.tokens == second.spent.tokens
    assert first.seconds == second.seconds  # as long as it took when drawn


def test_progress_is_told_after_each_example(server):
    """The caller hears of every example, failed ones too."""
    ticks = []
    measure(rtk.ChainOfThought("question -> answer: int"), EXAMPLES, right, progress=lambda: ticks.append(1))
    assert len(ticks) == 6


def test_a_program_that_raises_is_a_counted_row(server):
    """An exception of the program's own is one wrong row that names it."""

    class Broken(dspy.Module):
        def forward(self, question):
            raise ValueError("no such thing")

    found = measure(Broken(), EXAMPLES[:2], right)
    assert [row.error for row in found.rows] == ["ValueError: no such thing"] * 2
    assert found.accuracy.value == 0


def test_what_no_example_can_get_past_is_raised():
    """Where nobody listens, there is one error and no table of zeros."""
    with ScriptedServer("x") as gone:
        url = gone.url
    lm = rtk.LM("openai/scripted", api_base=url, api_key="x", num_retries=0)
    with dspy.context(lm=lm), pytest.raises(EndpointError):
        measure(rtk.ChainOfThought("question -> answer"), EXAMPLES, right)


def test_nothing_measured_has_no_accuracy_to_boast_of():
    """Without examples the interval is all of [0, 1]."""
    found = measure(dspy.Predict("question -> answer"), [], right)
    assert (found.accuracy.size, found.accuracy.low, found.accuracy.high, found.seconds) == (0, 0.0, 1.0, 0.0)
