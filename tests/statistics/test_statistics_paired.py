"""Paired differences, against the published formula, exact enumeration and the properties an interval must have."""

from math import exp, lgamma, log, sqrt
from statistics import NormalDist

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtk.errors import RTKError
from rtk.statistics import mcnemar, paired_difference

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
LEVELS = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def arms(both, lost, won, neither):
    """A fourfold table as two lists of answers, before and after."""
    before = [True] * (both + lost) + [False] * (won + neither)
    return before, [True] * both + [False] * lost + [True] * won + [False] * neither


def split(pairs):
    return [first for first, _ in pairs], [second for _, second in pairs]


def wilson(successes, size, z):
    p = successes / size
    centre, half = p + z * z / (2 * size), z * sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    return (centre - half) / (1 + z * z / size), (centre + half) / (1 + z * z / size)


def newcombe(both, gained, lost, neither, level):
    """Method 10 as the paper writes it: group 1 is after, group 2 before."""
    size, z = both + gained + lost + neither, NormalDist().inv_cdf((1 + level) / 2)
    one, two = (both + gained) / size, (both + lost) / size
    (l1, u1), (l2, u2) = wilson(both + gained, size, z), wilson(both + lost, size, z)
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    product = both * neither - gained * lost
    corrected = product - size / 2 if product > size / 2 else min(product, 0)
    phi = corrected / sqrt(margins) if margins else 0
    delta = sqrt((one - l1) ** 2 - 2 * phi * (one - l1) * (u2 - two) + (u2 - two) ** 2)
    epsilon = sqrt((u1 - one) ** 2 - 2 * phi * (u1 - one) * (two - l2) + (two - l2) ** 2)
    return one - two, one - two - delta, one - two + epsilon


@given(st.tuples(*[st.integers(0, 200)] * 4).filter(any), LEVELS)
@example((14, 5, 0, 22), 0.95)  # examples of Altman et al., Statistics with Confidence (2000), chapter 6
@example((212, 144, 256, 707), 0.95)
def test_the_interval_is_the_published_formula(table, level):
    """Value and ends equal Newcombe's closed form."""
    both, gained, lost, neither = table
    e = paired_difference(*arms(both, lost, gained, neither), level)
    assert (e.value, e.low, e.high) == pytest.approx(newcombe(*table, level), abs=1e-9)
    assert (e.size, e.level, e.method) == (sum(table), level, "newcombe paired")


@given(PAIRS, LEVELS)
def test_the_interval_holds_the_value_and_stays_in_bounds(pairs, level):
    """A difference lies within its interval and the interval within [-1, 1]."""
    e = paired_difference(*split(pairs), level)
    assert -1 <= e.low <= e.value <= e.high <= 1


@given(PAIRS, LEVELS)
def test_swapping_before_and_after_mirrors_the_estimate(pairs, level):
    """What is gained one way is lost the other way."""
    before, after = split(pairs)
    e, mirrored = paired_difference(before, after, level), paired_difference(after, before, level)
    assert (e.value, e.low, e.high) == pytest.approx((-mirrored.value, -mirrored.high, -mirrored.low))


@given(PAIRS, st.integers(2, 10))
def test_the_same_pairs_many_times_over_narrow_the_interval(pairs, times):
    """More pairs of the same kinds leave less room."""
    few, many = paired_difference(*split(pairs)), paired_difference(*split(pairs * times))
    assert many.value == pytest.approx(few.value)
    assert many.high - many.low < few.high - few.low


@given(PAIRS)
def test_the_order_of_the_questions_does_not_matter(pairs):
    """Only how often each kind of pair occurs counts."""
    assert paired_difference(*split(pairs)) == paired_difference(*split(sorted(pairs)))


@given(PAIRS)
def test_a_higher_level_is_wider(pairs):
    """More confidence costs width."""
    sure, unsure = paired_difference(*split(pairs), 0.99), paired_difference(*split(pairs), 0.9)
    assert sure.low <= unsure.low
    assert unsure.high <= sure.high


def test_pairs_that_agree_give_a_narrower_interval():
    """Of two comparisons with the same accuracies, the one whose arms answer alike can tell more."""
    alike, apart = paired_difference(*arms(20, 0, 4, 16)), paired_difference(*arms(12, 8, 12, 8))
    assert alike.value == apart.value
    assert alike.high - alike.low < 0.7 * (apart.high - apart.low)


def test_no_data_give_no_value():
    """Without a pair the value is None and the interval says that nothing is known."""
    e = paired_difference([], [])
    assert (e.value, e.low, e.high, e.size) == (None, -1.0, 1.0, 0)


