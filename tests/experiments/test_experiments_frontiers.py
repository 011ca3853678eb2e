"""Frontiers: the settings that no other beats, how sure that is, and their chart."""

import json

import pytest
from made_sweeps import arms_of, ladder, lost, made

from rtk.errors import RTKError
from rtk.experiments.analysis.frontiers import frontier
from rtk.experiments.records.records import Arm

BOTH = arms_of()
SMALL = arms_of(("small",))


def spec(figure):
    return figure._repr_mimebundle_()[0]["application/vnd.vegalite.v5+json"]


@pytest.mark.parametrize("cost", ["tokens", "dollars", "seconds", "flops"])
def test_the_frontier_is_what_no_other_beats(cost):
    """No other setting costs no more and is worth no less, one of the two better: found by trying all pairs."""
    found = frontier(made(BOTH, ladder, seed=3), cost)
    values = [(point.setting, point.cost, point.value.value) for point in found.points]
    expected = {
        name
        for name, dear, good in values
        if not any(c <= dear and v >= good and (c < dear or v > good) for _, c, v in values)
    }
    assert set(found.settings) == expected
    assert [point.cost for point in found.points] == sorted(point.cost for point in found.points)


def test_the_chance_says_how_sure_it_is():
    """What wins on nearly all questions is surely on it; two that are alike but for noise share it."""
    arms = arms_of(("small",), (1, 2, 4))
    sure = {"samples=1": 0.2, "samples=2": 0.9, "samples=4": 0.9}
    records = made(arms, lambda arm, ease: sure[arm.label], questions=200)
    chances = {point.setting: point.chance for point in frontier(records).points}
    assert chances["samples=1"] == chances["samples=2"] == 1.0
    assert 0.02 < chances["samples=4"] < 0.98


def test_the_same_call_gives_the_same_frontier():
    """The draws are seeded."""
    records = made(BOTH, ladder)
    assert frontier(records).points == frontier(records).points
    assert frontier(records).png() == frontier(records).png()


@pytest.mark.parametrize(("cost", "mend"), [("dollars", "price="), ("flops", "params=")])
def test_a_cost_that_is_not_known_is_refused_with_what_makes_it_known(cost, mend):
    """Nothing is set against a cost taken for 0; the settings that lack it are named."""
    records = made(BOTH, ladder, change=lambda arm, at, row: {**row, cost: None} if arm.model == "large" else row)
    with pytest.raises(RTKError, match="samples=1, model=large") as caught:
        frontier(records, cost)
    assert mend in caught.value.mend
    with pytest.raises(RTKError, match="any setting"):
        frontier(made(BOTH, ladder, change=lambda arm, at, row: {**row, cost: None}), cost)


def test_a_failed_answer_without_a_cost_is_left_out_of_the_costs():
    """It counts as wrong; what it cost is said not to be known."""
    records = made(
        SMALL, ladder, change=lambda arm, at, row: {**lost(row), "dollars": None, "flops": None} if at < 3 else row
    )
    found = frontier(records, "flops")
    assert found.points[0].cost == pytest.approx(2e9 * (30 + 21), rel=0.01)
    assert "12 of the answers that failed" in repr(found)


def test_another_unit_or_no_row_is_refused():
    """The error names the units there are."""
    with pytest.raises(RTKError) as caught:
        frontier(made(SMALL, ladder, questions=2), "money")
    assert "flops" in caught.value.mend
    with pytest.raises(RTKError, match="no row"):
        frontier(made(SMALL, ladder, change=lambda arm, at, row: None))


def test_settings_asked_other_questions_are_said():
    """The frontier of an interrupted sweep warns of it."""
    records = made(SMALL, ladder, change=lambda arm, at, row: None if arm.label == "samples=8" and at > 20 else row)
    assert "Not all settings were asked the same questions" in repr(frontier(records))


def test_the_chart_needs_no_eyes_and_no_colours():
    """Every point is in the description, and models differ by shape as well as by colour."""
    found = frontier(made(BOTH, ladder), "flops")
    chart = spec(found)
    for point in found.points:
        assert f"{point.setting}: " in chart["description"]
        assert f"{point.value.low:.2f} to {point.value.high:.2f}" in chart["description"]
    scales = [
        layer["encoding"][channel]["scale"]
        for layer in chart["layer"]
        for channel in ("color", "shape")
        if layer.get("mark", {}).get("type") == "point"
    ]
    assert [len(set(scale["range"])) for scale in scales] == [2, 2]
    assert {layer["encoding"]["x"]["scale"]["type"] for layer in chart["layer"] if "encoding" in layer} == {"log"}
    assert "background" not in chart


def test_a_frontier_of_one_setting_is_drawn():
    """One point, one question, all right: an axis all the same."""
    found = frontier(made(SMALL[:1], lambda arm, ease: 1.0, questions=1), "seconds")
    assert found.settings == ["samples=1"]
    assert found.png().startswith(b"\x89PNG")
    assert "NaN" not in json.dumps(spec(found))


def test_settings_at_one_place_have_one_name():
    """Two labels at a point are written as one, not over each other."""
    arms = [Arm("chain", "chain", "m"), *(Arm(f"vote, samples={k}", "vote", "m", {"samples": k}) for k in (1, 8))]
    records = made(arms, lambda arm, ease: float(ease < (0.9 if arm.values.get("samples") == 8 else 0.4)))
    (layer,) = [one for one in spec(frontier(records))["layer"] if "layer" in one]
    assert sorted(row["name"] for row in layer["data"]["values"]) == ["chain and samples=1", "samples=8"]
