"""Asking: one ask for n samples of a request, under the budgets it runs under.

The rule of admission is `rtk.budget`'s; here it meets the store and the drawer. Whatever is stored is answered in
the caller's own thread; the rest goes to rtk's background loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import dspy

from rtk import budget as ledger
from rtk.budget import Budget, Ceiling, Cost
from rtk.errors import ModelError, RTKError
from rtk.events import Hearer, SampleArrived, Watcher, emit
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
    hearers: tuple[Hearer, ...] = ()

    @property
    def replays(self) -> bool:
        """Whether a recording answers it, and nothing else may."""
        return self.recording is not None and self.recording.replays


@dataclass(frozen=True)
class Gathered:
    """What an ask brought.

    Attributes:
        results: a sample or a `Missing` for each address, in order, as far as the budgets went.
        drawn: the samples that were drawn now and are paid for, each once.
        stopped: the unit that ran out, where one did.
        budget: the budget it ran out in.
    """

    results: list[Sample | Missing]
    drawn: Sequence[Sample] = ()
    stopped: str | None = None
    budget: Budget | None = None

    @cached_property
    def samples(self) -> list[Sample]:
        """The samples that came, in order."""
        return [result for result in self.results if isinstance(result, Sample)]

    @cached_property
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
    decided_call: bool = False
    charged: bool = False
    refusal: Exception | None = None
    reused: set[Address] = field(default_factory=set)
    _known: dict[Address, Sample | Missing] = field(default_factory=dict)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    _landings: dict[Address, Landing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = list(dict.fromkeys(self.ask.addresses))

    # --- admission ---

    @property
    def decided(self) -> bool:
        """Whether admission is over: all of it, or a budget or a recording said never."""
        over = self.decided_call and self.admitted == len(self.wanted)
        return over or self.stop is not None or self.refusal is not None

    def look(self) -> bool:
        """Read the recording and the store; whether nothing is left to draw."""
        if len(self._known) < len(self.wanted):
            self._known = known(self.ask, self.wanted)
        return self.ask.replays or len(self._known) == len(self.wanted)

    def admit(self) -> list[Address]:
        """Go on admitting, in index order; the admitted addresses that must be drawn."""
        self._admit_call()
        new = []
        while not self.decided:
            address = self.wanted[self.admitted]
            if self._stops_again(address):
                break
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
                ledger.release(self.ask.budgets, address)
                raise self.ask.recording.lacks(self.ask.request, address, self.ask.adapter)
            else:
                new.append(address)
        return new

    def _admit_call(self) -> None:
        if self.decided_call or self._stops_again(self.wanted[0], before_the_call=True):
            return
        verdict = ledger.admit_call(self.ask.budgets, timed=not self.ask.replays)
        self.decided_call, self.charged = True, verdict == "yes"
        self.stop = verdict if isinstance(verdict, tuple) else None

    def _verdict(self, address: Address) -> ledger.Verdict:
        timed = not self.ask.replays  # else time is over where it was over
        return ledger.admit(self.ask.budgets, address, self.ask.ceiling, first=self.admitted == 0, timed=timed)

    def _refuse(self, verdict: tuple[str, Budget]) -> None:
        self.stop = verdict
        if self.admitted == 0:
            self.charged = False
            ledger.refund_call(self.ask.budgets)

    @property
    def _deadlines(self) -> dict[float, Budget]:
        """The budgets that have a deadline, by their seconds; of two alike the outer one, which began first."""
        return {one.limits["seconds"]: one for one in reversed(self.ask.budgets) if "seconds" in one.limits}

    def _stops_again(self, address: Address, *, before_the_call: bool = False) -> bool:
        """In a replay: whether a deadline stopped the ask here when it was recorded; it does so again, at once."""
        late = self._deadlines if self.ask.replays else {}
        stop = self.ask.recording.stopped(address, late) if self.ask.recording is not None and late else None
        if stop is None or stop.called is before_the_call:
            return False
        self.stop = ("seconds", late[stop.seconds])
        for index in stop.beyond:
            behind = address._replace(index=index)
            if behind in self._known and self._verdict(behind) == "yes":
                self._land(behind, self._known[behind], reused=True)
        return True

    def _land(self, address: Address, result: Sample | Missing, *, reused: bool) -> None:
        if self.ask.recording is not None:
            try:
                result = self.ask.recording.note(self.ask.request, result, self.ask.adapter)
            except RTKError:
                ledger.release(self.ask.budgets, address)
                raise
        self.found[address] = result
        if reused and isinstance(result, Sample):
            self.reused.add(address)
        if self.ask.budgets:
            cost = Cost.of(result.usage, self.ask.source.parameters) if isinstance(result, Sample) else None
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
        with dspy.context(rtk_budgets=self.ask.budgets):  # they hear of what is lost on the way
            landings = self.ask.source.drawer(keep=self.ask.keep).start(self.ask.request, new)
        for address, landing in zip(new, landings, strict=True):
            self._landings[address] = landing
            for hearer in self.ask.hearers:
                landing.flight.listen(address, hearer)
            landing.add_done_callback(lambda done, address=address: self._landed(address, done))

    def _landed(self, address: Address, landing: Landing) -> None:
        if address not in self._landings or landing.cancelled():
            return
        try:
            result = landing.result()
            self._land(address, result, reused=isinstance(result, Sample) and not landing.take())
        except Exception as error:  # noqa: BLE001 - raised where the ask is awaited, once everybody is told
            self.refusal = self.refusal or error
            ledger.release(self.ask.budgets, address)  # who waits for it to settle would wait for ever

    async def _arrive(self) -> None:
        if self._landings and not await self._in_time(asyncio.wait(self._landings.values())):
            return
        for landing in self._landings.values():
            if landing.done() and not landing.cancelled():
                landing.result()  # raises what no retry mends
        await asyncio.sleep(0)  # let the last landings be counted
        if self.refusal is not None:
            raise self.refusal

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
        self._note_end(len(results), budget.limits[unit] if unit == "seconds" and budget is not None else None)
        drawn = {one.address: one for one in results if isinstance(one, Sample) and one.address not in self.reused}
        return Gathered(results, tuple(drawn.values()), unit, budget)

    def _note_end(self, count: int, late: float | None) -> None:
        """Tell the recording what was given under deadlines, and which of them came before the rest."""
        recording = self.ask.recording
        if recording is None or not self._deadlines:
            return
        given = dict.fromkeys(self.ask.addresses[:count])
        recording.note_given(given, self._deadlines)
        if late is not None:
            first, beyond = self.ask.addresses[count], {address.index for address in self.found.keys() - given.keys()}
            recording.note_stop(self.ask.request, first, late, self.charged, beyond, self.ask.adapter)


def known(ask: Ask, wanted: Sequence[Address], *, to_draw: bool = True) -> dict[Address, Sample | Missing]:
    """What is there of some addresses of an ask: in the recording, then in the store.

    Where the rest is to be drawn, what the recording holds is written to the store first: the store refuses samples
    of two models under one request.
    """
    found = ask.recording.find(wanted) if ask.recording is not None else {}
    rest = [address for address in wanted if address not in found]
    if not rest or not ask.keep or ask.replays:
        return found
    recorded = [one for one in found.values() if isinstance(one, Sample)]
    if recorded and to_draw:
        ask.source.store.write(ask.request, recorded)
    return {**found, **ask.source.read(rest)}


def whole(ask: Ask) -> Gathered | None:
    """All of an ask, where all of it is there and no budget limits anything; else None, and nothing was done."""
    places: Sequence[Any] = ask.addresses
    kept = ask.recording is None and ask.keep
    if any(budget.limits for budget in ask.budgets) or not (kept or ask.replays):
        return None
    if ask.recording is not None:
        found = ask.recording.find(places)
    else:
        first, places = places[0], [address.index for address in places]
        found = ask.source.store.read(first.key, first.stream, places)
    samples = [found.get(place) for place in places]
    return _settled(ask, samples) if set(map(type, samples)) == {Sample} else None


def _settled(ask: Ask, samples: list[Any]) -> Gathered | None:
    """Charge for what was there, and tell those who watch."""
    if ask.budgets:
        costs = {sample.address: Cost.of(sample.usage, ask.source.parameters) for sample in samples}
        if not ledger.settle_stored(ask.budgets, costs):
            return None
    for sample in {sample.address: sample for sample in samples}.values() if ask.watchers else ():
        emit(SampleArrived(sample, reused=True), ask.watchers)
    return Gathered(samples)


NOT_DRAWN = "not drawn"
"""What ends an ask in a glimpse, where a budget's unit would end it in a run."""


