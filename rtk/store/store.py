"""The store: samples at their addresses, shared by threads and processes, the first writer of each winning."""

from __future__ import annotations

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rtk.errors import NewerStore, ServedModelChanged, StoreError
from rtk.samples import Address, Request, Sample, Stream
from rtk.store.exchange import Merged, Verified, Where, lines_of, merge_into
from rtk.store.failures import explained
from rtk.store.forking import operation
from rtk.store.ingest import Ingested, Messages, ingest_into
from rtk.store.layout import INDEX_DIGITS, LAST, SAMPLE_ROW, address_of, request_row, sample_row, served_row
from rtk.store.overview import Held, overview
from rtk.store.paths import default_path, size_of, whole_path
from rtk.store.readonly import opened
from rtk.store.tape import save

PAGE = 512
"""Rows fetched at a time while iterating; no cursor stays open while the caller's code runs."""


class DamagedSample(UserWarning):
    """A stored entry could not be read back; it counts as absent and the next write replaces it."""


class SampleStore:
    """Samples on disk, each at its address, written once.

    Threads and processes may share one. There is no eviction, and no copy in memory. A forked child may go on using it.
    Where its folder is removed meanwhile, the next use makes it anew, empty. A folder that cannot be written is read.

    Args:
        path: the folder; by default `default_path()`. Made where it is missing. Other files in it are left alone.
        timeout: seconds to wait while another process writes.
        make: whether to make a store where there is none.

    Raises:
        UnsafeStore: where the folder holds a database that rtk did not write.
        StoreError: where it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, timeout: float = 60.0, make: bool = True) -> None:
        self._path = default_path() if path is None else whole_path(path)
        if not make and not self.size:
            raise StoreError(f"there is no store in {self._path}", mend="name another: RTK_CACHE=, store=, or --store")
        self._timeout = float(timeout)
        self._reported: set[str] = set()
        with operation(), explained("open", self._path, self._timeout):
            self._database = opened(self._path, self._timeout)

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
        wanted = None if indices is None else set(indices)
        if wanted and not (min(wanted) >= 0 and max(wanted) < 10**INDEX_DIGITS):
            wanted = {index for index in wanted if 0 <= index < 10**INDEX_DIGITS}
        if wanted is not None and not wanted:
            return {}
        first = Address(key, str(stream), min(wanted) if wanted else 0)
        last = first._replace(index=max(wanted) if wanted else 10**INDEX_DIGITS - 1)
        with self._using("read"):
            rows = self._database.rows(sample_row(first), sample_row(last) + "\0")
        if wanted is not None and len(wanted) <= last.index - first.index:
            names = {sample_row(first._replace(index=index)) for index in wanted}
            rows = [(row, text) for row, text in rows if row in names]
        sound = (self._sound(row, text) for row, text in rows)
        return {sample.address.index: sample for sample in sound if sample is not None}

    def read_each(self, addresses: Iterable[Address]) -> dict[Address, Sample]:
        """Samples of any requests, in one query; otherwise as `read`."""
        rows = {sample_row(address): address for address in addresses}
        with self._using("read"):
            found = self._database.several(list(rows))
        sound = {row: self._sound(row, text) for row, text in found.items()}
        return {rows[row]: sample for row, sample in sound.items() if sample is not None}

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
        found = self._database.several([row for row, _, _ in given])
        for row, sample, text in given:
            if row in kept or row in new:
                continue
            stored = found.get(row)
            there, damage = (None, "") if stored is None else _read_sample(row, stored)
            if there is not None:
                kept[row] = there
                continue
            new[row] = (sample, text)
            if stored is not None:
                damaged[row] = damage
        if new:
            self._settle_request(request, [sample.served_model for sample, _ in new.values()])
        self._database.put((row, text) for row, (_, text) in new.items())
        kept |= {row: Sample.from_json(text) for row, (_, text) in new.items()}

    def _settle_request(self, request: Request, served: list[str | None]) -> None:
        row = request_row(request.key)
        stored = self._database.row(row)
        if stored is None or (stored != request.body.encode() and _read_request(row, stored)[0] is None):
            self._database.put([(row, request.body)])
        row = served_row(request.key)
        known = before = _text(self._database.row(row))
        for name in served:
            if name is None or name == known:
                continue
            if known is not None:
                raise _changed(request, known, name)
            known = name
        if known is not None and known != before:
            self._database.put([(row, known)])

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

    def overview(self, beginning: str = "") -> Iterator[Held]:
        """What there is of each request whose key begins so, in order of the keys; counted, and not verified."""
        return overview(self._rows(f"request:{beginning}"), self._rows(f"sample:{beginning}"))

    def samples(self, key: str) -> Iterator[Sample]:
        """All samples of a request, by the text of the stream, then index; damaged ones are reported and left out."""
        for row, text in self._rows(f"sample:{key}:"):
            if (sample := self._sound(row, text)) is not None:
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

    def ingest(
        self,
        table: Any,
        model: str,
        *,
        messages: Messages | None = None,
        temperature: float | None = None,
        options: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> Ingested:
        """Add samples that others drew, a row each, marked as ingested: a published run is voted on with no model.

        A row is stored where `rtk.LM(model, store=store)` looks for it when it is asked the same. `rtk.TextAdapter`
        asks for an input as it stands, and finds the answer in free text:

        >>> store.ingest("published.csv", model="openai/gpt-4")  # question, text  # doctest: +SKIP
        >>> with dspy.context(lm=rtk.LM("openai/gpt-4", store=store), adapter=rtk.TextAdapter()):  # doctest: +SKIP
        ...     rtk.SelfConsistency("question -> answer", samples=40)(question=question)

        Columns, of which a prompt and a text must be there:

        * `messages` (a list, or its JSON), else `prompt` or `question`, which is one message of the user's.
        * `text` or `completion`: what the model said. An empty one is a sample; a missing one is an error.
        * `index`: which sample of its prompt, from 0 on; by default they count in the order of the rows.
        * `temperature`, `top_p`, `min_p`, `top_k`, `max_tokens`: part of the request, so the LM needs the same ones.
        * `prompt_tokens`, `completion_tokens` (or `tokens`), `reasoning_tokens`, `dollars`, `seconds`; dollars that
          are not given are unknown, tokens and seconds count as 0.
        * `reasoning`, `finish_reason`, `logprobs`, `tool_calls`, `served_model`, `drawn_at`.

        At temperature 0 the samples of a prompt are one: the first row's is kept, others are reported as conflicts.

        Args:
            table: a pandas or polars frame, an Arrow table, dicts, or a .csv, .tsv, .jsonl, .json or .parquet file.
            model: the model string by which `rtk.LM` will ask.
            messages: `row -> messages`, for a program that writes its prompts otherwise, such as
                `lambda row: adapter.format(predictor.signature, predictor.demos, {"question": row["question"]})`.
            temperature: where there is no such column; by default the one that `rtk.LM` asks with, 0.7 for most models.
            options: other sampling parameters that the LM will be asked with.
            revision: as of `rtk.LM`.

        Raises:
            StoreError: naming rows and columns that cannot be read; nothing is stored then.
            UnsupportedParameter: for options that no request has.
        """
        given = {"temperature": temperature, **(options or {})}
        return ingest_into(self, table, model, messages, given, revision)

    def remove(self, *keys: str) -> int:
        """Remove requests and all their samples, in one transaction; how many samples there were.

        Raises:
            StoreError: where the database cannot be written; nothing is removed.
        """
        with self._transaction():
            for row in (row_of(key) for key in keys for row_of in (request_row, served_row)):
                self._database.drop(row, row + "\0")
            return sum(self._database.drop(f"sample:{key}:", f"sample:{key};") for key in keys)

    def compact(self, share: float = 0.25) -> int:
        """Give the disk back the room of what was removed, if that is at least such a share of the file; its bytes."""
        with self._using("write to"):
            return self._database.compact(share)

    def verify(self, progress: Callable[[int], object] | None = None) -> Verified:
        """Read every entry and check it: its type, its address, its checksum; `progress` hears how many were read."""
        counts, damaged = Counter[str](), list[str]()
        for kind, read in (("request:", _read_request), ("sample:", _read_sample)):
            for row, text in self._rows(kind):
                found, _ = read(row, text)
                if found is None:
                    damaged.append(row)
                else:
                    counts[kind] += 1
                    counts["ingested"] += isinstance(found, Sample) and found.ingested
                if progress is not None:
                    progress(counts["request:"] + counts["sample:"] + len(damaged))
        return Verified(counts["request:"], counts["sample:"], counts["ingested"], damaged=tuple(damaged))

    def _rows(self, beginning: str) -> Iterator[tuple[str, bytes]]:
        """All rows that begin so, a page at a time: no cursor stays open while the caller's code runs."""
        after, beyond = beginning, beginning + LAST
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

    @property
    def size(self) -> int:
        """Bytes that it takes on the disk."""
        return size_of(self._path)

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
                self._database = opened(self._path, self._timeout)
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

    def _sound(self, row: str, text: bytes) -> Sample | None:
        """The sample of a row; None where it is damaged, reported."""
        sample, damage = _read_sample(row, text)
        if sample is None:
            self._report(row, damage)
        return sample

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
    except NewerStore:
        raise
    except StoreError as error:
        return None, str(error)
    return (request, "") if request_row(request.key) == row else (None, "the request does not match its key")


def _read_sample(row: str, text: bytes) -> tuple[Sample | None, str]:
    """The sample of a row, or None and what is wrong with it."""
    try:
        return _sample_at(row, text), ""
    except NewerStore:
        raise  # it is not damaged: it must not be drawn again and written over
    except StoreError as error:
        return None, str(error)


def _sample_at(row: str, text: bytes) -> Sample:
    sample = Sample.from_json(text)
    if SAMPLE_ROW % sample.address != row:
        raise StoreError(f"it says that it belongs at {sample.address}")
    return sample


def _changed(request: Request, known: str, name: str) -> ServedModelChanged:
    return ServedModelChanged(
        f"{request!r} was answered by {known!r} before and now by {name!r}: samples of two models would be mixed",
        mend=f'give the new one addresses of its own: rtk.LM({request.model!r}, revision="{name}")',
    )
