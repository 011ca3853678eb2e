"""Questions down, settings across: every cell says how its answer ended and what it cost, in words."""

import re

import pytest
from small_study import ABSTAINED, FAILED, HOSTILE, RIGHT, WRONG, row, study

from rtk.errors import RTKError
from rtk.experiments.analysis.grids import grid
from rtk.experiments.records.records import Arm, Card, Records


def lines(found):
    return {said[0]: [None if cell is None else cell.said for cell in cells] for said, cells in found.cells()}


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_every_cell_says_how_it_ended():
    """Right, wrong, abstained and failed stand in the cell of their question and setting."""
    found = grid(study([[RIGHT, WRONG], [ABSTAINED, FAILED]]), order="task")
    assert lines(found) == {"q0": [RIGHT, WRONG], "q1": [ABSTAINED, FAILED]}
    assert found.settings == ["samples=1", "samples=2"]


def test_a_cell_says_what_it_cost():
    """The cost is that of an answer, in the unit asked for; a dash-less blank where it is not known."""
    for cost, values in {"tokens": [52, 64], "dollars": [0.001, 0.002], "seconds": [0.5, 0.5]}.items():
        ((_, cells),) = grid(study([[RIGHT, WRONG]]), cost=cost).cells()
        assert [cell.cost for cell in cells] == values
    assert "52" in repr(grid(study([[RIGHT, WRONG]])))


def test_an_unknown_cost_is_no_zero():
    """A model without a price has no dollars in its cells, and no total of them."""
    records = Records.of(Card("t", "", 1, "0" * 64), [Arm("a", "P", "m")], [row(0, 0, RIGHT, dollars=None)],
                         [{"example": "q", "question": "?", "gold": "42"}])  # fmt: skip
    found = grid(records, cost="dollars")
    assert found.totals() == ["1 of 1 right"]
    assert "0" not in words(found._repr_html_()).split("right")[-1].split("the last")[0]


def test_the_questions_on_which_settings_differ_come_first():
    """By default the most disputed question is the first, then those with more ways to end, then the harder ones."""
    ends = [[RIGHT, RIGHT], [WRONG, WRONG], [WRONG, FAILED], [RIGHT, WRONG]]
    assert list(lines(grid(study(ends)))) == ["q3", "q2", "q1", "q0"]
    assert list(lines(grid(study(ends), order="hardest"))) == ["q1", "q2", "q3", "q0"]
    assert list(lines(grid(study(ends), order="task"))) == ["q0", "q1", "q2", "q3"]


def test_what_is_left_out_is_counted():
    """A number of questions is a limit to what is shown; the frame and the totals are of all."""
    found = grid(study(), 2)
    assert len(found.cells()) == 2
    assert "4 questions more are not shown" in repr(found)
    assert "4 questions more are not shown" in found._repr_html_()
    assert found.to_frame()["example"].nunique() == 6
    assert found.totals()[0].startswith("2 of 6 right")
    assert "not shown" not in repr(grid(study(), None))


def test_questions_and_settings_are_chosen():
    """Ids choose questions, labels choose settings; both keep their order."""
    found = grid(study(), ["q4", "q1"], ["samples=2"], order="task")
    assert lines(found) == {"q1": [RIGHT], "q4": [FAILED]}


@pytest.mark.parametrize(
    "wrong",
    [{"settings": ["no"]}, {"questions": ["no"]}, {"order": "no"}, {"cost": "no"}],
    ids=lambda one: next(iter(one)),
)
def test_what_there_is_not_is_named(wrong):
    """A setting, a question, an order or a cost that there is not is an error with those there are."""
    with pytest.raises(RTKError, match="no") as error:
        grid(study(), **wrong)
    assert error.value.mend


def test_replicates_share_a_cell():
    """Several answers of a setting to a question are counted in one cell."""
    rows = [row(0, 0, end, replicate=at) for at, end in enumerate([RIGHT, RIGHT, WRONG])]
    rows += [row(1, 0, RIGHT, replicate=at) for at in range(3)]
    records = Records.of(Card("t", "", 1, "0" * 64), [Arm("a", "P", "m"), Arm("b", "P", "m")], rows,
                         [{"example": "q", "question": "?", "gold": "42"}], replicates=3)  # fmt: skip
    assert lines(grid(records)) == {"q": ["2 right, 1 wrong", "right ×3"]}
    assert grid(records).totals()[0].startswith("2 of 3 right")


def test_a_score_is_shown_as_one():
    """Of a task whose metric is a score a cell holds it, and not right or wrong."""
    records = study([[RIGHT, WRONG]])
    records.task = Card("t", "", 1, "0" * 64, metric="mean judged score")
    assert lines(grid(records)) == {"q0": ["1.00", "0.00"]}
    assert grid(records).totals()[0].startswith("mean score 1.00")


def test_what_was_not_asked_is_said():
    """A setting that an interruption kept from a question has a cell that says so."""
    records = Records.of(Card("t", "", 1, "0" * 64), [Arm("a", "P", "m"), Arm("b", "P", "m")], [row(0, 0, RIGHT)],
                         [{"example": "q", "question": "?", "gold": "42"}])  # fmt: skip
    assert lines(grid(records)) == {"q": [RIGHT, None]}
    assert "not asked" in grid(records)._repr_html_()
    assert grid(records).totals()[1] == "not asked"


def test_a_grid_of_nothing_is_a_table():
    """Results without a row are a grid without a line."""
    found = grid(Records.of(Card("t", "", 0, "0" * 64), [Arm("a", "P", "m")], [], []))
    assert found.cells() == []
    assert "0 questions" in repr(found)
    assert "<table" in found._repr_html_()


def test_it_reads_without_a_style():
    """With every tag taken away the words are there: how each ended, and the wrong answer."""
    said = words(grid(study([[RIGHT, WRONG], [ABSTAINED, FAILED]]))._repr_html_())
    for word in ("✓ right", "✗ wrong", "○ abstained", "! failed", "“ 41 ”", "gold: 42", "samples=1"):
        assert word in said


def test_hostile_text_is_text():
    """Questions, answers, gold answers and labels are escaped, and turn no direction of reading."""
    rows = [row(0, 0, WRONG)]
    rows[0]["answer"] = HOSTILE
    records = Records.of(Card(HOSTILE, "", 1, "0" * 64), [Arm(HOSTILE, "P", "m")], rows,
                         [{"example": HOSTILE, "question": HOSTILE, "gold": HOSTILE}])  # fmt: skip
    html = grid(records)._repr_html_()
    assert not re.search(r"<(script|img|/style|!--)", html)
    assert "\u202e" not in html
    assert "&lt;script&gt;" in html


def test_headings_are_headings():
    """A screen reader is told which cell heads a column and which a row, and the table can be scrolled by keys."""
    html = grid(study())._repr_html_()
    assert html.count('scope="row"') == 6
    assert html.count('scope="col"') == 3
    assert 'tabindex="0"' in html
    assert "aria-label" in html
