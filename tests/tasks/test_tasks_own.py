"""A user's own questions: frames and files of every kind, types, splits, fingerprints."""

import gzip
import json
import os
import subprocess
import sys
from itertools import combinations

import dspy
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk
from rtk.answers import Check
from rtk.errors import TaskError

SPLITS = ("train", "dev", "test")
ROWS = [{"question": f"What is {n} + {n}?", "answer": 2 * n} for n in range(60)]


def asked(task):
    return {split: [example.question for example in getattr(task, split)] for split in SPLITS}


@pytest.mark.parametrize(
    "made",
    [
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).convert_dtypes(),
        pd.DataFrame(ROWS).convert_dtypes(dtype_backend="pyarrow"),
        pd.DataFrame(ROWS).astype({"question": "category"}),
        pd.DataFrame(ROWS).astype({"answer": "int8"}),
        pyarrow.Table.from_pylist(ROWS),
        ROWS,
        iter(ROWS),
    ],
    ids=["pandas", "nullable", "arrow dtypes", "categories", "small", "arrow", "dicts", "iterator"],
)
def test_every_kind_of_table_gives_the_same_task(made):
    """Where a table comes from does not matter: the same items, types and fingerprint."""
    task = rtk.Task.from_frame(made)
    assert task.answer_type == "int"
    assert task.fingerprint == rtk.Task.from_frame(ROWS).fingerprint


def test_polars_frames_are_read():
    """A polars frame is a table like any."""
    polars = pytest.importorskip("polars")
    assert rtk.Task.from_frame(polars.DataFrame(ROWS)).fingerprint == rtk.Task.from_frame(ROWS).fingerprint


def test_files_give_the_same_task(tmp_path):
    """CSV, TSV, JSON lines, JSON and Parquet hold the same questions, by method, by `load` and by `from_frame`."""
    frame, lines = pd.DataFrame(ROWS), "\n".join(map(json.dumps, ROWS))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text(lines + "\n\n")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.write(lines)
    frame.to_csv(tmp_path / "rows.csv.gz", index=False)
    found = [
        rtk.Task.from_csv(tmp_path / "rows.csv"),
        rtk.Task.from_csv(tmp_path / "rows.tsv"),
        rtk.Task.from_csv(tmp_path / "rows.csv.gz"),
        rtk.Task.from_jsonl(tmp_path / "rows.jsonl"),
        rtk.Task.from_jsonl(tmp_path / "rows.json"),
        rtk.Task.from_jsonl(tmp_path / "rows.jsonl.gz"),
        rtk.Task.from_parquet(tmp_path / "rows.parquet"),
        rtk.tasks.load(tmp_path / "rows.csv"),
        rtk.tasks.load(str(tmp_path / "rows.parquet"), question="question"),
        rtk.Task.from_frame(str(tmp_path / "rows.jsonl")),
    ]
    assert {task.name for task in found} == {"rows"}
    assert len({task.fingerprint for task in found}) == 1


@pytest.mark.parametrize(
    ("answers", "kind", "comparer", "gold"),
    [
        ([1, 2, 3], "int", "numeric", 1),
        ([1, 2.5, 3], "float", "numeric", 1.0),
        (["1", "2", "3"], "text", "auto", "1"),
        ([True, False, True], "bool", "auto", True),
        ([[1, 2], [3], [4, 5]], "list", "sequence", [1, 2]),
        (["yes", "no", "maybe"] * 10, "choice", "auto", "yes"),
    ],
)
def test_the_type_of_the_answers_is_inferred_and_said(answers, kind, comparer, gold):
    """What answers are is seen in the table and shown; texts of numbers stay texts."""
    rows = [{"question": f"q {n}", "answer": answer, "part": "test"} for n, answer in enumerate(answers)]
    task = rtk.Task.from_frame(rows, split="part")
    assert (task.answer_type, task.comparer) == (kind, comparer)
    assert (task.test[0].answer, type(task.test[0].answer)) == (gold, type(gold))
    assert f"answer_type='{kind}'" in repr(task)
    assert task.metric(task.test[0], {"answer": gold}) is True


