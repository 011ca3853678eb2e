"""Structured answers: as a whole without what does not count, item by item, and field by field."""

import json

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import Abstention, canonical, equal, vote, vote_fields
from rtk.errors import AnswerError


class Place(pydantic.BaseModel):
    city: str
    code: int = pydantic.Field(alias="Code")
    note: str | None = None

    @pydantic.model_validator(mode="after")
    def _there(self):
        if (self.city, self.code) == ("Bonn", 1):
            raise ValueError("no such place")
        return self


class Trip(pydantic.BaseModel):
    stops: list[Place]
    seed: int = 0


def place(city, code, note=None):
    return Place(city=city, Code=code, note=note)


# --- whole, with names left out ---


def calls(*arguments):
    """Tool calls as DSPy dumps them."""
    return {"tool_calls": [{"id": f"call_{i}", "name": "search", "args": one} for i, one in enumerate(arguments)]}


@pytest.mark.parametrize(
    ("a", "b", "exclude", "same"),
    [
        (calls({"q": "x", "seed": 1}), calls({"q": "x", "seed": 2}), (), False),
        (calls({"q": "x", "seed": 1}), calls({"q": "x", "seed": 2}), ("seed",), True),
        (calls({"q": "x", "seed": 1}), calls({"q": "x"}), ("args.seed",), True),
        (calls({"q": "x", "seed": 1}), calls({"q": "x", "seed": 2}), ("tool_calls.args.seed",), True),
        (calls({"q": "x", "seed": 1}), calls({"q": "x", "seed": 2}), ("name.seed", "tool_calls.seed"), False),
        (calls({"q": "x"}), calls({"q": "y"}), ("seed",), False),
        (place("Bonn", 2, "a"), place("bonn", 2, "b"), ("note",), True),
        (place("Bonn", 2, "a"), {"city": "Bonn", "code": 2}, ("note",), True),
        (Trip(stops=[place("Bonn", 2, "a")], seed=1), Trip(stops=[place("Bonn", 2)]), ["seed", "stops.note"], True),
        (Trip(stops=[place("Bonn", 2, "a")]), Trip(stops=[place("Bonn", 2)]), ["seed"], False),
        ('{"a": 1, "seed": 3}', {"a": 1, "seed": 4}, ("seed",), True),
        ("4", 4, ("seed",), True),
    ],
)  # fmt: skip
def test_names_that_do_not_count(a, b, exclude, same):
    """A name is left out wherever it lies; a dotted one where its path ends so; lists are passed through."""
    assert equal(a, b, exclude=exclude) is same
    assert (canonical(a, exclude=exclude) == canonical(b, exclude=exclude)) is same
    assert len(vote([a, b], exclude=exclude).clusters) == (1 if same else 2)


def test_other_comparers_leave_them_out_too():
    """Also those that compare pairs."""
    one, other = {"a": "x+1", "seed": 1}, {"a": "x+1", "seed": 2}
    for comparer in ("exact", "text", "similar", "math", "numeric"):
        assert equal(one, other, comparer, exclude=["seed"])


def test_what_is_left_out_is_not_lost():
    """The winner is the answer as it was given."""
    assert vote([{"a": 1, "seed": 3}, {"a": 1, "seed": 4}], exclude=["seed"]).winner == {"a": 1, "seed": 3}


def test_an_object_within_itself_many_times_over_is_no_trouble():
    """What lies deep is compared as text."""
    deep = {"seed": 1}
    for _ in range(500):
        deep = {"a": deep}
    assert equal(deep, deep, exclude=["seed"])


# --- sequences and sets ---