@dataclass(frozen=True)
class Glimpse:
    """What an ask would bring with nothing drawn.

    Attributes:
        gathered: what is there, in order; `stopped` is `NOT_DRAWN` where something is not.
        wanted: the samples that its budgets admit; where what is there settles no more, those that they certainly do.
        exact: whether those are all of them.
    """

    gathered: Gathered
    wanted: frozenset[Address]
    exact: bool


def glimpse(ask: Ask) -> Glimpse:
    """Look at what is there of an ask, and draw nothing, record nothing, tell nobody.

    Its budgets are charged for what is there, and go on holding what would have to be drawn.
    """
    wanted = list(dict.fromkeys(ask.addresses))
    found, admitted = known(ask, wanted, to_draw=False), set[Address]()
    verdict = called = ledger.admit_call(ask.budgets, timed=False)
    for address in wanted if called == "yes" else ():
        verdict = ledger.admit(ask.budgets, address, ask.ceiling, first=not admitted, timed=False)
        if verdict != "yes":
            break
        admitted.add(address)
        if (result := found.get(address)) is not None:
            cost = Cost.of(result.usage, ask.source.parameters) if isinstance(result, Sample) else None
            ledger.settle(ask.budgets, address, cost, reused=True)
    if called == "yes" and not admitted:
        ledger.refund_call(ask.budgets)
    results = [found[address] for address in ask.addresses if address in admitted and address in found]
    unit, budget = verdict if isinstance(verdict, tuple) else (None, None)
    if verdict == "wait" or not admitted <= found.keys():
        unit, budget = NOT_DRAWN, next(iter(ask.budgets), None)
    return Glimpse(Gathered(results, (), unit, budget), frozenset(admitted), verdict != "wait")


