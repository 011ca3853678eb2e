"""Samples that others drew: from a table of theirs to a vote, a score and a curve, with no model."""

import datetime
import json

import dspy
import numpy
import pandas
import pytest

import rtk
from rtk.errors import ModelError, StoreError, UnsupportedParameter
from rtk.samples import Request, Sample, Usage
from rtk.store import SampleStore, verified

MODEL = "openai/their-model"
PUBLISHED = pandas.DataFrame(
    [
        ("What is 3 + 4?", "3 and 4 make 7.\n#### 7", "7"),
        ("What is 3 + 4?", "I count to 8. The answer is 8.", "7"),
        ("What is 3 + 4?", "So it is \\boxed{7}", "7"),
        ("What is 3 + 4?", "", "7"),
        ("What is 5 × 5?", "Five fives. The answer is 25.", "25"),
        ("What is 5 × 5?", "**Answer:** 20", "25"),
        ("What is 5 × 5?", "#### 20", "25"),
        ("What is 5 × 5?", "It is 25.\n\nAnswer: 25", "25"),
    ],
    columns=["question", "text", "gold"],
)  # fmt: skip
EXAMPLES = [
    dspy.Example(question=question, answer=gold).with_inputs("question")
    for question, gold in dict(zip(PUBLISHED.question, PUBLISHED.gold, strict=True)).items()
]


def right(example, pred, trace=None):
    return rtk.answers.equal(pred.answer, example.answer)


@pytest.fixture
def store(tmp_path):
    with SampleStore(tmp_path / "store") as made:
        yield made


def samples(store):
    return [sample for request in store.requests() for sample in store.samples(request.key)]


def one(store, **row):
    """The sample of a table of one row, and its request."""
    store.ingest([{"question": "q", "text": "t", **row}], MODEL)
    (request,) = store.requests()
    (sample,) = store.samples(request.key)
    return sample, request


# --- what it is for ---


def test_a_published_run_is_voted_on_and_scored_without_a_model(store, tmp_path):
    """A frame of questions and texts: self-consistency votes on it, a curve is drawn of it, nothing is asked."""
    told = store.ingest(PUBLISHED, model=MODEL)
    assert (told.added, told.there, told.conflicts, told.unused) == (8, 0, [], ["gold"])
    vote = rtk.SelfConsistency("question -> answer", samples=4)
    with dspy.context(lm=rtk.LM(MODEL, store=store), adapter=rtk.TextAdapter()):
        pred = vote(question="What is 3 + 4?")
        assert pred.answer == "7"
        assert (pred.vote.votes, pred.vote.abstentions) == (3, {"empty": 1})
        assert pred.reasoning == "3 and 4 make 7.\n#### 7"
        assert (pred.spent.drawn, pred.spent.reused) == (0, 4)
        single = rtk.sweep(dspy.ChainOfThought("question -> answer"), EXAMPLES, metric=right)
        assert single.rows()["correct"].all()
        found = rtk.sweep(vote, EXAMPLES, {"samples": [1, 2, 3, 4]}, metric=right)
        assert list(found.summary().to_frame()["accuracy"]) == [1, 1, 0.5, 1]
        assert found.rows()["drawn"].sum() == 0
        assert found.curve().drawn[0].size == 4
    path = store.export(tmp_path / "published.jsonl")
    with rtk.recording(path, mode="replay"), dspy.context(lm=rtk.LM(MODEL), adapter=rtk.TextAdapter()):
        assert vote(question="What is 5 × 5?").vote.distribution == {"25": 0.5, "20": 0.5}
        with pytest.raises(rtk.NotRecorded):
            rtk.SelfConsistency("question -> answer", samples=5)(question="What is 5 × 5?")


