"""Sources in memory and in the files of tables; and what of them is no passage."""

import gzip
import json

import dspy
import pandas
import pytest

import rtk
from rtk.errors import RetrievalError

PAIRS = [("Where is it?", "Here."), ("When was it?", "Yesterday.")]
ROWS = [{"question": question, "answer": answer} for question, answer in PAIRS]


def held(retriever):
    """What a retriever holds, as pairs, in the source's order."""
    found = [retriever.search(question)[0] for question, _ in PAIRS]
    return [(passage.question, passage.answer) for passage in found]


@pytest.mark.parametrize(
    "source",
    [
        PAIRS,
        tuple(PAIRS),
        iter(PAIRS),
        [list(pair) for pair in PAIRS],
        ROWS,
        [dspy.Example(**row).with_inputs("question") for row in ROWS],
        pandas.DataFrame(ROWS),
        pandas.DataFrame(ROWS, index=["x", "y"]),
        pandas.DataFrame({"Query": ["Where is it?", "When was it?"], " ANSWER ": ["Here.", "Yesterday."]}),
    ],
)
def test_pairs_come_in_many_forms(source):
    """Tuples, lists, mappings, examples and frames of pairs are one and the same."""
    assert held(rtk.Retriever(source)) == PAIRS


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".jsonl.gz", ".csv.gz"])
def test_tables_are_read_from_files(tmp_path, ending):
    """The files of tables that rtk reads elsewhere hold passages, too, and a passage names its file and row."""
    path = tmp_path / f"faq{ending}"
    frame = pandas.DataFrame(ROWS)
    match ending.removesuffix(".gz"):
        case ".csv" | ".tsv":
            frame.to_csv(path, sep="\t" if ".tsv" in ending else ",", index=False)
        case ".parquet":
            frame.to_parquet(path)
        case kind:
            text = json.dumps(ROWS) if kind == ".json" else "\n".join(map(json.dumps, ROWS))
            path.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    retriever = rtk.Retriever(path)
    assert held(retriever) == held(rtk.Retriever(str(path))) == PAIRS
    assert retriever.search("When was it?")[0].source == f"faq{ending} row 2"
    assert f"of faq{ending}" in repr(retriever)


def test_texts_need_no_question():
    """A list of texts, or a column of them with titles, holds passages without question and answer."""
    found = rtk.Retriever(["red kite", "blue book"]).search("a kite")[0]
    assert (found.id, found.text, found.question, found.answer, found.source) == ("1", "red kite", None, None, "row 1")
    titled = rtk.Retriever([{"title": "Birds", "content": "red kite"}, {"title": "Things", "content": "blue book"}])
    assert titled.search("birds")[0].text == "Birds\nred kite"


def test_columns_are_named():
    """`question=`, `answer=` and `text=` name columns that do not say themselves what they hold."""
    table = [{"frage": "Wo ist es?", "antwort": "Hier.", "note": "sehr alt"}]
    found = rtk.Retriever(table, question="frage", answer="antwort").search("wo ist es?")[0]
    assert (found.question, found.answer) == ("Wo ist es?", "Hier.")
    assert rtk.Retriever(table, text="note").search("alt")[0].text == "sehr alt"
    named = [{"question": "Which?", "answer": "This.", "reply": "That."}]
    assert rtk.Retriever(named, answer="reply").search("which?")[0].answer == "That."


@pytest.mark.parametrize(
    ("columns", "named", "said"),
    [
        (["a1", "b1"], {}, "'a1', 'b1'"),
        (["question"], {}, "do not say"),
        (["question", "answer"], {"answer": "reply"}, "no such column"),
        (["Question", "question", "answer"], {}, "spelling"),
        (["question", "answer", "text"], {"text": "text", "answer": "answer"}, "text= beside"),
    ],
)
def test_columns_are_never_guessed_at_random(columns, named, said):
    """Where names do not say it, the error lists the columns and what to type."""
    with pytest.raises(RetrievalError, match=said) as refused:
        rtk.Retriever([dict.fromkeys(columns, "x")], **named)
    assert refused.value.mend


