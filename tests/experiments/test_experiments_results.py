"""Results of sweeps that were run: what they say is what was asked, and is said the same every time."""

import dspy
import pytest
from numbers_asked import EXAMPLES, SIGNATURE, Knows, replies, right

import rtk
from rtk.experiments import sweep
from rtk.statistics import difference, mcnemar, proportion
from rtk.testing import ScriptedServer

ASKED = EXAMPLES[5:]  # of which none fails
BOLD = "<b>x</b>"


@pytest.fixture
def server():
    with ScriptedServer(replies) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def swept(program, samples=None, examples=EXAMPLES, **options):
    return sweep(program, examples, samples and {"samples": samples}, metric=right, **options)


def compared(before, after, examples=EXAMPLES):
    """Two programs that ask no model."""
    return swept({"before": before, "after": after}, examples=examples).compare("before", "after")


# --- two programs ---


def test_the_pairs_are_those_of_the_examples():
    """Difference and p-value are those of the answers paired example by example, after less before."""
    found = compared(Knows(0, 1, 2, 3), Knows(2, 3, 4, 5, 6, 7, 8, 9))
    before, after = [i < 4 for i in range(12)], [2 <= i < 10 for i in range(12)]
    assert found.difference == difference(before, after, range(12))
    assert found.p_value == pytest.approx(mcnemar(before, after))
    assert (found.before.value.value, found.after.value.value) == (4 / 12, 8 / 12)


def test_what_these_questions_cannot_tell_is_said():
    """In as many words, on a page too."""
    found = compared(Knows(0, 1), Knows(0, 1, 2))
    assert not found.told_apart
    assert "not told apart by 12 questions." in repr(found)
    assert "not told apart by 12 questions." in found._repr_html_()


def test_what_they_can_tell_is_said():
    """In either direction."""
    up, down = compared(Knows(), Knows(*range(12))), compared(Knows(*range(12)), Knows())
    assert up.told_apart
    assert down.told_apart
    assert "after less before: +1.00" in repr(up)
    assert "after less before: −1.00" in repr(down)
    assert ": told apart by 12 questions." in repr(up)


def test_a_program_and_itself_differ_by_nothing():
    """Equal answers give a difference of 0 with a width, and a p-value of 1."""
    found = compared(Knows(0, 1), Knows(0, 1))
    assert (found.difference.value, found.p_value) == (0.0, 1.0)
    assert found.difference.low < 0 < found.difference.high
    assert "after less before: 0.00" in repr(found)


def test_one_question_does_not_tell_two_programs_apart():
    """Not even one that only the one answers."""
    assert "not told apart by 1 question." in repr(compared(Knows(), Knows(0), EXAMPLES[:1]))


def test_errors_and_abstentions_are_wrong_and_counted_apart(server):
    """A question that never came and one that was not answered are in the rows, each under its own name."""
    found = swept({"chain": rtk.ChainOfThought(SIGNATURE), "vote": rtk.SelfConsistency(SIGNATURE, 4)})
    rows = found.summary().rows()
    assert [row["setting"] for row in rows] == ["chain", "vote"]
    assert [(row["questions"], row["failed"], row["abstained"]) for row in rows] == [(12, 1, 1), (12, 1, 1)]
    assert [row["total_consulted"] for row in rows] == [11, 44]
    for row in rows:
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
        assert row["total_tokens_out"] > 0


def test_the_second_program_reuses_what_the_first_drew(server):
    """A vote of four draws three more for each question; another sweep draws nothing, and says the same."""
    programs = {"chain": rtk.ChainOfThought(SIGNATURE), "vote": rtk.SelfConsistency(SIGNATURE, 4)}
    found = swept(programs)
    sums = found.rows("program", "drawn", "reused").groupby("program", sort=False).sum()
    assert sums.to_numpy().tolist() == [[11, 0], [33, 11]]
    again = swept(programs)
    assert again.rows("drawn")["drawn"].sum() == 0
    one, other = (results.compare("chain", "vote") for results in (found, again))
    assert repr(one) == repr(other)
    assert one._repr_html_() == other._repr_html_()
    assert one.to_frame().to_dict("records") == one.rows()