def test_another_way_to_find_the_answer_is_another_vote(store):
    """The same samples, read with another rule: only what is in a box counts."""
    store.ingest(PUBLISHED, model=MODEL)
    with dspy.context(lm=rtk.LM(MODEL, store=store), adapter=rtk.TextAdapter("boxed")):
        pred = rtk.SelfConsistency("question -> answer", samples=4)(question="What is 3 + 4?")
    assert (pred.answer, pred.vote.votes) == ("7", 1)
    assert pred.vote.abstentions == {"empty": 1, "malformed": 2}


def test_a_sample_that_is_not_there_asks_the_model(store, monkeypatch):
    """Which is not reachable here: what was ingested is not mistaken for more than it is."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    store.ingest(PUBLISHED, model=MODEL)
    lm = rtk.LM(MODEL, store=store)
    assert len(lm("What is 3 + 4?", n=4)) == 4
    with pytest.raises(ModelError):
        lm("What is 3 + 4?", n=5)
    with pytest.raises(ModelError):
        lm("What is 3 + 4?", temperature=0.2)


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.XMLAdapter(), rtk.LinesAdapter(), rtk.TextAdapter()])
def test_prompts_of_any_adapter_are_found(store, adapter):
    """`messages=` writes them as the program does, with its demonstrations; the program then finds its samples."""
    program = dspy.ChainOfThought(dspy.Signature("question -> answer", "Reckon."))
    predictor = program.predict
    predictor.demos = [dspy.Example(question="1 + 1?", reasoning="One and one.", answer="2").with_inputs("question")]
    outputs = {"reasoning": "so", "answer": "7"}
    rows = [
        {"question": "What is 3 + 4?", "text": adapter.format_assistant_message_content(predictor.signature, outputs)}
    ]
    told = store.ingest(
        rows * 2, MODEL,
        messages=lambda row: adapter.format(predictor.signature, predictor.demos, {"question": row["question"]}),
    )  # fmt: skip
    assert (told.added, told.unused) == (2, [])
    with dspy.context(lm=rtk.LM(MODEL, store=store), adapter=adapter):
        pred = rtk.SelfConsistency(program, samples=2)(question="What is 3 + 4?")
    assert (pred.answer, pred.vote.votes, pred.spent.drawn) == ("7", 2, 0)


def test_what_was_ingested_is_marked(store, tmp_path):
    """In the store and in a file; `verify` counts it apart, and what merges it elsewhere keeps the mark."""
    store.ingest(PUBLISHED, model=MODEL)
    asked = rtk.LM("openai/other", store=store).ask([{"role": "user", "content": "q"}], {})
    store.write(asked.request, [Sample(asked.addresses[0], "mine")])
    assert sum(sample.ingested for sample in samples(store)) == 8
    assert str(store.verify()) == "9 samples of 3 requests, 8 ingested"
    path = store.export(tmp_path / "out.jsonl")
    assert verified(path).ingested == 8
    other = SampleStore(tmp_path / "other")
    other.merge(path)
    assert other.verify().ingested == 8


# --- where a sample goes ---


def test_rows_of_a_prompt_count_in_their_order(store):
    """Whatever stands between them."""
    rows = [{"prompt": "ab"[i % 2], "text": str(i)} for i in range(6)]
    store.ingest(rows, MODEL)
    lm = rtk.LM(MODEL, store=store)
    assert (lm("a", n=3), lm("b", n=3)) == (["0", "2", "4"], ["1", "3", "5"])


def test_a_column_says_which_sample_it_is(store):
    """In any order, and with gaps."""
    store.ingest([{"prompt": "a", "text": str(i), "index": i} for i in (2, 0, 5)], MODEL)
    assert rtk.LM(MODEL, store=store)("a") == ["0"]
    assert [sample.address.index for sample in samples(store)] == [0, 2, 5]


def test_the_same_table_twice_adds_nothing(store):
    """A longer one adds what is new; what has another text is a conflict, and the first stays."""
    store.ingest(PUBLISHED, model=MODEL)
    again = store.ingest(PUBLISHED, model=MODEL)
    assert (again.added, again.there, store.count()) == (0, 8, 8)
    more = pandas.concat([PUBLISHED, PUBLISHED.iloc[:1].assign(text="a fifth")])
    assert (store.ingest(more, model=MODEL).added, store.count()) == (1, 9)
    other = store.ingest(PUBLISHED.assign(text="other"), model=MODEL)
    assert (other.added, other.there, len(other.conflicts)) == (0, 0, 8)
    assert "8 in conflict, the first kept" in str(other)
    assert "other" not in {sample.text for sample in samples(store)}


def test_at_temperature_0_the_first_row_of_a_prompt_is_the_sample(store):
    """The others are the same one, or conflicts."""
    told = store.ingest([{"prompt": "a", "text": text} for text in ("x", "x", "y")], MODEL, temperature=0)
    assert (told.added, told.there, len(told.conflicts)) == (1, 1, 1)
    assert rtk.LM(MODEL, store=store, temperature=0)("a", n=3) == ["x"] * 3


def test_temperature_and_options_are_the_requests(store):
    """From a column, from an argument, or as `rtk.LM` asks by default; the LM with the same ones finds the sample."""
    store.ingest([{"prompt": "a", "text": "hot", "temperature": 1.5, "top_p": 0.9, "max_tokens": 64.0}], MODEL)
    store.ingest([{"prompt": "a", "text": "cool"}], MODEL, temperature=0.2, options={"stop": "\n"}, revision="2")
    store.ingest([{"prompt": "a", "text": "usual", "temperature": None}], MODEL)
    store.ingest([{"prompt": "a", "text": "reasoned"}], "openai/o3-mini")
    assert rtk.LM(MODEL, store=store, temperature=1.5, top_p=0.9, max_tokens=64)("a") == ["hot"]
    assert rtk.LM(MODEL, store=store, temperature=0.2, stop=["\n"], revision="2")("a") == ["cool"]
    assert rtk.LM(MODEL, store=store)("a") == ["usual"]
    assert rtk.LM("openai/o3-mini", store=store)("a") == ["reasoned"]
    with pytest.raises(UnsupportedParameter):
        store.ingest(PUBLISHED, MODEL, temperature="warm")


def test_samples_of_another_model_than_those_there_stay_out(store):
    """As in a merge: the name that the server gave decides, where there is one."""
    store.ingest([{"prompt": p, "text": "t", "served_model": "a"} for p in "xy"], MODEL)
    told = store.ingest([{"prompt": "x", "text": "u", "served_model": "b", "index": 1},
                         {"prompt": "z", "text": "u", "served_model": "b", "index": 0}], MODEL)  # fmt: skip
    assert (told.added, len(told.other_models)) == (1, 1)


# --- what is known of a sample ---


def test_all_that_a_table_knows_is_kept(store):
    """Tokens, dollars, seconds, reasoning, why it ended, log-probabilities, who served it, and when."""
    logprobs = {"content": [{"token": "t", "logprob": -0.5}]}
    when = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    sample, _ = one(
        store, prompt_tokens=3, completion_tokens=numpy.int64(5), reasoning_tokens=2.0, dollars="0.25", seconds=1.5,
        reasoning="hm", finish_reason="length", logprobs=json.dumps(logprobs), tool_calls=[], served_model="m-1",
        drawn_at=pandas.Timestamp(when),
    )  # fmt: skip
    assert sample.usage == Usage(3, 5, 0.25, 1.5, 2)
    assert (sample.reasoning, sample.finish_reason, sample.served_model) == ("hm", "length", "m-1")
    assert (sample.logprobs, sample.tool_calls, sample.drawn_at) == (logprobs, [], "2024-01-02T00:00:00+00:00")
    assert sample.ingested


def test_what_is_not_known_stays_unknown(store):
    """No price is invented, no time, and no version of rtk, which did not draw it; `tokens` are those written."""
    sample, request = one(store, tokens=7, dollars=float("nan"), reasoning=pandas.NA, drawn_at=None, seconds="")
    assert sample.usage == Usage(0, 7, None, 0.0)
    assert (sample.reasoning, sample.finish_reason, sample.drawn_at, sample.versions) == (None, None, "", ())
    assert request == Request.of(MODEL, [{"role": "user", "content": "q"}], {"temperature": 0.7})


def test_messages_come_before_a_prompt_and_a_prompt_before_a_question(store):
    """As lists or as JSON; what was not sent is no part of the request."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    for row in ({"messages": messages}, {"messages": json.dumps(messages), "prompt": "p"}):
        _, request = one(store, **row)
        assert request.messages == messages
    told = store.ingest([{"prompt": "Q: q A:", "question": "q", "completion": "t"}], MODEL)
    assert (told.added, told.unused) == (1, ["question"])
    assert rtk.LM(MODEL, store=store)("Q: q A:") == ["t"]


