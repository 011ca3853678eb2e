"""Replicates: how much a figure moves from run to run, and how often the better of two settings wins."""

import random
from math import inf
from statistics import NormalDist, mean, stdev

import pytest
from made_sweeps import arms_of, ladder, made
from scipy.stats import chi2

from rtk.errors import RTKError
from rtk.experiments.analysis.replicates import replicated

SMALL = arms_of(("small",))


def runs(records, label):
    frame = records.rows()
    return frame[frame["setting"] == label].groupby("replicate")["correct"].mean().tolist()


def test_the_deviation_is_that_of_the_runs():
    """The sample standard deviation, with the interval of a normal variance."""
    records = made(SMALL, ladder, replicates=4)
    for one in replicated(records).runs:
        values = runs(records, one.setting)
        assert one.values == pytest.approx(values)
        assert one.mean == pytest.approx(mean(values))
        assert one.deviation.value == pytest.approx(stdev(values))
        assert one.deviation.low == pytest.approx(stdev(values) * (3 / chi2.ppf(0.975, 3)) ** 0.5)
        assert one.deviation.high == pytest.approx(stdev(values) * (3 / chi2.ppf(0.025, 3)) ** 0.5)


def test_what_is_expected_is_the_deviation_of_many_runs():
    """The questions' own wavering over three runs foretells what two hundred runs do."""
    few = replicated(made(SMALL[:1], ladder, questions=200, replicates=3)).runs[0]
    many = replicated(made(SMALL[:1], ladder, questions=200, replicates=200)).runs[0]
    assert few.expected == pytest.approx(many.deviation.value, rel=0.15)
    assert many.expected == pytest.approx(many.deviation.value, rel=0.15)


def test_the_better_setting_wins_as_often_as_it_does():
    """The interval over three runs holds the truth about as often as it says, by drawing runs again and again."""
    draw, held, times = random.Random(0), 0, 40
    right = {"samples=1": 0.48, "samples=2": 0.52}
    gap, spread = 0.04, (2 * 0.25 / 40) ** 0.5
    truth = NormalDist().cdf(gap / spread)
    for _ in range(times):
        seed = draw.randrange(10**9)
        records = made(SMALL[:2], lambda arm, ease: right[arm.label], questions=40, replicates=3, seed=seed)
        (win,) = replicated(records).wins
        low, high = win.chance.low, win.chance.high
        ends = (low, high) if win.better == "samples=2" else (1 - high, 1 - low)
        held += ends[0] <= truth <= ends[1]
    assert held >= 0.85 * times


def test_what_was_seen_are_pairs_of_different_runs():
    """Runs of one replicate share samples, and are no pair; a tie is half a win."""
    records = made(SMALL[:2], ladder, replicates=3, questions=10)
    (win,) = replicated(records).wins
    better, worse = runs(records, win.better), runs(records, win.worse)
    pairs = [(a, b) for i, a in enumerate(better) for j, b in enumerate(worse) if i != j]
    assert win.pairs == len(pairs) == 6
    assert win.ahead == sum((a > b) + (a == b) / 2 for a, b in pairs)
    assert win.difference == pytest.approx(mean(better) - mean(worse))


def test_one_replicate_tells_nothing_and_says_so():
    """No deviation, no wins, and the call that gives them."""
    found = replicated(made(SMALL, ladder))
    assert [(one.deviation.value, one.deviation.high, one.expected) for one in found.runs] == [(None, inf, None)] * 4
    assert found.wins == ()
    assert "replicates=3" in repr(found)
    assert "replicates=3" in found._repr_html_()
    assert len(found.to_frame()) == 4
    assert found.wins_frame().empty


def test_settings_that_never_waver():
    """Equal in every run: the better one always wins, and two that are alike tie."""
    records = made(SMALL[:3], lambda arm, ease: 1.0, replicates=3, change=lambda arm, at, row: {
        **row, "correct": at % 2 > 0 or arm.label == "samples=4"})  # fmt: skip
    found = replicated(records)
    assert {one.deviation.value for one in found.runs} == {0.0}
    chances = {frozenset((win.better, win.worse)): win.chance.value for win in found.wins}
    assert chances[frozenset(("samples=1", "samples=2"))] == 0.5
    assert chances[frozenset(("samples=4", "samples=2"))] == 1.0


def test_runs_rest_on_the_questions_that_all_were_asked():
    """An interrupted last run compares with the others on what it has."""
    dropped = iter(range(10**6))
    records = made(SMALL[:1], ladder, questions=30, replicates=3,
                   change=lambda arm, at, row: row if next(dropped) < 80 else None)  # fmt: skip
    (one,) = replicated(records).runs
    assert (one.questions, len(one.values)) == (20, 3)


def test_a_level_outside_is_refused():
    """Between 0 and 1."""
    with pytest.raises(RTKError):
        replicated(made(SMALL, ladder, questions=2), level=1)
