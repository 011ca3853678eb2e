"""Prospects: what further answers promise a vote, against sums over all that may come."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from rtk.answers import Abstention, prospect, vote, vote_fields

counts = st.integers(1, 9)


def ballot(*heads, abstained=0):
    """A vote with so many heads for each answer."""
    answers = [f"a{place}" for place, count in enumerate(heads) for _ in range(count)]
    return vote(answers + [Abstention("empty")] * abstained)


def part_of(first, second, once=0, others=0, abstained=0):
    """The part of all answers that the first two have, from the definition."""
    votes = first + second + others
    return (1 - (once + 1) / (votes + 10)) * (first + second + 4) / (votes + 4) * votes / (votes + abstained)


def by_hand(first, second, part, left):
    """The gain for each answer of the number that pays best, from the definition."""
    best = 0.0
    for more in range(1, left + 1):
        mean = sum(
            betabinom.pmf(own, more, first + 2, second + 2)
            * max(first + 2 + own, second + 2 + more - own)
            / (first + second + 4 + more)
            for own in range(more + 1)
        )
        best = max(best, part**2 * (mean - (first + 2) / (first + second + 4)) / more)
    return best


@pytest.mark.parametrize("left", [1, 2, 5, 14])
@pytest.mark.parametrize(("first", "second"), [(1, 0), (1, 1), (2, 1), (3, 1), (4, 4), (5, 2)])
def test_the_gain_is_the_knowledge_gradient_of_the_best_number(first, second, left):
    """The expected share of the leader after so many answers less that of the one who leads now, for each answer."""
    others = min(second, 1)
    found = prospect(ballot(first, second, others, abstained=2), left)
    part = part_of(first, second, [first, second, others].count(1), others, abstained=2)
    assert found.gain == pytest.approx(by_hand(first, second, part, left), abs=1e-12)


@given(counts, counts, st.integers(0, 12))
def test_a_lead_that_cannot_be_made_up_for_promises_nothing(first, second, left):
    """Where fewer may come than one is ahead, or as many, neither gain nor change is left."""
    found = prospect(ballot(max(first, second), min(first, second)), left)
    assert (found.gain > 0) is (found.change > 0) is (left > abs(first - second))
    assert (found.ahead == 0) is (found.gain == 0)


@pytest.mark.parametrize(("first", "second", "left"), [(2, 2, 5), (3, 1, 9), (1, 0, 4)])
def test_the_change_is_the_chance_that_the_second_leads_in_the_end(first, second, left):
    """Of what is left, a binomial number falls on the first two, and of these a beta-binomial one on the first."""
    part = part_of(first, second, [first, second].count(1))
    whole = sum(
        math.comb(left, more) * part**more * (1 - part) ** (left - more) * by_own
        for more in range(left + 1)
        for own in range(more + 1)
        if (by_own := betabinom.pmf(own, more, first + 2, second + 2)) and second + more - own > first + own
    )
    assert prospect(ballot(first, second), left).change == pytest.approx(whole)


def test_what_pays_is_a_race_between_answers_that_are_frequent():
    """In this order: a tie of two, one ahead, two ahead, sixteen that all differ, a clear leader."""
    races = [ballot(3, 3), ballot(3, 2), ballot(4, 2), ballot(*[1] * 16), ballot(9, 1)]
    gains = [prospect(one, 20).gain for one in races]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0


@given(st.integers(1, 20))
def test_the_more_answers_differ_the_less_there_is_to_gain(size):
    """Hopeless questions cannot swallow a budget: every further answer that differs lowers what is promised."""
    gains = [prospect(ballot(*[1] * (size + more)), 10).gain for more in (1, 2, 3)]
    assert all(a > b for a, b in itertools.pairwise(gains))


def test_no_answer_yet_is_worth_a_sample_the_less_the_more_abstained():
    """The first vote is worth most, and a question that only abstains is given up by and by."""
    gains = [prospect(ballot(abstained=count), 9).gain for count in range(6)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 4 * gains[-1] > 0
    assert prospect(ballot(1, 1), 9).gain > prospect(ballot(abstained=2), 9).gain
    assert prospect(ballot(), 0).gain == 0


def test_of_fields_the_one_that_gains_most_counts():
    """A structured answer is worth a sample as long as one of its fields is open."""
    answers = [{"city": "Bonn", "year": year} for year in (1990, 1991, 1990, 1991)]
    assert prospect(vote_fields(answers), 9) == prospect(vote([1990, 1991, 1990, 1991]), 9)
