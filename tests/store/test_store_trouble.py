"""A store in trouble: a full disk, a folder that takes no writing, a newer rtk's store, a file that was cut off."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from rtk._json import canonical, checksum
from rtk.errors import NewerStore, StoreError, UnsafeStore
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore

REQUEST = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})


SCRIPTED = Request.of("openai/scripted", REQUEST.messages, {"temperature": 0.7})  # of the model in the scripts below


def drawn(count, text="text", start=0):
    return [Sample(address, f"{text} {address.index}") for address in addresses(REQUEST, Stream(), start, count)]


def bytes_of(folder):
    """All files, but for the index of the log, which SQLite makes anew as it likes."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def elsewhere(mount, script, folder):
    """What a script prints, as JSON, in a process with mounts of its own, which end with it."""
    apart = ["unshare", "-rm"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount anything")
    command = [*apart, "sh", "-c", f'{mount} && exec "$@"', str(folder), sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SMALL_DISK = 'mount -t tmpfs -o size=9m tmpfs "$0"'
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'

MODEL = """
import itertools, json, os, sys
from pathlib import Path
import dspy, rtk
from rtk.errors import RTKError
from rtk.store import verified
from rtk.testing import ScriptedServer

folder, told = Path(sys.argv[1]), {}

def model(server, folder):
    return rtk.LM("openai/scripted", api_base=server.url, api_key="any", store=folder)

def error(work):
    try:
        return f"no error: {work()}"
    except RTKError as error:
        return type(error).__name__, str(error), error.mend
"""

# --- a full disk ---

FULL = """
ballast = folder / "ballast"
ballast.write_bytes(bytes(7_500_000))
numbers = itertools.count()
with ScriptedServer(lambda _: f"{next(numbers)} " + "word " * 4000) as server:
    lm = model(server, folder / "store")
    got = []
    def draw():
        while len(got) < 400:
            got[:] = lm("q", n=len(got) + 4)
    told["drawing"] = error(draw)
    told["kept"] = len(got)
    told["still"] = lm("q", n=len(got)) == got
    told["whole"] = str(lm.store.verify())
    told["exporting"] = error(lambda: lm.store.export(folder / "out.jsonl"))
    told["opening"] = error(lambda: rtk.SampleStore(folder / "other"))
    def record():
        with rtk.recording(folder / "recorded.jsonl"):
            lm("q", n=len(got))
    told["recording"] = error(record)
    told["files"] = sorted(path.name for path in folder.iterdir() if path.is_file())
    ballast.unlink()
    told["again"] = lm("q", n=len(got) + 4)[:len(got)] == got
    record()
    lm.store.export(folder / "out.jsonl")
    told["in the end"] = [str(verified(folder / name)) for name in ("recorded.jsonl", "out.jsonl")]
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_a_disk_that_fills_up_while_drawing(tmp_path):
    """On a disk with 2 MB left: the caller is told, what was there stays, and all goes on when there is room again."""
    told = elsewhere(SMALL_DISK, MODEL + FULL, tmp_path)
    kind, said, mend = told["drawing"]
    assert (kind, "the disk is full; what was stored before is safe" in said) == ("StoreError", True)
    assert "free some space" in mend
    assert told["kept"] >= 12
    assert told["still"]
    assert told["whole"] == f"{told['kept']} samples of 1 requests"
    for what in ("exporting", "recording"):
        assert told[what][0] == "RecordingError"
        assert "No space left" in told[what][1]
        assert "free some space" in told[what][2]
    assert told["opening"][0] == "StoreError"
    assert told["files"] == ["ballast"]
    assert told["again"]
    kept = [f"{told['kept'] + more} samples of 1 requests" for more in (0, 4)]
    assert told["in the end"] == kept


# --- a folder that takes no writing ---

READING = """
store = folder / "store"
with ScriptedServer("fresh") as server:
    lm = model(server, store)
    told["there"] = lm("2+2?", n=5)
    told["more"] = error(lambda: lm("2+2?", n=6))
    told["writing"] = error(lambda: lm.store.remove("0" * 64))
    told["exporting"] = error(lambda: lm.store.export(folder / "out.jsonl"))
    told["another"] = error(lambda: rtk.SampleStore(folder / "new"))
    told["count"] = lm.store.count(), str(lm.store.verify()), len(list(lm.store.addresses()))
    with rtk.recording(folder / "recorded.jsonl", mode="replay"):
        told["replayed"] = lm("2+2?", n=5)
    told["asked"] = len(server.requests)
print(json.dumps(told))
"""


@pytest.fixture
def filled(tmp_path):
    """A folder with a store of five samples, closed, and a recording of them."""
    with SampleStore(tmp_path / "store") as store:
        store.write(SCRIPTED, [Sample(address, "kept") for address in addresses(SCRIPTED, Stream(), 0, 5)])
        store.export(tmp_path / "recorded.jsonl")
    return tmp_path


def logged(folder):
    """As a killed process leaves it: the samples are in the log."""
    with SampleStore(folder / "open") as store:
        store.write(SCRIPTED, [Sample(address, "kept") for address in addresses(SCRIPTED, Stream(), 0, 5)])
        shutil.rmtree(folder / "store")
        shutil.copytree(folder / "open", folder / "store")
    assert (folder / "store" / "cache.db-wal").stat().st_size > 10_000


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
@pytest.mark.parametrize("left", ["closed", "killed"])
def test_a_store_that_cannot_be_written_is_read(filled, left):
    """On a medium or in a folder that takes no writing, as it was closed or left behind: drawing, and all that writes,
    is an error with a mend before anything is paid for."""
    if left == "killed":
        logged(filled)
    before = bytes_of(filled / "store")
    told = elsewhere(READ_ONLY, MODEL + READING, filled)
    assert told["there"] == told["replayed"] == ["kept"] * 5
    assert told["count"] == [5, "5 samples of 1 requests", 5]
    assert told["more"][0] == told["writing"][0] == told["another"][0] == "StoreError"
    assert "can be written" in told["more"][2]
    assert "can only be read" in told["writing"][1]
    assert "copy the folder" in told["writing"][2]
    assert (told["exporting"][0], "Read-only" in told["exporting"][1]) == ("RecordingError", True)
    assert told["asked"] == 0
    assert bytes_of(filled / "store") == before


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_a_log_that_cannot_be_read_without_writing_is_an_error(filled):
    """Passed over, it would be a store without the samples in it."""
    logged(filled)
    (filled / "store" / "cache.db-shm").unlink()
    told = elsewhere(READ_ONLY, MODEL + "print(json.dumps(error(lambda: rtk.SampleStore(folder / 'store'))))", filled)
    assert told[0] == "StoreError"
    assert "holds samples" in told[1]
    assert "copy the folder" in told[2]


GROWING = """
import rtk, json, sys
from pathlib import Path
store, found = rtk.SampleStore(Path(sys.argv[1]) / "shown" / "store"), []
key = next(iter(store.requests())).key
for _ in range(4):
    found.append(len(store.read(key, "0")))
    print(json.dumps(found), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_what_its_owner_adds_meanwhile_is_read_too(filled):
    """A store that others may only read is read as it is now, while its owner writes and after it was closed."""
    (filled / "shown").mkdir()
    shown = 'mount --bind "$0" "$0/shown" && mount -o remount,bind,ro "$0/shown"'
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount anything")
    command = ["unshare", "-rm", "sh", "-c", f'{shown} && exec "$@"', filled, sys.executable, "-c", GROWING, filled]
    more = [Sample(address, "new" * 3000) for address in addresses(SCRIPTED, Stream(), 5, 20)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([str(part) for part in command], **pipes) as reader:

        def seen():
            reader.stdin.write("\n")
            reader.stdin.flush()
            return json.loads(reader.stdout.readline())

        assert json.loads(reader.stdout.readline()) == [5]
        with SampleStore(filled / "store") as store:
            store.write(SCRIPTED, more[:10])
            assert seen() == [5, 15]
            store.write(SCRIPTED, more[10:15])
            assert seen() == [5, 15, 20]
        with SampleStore(filled / "store") as store:
            store.write(SCRIPTED, more[15:])
        assert seen() == [5, 15, 20, 25]


# --- what a newer rtk wrote ---


def changed(folder, *statement):
    with closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
        connection.execute(*statement)


def newer_sample(signed):
    """A sample of a later form; how that one is signed nobody knows yet."""
    value = json.loads(drawn(1)[0].to_json()) | {"schema": 2, "parts": ["new"]}
    rest = {name: one for name, one in value.items() if name not in ("checksum", "text")}
    return json.dumps({**rest, "checksum": checksum(canonical(rest)) if signed else "new"})


@pytest.mark.parametrize("signed", [True, False])
def test_samples_of_a_newer_rtk_are_left_alone(tmp_path, signed):
    """Not drawn again and not written over, however they are asked for: the error says what to do."""
    with SampleStore(tmp_path) as store:
        store.write(REQUEST, drawn(3))
        row = f"sample:{REQUEST.key}:0:0000000000"
        changed(tmp_path, ("UPDATE Cache SET value = ? WHERE key = ?"), (newer_sample(signed), row))
        uses = [
            lambda: store.read(REQUEST.key, "0"),
            lambda: store.write(REQUEST, drawn(1, "mine")),
            lambda: list(store.samples(REQUEST.key)),
            lambda: store.verify(),
            lambda: store.export(tmp_path / "out.jsonl"),
        ]
        for use in uses:
            with pytest.raises(NewerStore, match="schema 2") as caught:
                use()
            assert "pip install -U rtk-inference" in caught.value.mend
        assert sorted(store.read(REQUEST.key, "0", [1, 2])) == [1, 2]
        assert store.write(REQUEST, drawn(1, "new", start=7))[0].text == "new 7"
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        ((kept,),) = connection.execute("SELECT value FROM Cache WHERE key = ?", (row,)).fetchall()
    assert kept == newer_sample(signed)
    assert not (tmp_path / "out.jsonl").exists()


def test_requests_of_a_newer_rtk_are_left_alone(tmp_path):
    """A row of a later form is neither listed as damaged nor replaced by this form."""
    row, later = f"request:{REQUEST.key}", json.dumps({"schema": 2, "request": {}})
    with SampleStore(tmp_path) as store:
        store.write(REQUEST, drawn(1))
        changed(tmp_path, "UPDATE Cache SET value = ? WHERE key = ?", (later, row))
        for use in (lambda: list(store.requests()), store.verify, lambda: store.write(REQUEST, drawn(1, start=1))):
            with pytest.raises(NewerStore, match="request has schema 2"):
                use()
        assert sorted(store.read(REQUEST.key, "0")) == [0]


def test_a_database_of_a_newer_layout_is_not_opened(tmp_path):
    """It is refused as a whole, and no byte of it changes."""
    with SampleStore(tmp_path) as store:
        store.write(REQUEST, drawn(1))
    changed(tmp_path, "PRAGMA user_version = 1")
    before = (tmp_path / "cache.db").read_bytes()
    with pytest.raises(NewerStore, match="version 1 of its layout") as caught:
        SampleStore(tmp_path)
    assert "rtk-inference" in caught.value.mend
    assert (tmp_path / "cache.db").read_bytes() == before


# --- a database that was cut off ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of 60 samples, closed."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    with SampleStore(folder) as store:
        store.write(REQUEST, drawn(60, "long " * 500))
    return folder


@pytest.fixture(scope="module")
def left_open(tmp_path_factory):
    """The same as a killed process leaves it, in transactions of three; most of it is in the log."""
    folder = tmp_path_factory.mktemp("open")
    with SampleStore(folder / "store") as store:
        for start in range(0, 60, 3):
            store.write(REQUEST, drawn(3, "long " * 500, start))
        return shutil.copytree(folder / "store", folder / "left")


def cut(folder, to, name, size):
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    content = (to / name).read_bytes()
    (to / name).write_bytes(content[:size])
    return to


def refused(folder):
    before = bytes_of(folder)
    with pytest.raises(UnsafeStore) as caught:
        SampleStore(folder)
    assert str(folder) in str(caught.value)
    assert ".recover" in caught.value.mend
    assert "RTK_CACHE=" in caught.value.mend
    assert {**before, "cache.db-wal": before.get("cache.db-wal", b"")} == {"cache.db-wal": b"", **bytes_of(folder)}


def test_a_database_that_was_cut_off_is_refused_and_kept(whole, tmp_path):
    """Wherever it ends: nothing of it is used, and no byte of it changes, so that what is left can be saved."""
    size = (whole / "cache.db").stat().st_size
    random_ends = [random.Random(1).randrange(1, size) for _ in range(12)]
    for end in [1, 50, 100, 511, 512, 4095, 4096, 5000, size - 4096, size - 1, *random_ends]:
        refused(cut(whole, tmp_path / "cut", "cache.db", end))


def test_a_database_that_was_cut_off_beside_its_log_is_refused_and_kept(left_open, tmp_path):
    """SQLite would take it for a new one and remove the log, or work the log into what is left of it."""
    for end in (0, 1, 100, 512, 4096, 5000):
        refused(cut(left_open, tmp_path / "cut", "cache.db", end))


def test_a_log_that_was_cut_off_costs_its_last_transactions_alone(left_open, tmp_path):
    """What was there before them is read; each transaction is there or is not."""
    size, counts = (left_open / "cache.db-wal").stat().st_size, set()
    for end in (0, 31, 100, size // 3, size // 2, size - 1, size):
        with SampleStore(cut(left_open, tmp_path / "cut", "cache.db-wal", end)) as store:
            found = store.read(REQUEST.key, "0")
            assert sorted(found) == [*range(len(found))]
            assert len(found) % 3 == 0
            assert store.verify().damaged == ()
            assert store.write(REQUEST, drawn(1, "more", 99))[0].text == "more 99"
        counts.add(len(found))
    assert {0, 60} < counts


def test_a_page_of_nothing_is_an_error_where_it_is_met(whole, tmp_path):
    """A hole in the middle, as a broken disk leaves it: an error of the store, and what it holds stays."""
    folder = cut(whole, tmp_path / "hole", "cache.db", None)
    content = bytearray((folder / "cache.db").read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 40960] = bytes(40960)
    (folder / "cache.db").write_bytes(content)
    with pytest.raises(StoreError) as caught, SampleStore(folder) as store:
        assert len(store.read(REQUEST.key, "0")) == 60
    assert caught.value.mend
    assert (folder / "cache.db").read_bytes() == content
