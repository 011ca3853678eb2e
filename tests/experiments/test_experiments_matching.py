"""Equal compute: settings of one model against another's at the same cost, measured or in between, never beyond."""

import json
from math import log

import numpy as np
import pytest
from made_sweeps import arms_of, ladder, lost, made

from rtk.errors import RTKError
from rtk.experiments.analysis.matching import matched
from rtk.experiments.records.records import Arm
from rtk.statistics import difference, holm, p_value

BOTH = arms_of(samples=(1, 2, 4, 8, 16))


def flops(arm):
    """The large model takes five times as much a token."""
    return 5.0 if arm.model == "large" else 1.0


def means(records, label):
    frame = records.rows()
    found = frame[frame["setting"] == label].groupby("example", sort=False)["correct"].mean()
    return found.to_numpy(dtype=float)


def by_setting(found):
    return {match.setting: match for match in found.matches}


def test_in_between_is_a_line_along_the_logarithm_of_cost():
    """Value, difference and p-value are those of the two next settings, weighted by where the cost lies."""
    records = made(BOTH, ladder, questions=150, size=flops, seed=1)
    match = by_setting(matched(records))["samples=8, model=small"]
    assert match.how == "between"
    assert match.others == ("samples=1, model=large", "samples=2, model=large")
    low, high = match.other_costs
    weight = log(match.cost / low) / log(high / low)
    other = (1 - weight) * means(records, match.others[0]) + weight * means(records, match.others[1])
    own = means(records, match.setting)
    assert match.other_value == pytest.approx(other.mean())
    assert match.difference.value == pytest.approx((own - other).mean())
    assert match.difference.low == pytest.approx(difference(other, own).low)
    assert match.p_value == pytest.approx(p_value(other, own))
    assert match.apart == 0


def test_what_costs_as_much_is_compared_as_measured():
    """Within the tolerance the setting itself is the other side, and how far the costs are apart is said."""
    records = made(BOTH, ladder, questions=80, size=lambda arm: 4.1 if arm.model == "large" else 1.0)
    match = by_setting(matched(records))["samples=4, model=small"]
    assert (match.how, match.others) == ("measured", ("samples=1, model=large",))
    assert match.difference.value == pytest.approx(
        (means(records, match.setting) - means(records, match.others[0])).mean()
    )
    assert match.apart == pytest.approx(match.other_costs[0] / match.cost - 1)
    assert "samples=1 (+4% cost)" in repr(matched(records))
    assert by_setting(matched(records, tolerance=0.01))["samples=4, model=small"].how == "cheaper"


def test_nothing_is_extrapolated():
    """Cheaper than all and dearer than all are not compared; where no cost is in common the mend is said."""
    records = made(BOTH, ladder, size=flops)
    found = by_setting(matched(records))
    assert {name: match.how for name, match in found.items() if match.difference is None} == {
        f"samples={k}, model=small": "cheaper" for k in (1, 2, 4)
    }
    back = by_setting(matched(records, a="large", b="small"))
    assert {name: match.how for name, match in back.items() if match.difference is None} == {
        f"samples={k}, model=large": "dearer" for k in (4, 8, 16)
    }
    apart = matched(made(arms_of(samples=(1, 2)), ladder))
    assert [match.difference for match in apart.matches] == [None, None]
    assert "sweep more samples of small" in repr(apart)


def test_where_more_was_spent_without_gain_the_best_of_less_stands():
    """Between the last setting of the other's frontier and its dearest one, the other has what it had for less."""
    chance = {"samples=1, model=large": 0.3, "samples=2, model=large": 0.9, "samples=16, model=large": 0.5}
    places = (("small", 8), ("large", 1), ("large", 2), ("large", 16))
    arms = [Arm(f"samples={k}, model={model}", "V", model, {"samples": k}) for model, k in places]
    records = made(arms, lambda arm, ease: chance.get(arm.label, 0.6), questions=200, size=lambda arm: 1.0)
    (match,) = matched(records, a="small").matches
    assert (match.how, match.others) == ("between", ("samples=2, model=large", "samples=16, model=large"))
    assert match.other_value == pytest.approx(means(records, "samples=2, model=large").mean())


def test_p_values_are_adjusted_over_all_that_are_compared():
    """Holm's method over the comparisons that were made, in their order."""
    found = [match for match in matched(made(BOTH, ladder, size=flops)).matches if match.p_value is not None]
    assert [match.adjusted for match in found] == holm([match.p_value for match in found])


