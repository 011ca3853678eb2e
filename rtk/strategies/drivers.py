"""The two drivers of a `Machine`: one waits in the caller's thread, one awaits on the caller's loop.

All draws run on rtk's own loop; generators, prompts and parsing run where the caller is. Free-running, a generator
goes on as soon as its own asks are back. Under a budget whose order matters, everything alive goes in rounds: its
next asks are admitted one after the other, in the order of their places, and the round is awaited as a whole.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import dspy

from rtk.errors import BudgetSpent, LoopError
from rtk.events import SampleArrived, SamplePart, watchers
from rtk.models import Ask, Gathering, Voice, begun, on_background, submit, unstreamed, voice_of, whole
from rtk.samples import Sample
from rtk.strategies.flow import Candidate
from rtk.strategies.machine import Machine
from rtk.strategies.nodes import Draw, Leaf, Rollout, rolled_out

Result = Any
Put = Callable[[tuple[Leaf, Result]], None]


def run(machine: Machine) -> Any:
    """Drive a machine from sync code, in a running event loop or without one.

    Raises:
        LoopError: on rtk's own loop, which would wait for itself.
    """
    if on_background():
        raise LoopError(
            "a strategy was called on rtk's own event loop, which would wait for itself",
            mend="inside an async module, await program.acall(...) instead of calling program(...)",
        )
    inbox: SimpleQueue[tuple[Leaf, Result]] = SimpleQueue()
    crew = _Crew(machine, inbox.put, asynchronous=False)
    try:
        crew.launch(machine.start())
        while crew.running:
            leaf, result = crew.voice.wait(inbox) if crew.voice is not None else inbox.get()
            if crew.voice is not None:
                crew.voice.say(result)
            crew.back(leaf, result)
    except BaseException as error:
        crew.stop(error)
        raise
    return machine.result


async def arun(machine: Machine) -> Any:
    """Drive a machine on the running loop."""
    loop, inbox = asyncio.get_running_loop(), asyncio.Queue[tuple[Leaf, Result]]()

    def put(pair: tuple[Leaf, Result]) -> None:
        if not loop.is_closed():  # a thread may come back after the call was given up, and its loop with it
            loop.call_soon_threadsafe(inbox.put_nowait, pair)

    crew = _Crew(machine, put, asynchronous=True)
    try:
        crew.launch(machine.start())
        while crew.running:
            leaf, result = await inbox.get()
            if crew.voice is not None:
                await crew.voice.asay(result)
            crew.back(leaf, result)
    except BaseException as error:
        crew.stop(error)
        raise
    return machine.result


class _Crew:
    """Sets leaves out, and keeps count of those on their way."""

    def __init__(self, machine: Machine, put: Put, *, asynchronous: bool) -> None:
        self._machine, self._put, self._asynchronous = machine, put, asynchronous
        self._futures: dict[Leaf, Any] = {}
        self._next: list[Leaf] = []  # of the round after this one
        self._queue: list[Leaf] = []  # of this round, not yet set out
        self.running = 0
        self.voice: Voice | None = None

    def back(self, leaf: Leaf, result: Result) -> None:
        """A leaf is back: feed the machine, and set out for what follows. Parts and single samples of it come first."""
        if isinstance(result, SamplePart):
            return
        if isinstance(result, SampleArrived):
            self.launch(self._machine.heard(leaf, result) if isinstance(leaf, Draw) else [])
            return
        self.running -= 1
        self.voice = None
        self._futures.pop(leaf, None)
        self.launch(self._machine.feed(leaf, result))

    def launch(self, leaves: list[Leaf]) -> None:
        """Set out, at once or in rounds."""
        if not self._machine.ordered:
            alone = len(leaves) == 1 and not self.running
            for leaf in leaves:
                self._set_out(leaf, None, None, alone)
            return
        self._next += leaves
        if self.running:
            return
        if not self._queue:
            self._queue, self._next = sorted(self._next, key=lambda leaf: leaf.order), []
        self._launch_in_order()

    def _launch_in_order(self) -> None:
        """This round, as far as the next module that is not ours: it draws out of our sight, and runs alone."""
        after: asyncio.Event | None = None
        alone = len(self._queue) == 1 and not self.running
        while self._queue:
            leaf = self._queue[0]
            if isinstance(leaf, Rollout) and self.running:
                return
            self._queue.pop(0)
            admitted = asyncio.Event() if isinstance(leaf, Draw) else None
            after = admitted if self._set_out(leaf, after, admitted, alone) else after
            if isinstance(leaf, Rollout):
                return

    def _set_out(self, leaf: Leaf, after: asyncio.Event | None, admitted: asyncio.Event | None, alone: bool) -> bool:
        """Start a leaf; False where the store answered it on the spot."""
        self.running += 1
        if isinstance(leaf, Rollout):
            self._futures[leaf] = self._roll_out(leaf)
            return True
        ask = self._heard(leaf, alone)
        if (found := whole(ask)) is not None:
            self._put((leaf, found))
            return False
        if leaf.early and self.voice is None:  # what streams is one sample, which comes before nothing
            ask = replace(ask, watchers=(*ask.watchers, lambda event: self._put((leaf, event))))
        gathering = Gathering(ask)
        if after is None and begun(gathering):
            self._put((leaf, gathering.gathered()))
            return False
        future = submit(gathering.draw(after, admitted))
        self._futures[leaf] = future
        future.add_done_callback(lambda done: self._put((leaf, _error_of(done) or gathering.gathered())))
        return True

    def _heard(self, leaf: Draw, alone: bool) -> Ask:
        """Its ask, heard while it is drawn where DSPy streams and nothing else is on its way."""
        predictor = leaf.sampling.predictor  # a score has none
        self.voice = voice_of(leaf.ask, predictor, alone=alone) if predictor is not None else None
        if self.voice is None:
            return leaf.ask
        return self.voice.hears(leaf.ask, lambda part: self._put((leaf, part)))

    # --- modules that are not ours ---

    def _roll_out(self, leaf: Rollout) -> Any:
        unstreamed()
        seen = _Seen()
        with (
            leaf.node.here(),
            dspy.context(rtk_stream=leaf.stream, rtk_watchers=(*watchers(), seen)),
            dspy.context(trace=[], stream_listeners=[], send_stream=None),
        ):
            if not self._asynchronous and not _defines(leaf.program, "forward"):
                return self._as_task(leaf, submit(_arolled(leaf, seen)))
            if self._asynchronous and _defines(leaf.program, "aforward"):
                return self._as_task(leaf, asyncio.ensure_future(_arolled(leaf, seen)))
            return self._as_thread(leaf, seen)

    def _as_task(self, leaf: Rollout, future: Any) -> Any:
        future.add_done_callback(lambda done: self._put((leaf, _error_of(done) or done.result())))
        return future

    def _as_thread(self, leaf: Rollout, seen: _Seen) -> None:
        """A thread of its own: a shared bounded pool of waiting programs would wait for itself."""
        context = copy_context()
        target = lambda: self._put((leaf, context.run(_rolled, leaf, seen)))  # noqa: E731
        threading.Thread(target=target, name=f"rtk-rollout-{leaf.index}", daemon=True).start()

    def stop(self, error: BaseException) -> None:
        """Something went wrong, or somebody pressed Ctrl-C: nothing new is admitted, what nobody awaits is left."""
        self._machine.abandon(error)
        for future in self._futures.values():
            if future is not None:
                future.cancel()


def _error_of(future: Future[Any] | asyncio.Future[Any]) -> BaseException | None:
    if future.cancelled():
        return asyncio.CancelledError()
    return future.exception()


class _Seen:
    """Notes where the samples are kept that a module of somebody else's consults."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()

    def __call__(self, event: Any) -> None:
        if isinstance(event, SampleArrived) and isinstance(event.sample, Sample):
            self.addresses.add(str(event.sample.address))


def _defines(program: dspy.Module, method: str) -> bool:
    """Whether a module has a method; asked past `dspy.Module`, which warns whoever looks at `forward`."""
    return callable(vars(program).get(method) or getattr(type(program), method, None))


def _rolled(leaf: Rollout, seen: _Seen) -> Candidate | BaseException:
    try:
        return _candidate(leaf, leaf.program(**leaf.inputs), seen)
    except BaseException as error:  # noqa: BLE001 - carried to the driver, which raises it or counts it
        return error


async def _arolled(leaf: Rollout, seen: _Seen) -> Candidate | BudgetSpent:
    return _candidate(leaf, await leaf.program.acall(**leaf.inputs), seen)


def _candidate(leaf: Rollout, prediction: Any, seen: _Seen) -> Candidate | BudgetSpent:
    found = rolled_out(leaf.node, prediction, leaf.index)
    if isinstance(found, Candidate):
        found.trace = list(dspy.settings.trace or ())
        found.addresses = frozenset(seen.addresses)
    return found
