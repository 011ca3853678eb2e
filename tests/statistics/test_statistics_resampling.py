"""The bootstrap and the frontier: against scipy, against truth in simulations, and the same in every process."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap

from rtk.errors import RTKError
from rtk.statistics import bootstrap, on_frontier, pareto


def weighted_mean(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_it_is_near_scipys():
    """On 200 skewed values the interval is nearly that of scipy's BCa bootstrap, which has no small-sample factor."""
    values = np.random.default_rng(0).exponential(size=200)
    e = bootstrap(weighted_mean(values), 200, draws=8000)
    expected = scipy_bootstrap((values,), np.mean, n_resamples=8000, rng=np.random.default_rng(1)).confidence_interval
    assert (e.low, e.high) == pytest.approx((expected.low, expected.high), abs=0.012)
    assert (e.value, e.size) == (pytest.approx(values.mean()), 200)


@pytest.mark.parametrize("size", [20, 80])
def test_a_ratio_is_covered_as_often_as_it_says(size):
    """The ratio of two sums over questions is inside 95 % intervals 90 to 98 times in 100."""
    random, inside = np.random.default_rng(2), 0
    for _ in range(300):
        right, tokens = random.random(size) < 0.6, random.exponential(size=size) + 0.5
        e = bootstrap(lambda w, a=right, b=tokens: (w @ a) / (w @ b), size, draws=600)
        inside += e.low <= 0.4 <= e.high
    assert 0.9 <= inside / 300 <= 0.985


def test_rows_of_a_question_are_drawn_together():
    """Copies of rows leave the interval as it is; taken for questions they would narrow it."""
    values = np.random.default_rng(3).random(30)
    copies, questions = np.repeat(values, 4), np.repeat(np.arange(30), 4)
    one, four = bootstrap(weighted_mean(values), 30), bootstrap(weighted_mean(copies), questions)
    assert (four.low, four.high, four.size) == pytest.approx((one.low, one.high, 30))
    assert bootstrap(weighted_mean(copies), 120).high < four.high


def test_another_process_gives_the_same():
    """The same seed is the same interval everywhere, and another seed another one."""
    code = (
        "import numpy as np; from rtk.statistics import bootstrap;"
        "v = np.arange(50.0) ** 2; print(repr(bootstrap(lambda w: w @ v / w.sum(axis=1), 50, draws=300, seed=7)))"
    )
    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)]
    values = np.arange(50.0) ** 2
    seven, eight = (bootstrap(weighted_mean(values), 50, draws=300, seed=seed) for seed in (7, 8))
    assert told[0] == told[1] == repr(seven) + "\n"
    assert seven.low != eight.low


def test_the_edges_of_the_bootstrap():
    """No question says nothing, one or a constant is a point, and undefined draws are left out."""
    nothing = bootstrap(weighted_mean(np.zeros(0)), 0)
    assert (nothing.value, nothing.low, nothing.high) == (None, float("-inf"), float("inf"))
    assert bootstrap(weighted_mean(np.ones(5)), 5).high == 1.0
    rare = np.array([0.0] * 9 + [1.0])
    with np.errstate(invalid="ignore"):
        e = bootstrap(lambda w: (w @ (rare * np.arange(10))) / (w @ rare), 10)
    assert (e.value, e.low, e.high) == (9.0, 9.0, 9.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap(lambda w: 1.0, 5),
        lambda: bootstrap(weighted_mean(np.ones(5)), 5, draws=10),
        lambda: bootstrap(weighted_mean(np.ones(5)), 5, level=1),
        lambda: pareto([1], [1, 2]),
        lambda: on_frontier([1, 2], [1, 2]),
        lambda: on_frontier([1, 2, 3], [[1], [2]]),
    ],
)
def test_what_cannot_be_resampled_is_refused_with_a_mend(call):
    """Statistics of the wrong shape, too few draws, and matrices that do not fit raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend


POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12)


@given(POINTS)
def test_the_frontier_is_what_nothing_beats(points):
    """A point is on it exactly where no other is as cheap and as good and better in one; cheapest first."""
    cost, value = [a for a, _ in points], [b for _, b in points]
    unbeaten = [
        i for i, (c, v) in enumerate(points) if not any(a <= c and b >= v and (a < c or b > v) for a, b in points)
    ]
    found = pareto(cost, value)
    assert sorted(found) == unbeaten
    assert [cost[i] for i in found] == sorted(cost[i] for i in found)


def test_what_is_not_known_is_not_on_the_frontier():
    """An unknown cost or value is on no frontier and beats nobody."""
    assert pareto([1, float("nan"), 2], [0.1, 0.9, 0.5]) == [0, 2]
    assert pareto([1, 2], [float("nan"), 0.5]) == [1]
    assert pareto([], []) == []


def test_the_shares_of_the_frontier_are_those_of_a_plain_loop():
    """Drawing questions one draw at a time, and asking `pareto`, gives the same shares within the noise of draws."""
    random = np.random.default_rng(4)
    value = (random.random((5, 40)) < np.array([[0.4], [0.5], [0.5], [0.6], [0.55]])) * 1.0
    cost = random.exponential(size=(5, 40)) * np.arange(1, 6)[:, None]
    hits = np.zeros(5)
    for _ in range(1500):
        drawn = random.integers(40, size=40)
        hits[pareto(cost[:, drawn].mean(axis=1), value[:, drawn].mean(axis=1))] += 1
    assert on_frontier(cost, value) == pytest.approx(hits / 1500, abs=0.05)


def test_the_cheapest_is_always_on_the_frontier():
    """At fixed costs the cheapest of all is never beaten; one that is dearer and never better never stands."""
    value = np.random.default_rng(5).random((3, 25))
    value[2] = np.minimum(value[1], value[0]) - 0.01
    shares = on_frontier([1, 2, 3], value)
    assert (shares[0], shares[2]) == (1.0, 0.0)
    assert 0 < shares[1] < 1


def test_nothing_is_a_value_and_a_cost():
    """A point that cost nothing, or is never right, is known, and stands as any other does."""
    assert on_frontier(np.array([[0.0] * 3, [5.0] * 3]), [[0, 1, 1], [0, 1, 1]]) == [1.0, 0.0]
    assert on_frontier([1, 2], np.zeros((2, 3))) == [1.0, 0.0]


def test_points_that_are_alike_stand_together():
    """Two points with the same values are not parted by rounding; missing cells are left out."""
    value = np.random.default_rng(6).random((1, 30))
    assert on_frontier([1, 1], np.repeat(value, 2, axis=0)) == [1.0, 1.0]
    assert on_frontier([1, 2], [[0.5, float("nan")], [float("nan"), float("nan")]])[1] == 0.0
    assert on_frontier([1, 2], np.zeros((2, 0))) == [0.0, 0.0]
