"""Recordings in force: which one holds where, when it is written, at the interpreter's end and after a fork."""

import logging
import subprocess
import sys
import threading
import time

import pytest
from recorded import POSIX, drawn, forked, held, note, record

import rtk
from rtk.errors import RecordingError
from rtk.store import current_recording, recordings

pytestmark = [
    pytest.mark.usefixtures("nothing_in_force"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def until(state, seconds=30.0):
    """Wait until `state()` holds; for what nobody tells."""
    deadline = time.monotonic() + seconds
    while not state():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for a state that did not come")
        time.sleep(0.005)


# --- when it is written ---


@pytest.fixture
def soon(monkeypatch):
    """A recording is written at once, by its own clock."""
    monkeypatch.setattr(recordings, "SOON", 0.0)


def test_it_is_written_without_anybody_ending_it(tmp_path, soon):
    """A moment after something new came, again and again."""
    recording = rtk.recording(tmp_path / "a.jsonl")
    for count in (1, 2, 3):
        note(recording, drawn(count))
        until(lambda count=count: recording.path.exists() and held(recording.path, drawn(count)) == drawn(count))
    assert current_recording() is recording


def test_a_disk_that_fails_meanwhile_is_told_and_tried_again(tmp_path, soon, caplog):
    """The program goes on; the next sample, or the end, writes all."""
    (tmp_path / "folder").touch()
    recording = rtk.recording("folder/a")
    note(recording, drawn(1))
    until(lambda: any("cannot write the recording" in record.getMessage() for record in caplog.records))
    (tmp_path / "folder").unlink()
    note(recording, drawn(2))
    until(recording.path.exists)
    recording.stop()
    assert held(recording.path, drawn(2)) == drawn(2)


SCRIPT = """
import sys
import rtk
from rtk.samples import Address, Request, Sample
from rtk.store import recordings
recordings.SOON = 3600
request = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
recording = rtk.recording(sys.argv[1])
recording.note(request, Sample(Address(request.key, "0", 0), "text 0"), "ChatAdapter")
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise RuntimeError('oops')"])
def test_it_is_written_when_the_interpreter_ends(tmp_path, end):
    """However it ends, and with nobody calling `stop`."""
    subprocess.run([sys.executable, "-c", f"{SCRIPT}\n{end}", tmp_path / "a.jsonl"], stderr=subprocess.DEVNULL)
    assert held(tmp_path / "a.jsonl", drawn(1)) == drawn(1)


def test_a_disk_that_fails_at_the_end_is_told(tmp_path):
    """On standard error, with no traceback."""
    (tmp_path / "folder").touch()
    ended = subprocess.run([sys.executable, "-c", SCRIPT, "folder/a"], capture_output=True, text=True)
    assert "cannot write the recording" in ended.stderr
    assert "Traceback" not in ended.stderr


@POSIX
def test_after_a_fork_only_the_parent_writes(tmp_path):
    """A child may go on asking; even where a thread held the recording at the fork, it does not wait for ever."""
    recording = rtk.recording(tmp_path / "a.jsonl")
    note(recording, drawn(1))

    def work():
        note(recording, drawn(3))
        found = len(recording.find([sample.address for sample in drawn(3)]))
        recording.stop()
        return found, recording.path.exists()

    with recording._saving, recording._lock:
        assert forked(work) == (3, False)
    recording.stop()
    assert held(recording.path, drawn(3)) == [*drawn(1), None, None]


# --- which one is in force ---


def test_the_last_one_called_holds_for_the_process_until_it_is_stopped():
    """In every thread; the one before it then holds again."""
    first, second = rtk.recording("first"), rtk.recording("second")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_recording()))
    thread.start()
    thread.join()
    assert seen == [second]
    second.stop()
    assert current_recording() is first
    first.stop()
    first.stop()
    assert current_recording() is None


def test_as_a_context_it_holds_inside_only():
    """Also within a standing one, within another, with an error, and when it was made before."""
    standing = rtk.recording("standing")

    def fail():
        with rtk.recording("inner") as inner:
            assert current_recording() is inner
            raise ZeroDivisionError

    with rtk.recording("outer") as outer:
        assert current_recording() is outer
        with pytest.raises(ZeroDivisionError):
            fail()
        assert current_recording() is outer
    assert current_recording() is standing
    later = rtk.recording("later")
    for _ in range(2):
        with later, later:
            assert current_recording() is later
        assert current_recording() is standing


def test_the_first_cell_may_be_run_again():
    """A plain call for the same file takes the standing one's place, and what that held is in it at once."""
    first = rtk.recording("study")
    note(first, drawn(2))
    again = rtk.recording("study.jsonl")
    assert len(again) == 2
    note(again, drawn(3))
    assert current_recording() is again
    again.stop()
    assert current_recording() is None
    assert held("study", drawn(3)) == drawn(3)


def test_what_was_under_way_when_the_first_cell_was_run_again_is_kept(soon):
    """A sample that lands in the one that was replaced is written too."""
    first = rtk.recording("study")
    again = rtk.recording("study")
    note(first, drawn(1))
    until(first.path.exists)
    note(again, drawn(1, 1))
    again.stop()
    assert held("study", drawn(2)) == drawn(2)


def test_a_context_on_a_standing_file_does_not_end_it():
    """A replay of what was recorded so far, in the middle of recording; afterwards recording goes on."""
    standing = rtk.recording("study")
    note(standing, drawn(2))
    with rtk.recording("study", mode="replay") as replay:
        assert len(replay) == 2
    assert current_recording() is standing
    note(standing, drawn(3))
    standing.stop()
    assert held("study", drawn(3)) == drawn(3)


def test_a_call_that_fails_leaves_the_standing_one(tmp_path):
    """A wrong name or mode in a cell that is run again costs nothing."""
    standing = rtk.recording("study")
    for wrong in (lambda: rtk.recording("study", mode="reply"), lambda: rtk.recording("study", mode="replay")):
        with pytest.raises(RecordingError):
            wrong()
    assert current_recording() is standing


def test_nothing_is_said_where_nothing_was_missed(caplog):
    """A block that replays all warns of nothing."""
    caplog.set_level(logging.WARNING)
    record("study", drawn(2))
    held("study", drawn(2))
    assert caplog.records == []
