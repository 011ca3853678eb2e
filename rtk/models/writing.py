"""Writing samples to a store from the background loop, in groups: what arrives during a commit goes into the next."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rtk.errors import ServedModelChanged, UnsupportedParameter
from rtk.samples import Request, Sample
from rtk.store import Claims, SampleStore

Waiting = tuple[Sample, "asyncio.Future[Sample]"]

_OF_ONE_SAMPLE = (ServedModelChanged, UnsupportedParameter)


@dataclass(eq=False)
class Writer:
    """The one writer to a store in this process; a thread of its own, so that no draw waits for the disk."""

    store: SampleStore
    claims: Claims = field(init=False)
    _waiting: dict[Request, list[Waiting]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rtk-store"))

    def __post_init__(self) -> None:
        self.claims = Claims(self.store.path)

    def write(self, request: Request, sample: Sample) -> asyncio.Future[Sample]:
        """Store a sample; the one that is at its address then (another writer may have been first), or the error."""
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request, []).append((sample, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        return future

    async def _flush(self) -> None:
        while self._waiting:
            groups, self._waiting = self._waiting, {}
            await self._commit(list(groups.items()))

    async def _commit(self, groups: list[tuple[Request, list[Waiting]]]) -> None:
        """One transaction for all that has come meanwhile."""
        given = [(request, [sample for sample, _ in entries]) for request, entries in groups]
        loop = asyncio.get_running_loop()
        try:
            kept = await loop.run_in_executor(self._thread, self.store.write_all, given)
        except Exception as error:  # noqa: BLE001 - whatever it is goes to those who wait, who would wait for ever
            await self._failed(groups, error)
            return
        for (_, entries), samples in zip(groups, kept, strict=True):
            for (_, future), sample in zip(entries, samples, strict=True):
                future.set_result(sample)

    async def _failed(self, groups: list[tuple[Request, list[Waiting]]], error: Exception) -> None:
        """Tell them; but where one sample is at fault, write each alone, so that the others are kept."""
        alone = [(request, [entry]) for request, entries in groups for entry in entries]
        if len(alone) > 1 and isinstance(error, _OF_ONE_SAMPLE):
            for one in alone:
                await self._commit([one])
            return
        for _, ((_, future),) in alone:
            future.set_exception(error)
            future.exception()  # seen: whoever waited may have left
