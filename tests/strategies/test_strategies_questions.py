"""What a program holds, and what it asks for: found as DSPy finds it, and in no more time after many calls."""

import dspy
from scripted import TwoSteps

import rtk
from rtk.strategies.questions import modules_of, predictors_of, takes


class Held(dspy.Module):
    """A module that holds others in every way, one of them twice."""

    def __init__(self):
        super().__init__()
        self.first = dspy.ChainOfThought("question -> answer")
        self.several = [TwoSteps(), self.first, rtk.SelfConsistency("question -> answer")]
        self.named = {"tree": rtk.TreeOfThoughts("question, hint -> answer")}


def test_predictors_are_dspys_in_its_order():
    """Each once, wherever it is held."""
    program = Held()
    assert [id(one) for one in predictors_of(program)] == [id(one) for _, one in program.named_predictors()]


def test_modules_are_named_by_where_they_are_held():
    """As DSPy names them, without its `self`."""
    program = Held()
    ours = {id(one): where for where, one in modules_of(program)}
    theirs = {id(one): where.removeprefix("self").removeprefix(".") for where, one in program.named_sub_modules()}
    assert ours.keys() == theirs.keys()
    assert ours[id(program.named["tree"])] == theirs[id(program.named["tree"])] == "named[tree]"
    assert ours[id(program.several[0].draft)] == "several[0].draft"


def test_what_calls_leave_in_a_module_is_not_looked_at():
    """A long history takes no time, and what is in it is no part of the program."""
    program = Held()
    before = [id(one) for _, one in modules_of(program)]
    program.history.append({"lm": TwoSteps()})
    assert [id(one) for _, one in modules_of(program)] == before


def test_a_program_that_holds_itself_comes_to_an_end():
    """Each module is looked at once."""
    program = Held()
    before = len(list(modules_of(program)))
    program.again = [program]
    assert len(list(modules_of(program))) == before


def test_a_program_takes_what_one_of_its_predictors_takes():
    """An output is no input."""
    assert takes(Held(), "hint")
    assert not takes(Held(), "answer")
