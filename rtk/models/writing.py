"""Writing samples to a store from the background loop, in groups: what arrives soon after a commit began goes into the
next. The first of them never waits."""

from __future__ import annotations

import asyncio
import atexit
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from weakref import WeakSet

from rtk.errors import ServedModelChanged, UnsupportedParameter
from rtk.models.loop import submit
from rtk.samples import Request, Sample
from rtk.store import Claims, SampleStore

Kept = list[Sample | Exception]
"""What became of each sample: as it is stored now, or why it is not."""

Waiting = tuple[Request, list[Sample], "asyncio.Future[Kept]"]

_APART = 0.01
"""Seconds between the starts of two commits. At one sample each, commits cost more than drawing the samples does."""

_FAREWELL_SECONDS = 10.0

_OF_ONE_SAMPLE = (ServedModelChanged, UnsupportedParameter)


@dataclass(eq=False)
class Writer:
    """The one writer to a store in this process; a thread of its own, so that no draw waits for the disk."""

    store: SampleStore
    claims: Claims = field(init=False)
    _waiting: list[Waiting] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None
    _next: float = 0.0
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rtk-store"))

    def __post_init__(self) -> None:
        self.claims = Claims(self.store.path)
        _writers.add(self)

    def write(self, request: Request, samples: list[Sample]) -> asyncio.Future[Kept]:
        """Store samples of a request; for each the one that is at its address then (another writer may have been
        first), or its error."""
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, samples, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        return future

    async def _flush(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            if (early := self._next - clock()) > 0:
                await asyncio.sleep(early)
            self._next = clock() + _APART
            await self.finish()

    async def finish(self) -> None:
        """Store now what waits for its commit."""
        entries, self._waiting = self._waiting, []
        await self._commit(entries)

    async def _commit(self, entries: list[Waiting]) -> None:
        """One transaction for all that has come meanwhile."""
        groups: dict[Request, list[Sample]] = {}
        for request, samples, _ in entries:
            groups.setdefault(request, []).extend(samples)
        try:
            kept = await self._store(list(groups.items()))
        except Exception as error:  # noqa: BLE001 - whatever it is goes to those who wait, who would wait for ever
            await self._failed(entries, error)
            return
        stored = {request: iter(samples) for request, samples in zip(groups, kept, strict=True)}
        for request, samples, future in entries:
            _tell(future, list(islice(stored[request], len(samples))))

    async def _store(self, groups: list[tuple[Request, list[Sample]]]) -> list[list[Sample]]:
        try:
            stored = asyncio.get_running_loop().run_in_executor(self._thread, self.store.write_all, groups)
        except RuntimeError:  # the interpreter is going, and starts nothing in threads any more
            return self.store.write_all(groups)
        return await stored

    async def _failed(self, entries: list[Waiting], error: Exception) -> None:
        """Tell them; but where one sample is at fault, write each alone, so that the others are kept."""
        alone = isinstance(error, _OF_ONE_SAMPLE)
        for request, samples, future in entries:
            _tell(future, [await self._alone(request, sample) if alone else error for sample in samples])

    async def _alone(self, request: Request, sample: Sample) -> Sample | Exception:
        try:
            return (await self._store([(request, [sample])]))[0][0]
        except Exception as error:  # noqa: BLE001 - as above
            return error


def _tell(future: asyncio.Future[Kept], kept: Kept) -> None:
    if not future.done():  # who waited may have left
        future.set_result(kept)


_writers: WeakSet[Writer] = WeakSet()


@atexit.register
def _last_words() -> None:
    """What came in the last moment is stored before the interpreter goes."""
    late = [writer for writer in list(_writers) if writer._waiting]
    if late:
        submit(asyncio.wait_for(_all(late), _FAREWELL_SECONDS)).result()


async def _all(writers: list[Writer]) -> None:
    for writer in writers:
        await writer.finish()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writers.clear)  # the parent's are the parent's to write