@pytest.mark.parametrize(
    ("a", "b", "comparer", "same"),
    [
        ([place("Bonn", 2), place("Ulm", 3)], [place("bonn", 2), place("Ulm", 3).model_dump()], "auto", True),
        ([place("Bonn", 2), place("Ulm", 3)], [place("Ulm", 3), place("Bonn", 2)], "auto", False),
        ([place("Bonn", 2), place("Ulm", 3)], [place("Ulm", 3), place("Bonn", 2)], "set", True),
        ([place("Bonn", 2), place("Ulm", 3)], [place("Ulm", 3), place("Bonn", 2)], "sequence", False),
        (["1/2", "b"], "0.5, B", "sequence", True),
        ("a; b; c", ["c", "b", "a"], "set", True),
        ({"a", "b"}, "b and a", "set", True),
        (["a", ["b", "c"]], ["a", ["c", "b"]], "set", False),
        ('["a", "b"]', ["a", "b"], "sequence", True),
        (("a", "b"), ["a", "b", "c"], "sequence", False),
        ([], [], "set", True),
    ],
)  # fmt: skip
def test_sequences_and_sets_of_whatever(a, b, comparer, same):
    """Item by item, each as `auto` reads it: numbers, text, pydantic objects, lists."""
    assert equal(a, b, comparer) is same
    assert (len(vote([a, b], comparer=comparer).clusters) == 1) is same


# --- field by field ---


def test_each_field_is_elected_by_itself():
    """The winner is put together, has the answers' type, and nobody's share where nobody gave it."""
    found = vote_fields([place("Bonn", 2), place("Bonn", 3), place("Ulm", 4), place("Rom", 4), None])
    assert (found.winner, type(found.winner)) == (place("Bonn", 4), Place)
    assert (found.share, found.voters, found.winner_index, found.reason) == (0.0, (), 0, "")
    assert {name: one.winner for name, one in found.fields.items()} == {"city": "Bonn", "code": 4, "note": None}
    assert [found.fields[name].share for name in ("city", "code", "note")] == [0.5, 0.5, 1.0]
    assert (found.votes, found.size, found.abstentions) == (4, 5, {"empty": 1})


def test_what_somebody_gave_has_their_share():
    """Answers are the same where all their fields are."""
    found = vote_fields([place("Bonn", 2), place("Ulm", 3), place("ulm ", 3), place("Ulm", 2)])
    assert (found.winner, found.winner_index) == (place("Ulm", 2), 3)
    found = vote_fields([place("Bonn", 2), place("Ulm", 3), place("ulm ", 3), place("Rom", 3)])
    assert (found.winner, found.share, found.voters) == (place("Ulm", 3), 0.5, (1, 2))


def test_what_the_type_refuses_falls_back_to_whole_answers():
    """And it says so."""
    found = vote_fields([place("Bonn", 2), place("Bonn", 3), place("Ulm", 1), place("Rom", 1), place("Bonn", 3)])
    assert {name: one.winner for name, one in found.fields.items()} == {"city": "Bonn", "code": 3, "note": None}
    found = vote_fields([place("Bonn", 2), place("Bonn", 3), place("Ulm", 1), place("Rom", 1)])
    assert (found.winner, found.share, found.voters) == (place("Bonn", 2), 0.25, (0,))
    assert "no Place" in found.reason
    assert "no such place" in found.reason


def test_fields_have_their_own_comparers_and_rules():
    """By name; the others are compared as ever, and their majority wins."""
    answers = [{"price": 10, "name": "A"}, {"price": 12, "name": "a"}, {"price": 90, "name": "b"}]
    found = vote_fields(answers, comparer={"name": "exact"}, rules={"price": "median"})
    assert found.winner == {"price": 12, "name": "A"}
    assert vote_fields(answers, rules={"price": "median"}).winner == {"price": 12, "name": "a"}
    assert vote_fields(answers, comparer=lambda a, b: True).winner == {"price": 10, "name": "A"}


