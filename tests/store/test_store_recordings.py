"""Recordings: what is in their file, what their modes mean, and where they are looked for."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rtk
import rtk.shipped
from rtk.errors import RecordingError, ServedModelChanged, UnsupportedParameter
from rtk.samples import Address, Missing, Request, Sample, Stream, Usage, addresses
from rtk.store import current_recording

pytestmark = pytest.mark.usefixtures("nothing_in_force")


def a_request(prompt="2+2?", **options):
    return Request.of("openai/small", [{"role": "user", "content": prompt}], {"temperature": 0.7, **options})


def drawn(request, count, stream=None, start=0, text="text", **more):
    where = addresses(request, stream or Stream(), start, count)
    return [(request, Sample(address, f"{text} {address.index}", **more)) for address in where]


def failed(request, index, kind="timeout", reason=""):
    return [(request, Missing(Address(request.key, "0", index), kind, reason))]


def note(recording, entries):
    for request, content in entries:
        recording.note(request, content, "ChatAdapter")


def record(path, entries, mode="auto"):
    """A recording of these entries, written."""
    with rtk.recording(path, mode) as recording:
        note(recording, entries)
    return recording.path


def held(path, entries):
    """What a file holds at the addresses of some entries, in their order; None for nothing."""
    with rtk.recording(path, mode="replay") as recording:
        found = recording.find([content.address for _, content in entries])
    return [found.get(content.address) for _, content in entries]


def contents(entries):
    return [content for _, content in entries]


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


REQUEST, OTHER = a_request(), a_request("3+3?")
ENTRIES = [*drawn(REQUEST, 3), *drawn(OTHER, 2, Stream(1)), *failed(REQUEST, 7), *drawn(REQUEST, 1, Stream(0, (2,)))]


# --- what is in it ---


def test_the_first_line_says_what_the_file_is(tmp_path):
    """Format, versions and adapters; then each request, and below it what it brought."""
    head, *rest = lines(record(tmp_path / "a.jsonl", ENTRIES))
    assert head.keys() == {"rtk_recording", "adapters", "dspy", "rtk"}
    assert (head["rtk_recording"], head["adapters"]) == (1, ["ChatAdapter"])
    assert {"request": REQUEST.value} in rest
    assert {"address": [REQUEST.key, "0", 7], "missing": "timeout"} in rest
    assert [line["sample"]["text"] for line in rest[rest.index({"request": OTHER.value}) :][1:3]] == [
        "text 0",
        "text 1",
    ]


def test_the_lines_are_in_order(tmp_path):
    """Requests by key; below each its entries by stream and index, whatever came first."""
    entries = [*drawn(REQUEST, 12), *drawn(REQUEST, 2, Stream(1)), *drawn(OTHER, 2), *failed(REQUEST, 5)]
    _, *rest = lines(record(tmp_path / "a.jsonl", reversed(entries)))
    keys = [Request.of(**line["request"]).key for line in rest if "request" in line]
    assert keys == sorted({REQUEST.key, OTHER.key})
    places = [tuple(line["sample"]["address"]) for line in rest if "sample" in line]
    assert places == sorted(places)
    assert len(places) == 16


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
streams = st.builds(
    Stream, st.integers(0, 2), st.lists(st.integers(0, 2), max_size=2).map(tuple), st.sampled_from([0, 0, 7])
)


@st.composite
def some_entries(draw):
    """Entries at addresses of their own: samples with anything in them, and failures."""
    requests = [a_request(text) for text in draw(st.lists(texts, min_size=1, max_size=3, unique=True))]
    places = st.tuples(st.sampled_from(requests), streams.map(str), st.integers(0, 12))
    entries = []
    for request, stream, index in draw(
        st.lists(places, max_size=12, unique_by=lambda place: (place[0].key, *place[1:]))
    ):
        address = Address(request.key, stream, index)
        usage = st.builds(
            lambda *of: Usage(*of), st.integers(0, 99), st.integers(0, 99), st.none() | st.floats(0, 9), st.floats(0, 9)
        )
        sample = st.builds(
            lambda *of: Sample(*of),
            st.just(address),
            texts,
            usage,
            st.none() | texts,
            st.none() | texts,
            st.lists(texts, max_size=2),
        )
        entries.append((request, draw(sample | st.builds(Missing, st.just(address), texts))))
    return entries


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=some_entries(), data=st.data())
def test_equal_content_is_equal_bytes(tmp_path_factory, entries, data):
    """Whatever the order of arrival, in however many sittings, and packed or not."""
    folder = tmp_path_factory.mktemp("bytes")
    shuffled, cut = data.draw(st.permutations(entries)), data.draw(st.integers(0, len(entries)))
    one, two = record(folder / "one.jsonl.gz", entries), record(folder / "two.jsonl.gz", shuffled)
    record(folder / "plain.jsonl", shuffled[:cut])
    plain = record(folder / "plain.jsonl", shuffled[cut:])
    assert not entries or (one.read_bytes(), gzip.decompress(one.read_bytes())) == (
        two.read_bytes(),
        plain.read_bytes(),
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=some_entries(), packed=st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, entries, packed):
    """Samples, failures and their number, after one round and after two."""
    path = tmp_path_factory.mktemp("round") / ("a.jsonl.gz" if packed else "a.jsonl")
    for _ in range(2 if entries else 0):
        record(path, entries, mode="record")
        assert held(path, entries) == contents(entries)
        assert len(rtk.recording(path, mode="replay")) == sum(isinstance(one, Sample) for _, one in entries)


def test_a_packed_file_does_not_say_when_it_was_written(tmp_path):
    """Else the same content would be other bytes a second later."""
    assert record(tmp_path / "a.jsonl.gz", ENTRIES).read_bytes()[4:8] == bytes(4)


def test_deadlines_are_read_back_in_their_turn(tmp_path):
    """The second ask that comes to a place is stopped as the second one was; other seconds are other deadlines."""
    place, behind = (sample.address for _, sample in drawn(REQUEST, 2))
    path = tmp_path / "a.jsonl.gz"
    with rtk.recording(path) as recording:
        recording.note_given([place], [1.5, 60.0])
        recording.note_stop(REQUEST, place, 1.5, True, {9, 4}, "ChatAdapter")
        recording.note_stop(REQUEST, behind, 60.0, False, (), "ChatAdapter")
    with rtk.recording(path, mode="replay") as replay:
        assert replay.stopped(place, [1.5, 60.0]) is None
        replay.note_given([place], [1.5])
        stop = replay.stopped(place, [60.0, 1.5])
        assert (stop.seconds, stop.called, stop.beyond, stop.turn) == (1.5, True, (4, 9), 1)
        replay.note_stop(REQUEST, place, 1.5, True, (), "ChatAdapter")
        assert replay.stopped(place, [1.5]) is None
        assert replay.stopped(behind, [60.0]).called is False
        assert replay.stopped(behind, [1.5, 2.0]) is None
    with rtk.recording(path) as recording:
        assert recording.stopped(behind, [60.0]) is None


def test_of_a_failure_only_its_kind_is_kept(tmp_path):
    """A reason is the server's own words, which may hold anything."""
    path = record(tmp_path / "a.jsonl", failed(REQUEST, 0, "status_500", "sk-secret at http://10.0.0.1:99"))
    assert "secret" not in path.read_text()
    assert held(path, failed(REQUEST, 0)) == [Missing(Address(REQUEST.key, "0", 0), "status_500")]


