"""Stopping rules: what they say after every answer, and how far ahead they may look without saying it too late."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, betabinom

from rtk.answers import Abstention, stopping, vote
from rtk.errors import AnswerError

answers = st.lists(st.sampled_from("aaabbc") | st.just(Abstention("empty")), max_size=24)
rules = st.sampled_from([stopping("beta"), stopping("beta", 0.8), stopping("window"), stopping("window", size=3),
                         stopping("horizon"), stopping("horizon", 0.8), stopping("horizon", 1)])  # fmt: skip


def stop_of(rule, given, most):
    """After how many answers a rule stops that is asked after each."""
    return next((n for n in range(1, most) if rule(vote(given[:n]), most - n) == 0), most)


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("second", range(8))
def test_beta_stops_where_the_leader_is_the_more_frequent(first, second):
    """The published rule: the Beta distribution of its share lies above one half, with this certainty."""
    leader, other = max(first, second), min(first, second)
    found = vote(["a"] * first + ["b"] * second)
    assert (stopping("beta")(found, 10) == 0) is bool(beta.sf(0.5, leader + 1, other + 1) >= 0.95)


@pytest.mark.parametrize("left", [1, 2, 5, 30])
@pytest.mark.parametrize("second", range(5))
@pytest.mark.parametrize("first", range(5, 9))
def test_horizon_stops_where_the_leader_will_lead_at_the_end(first, second, left):
    """A beta-binomial of what is left, ties going to the earlier answer."""
    for order, ties in ((["a"] * first + ["b"] * second, True), (["b"] * second + ["a"] * first, second == 0)):
        keeps = sum(
            betabinom.pmf(more, left, first + 2, second + 2)
            for more in range(left + 1)
            if first + more > second + left - more or (ties and first + more == second + left - more)
        )
        if abs(keeps - 0.9) > 1e-9:
            assert (stopping("horizon", 0.9)(vote(order), left) == 0) is bool(keeps >= 0.9)


@given(answers, st.integers(0, 12))
def test_at_certainty_horizon_never_misses_what_all_answers_would_say(given, left):
    """A lead is settled for sure only where nothing that may still come changes the winner."""
    found = vote(given)
    if found.winner is not None and left and stopping("horizon", 1)(found, left) == 0:
        rival = next((one.answer for one in found.clusters[1:]), "new")
        assert vote([*given, *[rival] * left]).winner == found.winner


def test_a_window_agrees_or_does_not():
    """Windows stand behind one another; an abstention agrees with nobody."""
    rule = stopping("window", size=3)
    assert stop_of(rule, list("abcbbb"), 20) == 6
    assert stop_of(rule, list("abbbca"), 20) == 20
    assert stop_of(rule, ["a", "a", Abstention("empty"), "a", "a", "a"], 20) == 6
    assert rule(vote(list("ab")), 20) == 1


@given(rules, answers, st.integers(1, 24))
def test_looking_ahead_pays_for_no_answer_too_many(rule, given, most):
    """In waves as long as the rule says, it stops after the very answer after which it stops when asked each time."""
    given = (given * most)[:most] if given else ["a"] * most
    seen = 0
    while needed := rule(vote(given[:seen]), most - seen) if seen < most else 0:
        assert 0 < needed <= most - seen
        seen += needed
    assert seen == stop_of(rule, given, most)


def test_looking_ahead_takes_few_rounds():
    """Some nine rounds for forty answers, on average, where one by one takes one for each."""
    rule, chance, rounds, drawn = stopping("beta"), random.Random(0), 0, 0
    for _ in range(100):
        given, seen = chance.choices("abcd", [5, 3, 2, 1], k=40), 0
        while seen < 40 and (needed := rule(vote(given[:seen]), 40 - seen)):
            seen, rounds = seen + needed, rounds + 1
        drawn += seen
    assert rounds / 100 < 12 < drawn / 100


@pytest.mark.parametrize("wrong", [{"rule": "never"}, {"level": 0.5}, {"level": 1.1}, {"size": 1}, {"size": 2.5}])
def test_what_cannot_be_is_refused(wrong):
    """With what can."""
    with pytest.raises(AnswerError):
        stopping(**{"rule": "beta", **wrong})
