"""Signatures: several inputs, several outputs, every type, and an input called `budget`, for every strategy."""

from typing import Literal

import dspy
import pydantic
import pytest
from scripted import chat, field_of, serving, tree

import rtk


class Place(pydantic.BaseModel):
    """A typed output of two fields."""

    name: str
    height: int


def signature(annotation):
    return dspy.Signature({"question": (str, dspy.InputField()), "answer": (annotation, dspy.OutputField())})


def small_tree(signature):
    return rtk.TreeOfThoughts(signature, breadth=1, branching=2, depth=1)


STRATEGIES = [rtk.ChainOfThought, lambda one: rtk.SelfConsistency(one, samples=2), small_tree]
IDS = ["chain", "vote", "tree"]
TYPES = [
    (int, "42", 42),
    (float, "0.5", 0.5),
    (bool, "True", True),
    (Literal["yes", "no"], "no", "no"),
    (list[int], "[2, 4, 6]", [2, 4, 6]),
    (list[str], '["a", "b"]', ["a", "b"]),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (Place, '{"name": "Rysy", "height": 2501}', Place(name="Rysy", height=2501)),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
@pytest.mark.parametrize(("annotation", "written", "read"), TYPES, ids=[str(one[0]) for one in TYPES])
def test_an_output_has_the_type_of_its_field(strategy, annotation, written, read):
    """Numbers, choices, lists, dicts and pydantic objects come out as the signature says."""
    with serving(tree(answer=written)):
        assert strategy(signature(annotation))(question="?").answer == read


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_two_inputs_and_two_outputs_all_arrive(strategy):
    """Every input is in every prompt, and every output in the prediction."""
    with serving(tree(answer="3", unit="km")) as server:
        found = strategy("question, context -> answer: int, unit")(question="How far?", context="A long road.")
        assert (found.answer, found.unit) == (3, "km")
        assert found.keys() == ["reasoning", "answer", "unit"]
        for received in server.requests:
            assert field_of(received, "question") == "How far?"
            assert field_of(received, "context") == "A long road."


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_an_input_called_budget_is_an_input(strategy):
    """A text called budget goes to the model; only an `rtk.Budget` is ours."""
    with serving(tree(answer="no")) as server:
        found = strategy("question, budget -> answer")(question="Enough?", budget="10 dollars")
        assert field_of(server.requests[0], "budget") == "10 dollars"
    assert (found.answer, found.stopped) == ("no", None)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_a_budget_is_no_input(strategy):
    """An `rtk.Budget` is kept and never shown to the model."""
    with serving(tree(answer="yes")) as server:
        found = strategy("question -> answer")(question="?", budget=rtk.Budget(calls=9))
        assert not any("Budget" in received.prompt for received in server.requests)
    assert (found.answer, found.stopped) == ("yes", None)


def test_a_typed_input_is_written_as_dspy_writes_it():
    """Inputs are DSPy's business: a list or an object is formatted as for `dspy.Predict`."""
    asked = "numbers: list[int] -> answer: int"
    with serving(chat(reasoning="sum", answer="6")) as server:
        dspy.ChainOfThought(asked)(numbers=[1, 2, 3])
        rtk.ChainOfThought(asked)(numbers=[1, 2, 3])
        assert server.count == 1


def test_an_output_that_does_not_fit_its_type_is_an_abstention():
    """What cannot be read as an int costs that sample only."""
    script = lambda received: chat(reasoning="r", answer="many" if received.choice == 0 else "3")  # noqa: E731
    with serving(script):
        found = rtk.SelfConsistency(signature(int), samples=4)(question="?")
    assert (found.answer, found.abstentions) == (3, {"malformed": 1})
    assert found.confidence.size == 3


def test_equal_lists_and_objects_vote_together():
    """Lists and pydantic objects with the same values are one answer, however they are written."""
    lists = ["[2, 4, 6]", "[1]", "[2,4,6]"]
    with serving(lambda received: chat(reasoning="r", answer=lists[received.choice])):
        found = rtk.SelfConsistency(signature(list[int]), samples=3)(question="?")
    assert (found.answer, found.confidence.value) == ([2, 4, 6], pytest.approx(2 / 3))
    objects = ['{"name": "a", "height": 1}', '{"name": "Rysy", "height": 2501}', '{"height": 2501, "name": "Rysy"}']
    with serving(lambda received: chat(reasoning="r", answer=objects[received.choice])):
        found = rtk.SelfConsistency(signature(Place), samples=3)(question="?")
    assert found.answer == Place(name="Rysy", height=2501)


def test_a_prompt_with_demonstrations_is_dspys():
    """The prompt with demonstrations is the very one of `dspy.ChainOfThought`, so that samples are shared."""
    demo = dspy.Example(question="1+1?", reasoning="sum", answer="2", unit="none")
    ours, theirs = rtk.ChainOfThought("question -> answer, unit"), dspy.ChainOfThought("question -> answer, unit")
    ours.predict.demos = theirs.predict.demos = [demo]
    with serving(tree(answer="3", unit="km")) as server:
        assert theirs(question="?").toDict() == ours(question="?").toDict()
        assert server.count == 1