def test_the_first_sample_stays_and_one_that_comes_after_all_replaces_a_failure(tmp_path):
    """`note` says what is at the address from now on."""
    with rtk.recording(tmp_path / "a.jsonl") as recording:
        (first,), (second,), (lost,) = drawn(REQUEST, 1), drawn(REQUEST, 1, text="later"), failed(REQUEST, 0)
        assert recording.note(*lost, "ChatAdapter") == lost[1]
        assert recording.note(*first, "ChatAdapter") == first[1]
        assert recording.note(*second, "ChatAdapter") == first[1]
        assert recording.note(*lost, "ChatAdapter") == first[1]
        assert len(recording) == 1
    assert held(recording.path, [second]) == [first[1]]


def test_samples_of_two_models_are_not_mixed(tmp_path):
    """A second name under one request is refused, and nothing of it is kept; another request has its own."""
    path = record(tmp_path / "a.jsonl", drawn(REQUEST, 2, served_model="one"))
    with rtk.recording(path) as recording:
        with pytest.raises(ServedModelChanged) as caught:
            note(recording, drawn(REQUEST, 1, start=2, served_model="two"))
        assert 'revision="two"' in caught.value.mend
        note(recording, [*drawn(REQUEST, 1, start=3), *drawn(OTHER, 1, served_model="two")])
    assert len(rtk.recording(path)) == 4


