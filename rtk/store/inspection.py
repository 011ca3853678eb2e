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
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from rtk.errors import UnsafeStore
from rtk.store.layout import COUNTERS, LONGEST, SCHEMA, SETTINGS

ROWS_LOOKED_AT = 10_000
"""Rows checked at opening. Any further one is checked when it is read, by `TextDisk`."""

_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")  # SQLite file format, section 3: the rollback journal
_NEEDS_WRITING = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY}


def inspect(database: Path, timeout: float) -> None:
    """Check that a database file, where there is one, is one that rtk wrote.

    Raises:
        UnsafeStore: where it is not, naming what is wrong with it.
        sqlite3.Error: where it cannot be read for another reason (locked, no permission).
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        _check_file(database.with_name(database.name + suffix))
    _check_journal(database.with_name(database.name + "-journal"))
    if not database.exists():
        return
    try:
        _inspect(database, "ro", timeout)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _NEEDS_WRITING:
            raise
        _inspect(database, "rw", timeout)  # its writer was killed: SQLite has to roll back before anyone can read


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


def _inspect(database: Path, mode: str, timeout: float) -> None:
    uri = f"{database.as_uri()}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)) as connection:
        guard(connection)
        try:
            connection.execute("BEGIN")  # one state of the file for all that follows
            tables = _check_schema(connection, database)
            if "Settings" in tables:
                _check_settings(connection, database)
            if "Cache" in tables:
                _check_rows(connection, database)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
                _refuse(database, f"cannot be read ({error})")
            raise
        except (sqlite3.DatabaseError, sqlite3.ProgrammingError) as error:
            _refuse(database, f"cannot be read ({error})")


def guard(connection: sqlite3.Connection) -> None:
    """Let a connection believe nothing that stands in the file's schema, and read no giant value."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _check_schema(connection: sqlite3.Connection, database: Path) -> set[str]:
    found = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100").fetchall()
    for kind, name, sql in found:
        plain = None if sql is None else re.sub(r"\s+", " ", str(sql))
        if SCHEMA.get((kind, name), "") != plain:
            _refuse(database, f"holds a {kind} {name!r:.60} that is not rtk's")
    return {name for kind, name, _ in found if kind == "table"}


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


def _refuse(path: Path, why: str) -> NoReturn:
    raise UnsafeStore(
        f"{path} {why}; nothing of it was used",
        mend=f"rtk did not write it so: move {path} away, or name another store (RTK_CACHE=FOLDER or store=FOLDER)",
    )
