"""Forks and open databases.

SQLite forbids a connection to cross a fork: the child would believe in file locks that only its parent has, and a
lock of SQLite's that another thread held at that moment stays locked in the child for ever. So a fork waits until no
operation is under way, and the child closes what it inherited before it opens anything.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import AbstractContextManager
from typing import Protocol

LONGEST_WAIT = 10.0
"""Seconds that a fork waits for operations under way; one stuck behind another process's lock must not block it."""


class Inherited(Protocol):
    """What has connections that a child inherits."""

    def leave_behind(self, in_use: bool) -> None:
        """Be rid of them, in the child; `in_use` where an operation of the parent's was under way after all."""
        ...


class _Gate:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.forking = False

    def __enter__(self) -> None:
        with self.changed:
            while self.forking:
                self.changed.wait()
            self.inside += 1

    def __exit__(self, *exception: object) -> None:
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def shut(self) -> None:
        until = time.monotonic() + LONGEST_WAIT
        with self.changed:
            self.forking = True
            while self.inside and (left := until - time.monotonic()) > 0:
                self.changed.wait(left)

    def open(self) -> None:
        with self.changed:
            self.forking = False
            self.changed.notify_all()


_gate = _Gate()
_databases: weakref.WeakSet[Inherited] = weakref.WeakSet()


def operation() -> AbstractContextManager[None]:
    """Around every use of a database: no fork happens meanwhile. Not to be nested."""
    return _gate


def close_in_children(database: Inherited) -> None:
    """From now on, a forked child closes what it inherits of this database."""
    _databases.add(database)


def _renew() -> None:
    global _gate
    in_use = _gate.inside > 0
    _gate = _Gate()
    for database in list(_databases):
        database.leave_behind(in_use)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _gate.shut(), after_in_parent=lambda: _gate.open(), after_in_child=_renew)
