"""The answers worth reading: the right ones, in the right order, each with its reason and its deliberation."""

import json
import re

import pytest
from small_study import ABSTAINED, FAILED, HOSTILE, RIGHT, WRONG, attempt, row, story, study

from rtk.errors import RTKError
from rtk.experiments.analysis.failures import failures
from rtk.experiments.records.records import Arm, Card, Records


def made(rows, attempts=(), metric="accuracy", gold="42", stories=()):
    size = max((one["at"] for one in rows), default=-1) + 1
    arms = [Arm(label, "P", "m") for label in "abc"[: 1 + max((one["arm"] for one in rows), default=0)]]
    examples = [{"example": f"q{at}", "question": f"What is {at}?", "gold": gold} for at in range(size)]
    return Records.of(Card("t", "", size, "0" * 64, metric=metric), arms, rows, examples, attempts, stories)


def kinds(found):
    return [(one.kind, one.row) for one in found]


def unsure(arm, at, end, **more):
    return row(arm, at, end, **{"confidence": 0.5, "pool": None, "attempts": None, **more})


def test_the_kinds_stand_in_their_order():
    """Errors, abstentions, sure and wrong, overruled attempts, doubtful gold, beaten, the rest."""
    rows = [
        unsure(0, 0, WRONG, answer=None), unsure(0, 1, WRONG), unsure(0, 2, WRONG),
        unsure(0, 3, WRONG, pool=3, attempts=2), unsure(0, 4, WRONG, confidence=0.95), unsure(0, 5, ABSTAINED),
        unsure(0, 6, FAILED), unsure(1, 0, ABSTAINED), unsure(1, 1, RIGHT), unsure(1, 2, WRONG),
        unsure(1, 3, ABSTAINED),
        unsure(1, 4, RIGHT), unsure(1, 5, RIGHT), unsure(1, 6, RIGHT),
    ]  # fmt: skip
    rows[0]["answer"] = "39"
    attempts = [attempt(3, 0, correct=False), attempt(3, 1, correct=True), attempt(3, 2, correct=True)]
    found = failures(made(rows, attempts), settings=["a"])
    assert kinds(found) == [("failed", 6), ("abstained", 5), ("confident", 4), ("overruled", 3), ("doubtful", 2),
                            ("beaten", 1), ("wrong", 0)]  # fmt: skip
    reasons = [one.reason for one in found]
    assert reasons[0] == "an error instead of an answer: SampleError: status 500"
    assert reasons[1] == "no answer could be read; right in 1 of 1 other setting"
    assert reasons[2].startswith("wrong with confidence 0.95")
    assert reasons[3].startswith("1 of 2 attempts right, and not chosen")
    assert "is the gold answer right?" in reasons[4]
    assert reasons[5] == "right in 1 of 1 other setting"
    assert reasons[6] == "wrong, as the other settings were"


def test_attempts_that_were_not_looked_at_do_not_count():
    """An answer that was chosen from the first two attempts was not overruled by a right third."""
    attempts = [attempt(0, index, correct=index == 2) for index in range(3)]
    two, three = (failures(made([unsure(0, 0, WRONG, pool=0, attempts=many)], attempts)) for many in (2, 3))
    assert (two[0].kind, two[0].right, two[0].attempts) == ("wrong", 0, 2)
    assert (three[0].kind, three[0].right, three[0].attempts) == ("overruled", 1, 3)


def test_one_attempt_is_not_sure_of_itself():
    """A vote of one has all votes, and is no confident answer; a vote of two, or what tells no attempts, is."""
    for attempts, kind in ((1, "wrong"), (2, "confident"), (None, "confident")):
        found = failures(made([unsure(0, 0, WRONG, confidence=1.0, attempts=attempts)]))
        assert found[0].kind == kind
        assert ("confidence" in found[0].reason) == (kind == "confident")


