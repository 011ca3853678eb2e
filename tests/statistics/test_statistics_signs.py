"""P-values: exact against enumeration and scipy; Holm's adjustment against its definition."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, permutation_test

from rtk.errors import RTKError
from rtk.statistics import holm, mcnemar, p_value, signs

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)
GRADED = st.lists(st.tuples(*[st.sampled_from([0, 0.25, 1 / 3, 0.5, 1])] * 2), max_size=11)


def split(pairs):
    return [a for a, _ in pairs], [b for _, b in pairs]


def enumerated(moves):
    """Of all ways to sign the moves, the shares farther from 0 than seen, and as far."""
    sums = np.abs([np.dot(moves, ways) for ways in product((1, -1), repeat=len(moves))])
    seen = abs(sum(moves))
    return float((sums > seen + 1e-9).mean()), float((np.abs(sums - seen) <= 1e-9).mean())


@given(PAIRS)
def test_right_or_wrong_without_replicates_is_mcnemars(pairs):
    """Bools with one row a question have McNemar's exact p-value."""
    before, after = split(pairs)
    assert p_value(before, after) == pytest.approx(mcnemar(before, after))


@given(GRADED)
@settings(deadline=None)
def test_graded_scores_count_all_ways_to_sign(pairs):
    """The p-value of few questions is the share of all ways to flip signs, whichever way it is computed."""
    before, after = split(pairs)
    moves = np.subtract(after, before)
    moves = moves[moves != 0]
    farther, equal = enumerated(moves) if moves.size else (0.0, 1.0)
    assert p_value(before, after) == pytest.approx(min(1, farther + equal))
    assert p_value(before, after, mid=True) == pytest.approx(farther + equal / 2 if moves.size else 1.0)
    if moves.size > 1:
        assert signs._counted(moves) == pytest.approx((farther, equal))


@given(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=12))
def test_adding_up_and_counting_give_the_same(moves):
    """The distribution added up move by move is the one that enumeration finds."""
    assert signs._added(np.array(moves)) == pytest.approx(enumerated(moves))


def test_finely_graded_scores_are_counted_then_simulated():
    """Beyond a grid, up to 36 questions are counted exactly; more are simulated, and close to the exact figure."""
    random = np.random.default_rng(0)
    before, after = random.random(36), random.random(36) + 0.1
    before /= 1.1
    after /= 1.1
    exact = p_value(before, after)
    simulated = sum(signs._simulated(after - before))
    assert simulated == pytest.approx(exact, abs=5 * np.sqrt(exact / signs.DRAWS))
    again = permutation_test(
        (after, before), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
        n_resamples=20_000, rng=np.random.default_rng(1), vectorized=True,
    )  # fmt: skip
    assert exact == pytest.approx(again.pvalue, abs=0.02)
    assert p_value(np.tile(before, 2), np.tile(after, 2)) == p_value(np.tile(before, 2), np.tile(after, 2)) > 0


def test_replicates_are_flipped_together():
    """Copies of rows leave the p-value as it is; taken for questions they would make chance look real."""
    before, after = [1, 0, 0, 1, 0, 0, 1], [1, 1, 0, 1, 1, 1, 0]
    clustered = p_value(np.repeat(before, 5), np.repeat(after, 5), np.repeat(np.arange(7), 5))
    assert clustered == pytest.approx(p_value(before, after))
    assert p_value(np.repeat(before, 5), np.repeat(after, 5)) < clustered


def test_nothing_that_differs_tells_nothing_apart():
    """No row, ties alone, and one question that differs give 1; six one way give 2 / 2⁶."""
    assert p_value([], []) == p_value([1, 0.5], [1, 0.5]) == p_value([0, 1], [1, 1]) == 1.0
    assert p_value([0] * 6, [0.7] * 6) == pytest.approx(2 / 2**6)


@pytest.mark.parametrize("replicates", [1, 3])
def test_under_the_null_it_keeps_its_level(replicates):
    """Of programs that are alike, 0.05 or less comes up at most 5 times in 100, and the randomised p is uniform."""
    random, exact, randomised = np.random.default_rng(2), [], []
    for _ in range(1500):
        chance = random.beta(1, 1, (25, 1))
        before, after = (random.random((2, 25, replicates)) < chance).reshape(2, -1)
        questions = np.repeat(np.arange(25), replicates)
        p, mid = p_value(before, after, questions), p_value(before, after, questions, mid=True)
        exact.append(p)
        randomised.append(p - 2 * (p - mid) * random.random())
    assert np.mean(np.array(exact) <= 0.05) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 1500)
    assert kstest(randomised, "uniform").pvalue > 0.01


def test_a_thousand_questions_take_no_time_and_no_chance():
    """A thousand replicated questions have an exact p-value, far in the tail too."""
    before, after = np.zeros(3000), np.ones(3000)
    assert p_value(before, after, np.repeat(np.arange(1000), 3)) == pytest.approx(2 / 2.0**1000)


@pytest.mark.parametrize("call", [lambda: p_value([1], [1, 0]), lambda: p_value([2], [1]), lambda: holm([0.1, None])])
def test_what_cannot_be_tested_is_refused_with_a_mend(call):
    """No pairs, scores off the scale and missing p-values raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend


def test_holm_adjusts_a_worked_example():
    """The smallest of four is multiplied by four, the next by three, and none falls below one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_stepping_down_rejects(p_values, level):
    """An adjusted p-value is at most the level exactly where Holm's procedure rejects, in any order given."""
    order, rejected = np.argsort(p_values, kind="stable"), set()
    for rank, place in enumerate(order):
        if p_values[place] * (len(p_values) - rank) > level:
            break
        rejected.add(int(place))
    assert {place for place, p in enumerate(holm(p_values)) if p <= level} == rejected
    assert sorted(holm(p_values)) == pytest.approx(sorted(holm(p_values[::-1])))
