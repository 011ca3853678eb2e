"""Drawing: missing samples are asked for together, each once, and are on disk before anybody sees them.

Everything here runs on rtk's background loop. Two callers that want the same sample wait for one draw.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from weakref import WeakValueDictionary

from rtk.budget import count_lost, current_budgets
from rtk.errors import EndpointError
from rtk.events import Hearer
from rtk.models.hearing import Aloud, complete
from rtk.models.prices import Machine, Price
from rtk.models.retries import Retries
from rtk.models.wire import Completion, Fault, Transport
from rtk.models.writing import Writer
from rtk.samples import Address, Missing, Request, Sample, Usage
from rtk.shipped import DISTRIBUTION


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


_PAUSES = (0.01, 0.25)  # seconds between two looks at what another process draws: the first, and the longest
VERSIONS = (("dspy", _version("dspy")), ("rtk", _version(DISTRIBUTION)))


class Landing(asyncio.Future["Sample | Missing"]):
    """A sample on its way, shared by all who want it: the first who takes it has paid, the others reuse it."""

    def __init__(self, address: Address, flight: _Flight) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.address, self.flight = address, flight
        self.waiting = 0
        self._taken = False

    def take(self) -> bool:
        """Whether the caller is the first to take it."""
        first, self._taken = not self._taken, True
        return first

    def land(self, result: Sample | Missing, *, paid: bool = True) -> None:
        """Give it to all who wait, unless they were told something else before; `paid` where it was drawn here."""
        self.unlist()
        self._taken = self._taken or not paid
        if not self.done():
            self.set_result(result)

    def unlist(self) -> None:
        """Let nobody join any more: who asks from now on finds it in the store, or sets out anew."""
        if self.flight.listed.get(self.address) is self:
            del self.flight.listed[self.address]


@dataclass(eq=False)
class _Flight:
    """One HTTP request on its way, the samples aboard, and the list on which others find them to join."""

    listed: dict[Address, Landing]
    aboard: dict[Address, Landing] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    aloud: Aloud | None = None

    def listen(self, address: Address, hearer: Hearer) -> None:
        """Let somebody hear the sample aboard while it is drawn. Several come whole: they would all speak at once."""
        if len(self.aboard) == 1:
            self.aloud = self.aloud or Aloud(address)
            self.aloud.listen(hearer)

    def board(self, group: Sequence[Address]) -> None:
        """Take samples aboard."""
        self.aboard = {address: Landing(address, self) for address in group}
        self.listed.update(self.aboard)

    def give_up(self) -> None:
        """End it unless somebody still waits for a sample aboard."""
        wanted = any(landing.waiting > 0 and not landing.done() for landing in self.aboard.values())
        if not wanted and self.task is not None:
            for landing in self.aboard.values():
                landing.unlist()
            self.task.cancel()

    def over(self, task: asyncio.Task[None]) -> None:
        """The request is over: what went wrong goes to everybody who waits, and nothing waits for ever."""
        error = None if task.cancelled() else task.exception()
        for landing in self.aboard.values():
            landing.unlist()
            if not landing.done() and error is not None:
                landing.set_exception(error)
                landing.exception()  # seen: whoever waited may have left
            elif not landing.done():
                landing.cancel()


def leave(landings: Collection[Landing]) -> None:
    """Say that a caller no longer waits; a request nobody waits for is cancelled."""
    for landing in landings:
        landing.waiting -= 1
    for flight in {landing.flight for landing in landings}:
        flight.give_up()


@dataclass(eq=False)
class Desk:
    """Where samples of one store are written, and which of them are on their way, for all models that share it."""

    writer: Writer | None
    flights: dict[Address, Landing] = field(default_factory=dict)

    def claim(self, group: list[Address]) -> tuple[list[Address], list[Sample]]:
        """Of some samples of a stream: those that are this process's to draw, and what others have stored by now."""
        if self.writer is None:
            return group, []
        mine = self.writer.claims.take(group)
        if not mine:
            return [], []
        try:
            there = self.writer.store.read(mine[0].key, mine[0].stream, [address.index for address in mine])
        except BaseException:
            self.release(mine)
            raise
        self.release([address for address in mine if address.index in there])
        return [address for address in mine if address.index not in there], list(there.values())

    def release(self, group: list[Address]) -> None:
        """Give claims back."""
        if self.writer is not None:
            self.writer.claims.release(group)


