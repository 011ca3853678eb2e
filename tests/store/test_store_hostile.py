"""Databases that rtk did not write: nothing in them runs, and no file outside is read or removed."""

import os
import pickle
import sqlite3
import struct
import sys
import threading
from contextlib import closing

import diskcache
import pytest

from rtk.errors import StoreError, UnsafeStore
from rtk.samples import Request, Sample, Stream, addresses
from rtk.store import SampleStore, TextDisk

REQUEST = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})
SAMPLES = [Sample(address, "four") for address in addresses(REQUEST, Stream(), 0, 3)]
ROW = f"sample:{REQUEST.key}:0:0000000001"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def canary(tmp_path):
    """A path that must not come to exist."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def outside(tmp_path):
    """A file beside the store that must stay as it is."""
    path = tmp_path / "outside.txt"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


@pytest.fixture
def folder(tmp_path):
    """A store with three samples, closed."""
    with SampleStore(tmp_path / "store") as store:
        store.write(REQUEST, SAMPLES)
    return tmp_path / "store"


def change(folder, *statements):
    """Change the database with SQLite alone; a statement is SQL, or SQL and its values."""
    with closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            query, *values = (statement,) if isinstance(statement, str) else statement
            connection.execute(query, values)


def refused(folder, match="nothing of it was used"):
    """Opening raises, says which folder, and changes no byte of the database."""
    database = folder / "cache.db"
    before = database.read_bytes() if database.is_file() else b""
    with pytest.raises(UnsafeStore, match=match) as caught:
        SampleStore(folder)
    assert str(folder) in str(caught.value)
    assert "RTK_CACHE=" in caught.value.mend
    assert (database.read_bytes() if database.is_file() else b"") == before


def rows(canary, outside):
    """Statements that make a row what rtk does not write."""
    bomb, file = pickle.dumps(Bomb(canary)), str(outside)
    return {
        "pickled value": ("UPDATE Cache SET mode = 4, value = ? WHERE key = ?", bomb, ROW),
        "pickled value in a file": ("UPDATE Cache SET mode = 4, value = NULL, filename = ? WHERE key = ?", file, ROW),
        "text in a file outside": ("UPDATE Cache SET mode = 3, value = NULL, filename = ? WHERE key = ?", file, ROW),
        "bytes in a file outside": ("UPDATE Cache SET mode = 2, filename = '../outside.txt' WHERE key = ?", ROW),
        "text, and a file to remove": ("UPDATE Cache SET filename = ?, expire_time = 1 WHERE key = ?", file, ROW),
        "raw bytes": ("UPDATE Cache SET value = ? WHERE key = ?", bomb, ROW),
        "a number": ("UPDATE Cache SET value = 1e999 WHERE key = ?", ROW),
        "nothing": ("UPDATE Cache SET value = NULL WHERE key = ?", ROW),
        "a key that is not raw": ("UPDATE Cache SET raw = 0 WHERE key = ?", ROW),
        "a key without raw": ("UPDATE Cache SET raw = NULL WHERE key = ?", ROW),
    }  # fmt: skip


KINDS = list(rows("", ""))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_is_not_plain_text_is_refused_at_the_door(folder, canary, outside, kind):
    """A pickle, a file name, another mode or type, found when the store is opened."""
    change(folder, rows(canary, outside)[kind])
    refused(folder, "not plain text")


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_turns_bad_later_is_refused_when_met(folder, canary, outside, kind):
    """The same rows, planted in an open store: reading and writing refuse them, and nothing is read or removed."""
    with SampleStore(folder) as store:
        change(folder, rows(canary, outside)[kind])
        with pytest.raises(UnsafeStore):
            store.read(REQUEST.key, "0")
        if kind != "a key without raw":  # SQL counts that as another row, which a write does not meet
            with pytest.raises(UnsafeStore):
                store.write(REQUEST, SAMPLES)
        if "key" in kind:
            with pytest.raises(UnsafeStore):
                list(store.addresses())
        assert store.read(REQUEST.key, "0", [0]) == {0: SAMPLES[0]}


def test_a_pickled_key_is_refused_and_not_unpickled(folder, canary):
    """A key that is a pickle runs when diskcache lists keys; here it is refused at the door and never listed."""
    bomb = ("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 1, 'x')", pickle.dumps(Bomb(canary)))
    with SampleStore(folder) as store:
        change(folder, bomb)
        assert len(list(store.addresses())) == store.count() == 3
        assert len(list(store.requests())) == 1
    refused(folder, "1 rows")


@pytest.mark.parametrize("key", [b"bytes", 1, 1.5, None, ("a", 1), True])
def test_the_disk_takes_text_keys_only(tmp_path, key):
    """No key is pickled, by whatever method of diskcache it comes."""
    with diskcache.Cache(str(tmp_path), disk=TextDisk) as cache:
        for use in (
            lambda: cache.set(key, "x"),
            lambda: cache.get(key),
            lambda: cache.delete(key),
            lambda: key in cache,
        ):
            with pytest.raises(UnsafeStore):
                use()


@pytest.mark.parametrize("value", [b"bytes", 1, 1.5, None, ["a"], {"a": 1}, True])
def test_the_disk_takes_text_values_only(tmp_path, value):
    """No value is pickled."""
    with diskcache.Cache(str(tmp_path), disk=TextDisk) as cache:
        with pytest.raises(UnsafeStore):
            cache.set("key", value)
        assert "key" not in cache


def test_the_disk_touches_no_file(tmp_path, outside):
    """Neither a value read from a stream, nor a name to write to, nor one to remove."""
    disk = TextDisk(str(tmp_path))
    for use in (
        lambda: disk.store(outside.open("rb"), True),
        lambda: disk.filename("key", "value"),
        lambda: disk.remove("outside.txt"),
        lambda: disk.fetch(1, None, "text", True),
    ):
        with pytest.raises(UnsafeStore):
            use()


@pytest.mark.parametrize(
    "use", [list, lambda cache: list(cache.iterkeys()), lambda cache: cache.expire(), lambda cache: cache.clear()]
)
def test_the_disk_refuses_crafted_rows_whatever_diskcache_does(tmp_path, canary, outside, use):
    """Through diskcache's own methods: iterating, expiring and clearing run no pickle and remove no file."""
    with diskcache.Cache(str(tmp_path / "c"), disk=TextDisk, cull_limit=0, eviction_policy="none") as cache:
        cache.set("a", "text")
        pickled_key = ("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 1, 'x')", pickle.dumps(Bomb(canary)))
        change(tmp_path / "c", pickled_key, ("UPDATE Cache SET filename = ?, expire_time = 1", str(outside)))
        with pytest.raises(UnsafeStore):
            use(cache)


