"""Samples that leave a store as a file, and come into one: what is written is what a recording holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rtk.errors import ServedModelChanged
from rtk.samples import Address, Request, Sample
from rtk.store.tape import entry_line, head, load, request_line

Where = Callable[[Request, Sample], bool]
"""Which samples leave: `(request, sample) -> bool`."""

Group = tuple[Request, Sequence[Sample]]
"""Samples of one request."""

BATCH = 500  # samples of one transaction, or those of one request where they are more


class Holder(Protocol):
    """What a store does for an exchange."""

    def requests(self) -> Iterator[Request]:
        """All requests, in order of their keys."""
        ...

    def samples(self, key: str) -> Iterator[Sample]:
        """A request's samples, in order."""
        ...

    def write_all(self, groups: Sequence[tuple[Request, Sequence[Sample]]]) -> list[list[Sample]]:
        """Write samples of some requests; what is at their addresses now."""
        ...


@dataclass(frozen=True)
class Verified:
    """What a file holds, or a store, every entry of it read and checked.

    Attributes:
        requests: how many.
        samples: how many are whole.
        ingested: how many of these others drew.
        missing: asked for, and did not come.
        stops: deadlines.
        damaged: entries that could not be read, by their row; a file that has any is refused as a whole.
    """

    requests: int = 0
    samples: int = 0
    ingested: int = 0
    missing: int = 0
    stops: int = 0
    damaged: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = [(self.ingested, "ingested"), (self.missing, "did not come"), (self.stops, "deadlines")]
        more.append((len(self.damaged), "damaged"))
        return f"{self.samples:,} samples of {self.requests:,} requests{_besides(more)}"


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        added: samples that are new.
        there: samples that were there, the same.
        conflicts: addresses at which another sample was; it stays.
        other_models: keys of requests that another model had answered here; none of their samples was added.
    """

    added: int = 0
    there: int = 0
    conflicts: list[Address] = field(default_factory=list)
    other_models: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        conflicts, others = len(self.conflicts), len(self.other_models)
        more = [(conflicts, "in conflict, the first kept"), (others, "requests of other models")]
        return f"{self.added:,} samples added, {self.there:,} were there{_besides(more)}"


def _besides(counts: Iterable[tuple[int, str]]) -> str:
    """What there is of other kinds, where there is any."""
    return "".join(f", {number:,} {what}" for number, what in counts if number)


def lines_of(store: Holder, where: Where | None) -> Iterator[str]:
    """The lines of a file that holds a store's samples."""
    yield head(())
    for request in store.requests():
        chosen = (one for one in store.samples(request.key) if where is None or where(request, one))
        first = next(chosen, None)
        if first is not None:
            yield request_line(request)
            yield entry_line(first)
            yield from map(entry_line, chosen)


def merge_into(store: Holder, path: Path) -> Merged:
    """Add a file's samples to a store, the whole file having been read and found sound."""
    tape, merged = load(path), Merged()
    by_key: dict[str, list[Sample]] = {}
    for sample in tape.samples.values():
        by_key.setdefault(sample.address.key, []).append(sample)
    add_all(store, [(tape.requests[key], samples) for key, samples in by_key.items()], merged)
    return merged


def add_all(store: Holder, groups: Iterable[Group], merged: Merged) -> None:
    """Add samples of several requests, and say in `merged` what became of each."""
    batch: list[Group] = []
    for group in groups:
        batch.append(group)
        if sum(len(samples) for _, samples in batch) >= BATCH:
            _add(store, batch, merged)
            batch = []
    _add(store, batch, merged)


def _add(store: Holder, batch: list[Group], merged: Merged) -> None:
    before = {sample.address for request, _ in batch for sample in store.samples(request.key)}
    try:
        kept = store.write_all(batch)
    except ServedModelChanged:
        if len(batch) == 1:
            merged.other_models.append(batch[0][0].key)
            return
        for group in batch:
            _add(store, [group], merged)
        return
    for (_, samples), now in zip(batch, kept, strict=True):
        _tell(merged, before, samples, now)


def _tell(merged: Merged, before: set[Address], given: Iterable[Sample], kept: list[Sample]) -> None:
    for sample, now in zip(given, kept, strict=True):
        if now != sample:
            merged.conflicts.append(sample.address)
        elif sample.address in before:
            merged.there += 1
        else:
            merged.added += 1
            before.add(sample.address)


def verified(path: Path) -> Verified:
    """Read a file from end to end, and say what it holds."""
    tape = load(path)
    ingested = sum(sample.ingested for sample in tape.samples.values())
    return Verified(len(tape.requests), len(tape.samples), ingested, len(tape.missing), len(tape.stops))