_desks: WeakValueDictionary[str, Desk] = WeakValueDictionary()  # a store that nobody draws into is let go
_lock = threading.Lock()


def desk(writer: Writer) -> Desk:
    """The one desk of a store in this process, by whatever path it was opened."""
    place = os.path.realpath(writer.store.path)
    with _lock:
        found = _desks.get(place)
        if found is None:
            found = _desks[place] = Desk(writer)
        return found


def _renew() -> None:
    """In a forked child: what is on its way is the parent's, and so is a lock that another thread held."""
    global _desks, _lock
    _desks, _lock = WeakValueDictionary(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@dataclass(eq=False)
class Drawer:
    """Draws samples of one model at one desk.

    Attributes:
        transport: the way to the model.
        desk: where samples are kept; one without a writer keeps nothing, and then no two callers share a draw.
        places: for requests in flight at once.
        server_n: whether one request may ask for several samples; None leaves it to the transport to find out.
        price: dollars per token, where known.
        machine: what is paid by the hour in place of that.
    """

    transport: Transport
    desk: Desk
    retries: Retries
    places: asyncio.Semaphore
    server_n: bool | None = None
    price: Price | None = None
    machine: Machine | None = None

    def start(self, request: Request, addresses: Sequence[Address]) -> list[Landing]:
        """Set out for samples that are not in the store; a future for each address, shared by all who ask."""
        flights = self.desk.flights if self.desk.writer is not None else {}
        new = [address for address in dict.fromkeys(addresses) if address not in flights]
        loop = asyncio.get_running_loop()
        for group in self._groups(request, new):
            flight = _Flight(flights)
            flight.board(group)
            flight.task = loop.create_task(self._ask(request, flight, group))
            flight.task.add_done_callback(flight.over)
        landings = [flights[address] for address in addresses]
        for landing in landings:
            landing.waiting += 1
        return landings

    def _groups(self, request: Request, new: list[Address]) -> list[list[Address]]:
        """Which samples share a request: as many as the server takes, else each its own.

        A seed belongs to one sample (it is derived from the index), so samples with seeds travel alone.
        """
        size = 1 if "seed" in request.options else self._most
        return [new[i : i + size] for i in range(0, len(new), size)]

    @property
    def _most(self) -> int:
        """The most samples that one request may ask for, as far as is known."""
        many = self.server_n if self.server_n is not None else self.transport.many
        return 1 if many is False else max(1, self.transport.most)

    async def _ask(self, request: Request, flight: _Flight, group: list[Address]) -> None:
        """Ask until every sample of the group has come, or has failed on its own."""
        pause = _PAUSES[0]
        while group:
            before, (group, apart) = group, await self._ask_once(request, flight, group)
            if apart:
                await asyncio.gather(*(self._ask(request, flight, [address]) for address in group))
                return
            if group == before:  # another process draws them all
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSES[1])

    async def _ask_once(self, request: Request, flight: _Flight, group: list[Address]) -> tuple[list[Address], bool]:
        """One HTTP request with its retries, for what no other process draws; what is left, and whether to ask for
        each of that alone."""
        new: list[Address] = []
        rest: list[Address] = []
        try:
            async with self.places:
                new, rest = self._claim(flight, group)
                if not new:
                    return rest, False
                got, seconds = await self.retries.run(lambda: self._attempt(request, new, flight.aloud))
        except BaseException as failure:
            self.desk.release(new)
            if not isinstance(failure, Fault):
                raise
            if len(new) > 1 and not failure.shared:  # perhaps `n` is the trouble: one by one, so that each fails alone
                return rest + new, True
            for address in new:
                flight.aboard[address].land(Missing(address, failure.kind, str(failure)))
            return rest, False
        await asyncio.shield(self._keep_all(request, flight, new, got, seconds))
        return rest + new[len(got) :], self.transport.many is False and len(got) < len(new)

    def _claim(self, flight: _Flight, group: list[Address]) -> tuple[list[Address], list[Address]]:
        """Which of a group are to be drawn here, and which another process draws; what it has stored by now lands."""
        new, there = self.desk.claim(group)
        for sample in there:
            flight.aboard[sample.address].land(sample, paid=False)
        decided = {*new, *(sample.address for sample in there)}
        return new, [address for address in group if address not in decided]

    async def _keep_all(
        self, request: Request, flight: _Flight, claimed: list[Address], got: list[Completion], seconds: float
    ) -> None:
        """Store what came. Until then it stays claimed: whoever claims it next finds it there.

        Raises:
            StoreError: where one of them could not be stored; the others have landed.
        """
        try:
            pairs, now = zip(claimed, got, strict=False), datetime.now(UTC).isoformat(timespec="milliseconds")
            samples = [self._sample(address, one, one.seconds or seconds, now) for address, one in pairs]
            writer = self.desk.writer
            if writer is None:
                for sample in samples:
                    flight.aboard[sample.address].land(sample)
                return
            kept = await writer.write(request, samples)
            for sample in kept:
                if isinstance(sample, Sample):
                    flight.aboard[sample.address].land(sample)
            for error in kept:
                if isinstance(error, Exception):
                    raise error
        finally:
            self.desk.release(claimed)

    async def _attempt(
        self, request: Request, group: list[Address], aloud: Aloud | None
    ) -> tuple[list[Completion], float]:
        """One attempt. A server that refuses so many at once is asked for half as many, and so on; what it takes is
        remembered."""
        size = most = min(len(group), self._most)
        while True:
            try:
                got = await self._exchange(request, group[:size], aloud)
            except Fault as fault:
                fault.shared |= size == 1 and len(group) > 1 and not fault.retryable  # all would be asked alike
                if size == 1 or fault.retryable or fault.shared:
                    raise
                size //= 2
            else:
                if size < most:
                    self.transport.most = size
                if size < most or (size > 1 and self.transport.many is None):
                    self.transport.many = len(got[0]) > 1
                return got

    async def _exchange(
        self, request: Request, group: list[Address], aloud: Aloud | None
    ) -> tuple[list[Completion], float]:
        """One request, and the seconds it took."""
        started = time.perf_counter()
        try:
            with self.machine.working(group) if self.machine is not None else nullcontext():
                got = await complete(self.transport, request, group, aloud)
        except Fault as fault:
            if fault.lost:
                count_lost(current_budgets(), len(group))
            raise
        if not got:
            raise EndpointError("a transport gave no completion and no error", mend="this is a bug of rtk: report it")
        return got, time.perf_counter() - started

    def _sample(self, address: Address, one: Completion, seconds: float, now: str) -> Sample:
        return Sample(
            address=address,
            text=one.text,
            usage=Usage(
                one.prompt_tokens, one.completion_tokens, self._dollars(address, one), round(seconds, 6),
                one.reasoning_tokens, one.estimated, one.choices,
            ),
            reasoning=one.reasoning,
            finish_reason=one.finish_reason,
            logprobs=one.logprobs,
            tool_calls=one.tool_calls,
            served_model=one.served_model,
            drawn_at=now,
            versions=VERSIONS,
        )  # fmt: skip

    def _dollars(self, address: Address, one: Completion) -> float | None:
        if self.machine is not None:
            return self.machine.bill(address)
        counted = one.prompt_tokens or one.completion_tokens  # where nothing is reported or counted, nothing is known
        if self.price is None or not counted:
            return None
        return self.price.of(one.prompt_tokens / one.choices, one.completion_tokens)
