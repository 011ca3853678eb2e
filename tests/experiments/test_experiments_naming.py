"""Names: what a program is called in a table, the same in every run."""

import dspy
import pytest
from numbers_asked import SIGNATURE, Knows

import rtk
from rtk.experiments.sweeps.naming import name_of


class Bare(rtk.Strategy):
    """A strategy without a setting."""

    def __init__(self):
        super().__init__()
        self.chain = dspy.ChainOfThought(SIGNATURE)


PROGRAMS = [
    (Knows(), "Knows"),
    (dspy.Predict(SIGNATURE), "Predict"),
    (Bare(), "Bare"),
    (rtk.ChainOfThought(SIGNATURE), "ChainOfThought"),
    (rtk.SelfConsistency(SIGNATURE), "SelfConsistency(samples=8)"),
    (rtk.SelfConsistency(SIGNATURE, 2, "mean"), "SelfConsistency(samples=2, vote='mean')"),
    (rtk.SelfConsistency(SIGNATURE, 3, lambda answers: None), "SelfConsistency(samples=3)"),
]


@pytest.mark.parametrize(("program", "name"), PROGRAMS, ids=[name for _, name in PROGRAMS])
def test_a_program_is_called_after_its_class_and_settings(program, name):
    """Amounts, and what is not the default; of a function nothing, since what it prints as differs from run to run."""
    assert name_of(program) == name
