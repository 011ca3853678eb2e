"""Recordings that would fill the memory or keep one waiting: refused early, with one error, in bounded memory."""

import gzip
import json
import os
import socket
import sys

import pytest
from recorded import POSIX, REQUEST, drawn, forked, record

import rtk
from rtk.errors import RecordingError
from rtk.samples import Address, Sample
from rtk.store import current_recording, verified

pytestmark = [
    pytest.mark.usefixtures("nothing_in_force"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

HEAD = json.dumps({"rtk_recording": 1, "adapters": [], "dspy": "3", "rtk": "0"}).encode() + b"\n"
ASKED = json.dumps({"request": REQUEST.value}).encode() + b"\n"
ENOUGH = 700 * 2**20  # bytes that reading may take on top; the longest line alone is 128 MiB, read in pieces


def packed(*parts, times=1):
    return gzip.compress(b"".join(parts), mtime=0) * times


def long_samples(count):
    """Samples in good order, each a megabyte of one letter."""
    samples = [Sample(Address(REQUEST.key, "0", index), "a" * 2**20) for index in range(count)]
    return b"".join(f'{{"sample":{one.to_json()}}}\n'.encode() for one in samples)


BOMBS = {
    "10 GB of nothing in 10 MB": lambda: packed(HEAD) + packed(bytes(2**26), times=160),
    "one endless line": lambda: packed(HEAD) + packed(b"[" * 2**26, times=160),
    "endless empty lines": lambda: packed(HEAD) + packed(b"\n" * 2**26, times=160),
    "a line of empty lists": lambda: packed(HEAD, b'{"request":{"a":[', b"[]," * 2**25, b"[]]}}\n"),
    "a line of numbers": lambda: packed(HEAD, b'{"request":{"a":[', b".1," * 2**25, b"1]}}\n"),
    "samples that are all alike": lambda: packed(HEAD, ASKED, long_samples(300)),
    "one bomb in another": lambda: packed(packed(bytes(2**26), times=160)),
}


def in_little_memory(work):
    """What `work()` says in a child that gets no more memory than `ENOUGH` on top of what it has."""

    def limited():
        import resource

        with open("/proc/self/statm") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + ENOUGH, held + ENOUGH))
        return work()

    return forked(limited)


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_early(tmp_path, kind):
    """Ten megabytes that would be ten gigabytes: one error with a mend, in bounded memory, and not after minutes."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(BOMBS[kind]())

    def told():
        try:
            rtk.recording(path)
        except RecordingError as error:
            return type(error) is RecordingError, str(error), error.mend

    exact, said, mend = in_little_memory(told)
    assert exact
    assert str(path) in said
    assert len(said) < 500
    assert "gunzip" in mend if "times its size" in said else "record" in mend


@pytest.mark.slow
def test_a_bomb_may_be_unpacked_by_hand(tmp_path):
    """Samples that are all alike, of a trusted writer: unpacked, they are a recording like any other."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed(HEAD, ASKED, long_samples(300)))
    with pytest.raises(RecordingError, match="100 times its size") as caught:
        verified(path)
    assert caught.value.mend.endswith("gunzip -k a.jsonl.gz")
    (tmp_path / "a.jsonl").write_bytes(gzip.decompress(path.read_bytes()))
    assert verified(tmp_path / "a.jsonl").samples == 300


def test_what_shrinks_well_is_no_bomb(tmp_path):
    """Thousands of samples with the same long text, written by rtk, are read back."""
    same = [Sample(one.address, "the same again " * 400) for one in drawn(4000)]
    path = record(tmp_path / "a.jsonl.gz", same)
    assert verified(path).samples == 4000
    assert len(gzip.decompress(path.read_bytes())) > 20 * path.stat().st_size


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (b"garbage behind it", "cannot read"),
        (packed(HEAD), "line 5: neither"),
        (packed(b"hello\n"), "line 5: no JSON"),
        (packed(b"") * 100_000 + b"x", "cannot read"),
    ],
)
def test_what_follows_a_packed_recording_is_not_passed_over(tmp_path, more, told):
    """Garbage, another packed file, a hundred thousand empty ones: the whole file counts."""
    path = record(tmp_path / "a.jsonl.gz", drawn(2))
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(RecordingError, match=told) as caught:
        rtk.recording(path)
    assert caught.value.mend


def test_packed_parts_are_one_file(tmp_path):
    """A recording whose parts were packed each on its own, as `cat` or a parallel gzip leave it, is whole."""
    path = record(tmp_path / "a.jsonl", drawn(3))
    parts = [packed(line) for line in path.read_bytes().splitlines(keepends=True)]
    (tmp_path / "b.jsonl.gz").write_bytes(b"".join([*parts, packed(b"")]))
    assert verified(tmp_path / "b.jsonl.gz").samples == 3


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def listening(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)  # in the folder of the test: a long path is none for a socket


@POSIX
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("made", [pipe, device, listening])
@pytest.mark.parametrize("mode", ["auto", "replay", "record"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, name, made, mode):
    """A pipe would keep one waiting, a device would never end; it stays what it is."""
    made(tmp_path / name)
    before = os.lstat(tmp_path / name).st_mode
    with pytest.raises(RecordingError, match="no plain file") as caught:
        rtk.recording(tmp_path / name, mode)
    assert "record" in caught.value.mend
    assert os.lstat(tmp_path / name).st_mode == before
    assert current_recording() is None
