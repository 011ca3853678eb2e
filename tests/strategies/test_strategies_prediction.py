"""Predictions: a DSPy prediction with its evidence beside its fields, never among them."""

import copy

import dspy
import pytest
from scripted import chain, chat, choices, serving

import rtk
from rtk.budget import Spent

EVIDENCE = ("deliberation", "spent", "stopped", "confidence", "seconds", "abstentions")


@pytest.fixture
def found():
    with serving(choices(["a", "b", "b"])):
        return rtk.SelfConsistency("question -> answer", samples=3)(question="?")


def test_evidence_is_there_and_is_no_field(found):
    """Neither keys nor items, dicts and demonstrations show it."""
    assert isinstance(found, dspy.Prediction)
    assert isinstance(found, rtk.Prediction)
    assert found.keys() == ["reasoning", "answer"]
    assert found.toDict() == dict(found.items()) == {"reasoning": "chain 1", "answer": "b"}
    assert len(found) == 2
    assert not set(EVIDENCE) & set(found)
    assert isinstance(found.deliberation, rtk.Deliberation)
    assert isinstance(found.spent, Spent)
    assert (found.stopped, found.abstentions, found.confidence.size) == (None, {}, 3)
    assert found.seconds > 0


def test_a_demonstration_made_of_a_prediction_holds_its_fields_only(found):
    """An example built from it, as optimizers do, has no evidence in it."""
    demo = dspy.Example(question="?", **found)
    assert demo.toDict() == {"question": "?", "reasoning": "chain 1", "answer": "b"}


def test_seconds_follow_the_longest_path_of_asks():
    """What runs side by side takes what the slowest took; what runs in turn adds up."""
    with serving(choices(["a"])):
        one = rtk.SelfConsistency("question -> answer", samples=3)(question="?")
        two = rtk.SelfConsistency(rtk.SelfConsistency("question -> answer", samples=3), samples=1)(question="?")
    assert two.seconds == one.seconds > 0


class About(dspy.Signature):
    """A signature whose fields are called as evidence is."""

    question: str = dspy.InputField()
    deliberation: str = dspy.OutputField()
    seconds: float = dspy.OutputField()
    stopped: str = dspy.OutputField()
    spent: str = dspy.OutputField()
    abstentions: list[str] = dspy.OutputField()
    confidence: float = dspy.OutputField()


FIELDS = {
    "deliberation": "long",
    "seconds": 1.5,
    "stopped": "no",
    "spent": "little",
    "abstentions": [],
    "confidence": 0.25,
}


@pytest.mark.parametrize(
    "strategy",
    [
        rtk.ChainOfThought,
        lambda one: rtk.SelfConsistency(one, samples=2),
        lambda one: rtk.SelfConsistency(rtk.SelfConsistency(one, samples=2), samples=2),
        lambda one: rtk.SelfConsistency(rtk.ChainOfThought(one), samples=2),
    ],
    ids=["chain", "vote", "votes", "chains"],
)
def test_a_field_of_the_signature_wins(strategy):
    """A signature's own `confidence` is what the model said, also within nested strategies."""
    with serving(chat(reasoning="r", **FIELDS)):
        found = strategy(About)(question="?")
    assert {name: getattr(found, name) for name in FIELDS} == FIELDS
    assert found.toDict() == {"reasoning": "r", **FIELDS}


def test_a_signature_field_may_be_called_as_anything_inside():
    """Names that rtk uses within are free for a signature, too."""
    names = ["cut", "trace", "told", "took", "about", "settings", "flow", "samples"]
    outputs = dspy.Signature(f"question -> {', '.join(names)}")
    with serving(chat(**{name: name for name in ["reasoning", *names]})):
        found = rtk.SelfConsistency(rtk.ChainOfThought(outputs), samples=2)(question="?")
    assert {name: getattr(found, name) for name in names} == {name: name for name in names}


def test_a_prediction_can_be_copied_and_shown(found):
    """A copy keeps the evidence; what is shown is the fields, the same every time."""
    twin = copy.deepcopy(found)
    assert twin == found
    assert twin.deliberation is found.deliberation
    assert twin.completions.answer == found.completions.answer
    assert repr(found) == repr(twin) == "Prediction(reasoning='chain 1', answer='b')"


def test_what_is_shown_says_where_a_budget_ended():
    """A reader of a cell sees that it was cut."""
    with serving(choices(["a"])):
        found = rtk.SelfConsistency("question -> answer")(question="?", budget=rtk.Budget(samples=2))
    assert repr(found).endswith("# stopped: samples")


def test_a_replayed_prediction_is_shown_the_same():
    """From the store everything is as it was: fields, completions, deliberation, seconds."""
    program = rtk.SelfConsistency("question -> answer", samples=3)
    with serving(choices(["a", "b", "b"])):
        live, replayed = program(question="?"), program(question="?")
    assert repr(live) == repr(replayed)
    assert live.completions.answer == replayed.completions.answer
    assert live.deliberation.to_dict() == replayed.deliberation.to_dict()
    assert live.seconds == replayed.seconds
    assert live.confidence == replayed.confidence


def test_a_field_may_be_set_and_evidence_may_not(found):
    """Fields are assigned as on any prediction."""
    found.answer = "c"
    assert found["answer"] == "c"
    with pytest.raises(AttributeError):
        found.spent = None


def test_evaluate_keeps_predictions_with_their_evidence():
    """What `dspy.Evaluate` returns is what the program returned."""
    examples = [dspy.Example(question=f"{i}?", answer="a").with_inputs("question") for i in range(3)]
    evaluate = dspy.Evaluate(devset=examples, metric=lambda example, pred, trace=None: pred.confidence.value)
    with serving(choices(["a", "a", "a", "b"])):
        result = evaluate(rtk.SelfConsistency("question -> answer", samples=4), num_threads=2)
    assert result.score == 75
    assert all(isinstance(pred, rtk.Prediction) and pred.deliberation for _, pred, _ in result.results)


def test_dspys_majority_reads_our_completions(found):
    """`dspy.majority` takes the candidates as those of any prediction."""
    assert dspy.majority(found, normalize=str).answer == "b"


def test_a_prediction_without_fields_is_one(found):
    """A strategy that says nothing returns an empty prediction with its evidence."""

    class Silent(rtk.Strategy):
        def flow(self, **inputs):
            return {}
            yield

    nothing = Silent()(question="?")
    assert (nothing.toDict(), nothing.abstentions) == ({}, {})
    assert str(nothing.deliberation) == "✓ route Silent"


def test_the_steps_of_a_chain_are_told_with_wrong_claims_marked():
    """`rtk.ChainOfThought` shows its reasoning step by step, and what arithmetic in it is wrong."""
    with serving(chain("5", "First, 2 + 2 = 4.\nThen 4 + 2 = 5.")):
        found = rtk.ChainOfThought("question -> answer")(question="?")
    root = found.deliberation.root
    assert (root.kind, root.state, root.text) == ("chain", "chosen", "answer: 5")
    assert [step.text for step in root.children] == ["First, 2 + 2 = 4.", "Then 4 + 2 = 5."]
    assert [len(step.children) for step in root.children] == [0, 1]
    assert root.children[1].children[0].state == "dead end"
