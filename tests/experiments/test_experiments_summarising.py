"""Summaries of sweeps: every setting in a line, its interval over questions, and what it cost, known or not."""

import math

import pytest
from made_sweeps import arms_of, ladder, lost, made

from rtk.experiments.analysis.summarising import summarise
from rtk.statistics import mean

SMALL = arms_of(("small",))


def test_the_interval_is_over_questions():
    """Three replicates of twenty questions are twenty observations, and the estimate is that of `statistics.mean`."""
    records = made(SMALL, ladder, questions=20, replicates=3)
    frame = records.rows()
    for label, found in summarise(records).estimates.items():
        rows = frame[frame["setting"] == label]
        assert found == mean(rows["correct"].tolist(), rows["example"].tolist())
        assert found.size == 20


def test_costs_are_those_of_an_answer_and_of_all():
    """Each amount stands as a mean of answers and as a total."""
    row = summarise(made(SMALL, ladder, questions=30, replicates=2)).rows()[2]
    assert (row["answers"], row["questions"], row["replicates"]) == (60, 30, 2)
    assert (row["consulted"], row["total_consulted"]) == (4, 240)
    assert (row["tokens_in"], row["tokens_out"], row["total_tokens_out"]) == (120, 81, 60 * 81)
    assert row["total_dollars"] == pytest.approx(60 * 0.0004)
    assert row["samples"] == 4


def test_failures_and_abstentions_are_counted_as_wrong():
    """A failed answer and one that says nothing are in the accuracy and in columns of their own."""

    def change(arm, at, row):
        if at < 5:
            return lost(row)
        return {**row, "abstained": True, "correct": False, "score": 0.0} if at < 8 else row

    row = summarise(made(SMALL[:1], lambda arm, ease: 1.0, questions=20, change=change)).rows()[0]
    assert (row["failed"], row["abstained"], row["accuracy"]) == (5, 3, 0.6)


def test_what_is_not_known_is_never_nothing():
    """Unknown dollars and FLOPs are NaN, not 0, leave the table, and are said with what makes them known."""
    records = made(SMALL, ladder, size=lambda arm: None, change=lambda arm, at, row: {**row, "dollars": None})
    summary = summarise(records)
    frame = summary.to_frame()
    assert frame[["dollars", "total_dollars", "flops", "total_flops"]].isna().all(axis=None)
    assert all(math.isnan(one) for one in frame["dollars"])
    assert "FLOPs " not in repr(summary).split("\n")[1]
    assert "price=" in repr(summary)
    assert "params=" in repr(summary)


def test_one_answer_of_unknown_price_makes_the_sum_unknown():
    """A sum that leaves something out would be a lower one."""
    records = made(SMALL, ladder, change=lambda arm, at, row: {**row, "dollars": None} if at == 3 else row)
    assert {row["total_dollars"] for row in summarise(records).rows()} == {None}


def test_settings_that_were_not_asked_the_same_are_named():
    """An interrupted sweep says so, and which settings have fewer answers."""
    records = made(
        SMALL,
        ladder,
        questions=40,
        change=lambda arm, at, row: row if at < 30 or arm.label != "samples=8" else None,
        stopped="interrupted",
    )
    notes = " ".join(summarise(records).notes)
    assert "ended early (interrupted): 150 of 160 answers" in notes
    assert "samples=8 30 of 40 answers" in notes


def test_the_same_number_of_other_questions_is_not_the_same():
    """Two settings with as many answers to other questions are not taken for comparable."""
    drop = {"samples=1": 0, "samples=2": 1}
    records = made(SMALL[:2], ladder, change=lambda arm, at, row: None if at == drop[arm.label] else row)
    assert "Not all settings were asked the same" in " ".join(summarise(records).notes)


def test_failing_more_often_is_said_where_it_is_no_chance():
    """A setting that failed on many questions is named; one that failed once is not."""
    many = made(SMALL, ladder, change=lambda arm, at, row: lost(row) if arm.label == "samples=4" and at < 15 else row)
    once = made(SMALL, ladder, change=lambda arm, at, row: lost(row) if arm.label == "samples=4" and at < 1 else row)
    assert "Failed more often than samples=1 (0%): samples=4 (25%)" in " ".join(summarise(many).notes)
    assert "Failed" not in " ".join(summarise(once).notes)


def test_a_setting_without_a_row_is_there_all_the_same():
    """Nothing is known of it, and its line says so."""
    summary = summarise(made(SMALL, ladder, change=lambda arm, at, row: None if arm.label == "samples=8" else row))
    row = summary.rows()[-1]
    assert (row["accuracy"], row["low"], row["high"], row["answers"], row["tokens_in"]) == (None, 0, 1, 0, None)
    assert "–" in repr(summary)


def test_another_metric_has_its_own_name():
    """The column of a mean score is called after it, and holds the scores."""
    records = made(SMALL, ladder, metric="mean score", change=lambda arm, at, row: {**row, "score": 0.25})
    frame = summarise(records).to_frame()
    assert frame["mean_score"].tolist() == [0.25] * 4
    assert "accuracy" not in frame


def test_a_label_is_escaped():
    """A setting's name is text on a page."""
    arms = [type(SMALL[0])("<script>", "P", "m", {"samples": 1})]
    assert "<script>" not in summarise(made(arms, ladder))._repr_html_()


def test_no_row_at_all_is_a_summary():
    """A sweep that was stopped before its first answer is shown."""
    summary = summarise(made(SMALL, ladder, change=lambda arm, at, row: None, stopped="interrupted"))
    assert "0 of 240 answers" in repr(summary)
    assert "<table>" in summary._repr_html_()


def test_what_settings_share_is_counted_once():
    """The sum over settings is no bill: all together rest on the different samples; where none is shared, it is one."""
    shared = repr(summarise(made(SMALL, ladder)))
    assert "settings share samples: all together rest on 8 samples." in shared
    assert "All settings together" not in shared

    def own(arm, at, row):
        return {**row, "addresses": [f"{arm.label}:{at}:{n}" for n in range(row["consulted"])]}

    assert "All settings together: 900 samples" in repr(summarise(made(SMALL, ladder, change=own)))


def test_many_samples_are_not_looked_at(monkeypatch):
    """Then no figure is given that would count some twice."""
    monkeypatch.setattr("rtk.experiments.analysis.summarising.COUNTED", 10)
    assert "they do not add up" in repr(summarise(made(SMALL, ladder)))


@pytest.mark.parametrize("every", [1, 2])
def test_kinds_of_errors_are_named(every):
    """The most frequent first, with how many; also where all answers failed."""
    said = ["rate_limit: wait", "rate_limit: wait more", "metric: ValueError: no", "ValueError: no"]

    def change(arm, at, row):
        return row if at % every else lost(row, said[at // every % 4])

    notes = " ".join(summarise(made(SMALL[:1], ladder, questions=8, change=change)).notes)
    half, quarter = 4 // every, 2 // every
    kinds = f"rate_limit {half}, metric: ValueError {quarter} and ValueError {quarter}."
    assert f"{2 * half} of 8 answers failed: {kinds}" in notes
