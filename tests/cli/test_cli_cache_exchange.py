"""`rtk cache export | merge | verify | rm`: samples out, in, checked and away."""

import os
import subprocess
import sys

import pytest

from rtk.store import SampleStore


@pytest.fixture
def file(tmp_path):
    return tmp_path / "shared.jsonl"


def count(folder):
    """How many samples a store holds."""
    return SampleStore(folder, make=False).count()


def test_samples_go_out_and_come_in_again(command, put, file, tmp_path):
    """What is exported is merged into another store, which is made for that; twice adds nothing."""
    put("a", 3)
    put("b", 2)
    ran = command("cache", "export", file)
    assert (ran.status, ran.out) == (0, f"5 samples of 2 requests in {file}\n")
    merged = command("cache", "merge", file, "--store", tmp_path / "other")
    assert merged.status == 0
    assert "5 samples added" in merged.out
    assert count(tmp_path / "other") == 5
    assert "0 samples added, 5 were there" in command("cache", "merge", file, "--store", tmp_path / "other").out


def test_a_model_s_samples_go_out_alone(command, put, file):
    """`--model` exports only its samples."""
    put("a", 3, model="embedded")
    put("a", 2, model="openai/small")
    assert command("cache", "export", file, "--model", "embedded").out.startswith("3 samples of 1 request")
    assert command("cache", "verify", file).out.startswith("3 samples of 1 request")


def test_a_file_is_written_over_only_where_that_is_said(command, put, file):
    """A file that is there is not lost to an export by mistake."""
    put("a")
    file.write_text("precious")
    failed = command("cache", "export", file)
    assert failed.status == 1
    assert "--force" in failed.err
    assert file.read_text() == "precious"
    assert command("cache", "export", file, "--force").status == 0


def test_what_fits_no_sample_writes_no_file(command, put, file):
    """A model that is not there is an error, and not an empty recording."""
    put("a")
    assert command("cache", "export", file, "--model", "large").status == 1
    assert not file.exists()


def test_conflicts_are_told_and_the_first_stays(command, put, file, own_store):
    """Another sample at an address ends a merge with status 1; it names the address."""
    key = put("a", 2, text="theirs")
    command("cache", "export", file)
    SampleStore(own_store).remove(key)
    put("a", 1, text="ours")
    merged = command("cache", "merge", file)
    assert merged.status == 1
    assert f"{key}:0:0" in merged.err
    assert [sample.text for sample in SampleStore(own_store).samples(key)] == ["ours", "theirs"]


def test_samples_of_another_model_are_not_mixed_in(command, put, file, own_store):
    """A request that another model answered here keeps its samples alone, and the merge says so."""
    key = put("a", 1, served_model="old")
    command("cache", "export", file)
    SampleStore(own_store).remove(key)
    put("a", 1, served_model="new")
    merged = command("cache", "merge", file)
    assert merged.status == 1
    assert key in merged.err


def test_a_file_that_is_not_there_makes_no_store(command, tmp_path):
    """A mistyped file is an error before anything is made."""
    failed = command("cache", "merge", tmp_path / "none.jsonl", "--store", tmp_path / "new")
    assert failed.status == 2
    assert not (tmp_path / "new").exists()


def test_a_sound_store_and_a_sound_file_verify(command, put, file):
    """Every entry is read, and counted."""
    put("a", 3)
    ran = command("cache", "verify")
    assert (ran.status, ran.out.startswith("3 samples of 1 requests")) == (0, True)
    command("cache", "export", file)
    assert command("cache", "verify", file).status == 0


def test_damage_ends_with_status_1(command, put, own_store, file):
    """A damaged entry of the store is named; a damaged file is refused."""
    key = put("a", 3)
    command("cache", "export", file)
    with SampleStore(own_store) as store:
        store._database.set(f"sample:{key}:0:{1:010d}", "{}")
    ran = command("cache", "verify")
    assert ran.status == 1
    assert f"sample:{key}:0:{1:010d}" in ran.err
    file.write_text(file.read_text().replace("four", "five"))
    failed = command("cache", "verify", file)
    assert failed.status == 1
    assert "RecordingError" in failed.err


@pytest.mark.parametrize("typed", ["", "n\n", "\n"])
def test_nothing_is_removed_without_a_yes(command, put, own_store, typed):
    """`rm` asks first, says what it would remove and what that had cost, and takes silence for a no."""
    put("a", 3)
    ran = command("cache", "rm", "--all", typed=typed)
    assert ran.status == 1
    assert "Remove 3 samples of 1 request, 0.0300 dollars when drawn, from" in ran.err
    assert count(own_store) == 3


def test_a_request_is_removed_by_its_key(command, put, own_store):
    """Several keys may be named, by their beginnings; the others' samples stay."""
    keys = [put(question, 2) for question in ("a", "b", "c")]
    ran = command("cache", "rm", keys[0][:10], keys[1], keys[1][:20], typed="y\n")
    assert ran.status == 0
    assert "4 samples removed" in ran.out
    assert [request.key for request in SampleStore(own_store).requests()] == keys[2:]


def test_a_model_s_samples_are_removed(command, put, own_store):
    """`--model` removes what is its own, without a question where --yes is given."""
    put("a", 3, model="openai/small")
    put("a", 2, model="embedded")
    assert command("cache", "rm", "--model", "openai/*", "--yes").status == 0
    assert [request.model for request in SampleStore(own_store).requests()] == ["embedded"]


def test_all_is_removed_and_the_disk_has_its_room_again(command, put, own_store):
    """An emptied store is small, and goes on as a store."""
    for number in range(30):
        put(f"question {number}", 20, text="long " * 400)
    before = SampleStore(own_store).size
    assert command("cache", "rm", "--all", "-y").status == 0
    assert count(own_store) == 0
    assert SampleStore(own_store).size < before / 4
    put("again", 2)
    assert count(own_store) == 2


def test_an_empty_store_asks_nothing(command, own_store):
    """Where there is nothing to remove, to list or to count, that is said."""
    SampleStore(own_store)
    for arguments in (["rm", "--all"], ["ls"], ["stats"]):
        ran = command("cache", *arguments)
        assert (ran.status, ran.out, "no samples in" in ran.err) == (0, "", True)


@pytest.mark.parametrize("arguments", [[], ["abc", "--all"], ["--model", "m", "--all"]])
def test_it_must_be_said_what_is_removed(command, put, own_store, arguments):
    """Nothing, or two things at once, is an error; nothing is removed."""
    put("a")
    failed = command("cache", "rm", "--yes", *arguments)
    assert failed.status == 1
    assert "--all" in failed.err
    assert count(own_store) == 1


def test_ctrl_c_leaves_no_half_of_a_file(put, tmp_path, own_store):
    """An interrupted export ends with status 130 and no traceback, and leaves the file that was there."""
    put("a")
    target = tmp_path / "shared.jsonl"
    target.write_text("before")
    code = (
        "import os, signal, rtk.cli, rtk.store.store as store\n"
        "def lines(*_):\n    os.kill(os.getpid(), signal.SIGINT)\n    yield 'a line'\n"
        "store.lines_of = lines\nrtk.cli.main()"
    )
    command = [sys.executable, "-c", code, "cache", "export", str(target), "--force"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["shared.jsonl"]


def test_a_reader_that_leaves_early_is_no_error(put):
    """`rtk cache ls | head` ends without a traceback."""
    for number in range(40):
        put(f"question {number} " + "long " * 2000)
    process = subprocess.Popen([sys.executable, "-m", "rtk.cli", "cache", "ls"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout.readline().startswith("key")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(60)
