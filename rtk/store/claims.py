"""Claims: which samples of a store this process is drawing, so that no other process draws and pays them too.

A claim is a lock of the operating system on one byte of the file `claims`, at an offset that stands for the address
(POSIX `fcntl`, advisory record locking); samples that follow one another lie side by side, and one lock takes them all.
The kernel gives it back when the process ends, however it ends: a holder that was killed keeps nothing. Nothing is ever
written to the file. Threads of one process share its claims: among them it is for the one desk of the store
(`rtk.models.drawing`) to draw a sample once.

Where the file system has no locks, and on Windows, nothing is claimed: two processes that want the same new sample at
the same moment may both pay for it, and the first writer's is kept.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rtk.errors import StoreError
from rtk.samples import Address, checksum

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger("rtk")

FILE = "claims"

_ELSEWHERE = {errno.EACCES, errno.EAGAIN}
_NO_LOCKS = {errno.ENOLCK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Claims:
    """The claims of this process on one store; one for each store and process.

    Closing any handle of the file would drop all of a process's locks on it, so it is opened once, and closed when
    nothing is claimed any more.

    Args:
        folder: the store's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: int | None = None
        self._held = set[Address]()
        self._works = sys.platform != "win32"

    def __repr__(self) -> str:
        return f"Claims({str(self._path.parent)!r})"

    def take(self, addresses: Sequence[Address]) -> list[Address]:
        """Claim what no other process has claimed: those of the addresses that are this process's now.

        Raises:
            StoreError: where the file cannot be opened.
        """
        if not self._works:
            return list(addresses)
        file = self._opened()
        try:
            mine = [address for run in _runs(addresses) for address in self._lock_all(file, run)]
            self._held.update(mine)
        finally:
            self._close_idle()
        return mine

    def release(self, addresses: Sequence[Address]) -> None:
        """Give claims back: the samples are stored, or nobody here draws them any longer."""
        if sys.platform != "win32" and self._works and self._file is not None:
            for run in _runs(addresses):
                with suppress(OSError):
                    fcntl.lockf(self._file, fcntl.LOCK_UN, len(run), _offset(run[0]))
            self._held.difference_update(addresses)
            self._close_idle()

    def _close_idle(self) -> None:
        if self._file is not None and not self._held:
            os.close(self._file)
            self._file = None

    def _lock_all(self, file: int, run: list[Address]) -> list[Address]:
        """Those of a run that are this process's now: all at once, else one by one."""
        if self._lock(file, run):
            return run
        return [address for address in run if self._lock(file, [address])] if len(run) > 1 else []

    def _lock(self, file: int, run: list[Address]) -> bool:
        if sys.platform == "win32" or not self._works:
            return True
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, len(run), _offset(run[0]))
        except OSError as error:
            if error.errno in _ELSEWHERE:
                return False
            if error.errno not in _NO_LOCKS:
                raise StoreError(f"cannot claim samples in {self._path.parent}: {error}") from error
            self._works = False
            logger.warning("%s lies where files cannot be locked: processes that draw the same samples at the same "
                           "moment may pay for them twice", self._path.parent)  # fmt: skip
        return True

    def _opened(self) -> int:
        """The file, opened anew where the store's folder was removed meanwhile."""
        if self._file is None or not self._there(self._file):
            try:
                # A link could lead anywhere: a stranger's store must not make us create or lock a file of ours.
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except OSError as error:
                raise StoreError(
                    f"cannot claim samples in {self._path.parent}: {error}",
                    mend="samples are drawn into a folder that can be written: RTK_CACHE=FOLDER, or store=FOLDER",
                ) from error
        return self._file

    def _there(self, file: int) -> bool:
        mine = os.fstat(file)
        with suppress(FileNotFoundError):
            found = os.stat(self._path, follow_symlinks=False)
            return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)
        return False


_STREAM_BITS, _INDEX_BITS = 38, 24
"""Of an offset: what stands for the request and the stream, and what for the index; a file's offset has 63."""


def _runs(addresses: Sequence[Address]) -> list[list[Address]]:
    """The addresses in groups whose bytes lie side by side."""
    runs: list[list[Address]] = []
    for address in addresses:
        last = runs[-1][-1] if runs else None
        follows = last is not None and address.index == last.index + 1 and address[:2] == last[:2]
        if follows and address.index % 2**_INDEX_BITS:
            runs[-1].append(address)
        else:
            runs.append([address])
    return runs


def _offset(address: Address) -> int:
    """The byte that stands for an address. Two that share one merely wait for each other."""
    stream = int(checksum(f"{address.key}/{address.stream}")[:16], 16) >> (64 - _STREAM_BITS)
    return (stream << _INDEX_BITS) + address.index % 2**_INDEX_BITS
