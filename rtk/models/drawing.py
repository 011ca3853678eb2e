"""Drawing: missing samples are asked for together, each once, and are on disk before anybody sees them.

Everything here runs on rtk's background loop. Two callers that want the same sample wait for one draw.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from rtk.errors import EndpointError
from rtk.models.prices import Price
from rtk.models.retries import Retries
from rtk.models.wire import Completion, Fault, Transport
from rtk.models.writing import Writer
from rtk.samples import Address, Missing, Request, Sample, Usage

Landing = asyncio.Future[Sample | Missing]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


VERSIONS = (("dspy", _version("dspy")), ("rtk", _version("rtk-inference")))


@dataclass(eq=False)
class _Flight:
    """One HTTP request on its way, the samples aboard, and how many callers wait for them."""

    aboard: dict[Address, Landing]
    waiting: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(eq=False)
class Desk:
    """Where samples of one store are written, and which of them are on their way, for all models that share it."""

    writer: Writer | None
    flights: dict[Address, _Flight] = field(default_factory=dict)


_desks: dict[tuple[int, str], Desk] = {}
_desks_lock = threading.Lock()


def desk(writer: Writer) -> Desk:
    """The one desk of a store in this process."""
    with _desks_lock:
        return _desks.setdefault((os.getpid(), str(writer.store.path)), Desk(writer))


@dataclass(eq=False)
class Drawer:
    """Draws samples of one model at one desk.

    Attributes:
        transport: the way to the model.
        desk: where samples are kept; one without a writer keeps nothing, and then no two callers share a draw.
        concurrency: requests in flight at once.
        server_n: whether one request may ask for several samples; None leaves it to the transport to find out.
        price: dollars per token, where known.
    """

    transport: Transport
    desk: Desk
    retries: Retries
    concurrency: int
    server_n: bool | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.concurrency)

    def start(self, request: Request, addresses: Sequence[Address]) -> list[Landing]:
        """Set out for samples that are not in the store; a future for each address, shared by all who ask."""
        flights = self.desk.flights if self.desk.writer is not None else {}
        new = [address for address in dict.fromkeys(addresses) if address not in flights]
        loop = asyncio.get_running_loop()
        for group in self._groups(request, new):
            flight = _Flight({address: loop.create_future() for address in group})
            flights.update(dict.fromkeys(group, flight))
            flight.task = loop.create_task(self._ask(request, flight, group))
            flight.task.add_done_callback(lambda _, flight=flight: self._landed(flight))
        for address in addresses:
            flights[address].waiting += 1
        return [flights[address].aboard[address] for address in addresses]

    def leave(self, addresses: Sequence[Address]) -> None:
        """Say that a caller no longer waits; a request nobody waits for is cancelled."""
        for address in addresses:
            flight = self.desk.flights.get(address)
            if flight is None:
                continue
            flight.waiting -= 1
            if flight.waiting <= 0 and flight.task is not None:
                flight.task.cancel()

    def _landed(self, flight: _Flight) -> None:
        """The request is over: what went wrong goes to everybody who waits, and nothing waits for ever."""
        for address in flight.aboard:
            self.desk.flights.pop(address, None)
        task = flight.task
        error = None if task is None or task.cancelled() else task.exception()
        for landing in flight.aboard.values():
            if not landing.done() and error is not None:
                landing.set_exception(error)
                landing.exception()  # seen: whoever waited may have left
            elif not landing.done():
                landing.cancel()

    def _groups(self, request: Request, new: list[Address]) -> list[list[Address]]:
        """Which samples share a request: as many as the server takes, else each its own.

        A seed belongs to one sample (it is derived from the index), so samples with seeds travel alone.
        """
        many = self.server_n if self.server_n is not None else self.transport.many
        size = 1 if many is False or "seed" in request.options else max(1, self.transport.most)
        return [new[i : i + size] for i in range(0, len(new), size)]

    async def _ask(self, request: Request, flight: _Flight, group: list[Address]) -> None:
        """Ask until every sample of the group has come, or has failed on its own."""
        while group:
            group = await self._ask_once(request, flight, group)

    async def _ask_once(self, request: Request, flight: _Flight, group: list[Address]) -> list[Address]:
        """One HTTP request with its retries; the addresses it left empty."""
        try:
            async with self._places:
                got, seconds = await self.retries.run(lambda: self._attempt(request, group))
        except Fault as fault:
            if len(group) > 1:  # perhaps `n` is the trouble: one by one, so that each fails alone
                return await self._one_by_one(request, flight, group)
            flight.aboard[group[0]].set_result(Missing(group[0], fault.kind, str(fault)))
            return []
        if self.transport.many is None and len(group) > 1:
            self.transport.many = len(got) > 1
        pairs = list(zip(group, got, strict=False))
        await asyncio.gather(*(self._keep(request, flight, address, one, seconds) for address, one in pairs))
        rest = group[len(pairs) :]
        return await self._one_by_one(request, flight, rest) if rest and self.transport.many is False else rest

    async def _one_by_one(self, request: Request, flight: _Flight, group: list[Address]) -> list[Address]:
        await asyncio.gather(*(self._ask_once(request, flight, [address]) for address in group))
        return []

    async def _attempt(self, request: Request, group: list[Address]) -> tuple[list[Completion], float]:
        started = time.perf_counter()
        got = await self.transport.complete(request, group)
        if not got:
            raise EndpointError("a transport gave no completion and no error", mend="this is a bug of rtk: report it")
        return got, time.perf_counter() - started

    async def _keep(self, request: Request, flight: _Flight, address: Address, one: Completion, seconds: float) -> None:
        sample = self._sample(address, one, seconds)
        writer = self.desk.writer
        kept = sample if writer is None else await writer.write(request, sample)
        if not flight.aboard[address].done():
            flight.aboard[address].set_result(kept)

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