SETTINGS = [
    ("disk_pickle_protocol", 5),
    ("disk_min_file_size", 0),
    ("disk_directory", "/"),
    ("eviction_policy", "least-recently-used"),
    ("cull_limit", 2**60),
    ("size_limit", 1),
    ("statistics", 1),
    ("tag_index", 1),
    ("sqlite_journal_mode", "delete"),
    ("sqlite_synchronous", 0),
    ("sqlite_synchronous", "1"),
    ("sqlite_cache_size", "2000; DELETE FROM Cache"),
    ("sqlite_mmap_size", 2**62),
    ("sqlite_temp_store_directory = '/' --", 1),
    ("sqlite_writable_schema", 1),
    ("sqlite_wal_checkpoint(TRUNCATE) --", ""),
    ("count", "many"),
    ("size", -5),
    ("hits", 1.5),
    ("_sql", "text"),
    ("_disk", "text"),
    (b"sqlite_x", 1),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_that_rtk_does_not_write_is_refused(folder, name, value):
    """Names and values of settings become SQL text and attributes in diskcache: each must be rtk's own."""
    change(folder, ("INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value))
    refused(folder, "setting")


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_planted_later_has_no_effect(folder, name, value):
    """New threads' connections take no setting from the file: samples are read and written as before."""
    results = []
    with SampleStore(folder) as store:
        change(folder, ("INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value))

        def work():
            store.write(REQUEST, [Sample(address, "five") for address in addresses(REQUEST, Stream(), 0, 5)])
            results.append([sample.text for sample in store.read(REQUEST.key, "0").values()])

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [["four"] * 3 + ["five"] * 2]


SCHEMAS = {
    "trigger": ["CREATE TRIGGER x AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"],
    "known trigger of other content": [
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN UPDATE Cache SET mode = 4; END",
    ],
    "temporary-looking table": ["CREATE TABLE t (x)"],
    "view": ["CREATE VIEW v AS SELECT * FROM Cache"],
    "view as the settings": ["DROP TABLE Settings", "CREATE VIEW Settings AS SELECT 'sqlite_x' AS key, 1 AS value"],
    "view as the cache": ["DROP TABLE Cache", "CREATE VIEW Cache AS SELECT 1 AS raw, 1 AS mode"],
    "generated column": ["ALTER TABLE Cache ADD COLUMN g AS (load_extension('evil.so'))"],
    "other index": ["CREATE INDEX i ON Cache (abs(raw))"],
    "eviction index": ["CREATE INDEX Cache_store_time ON Cache (store_time)"],
    "schema text": [("UPDATE sqlite_master SET sql = replace(sql, 'value)', 'v)') WHERE name = ?", "Settings")],
    "nonsense in the schema": [("UPDATE sqlite_master SET sql = 'CREATE TABLE' WHERE name = ?", "Settings")],
}  # fmt: skip


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_rtk_does_not_write_is_refused(folder, kind):
    """Triggers, views, generated columns, other tables and indexes: all named, none run."""
    change(folder, *SCHEMAS[kind])
    refused(folder)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_link_in_place_of_a_file_is_refused(folder, tmp_path, suffix):
    """A link would have rtk write elsewhere."""
    target = tmp_path / "elsewhere"
    if suffix:
        target.write_bytes(b"")
    else:
        (folder / "cache.db").rename(target)
    before = target.read_bytes()
    (folder / f"cache.db{suffix}").symlink_to(target)
    refused(folder, "link")
    assert target.read_bytes() == before


def test_a_dangling_link_is_refused(tmp_path):
    """A link to nothing is not followed to make a database there."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "cache.db").symlink_to(tmp_path / "made")
    refused(tmp_path / "store", "link")
    assert not (tmp_path / "made").exists()


def test_a_link_to_the_folder_is_followed(folder, tmp_path):
    """A cache folder kept on another disk behind a link is common, and fine."""
    (tmp_path / "link").symlink_to(folder)
    with SampleStore(tmp_path / "link") as store:
        assert store.count() == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_or_folder_in_place_of_the_file_is_refused(tmp_path):
    """Opening a pipe would wait for ever."""
    for name, make in (("pipe", os.mkfifo), ("folder", os.mkdir)):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "cache.db")
        refused(tmp_path / name, "no plain file")


def test_a_journal_that_names_a_file_outside_is_refused(folder, outside):
    """SQLite removes the file that a rolled-back journal names: a crafted one removes any file."""
    name = str(outside).encode()
    tail = struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    (folder / "cache.db-journal").write_bytes(bytes(512) + name + tail)
    refused(folder, "outside the store")


@pytest.mark.parametrize("content", [b"\x80\x05 not a database", b"SQLite format 3\0" + bytes(4080), b"x" * 100_000])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    """Whatever lies at `cache.db`, it is not overwritten."""
    (tmp_path / "cache.db").write_bytes(content)
    refused(tmp_path)


def test_a_truncated_database_is_refused(folder):
    """Half a file is told as such rather than read."""
    content = (folder / "cache.db").read_bytes()
    (folder / "cache.db").write_bytes(content[:4096])
    refused(folder)


def test_another_programs_diskcache_is_refused_and_left_as_it_is(tmp_path):
    """DSPy's own cache folder given by mistake: not opened, so nothing in it is evicted or rewritten."""
    with diskcache.Cache(str(tmp_path)) as other:
        other.set("key", {"a": 1})
    refused(tmp_path)
    with diskcache.Cache(str(tmp_path)) as other:
        assert other.get("key") == {"a": 1}


def test_an_empty_file_becomes_a_store(tmp_path):
    """What an opener killed at once leaves behind is no obstacle."""
    (tmp_path / "cache.db").touch()
    with SampleStore(tmp_path) as store:
        assert store.write(REQUEST, SAMPLES) == SAMPLES


def test_a_giant_value_is_not_read(folder):
    """A row beyond the longest that rtk writes is an error, not a gigabyte in memory."""
    change(folder, ("UPDATE Cache SET value = CAST(zeroblob(140000000) AS TEXT) WHERE key = ?", ROW))
    with pytest.raises(StoreError):
        SampleStore(folder).read(REQUEST.key, "0")