def test_a_sample_that_no_file_can_carry_is_refused_alone(tmp_path):
    """A lone surrogate raises where it is noted, and the rest is written."""
    with rtk.recording(tmp_path / "a.jsonl") as recording:
        with pytest.raises(UnsupportedParameter):
            recording.note(REQUEST, Sample(Address(REQUEST.key, "0", 5), "\ud800"), "ChatAdapter")
        note(recording, drawn(REQUEST, 2))
    assert held(recording.path, drawn(REQUEST, 2)) == contents(drawn(REQUEST, 2))


# --- modes ---


def test_auto_adds_to_the_file_and_record_keeps_what_was_asked_for(tmp_path):
    """What `record` does not meet is gone; what it finds in the old file is taken over."""
    path = record(tmp_path / "a.jsonl", drawn(REQUEST, 2))
    record(path, drawn(OTHER, 1))
    assert len(rtk.recording(path, mode="replay")) == 3
    with rtk.recording(path, mode="record") as recording:
        (found,) = recording.find([drawn(REQUEST, 1)[0][1].address]).values()
        assert len(recording) == 0
        recording.note(REQUEST, found, "ChatAdapter")
    assert held(path, [*drawn(REQUEST, 2), *drawn(OTHER, 1)]) == [found, None, None]


def test_failures_are_told_in_a_replay_only(tmp_path):
    """In `auto` they are asked for again."""
    path = record(tmp_path / "a.jsonl", failed(REQUEST, 0))
    for mode, expected in [("replay", 1), ("auto", 0), ("record", 0)]:
        with rtk.recording(path, mode) as recording:
            assert len(recording.find([Address(REQUEST.key, "0", 0)])) == expected


def test_a_replay_changes_nothing(tmp_path):
    """Whatever is noted."""
    path = record(tmp_path / "a.jsonl", drawn(REQUEST, 1))
    before = path.read_bytes()
    record(path, drawn(OTHER, 3), mode="replay")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_is_new_nothing_is_written(tmp_path):
    """Reading a file in `auto` leaves it untouched."""
    path = record(tmp_path / "a.jsonl", ENTRIES)
    before = path.stat()
    record(path, ENTRIES)
    assert path.stat() == before


def test_a_replay_without_a_file_says_so(tmp_path):
    """And what to type."""
    with pytest.raises(RecordingError, match="there is no recording") as caught:
        rtk.recording(tmp_path / "none.jsonl", mode="replay")
    assert "mode='auto'" in caught.value.mend
    assert current_recording() is None


@pytest.mark.parametrize(("wanted", "mode"), [("replay", "replay"), ("record", "record"), ("", "auto"), ("x", "auto")])
def test_the_environment_says_what_auto_means(tmp_path, monkeypatch, wanted, mode):
    """`RTK_RECORDING`; a mode that is written out stays, and the mend of a replay that was not asked for names it."""
    record("study", drawn(REQUEST, 1))
    monkeypatch.setenv("RTK_RECORDING", wanted)
    assert rtk.recording("study").mode == mode
    assert [rtk.recording("study", mode=one).mode for one in ("replay", "record")] == ["replay", "record"]
    if mode == "replay":
        with pytest.raises(RecordingError) as caught:
            rtk.recording("another")
        assert "RTK_RECORDING" in caught.value.mend


def test_recording_anew_by_the_environment_makes_a_new_file(tmp_path, monkeypatch):
    """`RTK_RECORDING=record` keeps what is asked for from then on, and drops the rest of the old file."""
    record("study", ENTRIES)
    monkeypatch.setenv("RTK_RECORDING", "record")
    record("study", drawn(REQUEST, 1))
    assert len(lines(tmp_path / "study.jsonl")) == 3


@pytest.mark.parametrize("mode", ["Replay", "", None, "live"])
def test_an_unknown_mode_is_refused(mode):
    """With the names of those there are."""
    with pytest.raises(RecordingError) as caught:
        rtk.recording("study", mode=mode)
    assert "auto, replay, record" in caught.value.mend


