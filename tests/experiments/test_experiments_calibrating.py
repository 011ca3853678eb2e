"""Calibration of settings: whether they are right as often as they are confident."""

import dspy
import numpy as np
import pytest
from attempts_drawn import SIGNATURE, asked, records, scripted, swept

import rtk
from rtk.errors import RTKError
from rtk.experiments.analysis.calibrating import calibration
from rtk.statistics import calibration as calibrated


def made_up():
    """Votes of 1 and of 8 attempts at questions of all difficulties."""
    random = np.random.default_rng(0)
    drawn = [["1" if random.random() < ease else "2" for _ in range(8)] for ease in np.linspace(0, 1, 60)]
    return records([*drawn, [None] * 8], settings=[1, 8])


def test_each_setting_is_compared_with_its_own_confidence():
    """As the statistics have it, over questions; who abstains has no confidence, and is counted."""
    found, rows = calibration(made_up(), bins=5), made_up().rows()
    own = rows[rows["setting"] == "samples=8"]
    expected = calibrated(own["confidence"], own["score"], 5, clusters=own["example"])
    assert found.calibrations["samples=8"] == expected
    assert found.errors()["unsaid"].tolist() == [1, 1]
    assert found.errors()["answers"].tolist() == [60, 60]
    assert found.to_frame().query("setting == 'samples=8'")["answers"].sum() == 60


def test_a_vote_of_one_is_sure_and_often_wrong():
    """Its error is far from what chance alone would show."""
    errors = calibration(made_up()).errors().set_index("setting")
    assert errors.loc["samples=1", "ece"] == pytest.approx(0.5, abs=0.1)
    assert errors.loc["samples=1", "low"] > errors.loc["samples=1", "chance"]


def test_it_says_whether_confidence_tells_right_from_wrong():
    """A vote that agrees where it is right sorts answers; a vote of 1, which is always as sure, is called blind."""
    random = np.random.default_rng(0)
    wrong = lambda ease: "1" if random.random() < ease else str(random.integers(2, 6))  # noqa: E731
    found = calibration(records([[wrong(ease) for _ in range(8)] for ease in np.linspace(0, 1, 60)], settings=[1, 8]))
    assert found.discriminations["samples=8"].informative
    assert found.discriminations["samples=8"].area.low > 0.5
    assert found.discriminations["samples=1"].p == 1.0
    assert "No surer where it is right, beyond chance: samples=1." in repr(found)
    assert found.errors()["auroc"].tolist()[0] == 0.5


def test_settings_without_confidence_are_named():
    """Beside those that have one; where none has it is refused."""
    with scripted():
        examples = asked(["1"], ["2"])
        both = swept({"vote": rtk.SelfConsistency(SIGNATURE, 2), "plain": dspy.Predict(SIGNATURE)}, examples)
        none = swept(dspy.Predict(SIGNATURE), examples)
    assert calibration(both).without == ("plain",)
    assert "No answer has a confidence: plain." in repr(calibration(both))
    with pytest.raises(RTKError, match="no answer of this sweep has a confidence"):
        calibration(none)


def test_it_shows_itself_in_every_form():
    """A reliability diagram with the line of agreement, described in words."""
    found = calibration(made_up())
    spec = found.chart().to_dict()
    assert "dashed: right as often as confident" in str(spec["title"])
    assert "samples=1, error 0." in spec["description"]
    assert "by chance alone" in repr(found)
    assert found.png().startswith(b"\x89PNG")
