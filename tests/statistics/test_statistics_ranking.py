"""Whether confidence tells right answers from wrong ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.errors import RTKError
from rtk.statistics import auroc

ROWS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40)


@given(ROWS)
def test_it_is_the_share_of_pairs_that_confidence_sorts(rows):
    """The area is the share of (right, wrong) pairs where the right answer is the more confident one, ties a half."""
    right, wrong = ([sure for sure, ok in rows if ok is kind] for kind in (True, False))
    found = auroc([sure for sure, _ in rows], [ok for _, ok in rows])
    pairs = [(a > b) + (a == b) / 2 for a in right for b in wrong]
    if not pairs:
        assert found.area.value is None
        assert (found.area.low, found.area.high, found.p) == (0.0, 1.0, 1.0)
    else:
        assert found.area.value == pytest.approx(np.mean(pairs))
        assert found.area.low <= found.area.value <= found.area.high
        assert 0 <= found.p <= 1


@given(ROWS)
def test_only_the_order_of_confidences_counts(rows):
    """Any rising function of the confidences gives the same, and their negatives the mirror image."""
    sure, right = [one for one, _ in rows], [ok for _, ok in rows]
    found, bent, turned = (auroc(each, right).area for each in (sure, [s**3 + s for s in sure], [-s for s in sure]))
    assert found.value is None or bent.value == pytest.approx(found.value)
    assert found.value is None or turned.value == pytest.approx(1 - found.value)


def test_its_p_value_is_that_of_the_mann_whitney_test():
    """With right and wrong answers the p-value is the Mann–Whitney test's, corrected for ties."""
    from scipy.stats import mannwhitneyu

    draw = np.random.default_rng(1)
    right = draw.random(50) < 0.4
    sure = np.round(draw.random(50) + 0.3 * right, 1)
    known = mannwhitneyu(sure[right], sure[~right], alternative="greater", use_continuity=False).pvalue
    assert auroc(sure, right).p == pytest.approx(known)


def test_confidence_that_knows_nothing_is_seldom_called_informative():
    """Confidence that is noise is called informative about one time in twenty, and its intervals cover."""
    draw = np.random.default_rng(2)
    found = [auroc(np.round(draw.random(60), 1), draw.random(60) < 0.4) for _ in range(400)]
    assert 0.02 < np.mean([one.informative for one in found]) < 0.09
    assert 0.92 < np.mean([one.area.low <= 0.5 <= one.area.high for one in found]) < 0.98


def test_graded_scores_are_sorted_too():
    """With graded scores the better of two answers should be the more confident one."""
    assert auroc([0.1, 0.5, 0.9], [0.0, 0.4, 1.0]).area.value == 1.0
    assert auroc([0.1, 0.9, 0.5], [0.0, 0.4, 1.0]).area.value == pytest.approx(2 / 3)


def test_what_sorts_perfectly_is_no_certainty():
    """Few answers sorted perfectly leave a wide interval, and no confidence at all is not informative."""
    found = auroc([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert (found.area.value, found.area.high) == (1.0, 1.0)
    assert found.area.low < 0.5
    assert not auroc([0.5] * 30, [True, False] * 15).informative


def test_rows_without_a_confidence_are_counted():
    """None and NaN are left out and counted."""
    found = auroc([0.9, None, 0.1, float("nan")], [True, True, False, False])
    assert (found.unsaid, found.area.size, found.area.value) == (2, 2, 1.0)


def test_what_cannot_be_is_refused():
    """Scores outside [0, 1] and rows that do not match are errors."""
    with pytest.raises(RTKError, match="one of each a row"):
        auroc([0.1], [True, False])
    with pytest.raises(RTKError):
        auroc([0.1, 0.2], [0, 2])
