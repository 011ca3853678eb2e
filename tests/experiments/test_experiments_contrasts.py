"""Settings compared: paired by question and replicate, and saying of themselves what is unfair about them."""

import dataclasses

import pytest
from made_sweeps import arms_of, ladder, lost, made

from rtk.errors import RTKError
from rtk.experiments.analysis.contrasts import contrast
from rtk.statistics import difference, holm, mcnemar, p_value

SMALL = arms_of(("small",))
BOTH = arms_of()
SMALL_PAIR = arms_of(("small",), (1, 8))


def values(records, label):
    frame = records.rows()
    return frame[frame["setting"] == label]["correct"].tolist()


def alike(arm, at, row):
    """Every setting costs the same."""
    return {**row, "tokens_in": 100, "tokens_out": 10, "flops": 1e9}


def test_the_difference_is_that_of_the_pairs():
    """Estimate and p-value are those of the answers side by side: with one replicate McNemar's."""
    records = made(SMALL, ladder)
    found = contrast(records, "samples=1", "samples=8")
    before, after = values(records, "samples=1"), values(records, "samples=8")
    assert found.difference == difference(before, after, range(60))
    assert found.p_value == pytest.approx(mcnemar(before, after))
    assert found.adjusted == found.p_value


def test_replicates_are_no_new_questions():
    """The interval and the p-value are clustered over questions."""
    records = made(SMALL, ladder, replicates=3)
    found = contrast(records, "samples=2", "samples=4")
    before, after = values(records, "samples=2"), values(records, "samples=4")
    questions = list(range(60)) * 3
    assert found.difference == difference(before, after, questions)
    assert found.p_value == p_value(before, after, questions)
    assert found.difference.size == 60


def test_swapping_the_two_mirrors_the_difference():
    """`b − a` becomes `a − b`."""
    records = made(SMALL, ladder)
    one, other = contrast(records, "samples=1", "samples=8"), contrast(records, "samples=8", "samples=1")
    assert one.difference.value == -other.difference.value
    assert one.difference.low == pytest.approx(-other.difference.high)


def test_a_fair_comparison_has_no_warning():
    """Settings that were asked the same at the same cost, and failed alike, are compared without more."""
    found = contrast(made(SMALL, ladder, change=alike), "samples=1", "samples=8")
    assert found.warnings == []
    assert "Warnings" not in repr(found)


@pytest.mark.parametrize(("factor", "said"), [(1.08, False), (1.15, True), (0.92, False), (0.85, True)])
def test_cost_is_alike_within_a_tenth(factor, said):
    """More than a tenth more tokens is said, less is not."""

    def change(arm, at, row):
        return {
            **row,
            "tokens_in": 0,
            "tokens_out": round(1000 * (factor if arm.label == "samples=8" else 1)),
            "flops": 1,
        }

    found = contrast(made(SMALL, ladder, change=change), "samples=1", "samples=8")
    assert bool(found.warnings) == said
    assert said == ("Unmatched cost" in repr(found)) == ("Unmatched cost" in found._repr_html_())


def test_unmatched_cost_names_both_amounts():
    """How many times as much, of what, and how much that is."""
    (told,) = contrast(made(SMALL, ladder), "samples=1", "samples=8").warnings
    assert told == (
        "Unmatched cost: samples=8 took 7.9× the tokens and FLOPs of samples=1 (401 against 51.0 tokens a question)."
    )


def test_as_many_tokens_of_a_larger_model_are_not_the_same_cost():
    """FLOPs are compared where they are known; where they are not, two models are said to be incomparable."""
    a, b = "samples=2, model=small", "samples=2, model=large"
    (told,) = contrast(made(BOTH, ladder), a, b).warnings
    assert "10.0× the FLOPs" in told
    assert "tokens" not in told
    found = contrast(made(BOTH, ladder, size=lambda arm: None), a, b)
    assert "params=" in found.warnings[0]
    assert found.cautions[0].kind == "unknown FLOPs"


def test_failing_at_different_rates_is_said():
    """A test says whether the failures differ by more than chance."""

    def change(arm, at, row):
        row = alike(arm, at, row)
        return lost(row) if arm.label == "samples=8" and at % 4 == 0 else row

    found = contrast(made(SMALL, ladder, change=change), "samples=1", "samples=8")
    assert [one.kind for one in found.cautions] == ["failures"]
    assert "samples=1 failed on 0 of 60 answers, samples=8 on 15 (p < 0.001)" in found.warnings[0]
    assert found.after.failed == 15


def test_failing_on_the_same_questions_is_fair():
    """Where both failed alike there is nothing to warn of."""
    records = made(SMALL, ladder, change=lambda arm, at, row: alike(arm, at, lost(row) if at < 15 else row))
    assert contrast(records, "samples=1", "samples=8").warnings == []


