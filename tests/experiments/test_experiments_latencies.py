"""Latency: what was measured, the longest path, and a schedule of so many samples at a time."""

import random

import pytest
from made_sweeps import answered

from rtk.errors import RTKError
from rtk.experiments.analysis.latencies import latency, listed
from rtk.experiments.records.records import Arm, Card, Records


def records(rows, attempts=()):
    """One setting, a question for each row."""
    arms = [Arm("samples=4", "SelfConsistency", "m", {"samples": 4})]
    made = [{**answered(0, 0, at, 4, True, 1.0), **row} for at, row in enumerate(rows)]
    examples = [{"example": f"q{at}", "question": "?", "gold": "1"} for at in range(len(rows))]
    return Records.of(Card("t", "test", len(rows), "f" * 64), arms, made, examples, attempts)


def drawn(times, pool=0, prefix=None):
    """A row chosen from attempts that took such times, and the attempts."""
    used = times[:prefix]
    row = {"pool": pool, "attempts": len(used), "seconds": max(used), "work": sum(used)}
    tries = [
        {"arm": 0, "replicate": 0, "at": pool, "pool": pool, "index": i, "seconds": t} for i, t in enumerate(times)
    ]
    return row, tries


def scheduled(times, workers):
    """The same by stepping through time: whoever is free takes the next."""
    free = [0.0] * workers
    for one in times:
        first = free.index(min(free))
        free[first] += one
    return max(free)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_attempts_go_to_the_first_worker_that_is_free(workers):
    """In the order of their index, for every number of them."""
    draw = random.Random(workers)
    times = [draw.uniform(0.1, 3) for _ in range(12)]
    found = list(listed(times, workers))
    for many, (end, longest, total) in enumerate(found, 1):
        assert end == pytest.approx(scheduled(times[:many], workers))
        assert (longest, total) == (max(times[:many]), pytest.approx(sum(times[:many])))


def test_an_answer_of_attempts_is_scheduled():
    """Two at a time, and only those that the answer was chosen from; no bound."""
    row, tries = drawn([3.0, 1.0, 1.0, 2.0, 9.0], prefix=4)
    (one,) = latency(records([row], tries), 2).settings
    assert (one.limited.median, one.bounded) == (4.0, 0)
    assert one.unlimited.median == 3.0


def test_one_at_a_time_is_the_work_and_many_at_once_the_longest():
    """The ends of the scale are exact, with attempts and without."""
    row, tries = drawn([3.0, 1.0, 2.0])
    plain = {"seconds": 3.0, "work": 6.0}
    for given in (records([row], tries), records([plain])):
        (one,) = latency(given, 1).settings
        assert (one.limited.median, one.bounded) == (6.0, 0)
    assert latency(records([row], tries), 3).settings[0].limited.median == 3.0


def test_where_the_order_is_not_known_there_is_a_bound():
    """Waves, trees and attempts whose times do not make up the answer's are bounded from above, and marked."""
    row, tries = drawn([3.0, 1.0, 1.0, 2.0])
    rows = [{**row, "seconds": 4.0}, {**row, "work": 8.0}, {"seconds": 3.0, "work": 7.0}]
    for one in rows:
        found = latency(records([one], tries), 2)
        assert found.settings[0].bounded == 1
        assert found.settings[0].limited.median == pytest.approx(one["work"] / 2 + one["seconds"] / 2)
        assert "≤ " in repr(found)
        assert "Upper bounds" in repr(found)


def test_a_chain_of_one_step_after_the_other_is_no_bound():
    """Where the work is the longest path, more workers change nothing."""
    (one,) = latency(records([{"seconds": 5.0, "work": 5.0}]), 4).settings
    assert (one.limited.median, one.bounded) == (5.0, 0)


def test_the_bound_is_above_every_schedule():
    """Graham's and Brent's bound holds for list schedules of independent attempts."""
    draw = random.Random(5)
    for _ in range(200):
        times = [draw.expovariate(1) for _ in range(draw.randint(1, 9))]
        workers = draw.randint(1, 5)
        end = list(listed(times, workers))[-1][0]
        assert end <= sum(times) / workers + max(times) * (1 - 1 / workers) + 1e-9


def test_only_what_was_drawn_now_is_measured():
    """What came from the store took no time, and is left out; what came from it in part is said."""
    found = latency(
        records(
            [
                {"wall": 2.0},
                {"wall": 4.0, "drawn": 2, "reused": 2},
                {"wall": 0.01, "drawn": 0, "reused": 4},
            ]
        )
    )
    (one,) = found.settings
    assert (one.measured.median, one.measured.size, one.partly) == (3.0, 2, 1)
    assert one.unlimited.size == 3
    assert "samples=4 (1 of 2)" in repr(found)
    stored = latency(records([{"wall": 0.01, "drawn": 0}]))
    assert stored.settings[0].measured.median is None
    assert "Nothing was drawn" in stored._repr_html_()


def test_percentiles_are_between_answers():
    """The median and the 95th of 1 … 21 seconds."""
    (one,) = latency(records([{"wall": float(n)} for n in range(1, 22)])).settings
    assert (one.measured.median, one.measured.p95, one.measured.mean) == (11.0, 20.0, 11.0)


@pytest.mark.parametrize("parallel", [0, -1, 1.5, True])
def test_less_than_one_at_a_time_is_refused(parallel):
    """A whole number from 1 on."""
    with pytest.raises(RTKError) as caught:
        latency(records([{}]), parallel)
    assert "from 1 on" in caught.value.mend


def test_the_frame_has_every_time():
    """Measured, unlimited and at so many in parallel, in seconds."""
    row, tries = drawn([3.0, 1.0])
    frame = latency(records([row], tries), 1).to_frame()
    assert frame["parallel_median"].tolist() == [4.0]
    assert frame["unlimited_p95"].tolist() == [3.0]
    assert frame["measured_mean"].tolist() == [1.1]
    assert "parallel" not in latency(records([row], tries)).to_frame()
