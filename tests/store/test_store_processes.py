"""Several processes at one store: overlapping writers, a killed writer, forks, locks, a full disk."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from rtk.errors import StoreError
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore

pytestmark = pytest.mark.slow

REQUEST = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
SPAWN = multiprocessing.get_context("spawn")


def drawn(start, count, text, stream=None):
    return [
        Sample(address, text, served_model="small") for address in addresses(REQUEST, stream or Stream(), start, count)
    ]


def write_overlapping(path, name, start, barrier, results):
    barrier.wait(60)
    with SampleStore(path) as store:  # opened, and so made, at the same moment by all
        kept = [store.write(REQUEST, drawn(at, 4, name)) for at in range(start, start + 120, 3)]
    results.put((name, [sample for batch in kept for sample in batch]))


def test_processes_that_write_the_same_addresses_keep_the_union(tmp_path):
    """Eight at once on a new store: every address is there once, and all writers were told the same samples."""
    starts = {name: 20 * place for place, name in enumerate("abcdefgh")}
    barrier, results = SPAWN.Barrier(len(starts)), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=write_overlapping, args=(str(tmp_path), name, start, barrier, results))
        for name, start in starts.items()
    ]
    for worker in workers:
        worker.start()
    told = dict(results.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join(60)
    with SampleStore(tmp_path) as store:
        stored = store.read(REQUEST.key, "0")
        assert sorted(stored) == [*range(261)]
        assert store.count() == 261
        assert store.verify().damaged == ()
    assert all(stored[sample.address.index] == sample for samples in told.values() for sample in samples)


WRITER = """
import sys
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore

request = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
store = SampleStore(sys.argv[1])
for start in range(0, 10**6, 3):
    where = addresses(request, Stream(), start, 3)
    for sample in store.write(request, [Sample(address, "x" * 5000) for address in where]):
        print(sample.address.index, flush=True)
"""


def start(script, path):
    return subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_writer_leaves_all_that_write_returned(tmp_path):
    """After `kill -9` in the middle of writing, each sample that `write` gave back is there, each batch whole."""
    with SampleStore(tmp_path) as watcher:
        writer = start(WRITER, tmp_path)
        told = [int(writer.stdout.readline()) for _ in range(100)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines() if line]
        writer.wait(60)
        for store in (watcher, SampleStore(tmp_path)):
            found = store.read(REQUEST.key, "0")
            assert set(told) <= set(found)
            assert sorted(found) == [*range(len(found))]
            assert len(found) % 3 == 0
        assert watcher.write(REQUEST, drawn(0, 1, "later"))[0].text == "x" * 5000


FULL = """
import resource, signal, sys
from rtk.errors import StoreError
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore
request = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
store = SampleStore(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
written = []
try:
    for index in range(1000):
        [address] = addresses(request, Stream(), index, 1)
        written += store.write(request, [Sample(address, f"{index} " * 5000)])
except StoreError as error:
    print(len(written), store.read(request.key, "0") == dict(enumerate(written)), "RTK_CACHE=" in error.mend)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
[address] = addresses(request, Stream(), len(written), 1)
written += store.write(request, [Sample(address, "room again")])
print(store.read(request.key, "0") == dict(enumerate(written)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(tmp_path):
    """A write that does not fit raises with a mend; what was stored stays readable; the same store then goes on."""
    with start(FULL, tmp_path) as process:
        lines = process.stdout.read().splitlines()
    count, kept, mended = lines[0].split()
    assert int(count) > 3
    assert (kept, mended, lines[1]) == ("True", "True", "True")


def test_a_store_that_stays_locked_is_an_error_with_a_mend(tmp_path):
    """Writing and opening wait `timeout` seconds for another writer, then say what to do; reading is not held up."""
    with SampleStore(tmp_path, timeout=0.05) as store:
        store.write(REQUEST, drawn(0, 1, "a"))
        with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"locked for 0\.05 s") as caught:
                store.write(REQUEST, drawn(1, 1, "a"))
            assert "timeout=" in caught.value.mend
            with pytest.raises(StoreError, match="cannot open"):
                SampleStore(tmp_path, timeout=0.05)
            assert list(store.read(REQUEST.key, "0")) == [0]
            other.execute("ROLLBACK")
        store.write(REQUEST, drawn(1, 1, "a"))
        assert list(store.read(REQUEST.key, "0")) == [0, 1]


def in_child(work):
    """Whether `work()` is true in a forked child."""
    child = os.fork()
    if child == 0:
        result = 1
        try:
            signal.alarm(30)
            result = 0 if work() else 2
        finally:
            os._exit(result)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_store_survives_a_fork_while_threads_write(tmp_path):
    """Children forked in the middle of other threads' writes read and write; parent and children lose nothing."""
    with SampleStore(tmp_path) as store, SampleStore(tmp_path) as second:
        second.write(REQUEST, drawn(0, 1, "a"))
        stop, counts = threading.Event(), {}

        def keep_writing(replicate):
            counts[replicate] = 0
            while not stop.is_set():
                store.write(REQUEST, drawn(counts[replicate], 1, "p" * 3000, Stream(replicate)))
                counts[replicate] += 1
            store.close()

        threads = [threading.Thread(target=keep_writing, args=(number,)) for number in (1, 2, 3)]
        for thread in threads:
            thread.start()
        children = range(10, 20)
        fine = [
            in_child(
                lambda number=number: (
                    store.read(REQUEST.key, "0")[0].text == "a"
                    and len(store.write(REQUEST, drawn(0, 5, "c", Stream(number)))) == 5
                    and len(second.read(REQUEST.key, str(number))) == 5
                )
            )
            for number in children
        ]
        stop.set()
        for thread in threads:
            thread.join()
        assert all(fine)
        assert {number: len(store.read(REQUEST.key, Stream(number))) for number in counts} == counts
        assert all(len(store.read(REQUEST.key, Stream(number))) == 5 for number in children)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_keeps_no_connection_of_its_parent(tmp_path):
    """SQLite forbids a connection to cross a fork: the child has none until it uses the store itself."""

    def connections():
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(link) and os.readlink(link) == str(tmp_path / "cache.db") for link in links)

    stores = [SampleStore(tmp_path), SampleStore(tmp_path)]
    ready, leave = threading.Barrier(4), threading.Event()

    def stay():
        assert stores[0].count() == 0
        ready.wait(30)
        leave.wait(60)

    threads = [threading.Thread(target=stay, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [store.count() for store in stores] == [0, 0]
    ready.wait(30)
    inherited = connections()
    clean = in_child(lambda: connections() == 0 and stores[0].count() == 0 and connections() == 1)
    leave.set()
    assert inherited >= 5
    assert clean
