"""A checker's verdict on one candidate."""

import pytest

from rtk.answers import Check


@pytest.mark.parametrize(("ok", "stands"), [(True, True), (None, True), (False, False)])
def test_only_a_refusal_refuses(ok, stands):
    """A candidate stands unless the checker refuses it: one that cannot tell prunes nothing."""
    assert bool(Check(ok)) is stands


def test_a_grade_alone_refuses_nothing():
    """A score grades; it is for whoever ranks to act on it."""
    assert Check(None, score=0.0)
