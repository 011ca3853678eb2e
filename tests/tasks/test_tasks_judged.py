"""Answers without a gold one: brainstorming, its countable demands, and judges."""

import dspy
import pytest
from dspy.utils import DummyLM

import rtk
import rtk.tasks
from rtk.errors import TaskError

TASKS = {level: rtk.tasks.load("brainstorm", level=level, size=20) for level in (1, 2, 3)}
ASKED = {
    "question": "Think of 3 different ways in which a chess club could save water in winter. Write one idea a line, of "
    'at most 12 words. Use the word "rope" and the word "clock". Do not use the word "free" or the word "online".'
}
GOOD = "Collect rain with a rope\n2. Time the taps by a clock\n- Share one kettle of tea"


def test_questions_are_enough_and_have_no_gold():
    """Every level has enough different questions for a study, none with a gold answer."""
    for level in TASKS:
        task = rtk.tasks.load("brainstorm", level=level, size=300)
        assert len({example.question for example in task.test}) == 300
        assert {example.answer for example in task.test} == {None}
        assert task.reports == "mean judged score"


@pytest.mark.parametrize(
    ("ideas", "ok", "said", "score"),
    [
        (GOOD, True, "All that is demanded", 1.0),
        (GOOD.split("\n"), True, "All that is demanded", 1.0),
        ("", None, "no idea", 0.0),
        ("Collect rain with a rope", True, "1 of 3", 5 / 7),
        (GOOD.replace("clock", "watch"), False, '"clock" is not used', 6 / 7),
        (GOOD + "\nA fourth idea about soup", False, "4 ideas", 6 / 7),
        (GOOD.replace("tea", "free tea"), False, '"free" is used', 6 / 7),
        (GOOD.replace("tea", "tea " * 12), False, "More than 12 words", 6 / 7),
        ("Collect rain with a rope\ncollect rain with a rope.\nTime taps by a clock", False, "the same", 6 / 7),
    ],
)
def test_what_can_be_counted_is_counted(ideas, ok, said, score):
    """Number, sameness, words that must or must not come and length are checked without any judge."""
    verdict = TASKS[3].check(ASKED, ideas)
    assert (verdict.ok, verdict.score) == (ok, pytest.approx(score))
    assert said in verdict.reason


def test_depth_is_the_number_of_ideas():
    """A tree thinks of one idea a thought, as many as the question wants."""
    assert TASKS[3].depth(ASKED) == 3
    assert all(3 <= TASKS[1].depth(example.inputs()) <= 6 for example in TASKS[1].test)


def test_without_a_judge_the_metric_says_what_to_do():
    """There is no score without a judge, and the error names the call that gives one; no answer is worth nothing."""
    task = TASKS[2]
    with pytest.raises(TaskError, match="no gold answers") as caught:
        task.metric(task.test[0], {"answer": GOOD})
    assert "judged_by" in caught.value.mend
    assert task.metric(task.test[0], {"answer": "  "}) == 0.0


def test_a_judges_score_is_multiplied_by_what_is_kept():
    """The metric is the judge's score on [0, 1], times the share of the demands that the answer keeps."""
    example = TASKS[3].test[0].copy(**ASKED).with_inputs("question")
    judged = TASKS[3].judged_by(lambda question, answer: 8)
    assert judged.metric(example, {"answer": GOOD}) == pytest.approx(0.8)
    assert judged.metric(example, {"answer": GOOD.replace("clock", "watch")}) == pytest.approx(0.8 * 6 / 7)
    assert TASKS[3].judge.program is None


@pytest.mark.parametrize(
    ("said", "score"), [(0, 0.0), (10, 1.0), (7.5, 0.75), ("7", 0.7), ("8/10", 0.8), ("Score: 9 out of 10", 0.9)]
)
def test_a_score_is_read_however_it_is_written(said, score):
    """Numbers, numbers as text, and a number out of the best one."""
    judged = TASKS[1].judged_by(lambda question, answer: said)
    example = TASKS[1].test[0]
    ideas = "\n".join(["sing", "collect old bread", "paint the door", "ask a neighbour", "mend the roof", "walk"])
    kept = TASKS[1].check(example.inputs(), ideas).score
    assert judged.metric(example, {"answer": ideas}) == pytest.approx(score * kept)


@pytest.mark.parametrize("said", [11, -1, "good", None, float("nan"), True, "8/20"])
def test_a_judge_that_gives_no_score_is_an_error(said):
    """What is no number on the scale is never taken for a score."""
    judged = TASKS[1].judged_by(lambda question, answer: said)
    with pytest.raises(TaskError, match="no score from 0 to 10"):
        judged.metric(TASKS[1].test[0], {"answer": GOOD})


def test_models_and_modules_are_judges():
    """A model is asked with the criteria of the task; a module of one's own may have another scale and last output."""
    example = TASKS[3].test[0].copy(**ASKED).with_inputs("question")
    lm = DummyLM([{"score": "6"}])
    assert TASKS[3].judged_by(lm).metric(example, {"answer": GOOD}) == pytest.approx(0.6)
    assert "original" in str(lm.history[-1]["messages"])
    own = dspy.ChainOfThought("question, answer -> grade: int")
    own.set_lm(DummyLM([{"reasoning": "fine", "grade": "5"}]))
    assert TASKS[3].judged_by(own, scale=(1, 5)).metric(example, {"answer": GOOD}) == pytest.approx(1.0)


def test_what_cannot_judge_is_refused():
    """No judge for tasks with right answers, no judge that asks for what is not there, no scale upside down."""
    with pytest.raises(TaskError, match="needs no judge"):
        rtk.tasks.load("arithmetic", size=1).judged_by(len)
    with pytest.raises(TaskError, match="asks for facts"):
        TASKS[1].judged_by(dspy.Predict("facts, answer -> score: int"))
    with pytest.raises(TaskError, match="a scale from 10 to 0"):
        TASKS[1].judged_by(len, scale=(10, 0))
    with pytest.raises(TaskError, match="judges nothing"):
        TASKS[1].judged_by("gpt")


def test_another_judge_is_another_fingerprint():
    """What decides a score is part of what is asked: the judge, its scale and its criteria."""
    task = TASKS[1]
    marks = [
        task.fingerprint,
        task.judged_by(len).fingerprint,
        task.judged_by(print).fingerprint,
        task.judged_by(len, scale=(1, 5)).fingerprint,
    ]
    assert len(set(marks)) == 4
    assert task.judged_by(len).fingerprint == marks[1]


def test_judged_tasks_go_into_evaluate():
    """DSPy's Evaluate averages the scores."""
    judged = TASKS[2].judged_by(lambda question, answer: 5)
    kept = [TASKS[2].check(example.inputs(), GOOD).score for example in judged.test]
    found = dspy.Evaluate(devset=judged.test, metric=judged.metric, num_threads=2, display_progress=False)(
        lambda question: dspy.Prediction(answer=GOOD)
    )
    assert found.score == pytest.approx(100 * 0.5 * sum(kept) / len(kept), abs=0.01)


def test_open_questions_of_ones_own_are_judged():
    """A table without answers gives a task that a judge scores by the criteria that are stated."""
    rows = [{"question": f"What would you do with {n} bricks?"} for n in range(40)]
    task = rtk.Task.from_frame(rows, answer=None, criteria="Score how funny the answer is, from 0 to 10.")
    assert task.reports == "mean judged score"
    assert "funny" in task.judge.signature.instructions
    assert task.judged_by(lambda question, answer: 10).metric(task.test[0], "build a brick") == 1.0


def test_a_question_of_another_kind_is_refused():
    """A checker asked about a question that is not its own says so, with a mend."""
    with pytest.raises(TaskError) as caught:
        TASKS[1].check({"question": "What is 7 × 12?"}, "24")
    assert "brainstorm" in caught.value.mend
