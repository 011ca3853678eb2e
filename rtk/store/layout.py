"""What a database of ours looks like: its settings, its schema, and the keys of its rows.

Three kinds of row, all text, in diskcache's table `Cache`:

    request:KEY                 the request's body
    served:KEY                  the name under which the server answered it first
    sample:KEY:STREAM:INDEX     one sample; the index in ten digits, so that a stream is one range in order
"""

from __future__ import annotations

import re

from rtk.errors import StoreError
from rtk.samples import Address

VERSION = 0
"""SQLite's `user_version` of a database of ours. A layout that this code would misread gets a higher one."""

SETTINGS: dict[str, int | str] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": 2**62,
    "cull_limit": 0,
    "sqlite_auto_vacuum": 0,
    "sqlite_cache_size": 2000,  # pages; every thread has a connection of its own
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # a mapped file that shrinks kills the process
    "sqlite_synchronous": 1,  # while opening; raised to 2 for what is written later
    "disk_min_file_size": 2**62,
    "disk_pickle_protocol": 0,
}
"""All of diskcache's settings, each passed at every opening: those in the file win otherwise."""

COUNTERS = frozenset({"count", "size", "hits", "misses"})
"""Rows of the table `Settings` that diskcache keeps itself: whole numbers from 0 on."""

LONGEST = 2**27
"""Bytes of the longest row that is read or written."""

LAST = "\U0010ffff"
"""No character comes after it in the order of row keys."""

INDEX_DIGITS = 10
SAMPLE_ROW = f"sample:%s:%s:%0{INDEX_DIGITS}d"
"""The row key of a sample, to be filled in with its address."""

_KEY = re.compile(r"[0-9a-f]{64}")
_STREAM = re.compile(r"[0-9]+(/[0-9]+)*(~[0-9]+)?")
_INDEX = re.compile(rf"[0-9]{{{INDEX_DIGITS}}}")


def _counting(name: str, event: str, change: str, counter: str) -> str:
    return (
        f"CREATE TRIGGER {name} AFTER {event} ON Cache FOR EACH ROW BEGIN "
        f'UPDATE Settings SET value = value {change} WHERE key = "{counter}"; END'
    )


SCHEMA: dict[tuple[str, str], str | None] = {
    ("table", "Settings"): "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
    ("index", "sqlite_autoindex_Settings_1"): None,
    ("table", "Cache"): (
        "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL,"
        " access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0,"
        " filename TEXT, value BLOB)"
    ),
    ("index", "Cache_key_raw"): "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
    ("index", "Cache_expire_time"): "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
    ("trigger", "Settings_count_insert"): _counting("Settings_count_insert", "INSERT", "+ 1", "count"),
    ("trigger", "Settings_count_delete"): _counting("Settings_count_delete", "DELETE", "- 1", "count"),
    ("trigger", "Settings_size_insert"): _counting("Settings_size_insert", "INSERT", "+ NEW.size", "size"),
    ("trigger", "Settings_size_update"): _counting("Settings_size_update", "UPDATE", "+ NEW.size - OLD.size", "size"),
    ("trigger", "Settings_size_delete"): _counting("Settings_size_delete", "DELETE", "- OLD.size", "size"),
}
"""`(type, name)` → SQL of everything in a database that diskcache 5.6 creates with these settings."""


def request_row(key: str) -> str:
    """The row key of a request."""
    return f"request:{key}"


def served_row(key: str) -> str:
    """The row key of the name that a request's model gave itself."""
    return f"served:{key}"


def sample_row(address: Address) -> str:
    """The row key of a sample.

    Raises:
        StoreError: for an address that no request and stream have.
    """
    fits = _KEY.fullmatch(address.key) and _STREAM.fullmatch(address.stream)
    if not fits or not 0 <= address.index < 10**INDEX_DIGITS:
        raise StoreError(
            f"{address!s:.160} is no address",
            mend="addresses come from rtk.samples.addresses(request, stream, start, count)",
        )
    return SAMPLE_ROW % address


def address_of(row: str) -> Address | None:
    """The address that a row key stands for; None where it stands for none."""
    kind, _, rest = row.partition(":")
    parts = rest.split(":")
    if kind != "sample" or len(parts) != 3:
        return None
    key, stream, index = parts
    if not (_KEY.fullmatch(key) and _STREAM.fullmatch(stream) and _INDEX.fullmatch(index)):
        return None
    return Address(key, stream, int(index))
