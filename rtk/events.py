"""What happens while it happens, and who watches.

Ground floor: knows no model and no strategy. Watchers travel as a `dspy.context` key, so they see what happens in
threads and tasks too, and are called from whatever thread it happens in: they must be quick and thread-safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rtk._context import in_context, of_context
from rtk.errors import RTKError
from rtk.samples import Address, Missing, Sample

__all__ = [
    "Backtracked",
    "BestSoFar",
    "BranchPruned",
    "BudgetLeft",
    "CandidateScored",
    "CheckFailed",
    "Event",
    "Events",
    "SampleArrived",
    "SamplePart",
    "StrategyEvent",
    "ThoughtScored",
    "VoteMoved",
    "tell",
]

logger = logging.getLogger("rtk")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SampleArrived:
    """A sample came, or did not.

    Attributes:
        sample: the sample, or a `Missing` that names the cause.
        reused: whether it was in the store already.
    """

    sample: Sample | Missing
    reused: bool


@dataclass(frozen=True, slots=True)
class SamplePart:
    """A part of a sample that is being drawn. A sample drawn alone comes in parts; those drawn together come whole.

    Attributes:
        address: the sample's.
        text: what it adds to the text.
        reasoning: what it adds to the reasoning; one of the two may be empty.
        anew: whether what came before is void. The stream had broken off, and the model, asked again, says something
            else; this part is all of it so far.
    """

    address: Address
    text: str
    reasoning: str = ""
    anew: bool = False


@dataclass(frozen=True, slots=True)
class StrategyEvent:
    """Something that a strategy did.

    Attributes:
        strategy: the modules it runs in, outermost first, and its own name last: `"BestOfN/SelfConsistency"`.
    """

    strategy: str


@dataclass(frozen=True, slots=True)
class VoteMoved(StrategyEvent):
    """A vote counted further answers, in index order, also of those that are still coming.

    Attributes:
        answer: the leader; None where nobody answered yet.
        share: its share of the votes, in [0, 1].
        votes: answers that counted.
        size: all of them, abstentions included.
        of: how many there will be at most.
    """

    answer: Any
    share: float
    votes: int
    size: int
    of: int


@dataclass(frozen=True, slots=True)
class CandidateScored(StrategyEvent):
    """A candidate has its reward.

    Attributes:
        index: the candidate's, in its ask.
        score: None where nothing could be said.
        reason: why it is that.
    """

    index: int
    score: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ThoughtScored(StrategyEvent):
    """A thought was evaluated.

    Attributes:
        text: the partial solution up to and including it.
        score: in [0, 1].
        level: thoughts so far.
    """

    text: str
    score: float
    level: int


@dataclass(frozen=True, slots=True)
class BranchPruned(StrategyEvent):
    """A branch is given up.

    Attributes:
        text: the partial solution.
        reason: why.
        level: thoughts so far.
    """

    text: str
    reason: str
    level: int


@dataclass(frozen=True, slots=True)
class Backtracked(StrategyEvent):
    """Nothing followed from a thought: the search goes back to an earlier one.

    Attributes:
        text: the partial solution that is left.
        level: its thoughts.
    """

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class CheckFailed(StrategyEvent):
    """A check found something wrong.

    Attributes:
        text: the step or candidate that was checked.
        reason: what is wrong with it.
    """

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class BestSoFar(StrategyEvent):
    """What a strategy would answer, should a budget end now.

    Attributes:
        fields: of the prediction.
    """

    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BudgetLeft(StrategyEvent):
    """An ask is back, and this is left of a budget that it ran under.

    Attributes:
        left: of each limit.
        limits: as they were.
    """

    left: Mapping[str, float]
    limits: Mapping[str, float]


Event = SampleArrived | StrategyEvent
Watcher = Callable[[Any], None]
Hearer = Callable[[SamplePart], None]


class Events:
    """Events as they occur, for who awaits them; made by `watch`.

    Attributes:
        result: what the awaitable given to `of` came to.
    """

    def __init__(self) -> None:
        self.result: Any = None
        self._waiting: deque[Any] = deque()
        self._wake: Callable[[], object] = lambda: None

    def __repr__(self) -> str:
        return f"<Events: {len(self._waiting)} waiting>"

    def tell(self, event: Any) -> None:
        """An event occurred; called from whatever thread it occurs in."""
        self._waiting.append(event)
        self._wake()

    def __iter__(self) -> Iterator[Event]:
        """Those that occurred and were not looked at yet."""
        while self._waiting:
            yield self._waiting.popleft()

    async def of(self, call: Awaitable[Any]) -> AsyncIterator[Event]:
        """Run a call and yield what happens, until it has ended; then `result` is what it came to.

        Who stops listening cancels the call.

        Raises:
            BaseException: what the call raised.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(news.set)
        task = asyncio.ensure_future(call)
        task.add_done_callback(lambda _: news.set())
        try:
            while not task.done():
                await news.wait()
                news.clear()
                for event in self:
                    yield event
            for event in self:
                yield event
            self.result = await task
        finally:
            self._wake = lambda: None
            task.cancel()


