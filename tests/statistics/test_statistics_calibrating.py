"""Calibration: against its definition, and against truth in simulated experiments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtk.errors import RTKError
from rtk.statistics import calibration, mean

ROWS = st.lists(st.tuples(st.sampled_from([0, 0.05, 0.1, 0.3, 0.55, 0.9, 1]), st.booleans()), min_size=1, max_size=50)


@given(ROWS, st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_the_error_is_its_definition(rows, bins):
    """The error is the sum over bins of their share times the gap between accuracy and confidence."""
    confidence, correct = [c for c, _ in rows], [r for _, r in rows]
    found = calibration(confidence, correct, bins, draws=100)
    error = 0.0
    for low, high in zip(np.linspace(0, 1, bins + 1), np.linspace(0, 1, bins + 1)[1:], strict=False):
        inside = [(c, r) for c, r in rows if low < c <= high or (low == 0 and c == 0)]
        if inside:
            error += len(inside) / len(rows) * abs(np.mean([r for _, r in inside]) - np.mean([c for c, _ in inside]))
    assert found.ece.value == pytest.approx(error)
    assert sum(one.size for one in found.bins) == len(rows)
    assert 0 <= found.ece.low <= error + 1e-9
    assert error - 1e-9 <= found.ece.high <= 1
    assert found.debiased <= error + 1e-9


def test_a_bin_has_its_rows_and_their_interval():
    """A bin holds what lies above its lower end and up to its upper one; its accuracy is over questions."""
    found = calibration([0.2, 0.5, 0.5, 0.6, 1.0], [0, 1, 0, 1, 1], bins=2, clusters=["a", "b", "b", "c", "c"])
    assert [one.size for one in found.bins] == [3, 2]
    assert found.bins[0].confidence == pytest.approx(0.4)
    assert found.bins[0].accuracy == mean([0, 1, 0], ["a", "b", "b"])
    assert (found.bins[1].accuracy.size, found.ece.size) == (1, 3)


def test_bins_of_equal_mass_share_the_rows():
    """With `mass` each bin has as many rows, and answers of the same confidence stay together."""
    random = np.random.default_rng(0)
    found = calibration(random.random(1000) ** 3, random.random(1000) < 0.5, mass=True, draws=100)
    assert {one.size for one in found.bins} == {100}
    tied = calibration([0.25] * 30 + [0.5] * 30 + [1.0] * 40, [1] * 100, mass=True, draws=100)
    assert [one.size for one in tied.bins if one.size] == [30, 30, 40]
    assert calibration([0.5] * 8, [1, 0] * 4, mass=True).bins[0].size == 8


def simulated(size, truth, experiments, clusters=None):
    """Many experiments whose confidence is known to be right, or wrong by how much."""
    random = np.random.default_rng(1)
    for _ in range(experiments):
        confidence = random.beta(4, 1.5, size)
        yield calibration(confidence, random.random(size) < truth(confidence), clusters=clusters, draws=300)


def test_perfect_confidence_is_not_called_wrong():
    """Where confidence is perfect the error is biased up as `chance` says, and the interval reaches down to 0."""
    found = list(simulated(200, lambda c: c, 150))
    assert np.mean([one.ece.low == 0 for one in found]) >= 0.93
    assert np.mean([one.ece.value for one in found]) == pytest.approx(np.mean([one.chance for one in found]), rel=0.1)
    assert np.mean([one.debiased for one in found]) < 0.75 * np.mean([one.ece.value for one in found])


def test_overconfidence_is_found_and_its_size_covered():
    """Where confidence is off by a known amount the interval holds it about as often as it says, and lies above 0."""
    random = np.random.default_rng(2)
    confidence = random.beta(4, 1.5, 400_000)
    places = np.ceil(confidence * 10).astype(int) - 1
    truth = np.abs(np.bincount(places, 0.4 - 0.7 * confidence)).sum() / confidence.size
    found = list(simulated(300, lambda c: 0.4 + 0.3 * c, 200))
    assert 0.88 <= np.mean([one.ece.low <= truth <= one.ece.high for one in found]) <= 0.99
    assert np.mean([one.ece.low > 0 for one in found]) > 0.95
    assert np.mean([one.debiased for one in found]) == pytest.approx(truth, rel=0.08)


def test_replicates_widen_what_they_would_narrow():
    """Copies of rows leave error and interval as they are; taken for questions they would narrow it."""
    random = np.random.default_rng(3)
    confidence = random.random(60)
    correct = random.random(60) < confidence**2
    questions = np.repeat(np.arange(60), 5)
    one = calibration(confidence, correct)
    five = calibration(np.repeat(confidence, 5), np.repeat(correct, 5), clusters=questions)
    assert (five.ece.value, five.ece.low, five.ece.high) == pytest.approx((one.ece.value, one.ece.low, one.ece.high))
    naive = calibration(np.repeat(confidence, 5), np.repeat(correct, 5)).ece
    assert naive.high - naive.low < (five.ece.high - five.ece.low) * 0.7


def test_rows_without_a_confidence_are_counted():
    """A missing confidence is in no bin and is told; without any there is no error; one question says nothing."""
    found = calibration([0.5, None, float("nan"), 1], [1, 1, 0, 1], clusters=["a", "a", "b", "c"])
    assert (found.unsaid, sum(one.size for one in found.bins), found.ece.size) == (2, 2, 2)
    nothing = calibration([None], [1])
    assert (nothing.ece.value, nothing.ece.low, nothing.ece.high, nothing.debiased) == (None, 0.0, 1.0, None)
    assert {(one.confidence, one.accuracy.value) for one in nothing.bins} == {(None, None)}
    assert (calibration([0.9], [0]).ece.low, calibration([0.9], [0]).ece.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: calibration([0.5], [1, 0]),
        lambda: calibration([1.5], [1]),
        lambda: calibration([0.5], [None]),
        lambda: calibration([0.5], [1], bins=0),
        lambda: calibration([0.5], [1], level=95),
        lambda: calibration([0.5], [1], clusters=[1, 2]),
    ],
)
def test_what_cannot_be_binned_is_refused_with_a_mend(call):
    """Columns of different lengths, figures off the scale and no bins raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend
