"""Tables with every flaw: each named by row and column, none guessed at, all droppable."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk
from rtk.errors import TaskError

ROWS = 24
# What cannot stand among whole numbers, and a word of the reason.
BAD_ANSWERS = [
    (None, "nothing"), (float("nan"), "nothing"), (pd.NA, "nothing"), (pd.NaT, "nothing"), (np.nan, "nothing"),
    ("7", "a text"), ("seven", "a text"), ("", "empty"), ("  ", "empty"), (True, "true or false"),
    (np.True_, "true or false"), ([7], "a list"), ((7, 8), "a list"), ({"a": 7}, "mapping"), (np.array([7]), "a list"),
    (float("inf"), "inf"), (-np.inf, "inf"), (10**400, "too large"), (pd.Timestamp("2026-01-01"), "Timestamp"),
    (datetime.date(2026, 1, 1), "date"), (decimal.Decimal(7), "Decimal"), (b"7", "bytes"), ({7}, "set"),
    (pd.Interval(0, 1), "Interval"), ([None], "missing"), (1 + 2j, "complex"),
]  # fmt: skip
BAD_QUESTIONS = [
    (None, "nothing"), (pd.NA, "nothing"), ("", "empty"), (" \n\t", "empty"), ("a\x00b", "control"),
    ("\x1b[31mred", "control"), ("\ud800", "control"), (7, "a whole number"), (True, "true or false"),
    (["a"], "a list"), (pd.Timestamp("2026-01-01"), "Timestamp"), (b"what?", "bytes"),
]  # fmt: skip


def table(**columns):
    """A sound frame, some columns changed."""
    whole = {"question": [f"What is {n} + {n}?" for n in range(ROWS)], "answer": [2 * n for n in range(ROWS)]}
    return pd.DataFrame({**whole, **columns})


def with_cell(row, column, value):
    """A sound frame, one cell changed, whatever is put there."""
    frame = table()
    cells = list(frame[column])
    cells[row] = value
    return frame.assign(**{column: pd.Series(cells, dtype=object)})


def questions(task):
    return {example.question for split in (task.train, task.dev, task.test) for example in split}


@settings(max_examples=150, deadline=None)
@given(
    row=st.integers(0, ROWS - 1),
    flaw=st.sampled_from(
        [("answer", *one) for one in BAD_ANSWERS] + [("question", *one) for one in BAD_QUESTIONS]
    ),
)  # fmt: skip
def test_a_bad_cell_is_named_and_can_be_dropped(row, flaw):
    """The error names the row and the column and why; dropped, exactly that row is missing and told of."""
    column, value, reason = flaw
    frame = with_cell(row, column, value)
    with pytest.raises(TaskError, match=f"row {row}, column '{column}'") as caught:
        rtk.Task.from_frame(frame)
    assert reason in str(caught.value)
    assert 'bad="drop"' in caught.value.mend
    with pytest.warns(UserWarning, match=f"row {row}, column"):
        task = rtk.Task.from_frame(frame, bad="drop")
    assert [(flaw.row, flaw.column) for flaw in task.dropped] == [(row, column)]
    assert questions(task) == set(table()["question"]) - {table()["question"][row]}


@settings(max_examples=30, deadline=None)
@given(rows=st.sets(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS - 10))
def test_ten_flaws_are_listed_and_all_are_counted(rows):
    """The message lists up to ten flaws and says how many more there are."""
    answers = [None if n in rows else 2 * n for n in range(ROWS)]
    with pytest.raises(TaskError) as caught:
        rtk.Task.from_frame(table(answer=pd.Series(answers, dtype=object)))
    said = str(caught.value)
    assert said.startswith(f"{len(rows)} bad row")
    assert said.count("column 'answer'") == min(10, len(rows))
    assert (f"and {len(rows) - 10} more" in said) is (len(rows) > 10)


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, ROWS - 2), gap=st.integers(1, ROWS - 1))
def test_one_question_with_two_answers_is_bad(first, gap):
    """Neither of two rows that contradict each other is believed."""
    second = min(first + gap, ROWS - 1)
    frame = table()
    frame.loc[second, "question"] = f"  {frame['question'][first].replace(' ', '  ')}"
    with pytest.raises(TaskError, match=f"in rows {first} and {second}, with different answers"):
        rtk.Task.from_frame(frame)
    with pytest.warns(UserWarning, match="different answers"):
        task = rtk.Task.from_frame(frame, bad="drop")
    assert {flaw.row for flaw in task.dropped} == {first, second}


def test_a_row_that_repeats_another_counts_once():
    """The same question with the same answer is no flaw: it is asked once, and reported."""
    frame = pd.concat([table(), table().iloc[[3, 5]]])
    task = rtk.Task.from_frame(frame)
    assert len(questions(task)) == ROWS
    assert [flaw.row for flaw in task.repeated] == [ROWS, ROWS + 1]
    assert "what row 3 asks" in task.repeated[0].reason
    assert "repeated=2" in repr(task)


def test_an_index_of_ones_own_does_not_matter():
    """Rows count by place, whatever the index says and however often it says it."""
    frame = with_cell(4, "answer", None)
    frame.index = [7] * ROWS
    with pytest.raises(TaskError, match="row 4, column 'answer'"):
        rtk.Task.from_frame(frame)
    sound = table()
    sound.index = [7] * ROWS
    assert rtk.Task.from_frame(sound).fingerprint == rtk.Task.from_frame(table()).fingerprint


@pytest.mark.parametrize(
    ("ids", "row", "said"), [([*range(23), 3], 23, "again, as in row 3"), ([None, *range(23)], 0, "nothing is there")]
)
def test_ids_are_there_and_different(ids, row, said):
    """An id that is missing or came before is named."""
    with pytest.raises(TaskError, match=f"row {row}, column 'name'") as caught:
        rtk.Task.from_frame(table(name=pd.Series(ids, dtype=object)), id="name")
    assert said in str(caught.value)


def test_splits_that_are_none_are_named():
    """A split that is neither train nor dev nor test is a flaw, and so is a question that stands in two."""
    splits = ["train", "validation", "TEST", "test"] * 6
    with pytest.raises(TaskError, match=r"row 2, column 'part'.*none of train, dev and test"):
        rtk.Task.from_frame(table(part=[*splits[:2], "held out", *splits[3:]]), split="part")
    frame = pd.concat([table(part=splits), table(part=["train"] * ROWS).iloc[[3]]])
    with pytest.raises(TaskError, match=f"row {ROWS}, column 'part': what row 3 asks, which is in test"):
        rtk.Task.from_frame(frame, split="part")


@pytest.mark.parametrize(
    ("call", "message", "mend"),
    [
        (lambda: rtk.Task.from_frame(table(), "qestion"), "no column 'qestion'", "'question'"),
        (lambda: rtk.Task.from_frame(table(), answer="gold"), "no column 'gold'", "answer="),
        (lambda: rtk.Task.from_frame(table(), "answer"), "wanted for two things", "of its own"),
        (lambda: rtk.Task.from_frame(pd.concat([table(), table()], axis=1)), "several columns", "duplicated"),
        (lambda: rtk.Task.from_frame(pd.DataFrame({"question": [], "answer": []})), "no rows", "row for each"),
        (lambda: rtk.Task.from_frame([]), "no rows", "row for each"),
        (lambda: rtk.Task.from_frame(7), "no table", "pandas"),
        (lambda: rtk.Task.from_frame(table(), bad="skip"), "bad='skip'", "drop"),
        (lambda: rtk.Task.from_frame(table(), answer_type="number"), "answer_type", "float"),
        (lambda: rtk.Task.from_frame(table(), size=1000), "1000 are wanted", "or fewer"),
        (lambda: rtk.Task.from_frame(table(), size=0), "size=0", "from 1 on"),
        (lambda: rtk.Task.from_frame(table(), size={"exam": 3}), "size=", "train"),
        (lambda: rtk.Task.from_frame(table(part="train"), split="part"), "nothing is left to test on", "split"),
        (lambda: rtk.Task.from_frame(table(items=range(ROWS)), ["items"]), "cannot be called 'items'", "rename"),
        (lambda: rtk.Task.from_frame(table(), {"answer": "question"}), "is an input and the answer", "renames"),
        (lambda: rtk.Task.from_frame(table(), []), "no column holds", "question"),
        (lambda: rtk.Task.from_frame(table(), ["question"] * 2), "twice", "once"),
        (lambda: rtk.Task.from_frame(table(), signature="a, b -> c"), "asks with a, b", "column"),
        (lambda: rtk.Task.from_frame(table(), criteria="be funny"), "criteria=", "answer=None"),
        (lambda: rtk.tasks.load("none.csv"), "none.csv", "csv"),
        (lambda: rtk.tasks.load("none.csv", level=2), "no levels", "level="),
        (lambda: rtk.tasks.load("arithmetic", question="q"), "how a table is read", "leave it out"),
        (lambda: rtk.Task.from_csv("rows.parquet"), "no .csv file", "from_frame"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_questions_is_refused(call, message, mend):
    """Whatever is wrong with the call is said in words, with what to type instead."""
    with pytest.raises(TaskError, match=message) as caught:
        call()
    assert mend in caught.value.mend


def test_an_unknown_comparer_is_refused_before_anything_is_scored():
    """A comparer that there is not is an error when the task is made."""
    with pytest.raises(rtk.errors.AnswerError, match="unknown"):
        rtk.Task.from_frame(table(), comparer="nearly")


def test_a_sound_table_warns_of_nothing():
    """Nothing dropped, nothing said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = rtk.Task.from_frame(table(), bad="drop")
    assert task.dropped == task.repeated == ()