def gather(ask: Ask) -> Gathered:
    """All samples of an ask, from sync code; what is stored never leaves the caller's thread.

    Raises:
        EndpointError: where the endpoint will never answer.
        StoreError: where the store cannot be read or written.
        LoopError: on rtk's own loop, with samples to draw.
    """
    if (instead := _instead()) is not None:
        return instead(ask)
    if (found := whole(ask)) is not None:
        return found
    gathering = Gathering(ask)
    if not begun(gathering):
        wait(gathering.draw())
    return gathering.gathered()


async def agather(ask: Ask) -> Gathered:
    """The same from async code, on whatever loop; see `gather` for what it raises."""
    if (instead := _instead()) is not None:
        return instead(ask)
    if (found := whole(ask)) is not None:
        return found
    gathering = Gathering(ask)
    if not begun(gathering):
        await asyncio.wrap_future(submit(gathering.draw()))
    return gathering.gathered()


def _instead() -> Callable[[Ask], Gathered] | None:
    """What answers asks in place of the store and the model, where somebody only looks."""
    return dspy.settings.get("rtk_gather")


def begun(gathering: Gathering) -> bool:
    """Answer an ask from the store alone, where that is possible; whether it is done."""
    if gathering.look():
        gathering.admit()
    if not gathering.decided and not gathering.ask.replays:
        with gathering.remarked():  # opened here: what takes long must not hold up the loop
            gathering.ask.source.drawer(keep=gathering.ask.keep)
    return gathering.decided