def test_names_are_shown_as_text():
    """Whatever programs are called, in tables with a caption and headings with a scope."""
    found = swept({BOLD: Knows(0), "other": Knows(1)})
    for shown in (found, found.compare(), found.compare(BOLD, "other"), found.failures(), found.grid()):
        html = shown._repr_html_()
        assert BOLD not in html
        assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "<caption" in found._repr_html_()
    assert 'scope="col"' in found._repr_html_()


def test_what_models_wrote_is_shown_as_text():
    """Answers and deliberations of a hostile model run nothing on a page."""
    with ScriptedServer("reasoning: <img src=x>\nanswer: <script>alert(1)</script>") as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            found = swept(rtk.SelfConsistency("question -> answer"), [1, 2], ASKED)
    for shown in (found, found.failures(), found.grid()):
        assert "<script" not in shown._repr_html_()
        assert "<img" not in shown._repr_html_()
    assert "&lt;script" in found.failures()._repr_html_()


# --- one program at several settings ---


def test_a_row_of_the_summary_is_what_the_setting_alone_would_have_given(server):
    """A setting that found its samples among those of a larger one was measured as if it had been swept alone."""
    found = swept(rtk.SelfConsistency(SIGNATURE), [4, 1], ASKED)
    alone = swept(rtk.SelfConsistency(SIGNATURE, 4), examples=ASKED).rows()
    row = found.summary().rows()[0]
    expected = proportion(int(alone["correct"].sum()), 7)
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert (row["samples"], row["total_consulted"], row["total_tokens_out"]) == (4, 28, alone["tokens_out"].sum())


def test_errors_and_abstentions_are_in_the_curve_too(server):
    """A question that never comes and one that nobody answers count as wrong at every k."""
    found = swept(rtk.SelfConsistency(SIGNATURE), [1, 2])
    assert {(row["failed"], row["abstained"]) for row in found.summary().rows()} == {(1, 1)}
    curve = found.curve()
    assert set(curve.to_frame()["questions"]) == {12}
    assert curve.to_frame()["value"].max() <= 10 / 12
    assert "1 of 12 questions have no attempts" in repr(curve)


def test_results_and_curves_print_the_same_every_time(server):
    """A second run, which draws nothing, prints the same letters, and columns are aligned."""
    first, second = (swept(rtk.SelfConsistency(SIGNATURE), [1, 2, 4], ASKED) for _ in range(2))
    assert repr(first) == repr(second)
    assert first._repr_html_() == second._repr_html_()
    assert repr(first.curve()) == repr(second.curve())
    assert first.curve().svg() == second.curve().svg()
    assert repr(first.failures()) == repr(second.failures())
    heading, columns, *lines = repr(first).splitlines()
    assert heading.startswith("examples: 7 questions (")
    assert columns.split()[:2] == ["setting", "accuracy"]
    assert {len(line) for line in lines[:3]} == {len(columns)}
    assert [line.split()[0] for line in lines[:3]] == ["samples=1", "samples=2", "samples=4"]


def test_a_strategy_of_ones_own_has_a_curve(server):
    """Any strategy with a setting called samples will do."""

    class Last(rtk.Strategy):
        samples = rtk.Setting(1)

        def __init__(self):
            super().__init__()
            self.chain = dspy.ChainOfThought(SIGNATURE)

        def flow(self, **inputs):
            chains = yield rtk.ask(self.chain, inputs, samples=self.samples)
            return chains[-1]

    found = swept(Last(), [1, 3], ASKED)
    assert [row["total_consulted"] for row in found.summary().rows()] == [7, 21]
    assert [one.size for one in found.curve().drawn] == [3]
    assert found.settings[0].program == "Last(samples=1)"