# --- where it is ---


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a\0b", "x" * 300, None, 5, b"study", ["a"]])
def test_what_names_no_file_is_refused(name):
    """One error, whatever the system says of such a name."""
    with pytest.raises(RecordingError, match="names no recording") as caught:
        rtk.recording(name)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("given", "path"),
    [("study", "study.jsonl"), ("study.v2", "study.v2.jsonl"), ("a/study", "a/study.jsonl"), (Path("a"), "a.jsonl"),
     ("study.jsonl", "study.jsonl"), ("./study.jsonl.gz", "study.jsonl.gz"), ("a/b/../s", "a/s.jsonl")],
)  # fmt: skip
def test_a_name_stands_for_one_file(tmp_path, given, path):
    """A stem is a file of the working folder; a path is itself, with the suffix where it lacks one."""
    assert record(given, drawn(REQUEST, 1)) == tmp_path / path
    assert (tmp_path / path).is_file()


def test_a_home_folder_is_filled_in(tmp_path, monkeypatch):
    """`~` is the user's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert record("~/study", drawn(REQUEST, 1)) == tmp_path / "home" / "study.jsonl"


def test_a_path_is_kept_when_the_working_folder_changes(tmp_path, monkeypatch):
    """What a recording writes to is settled when it begins."""
    with rtk.recording("study") as recording:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        note(recording, drawn(REQUEST, 1))
    assert (tmp_path / "study.jsonl").is_file()


def test_a_link_goes_on_pointing_to_its_file(tmp_path):
    """The file behind it grows."""
    path = record(tmp_path / "shared.jsonl", drawn(REQUEST, 1))
    (tmp_path / "study.jsonl").symlink_to(path)
    record("study", drawn(REQUEST, 2))
    assert (tmp_path / "study.jsonl").is_symlink()
    assert held(path, drawn(REQUEST, 2)) == contents(drawn(REQUEST, 2))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An rtk whose recordings lie in a folder of the test's: `shipped(installed)` gives it."""

    def make(installed):
        root = tmp_path / "rtk"
        folder = root / "package" / "_shipped" / "cache" if installed else root / "cache"
        folder.mkdir(parents=True)
        if not installed:
            (root / "pyproject.toml").write_text('[project]\nname = "rtk-inference"\n')
        monkeypatch.setattr(rtk.shipped, "_HERE", root / "package")
        return folder

    return make


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_stem_is_looked_for_here_and_then_among_what_is_shipped(tmp_path, shipped, installed, suffix):
    """The working folder's own file wins; a path with the suffix is never looked for elsewhere."""
    folder = shipped(installed)
    record(folder / f"study{suffix}", drawn(REQUEST, 1, text="shipped"))
    assert held("study", drawn(REQUEST, 1)) == contents(drawn(REQUEST, 1, text="shipped"))
    with pytest.raises(RecordingError, match="there is no recording"):
        rtk.recording(f"study{suffix}", mode="replay")
    record(tmp_path / f"study{suffix}", drawn(REQUEST, 1, text="mine"))
    assert held("study", drawn(REQUEST, 1)) == contents(drawn(REQUEST, 1, text="mine"))


def test_what_an_installed_rtk_brings_is_not_changed(tmp_path, shipped):
    """A shipped recording that grows is written whole into the working folder."""
    path = record(shipped(installed=True) / "study.jsonl", drawn(REQUEST, 2))
    before = path.read_bytes()
    assert record("study", drawn(REQUEST, 2)) == tmp_path / "study.jsonl"
    assert not (tmp_path / "study.jsonl").exists()
    record("study", drawn(REQUEST, 3))
    assert path.read_bytes() == before
    assert held(tmp_path / "study.jsonl", drawn(REQUEST, 3)) == contents(drawn(REQUEST, 3))


def test_in_a_checkout_shipped_recordings_grow_in_place(tmp_path, shipped, monkeypatch):
    """Old ones from wherever one works, new ones from within the checkout."""
    folder = shipped(installed=False)
    record(folder / "study.jsonl", drawn(REQUEST, 1))
    assert record("study", drawn(REQUEST, 2)) == folder / "study.jsonl"
    assert record("new", drawn(REQUEST, 2)) == tmp_path / "new.jsonl"
    monkeypatch.chdir(folder.parent)
    assert record("newer", drawn(REQUEST, 2)) == folder / "newer.jsonl"
