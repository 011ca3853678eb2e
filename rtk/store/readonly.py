"""A store that can only be read: on a medium, or in a folder, that takes no writing.

SQLite cannot open a database of ours there as it is: it would first make a file that all who use it share. So where
nobody has left a log beside the database, it is opened as one that does not change (SQLite's `immutable=1`), and
opened anew as soon as it has changed after all, since its owner may be able to write. A log that is there holds
samples, and is read along with the database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diskcache.core import DBNAME

from rtk.errors import StoreError
from rtk.store.database import Database
from rtk.store.inspection import UNCHANGING

_COPY = "copy the folder to where it can be written, and name the copy: RTK_CACHE=FOLDER, or store=FOLDER"


def opened(folder: Path, timeout: float) -> Database:
    """The database in a folder: to be read and written, or only to be read where it cannot be written.

    Raises:
        StoreError: for one that cannot even be read without writing.
        What `Database` raises.
    """
    return (ReadOnlyDatabase if _frozen(folder) else Database)(folder, timeout)


def _frozen(folder: Path) -> bool:
    database = folder / DBNAME
    return database.exists() and not (os.access(folder, os.W_OK | os.X_OK) and os.access(database, os.W_OK))


def _way(folder: Path) -> str:
    """How SQLite can open a database where it may not write."""
    log, index = folder / f"{DBNAME}-wal", folder / f"{DBNAME}-shm"
    if not log.exists() or log.stat().st_size == 0:
        return UNCHANGING
    if index.exists():
        return "mode=ro"
    raise StoreError(f"{log} holds samples that cannot be read where nothing can be written", mend=_COPY)


class ReadOnlyDatabase(Database):
    """A database that is read and not written; see `Database`."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._way = _way(folder)
        super().__init__(folder, timeout)

    def _open(self, folder: Path, timeout: float) -> None:
        # What diskcache keeps of a database. It would create its tables first, were it asked.
        self._directory, self._timeout, self._txn_id = str(folder), timeout, None

    def _file_there(self) -> tuple[object, ...] | None:
        folder = Path(self.directory)
        try:
            found = os.stat(folder / DBNAME)
        except FileNotFoundError:
            return None
        state = (found.st_size, found.st_mtime_ns) if self._way == UNCHANGING else ()
        return found.st_dev, found.st_ino, *state, _way(folder), _frozen(folder)

    @contextmanager
    def transact(self, retry: bool = False) -> Iterator[None]:
        """Refuse to write.

        Raises:
            StoreError: always.
        """
        raise StoreError(
            f"the store in {self.directory} can only be read: nothing can be written there",
            mend=f"what it holds is read as it is; to add to it, {_COPY}",
        )
        yield
