"""Asking: one ask for n samples of a request, under the budgets it runs under.

The rule of admission is `rtk.budget`'s; here it meets the store and the drawer. Whatever is stored is answered in
the caller's own thread; the rest goes to rtk's background loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from rtk import budget as ledger
from rtk.budget import Budget, Ceiling, Cost
from rtk.errors import ModelError
from rtk.events import SampleArrived, Watcher, emit
from rtk.models.drawing import Landing, leave
from rtk.models.loop import submit, wait
from rtk.models.source import Source
from rtk.samples import Address, Missing, Request, Sample
from rtk.store import Recording


@dataclass(frozen=True)
class Ask:
    """One ask: these addresses of this request, from this source, charged to these budgets.

    Attributes:
        keep: whether samples are read from the store and written to it.
        recording: the recording in force, where there is one; it comes before the store.
        adapter: the DSPy adapter in use, by name; a recording says so.
    """

    source: Source
    request: Request
    addresses: Sequence[Address]
    ceiling: Ceiling
    budgets: tuple[Budget, ...] = ()
    watchers: tuple[Watcher, ...] = ()
    keep: bool = True
    recording: Recording | None = None
    adapter: str = ""

    @property
    def replays(self) -> bool:
        """Whether a recording answers it, and nothing else may."""
        return self.recording is not None and self.recording.replays


@dataclass(frozen=True)
class Gathered:
    """What an ask brought.

    Attributes:
        results: a sample or a `Missing` for each address, in order, as far as the budgets went.
        reused: the addresses that were in the store or the recording.
        stopped: the unit that ran out, where one did.
        budget: the budget it ran out in.
    """

    results: list[Sample | Missing]
    reused: frozenset[Address] = frozenset()
    stopped: str | None = None
    budget: Budget | None = None

    @property
    def samples(self) -> list[Sample]:
        """The samples that came, in order."""
        return [result for result in self.results if isinstance(result, Sample)]

    @property
    def missing(self) -> list[Missing]:
        """Those that did not."""
        return [result for result in self.results if isinstance(result, Missing)]


@dataclass(eq=False)
class Gathering:
    """An ask under way. Admission goes in index order; samples land in any order and count in index order."""

    ask: Ask
    wanted: list[Address] = field(init=False)
    found: dict[Address, Sample | Missing] = field(default_factory=dict)
    stop: tuple[str, Budget] | None = None
    admitted: int = 0
    called: bool = False
    reused: set[Address] = field(default_factory=set)
    _known: dict[Address, Sample | Missing] = field(default_factory=dict)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    _landings: dict[Address, Landing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = list(dict.fromkeys(self.ask.addresses))

    # --- admission ---

    @property
    def decided(self) -> bool:
        """Whether admission is over: all of it, or a budget said never."""
        return self.stop is not None or (self.called and self.admitted == len(self.wanted))

    def look(self) -> bool:
        """Read the recording and the store; whether nothing is left to draw."""
        if len(self._known) < len(self.wanted):
            self._known = known(self.ask, self.wanted)
        return self.ask.replays or len(self._known) == len(self.wanted)

    def admit(self) -> list[Address]:
        """Go on admitting, in index order; the admitted addresses that must be drawn."""
        if not self.called:
            verdict = ledger.admit_call(self.ask.budgets, timed=not self.ask.replays)
            if isinstance(verdict, tuple):
                self.stop = verdict
            self.called = True
        new = []
        while not self.decided:
            address = self.wanted[self.admitted]
            verdict = self._verdict(address)
            if verdict == "wait":
                break
            if verdict != "yes":
                self._refuse(verdict)
                break
            self.admitted += 1
            if address in self._known:
                self._land(address, self._known[address], reused=True)
            elif self.ask.recording is not None and self.ask.replays:
                raise self.ask.recording.lacks(self.ask.request, address, self.ask.adapter)
            else:
                new.append(address)
        return new

    def _verdict(self, address: Address) -> ledger.Verdict:
        """Whether an address is admitted; in a replay, time is over where it was over."""
        budgets, timed = self.ask.budgets, not self.ask.replays
        if self.ask.recording is not None and not timed:
            late = {budget.limits["seconds"]: budget for budget in budgets if "seconds" in budget.limits}
            limit = self.ask.recording.stopped(address, list(late))
            if limit is not None:
                return ("seconds", late[limit])
        return ledger.admit(budgets, address, self.ask.ceiling, first=self.admitted == 0, timed=timed)

    def _refuse(self, verdict: tuple[str, Budget]) -> None:
        self.stop = verdict
        if self.admitted == 0:
            ledger.refund_call(self.ask.budgets)

    def _land(self, address: Address, result: Sample | Missing, *, reused: bool) -> None:
        self.found[address] = result
        if reused and isinstance(result, Sample):
            self.reused.add(address)
        if self.ask.recording is not None:
            self.ask.recording.note(self.ask.request, result, self.ask.adapter)
        cost = Cost.of(result.usage) if isinstance(result, Sample) else None
        ledger.settle(self.ask.budgets, address, cost, reused=reused)
        emit(SampleArrived(result, reused), self.ask.watchers)

    # --- drawing, on rtk's loop ---

    async def draw(self, after: asyncio.Event | None = None, admitted: asyncio.Event | None = None) -> None:
        """Admit and draw all there is.

        Args:
            after: admission starts when it is set; what comes first is decided first.
            admitted: set when admission is over.
        """
        loop, changed, self._closed = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        settled, closed = (partial(loop.call_soon_threadsafe, event.set) for event in (changed, self._closed))
        try:
            if after is not None:
                await after.wait()
            with ledger.watched(self.ask.budgets, settled, closed), self.remarked():
                while not self.decided:
                    changed.clear()
                    self.look()
                    self._set_out(self.admit())
                    if not self.decided and not await self._in_time(changed.wait()):
                        break
                if admitted is not None:
                    admitted.set()
                await self._arrive()
        finally:
            if admitted is not None:
                admitted.set()
            self._let_go()

    def _set_out(self, new: list[Address]) -> None:
        if not new:
            return
        landings = self.ask.source.drawer(keep=self.ask.keep).start(self.ask.request, new)
        for address, landing in zip(new, landings, strict=True):
            self._landings[address] = landing
            landing.add_done_callback(lambda done, address=address: self._landed(address, done))

    def _landed(self, address: Address, landing: Landing) -> None:
        if address in self._landings and not landing.cancelled() and landing.exception() is None:
            result = landing.result()
            self._land(address, result, reused=isinstance(result, Sample) and not landing.take())

    async def _arrive(self) -> None:
        if self._landings and not await self._in_time(asyncio.wait(self._landings.values())):
            return
        for landing in self._landings.values():
            if landing.done() and not landing.cancelled():
                landing.result()  # raises what no retry mends
        await asyncio.sleep(0)  # let the last landings be counted

    async def _in_time(self, what: Coroutine[Any, Any, Any]) -> bool:
        """Await something until a budget's deadline, or until one is closed; whether it came before that."""
        if not self.ask.budgets:
            await what
            return True
        timed = () if self.ask.replays else self.ask.budgets
        late = [(budget.deadline, budget) for budget in timed if budget.deadline is not None]
        deadline, budget = min(late, key=lambda pair: pair[0]) if late else (None, None)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        waiting, closed = asyncio.ensure_future(what), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({waiting, closed}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            came = waiting.done()
        finally:
            waiting.cancel()
            closed.cancel()
        if not came:
            shut = next((each for each in self.ask.budgets if each.closed), None)
            self.stop = ("closed", shut) if shut is not None else ("seconds", cast(Budget, budget))
        return came

    @contextmanager
    def remarked(self) -> Iterator[None]:
        """Where there is no model to ask, say that the recording had no answer either."""
        try:
            yield
        except ModelError as error:
            if self.ask.recording is not None:
                first = next((one for one in self.wanted if one not in self._known), self.wanted[0])
                self.ask.recording.remark(error, self.ask.request, first, self.ask.adapter)
            raise

    def _let_go(self) -> None:
        """Give back what is still reserved, and leave requests that nobody waits for."""
        left = {address: one for address, one in self._landings.items() if address not in self.found}
        self._landings = {address: one for address, one in self._landings.items() if address in self.found}
        leave(left.values())
        for address in left:
            ledger.release(self.ask.budgets, address)

    # --- the end ---

    def gathered(self) -> Gathered:
        """What there is, in index order, up to the first address that was not admitted or is not there."""
        results = []
        for address in self.ask.addresses:
            if address not in self.found:
                break
            results.append(self.found[address])
        beyond = len(self.found) - len({result.address for result in results})
        if beyond:
            ledger.count_overdrawn(self.ask.budgets, beyond)
        whole = len(results) == len(self.ask.addresses)  # though perhaps at the last moment
        unit, budget = (None, None) if whole or self.stop is None else self.stop
        if self.ask.recording is not None and unit == "seconds" and budget is not None:
            first = self.ask.addresses[len(results)]
            self.ask.recording.note_stop(self.ask.request, first, budget.limits[unit], self.ask.adapter)
        return Gathered(results, frozenset(self.reused), unit, budget)


def known(ask: Ask, wanted: Sequence[Address]) -> dict[Address, Sample | Missing]:
    """What is there of some addresses of an ask: in the recording, then in the store.

    Where both hold some, the recording's are written to the store: it refuses samples of two models under one request.
    """
    found = ask.recording.find(wanted) if ask.recording is not None else {}
    rest = [address for address in wanted if address not in found]
    if not rest or not ask.keep or ask.replays:
        return found
    if recorded := [one for one in found.values() if isinstance(one, Sample)]:
        ask.source.store.write(ask.request, recorded)
    return {**found, **ask.source.read(rest)}


def gather(ask: Ask) -> Gathered:
    """All samples of an ask, from sync code; what is stored never leaves the caller's thread.

    Raises:
        EndpointError: where the endpoint will never answer.
        StoreError: where the store cannot be read or written.
        LoopError: on rtk's own loop, with samples to draw.
    """
    gathering = Gathering(ask)
    if not begun(gathering):
        wait(gathering.draw())
    return gathering.gathered()


async def agather(ask: Ask) -> Gathered:
    """The same from async code, on whatever loop; see `gather` for what it raises."""
    gathering = Gathering(ask)
    if not begun(gathering):
        await asyncio.wrap_future(submit(gathering.draw()))
    return gathering.gathered()


def begun(gathering: Gathering) -> bool:
    """Answer an ask from the store alone, where that is possible; whether it is done."""
    if gathering.look():
        gathering.admit()
    if not gathering.decided and not gathering.ask.replays:
        with gathering.remarked():  # opened here: what takes long must not hold up the loop
            gathering.ask.source.drawer(keep=gathering.ask.keep)
    return gathering.decided
