"""Where the store lies when nobody says where."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs
from diskcache.core import DBNAME

from rtk.errors import StoreError
from rtk.shipped import DISTRIBUTION, checkout


def default_path() -> Path:
    """The folder of the default store.

    `RTK_CACHE` where it is set; `cache/live` inside a checkout of rtk; else the user's cache folder.
    """
    named = os.environ.get("RTK_CACHE")
    if named:
        return whole_path(named)
    root = checkout()
    if root is not None:
        return root / "cache" / "live"
    return Path(platformdirs.user_cache_dir(DISTRIBUTION))


def whole_path(path: str | os.PathLike[str]) -> Path:
    """An absolute path, with `~` and `$NAME` filled in.

    Raises:
        StoreError: where a `$NAME` is left over; diskcache would fill it in again and open another folder than was
            inspected.
    """
    text = os.path.abspath(os.path.expandvars(os.path.expanduser(os.fspath(path))))
    if os.path.expandvars(text) != text or "\0" in text:
        raise StoreError(f"the store's path {text!r} holds a name to fill in", mend="write the path out in full")
    return Path(text)


def size_of(folder: Path) -> int:
    """Bytes that the files of a store take; 0 where there is none."""
    size = 0
    for file in folder.glob(f"{DBNAME}*"):
        with suppress(FileNotFoundError):  # a log goes with the last process that uses the store
            size += file.stat().st_size
    return size
