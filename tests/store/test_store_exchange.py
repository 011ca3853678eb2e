"""Samples out of a store and into another: the same bytes, nothing lost, conflicts reported, keys kept in."""

import gzip
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rtk
from rtk.errors import RecordingError
from rtk.samples import Request, Sample, Stream, Usage, addresses
from rtk.store import SampleStore, verified


def request(question):
    return Request.of("openai/m", [{"role": "user", "content": question}], {"temperature": 0.7})


def sample(asked, index, text, stream=0, served="m"):
    (address,) = addresses(asked, Stream(stream), index, 1)
    return Sample(address, text, Usage(3, 5, None, 0.25), served_model=served, finish_reason="stop")


def filled(path, entries):
    store = SampleStore(path)
    for question, index, text, stream in entries:
        store.write(request(question), [sample(request(question), index, text, stream)])
    return store


ENTRIES = [(f"q{i % 3}", i // 3, f"text {i}", i % 2) for i in range(30)]
entries = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.text(max_size=30), st.integers(0, 11)),
    max_size=25,
    unique_by=lambda entry: (entry[0], entry[1], entry[3]),
)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_the_same_samples_give_the_same_bytes(tmp_path, name):
    """Whatever the order in which they were drawn."""
    shuffled = random.Random(1).sample(ENTRIES, len(ENTRIES))
    one = filled(tmp_path / "one", ENTRIES).export(tmp_path / name)
    two = filled(tmp_path / "two", shuffled).export(tmp_path / f"2{name}")
    assert one.read_bytes() == two.read_bytes()
    assert len((gzip.open if name.endswith("gz") else open)(one, "rb").readlines()) == 1 + 3 + 30


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries)
def test_what_leaves_comes_back(tmp_path_factory, found):
    """A store merged from an export holds the same samples, and exports the same file."""
    folder = tmp_path_factory.mktemp("round")
    store = filled(folder / "a", [entry for entry in found if entry[2].isprintable()])
    path = store.export(folder / "out.jsonl")
    other = SampleStore(folder / "b")
    merged = other.merge(path)
    assert (merged.added, merged.there, merged.conflicts) == (store.count(), 0, [])
    assert other.export(folder / "again.jsonl").read_bytes() == path.read_bytes()
    assert other.merge(path).there == store.count()
    assert verified(path).samples == other.verify().samples == store.count()


def test_an_export_is_a_recording(tmp_path):
    """`rtk.recording` replays it, and a recording merges into a store."""
    store = filled(tmp_path / "one", ENTRIES)
    path = store.export(tmp_path / "out.jsonl")
    with rtk.recording(path, mode="replay") as replay:
        assert len(replay) == 30


def test_some_of_them(tmp_path):
    """`where` sees the request and the sample; a request of which nothing leaves is left out."""
    store = filled(tmp_path / "one", ENTRIES)
    path = store.export(tmp_path / "out.jsonl", where=lambda asked, one: "q1" in asked.body and one.address.index < 2)
    assert str(verified(path)) == "2 samples of 1 requests"


def test_a_conflict_is_reported_and_the_first_writer_stays(tmp_path):
    """Same address, other text: what was there first is there after."""
    path = filled(tmp_path / "one", [("q", 0, "theirs", 0), ("q", 1, "new", 0)]).export(tmp_path / "out.jsonl")
    mine = filled(tmp_path / "two", [("q", 0, "mine", 0)])
    merged = mine.merge(path)
    assert [address.index for address in merged.conflicts] == [0]
    assert "1 in conflict, the first kept" in str(merged)
    assert [one.text for one in mine.samples(request("q").key)] == ["mine", "new"]


def test_samples_of_another_model_stay_out(tmp_path):
    """A request that two models answered under one name is reported, and its samples are not mixed."""
    other = SampleStore(tmp_path / "one")
    other.write(request("q"), [sample(request("q"), 1, "theirs", served="another")])
    other.write(request("p"), [sample(request("p"), 0, "fine")])
    mine = filled(tmp_path / "two", [("q", 0, "mine", 0)])
    merged = mine.merge(other.export(tmp_path / "out.jsonl"))
    assert (merged.added, merged.other_models) == (1, [request("q").key])


KEYS = [
    "sk-proj-" + "a1B2" * 8, "hf_" + "x" * 34, "AIza" + "b" * 35, "AKIA" + "A1" * 8, "ASIA" + "A1" * 8,
    *(f"gh{kind}_" + "c3" * 18 for kind in "pousr"), "github_pat_" + "d" * 60, "xoxb-" + "e" * 20, "gsk_" + "f" * 40,
    "Bearer " + "t0k" * 9, "-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_stops_an_export(tmp_path, key):
    """The line is named and the key is not; no file is written, and an old one stays as it was."""
    store = filled(tmp_path / "one", [("a", 0, "fine", 0), ("b", 0, f"use {key} here", 0)])
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(RecordingError, match=r"line \d+ would hold what looks like") as caught:
        store.export(path)
    assert key not in str(caught.value)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["out.jsonl"]


def test_an_unsound_file_adds_nothing(tmp_path):
    """A merge reads the whole file before it writes."""
    path = filled(tmp_path / "one", ENTRIES).export(tmp_path / "out.jsonl")
    path.write_text(path.read_text().replace("text 29", "text 30"))
    mine = SampleStore(tmp_path / "two")
    with pytest.raises(RecordingError, match="checksum"):
        mine.merge(path)
    assert mine.count() == 0


def test_a_store_is_verified_entry_by_entry(tmp_path):
    """Damaged entries are counted by their rows; the others are sound."""
    store = filled(tmp_path / "one", ENTRIES)
    with store._using("damage"), store._database.transact():
        row = store._database.keys("sample:", "sample;", 1)[0]
        store._database.set(row, "no sample")
    found = store.verify()
    assert (found.requests, found.samples, found.damaged) == (3, 29, (row,))
    assert str(found) == "29 samples of 3 requests, 1 damaged"


def test_a_request_is_removed_with_its_samples(tmp_path):
    """And nothing else; asked for again, it is as if it had never been drawn."""
    store = filled(tmp_path / "one", ENTRIES)
    assert store.remove(request("q1").key) == 10
    assert [one.messages[0]["content"] for one in store.requests()] == sorted(
        ["q0", "q2"], key=lambda question: request(question).key
    )
    assert store.count() == store.verify().samples == 20
    assert store.remove(request("q1").key) == 0
    store.write(request("q1"), [sample(request("q1"), 0, "new", served="another model")])
    assert store.count() == 21