def test_nothing_is_dropped_from_the_counts():
    """So many of each kind are shown, and all are counted; None shows all."""
    records = study([[WRONG, FAILED]] * 9)
    found = failures(records, each=2)
    assert found.counts == {"failed": 9, "overruled": 9}
    assert len(found) == 4
    assert "18 of 18 answers were not right. 4 answers of them are shown." in repr(found)
    assert len(failures(records, each=None)) == 18
    assert len(failures(records, each=0)) == 0


def test_other_errors_and_other_questions_come_before_more_of_the_same():
    """Of many alike errors one comes first, then one of each other; of a question that fails often likewise."""
    rows = [unsure(0, at, FAILED) for at in range(5)]
    rows[4]["error"] = "ValueError: other"
    assert [one.row for one in failures(made(rows), each=2)] == [0, 4]
    rows = [row(arm, at, WRONG) for arm in range(3) for at in range(2)]
    found = failures(made(rows, gold=None), each=2)
    assert [one.example for one in found] == ["q0", "q1"]


def test_where_everything_is_right_it_says_so():
    """No failure is a sentence, and a frame with its columns and no row."""
    found = failures(study([[RIGHT, RIGHT]]))
    assert repr(found) == "Nothing failed: every answer was right."
    assert len(found.to_frame()) == 0
    assert "reason" in found.to_frame().columns
    assert "No question was asked" in repr(failures(made([])))


def test_scores_below_one_are_worth_reading():
    """Of a task whose metric is a score the lowest come first, and none is called wrong in its reason."""
    rows = [unsure(0, at, WRONG, score=score) for at, score in enumerate([0.7, 0.2, 1.0])]
    found = failures(made(rows, metric="mean judged score"))
    assert kinds(found) == [("wrong", 1), ("wrong", 0)]
    assert found[0].reason == "scored 0.20"


def test_an_answer_has_its_deliberation():
    """A failure gives the deliberation of its row; None where nothing was told or it cannot be read."""
    records = study()
    found = failures(records)
    for one in found:
        assert str(one.deliberation) == str(records.deliberation(one.row))
    assert found[0].deliberation is None
    broken = made([unsure(0, 0, WRONG)], stories=[{"arm": 0, "replicate": 0, "at": 0, "story": '{"schema": 1}'}])
    assert failures(broken)[0].deliberation is None


def test_a_setting_that_there_is_not_is_named():
    """An unknown label is an error with those there are."""
    with pytest.raises(RTKError, match="no setting 'x'") as error:
        failures(study(), settings=["x"])
    assert "samples=1" in error.value.mend


def test_it_shows_itself():
    """The page holds every reason, question, answer and deliberation; the frame holds a row for each."""
    found = failures(study())
    html = found._repr_html_()
    for one in found:
        assert one.setting in html
    assert html.count("<details>") >= len(found)
    assert "chain" in html
    assert list(found.to_frame()["row"]) == [one.row for one in found]
    assert len(repr(found).splitlines()) == len(found) + 2


def test_hostile_text_is_text():
    """Errors, questions, answers and deliberations are escaped."""
    told = json.dumps(story(HOSTILE, HOSTILE, 2).to_dict())
    rows = [unsure(0, 0, FAILED, error=HOSTILE), unsure(0, 1, WRONG)]
    rows[1]["answer"] = HOSTILE
    records = made(rows, gold=HOSTILE, stories=[{"arm": 0, "replicate": 0, "at": 1, "story": told}])
    html = failures(records)._repr_html_()
    assert not re.search(r"<(script|img|/style|!--)", html)
    assert "\u202e" not in html


def test_scores_are_not_called_right_or_wrong():
    """Of a judged task the sentence and the headings speak of scores."""
    rows = [{**unsure(0, at, RIGHT), "score": score, "correct": score >= 1} for at, score in enumerate((0.2, 0.7, 1))]
    found = failures(made(rows, metric="mean judged score", gold=None))
    assert "2 of 3 answers scored less than 1." in repr(found)
    assert "not right" not in repr(found)
    assert "Scored less than 1, the lowest first (2)" in found._repr_html_()
    assert repr(failures(made(rows[2:], metric="mean score"))) == "Nothing failed: every answer scored 1."
