"""diskcache's `Cache`, held to what rtk needs of it: settings of ours only, commits that last, a patience of ours."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import DBNAME, ENOVAL

from rtk.errors import UnsafeStore
from rtk.store.disk import TextDisk
from rtk.store.forking import close_in_children
from rtk.store.inspection import guard, inspect, is_setting
from rtk.store.layout import COUNTERS, SETTINGS

LASTING = 2
"""SQLite's `synchronous` after opening: what a write returned survives a power cut."""

PAGES_KEPT = 256
"""SQLite's `cache_size` after opening, for each thread: the system keeps the file, more here only takes memory."""

_PAUSE = 0.002  # seconds between two tries at a locked database

_PLAIN = "(raw IS 1 AND mode IS 1 AND filename IS NULL AND typeof(key) = 'text' AND typeof(value) = 'text')"

_abandoned: list[sqlite3.Connection] = []  # never closed, not even by the garbage collector


class Database(diskcache.Cache):
    """A diskcache in a folder, inspected before it is opened.

    Args:
        folder: where `cache.db` lies; made where it is missing.
        timeout: seconds to wait for another writer.

    Raises:
        UnsafeStore: for a database that rtk did not write.
        sqlite3.Error: where it cannot be opened.
        OSError: where the folder cannot be made.
    """

    _way = "mode=rwc"
    """How SQLite opens the file."""

    def __init__(self, folder: Path, timeout: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        inspect(folder / DBNAME, timeout, self._way)
        self._patience = timeout
        self._lasting = False
        self._text = TextDisk(str(folder))
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._registering = threading.Lock()  # of the dict above
        try:
            self._open(folder, timeout)
        finally:
            _close_all(self._connections)
        self._local = threading.local()
        self._lasting = True
        self._file = self._file_there()
        close_in_children(self)
        # A connection is in a reference cycle of its own: without this it would outlive the store that was dropped.
        weakref.finalize(self, _close_all, self._connections).atexit = False

    def _open(self, folder: Path, timeout: float) -> None:
        opening: dict[str, Any] = {"timeout": timeout, "disk": TextDisk, **SETTINGS}
        super().__init__(str(folder), **opening)

    def __reduce__(self) -> Any:
        raise TypeError("a database is not pickled; its SampleStore is, by its path")

    @property
    def _con(self) -> sqlite3.Connection:
        # Unlike diskcache's: no setting of the file becomes SQL, and a fork can close other threads' connections.
        connection = getattr(self._local, "con", None)
        if connection is None:
            connection = self._local.con = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        address = f"{Path(self.directory, DBNAME).as_uri()}?{self._way}"
        connection = sqlite3.connect(
            address, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        guard(connection)
        if self._lasting:
            connection.execute(f"PRAGMA cache_size = {PAGES_KEPT}")
            connection.execute(f"PRAGMA mmap_size = {SETTINGS['sqlite_mmap_size']}")
            connection.execute(f"PRAGMA synchronous = {LASTING}")
        with self._registering:
            for thread in [thread for thread in self._connections if not thread.is_alive()]:
                self._connections.pop(thread).close()
            self._connections[threading.current_thread()] = connection
        return connection

    def close(self) -> None:
        """Close the calling thread's connection; the next use opens another."""
        with self._registering:
            self._connections.pop(threading.current_thread(), None)
        super().close()

    @property
    def there(self) -> bool:
        """Whether its file still lies in its folder; SQLite would go on writing to one that was removed."""
        return self._file_there() == self._file

    def _file_there(self) -> tuple[object, ...] | None:
        try:
            found = os.stat(f"{self.directory}/{DBNAME}")
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def leave_behind(self, in_use: bool) -> None:
        """In a forked child: be rid of all that was inherited; what another thread was using cannot even be closed."""
        if in_use:
            _abandoned.extend(self._connections.values())
            self._connections.clear()
        _close_all(self._connections)
        self._registering = threading.Lock()
        self._local = threading.local()
        self._txn_id = None

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        run = self._sql

        def patiently(statement: str, *values: Any) -> sqlite3.Cursor:
            until = time.monotonic() + self._patience
            while True:
                try:
                    return run(statement, *values)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                    time.sleep(_PAUSE)

        return patiently

    def reset(self, key: str, value: Any = ENOVAL, update: bool = True) -> Any:
        """Apply a setting; one that is not rtk's never becomes SQL text or an attribute."""
        if key not in COUNTERS and not (value is not ENOVAL and is_setting(key, value)):
            raise UnsafeStore(
                f"the store in {self.directory} holds the setting {key!r:.60} = {value!r:.60}, which is not rtk's",
                mend=f"move {self.directory} away, or name another store (RTK_CACHE=FOLDER or store=FOLDER)",
            )
        return super().reset(key, value, update)

    def rows(self, first: str, beyond: str, limit: int = -1) -> list[tuple[str, bytes]]:
        """Rows with `first <= key < beyond`, in order of their keys, in one query: pairs of key and value.

        Values are bytes and keys decoded leniently, so that one damaged row does not hide its neighbours.

        Raises:
            UnsafeStore: for a row that is not plain text.
        """
        query = (
            f"SELECT CAST(key AS BLOB), CASE WHEN {_PLAIN} THEN CAST(value AS BLOB) END"
            " FROM Cache WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
        )
        found = self._sql(query, (first, beyond, limit)).fetchall()
        if any(value is None for _, value in found):
            self._refuse(first, beyond)
            return self.rows(first, beyond, limit)  # somebody has replaced it meanwhile
        return [(key.decode("utf-8", "replace"), value) for key, value in found]

    def _refuse(self, first: str, beyond: str) -> None:
        """Say what it is that is not plain text."""
        query = (
            "SELECT CAST(key AS BLOB), typeof(key), raw, mode, filename, CAST(value AS BLOB), typeof(value)"
            f" FROM Cache WHERE key >= ? AND key < ? AND NOT {_PLAIN}"
        )
        for key, key_type, raw, mode, filename, value, value_type in self._sql(query, (first, beyond)).fetchall():
            self._text.get(_as_stored(key, key_type), raw)
            self._text.fetch(mode, filename, _as_stored(value, value_type), False)

    def row(self, key: str) -> bytes | None:
        """The value of one row, None where there is none; otherwise like `rows`."""
        found = self.rows(key, key + "\0", 1)
        return found[0][1] if found else None

    def several(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those of some rows that are there, in one query; otherwise like `rows`."""
        query = (
            f"SELECT CAST(key AS BLOB), CASE WHEN {_PLAIN} THEN CAST(value AS BLOB) END"
            " FROM Cache WHERE key IN (SELECT value FROM json_each(?))"
        )
        found = self._sql(query, (json.dumps(keys),)).fetchall()
        if any(value is None for _, value in found):
            return {key: value for key in keys if (value := self.row(key)) is not None}  # which says what is wrong
        return {key.decode(): value for key, value in found}

    def put(self, rows: Iterable[tuple[str, str]]) -> None:
        """Write rows of key and value, within a transaction; as diskcache's `set` does one by one."""
        now = time.time()
        statement = (
            "INSERT INTO Cache (key, raw, store_time, access_time, access_count, size, mode, value)"
            " VALUES (?, 1, ?, ?, 0, 0, 1, ?)"
            " ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, mode = 1, filename = NULL,"
            " value = excluded.value"
        )
        self._con.executemany(statement, ((key, now, now, value) for key, value in rows))

    def keys(self, first: str, beyond: str, limit: int) -> list[str]:
        """Keys of up to `limit` rows with `first < key < beyond`, in order, from the index alone."""
        query = "SELECT CAST(key AS BLOB), typeof(key), raw FROM Cache WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        found = self._sql(query, (first, beyond, limit)).fetchall()
        return [self._text.get(_as_stored(key, kind), raw) for key, kind, raw in found]

    def drop(self, first: str, beyond: str) -> int:
        """Remove rows with `first <= key < beyond`; how many there were."""
        return self._sql("DELETE FROM Cache WHERE key >= ? AND key < ?", (first, beyond)).rowcount

    def compact(self, share: float) -> int:
        """Give free pages back to the disk where they are at least such a share of all; how many bytes that was.

        It takes as much free disk as what is left, for a moment.
        """
        ((pages,),), ((free,),), ((size,),) = (
            self._sql(f"PRAGMA {name}").fetchall() for name in ("page_count", "freelist_count", "page_size")
        )
        if not free or free < share * pages:
            return 0
        self._con.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # it copies the file through another one
        try:
            self._sql("VACUUM")
        finally:
            self._con.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return free * size

    def how_many(self, first: str, beyond: str) -> int:
        """How many rows have `first <= key < beyond`."""
        ((found,),) = self._sql("SELECT count(*) FROM Cache WHERE key >= ? AND key < ?", (first, beyond)).fetchall()
        return found


def _close_all(connections: dict[threading.Thread, sqlite3.Connection]) -> None:
    while connections:
        connections.popitem()[1].close()


def _as_stored(value: Any, kind: str) -> Any:
    return value.decode("utf-8", "replace") if kind == "text" else value
