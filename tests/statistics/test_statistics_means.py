"""Means and differences over questions: against Wilson, Tango's likelihood, and simulated experiments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from rtk.errors import RTKError
from rtk.statistics import difference, mean, paired_difference, proportion
from rtk.statistics.scoring import score_limits

Z = 1.959963984540054
SCORES = st.lists(st.sampled_from([0, 0.25, 1 / 3, 0.5, 0.9, 1]), min_size=1, max_size=40)
ANSWERS = st.lists(st.booleans(), max_size=60)


@given(ANSWERS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_right_or_wrong_without_replicates_is_wilsons(right, level):
    """Bools with one row a question have exactly the interval of `proportion`, named questions or not."""
    expected = proportion(sum(right), len(right), level)
    assert mean(right, level=level) == expected
    assert mean(right, clusters=[f"q{n}" for n in range(len(right))], level=level) == expected


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_score_interval_of_two_kinds_is_wilsons(counts):
    """The general interval, solved by search, is Wilson's formula where values are 0 and 1."""
    right, size = counts
    e = proportion(right, size)
    assert score_limits(np.repeat([0.0, 1.0], [size - right, right]), 0, 1, Z) == pytest.approx((e.low, e.high))


@given(SCORES)
def test_the_interval_holds_the_mean_within_the_scale(values):
    """An interval lies in [0, 1], holds the mean, and has a width."""
    e = mean(values)
    assert 0 <= e.low <= e.value <= e.high <= 1
    assert e.value == pytest.approx(np.mean(values))
    assert e.high > e.low


@given(SCORES)
def test_scores_and_their_complements_are_treated_alike(values):
    """The interval of 1 − x is the mirror image."""
    e, mirrored = mean(values), mean([1 - one for one in values])
    assert (e.low, e.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=25), st.sampled_from([0.3, 0.7, 1.3]))
@settings(deadline=None)
def test_the_ends_are_where_the_score_test_rejects(values, z):
    """At the upper end, n (m − μ)² is z² times the variance of the likeliest distribution of that mean, found anew."""
    array = np.round(values, 3)
    _, high = score_limits(array, 0.0, 1.0, z)
    if high > 1 - 1e-6 or array.mean() < 1e-6 or np.ptp(array) < 0.01:
        return
    variance = _likeliest_variance(array, high)
    assert array.size * (high - array.mean()) ** 2 == pytest.approx(z * z * variance, rel=1e-3, abs=1e-6)


def _likeliest_variance(values, mu):
    """By the dual of the likelihood: one multiplier, at its bound where a mass at 1 is needed."""
    apart = values - mu
    bound = -1 / (1 - mu)

    def dual(multiplier):
        return -np.log(np.maximum(1 + multiplier * apart, 1e-12)).sum()

    found = minimize_scalar(dual, bounds=(bound, 0), method="bounded", options={"xatol": 1e-12}).x
    weights = 1 / (values.size * (1 + found * apart))
    unseen = max(0.0, 1 - weights.sum())
    return (weights * apart**2).sum() + unseen * (1 - mu) ** 2


def test_replicates_are_no_more_questions():
    """Ten copies of each row leave the interval as it is; taken for questions they would narrow it."""
    right = [1, 0, 1, 1, 0, 1, 1, 1]
    copies, questions = np.repeat(right, 10), np.repeat(np.arange(8), 10)
    assert mean(copies, questions) == mean(right)
    few, many = mean(right), mean(copies)
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_question_counts_once():
    """A question with more rows has no more weight, in whatever order rows come and questions are named."""
    assert mean([1, 1, 1, 0], ["a", "a", "a", "b"]).value == 0.5
    one, other = mean([1, 0.5, 0, 1], ["a", "b", "a", "c"]), mean([1, 0, 0.5, 1], np.array([7, 7, 3, 5]))
    assert (one.value, one.low, one.high, one.size) == pytest.approx((other.value, other.low, other.high, 3))


def test_nothing_and_sameness_are_no_certainty():
    """No row says nothing; values all alike leave open what other questions might score."""
    assert (mean([]).value, mean([]).low, mean([]).high) == (None, 0.0, 1.0)
    e = mean([0.5] * 20)
    share = Z**2 / (20 + Z**2)
    assert (e.low, e.high) == pytest.approx((0.5 - 0.5 * share, 0.5 + 0.5 * share))
    assert mean([0] * 60, np.repeat(np.arange(20), 3)) == proportion(0, 20)


