"""Drawing: missing samples are asked for together, each once, and are on disk before anybody sees them.

Everything here runs on rtk's background loop. Two callers that want the same sample wait for one draw.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from rtk.errors import EndpointError, StoreError
from rtk.models.prices import Price
from rtk.models.retries import Retries
from rtk.models.wire import Completion, Fault, Transport
from rtk.samples import Address, Missing, Request, Sample, Usage
from rtk.store import SampleStore

VERSIONS = (("dspy", version("dspy")), ("rtk", version("rtk-inference")))


@dataclass
class Writer:
    """Writes samples to one store, in groups: what arrives during one commit goes into the next."""

    store: SampleStore
    _waiting: list[tuple[Request, Sample, asyncio.Future[Sample]]] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rtk-store"))

    async def write(self, request: Request, sample: Sample) -> Sample:
        """Store a sample; the one that is now at its address (another writer may have been first)."""
        future: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, sample, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())
        return await asyncio.shield(future)

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            by_request: dict[Request, list[tuple[Sample, asyncio.Future[Sample]]]] = {}
            for request, sample, future in group:
                by_request.setdefault(request, []).append((sample, future))
            for request, entries in by_request.items():
                await self._commit(request, entries)

    async def _commit(self, request: Request, entries: list[tuple[Sample, asyncio.Future[Sample]]]) -> None:
        samples = [sample for sample, _ in entries]
        loop = asyncio.get_running_loop()
        try:
            kept = await loop.run_in_executor(self._thread, self.store.write, request, samples)
        except StoreError as error:
            for _, future in entries:
                future.set_exception(error)
            return
        for (_, future), sample in zip(entries, kept, strict=True):
            if not future.done():
                future.set_result(sample)


@dataclass
class _Flight:
    """One sample on its way, and how many wait for it."""

    future: asyncio.Future[Sample | Missing]
    waiting: int = 0
    task: asyncio.Task[None] | None = None


@dataclass
class Drawer:
    """Draws samples of one model into one store (or nowhere).

    Attributes:
        transport: the way to the model.
        writer: None where nothing is to be stored.
        concurrency: requests in flight at once.
        server_n: whether one request may ask for several samples; None leaves it to the transport to find out.
    """

    transport: Transport
    writer: Writer | None
    retries: Retries
    concurrency: int
    server_n: bool | None = None
    price: Price | None = None
    flights: dict[Address, _Flight] = field(default_factory=dict)
    _places: asyncio.Semaphore | None = None

    def start(self, request: Request, addresses: Sequence[Address]) -> list[asyncio.Future[Sample | Missing]]:
        """Set out for samples that are not in the store; a future for each address, shared by all who ask."""
        new = [address for address in dict.fromkeys(addresses) if address not in self.flights]
        loop = asyncio.get_running_loop()
        for address in new:
            self.flights[address] = _Flight(loop.create_future())
        for group in self._groups(request, new):
            task = loop.create_task(self._fly(request, group))
            for address in group:
                self.flights[address].task = task
        return [self._board(address) for address in addresses]

    def _board(self, address: Address) -> asyncio.Future[Sample | Missing]:
        flight = self.flights[address]
        flight.waiting += 1
        return flight.future

    def leave(self, addresses: Sequence[Address]) -> None:
        """Say that a caller no longer waits; a request nobody waits for is cancelled."""
        for address in addresses:
            flight = self.flights.get(address)
            if flight is None:
                continue
            flight.waiting -= 1
            mates = [other for other in self.flights.values() if other.task is flight.task]
            if flight.task is not None and not any(mate.waiting > 0 for mate in mates):
                flight.task.cancel()

    def _groups(self, request: Request, new: list[Address]) -> list[list[Address]]:
        """Which samples share a request: all where the server honours `n`, else each its own.

        A seed belongs to one sample (it is derived from the index), so samples with seeds travel alone.
        """
        many = self.server_n if self.server_n is not None else self.transport.many
        if len(new) < 2 or "seed" in request.options or many is False:
            return [[address] for address in new]
        return [new]

    async def _fly(self, request: Request, group: list[Address]) -> None:
        try:
            left = await self._ask(request, group)
            while left:  # the server gave fewer than asked for: top up
                left = await self._ask(request, left)
        except (EndpointError, StoreError, Exception) as error:  # noqa: BLE001 - handed to every waiter, never swallowed
            self._land_all(group, error)
        finally:
            for address in group:
                flight = self.flights.pop(address, None)
                if flight is not None and not flight.future.done():
                    flight.future.cancel()

    async def _ask(self, request: Request, group: list[Address]) -> list[Address]:
        """One HTTP request with its retries; the addresses that it left empty."""
        if self._places is None:
            self._places = asyncio.Semaphore(self.concurrency)
        try:
            async with self._places:
                got, seconds = await self.retries.run(lambda: self._attempt(request, group))
        except Fault as fault:
            if len(group) > 1:  # perhaps `n` is the trouble: one by one, so that each fails alone
                return await self._one_by_one(request, group)
            self._land(group[0], Missing(group[0], fault.kind, str(fault)))
            return []
        if self.transport.many is None and len(group) > 1:
            self.transport.many = len(got) > 1
        pairs = list(zip(group, got, strict=False))
        await asyncio.gather(*(self._keep(request, address, one, seconds) for address, one in pairs))
        rest = group[len(pairs) :]
        return await self._one_by_one(request, rest) if rest and self.transport.many is False else rest

    async def _one_by_one(self, request: Request, group: list[Address]) -> list[Address]:
        await asyncio.gather(*(self._ask(request, [address]) for address in group))
        return []

    async def _attempt(self, request: Request, group: list[Address]) -> tuple[list[Completion], float]:
        seed = request.options.get("seed")
        derived = group[0].seed(seed) if seed is not None else None
        started = time.perf_counter()
        got = await self.transport.complete(request, len(group), derived)
        return got, time.perf_counter() - started

    async def _keep(self, request: Request, address: Address, one: Completion, seconds: float) -> None:
        sample = self._sample(address, one, seconds)
        self._land(address, sample if self.writer is None else await self.writer.write(request, sample))

    def _sample(self, address: Address, one: Completion, seconds: float) -> Sample:
        dollars = None if self.price is None else self.price.of(one.billed_prompt_tokens, one.completion_tokens)
        return Sample(
            address=address,
            text=one.text,
            usage=Usage(one.prompt_tokens, one.completion_tokens, dollars, round(seconds, 6)),
            reasoning=one.reasoning,
            finish_reason=one.finish_reason,
            logprobs=one.logprobs,
            tool_calls=one.tool_calls,
            served_model=one.served_model,
            drawn_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            versions=VERSIONS,
        )

    def _land(self, address: Address, what: Sample | Missing) -> None:
        flight = self.flights.get(address)
        if flight is not None and not flight.future.done():
            flight.future.set_result(what)

    def _land_all(self, group: list[Address], error: BaseException) -> None:
        for address in group:
            flight = self.flights.get(address)
            if flight is not None and not flight.future.done():
                flight.future.set_exception(error)
                flight.future.exception()  # seen: a waiter may have left
