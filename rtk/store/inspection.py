"""A look at a database before diskcache gets it.

diskcache believes the file it opens: names and values in its `Settings` become SQL text and attributes, its triggers
run at every write, and a link leads elsewhere. So the file is read first, with SQLite alone and read-only, and refused
where it is anything but what rtk leaves behind.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

from rtk.errors import NewerStore, UnsafeStore
from rtk.store.layout import COUNTERS, LONGEST, SCHEMA, SETTINGS, VERSION

ROWS_LOOKED_AT = 10_000
"""Rows checked at opening. Any further one is checked when it is read, by `TextDisk`."""

UNCHANGING = "immutable=1"
"""How SQLite opens a database that nobody changes meanwhile: without locks, and without the files that go with them."""

_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")  # SQLite file format, section 3: the rollback journal
_LOG_HEAD, _FRAME_HEAD, _SHORTEST_PAGE = 32, 24, 512  # bytes, by the same document
_RECOVER = "SQLite's shell may save what is left (`sqlite3 cache.db .recover`): "
_NEEDS_WRITING = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY}


def inspect(database: Path, timeout: float, way: str = "mode=ro") -> None:
    """Check that a database file, where there is one, is one that rtk wrote.

    Args:
        database: the file.
        timeout: seconds to wait while another process has it locked.
        way: how it will be opened; what will be opened as `UNCHANGING` is read so here too.

    Raises:
        UnsafeStore: where it is not, naming what is wrong with it.
        NewerStore: where a newer rtk wrote it.
        sqlite3.Error: where it cannot be read for another reason (locked, no permission).
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        _check_file(database.with_name(database.name + suffix))
    _check_journal(database.with_name(database.name + "-journal"))
    if not database.exists():
        return
    _check_size(database)
    try:
        _inspect(database, UNCHANGING if way == UNCHANGING else "mode=ro", timeout)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _NEEDS_WRITING:
            raise
        _inspect(database, "mode=rw", timeout)  # its writer was killed: SQLite has to roll back before anyone can read


def _check_file(path: Path) -> None:
    # lstat only: opening and closing the file here would drop the locks of every connection this process has to it.
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        _refuse(path, "is a link or no plain file")


def _check_journal(path: Path) -> None:
    # A journal can name a "super-journal", which SQLite removes after rolling back: any file, anywhere (tried).
    try:
        with path.open("rb") as journal:
            journal.seek(max(0, os.fstat(journal.fileno()).st_size - len(_JOURNAL_MAGIC)))
            if journal.read() == _JOURNAL_MAGIC:
                _refuse(path, "names a file outside the store")
    except FileNotFoundError:
        return


def _check_size(database: Path) -> None:
    # SQLite takes what is shorter than a page for a new database, and then removes the log beside it (tried).
    # The log is looked at first: of a store that another thread is just beginning, the database is there before its log
    # holds anything, while in the other order it could be empty in the one look and its log filled in the next.
    log = _log_of(database)
    logged = log.exists() and log.stat().st_size > 0
    size = database.stat().st_size
    if 0 < size < _SHORTEST_PAGE or (size == 0 and logged):
        _refuse(database, f"is cut off after {size} bytes", _RECOVER)


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _inspect(database: Path, way: str, timeout: float) -> None:
    uri = f"{database.as_uri()}?{way}"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)) as connection:
        guard(connection)
        try:
            connection.execute("BEGIN")  # one state of the file for all that follows
            _check_version(connection, database)
            tables = _check_schema(connection, database)
            _check_whole(connection, database)
            if "Settings" in tables:
                _check_settings(connection, database)
            if "Cache" in tables:
                _check_rows(connection, database)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
                _refuse(database, f"cannot be read ({error})", _RECOVER)
            raise
        except (sqlite3.DatabaseError, sqlite3.ProgrammingError) as error:
            _refuse(database, f"cannot be read ({error})", _RECOVER)


def guard(connection: sqlite3.Connection) -> None:
    """Let a connection believe nothing that stands in the file's schema, and read no giant value."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _check_version(connection: sqlite3.Connection, database: Path) -> None:
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version > VERSION:
        raise NewerStore(
            f"{database} has version {version} of its layout; this rtk reads {VERSION}",
            mend="pip install -U rtk-inference, or name another store (RTK_CACHE=FOLDER or store=FOLDER)",
        )


def _check_schema(connection: sqlite3.Connection, database: Path) -> set[str]:
    found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100").fetchall()
    for kind, name, sql in found:
        plain = None if sql is None else re.sub(r"\s+", " ", str(sql))
        if SCHEMA.get((kind, name), "") != plain:
            _refuse(database, f"holds a {kind} {name!r:.60} that is not rtk's")
    return {name for kind, name, _ in found if kind == "table"}


def _check_whole(connection: sqlite3.Connection, database: Path) -> None:
    """Check that each page is in the file or in the log; SQLite itself only does where there is no log.

    While a transaction reads, no page leaves the log before it is in the file.
    """
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    held = database.stat().st_size // size
    if pages > held and len({page for page in _logged(_log_of(database), size) if held < page <= pages}) < pages - held:
        _refuse(database, f"is cut off: it has {held} of {pages} pages", _RECOVER)


def _logged(log: Path, size: int) -> Iterator[int]:
    """The numbers of the pages in a log (SQLite file format, section 4.1)."""
    with suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(_LOG_HEAD)
        while len(head := file.read(_FRAME_HEAD)) == _FRAME_HEAD:
            yield int.from_bytes(head[:4], "big")
            file.seek(size, os.SEEK_CUR)


def _check_settings(connection: sqlite3.Connection, database: Path) -> None:
    for name, value in connection.execute("SELECT key, value FROM Settings LIMIT 100"):
        if name in COUNTERS:
            fits = type(value) is int and value >= 0
        else:
            fits = is_setting(name, value)
        if not fits:
            _refuse(database, f"holds the setting {name!r:.60} = {value!r:.60}, which is not rtk's")


def is_setting(name: object, value: object) -> bool:
    """Whether a setting is one that rtk sets, with the value that rtk gives it."""
    known = SETTINGS.get(name) if isinstance(name, str) else None
    return known is not None and type(value) is type(known) and value == known


def _check_rows(connection: sqlite3.Connection, database: Path) -> None:
    query = (
        "SELECT count(*) FROM (SELECT raw, mode, filename, typeof(key) AS kind, typeof(value) AS held"
        " FROM Cache LIMIT ?)"
        " WHERE raw IS NOT 1 OR mode IS NOT 1 OR filename IS NOT NULL OR kind != 'text' OR held != 'text'"
    )
    ((wrong,),) = connection.execute(query, (ROWS_LOOKED_AT,)).fetchall()
    if wrong:
        _refuse(database, f"holds {wrong} rows that are not plain text (pickles, or names of files)")


def _refuse(path: Path, why: str, first: str = "rtk did not write it so: ") -> NoReturn:
    raise UnsafeStore(
        f"{path} {why}; nothing of it was used",
        mend=f"{first}move {path} away, or name another store (RTK_CACHE=FOLDER or store=FOLDER)",
    )