@pytest.mark.parametrize(
    ("cells", "kind", "first"),
    [
        (["7", "8"], "int", 7),
        (["7", "8.5"], "float", 7.0),
        (["true", "False"], "bool", True),
        (["007", "008"], "text", "007"),
        (["Paris", "Rome", "7"], "text", "Paris"),
    ],
)
def test_in_a_csv_file_all_is_text(tmp_path, cells, kind, first):
    """Answers that all are numbers, or true or false, are read as such; others stay as they are written."""
    pd.DataFrame({"question": [f"q {n}" for n in range(len(cells))], "answer": cells, "part": "test"}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    task = rtk.tasks.load(tmp_path / "rows.csv", split="part")
    assert (task.answer_type, task.test[0].answer) == (kind, first)


def test_a_csv_file_with_flaws_names_them(tmp_path):
    """A word among numbers, nothing, and twin columns are named and not guessed at."""
    (tmp_path / "mixed.csv").write_text("question,answer\na,1\nb,two\nc,3\nd,\n")
    with pytest.raises(TaskError, match=r"row 1, column 'answer': 'two' is a text.*row 3, column 'answer'"):
        rtk.Task.from_csv(tmp_path / "mixed.csv")
    (tmp_path / "twins.csv").write_text("question,answer,answer\na,1,2\n")
    with pytest.raises(TaskError, match="several columns are called 'answer'"):
        rtk.Task.from_csv(tmp_path / "twins.csv")


def test_a_type_that_is_told_is_kept_to():
    """With `answer_type=` texts are read strictly as that type, and what is none is a bad row."""
    rows = [{"question": f"q {n}", "answer": f"{n}", "part": "test"} for n in range(5)]
    assert rtk.Task.from_frame(rows, split="part", answer_type="int").test[3].answer == 3
    listed = [{**row, "answer": f"[{n}, {n}]"} for n, row in enumerate(rows)]
    assert rtk.Task.from_frame(listed, split="part", answer_type="list").test[3].answer == [3, 3]
    floats = [{**row, "answer": float(n)} for n, row in enumerate(rows)]
    assert rtk.Task.from_frame(floats, split="part", answer_type="int").test[3].answer == 3
    with pytest.raises(TaskError, match="row 2, column 'answer': '2' is none of the choices"):
        rtk.Task.from_frame(rows, split="part", choices=["0", "1", "3", "4"])
    halves = [{**row, "answer": n / 2} for n, row in enumerate(rows)]
    with pytest.raises(TaskError, match=r"row 1, column 'answer': 0.5 is a number.*row 3, column 'answer'"):
        rtk.Task.from_frame(halves, split="part", answer_type="int")


@settings(max_examples=40, deadline=None)
@given(
    first=st.lists(st.integers(0, 400), min_size=30, max_size=80, unique=True),
    second=st.lists(st.integers(0, 400), min_size=30, max_size=80, unique=True),
    seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
def test_splits_never_share_a_question(first, second, seeds):
    """A question has one split, whatever other rows are there and whatever the seed."""
    found = []
    for numbers, seed in zip((first, second), seeds, strict=True):
        rows = [{"question": f"q {n}", "answer": n} for n in numbers]
        found.append(asked(rtk.Task.from_frame(rows, seed=seed)))
    for one, other in combinations(SPLITS, 2):
        assert set(found[0][one]).isdisjoint(found[0][other] + found[1][other])


def test_splits_that_the_table_states_are_kept():
    """A column of splits is honoured, in the words that people use."""
    names = ["train", "Validation", "test", "dev"] * 15
    task = rtk.Task.from_frame([{**row, "split": name} for row, name in zip(ROWS, names, strict=True)], split="split")
    assert [len(found) for found in asked(task).values()] == [15, 30, 15]
    assert asked(task)["train"] == [row["question"] for row in ROWS[::4]]


def test_a_larger_size_keeps_the_questions_of_a_smaller():
    """Sizes draw by the seed, and growing one adds at the end."""
    small, large = (asked(rtk.Task.from_frame(ROWS, size=size, seed=3)) for size in (5, 12))
    assert small["test"] == large["test"][:5]
    assert len(large["test"]) == 12
    other = asked(rtk.Task.from_frame(ROWS, size=5, seed=4))
    assert other["test"] != small["test"]
    exact = rtk.Task.from_frame(ROWS, size={"train": 3, "dev": 2, "test": 4})
    assert [len(found) for found in asked(exact).values()] == [3, 2, 4]


def test_several_columns_are_several_inputs():
    """A list of columns gives a field each, a mapping names the fields, and a signature of one's own is served."""
    rows = [{"context": f"c {n}", "Question text": f"q {n}", "gold": n} for n in range(30)]
    renamed = {"context": "context", "question": "Question text"}
    task = rtk.Task.from_frame(rows, inputs=renamed, answer="gold", instructions="Read, then answer.")
    assert list(task.signature.input_fields) == ["context", "question"]
    assert task.signature.instructions == "Read, then answer."
    assert list(task.test[0].inputs().keys()) == ["context", "question"]
    with pytest.raises(TaskError, match="cannot be called 'Question text'"):
        rtk.Task.from_frame(rows, ["context", "Question text"], "gold")
    own = rtk.Task.from_frame(rows, renamed, "gold", signature="context, question -> reply: int")
    assert own.answer_field == "reply"
    assert own.metric(own.test[0], {"reply": own.test[0].reply}) is True
    single = rtk.Task.from_frame(rows, "context", "gold", signature="passage -> total: int")
    assert list(single.test[0].inputs().keys()) == ["passage"]


def test_an_example_is_called_after_what_it_asks():
    """Ids come from a column, or from the question: the same when rows are moved or others come."""
    ids = {example.question: example.id for example in rtk.Task.from_frame(ROWS).test}
    moved = {example.question: example.id for example in rtk.Task.from_frame(ROWS[::-1]).test}
    assert ids == moved
    named = rtk.Task.from_frame([{**row, "n": i} for i, row in enumerate(ROWS)], id="n")
    assert named.test[0].id == str(named.test[0].answer // 2)


def test_a_checker_and_a_comparer_of_ones_own_are_taken():
    """They are what the task states, shows and scores by."""

    def near(a, b):
        return abs(int(a) - int(b)) <= 1

    def short(inputs, candidate):
        return Check(len(str(candidate)) < 5)

    task = rtk.Task.from_frame(ROWS, comparer=near, check=short)
    assert task.metric(task.test[0], {"answer": task.test[0].answer + 1}) is True
    assert task.check is short
    assert "near" in repr(task)
    assert "short" in task._repr_html_()


def test_the_fingerprint_covers_what_decides_a_score():
    """Another comparer, type, answer or order is another task; the check and the name are not."""
    base = rtk.Task.from_frame(ROWS)
    changed = [{**ROWS[0], "answer": 99}, *ROWS[1:]]
    others = [
        rtk.Task.from_frame(ROWS, comparer="exact"),
        rtk.Task.from_frame(ROWS, answer_type="float"),
        rtk.Task.from_frame(changed),
        rtk.Task.from_frame(ROWS[1:]),
        rtk.Task.from_frame(ROWS, signature="question -> reply: int"),
    ]
    assert len({base.fingerprint, *(task.fingerprint for task in others)}) == 1 + len(others)
    assert rtk.Task.from_frame(ROWS, check=lambda *_: Check(True)).fingerprint == base.fingerprint
    parts = {split: base.fingerprint_of(split) for split in SPLITS}
    assert len({*parts.values(), base.fingerprint}) == 4
    kept = [row for row in ROWS if row["question"] not in asked(base)["train"]]
    assert rtk.Task.from_frame(kept).fingerprint_of("test") == parts["test"]
    with pytest.raises(TaskError, match="no split"):
        base.fingerprint_of("exam")


def test_a_fingerprint_is_the_same_in_another_process(tmp_path):
    """It hangs on the table alone, not on the process or its hash seed."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    code = f"import rtk; print(rtk.tasks.load({str(path)!r}).fingerprint)"
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert run.stdout.strip() == rtk.tasks.load(path).fingerprint


def test_examples_go_into_evaluate():
    """DSPy's Evaluate runs the task's examples with its metric."""
    task = rtk.Task.from_frame(ROWS)
    gold = {example.question: example.answer for example in task.test}
    run = dspy.Evaluate(devset=task.test, metric=task.metric, num_threads=2, display_progress=False)
    assert run(lambda question: dspy.Prediction(answer=str(gold[question]))).score == pytest.approx(100)


def test_a_card_shows_the_task_and_escapes_its_text():
    """A notebook shows what is asked and how it is scored; a question's own markup is text."""
    rows = [{**row, "question": f"<script>alert({n})</script>"} for n, row in enumerate(ROWS)]
    html = rtk.Task.from_frame(rows, name="<b>mine</b>")._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "accuracy" in html
    assert "numeric" in html
