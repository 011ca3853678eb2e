"""The store: samples at their addresses, shared by threads and processes, the first writer of each winning."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rtk.errors import NewerStore, ServedModelChanged, StoreError
from rtk.samples import Address, Request, Sample, Stream
from rtk.store.database import Database
from rtk.store.exchange import Merged, Verified, Where, lines_of, merge_into
from rtk.store.failures import explained
from rtk.store.forking import operation
from rtk.store.layout import INDEX_DIGITS, address_of, request_row, sample_row, served_row
from rtk.store.paths import default_path, whole_path
from rtk.store.tape import save

PAGE = 512
"""Rows fetched at a time while iterating; no cursor stays open while the caller's code runs."""


class DamagedSample(UserWarning):
    """A stored entry could not be read back; it counts as absent and the next write replaces it."""


class SampleStore:
    """Samples on disk, each at its address, written once.

    Threads and processes may share one. There is no eviction, and no copy in memory. A forked child may go on using it.
    Where its folder is removed meanwhile, the next use makes it anew, empty.

    Args:
        path: the folder; by default `default_path()`. Made where it is missing. Other files in it are left alone.
        timeout: seconds to wait while another process writes.

    Raises:
        UnsafeStore: where the folder holds a database that rtk did not write.
        StoreError: where it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, timeout: float = 60.0) -> None:
        self._path = default_path() if path is None else whole_path(path)
        self._timeout = float(timeout)
        self._reported: set[str] = set()
        with operation(), explained("open", self._path, self._timeout):
            self._database = Database(self._path, self._timeout)

    # --- samples ----------------------------------------------------------------------------------------------

    def read(self, key: str, stream: Stream | str, indices: Iterable[int] | None = None) -> dict[int, Sample]:
        """The samples of one request in one stream, by index, in one query.

        Args:
            key: the request's.
            stream: the stream, or its path.
            indices: which are wanted; all by default. Those between the first and the last are read in any case.

        Returns:
            What is there, in order of the indices; what is missing or damaged is not in it.

        Raises:
            UnsafeStore: for a row that rtk did not write.
            StoreError: where the database cannot be read.
        """
        wanted = None if indices is None else {index for index in indices if 0 <= index < 10**INDEX_DIGITS}
        if wanted is not None and not wanted:
            return {}
        first = Address(key, str(stream), min(wanted) if wanted else 0)
        last = first._replace(index=max(wanted) if wanted else 10**INDEX_DIGITS - 1)
        with self._using("read"):
            rows = self._database.rows(sample_row(first), sample_row(last) + "\0")
        found: dict[int, Sample] = {}
        for row, text in rows:  # all of them begin with this request and stream, as both ends do
            index = row[-INDEX_DIGITS:]
            if wanted is None or not index.isdecimal() or int(index) in wanted:
                sample, damage = _read_sample(row, text)
                if sample is None:
                    self._report(row, damage)
                else:
                    found[sample.address.index] = sample
        return found

    def write(self, request: Request, samples: Iterable[Sample]) -> list[Sample]:
        """Store samples of one request with it, in one transaction that is on the disk when this returns.

        Where another writer was first, its sample stays. A damaged entry is replaced.

        Returns:
            What is now at each sample's address, in their order, as `read` gives it.

        Raises:
            ServedModelChanged: where another model answered than the one whose samples are there; nothing is stored.
            UnsupportedParameter: for text that cannot be stored (see `rtk.samples.readable`).
            StoreError: where a sample is not of this request, or the database cannot be written; nothing is stored.
        """
        return self.write_all([(request, list(samples))])[0]

    def write_all(self, groups: Sequence[tuple[Request, Sequence[Sample]]]) -> list[list[Sample]]:
        """Store samples of several requests in one transaction; otherwise as `write`.

        Raises:
            What `write` raises; nothing is stored then.
        """
        given = [(request, [_written(request, sample) for sample in samples]) for request, samples in groups]
        if not any(entries for _, entries in given):
            return [[] for _ in given]
        damaged: dict[str, str] = {}
        kept: dict[str, Sample] = {}
        with self._transaction():
            for request, entries in given:
                self._settle(request, entries, kept, damaged)
        for row, damage in damaged.items():
            self._report(row, damage)
            self._reported.discard(row)  # mended: were it damaged again, that would be news
        return [[kept[row] for row, _, _ in entries] for _, entries in given]

    def _settle(self, request: Request, given: list[Written], kept: dict[str, Sample], damaged: dict[str, str]) -> None:
        """Within a transaction: write what is not there, and keep in mind what is."""
        new: dict[str, tuple[Sample, str]] = {}
        for row, sample, text in given:
            if row in kept or row in new:
                continue
            stored = self._database.row(row)
            there, damage = (None, "") if stored is None else _read_sample(row, stored)
            if there is not None:
                kept[row] = there
                continue
            new[row] = (sample, text)
            if stored is not None:
                damaged[row] = damage
        if new:
            self._settle_request(request, [sample.served_model for sample, _ in new.values()])
        for row, (_, text) in new.items():
            self._database.set(row, text)
            kept[row] = Sample.from_json(text)

    def _settle_request(self, request: Request, served: list[str | None]) -> None:
        if _text(self._database.row(request_row(request.key))) != request.body:
            self._database.set(request_row(request.key), request.body)
        row = served_row(request.key)
        known = before = _text(self._database.row(row))
        for name in served:
            if name is None or name == known:
                continue
            if known is not None:
                raise _changed(request, known, name)
            known = name
        if known is not None and known != before:
            self._database.set(row, known)

    # --- what is there ----------------------------------------------------------------------------------------

    def request(self, key: str) -> Request | None:
        """The request of a key; None where no sample of it was stored, or the entry is damaged."""
        with self._using("read"):
            body = self._database.row(request_row(key))
        return None if body is None else self._parse(request_row(key), body)

    def requests(self) -> Iterator[Request]:
        """All requests, in order of their keys."""
        for row, body in self._rows("request:"):
            if (request := self._parse(row, body)) is not None:
                yield request

    def addresses(self) -> Iterator[Address]:
        """Addresses of all samples, by key, then the text of the stream, then index; the samples are not read."""
        after = "sample:"
        while True:
            with self._using("read"):
                rows = self._database.keys(after, "sample;", PAGE)
            for row in rows:
                if (address := address_of(row)) is None:
                    self._report(row, "its key is no address")
                else:
                    yield address
            if len(rows) < PAGE:
                return
            after = rows[-1]

    def count(self) -> int:
        """How many samples there are."""
        with self._using("read"):
            return self._database.how_many("sample:", "sample;")

    def samples(self, key: str) -> Iterator[Sample]:
        """All samples of a request, by the text of the stream, then index; damaged ones are reported and left out."""
        for row, text in self._rows(f"sample:{key}:"):
            sample, damage = _read_sample(row, text)
            if sample is None:
                self._report(row, damage)
            else:
                yield sample

    # --- in and out -------------------------------------------------------------------------------------------

    def export(self, path: str | os.PathLike[str], where: Where | None = None) -> Path:
        """Write samples to a file that `rtk.recording` replays and `merge` takes in; equal samples give equal bytes.

        Args:
            path: `….jsonl` or `….jsonl.gz`; replaced in one step.
            where: `(request, sample) -> bool`, which of them; all by default.

        Raises:
            RecordingError: where it cannot be written, or would hold what looks like a key; nothing is written then.
        """
        save(Path(path), lines_of(self, where))
        return Path(path)

    def merge(self, path: str | os.PathLike[str]) -> Merged:
        """Add the samples of such a file. Where another sample is at an address, it stays, and is reported.

        Raises:
            RecordingError: for a file that is not sound from end to end; nothing is added then.
        """
        return merge_into(self, Path(path))

    def remove(self, key: str) -> int:
        """Remove a request and all its samples, in one transaction; how many samples there were.

        Raises:
            StoreError: where the database cannot be written; nothing is removed.
        """
        with self._transaction():
            for row in (request_row(key), served_row(key)):
                self._database.drop(row, row + "\0")
            return self._database.drop(f"sample:{key}:", f"sample:{key};")

    def verify(self) -> Verified:
        """Read every entry and check it: its type, its address, its checksum."""
        requests, lost = self._read_all("request:", _read_request)
        samples, damaged = self._read_all("sample:", _read_sample)
        return Verified(requests, samples, damaged=(*lost, *damaged))

    def _read_all(self, kind: str, read: Callable[[str, bytes], tuple[Any, str]]) -> tuple[int, list[str]]:
        """How many rows of a kind are whole, and which are not."""
        whole, damaged = 0, []
        for row, text in self._rows(kind):
            if read(row, text)[0] is None:
                damaged.append(row)
            else:
                whole += 1
        return whole, damaged

    def _rows(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """All rows of a kind, a page at a time: no cursor stays open while the caller's code runs."""
        after, beyond = kind, f"{kind[:-1]};"
        while True:
            with self._using("read"):
                rows = self._database.rows(after, beyond, PAGE)
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1][0] + "\0"

    def _parse(self, row: str, body: bytes) -> Request | None:
        request, damage = _read_request(row, body)
        if request is None:
            self._report(row, damage)
        return request

    # --- the store itself -------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def close(self) -> None:
        """Close the calling thread's connection; other threads' close with their threads, and a later use reopens."""
        with self._using("close"):
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # DSPy deep-copies modules, and with them whatever holds a store

    def __reduce__(self) -> Any:
        return functools.partial(SampleStore, str(self._path), timeout=self._timeout), ()

    def __repr__(self) -> str:
        return f"SampleStore({str(self._path)!r})"

    @contextmanager
    def _using(self, doing: str) -> Iterator[None]:
        with operation(), explained(doing, self._path, self._timeout):
            if not self._database.there:
                self._database = Database(self._path, self._timeout)
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._using("write to"):
            try:
                with self._database.transact():
                    yield
            except BaseException:
                self._database.close()  # also ends a transaction whose COMMIT failed
                raise

    def _report(self, row: str, damage: str) -> None:
        if row not in self._reported:
            self._reported.add(row)
            text = f"the entry {row} of the store in {self._path} is damaged and counts as absent: {damage}"
            warnings.warn(text, DamagedSample, stacklevel=3)