def test_a_few_failures_that_make_up_the_difference_are_said():
    """Too few for a test, but all of what was found."""

    def change(arm, at, row):
        row = alike(arm, at, {**row, "correct": at < 40, "score": float(at < 40)})
        return lost(row) if arm.label == "samples=1" and at < 3 else row

    found = contrast(made(SMALL, ladder, change=change), "samples=1", "samples=8")
    assert found.difference.value == pytest.approx(3 / 60)
    assert "enough to account for the whole difference of +0.05" in found.warnings[0]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [({"abstained": True}, "abstentions"), ({"stopped": "tokens"}, "stops"), ({"failed": 1}, "failed samples")],
)
def test_other_ends_at_different_rates_are_said(cells, kind):
    """Abstentions, budgets that ran out, and samples that failed under answers that came all the same."""
    records = made(
        SMALL,
        ladder,
        change=lambda arm, at, row: alike(arm, at, {**row, **(cells if arm.label == "samples=8" and at < 20 else {})}),
    )
    assert [one.kind for one in contrast(records, "samples=1", "samples=8").cautions] == [kind]


def test_what_only_one_was_asked_is_left_out_and_said():
    """The difference rests on the questions of both."""

    def change(arm, at, row):
        return None if (arm.label, at >= 50) == ("samples=8", True) else alike(arm, at, row)

    records = made(SMALL, ladder, change=change)
    found = contrast(records, "samples=1", "samples=8")
    assert found.difference == difference(values(records, "samples=1")[:50], values(records, "samples=8"), range(50))
    assert "samples=1 has 60 answers, samples=8 50" in found.warnings[0]


def test_nothing_in_common_is_no_difference():
    """Without a question of both nothing is known."""
    records = made(SMALL, ladder, change=lambda arm, at, row: None if arm.label == "samples=8" else row)
    found = contrast(records, "samples=1", "samples=8")
    assert (found.difference.value, found.p_value, found.told_apart) == (None, 1.0, False)
    assert "No question was asked of both" in repr(found)


def test_all_with_a_baseline_are_adjusted():
    """Each other setting less the baseline, with Holm's p-values of just these."""
    records = made(SMALL, ladder, replicates=2)
    found = contrast(records, baseline={"samples": 1})
    assert [(pair.before.setting, pair.after.setting) for pair in found.pairs] == [
        ("samples=1", f"samples={k}") for k in (2, 4, 8)
    ]
    plain = [contrast(records, "samples=1", f"samples={k}").p_value for k in (2, 4, 8)]
    assert [pair.adjusted for pair in found.pairs] == holm(plain)
    assert found.baseline == "samples=1"


def test_all_pairs_are_compared_without_a_baseline():
    """Every setting with every other, once; the table has what is unequal, the list says it."""
    found = contrast(made(SMALL, ladder))
    assert len(found.pairs) == len(found.to_frame()) == 6
    assert "Unequal cost: 6 of 6 comparisons." in repr(found)
    assert found.warnings[0].startswith("samples=2 less samples=1: Unmatched cost")
    assert "Unequal cost" in found._repr_html_()


def test_a_setting_is_meant_by_values_that_it_alone_has():
    """A dict of columns, as good as a label."""
    records = made(BOTH, ladder)
    found = contrast(records, {"samples": 8, "model": "small"}, {"setting": "samples=1, model=large"})
    assert (found.before.setting, found.after.setting) == ("samples=8, model=small", "samples=1, model=large")


@pytest.mark.parametrize(
    ("a", "said", "mend"),
    [
        ("sample=8, model=smal", "no setting", "'samples=8, model=small'"),
        ({"samples": 8}, "2 settings", "tell them apart"),
        ({"samples": 3}, "no setting has samples=3", "there are"),
        ({"sampels": 8}, "no setting has a column", "samples"),
        (8, "8 names no setting", "there are"),
        ("samples=1, model=large", "compared with itself", "another one"),
    ],
)
def test_what_names_no_setting_is_refused(a, said, mend):
    """The error says what there is, the nearest first."""
    with pytest.raises(RTKError, match=said) as caught:
        contrast(made(BOTH, ladder, questions=2), a, "samples=1, model=large")
    assert mend in caught.value.mend


@pytest.mark.parametrize("given", [{"a": "samples=1"}, {"a": "samples=1", "b": "samples=2", "baseline": "samples=1"}])
def test_half_a_comparison_is_refused(given):
    """One setting alone, or a pair and a baseline, is a mistake with its mend."""
    with pytest.raises(RTKError) as caught:
        contrast(made(SMALL, ladder, questions=2), **given)
    assert "baseline=" in caught.value.mend
    with pytest.raises(RTKError, match="nothing to compare"):
        contrast(made(SMALL[:1], ladder, questions=2))


def test_where_interval_and_p_value_differ_it_is_said():
    """Told apart by an exact p though 0 is in the interval, or not though it is left out: in the verdict, in words."""
    found = contrast(made(SMALL_PAIR, ladder))
    estimate = found.pairs[0].difference
    for low, p, said, cell in (
        (
            -0.01,
            0.019,
            "told apart by 60 questions, though the interval includes 0.",
            "yes, but the interval includes 0",
        ),
        (
            0.01,
            0.2,
            "not told apart by 60 questions, though the interval leaves 0 out.",
            "no, but the interval leaves 0",
        ),
        (0.01, 0.019, ": told apart by 60 questions.", "yes"),
        (-0.01, 0.2, ": not told apart by 60 questions.", "no"),
    ):
        difference = dataclasses.replace(estimate, value=0.18, low=low, high=0.35)
        pair = dataclasses.replace(found.pairs[0], difference=difference, p_value=p, adjusted=p)
        assert said in repr(pair)
        assert said in pair._repr_html_()
        assert cell in repr(dataclasses.replace(found, pairs=(pair,)))
