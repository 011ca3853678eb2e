"""What may happen to a recording's file: damage, a disk that is full, a writer that dies, others that write too."""

import gzip
import json
import os
import signal
import threading

import pytest
from recorded import FORK, POSIX, REQUEST, drawn, forked, held, note, record

import rtk
from rtk.errors import RecordingError
from rtk.samples import Address, Missing, Sample, Stream
from rtk.store import current_recording

pytestmark = [
    pytest.mark.usefixtures("nothing_in_force"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


# --- damage ---

HEAD = {"rtk_recording": 1, "adapters": ["ChatAdapter"], "dspy": "3", "rtk": "0"}
ASKED = {"request": REQUEST.value}
WHERE = [REQUEST.key, "0", 3]
SAMPLE = json.loads(drawn(1)[0].to_json())


def changed(**fields):
    return [HEAD, ASKED, {"sample": {**SAMPLE, **fields}}]


def signed(**fields):
    """A sample that is wrong in a way that its checksum does not tell."""
    sample = Sample(**{"address": Address(*WHERE), "text": "t", **fields})
    return [HEAD, ASKED, {"sample": json.loads(sample.to_json())}]


def stopped(**fields):
    return [HEAD, ASKED, {"stopped": 1, "address": WHERE, "called": True, "beyond": [5], "turn": 0, **fields}]


DAMAGED = {
    # the first line
    "another program's file": ([{"a": 1}], 1, "no recording of rtk"),
    "no head": ([ASKED], 1, "no recording of rtk"),
    "a later format": ([{**HEAD, "rtk_recording": 2}], 1, "this rtk reads 1"),
    "a format that is no number": ([{**HEAD, "rtk_recording": "new"}], 1, "this rtk reads 1"),
    "adapters that are no list": ([{**HEAD, "adapters": "ChatAdapter"}], 1, "adapters"),
    "adapters that are no texts": ([{**HEAD, "adapters": [1]}], 1, "adapters"),
    "a version that is no text": ([{**HEAD, "dspy": 3}], 1, "dspy"),
    "no version": ([{"rtk_recording": 1, "adapters": []}], 1, "dspy"),
    # lines that are none
    "text": ([HEAD, b"hello"], 2, "no JSON"),
    "a list": ([HEAD, [1]], 2, "no JSON object"),
    "an empty line": ([HEAD, b"", ASKED], 2, "no JSON"),
    "half a line": ([HEAD, json.dumps(ASKED).encode()[:-9]], 2, "no JSON"),
    "a conflict of git's": ([HEAD, b"<<<<<<< HEAD", ASKED], 2, "no JSON"),
    "bytes": ([HEAD, b"\xff\xfe\x00"], 2, ""),
    "a packed file under a plain name": ([gzip.compress(b"{}")], 1, ""),
    "an abyss": ([HEAD, b"[" * 100_000], 2, ""),
    "an abyss in a request": ([HEAD, b'{"request":' + b'{"a":' * 5000 + b"1" + b"}" * 5001], 2, ""),
    "NaN": ([HEAD, b'{"stopped": NaN}'], 2, "NaN"),
    "infinity": ([HEAD, b'{"request": {"a": -Infinity}}'], 2, "Infinity"),
    "a number beyond all": ([HEAD, ASKED, {"stopped": 10**400, "address": WHERE}], 3, ""),
    "something else": ([HEAD, {"note": "hello"}], 2, "neither"),
    "two files in one": ([HEAD, ASKED, HEAD], 3, "neither"),
    # requests
    "a request that is none": ([HEAD, {"request": 5}], 2, "request"),
    "a request without a temperature": ([HEAD, {"request": {"model": "m", "options": {}}}], 2, "request"),
    "a request twice": ([HEAD, ASKED, ASKED], 3, "second time"),
    # entries
    "a sample before its request": ([HEAD, {"sample": SAMPLE}], 2, "no request above"),
    "a failure before its request": ([HEAD, {"missing": "timeout", "address": WHERE}], 2, "no request above"),
    "a sample twice": ([HEAD, ASKED, {"sample": SAMPLE}, {"sample": SAMPLE}], 4, "second entry"),
    "a failure twice": ([HEAD, ASKED, *[{"missing": "timeout", "address": WHERE}] * 2], 4, "second entry"),
    "a stop twice": ([*stopped(), stopped(beyond=[])[2]], 4, "second entry"),
    "a failure and a sample": (
        [HEAD, ASKED, {"missing": "x", "address": SAMPLE["address"]}, {"sample": SAMPLE}], 4, "second entry"
    ),
    "a changed text": (changed(text="five"), 3, "checksum"),
    "a changed address": (changed(address=WHERE), 3, "checksum"),
    "a sample of another schema": (changed(schema=2), 3, "schema 2"),
    "a sample that is a list": ([HEAD, ASKED, {"sample": [1]}], 3, "no JSON object"),
    "a reasoning that is no text": (signed(reasoning=5), 3, "reasoning"),
    "a model that is no text": (signed(served_model=["a"]), 3, "served_model"),
    "an address of nothing": (signed(address=Address("k", "0", 0)), 3, "no address"),
    "an index below 0": ([HEAD, ASKED, {"missing": "x", "address": [REQUEST.key, "0", -1]}], 3, "no address"),
    "a stream that is none": ([HEAD, ASKED, {"missing": "x", "address": [REQUEST.key, "../..", 0]}], 3, "no address"),
    "an index that is true": ([HEAD, ASKED, {"missing": "x", "address": [REQUEST.key, "0", True]}], 3, "address"),
    "an address in words": ([HEAD, ASKED, {"missing": "x", "address": "abc"}], 3, "address"),
    "no address": ([HEAD, ASKED, {"missing": "x"}], 3, "address"),
    "a failure that is a number": ([HEAD, ASKED, {"missing": 1.0, "address": WHERE}], 3, "missing"),
    "a stop in words": (stopped(stopped="1"), 3, "stopped"),
    "a stop that is true": (stopped(stopped=True), 3, "stopped"),
    "a stop before the start": (stopped(stopped=-1), 3, "stopped"),
    "a stop without a turn": (stopped(turn=None), 3, "turn"),
    "a stop that is not called": (stopped(called="yes"), 3, "called"),
    "a stop beyond words": (stopped(beyond=["a"]), 3, "beyond"),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "replay", "record"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_one_error_that_names_the_line(tmp_path, kind, mode):
    """It says what is wrong and what to do, nothing of the file is used, and no byte of it changes."""
    wrong, number, told = DAMAGED[kind]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in wrong))
    before = path.read_bytes()
    with pytest.raises(RecordingError, match=f"line {number}: ") as caught:
        rtk.recording(path, mode)
    assert type(caught.value) is RecordingError
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert "record" in caught.value.mend or "newer rtk" in caught.value.mend
    assert len(str(caught.value)) < 500
    assert path.read_bytes() == before
    assert current_recording() is None


def test_what_a_table_of_damage_starts_from_is_whole(tmp_path):
    """The lines that are damaged above are read without it; ends of lines may be those of Windows."""
    path = tmp_path / "a.jsonl"
    path.write_text("\r\n".join(json.dumps(line) for line in [*signed(), stopped()[2]]), "utf-8")
    assert len(rtk.recording(path, mode="replay")) == 1


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.99])
def test_a_packed_file_that_is_cut_off_is_damage(tmp_path, cut):
    """Wherever it ends."""
    path = record(tmp_path / "a.jsonl.gz", drawn(200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(RecordingError, match=r"cannot read .*a\.jsonl\.gz after line \d+") as caught:
        rtk.recording(path)
    assert caught.value.mend


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_an_empty_file_is_no_recording(tmp_path, name):
    """It may be what is left of one, so it is not quietly written over."""
    (tmp_path / name).touch()
    with pytest.raises(RecordingError, match="empty") as caught:
        rtk.recording(tmp_path / name)
    assert "remove it" in caught.value.mend


@pytest.mark.parametrize("name", ["a.jsonl", "a"])
@pytest.mark.parametrize("mode", ["auto", "replay", "record"])
def test_a_folder_in_its_place_is_an_error_at_once(tmp_path, name, mode):
    """Not only when something is to be written."""
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(RecordingError, match="Is a directory"):
        rtk.recording(name, mode)


def test_an_endless_line_is_not_read_whole(tmp_path, monkeypatch):
    """A line beyond the longest that rtk writes is an error."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(HEAD) + "\n")
    with path.open("ab") as file:
        file.truncate(2**28)
    with pytest.raises(RecordingError, match="line 2: longer than 128 MiB"):
        rtk.recording(path)


# --- a disk that cannot be written ---


@POSIX
def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path):
    """Nothing is left behind, and when there is room again the same recording is written."""
    path = record(tmp_path / "a.jsonl", drawn(1))
    before = path.read_bytes()

    def work():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        recording = rtk.recording(path)
        note(recording, drawn(100))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
        with pytest.raises(RecordingError, match="cannot write the recording") as caught:
            recording.save()
        told = path.read_bytes() == before, [file.name for file in tmp_path.iterdir()], caught.value.mend
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        recording.stop()
        return told

    unchanged, files, mend = forked(work)
    assert unchanged
    assert files == ["a.jsonl"]
    assert "free some space" in mend
    assert held(path, drawn(100)) == drawn(100)


@pytest.mark.parametrize("step", ["fsync", "mkdir", "replace"])
def test_an_error_of_the_disk_is_an_error_with_a_mend(tmp_path, monkeypatch, step):
    """Whichever step it comes in, no half-written file stays, and `stop` may be called again."""

    def fail(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    recording = rtk.recording(tmp_path / "new" / "a.jsonl")
    note(recording, drawn(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(RecordingError, match="Read-only file system") as caught:
            recording.stop()
        assert caught.value.mend
    assert list(tmp_path.rglob("*.*")) == []
    recording.stop()
    assert held(recording.path, drawn(2)) == drawn(2)


@pytest.mark.parametrize("folder", ["file", "/proc"])
def test_a_place_that_takes_no_file_is_an_error(tmp_path, folder):
    """A folder that is a file, or one that nobody may write to; the program inside the block has run."""
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="cannot write"):
        record(f"{folder}/a.jsonl", drawn(1))
    assert current_recording() is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_files_and_folders_that_one_may_not_use(tmp_path):
    """Reading and writing say so."""
    path = record(tmp_path / "locked" / "a.jsonl", drawn(1))
    path.parent.chmod(0o500)
    try:
        with pytest.raises(RecordingError, match="Permission denied"):
            record(path, drawn(2))
        path.chmod(0)
        with pytest.raises(RecordingError, match="Permission denied"):
            rtk.recording(path)
    finally:
        path.parent.chmod(0o700)


# --- several writers ---


@POSIX
def test_a_writer_that_dies_in_the_middle_leaves_the_old_file(tmp_path):
    """Killed with the new one half on the disk; the next writer is not disturbed by what it left."""
    path = record(tmp_path / "a.jsonl", drawn(1))
    before = path.read_bytes()

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def work():
        os.fsync = die
        record(path, drawn(50))

    assert forked(work) is None
    assert path.read_bytes() == before
    record(path, drawn(2))
    assert held(path, drawn(2)) == drawn(2)


def write_slowly(path, stream, ready):
    recording = rtk.recording(path)
    for index in range(25):
        note(recording, drawn(1, index, Stream(stream)))
        if index == 0:
            ready.wait(60)
        recording.save()
    recording.stop()


@POSIX
def test_processes_that_write_one_file_lose_nothing(tmp_path):
    """Four that add and save in turns: all of it is there in the end."""
    path, ready = tmp_path / "a.jsonl", FORK.Barrier(4)
    writers = [FORK.Process(target=write_slowly, args=(path, stream, ready)) for stream in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert len(rtk.recording(path, mode="replay")) == 100


def test_threads_that_write_one_file_lose_nothing(tmp_path):
    """Each with a recording of its own, all ending at once."""
    path, ready = tmp_path / "a.jsonl", threading.Barrier(8)

    def work(stream):
        with rtk.recording(path) as recording:
            note(recording, drawn(5, 0, Stream(stream)))
            ready.wait(60)

    threads = [threading.Thread(target=work, args=(stream,)) for stream in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(rtk.recording(path, mode="replay")) == 40
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_recording_within_one_of_the_same_file_loses_nothing(tmp_path):
    """What the inner one adds, the outer one finds when it ends; of two failures and samples the better one stays."""
    path = tmp_path / "a.jsonl"
    with rtk.recording(path) as outer:
        outer.note(REQUEST, Missing(Address(REQUEST.key, "0", 3), "timeout"), "ChatAdapter")
        note(outer, drawn(2))
        record(path, [*drawn(4), *drawn(1, 9)])
        note(outer, drawn(1, 5))
    expected = [*drawn(4), *drawn(1, 5), *drawn(1, 9)]
    assert held(path, expected) == expected


def test_a_file_that_was_damaged_meanwhile_is_not_written_over(tmp_path):
    """The error names its line; once it is out of the way, what is new is written."""
    path = record(tmp_path / "a.jsonl", drawn(1))
    recording = rtk.recording(path)
    note(recording, drawn(2))
    path.write_text("<<<<<<< HEAD\n")
    with pytest.raises(RecordingError, match="line 1"):
        recording.stop()
    path.unlink()
    recording.stop()
    assert held(path, drawn(2)) == drawn(2)