def test_twin_columns_of_a_frame_are_refused():
    """A frame with two columns of one name does not say which is meant."""
    with pytest.raises(RetrievalError, match="several columns are called 'answer'"):
        rtk.Retriever(pandas.DataFrame([["q", "a", "b"]], columns=["question", "answer", "answer"]))


def test_ids_and_sources_of_rows_are_kept():
    """A row's own id is its passage's id and what a citation names, unless the row says where it is from."""
    rows = [{"id": 7, **ROWS[0]}, {"id": "b", **ROWS[1], "source": "manual, p. 3"}]
    found = [rtk.Retriever(rows).search(question)[0] for question, _ in PAIRS]
    assert [(passage.id, passage.source) for passage in found] == [("7", "7"), ("b", "manual, p. 3")]


def test_one_id_for_two_passages_is_an_error():
    """Two rows that share an id and say different things are named."""
    with pytest.raises(RetrievalError, match="two passages have the id 'x'") as refused:
        rtk.Retriever([{"id": "x", **row} for row in ROWS])
    assert "id of its own" in refused.value.mend


def test_what_is_no_passage_is_named():
    """Empty cells and repetitions are left out, each with its row and why; the rows after them keep their numbers."""
    rows = [
        *PAIRS,
        ("", "An answer."),
        ("A question?", " "),
        (None, None),
        (" where  IS it?", "here."),
        ("Why?", "So."),
    ]
    retriever = rtk.Retriever(rows)
    assert len(retriever) == 3
    assert [(left.source, left.reason) for left in retriever.dropped] == [
        ("row 3", "no question"),
        ("row 4", "no answer"),
        ("row 5", "no question and no answer"),
        ("row 6", "says the same as row 1"),
    ]
    assert retriever.search("why?")[0].id == "7"


def test_missing_cells_of_a_frame_are_named():
    """What pandas holds for nothing is no text."""
    frame = pandas.DataFrame({"question": ["Where?", None, "When?"], "answer": ["Here.", "There.", float("nan")]})
    assert [left.reason for left in rtk.Retriever(frame).dropped] == ["no question", "no answer"]


def test_numbers_are_texts():
    """A cell that holds a number is what it says."""
    assert rtk.Retriever([{"question": "How many?", "answer": 12}]).search("how many?")[0].answer == "12"


def test_questions_that_differ_in_their_answers_are_both_kept():
    """The same question with another answer is another passage."""
    assert len(rtk.Retriever([("Where?", "Here."), ("Where?", "There.")])) == 2


@pytest.mark.parametrize("source", [[], iter(()), [("", "")], ["  ", "\n"], [None], pandas.DataFrame()])
def test_a_source_without_passages_is_an_error(source):
    """What holds no passage at all is refused, with what a source may be."""
    with pytest.raises(RetrievalError, match="holds no passage") as refused:
        rtk.Retriever(source)
    assert "folder" in refused.value.mend


@pytest.mark.parametrize(
    "source", [3, None, b"bytes", {"Where?": "Here."}, [3], [("a", "b", "c")], [("a", 3)], [{"text": ["a"]}], [b"x"]]
)
def test_what_is_no_source_is_an_error(source):
    """What is neither pairs, texts, a table nor a path is refused, with what to type."""
    with pytest.raises(RetrievalError) as refused:
        rtk.Retriever(source)
    assert refused.value.mend


def test_names_of_columns_are_for_tables():
    """`question=` beside texts or pairs that have no columns is an error."""
    with pytest.raises(RetrievalError, match="name columns"):
        rtk.Retriever(PAIRS, question="q")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("faq.csv", b"question,answer\nWhere?,\xff\xfe\n"),
        ("faq.jsonl", b'{"question": "Where?"'),
        ("faq.parquet", b"PAR1 no"),
        ("faq.csv.gz", b"no gzip"),
    ],
)
def test_a_damaged_table_is_an_error(tmp_path, name, content):
    """A table that cannot be read is named, with what it should be."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RetrievalError, match=name) as refused:
        rtk.Retriever(path)
    assert refused.value.mend


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere", "nowhere.md"])
def test_a_path_that_leads_nowhere_is_an_error(tmp_path, name):
    """A file that is not there is named."""
    with pytest.raises(RetrievalError, match=name):
        rtk.Retriever(tmp_path / name)
