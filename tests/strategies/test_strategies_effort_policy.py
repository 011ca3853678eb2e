"""Effort policies: which rung comes next, as plain data that a person can read and write."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.errors import StrategyError
from rtk.strategies import EffortPolicy

RUNGS = ("4", "8", "16", "TreeOfThoughts")
BY_HAND = {
    "measure": "lead",
    "after": {
        "4": [{"below": 0.5, "then": "stop"}, {"below": 0.9, "then": "16"}, {"then": "stop"}],
        "16": [{"below": 0.7, "then": "TreeOfThoughts"}, {"then": "stop"}],
    },
}


def policy(after=None, rungs=RUNGS, measure="lead"):
    return EffortPolicy.of(BY_HAND if after is None else {"after": after}, rungs, measure)


@st.composite
def policies(draw):
    """A policy of a ladder of two to six rungs, and the ladder."""
    rungs = [str(number) for number in range(draw(st.integers(2, 6)))]
    after = {}
    for place, rung in enumerate(rungs[:-1]):
        edges = sorted(draw(st.sets(st.floats(-5, 5), max_size=4)))
        then = st.sampled_from(["stop", *rungs[place + 1 :]])
        bins = [{"below": edge, "then": draw(then)} for edge in edges] + [{"then": draw(then)}]
        if draw(st.booleans()):
            after[rung] = bins
    return {"measure": "m", "after": after}, rungs


@pytest.mark.parametrize(
    ("value", "then", "place"),
    [
        (0.0, None, 0),
        (0.499, None, 0),
        (0.5, "16", 1),
        (0.899, "16", 1),
        (0.9, None, 2),
        (1.0, None, 2),
        (None, None, 0),
    ],
)
def test_the_bin_says_what_is_next(value, then, place):
    """An edge belongs to the bin above it, and what is not known is in the lowest one."""
    found = policy().decide("4", value)
    assert (found.then, found.bin) == (then, place)
    assert value is None or found.low <= value < found.high


@pytest.mark.parametrize("rung", ["8", "TreeOfThoughts"])
def test_a_rung_that_is_not_named_stops(rung):
    """Whatever the measure says there."""
    assert policy().decide(rung, 0.1).then is None


def test_a_policy_reads_as_words():
    """One line for each rung that it can come to, and one line in all as text."""
    assert repr(policy()).splitlines() == [
        "after 4: by lead, stop below 0.5, on to 16 below 0.9, else stop",
        "after 16: by lead, on to TreeOfThoughts below 0.7, else stop",
        "after TreeOfThoughts: stop",
    ]
    assert str(policy()) == "; ".join(repr(policy()).splitlines())


def test_a_policy_knows_the_rungs_it_comes_to():
    """Those that it goes past are left out."""
    assert policy().reached == ("4", "16", "TreeOfThoughts")


@pytest.mark.parametrize(
    ("after", "rung"),
    [({}, "4"), ({"4": [{"then": "16"}]}, "16"), ({"4": [{"then": "8"}], "8": [{"then": "stop"}]}, "8"),
     ({"4": [{"below": 0.5, "then": "16"}, {"then": "stop"}]}, None)],
)  # fmt: skip
def test_fixed_effort_is_told_from_effort_by_difficulty(after, rung):
    """It names the rung at which every question ends, and none where that depends."""
    assert policy(after).fixed == rung


@given(policies())
def test_a_policy_survives_json(made):
    """What is read back decides as what was written."""
    plain, rungs = made
    found = EffortPolicy.of(plain, rungs, "m")
    again = EffortPolicy.of(json.loads(json.dumps(found.to_dict(), allow_nan=False)), rungs, "m")
    assert again == found
    assert found.to_dict() == plain


@given(policies(), st.one_of(st.none(), st.floats(allow_nan=False)))
def test_a_policy_only_climbs_and_comes_to_an_end(made, value):
    """From every rung it stops or goes to a later one, in the one bin that holds the value."""
    plain, rungs = made
    found = EffortPolicy.of(plain, rungs, "m")
    for place, rung in enumerate(rungs):
        decided = found.decide(rung, value)
        assert decided.then is None or rungs.index(decided.then) > place
        bins = plain["after"].get(rung, [{}])
        edges = [-math.inf, *(one["below"] for one in bins[:-1]), math.inf]
        assert (decided.low, decided.high) == (edges[decided.bin], edges[decided.bin + 1])
        assert value is None or value == math.inf or decided.low <= value < decided.high


@pytest.mark.parametrize(
    ("given_policy", "said"),
    [
        ("stop", "policy='stop'"),
        ({"4": "stop"}, "policy="),
        ({"after": {"4": "stop"}}, "after 4"),
        ({"after": {"4": []}}, "after 4"),
        ({"after": {"4": [{"then": "stop", "why": "?"}]}}, "after 4"),
        ({"after": {"5": [{"then": "stop"}]}}, "a rung '5'"),
        ({"after": {"8": [{"then": "4"}]}}, "no later rung"),
        ({"after": {"8": [{"then": "8"}]}}, "no later rung"),
        ({"after": {"4": [{"below": 0.5, "then": "8"}]}}, "the last without an end"),
        ({"after": {"4": [{"below": 0.5, "then": "8"}, {"below": 0.5, "then": "8"}, {"then": "8"}]}}, "ascend"),
        ({"after": {"4": [{"below": 0.6, "then": "8"}, {"below": 0.5, "then": "8"}, {"then": "8"}]}}, "ascend"),
        ({"after": {"4": [{"below": "low", "then": "8"}, {"then": "8"}]}}, "below 'low'"),
        ({"after": {"4": [{"below": float("nan"), "then": "8"}, {"then": "8"}]}}, "below nan"),
        ({"measure": "margin", "after": {}}, "policy= is of 'margin'"),
    ],
)
def test_what_is_no_policy_of_the_ladder_is_refused(given_policy, said):
    """With the mistake named, and what to write instead."""
    with pytest.raises(StrategyError, match=said) as error:
        EffortPolicy.of(given_policy, RUNGS, "lead")
    assert error.value.mend
