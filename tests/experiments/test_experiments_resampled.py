"""Curves from attempts drawn once: every k over all subsets, with what a perfect chooser would make of them."""

from itertools import combinations, permutations

import numpy as np
import pytest
from attempts_drawn import SIGNATURE, asked, records, scripted, swept

import rtk
from rtk.answers import vote
from rtk.errors import RTKError
from rtk.experiments.records.records import Records
from rtk.experiments.replays.resampled import COVERAGE, MAJORITY, SINGLE, curve_of

DRAWN = [["1", "2", "1", None], ["2", "2", "3", "1"], ["1", "1", "1", "1"], [None, "3", "2", "4"]]


def values(found, estimator):
    """The means of an estimator by k."""
    frame = found.to_frame()
    return frame[frame["estimator"] == estimator].set_index("samples")["value"].to_dict()


def over_all(of, k):
    """The mean of something over all orders of all choices of k of each question's attempts."""
    return np.mean([np.mean([of([row[at] for at in one]) for one in permutations(range(4), k)]) for row in DRAWN])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_k_is_the_mean_over_all_choices_in_all_orders(k):
    """As if each had been drawn and voted on; not of the first k alone."""
    found = curve_of(records(DRAWN))
    assert values(found, MAJORITY)[k] == pytest.approx(over_all(lambda some: vote(some).winner == "1", k))
    assert values(found, COVERAGE)[k] == pytest.approx(over_all(lambda some: "1" in some, k))
    assert values(found, SINGLE)[k] == pytest.approx(7 / 16)


def test_the_best_by_reward_and_by_log_probability_where_there_are_such():
    """Each a line of its own; an attempt without an answer is never better than one with."""
    rewards = lambda at, index, answer: 9.0 if answer is None else float(index)  # noqa: E731
    found = curve_of(records(DRAWN, rewards=rewards, logprobs=True))
    ranked = [[-1 if answer is None else index for index, answer in enumerate(row)] for row in DRAWN]
    expected = [
        np.mean([DRAWN[at][max(some, key=lambda one: ranks[one])] == "1" for some in combinations(range(4), 2)])
        for at, ranks in enumerate(ranked)
    ]
    assert values(found, "best-of-k by reward")[2] == pytest.approx(np.mean(expected))
    assert "best-of-k by log-probability" in curve_of(records(DRAWN, logprobs=True)).drawn[0].values
    assert list(curve_of(records(DRAWN)).drawn[0].values) == [COVERAGE, MAJORITY, SINGLE]


def test_the_gap_is_what_a_better_chooser_could_win():
    """Coverage less the majority, paired by question, in the text."""
    found = curve_of(records(DRAWN))
    assert found.drawn[0].gap.value == pytest.approx(values(found, COVERAGE)[4] - values(found, MAJORITY)[4])
    assert "Of 4 attempts a perfect chooser would win +" in repr(found)


def test_scores_between_right_and_wrong_are_covered_by_the_best_of_k():
    """The mean of the best score of k, where pass@k has no meaning."""
    score = lambda answer: {"1": 1.0, "2": 0.5}.get(answer, 0.0)  # noqa: E731
    found = curve_of(records(DRAWN, score=score))
    assert values(found, COVERAGE)[2] == pytest.approx(over_all(lambda some: max(map(score, some)), 2))


def test_a_question_without_attempts_counts_as_wrong():
    """At every k, and it is told."""

    class Raises(rtk.SelfConsistency):
        def flow(self, **inputs):
            if inputs["question"].startswith("1|"):
                raise ValueError("no")
            return (yield from super().flow(**inputs))

    with scripted():
        found = curve_of(swept(Raises(SIGNATURE, 2), asked(["1", "1"], ["1", "1"])))
    assert set(values(found, COVERAGE).values()) == {0.5}
    assert "1 of 2 questions have no attempts" in repr(found)


def test_at_temperature_0_there_is_one_attempt():
    """A sample that comes again is no further one."""
    with scripted():
        found = curve_of(swept(rtk.SelfConsistency(SIGNATURE, 4, temperature=0.0), asked(["1"], ["2"])))
    assert (found.drawn[0].size, values(found, COVERAGE)) == (1, {1: 0.5})


def test_intervals_are_over_questions():
    """More attempts at a question are no more questions, nor are replicates."""
    found = curve_of(records([DRAWN, DRAWN], replicates=2))
    assert set(found.to_frame()["questions"]) == {4}


def test_each_source_has_a_curve_and_the_settings_are_rings():
    """A panel for each; tokens on the other axis; the sweep's own rows over the lines."""
    with scripted():
        program = {"vote": rtk.SelfConsistency(SIGNATURE), "best": rtk.BestOfN(SIGNATURE, 4, lambda *_: 1)}
        over = {"samples": [1, 4]}
        swept_ = swept(program, asked(["1", "2", "1", "1"], ["2", "1", "1", "~"]), over=over)
    found = curve_of(swept_, "tokens")
    assert [one.source.label for one in found.drawn] == ["vote", "best"]
    assert [one["setting"] for one in found.settings] == ["vote, samples=1", "vote, samples=4", "best"]
    spec = found.chart().to_dict()
    assert len(spec["vconcat"]) == 2
    assert "tokens written" in str(spec["vconcat"])
    assert "what a perfect chooser would make of them" in spec["description"]
    tokens = found.to_frame().query("source == 'vote' and estimator == @MAJORITY")["tokens"]
    assert tokens.tolist() == pytest.approx([tokens.iloc[0] * k for k in (1, 2, 3, 4)])
    with pytest.raises(RTKError, match="axis='minutes'"):
        curve_of(swept_, "minutes")


def test_a_line_is_told_by_shape_and_dash_as_well():
    """For whoever sees no colours, and in print."""
    spec = curve_of(records(DRAWN)).chart().to_dict()
    encodings = [layer["encoding"] for layer in spec["layer"]]
    assert any("strokeDash" in one for one in encodings)
    assert any("shape" in one for one in encodings)
    assert spec["config"]["axis"]
    assert curve_of(records(DRAWN)).png().startswith(b"\x89PNG")


def test_attempts_without_scores_are_refused():
    """What a judge was not asked about is not wrong; where the metric scored others, the gold answer decides."""
    unknown = lambda answer: float("nan")  # noqa: E731
    for records_ in (records(DRAWN, gold="9", score=unknown), records(DRAWN, gold=None, score=unknown)):
        with pytest.raises(RTKError, match="the attempts have no scores of their own") as error:
            curve_of(records_)
        assert "metric=" in error.value.mend
    some = records(DRAWN, score=lambda answer: float("nan") if answer == "2" else float(answer == "1"))
    assert values(curve_of(some), SINGLE) == values(curve_of(records(DRAWN)), SINGLE)


def test_attempts_that_were_not_kept_are_no_source():
    """An interrupted sweep may name pools of which nothing was written."""
    kept = records(DRAWN)
    rows = [{"arm": 0, "replicate": 0, "at": 0, "pool": 7, "attempts": 4, "correct": False, "score": 0.0}]
    lost = Records.of(kept.task, kept.settings, rows, [{"example": "q0", "question": "?", "gold": "1"}])
    with pytest.raises(RTKError, match="attempts that are kept"):
        curve_of(lost)
