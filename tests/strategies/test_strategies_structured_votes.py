"""Votes on structured answers: whole, without names that do not count, and field by field."""

import json

import dspy
import pydantic
import pytest
from scripted import chain, serving

import rtk
from rtk.testing import play


class Place(pydantic.BaseModel):
    city: str
    code: int
    note: str = ""


class Where(dspy.Signature):
    """Where is it?"""

    question: str = dspy.InputField()
    place: Place = dspy.OutputField()


def places(*values):
    """Chains with these places."""
    names = ("city", "code", "note")
    return [chat_of(reasoning="r", place=json.dumps(dict(zip(names, one, strict=False)))) for one in values]


def chat_of(**fields):
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**fields, "completed": ""}.items())


def test_a_pydantic_answer_is_voted_on_field_by_field():
    """What nobody gave as a whole has no share, and the vote on each field is there; it is an object of their type."""
    program = rtk.SelfConsistency(Where, 4, "fields")
    found = play(program, places(("Bonn", 2), ("bonn", 3), ("Ulm", 4), ("Rom", 4)), question="?")
    assert (found.place, found.confidence.value) == (Place(city="Bonn", code=4), 0.0)
    assert {name: one.share for name, one in found.vote.fields.items()} == {"city": 0.5, "code": 0.5, "note": 1.0}
    assert (
        "0 of 4 for city='Bonn' code=4 note=''; by field: city 2 of 4, code 2 of 4, note 4 of 4"
        in found.deliberation.root.text
    )


def test_several_outputs_are_fields():
    """Each from the chain that gave it; reasoning is the nearest chain's own."""
    replies = [{"reasoning": f"r{i}", "city": city, "code": code}
               for i, (city, code) in enumerate([("Ulm", 1), ("Bonn", 2), ("Bonn", 3), ("Rom", 3)])]  # fmt: skip
    program = rtk.SelfConsistency("question -> city, code: int", 4, "fields", comparer={"city": "exact"})
    found = play(program, replies, question="?")
    assert (found.city, found.code, found.reasoning) == ("Bonn", 3, "r2")
    assert (found.confidence.value, found.vote.voters) == (0.25, (2,))
    one = rtk.SelfConsistency("question -> city, code: int", 4, field="city")
    assert (lambda pred: (pred.city, pred.code))(play(one, replies, question="?")) == ("Bonn", 2)


def test_a_chain_that_abstains_abstains_from_every_field():
    """And where all do, nothing is answered."""
    program = rtk.SelfConsistency("question -> city, code: int", 2, "fields")
    found = play(program, ["no idea", {"reasoning": "r", "city": "Bonn", "code": 2}], question="?")
    assert (found.city, found.code, found.abstentions) == ("Bonn", 2, {"malformed": 1})
    found = play(program, ["no idea", "no idea"], question="?")
    assert (found.city, found.code, found.vote) == (None, None, None)


def test_what_the_type_refuses_is_the_largest_whole_answer():
    """And the deliberation says why."""

    class Even(pydantic.BaseModel):
        a: int
        b: int

        @pydantic.model_validator(mode="after")
        def _even(self):
            if (self.a + self.b) % 2:
                raise ValueError("their sum is odd")
            return self

    signature = dspy.Signature({"question": (str, dspy.InputField()), "pair": (Even, dspy.OutputField())})
    replies = [chat_of(reasoning="r", pair=json.dumps({"a": a, "b": b})) for a, b in [(1, 1), (1, 3), (2, 4), (6, 4)]]
    found = play(rtk.SelfConsistency(signature, 4, "fields"), replies, question="?")
    assert (found.pair, found.confidence.value) == (Even(a=1, b=1), 0.25)
    assert "their sum is odd" in found.deliberation.root.reason


def test_names_that_do_not_count():
    """Whole answers are the same where all else is."""
    program = rtk.SelfConsistency(Where, 3, exclude=["note"])
    found = play(program, places(("Ulm", 1, "a"), ("Bonn", 2, "b"), ("Bonn", 2, "c")), question="?")
    assert (found.place, found.confidence.value) == (Place(city="Bonn", code=2, note="b"), pytest.approx(2 / 3))


def test_tool_calls_are_the_same_but_for_named_arguments():
    """Their ids, which are new each time, never count; a name that is left out counts nowhere."""

    class Call(dspy.Signature):
        """Call a tool."""

        question: str = dspy.InputField()
        calls: dspy.ToolCalls = dspy.OutputField()

    def asked(number, **arguments):
        call = {"id": f"call_{number}", "name": "search", "args": arguments}
        return chat_of(calls=json.dumps({"tool_calls": [call]}))

    replies = [asked(0, q="x", seed=1), asked(1, q="y", seed=2), asked(2, q="y", seed=3), asked(3, q="y", seed=2)]
    whole = play(rtk.SelfConsistency(dspy.Predict(Call), 4), replies, question="?")
    assert [one.members for one in whole.vote.clusters] == [(1, 3), (0,), (2,)]
    found = play(rtk.SelfConsistency(dspy.Predict(Call), 4, exclude=["seed"]), replies, question="?")
    assert (found.calls.tool_calls[0].args, found.confidence.value) == ({"q": "y", "seed": 2}, 0.75)


def test_settings_are_saved(tmp_path):
    """Also names and comparers by name."""
    program = rtk.SelfConsistency(
        "question -> city, code", 3, "fields", comparer={"city": "exact"}, exclude=("code.seed",)
    )
    program.save(tmp_path / "vote.json")
    loaded = rtk.SelfConsistency("question -> city, code")
    loaded.load(tmp_path / "vote.json")
    assert (loaded.vote, loaded.comparer, loaded.exclude) == ("fields", {"city": "exact"}, ["code.seed"])
    trimmed = rtk.SelfConsistency("question -> answer", 3, "trimmed_mean", trim=0.25)
    trimmed.save(tmp_path / "trimmed.json")
    again = rtk.SelfConsistency("question -> answer")
    again.load(tmp_path / "trimmed.json")
    assert (again.vote, again.trim) == ("trimmed_mean", 0.25)


def test_runs_of_a_module_are_voted_on_by_field_too():
    """Whatever its prediction holds."""

    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.Predict("question -> answer")

        def forward(self, question):
            answer = self.inner(question=question).answer
            return dspy.Prediction(first=answer, second=answer * 2)

    with serving(lambda received: chat_of(answer="ab"[received.body["seed"] % 2]), seed=1):
        found = rtk.SelfConsistency(Two(), 5, "fields")(question="?")
    assert found.second == found.first * 2
    with serving(chain("a")):
        assert rtk.SelfConsistency(Two(), 3, "fields")(question="?").confidence.value == 1.0