def test_none_and_nothing_are_values_of_a_field():
    """A field that most answers leave empty stays empty; one that most of them lack is not there."""
    none = [{"a": 1, "b": None}, {"a": 1, "b": None}, {"a": 1, "b": "x"}]
    assert vote_fields(none).winner == {"a": 1, "b": None}
    blank = [{"a": 1, "b": ""}, {"a": 2, "b": ""}, {"a": 2, "b": "x"}]
    assert vote_fields(blank).winner == {"a": 2, "b": ""}
    lacking = [{"a": 1, "b": "x", "c": 1}, {"a": 1, "c": 2}, {"a": 2, "c": 2}]
    assert vote_fields(lacking).winner == {"a": 1, "c": 2}
    assert vote_fields(none, comparer=lambda a, b: a.lower() == b.lower()).fields["b"].winner is None


def test_names_left_out_are_those_of_the_answer_that_stands_for_it():
    """They are not voted on, and nothing in them counts elsewhere."""
    answers = [{"a": {"x": 1, "seed": 7}, "seed": 7}, {"a": {"x": 2, "seed": 8}, "seed": 8},
               {"a": {"x": 2, "seed": 9}, "seed": 9}]  # fmt: skip
    found = vote_fields(answers, exclude=["seed"])
    assert (found.winner, list(found.fields), found.share) == (answers[1], ["a"], pytest.approx(2 / 3))


def test_texts_of_json_are_objects():
    """And come back as such; what has no fields is malformed."""
    found = vote_fields(['{"a": 1, "b": 2}', '{"a": 1, "b": 3}', '{"a": 2, "b": 3}', "b is 3", Abstention("length"), 4])
    assert json.loads(found.winner) == {"a": 1, "b": 3}
    found = vote_fields(['{"a": 1, "b": 2}', '{"a": 1, "b": 3}', '{"a": 2, "b": 4}', '{"a": 9, "b": 4}', "b is 3"])
    assert (found.winner, found.abstentions) == ('{"a": 1, "b": 4}', {"malformed": 1})


@pytest.mark.parametrize("answers", [[], [None, Abstention("empty")], ["no idea", 3]])
def test_nothing_to_elect_from(answers):
    """No winner, no field, no error."""
    found = vote_fields(answers)
    assert (found.winner, found.winner_index, found.fields, found.votes) == (None, None, {}, 0)


@pytest.mark.parametrize(
    "wrong", [{"comparer": {"town": "text"}}, {"comparer": {"a": "fuzzy"}}, {"rules": {"a": "weighted"}},
              {"rules": {"town": "mean"}}, {"exclude": "a"}],
)  # fmt: skip
def test_senseless_field_votes_are_refused(wrong):
    """With what may be."""
    with pytest.raises(AnswerError) as caught:
        vote_fields([{"a": 1}, {"a": 2}], **wrong)
    assert caught.value.mend


VALUES = st.sampled_from(["1", "1.0", 1, "two", "2", "Two.", "1/2", 0.5, "x, y", ["x", "y"]])


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_one_field_is_a_plain_vote(values):
    """Its winner, its clusters and its shares."""
    found, plain = vote_fields([{"a": one} for one in values]), vote(values)
    assert found.winner["a"] == plain.winner
    assert found.fields["a"] == plain
    assert [one.members for one in found.clusters] == [one.members for one in plain.clusters]
    assert (found.share, found.winner_index) == (plain.share, plain.winner_index)


OBJECTS = st.lists(st.fixed_dictionaries({"a": VALUES}, optional={"b": VALUES, "c": st.none()}) | st.none(), max_size=8)


@given(OBJECTS)
def test_whole_answers_partition_the_votes(answers):
    """Each that counts is in one cluster, and in one of each field; shares sum to 1."""
    found = vote_fields(answers)
    for one in (found, *found.fields.values()):
        members = sorted(index for cluster in one.clusters for index in cluster.members)
        assert members == [index for index, answer in enumerate(answers) if answer is not None]
        assert sum(cluster.share for cluster in one.clusters) == pytest.approx(1.0 if members else 0.0)
    if found.winner is not None:
        assert all(found.winner.get(name) == one.winner or equal(found.winner.get(name), one.winner)
                   for name, one in found.fields.items())  # fmt: skip
