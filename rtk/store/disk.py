"""How keys and values lie in the database: as text, in the row itself, and in no other way."""

from __future__ import annotations

from typing import Any, NoReturn

import diskcache
from diskcache.core import MODE_RAW, UNKNOWN

from rtk.errors import UnsafeStore


class TextDisk(diskcache.Disk):
    """A diskcache `Disk` that neither pickles nor unpickles, and that never touches a file.

    In diskcache the *row* says how its key and value are encoded, so a crafted database runs code when it is read,
    and names files to be read or removed outside its folder. Here every row but plain text is refused.

    Raises:
        UnsafeStore: from every method, for a key or value that is not text inline.
    """

    def put(self, key: Any) -> tuple[str, bool]:
        """The column values of a key."""
        if type(key) is not str:
            self._refuse(f"a key of type {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """The key of a row."""
        if raw != 1:
            self._refuse("a pickled key")
        if type(key) is not str:
            self._refuse(f"a key of type {type(key).__name__}")
        return key

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, None, str]:
        """The column values of a value: `(size, mode, filename, value)`; inline at any length."""
        if read or type(value) is not str:
            self._refuse(f"a value of type {type(value).__name__}")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> str:
        """The value of a row."""
        if filename is not None:
            self._refuse("a value in a file")
        if mode != MODE_RAW:
            self._refuse(f"a value of mode {mode!r}")
        if read or type(value) is not str:
            self._refuse(f"a value of type {type(value).__name__}")
        return value

    def filename(self, key: Any = UNKNOWN, value: Any = UNKNOWN) -> NoReturn:
        """No value has a file."""
        self._refuse("a value in a file")

    def remove(self, file_path: Any) -> NoReturn:
        """No file is ever removed."""
        self._refuse("a file to remove")

    def _write(self, full_path: Any, iterator: Any, mode: Any, encoding: Any = None) -> NoReturn:
        self._refuse("a value in a file")

    def _refuse(self, what: str) -> NoReturn:
        raise UnsafeStore(
            f"the store in {self._directory} has {what}; rtk writes text only, and reads nothing else",
            mend=f"rtk did not write this: move {self._directory} away, or name another store (RTK_CACHE= or store=)",
        )
