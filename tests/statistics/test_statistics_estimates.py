"""Estimates and their intervals, against formulas, published figures and enumeration."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rtk.errors import RTKError
from rtk.statistics import Estimate, pass_at_k, proportion

LEVELS = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99])


@st.composite
def counts(draw, least=1, most=500):
    size = draw(st.integers(least, most))
    return draw(st.integers(0, size)), size


@given(counts(), LEVELS)
def test_the_interval_holds_the_value_and_stays_in_zero_to_one(pair, level):
    """An estimate lies within its interval and the interval within [0, 1]."""
    e = proportion(*pair, level)
    assert 0 <= e.low <= e.value <= e.high <= 1


@given(counts(), LEVELS | st.floats(1e-6, 1 - 1e-12))
def test_the_interval_is_that_of_scipy(pair, level):
    """The two ends are those of scipy's Wilson interval, at any level, as far as its quantile has digits near 1."""
    e, expected = proportion(*pair, level), binomtest(*pair).proportion_ci(level, "wilson")
    digits = 1e-12 + 2**-52 / (1 - level)
    assert (e.low, e.high) == pytest.approx((expected.low, expected.high), abs=digits)


def test_the_last_level_below_one_has_an_interval():
    """However near to certainty, the interval is one."""
    assert 0 < proportion(3, 8, 1 - 2**-53).low < 0.375


@given(counts(), st.integers(2, 20), LEVELS)
def test_more_data_of_the_same_share_narrow_the_interval(pair, factor, level):
    """The same share over more observations has a narrower interval."""
    successes, size = pair
    few, many = proportion(successes, size, level), proportion(successes * factor, size * factor, level)
    assert many.high - many.low < few.high - few.low


@given(counts(), LEVELS)
def test_successes_and_failures_are_treated_alike(pair, level):
    """Swapping successes and failures mirrors the estimate at one half."""
    successes, size = pair
    e, mirrored = proportion(successes, size, level), proportion(size - successes, size, level)
    assert (e.value, e.low, e.high) == pytest.approx((1 - mirrored.value, 1 - mirrored.high, 1 - mirrored.low))


def test_no_data_give_no_value():
    """With no observation the value is None and the interval says that nothing is known."""
    e = proportion(0, 0)
    assert (e.value, e.low, e.high, e.size) == (None, 0.0, 1.0, 0)
    assert str(e) == "– [0.00, 1.00] n=0"


@pytest.mark.parametrize("successes", [0, 8])
def test_all_wrong_and_all_right_keep_a_width(successes):
    """An extreme share keeps an interval wider than a point and touches its end of the scale."""
    e = proportion(successes, 8)
    assert e.high - e.low > 0.2
    assert e.value in (e.low, e.high)


def test_an_estimate_prints_as_one_line():
    """An estimate prints its value, interval and size with two decimals."""
    assert str(Estimate(0.62, 0.46, 0.76, 40, 0.95, "wilson")) == "0.62 [0.46, 0.76] n=40"
    assert str(proportion(25, 40)) == "0.62 [0.47, 0.76] n=40"


@pytest.mark.parametrize(("successes", "size", "level"), [(5, 4, 0.95), (-1, 4, 0.95), (1, 4, 1.0), (1, 4, 95)])
def test_impossible_counts_are_refused_with_a_mend(successes, size, level):
    """Counts and levels that cannot be raise an error that says what to pass."""
    with pytest.raises(RTKError) as caught:
        proportion(successes, size, level)
    assert caught.value.mend


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_subsets_that_hold_a_correct_sample(case):
    """pass@k equals the share of k-subsets with at least one correct sample."""
    n, c, k = case
    subsets = [any(i < c for i in chosen) for chosen in combinations(range(n), k)]
    assert pass_at_k(n, c, k) == pytest.approx(float(Fraction(sum(subsets), len(subsets))))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_stays_a_chance_at_any_size(case):
    """pass@k is in [0, 1], grows with k, and is the plain share at k = 1."""
    n, c, k = case
    assert 0 <= pass_at_k(n, c, k) <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)
    assert pass_at_k(n, c, n) == (1.0 if c else 0.0)
    assert pass_at_k(n, c, max(1, k - 1)) <= pass_at_k(n, c, k)


def test_pass_at_k_is_undefined_beyond_the_samples():
    """With fewer samples than k, also with none, pass@k is None."""
    assert pass_at_k(4, 4, 5) is None
    assert pass_at_k(0, 0, 1) is None


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0)])
def test_impossible_samples_are_refused_with_a_mend(n, c, k):
    """Counts that cannot be raise an error that says what to pass."""
    with pytest.raises(RTKError) as caught:
        pass_at_k(n, c, k)
    assert caught.value.mend