class _Only:
    """A watcher that is told of some kinds of events."""

    def __init__(self, watcher: Watcher, kinds: type | tuple[type, ...]) -> None:
        self._watcher, self._kinds = watcher, kinds

    def __call__(self, event: Any) -> None:
        if isinstance(event, self._kinds):
            self._watcher(event)


@contextmanager
def watch(
    watcher: Watcher | None = None, *, only: type | tuple[type, ...] | None = None, parts: Hearer | None = None
) -> Iterator[Events]:
    """Call `watcher(event)` for everything that happens inside, as it happens.

    Events are dataclasses of `rtk.events`: `SampleArrived` (drawn or reused), `VoteMoved`, `CandidateScored`,
    `ThoughtScored`, `BranchPruned`, `Backtracked`, `CheckFailed`, `BestSoFar` and `BudgetLeft`. They come from whatever
    thread they occur in, so a watcher must be quick and thread-safe. Those of calls side by side may come in any
    order; what a strategy decides never depends on it.

    Args:
        watcher: told of events. Without one (and without `parts=`) they are kept in what the block is given, to iterate
            over, or to await: `async for event in events.of(program.acall(…))`.
        only: kinds of events to be told of; all by default.
        parts: told of every `SamplePart`: of samples that are asked for alone, while they are drawn. A model that
            gives whole replies only, and a stored sample, has no parts.

    >>> with watch() as events:
    ...     pass  # run a program here
    >>> list(events)
    []

    Raises:
        RTKError: for a watcher that is no function, or a kind that is no class of event.
    """
    kinds = only if isinstance(only, tuple) else (only,)
    if only is not None and not all(isinstance(kind, type) for kind in kinds):
        raise RTKError(
            f"watch(only={only!r:.60})", mend="a class of rtk.events, such as rtk.events.VoteMoved, or several"
        )
    for each in (watcher, parts):
        if each is not None and not callable(each):
            raise RTKError(f"{each!r:.60} cannot be told of anything", mend="watch(print): a function of an event")
    events = Events()
    if watcher is None and parts is None:
        watcher = events.tell
    told = watcher if watcher is None or only is None else _Only(watcher, only)
    seen = watchers() if told is None else (*watchers(), told)
    heard = hearers() if parts is None else (*hearers(), parts)
    with in_context(rtk_watchers=seen, rtk_hearers=heard):
        yield events


def tell(kind: Callable[..., StrategyEvent], **fields: Any) -> None:
    """Tell those who watch of something that a strategy does; call it in a flow. Costs nothing where nobody watches.

    Args:
        kind: a class of event.
        **fields: its attributes, without `strategy`.
    """
    if to := watchers():
        emit(kind(strategy=running(), **fields), to)


def running() -> str:
    """The modules that the calling code runs in, outermost first."""
    return "/".join(type(module).__name__ for module in of_context("caller_modules") or ())


def watchers() -> tuple[Watcher, ...]:
    """Those who watch the calling code, outermost first."""
    return of_context("rtk_watchers") or ()


def hearers() -> tuple[Hearer, ...]:
    """Those who listen to the parts of its samples, outermost first."""
    return of_context("rtk_hearers") or ()


def emit(event: T, to: tuple[Callable[[T], None], ...]) -> None:
    """Tell those who watch; one that fails is logged and harms nobody."""
    for watcher in to:
        try:
            watcher(event)
        except Exception:  # a watcher is a guest: its faults must not reach the samples
            logger.exception("a watcher failed")