# --- rows that cannot be read ---

FINE = {"question": "q", "text": "t"}


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"text": None}, "column 'text': nothing is there"),
        ({"text": numpy.nan}, "column 'text': nothing is there"),
        ({"text": ["a", "b"]}, "column 'text': a list of 2; frame.explode"),
        ({"text": numpy.array(["a", "b"])}, "column 'text': a list of 2"),
        ({"text": 42}, "column 'text': 42 is no text"),
        ({"question": None}, "column 'question': nothing is there"),
        ({"prompt": [{"role": "user", "content": "q"}]}, "column 'prompt': a list of 1"),
        ({"question": "\ud800"}, "column 'question': a request holds something"),
        ({"messages": "no JSON"}, "column 'messages': no JSON"),
        ({"messages": []}, "column 'messages': \\[\\] is no list of messages"),
        ({"messages": [{"content": "q"}]}, "column 'messages': .* is no list of messages"),
        ({"tokens": "many"}, "column 'tokens': 'many' is no number"),
        ({"tokens": -1}, "column 'tokens': -1 is no number from 0 on"),
        ({"tokens": 1.5}, "column 'tokens': 1.5 is no whole number"),
        ({"prompt_tokens": True}, "column 'prompt_tokens': True is no number"),
        ({"seconds": float("inf")}, "column 'seconds': inf is no number"),
        ({"temperature": [0.7]}, "column 'temperature': .* is no number"),
        ({"logprobs": "{"}, "column 'logprobs': no JSON"),
        ({"reasoning": 5}, "column 'reasoning': 5 is no text"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(store, cells, told):
    """With its column, and what is wrong; nothing is guessed and nothing stored, also not of the rows that are fine."""
    with pytest.raises(StoreError, match=f"row 0, {told}") as caught:
        store.ingest([{**FINE, **cells}, FINE], MODEL)
    assert caught.value.mend
    assert store.count() == 0


def test_many_rows_that_cannot_be_read_are_counted(store):
    """The first are named, the others counted."""
    with pytest.raises(StoreError, match=r"row 0, .*row 4, .*; and 95 more rows") as caught:
        store.ingest([{"question": "q", "text": None}] * 100, MODEL)
    assert "row 5" not in str(caught.value)


def test_a_table_without_a_prompt_or_a_text_is_an_error(store):
    """It names the columns there are, and how to rename one."""
    with pytest.raises(StoreError, match="no column 'text' or 'completion', but question, response") as caught:
        store.ingest([{"question": "q", "response": "t"}], MODEL)
    assert "frame.rename" in caught.value.mend
    with pytest.raises(StoreError, match="no column 'messages' or 'prompt' or 'question'"):
        store.ingest(pandas.DataFrame({"text": ["t"], 0: ["q"]}), MODEL)


def test_an_index_that_cannot_be_is_an_error(store):
    """Nothing there, no number, or a place that is taken by another row."""
    for index in (None, "first", -1, 10**10):
        with pytest.raises(StoreError, match="row 0, column 'index'"):
            store.ingest([{**FINE, "index": index}], MODEL)
    with pytest.raises(StoreError, match="row 2, column 'index': 4 a second time for what row 0 asks"):
        store.ingest([{**FINE, "index": index} for index in (4, 5, 4)], MODEL)


def test_a_frames_own_row_numbers_are_no_indices(store):
    """`reset_index()` writes a column of that name: taken for places of samples, all but the first would be lost."""
    with pytest.raises(StoreError, match="counts the rows") as caught:
        store.ingest(PUBLISHED.reset_index(), MODEL)
    assert "drop it" in caught.value.mend
    assert store.ingest(PUBLISHED.iloc[:4].reset_index(), MODEL).added == 4  # of one prompt it is the same


def test_samples_of_several_models_are_not_mixed(store):
    """One call for each of them; a column that names one model is left alone."""
    with pytest.raises(StoreError, match="names 2 models") as caught:
        store.ingest(PUBLISHED.assign(model=["a", "b"] * 4), MODEL)
    assert "groupby('model')" in caught.value.mend
    assert store.ingest(PUBLISHED.assign(model="a"), MODEL).unused == ["gold", "model"]


def test_an_error_of_the_users_function_is_theirs(store):
    """It comes as it is, with a note that names the row."""
    with pytest.raises(KeyError) as caught:
        store.ingest([FINE], MODEL, messages=lambda row: row["prompt"])
    assert "row 0" in caught.value.__notes__[0]
    with pytest.raises(StoreError, match="is no list of messages"):
        store.ingest([FINE], MODEL, messages=lambda row: row["question"])


# --- files ---

ROWS = [{"question": 'Is "a, b" one?\n', "text": "NA", "tokens": "3"}, {"question": "q", "text": "", "tokens": ""}]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.csv.gz", "a.jsonl.gz"])
def test_a_file_is_read_as_it_is(store, tmp_path, name):
    """Quotes and line ends in cells, texts that read like nothing, a byte order mark; an empty text is a sample."""
    path, frame = tmp_path / name, pandas.DataFrame(ROWS)
    if ".json" in name:
        frame.to_json(path, orient="records", lines="jsonl" in name)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",", encoding="utf-8-sig")
    told = store.ingest(path, MODEL)
    assert (told.added, told.unused) == (2, [])
    assert {(s.text, s.usage.completion_tokens) for s in samples(store)} == {("NA", 3), ("", 0)}
    assert {request.messages[0]["content"] for request in store.requests()} == {row["question"] for row in ROWS}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "question,text\na,b,c,d\n", "more cells"),
        ("a.csv", b"question,text\na,\xff\n", "utf-8"),
        ("a.csv", "", "No columns"),
        ("a.jsonl", '{"question": "a", "text": "b"}\n{"question": \n', "line 2"),
        ("a.jsonl", '["a"]\n', "line 1: no JSON object"),
        ("a.jsonl", '{"rtk_recording":1,"adapters":[],"dspy":"3","rtk":"0"}\n', "recording of rtk"),
        ("a.json", '{"question": "a"}', "no list"),
        ("a.jsonl.gz", b"not packed", "gzip"),
        ("a.xls", "x", "by its name"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(store, tmp_path, name, content, told):
    """It names the file and, where there is one, the line; nothing is stored."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=told) as caught:
        store.ingest(str(path), MODEL)
    assert caught.value.mend
    assert store.count() == 0


def test_a_file_that_is_not_there_is_an_error(store, tmp_path):
    """And so is a table that is none."""
    with pytest.raises(StoreError, match="No such file"):
        store.ingest(tmp_path / "a.csv", MODEL)
    for wrong in ({"question": ["q"], "text": ["t"]}, 5, None, [["q", "t"]], b"question,text"):
        with pytest.raises(StoreError, match="no table of samples") as caught:
            store.ingest(wrong, MODEL)
        assert "list of dicts" in caught.value.mend
    assert store.ingest([], MODEL).added == 0
    with pytest.raises(StoreError, match="names no model"):
        store.ingest(PUBLISHED, model="")