Written = tuple[str, Sample, str]
"""The key of a sample's row, the sample, and its stored form."""


def _written(request: Request, sample: Sample) -> Written:
    row = sample_row(sample.address)
    if sample.address.key != request.key:
        raise StoreError(f"a sample at {sample.address} is none of {request!r}")
    return row, sample, sample.to_json()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _read_request(row: str, body: bytes) -> tuple[Request | None, str]:
    """The request of a row, or None and what is wrong with it."""
    try:
        request = Request.parse(body.decode("utf-8", "replace"))
    except StoreError as error:
        return None, str(error)
    return (request, "") if request_row(request.key) == row else (None, "the request does not match its key")


def _read_sample(row: str, text: bytes) -> tuple[Sample | None, str]:
    """The sample of a row, or None and what is wrong with it."""
    try:
        sample = Sample.from_json(text)
    except NewerStore:
        raise  # it is not damaged: it must not be drawn again and written over
    except StoreError as error:
        return None, str(error)
    key, stream, index = sample.address
    if f"sample:{key}:{stream}:{index:0{INDEX_DIGITS}}" != row:
        return None, f"it says that it belongs at {sample.address}"
    return sample, ""


def _changed(request: Request, known: str, name: str) -> ServedModelChanged:
    return ServedModelChanged(
        f"{request!r} was answered by {known!r} before and now by {name!r}: samples of two models would be mixed",
        mend=f'give the new one addresses of its own: rtk.LM({request.model!r}, revision="{name}")',
    )