@pytest.mark.parametrize("table", [(40, 0, 0, 0), (0, 0, 0, 40), (20, 0, 0, 20), (39, 0, 0, 1)])
def test_arms_that_never_differ_keep_a_width(table):
    """Without a pair that differs the value is 0, and the interval around it is no point."""
    e = paired_difference(*arms(*table))
    assert e.value == 0
    assert e.low < 0 < e.high
    assert e.low == pytest.approx(-e.high)


def test_all_gained_stops_at_the_end_of_the_scale():
    """All wrong before and all right after is a difference of 1 that could also be less."""
    e = paired_difference(*arms(0, 0, 40, 0))
    assert (e.value, e.high) == (1.0, 1.0)
    assert 0.8 < e.low < 1


@pytest.mark.parametrize(
    ("table", "value"), [((1, 0, 0, 0), 0), ((0, 0, 0, 1), 0), ((0, 0, 1, 0), 1), ((0, 1, 0, 0), -1)]
)
def test_one_pair_says_almost_nothing(table, value):
    """A single question leaves more than half of [-1, 1] open, 0 included."""
    e = paired_difference(*arms(*table))
    assert e.value == value
    assert e.high - e.low > 1
    assert e.low < 0 < e.high


@pytest.mark.parametrize("size", [20, 30])
@pytest.mark.parametrize(
    ("before", "after", "phi"),
    [
        (0.5, 0.5, 0.0),
        (0.5, 0.5, 0.5),
        (0.7, 0.8, 0.5),
        (0.6, 0.75, 0.0),
        (0.5, 0.7, 0.6),
        (0.9, 0.9, 0.6),
        (0.3, 0.5, 0.3),
    ],
)
def test_the_interval_covers_as_often_as_it_says(size, before, after, phi):
    """Over all outcomes of correlated arms, weighted exactly, the true difference is inside 94 times in 100 or more."""
    both = before * after + phi * sqrt(before * (1 - before) * after * (1 - after))
    chances = (both, before - both, after - both, 1 - before - after + both)
    covered = sum(_weight(table, chances) for table, e in _every(size).items() if e.low <= after - before <= e.high)
    assert 0.94 <= covered <= 1.0001


_estimates = {}


def _every(size):
    """The estimates of all fourfold tables of a size."""
    if size not in _estimates:
        counts = range(size + 1)
        tables = [(a, b, c, size - a - b - c) for a in counts for b in counts for c in counts if a + b + c <= size]
        _estimates[size] = {table: paired_difference(*arms(*table)) for table in tables}
    return _estimates[size]


def _weight(table, chances):
    ways = lgamma(sum(table) + 1) - sum(lgamma(count + 1) for count in table)
    return exp(ways + sum(count * log(chance) for count, chance in zip(table, chances, strict=True) if count))


def test_the_test_of_mcnemar_counts_coin_tosses():
    """Only pairs that differ count, and they are held against a fair coin."""
    assert mcnemar(*arms(30, 0, 6, 4)) == pytest.approx(2 / 2**6)
    assert mcnemar(*arms(3, 1, 7, 9)) == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(*arms(0, 5, 5, 0)) == 1.0


@pytest.mark.parametrize("table", [(0, 0, 0, 0), (5, 0, 0, 5), (5, 1, 0, 5)])
def test_without_pairs_that_differ_nothing_is_told_apart(table):
    """No pair, none that differs, and a single one that does give a p-value of 1."""
    assert mcnemar(*arms(*table)) == 1.0


@given(PAIRS)
def test_the_test_of_mcnemar_does_not_care_which_came_first(pairs):
    """Swapping before and after leaves the p-value, which is a chance."""
    before, after = split(pairs)
    assert mcnemar(before, after) == mcnemar(after, before)
    assert 0 < mcnemar(before, after) <= 1


@pytest.mark.parametrize("estimate", [paired_difference, mcnemar])
def test_what_is_no_pairs_is_refused_with_a_mend(estimate):
    """Two lists of different lengths cannot be paired."""
    with pytest.raises(RTKError) as caught:
        estimate([True, False], [True])
    assert caught.value.mend


@pytest.mark.parametrize("answers", [[], [True]])
def test_an_impossible_level_is_refused_with_a_mend(answers):
    """A level outside (0, 1) raises, also without data."""
    with pytest.raises(RTKError) as caught:
        paired_difference(answers, answers, 95)
    assert caught.value.mend
