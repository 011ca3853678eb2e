"""Comparing: two programs on the same questions, paired, with what the questions can tell."""

import dspy
import pytest
from numbers_asked import EXAMPLES, SIGNATURE, Knows, replies, right

import rtk
from rtk.errors import TaskError
from rtk.experiments import Comparison, compare, measure
from rtk.statistics import mcnemar, paired_difference
from rtk.testing import ScriptedServer


@pytest.fixture
def server():
    with ScriptedServer(replies) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def test_the_pairs_are_those_of_the_examples():
    """Difference and p-value are those of the answers paired example by example, after less before."""
    found = compare(Knows(0, 1, 2, 3), Knows(2, 3, 4, 5, 6, 7, 8, 9), EXAMPLES, right)
    before, after = [i < 4 for i in range(12)], [2 <= i < 10 for i in range(12)]
    assert found.difference == paired_difference(before, after)
    assert found.p_value == mcnemar(before, after)
    assert (found.before.accuracy.value, found.after.accuracy.value) == (4 / 12, 8 / 12)


def test_what_these_questions_cannot_tell_is_said():
    """Where the interval covers 0, the comparison says so in as many words."""
    found = compare(Knows(0, 1), Knows(0, 1, 2), EXAMPLES, right)
    assert not found.told_apart
    assert repr(found).endswith("not told apart by 12 questions.")
    assert "not told apart by 12 questions." in found._repr_html_()


def test_what_they_can_tell_is_said():
    """Where the interval leaves 0 out, in either direction, the two are told apart."""
    up = compare(Knows(), Knows(*range(12)), EXAMPLES, right)
    down = compare(Knows(*range(12)), Knows(), EXAMPLES, right)
    assert up.told_apart
    assert down.told_apart
    assert "difference of +1.00" in repr(up)
    assert "difference of −1.00" in repr(down)
    assert repr(up).endswith(": told apart by 12 questions.")


def test_a_program_and_itself_differ_by_nothing():
    """Equal answers give a difference of 0 with a width, a p-value of 1, and names that can be told apart."""
    found = compare(Knows(0, 1), Knows(0, 1), EXAMPLES, right)
    assert (found.difference.value, found.p_value) == (0.0, 1.0)
    assert found.difference.low < 0 < found.difference.high
    assert [row["program"] for row in found.rows()] == ["Knows (before)", "Knows (after)"]
    assert "difference of 0.00" in repr(found)


def test_no_question_tells_nothing():
    """Without an example there is no value, and no claim."""
    found = compare(Knows(), Knows(), [], right)
    assert found.difference.value is None
    assert not found.told_apart
    assert repr(found).endswith("nothing is known of the difference.")


def test_one_question_does_not_tell_two_programs_apart():
    """A single example, even one that only the one answers, leaves 0 inside the interval."""
    assert repr(compare(Knows(), Knows(0), EXAMPLES[:1], right)).endswith("not told apart by 1 question.")


def test_errors_and_abstentions_are_wrong_and_counted_apart(server):
    """A question that never came and one that was not answered are in the rows, each under its own name."""
    program = rtk.ChainOfThought(SIGNATURE)
    rows = compare(program, rtk.SelfConsistency(SIGNATURE, 4), EXAMPLES, right).rows()
    assert [row["program"] for row in rows] == ["ChainOfThought", "SelfConsistency(samples=4)"]
    assert [(row["n"], row["failed"], row["abstained"]) for row in rows] == [(12, 1, 1), (12, 1, 1)]
    assert [row["samples"] for row in rows] == [11, 44]
    for row in rows:
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
        assert row["tokens"] > 0


def test_the_second_program_reuses_what_the_first_drew(server):
    """A vote of four draws three more for each question, and comparing again draws nothing but what failed."""
    chain, vote = rtk.ChainOfThought(SIGNATURE), rtk.SelfConsistency(SIGNATURE, 4)
    found = compare(chain, vote, EXAMPLES, right)
    assert (found.before.spent.drawn, found.after.spent.drawn, found.after.spent.reused) == (11, 33, 11)
    again = compare(chain, vote, EXAMPLES, right)
    assert again.before.spent.drawn == again.after.spent.drawn == 0
    assert repr(again) == repr(found)
    assert again._repr_html_() == found._repr_html_()


def test_the_rows_are_a_frame():
    """A pandas frame has the rows, column by column."""
    found = compare(Knows(0), Knows(1), EXAMPLES, right)
    assert found.to_frame().to_dict("records") == found.rows()


def test_the_table_is_html_that_shows_what_models_wrote_as_text():
    """Names go into the table as text, under headings with a scope and a caption."""
    measured = measure(Knows(0), EXAMPLES, right)
    bold = type(measured)(measured.rows, measured.asked, "<b>x</b>")
    html = Comparison(bold, measured)._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "<caption" in html
    assert 'scope="col"' in html


def test_measurements_of_other_questions_are_refused_with_a_mend():
    """Two measurements pair up only where they are of the same examples in the same order."""
    one, other = measure(Knows(), EXAMPLES[:3], right), measure(Knows(), EXAMPLES[2::-1], right)
    with pytest.raises(TaskError) as caught:
        Comparison(one, other)
    assert caught.value.mend
    with pytest.raises(TaskError):
        Comparison(one, measure(Knows(), EXAMPLES, right))
    assert Comparison(one, one).difference.value == 0


def test_progress_hears_of_every_example_of_both():
    """A function is called after each example of each program."""
    ticks = []
    compare(Knows(), Knows(), EXAMPLES, right, progress=lambda: ticks.append(1))
    assert len(ticks) == 24