def test_many_questions_have_students_interval():
    """With many questions in the middle of the scale nothing is left of the scale's ends."""
    values = np.random.default_rng(0).uniform(0.2, 0.8, 4000)
    e, reach = mean(values), Z * values.std() / np.sqrt(4000)
    assert (e.low, e.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=2e-4)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_replicated_questions_are_covered_as_often_as_it_says(share):
    """Of 20 questions with 5 replicates that agree with each other, the interval holds the truth 93 to 98 in 100."""
    random, inside = np.random.default_rng(1), 0
    for _ in range(600):
        chance = random.beta(share * 1.5, (1 - share) * 1.5, (20, 1))
        e = mean((random.random((20, 5)) < chance).ravel(), np.repeat(np.arange(20), 5))
        inside += e.low <= share <= e.high
    assert 0.925 <= inside / 600 <= 0.985


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None)
def test_right_or_wrong_pairs_have_tangos_interval(pairs):
    """At each end Tango's statistic, with the chance of a loss estimated there, is z; or the end is the scale's."""
    before, after = zip(*pairs, strict=True)
    e = difference(before, after)
    won, lost = sum(b > a for a, b in pairs), sum(a > b for a, b in pairs)
    for end in (e.low, e.high):
        if -1 < end < 1:
            assert abs(_tango(won, lost, len(pairs), end)) == pytest.approx(Z, rel=1e-5)


def _tango(won, lost, size, delta):
    """T. Tango 1998, formula (10): the score statistic of a difference."""
    b = -won - lost + (2 * size - won + lost) * delta
    q = (np.sqrt(b * b + 8 * size * lost * delta * (1 - delta)) - b) / (4 * size)
    return (won - lost - size * delta) / np.sqrt(size * (2 * q + delta * (1 - delta)))


@given(st.lists(st.tuples(*[st.sampled_from([0, 0.25, 0.5, 1])] * 2), max_size=40))
def test_swapping_the_two_mirrors_the_difference(pairs):
    """The difference the other way round is the negative one, with the ends swapped; it stays within [−1, 1]."""
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    e, mirrored = difference(before, after), difference(after, before)
    assert (e.low, e.high) == pytest.approx((-mirrored.high, -mirrored.low))
    assert -1 <= e.low <= (e.value or 0) <= e.high <= 1
    assert (e.value is None) == (not pairs)


def test_programs_that_never_differ_may_yet():
    """Where they differ on no question, be it one only, the interval reaches z²/(n + z²) to either side."""
    for size in (1, 20):
        e, reach = difference([1] * size, [1] * size), Z**2 / (size + Z**2)
        assert (e.low, e.value, e.high) == pytest.approx((-reach, 0, reach))
    all_alike = difference([0.25] * 20, [0.5] * 20)
    assert all_alike.low < 0.25 < all_alike.high


def test_paired_replicates_are_no_more_questions():
    """Copies of rows leave the interval of a difference as it is."""
    before, after = [1, 0, 0, 1, 0, 1], [1, 1, 0, 1, 1, 0]
    e = difference(np.repeat(before, 4), np.repeat(after, 4), np.repeat(np.arange(6), 4))
    one = difference(before, after)
    assert (e.value, e.low, e.high, e.size) == pytest.approx((one.value, one.low, one.high, 6))


def test_it_agrees_with_newcombe_where_there_is_much_data():
    """With many questions that differ, two methods for the same interval give nearly the same."""
    random = np.random.default_rng(3)
    before, after = random.random(2000) < 0.5, random.random(2000) < 0.55
    ours, theirs = difference(before, after), paired_difference(before.tolist(), after.tolist())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean([0.5, 1.2]),
        lambda: mean([0.5, None]),
        lambda: mean(["right"]),
        lambda: mean([1, 0], clusters=["a"]),
        lambda: mean([1], level=95),
        lambda: mean([[1, 0]]),
        lambda: difference([1, 0], [1]),
        lambda: difference([], [], level=0),
    ],
)
def test_what_makes_no_mean_is_refused_with_a_mend(call):
    """Scores off the scale or missing, numbers of rows that differ, and impossible levels raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend
