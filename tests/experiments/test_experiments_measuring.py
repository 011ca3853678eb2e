"""Measuring: every example is a row, and nothing is dropped."""

import random

import dspy
import pytest

import rtk
from rtk.errors import EndpointError, StoreError, TaskError
from rtk.experiments import Measured, measure
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


def test_what_the_store_cannot_give_is_raised():
    """A recording that lacks a sample, or a store that cannot be read, is one error and no wrong answer."""

    class Lacking(dspy.Module):
        def forward(self, question):
            raise StoreError("no such sample")

    with pytest.raises(StoreError):
        measure(Lacking(), EXAMPLES, right)


def test_an_example_without_inputs_is_refused_with_a_mend():
    """Where nothing can be asked, the error says which example and what to type."""
    with pytest.raises(TaskError, match="example 1 ") as caught:
        measure(dspy.Predict("question -> answer"), [EXAMPLES[0], dspy.Example(question="?")], right)
    assert "with_inputs" in caught.value.mend


def test_an_abstention_is_counted_apart_from_an_error(server):
    """What came and was no answer is one thing, what never came another."""
    found = measure(rtk.ChainOfThought("question -> answer: int"), EXAMPLES, right)
    assert (found.errors, found.abstentions) == (1, 1)
    assert [row.abstained for row in found.rows] == [False, False, False, False, True, False]


def test_a_measurement_prints_in_one_line_the_same_every_time(server):
    """Name with settings, accuracy with its interval, what failed, and what it took."""
    program = rtk.SelfConsistency("question -> answer: int", 2, "mean")
    found = measure(program, EXAMPLES, right)
    assert repr(found) == (
        f"Measured(SelfConsistency(samples=2, vote='mean'): {found.accuracy}, 1 failed, 1 abstained; "
        f"10 samples, {found.spent.completion_tokens} tokens written)"
    )
    assert repr(measure(program, EXAMPLES, right)) == repr(found)


def test_a_row_prints_what_was_asked_and_what_came_of_it(server):
    """Right, wrong, or the error in its own words."""
    rows = measure(rtk.ChainOfThought("question -> answer: int"), EXAMPLES, right).rows
    assert repr(rows[0]) == "Row(number 0? → 0, right)"
    assert repr(rows[4]) == "Row(number 4? → None, wrong)"
    assert repr(rows[3]).startswith("Row(number 3? → status_400")


def test_a_setting_that_is_a_function_is_not_printed():
    """What it prints as differs from run to run."""
    program = rtk.SelfConsistency("question -> answer", 3, lambda answers: None)
    assert Measured([], 0, "").name == ""
    assert measure(program, [], right).name == "SelfConsistency(samples=3)"


def test_a_frame_has_a_row_for_each_example(server):
    """Inputs, answer, gold, correct, error, samples and tokens; what is missing turns no whole number into another."""
    frame = measure(rtk.ChainOfThought("question -> answer: int"), EXAMPLES, right).to_frame()
    assert list(frame.columns) == ["question", "answer", "gold", "correct", "error", "samples", "tokens"]
    assert list(frame.answer) == [0, 1, 2, None, None, 5]
    assert [type(answer) for answer in frame.answer[:3]] == [int] * 3
    assert list(frame.gold) == list(range(6))
    assert frame.correct.sum() == 4
    assert frame.samples.sum() == 5
    assert list(frame.error.notna()) == [False, False, False, True, False, False]


def test_a_frame_keeps_inputs_that_are_called_like_its_own_columns():
    """An input called answer stands beside the program's."""

    class Judge(dspy.Module):
        def forward(self, answer):
            return dspy.Prediction(reasoning="so", verdict=len(answer))

    examples = [dspy.Example(answer="four", verdict=4, id="a/1").with_inputs("answer")]
    frame = measure(Judge(), examples, lambda example, pred: True).to_frame()
    assert frame.iloc[0].to_dict() == {
        "input_answer": "four", "answer": 4, "gold": 4, "correct": True, "error": None, "samples": 0, "tokens": 0
    }  # fmt: skip


def test_a_frame_of_nothing_has_its_columns():
    """Without an example the frame is empty and can be worked with."""
    frame = measure(dspy.Predict("question -> answer"), [], right).to_frame()
    assert len(frame) == 0
    assert "correct" in frame.columns


def test_a_program_may_return_anything():
    """A bare value is the answer, and None is an abstention."""

    class Bare(dspy.Module):
        def forward(self, question):
            return 1 if "1" in question else None

    found = measure(Bare(), EXAMPLES[:2], lambda example, pred: pred == example.answer)
    assert [row.answer for row in found.rows] == [None, 1]
    assert [row.abstained for row in found.rows] == [True, False]
    assert list(found.to_frame().answer) == [None, 1]


def test_a_measurement_shows_its_first_rows_as_a_table(server):
    """In a notebook: a caption, twenty rows, how many more there are; what models wrote is text."""
    program = rtk.ChainOfThought("question -> answer: int")
    found = measure(program, EXAMPLES, right)
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + 6
    assert "<caption" in html
    assert "ChainOfThought" in html
    many = Measured(found.rows * 5, 30, "<i>x</i>")._repr_html_()
    assert many.count("<tr>") == 1 + 20
    assert "10 more" in many
    assert "<i>" not in many
