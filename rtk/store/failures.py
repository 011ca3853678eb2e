"""What SQLite says, as an error that says what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import diskcache

from rtk.errors import StoreError, UnsafeStore
from rtk.store.layout import LONGEST

_ELSEWHERE = "name another folder, on a local disk: RTK_CACHE=FOLDER in the environment, or store=FOLDER"

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class explained:
    """Turn what goes wrong inside into a `StoreError` with its mend. No generator, since it is around every reading."""

    def __init__(self, doing: str, path: Path, timeout: float) -> None:
        self._doing, self._path, self._timeout = doing, path, timeout

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (sqlite3.Error, diskcache.Timeout)):
            raise _explain(self._doing, self._path, self._timeout, _first(error)) from error
        if isinstance(error, OSError):
            raise StoreError(f"cannot {self._doing} the store in {self._path}: {error}", mend=_ELSEWHERE) from error


def _first(error: BaseException) -> BaseException:
    # diskcache's Timeout hides every error at the start of a transaction, and a failing ROLLBACK the one before it.
    while isinstance(error.__context__, sqlite3.Error):
        error = error.__context__
    return error


def _explain(doing: str, path: Path, timeout: float, error: BaseException) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _BUSY:
        return StoreError(
            f"cannot {doing} the store in {path}: another process has kept it locked for {timeout:g} s",
            mend="wait for that process or end it, or give SampleStore a longer timeout= (seconds)",
        )
    if code in _BROKEN:
        return UnsafeStore(
            f"cannot {doing} the store in {path}: its database is damaged ({error})",
            mend=f"move {path} away (keep it: `sqlite3 cache.db .recover` may save samples), or {_ELSEWHERE}",
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"cannot {doing} the store in {path}: the disk is full; what was stored before is safe",
            mend=f"free some space and run again, or {_ELSEWHERE}",
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return StoreError(
            f"cannot {doing} the store in {path}: an entry is longer than {LONGEST // 2**20} MiB",
            mend="ask for fewer log-probabilities (top_logprobs=); where it is there already, move the folder away",
        )
    return StoreError(f"cannot {doing} the store in {path}: {error}", mend=_ELSEWHERE)
