"""Curves: accuracy at several numbers of samples, each the first of the same ones."""

import dspy
import pytest
from numbers_asked import EXAMPLES, SIGNATURE, Knows, replies, right

import rtk
from rtk.errors import StrategyError
from rtk.experiments import curve, measure
from rtk.statistics import proportion
from rtk.testing import ScriptedServer

ASKED = EXAMPLES[5:]  # of which none fails


@pytest.fixture
def server():
    with ScriptedServer(replies) as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def test_nothing_is_drawn_twice(server):
    """The largest setting draws all samples, the others find theirs among them."""
    found = curve(rtk.SelfConsistency(SIGNATURE), ASKED, right, samples=(2, 8, 1, 4))
    spent = {samples: measured.spent for samples, measured in found.measured.items()}
    assert list(spent) == [1, 2, 4, 8]
    assert [one.samples for one in spent.values()] == [7, 14, 28, 56]
    assert sum(one.drawn for one in spent.values()) == 56
    assert spent[8].drawn == 56


def test_a_point_is_what_the_setting_alone_would_have_measured(server):
    """Each point equals the measurement of a program made with that setting, and has its Wilson interval."""
    found = curve(rtk.SelfConsistency(SIGNATURE), ASKED, right, samples=(1, 4))
    alone = measure(rtk.SelfConsistency(SIGNATURE, 4), ASKED, right)
    row = found.rows()[1]
    expected = proportion(sum(one.correct for one in alone.rows), 7)
    assert (row["accuracy"], row["low"], row["high"], row["n"]) == (expected.value, expected.low, expected.high, 7)
    assert (row["samples"], row["consulted"], row["tokens"]) == (4, 28, alone.spent.completion_tokens)


def test_errors_and_abstentions_are_points_too(server):
    """A question that never comes and one that nobody answers count at every setting."""
    rows = curve(rtk.SelfConsistency(SIGNATURE), EXAMPLES, right, samples=(1, 2)).rows()
    assert [(row["n"], row["failed"], row["abstained"]) for row in rows] == [(12, 1, 1)] * 2


def test_the_program_stays_as_it_is(server):
    """Its own setting is not touched, nor is its chain."""
    program = rtk.SelfConsistency(SIGNATURE, 3)
    curve(program, ASKED, right, samples=(1, 2))
    assert program.samples == 3


def test_a_curve_prints_as_the_same_table_every_time(server):
    """A second run, which draws nothing, prints the same letters; columns are aligned."""
    program = rtk.SelfConsistency(SIGNATURE)
    first, second = (curve(program, ASKED, right, samples=(1, 2, 4)) for _ in range(2))
    assert repr(first) == repr(second)
    heading, columns, *lines = repr(first).splitlines()
    assert heading == "SelfConsistency: accuracy against samples, 7 questions, 95 % Wilson intervals"
    assert columns.split()[:2] == ["samples", "accuracy"]
    assert {len(line) for line in lines} == {len(columns)}
    assert [line.split()[0] for line in lines] == ["1", "2", "4"]


def test_the_rows_are_a_frame(server):
    """A pandas frame has the rows, column by column."""
    found = curve(rtk.SelfConsistency(SIGNATURE), ASKED, right, samples=(1, 2))
    assert found.to_frame().to_dict("records") == found.rows()


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

    found = curve(Last(), ASKED, right, samples=(1, 3))
    assert [measured.spent.samples for measured in found.measured.values()] == [7, 21]
    assert repr(found).startswith("Last: ")


@pytest.mark.parametrize("program", [Knows(), rtk.ChainOfThought("question -> answer"), dspy.Predict("a -> b")])
def test_a_program_without_samples_is_refused_with_a_mend(program):
    """Where there is nothing to change there is no curve, and the error says what to pass."""
    with pytest.raises(StrategyError) as caught:
        curve(program, EXAMPLES, right)
    assert "SelfConsistency" in caught.value.mend


@pytest.mark.parametrize("samples", [(), (0, 1), (1, -2), (True,), (1.5,), ("2",)])
def test_settings_that_cannot_be_are_refused_with_a_mend(samples):
    """Settings are whole numbers from 1 on, at least one."""
    with pytest.raises(StrategyError) as caught:
        curve(rtk.SelfConsistency("question -> answer"), EXAMPLES, right, samples=samples)
    assert caught.value.mend


def test_progress_hears_of_every_example_at_every_setting(server):
    """A function is called after each example at each setting."""
    ticks = []
    curve(rtk.SelfConsistency(SIGNATURE), ASKED, right, samples=(1, 2), progress=lambda: ticks.append(1))
    assert len(ticks) == 14