@pytest.mark.parametrize(
    ("small", "large", "questions", "verdict"),
    [(0.9, 0.4, 100, "better"), (0.2, 0.8, 100, "worse"), (0.5, 0.5, 30, "not told apart")],
)
def test_the_verdict_says_what_the_questions_can_tell(small, large, questions, verdict):
    """Better and worse where the adjusted p-value says so; with few questions nothing is called equal."""
    arms = arms_of(samples=(2,))
    records = made(arms, lambda arm, ease: small if arm.model == "small" else large, questions, size=lambda arm: 1.0)
    assert matched(records, a="small").matches[0].verdict(0.05) == verdict


def test_equal_is_said_only_where_the_whole_interval_is_within_the_margin():
    """Answers that hardly differ over many questions are equal, and are not over few."""

    def change(arm, at, row):
        right = (at % 3 > 0) != (arm.model == "large" and at == 7)
        return {**row, "correct": right, "score": float(right)}

    for questions, said in ((400, "equal within 0.05"), (30, "not told apart")):
        records = made(arms_of(samples=(2,)), ladder, questions, size=lambda arm: 1.0, change=change)
        found = matched(records, a="small")
        assert said in repr(found)
        assert found.to_frame()["verdict"].tolist() == [said]


def test_programs_of_one_model_are_matched_too():
    """Where there is one model the groups are programs."""
    arms = [Arm(f"{name}, samples={k}", name, "m", {"samples": k}) for name in ("vote", "best") for k in (1, 2, 4)]
    found = matched(made(arms, lambda arm, ease: {1: 0.1, 2: 0.5, 4: 0.9}[arm.values["samples"]]), "tokens")
    assert (found.by, {match.how for match in found.matches}) == ("program", {"measured"})
    assert set(found.to_frame()["other_program"]) <= {"vote", "best"}


def test_three_models_are_matched_in_pairs():
    """Each pair once, the cheaper against the dearer."""
    arms = arms_of(("large", "tiny", "small"), (1, 2, 4, 8))
    size = {"tiny": 1.0, "small": 2.0, "large": 4.0}
    chances = {"tiny": 0.3, "small": 0.5, "large": 0.7}
    found = matched(made(arms, lambda arm, ease: chances[arm.model], size=lambda arm: size[arm.model]))
    pairs = list(dict.fromkeys((match.group, match.other) for match in found.matches))
    assert pairs == [("tiny", "small"), ("tiny", "large"), ("small", "large")]
    assert repr(found).count(" against ") >= 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": "smal"}, "no model 'smal'"),
        ({"a": "small", "b": "small"}, "with itself"),
        ({"by": "setting"}, "by='setting'"),
        ({"by": "program"}, "one program"),
        ({"tolerance": 2}, "tolerance=2"),
    ],
)
def test_what_cannot_be_matched_is_refused(given, said):
    """The error says what there is."""
    with pytest.raises(RTKError, match=said) as caught:
        matched(made(BOTH, ladder, questions=2), **given)
    assert caught.value.mend


def test_unknown_flops_are_refused_with_what_makes_them_known():
    """Compute of models of unknown size is not taken for tokens."""
    with pytest.raises(RTKError) as caught:
        matched(made(BOTH, ladder, questions=2, size=lambda arm: None))
    assert "params=" in caught.value.mend


def test_failing_at_different_rates_is_said():
    """A small model that failed often is not compared in silence."""
    records = made(
        BOTH, ladder, size=flops, change=lambda arm, at, row: lost(row) if arm.model == "small" and at < 20 else row
    )
    assert "Different rates of failures: samples=8, model=small" in repr(matched(records))


def test_the_chart_has_both_models_and_their_differences():
    """Points above, differences with a band of the margin below, on one axis of cost; all of it in words too."""
    found = matched(made(BOTH, ladder, questions=100, size=flops))
    chart = found._repr_mimebundle_()[0]["application/vnd.vegalite.v5+json"]
    above, below = chart["vconcat"]
    assert below["title"]["text"] == "small less large"
    domains = {json.dumps(layer["encoding"]["x"]["scale"]["domain"]) for panel in (above, below)
               for layer in panel["layer"] if "x" in layer["encoding"]}  # fmt: skip
    assert len(domains) == 1
    rows = [row for layer in below["layer"] for row in layer.get("data", {}).get("values", []) if "setting" in row]
    compared = [match.setting for match in found.matches if match.difference is not None]
    assert {row["setting"] for row in rows} == set(compared)
    assert all(name in chart["description"] for name in compared)
    assert found.png() == matched(made(BOTH, ladder, questions=100, size=flops)).png()
    assert "background" not in chart


def test_costs_are_means_of_answers():
    """The cost of a setting is that of its answers, on average."""
    records = made(BOTH, ladder, size=flops)
    frame = records.rows()
    for match in matched(records).matches:
        assert match.cost == pytest.approx(np.mean(frame[frame["setting"] == match.setting]["flops"]))
