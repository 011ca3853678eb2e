"""Accuracy by difficulty: binned on other samples than it is scored on, or not at all."""

import dataclasses

import numpy as np
import pytest
from attempts_drawn import SIGNATURE, asked, records, scripted, swept

import rtk
from rtk.errors import RTKError
from rtk.experiments.analysis.difficulty import by_difficulty


def drawn(ease, size=16, seed=0):
    """Answers of questions that are right so often."""
    random = np.random.default_rng(seed)
    return [["1" if random.random() < one else "2" for _ in range(size)] for one in ease]


def test_questions_of_one_difficulty_show_no_mean_that_comes_back():
    """Where all questions are alike, the bins are of luck alone, and every bin is as accurate as the others."""
    found = by_difficulty(records(drawn([0.5] * 600), settings=[1, 16]))
    frame = found.to_frame()
    assert len(found.levels) == 4  # of at most 5: questions of one difficulty stay together
    assert frame["value"].max() - frame["value"].min() < 0.2
    assert (frame["easiest"].max(), frame["hardest"].min()) == (pytest.approx(1, abs=0.2), pytest.approx(0, abs=0.2))


def test_hard_questions_are_told_from_easy_ones():
    """In their order, with their intervals."""
    found = by_difficulty(records(drawn(np.linspace(0, 1, 200)), settings=[1, 4, 8, 16]))
    assert list(found.accuracy) == ["samples=1", "samples=4", "samples=8"]
    for estimates in found.accuracy.values():
        values = [one.value for one in estimates]
        assert values == sorted(values)
        assert sum(one.size for one in estimates) == 200
    assert found.left_out == ("samples=16",)
    assert "Left out, since it looked at the held-out attempts: samples=16." in repr(found)
    assert "a held-out half" in repr(found)


def test_with_replicates_the_other_ones_say_how_hard_it_is():
    """Then every setting can be scored."""
    ease = np.linspace(0, 1, 80)
    found = by_difficulty(records([drawn(ease, 4, 1), drawn(ease, 4, 2)], replicates=2, settings=[1, 4]), bins=3)
    assert list(found.accuracy) == ["samples=1", "samples=4"]
    assert (len(found.levels), found.left_out) == (3, ())
    assert "the other replicates' attempts" in repr(found)
    values = [one.value for one in found.accuracy["samples=4"]]
    assert values == sorted(values)


def test_what_cannot_be_held_apart_is_refused():
    """One setting that looked at every attempt, or replicates that are the same samples."""
    with pytest.raises(RTKError, match="every setting looked at all attempts"):
        by_difficulty(records(drawn([0.5] * 4)))
    with scripted():
        same = swept(rtk.SelfConsistency(SIGNATURE, 2, temperature=0.0), asked(["1"], ["2"]), replicates=2)
    with pytest.raises(RTKError, match="replicates share their samples"):
        by_difficulty(same)
    with pytest.raises(RTKError, match="bins=0"):
        by_difficulty(records(drawn([0.5] * 4)), bins=0)


def test_questions_of_one_difficulty_stay_together():
    """So there may be fewer bins than were asked for, and every question is in one."""
    found = by_difficulty(records(drawn([0.0] * 10 + [1.0] * 10), settings=[8, 16]))
    assert [(one.low, one.high, one.questions) for one in found.levels] == [(0, 0, 10), (1, 1, 10)]
    assert [one.value for one in found.accuracy["samples=8"]] == [0, 1]


def test_attempts_without_scores_are_refused():
    """What a judge was not asked about says nothing of difficulty."""
    with pytest.raises(RTKError, match="no scores of their own"):
        by_difficulty(records(drawn([0.5] * 4), settings=[1, 16], score=lambda answer: float("nan")))


def test_it_shows_itself_in_every_form():
    """A chart that says what it was binned on, described in words."""
    found = by_difficulty(records(drawn(np.linspace(0, 1, 50)), settings=[1, 8, 16]))
    spec = found.chart().to_dict()
    assert "binned on a held-out half" in str(spec["title"])
    assert "samples=8: bin 1: 0.00" in spec["description"]
    assert found.png().startswith(b"\x89PNG")


def test_a_program_with_one_attempt_says_nothing_of_difficulty():
    """It has no half to hold out: the bins are those of the others, and it is scored in them."""
    program = {"chain": rtk.ChainOfThought(SIGNATURE, temperature=0.3), "vote": rtk.SelfConsistency(SIGNATURE, 4)}
    questions = asked(*(["1", "1", "1", "1"], ["2", "2", "1", "2"], ["2", "2", "2", "2"]))
    with scripted():
        found = by_difficulty(swept(program, questions))
    assert [one.high for one in found.levels] == [0.0, 0.5, 1.0]
    assert list(found.accuracy) == ["chain"]


def test_questions_are_counted_and_not_their_replicates():
    """Three replicates of ten questions of one difficulty are ten."""
    found = by_difficulty(records([drawn([1.0] * 10, 2)] * 3, replicates=3))
    assert [one.questions for one in found.levels] == [10]


def test_a_score_is_binned_and_scored_as_a_score():
    """Of a metric that is no accuracy the values are scores."""
    made_ = records([drawn([0.5] * 20, 2, seed) for seed in (1, 2)], replicates=2)
    frame = made_.rows("correct", "score")
    made_.task = dataclasses.replace(made_.task, metric="mean score")
    found = by_difficulty(made_, bins=1).to_frame()
    assert found["value"].tolist() == [pytest.approx(frame["score"].mean())]
