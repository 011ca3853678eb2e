"""Before a long sweep: what it wants, what is stored, and what the rest will take; nothing is drawn for it."""

import dspy
import pytest

import rtk
from rtk.experiments import sweep
from rtk.experiments.sweeps.arms import runners
from rtk.experiments.sweeps.foresight import foreseen
from rtk.testing import ScriptedServer

EXAMPLES = [dspy.Example(question=f"number {i}?", answer="1").with_inputs("question") for i in range(8)]
VOTE = rtk.SelfConsistency("question -> answer")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is given its time: all questions are looked at."""
    monkeypatch.setattr("rtk.experiments.sweeps.foresight.PATIENCE", 600)


@pytest.fixture
def server():
    with ScriptedServer("reasoning: r\nanswer: 1") as running:
        lm = rtk.LM("openai/scripted", api_base=running.url, api_key="x", price=(1.0, 1000.0), max_tokens=50)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield running


def told(over, program=VOTE, replicates=1, examples=EXAMPLES):
    return foreseen(runners(program, over, None), examples, replicates, 16)


def test_samples_that_settings_share_are_wanted_once(server):
    """Three settings up to eight samples of eight questions want 64, and nothing is drawn to say so."""
    said = told({"samples": [2, 4, 8]})
    assert said.startswith("64 samples wanted, 0 stored; to draw the others: about ")
    assert server.count == 0


def test_what_is_stored_is_counted(server):
    """After a sweep at four samples, half of eight are there; after one at eight, all."""
    sweep(VOTE, EXAMPLES, {"samples": [4]}, metric=lambda example, pred: True)
    assert told({"samples": [8]}).startswith("64 samples wanted, 32 stored; to draw the others: about ")
    sweep(VOTE, EXAMPLES, {"samples": [8]}, metric=lambda example, pred: True)
    assert told({"samples": [2, 8]}) == "64 samples wanted, 64 stored: nothing to draw"


def test_tokens_dollars_and_time_are_those_of_samples_alike(server):
    """What one question took is expected of the others."""
    sweep(VOTE, EXAMPLES[:1], {"samples": [8]}, metric=lambda example, pred: True)
    said = told({"samples": [8]})
    assert said.startswith("64 samples wanted, 8 stored")
    assert "tokens, $" in said
    assert said.endswith((" s", " min"))


def test_replicates_and_programs_of_ones_own_are_counted(server):
    """Each replicate wants samples of its own, and a module's predictors are counted once each."""
    assert told({"samples": [2]}, replicates=3).startswith("48 samples wanted")
    assert told({}, dspy.ChainOfThought("question -> answer")).startswith("8 samples wanted")


def test_of_many_questions_some_are_looked_at(server):
    """The sums of ten are scaled, and the line says that it is about so many."""
    many = [dspy.Example(question=f"number {i}?", answer="1").with_inputs("question") for i in range(1000)]
    assert told({"samples": [4]}, examples=many).startswith("about 4,000 samples wanted, 0 stored")


def test_a_long_sweep_says_it_where_somebody_sees_it(server, monkeypatch, capsys):
    """In a terminal the line stands above the bar; a short sweep says nothing."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    many = [dspy.Example(question=f"number {i}?", answer="1").with_inputs("question") for i in range(100)]
    sweep(VOTE, many, {"samples": [1, 2]}, metric=lambda example, pred: True)
    assert "about 200 samples wanted, 0 stored" in capsys.readouterr().err
    sweep(VOTE, many[:9], {"samples": [1, 2]}, metric=lambda example, pred: True)
    assert "wanted" not in capsys.readouterr().err
