"""DSPy's streams (`dspy.streamify`): a sample that is drawn alone is sent on while it comes.

Only the thread or task in which DSPy calls the LM may send to whoever reads the stream. So what is heard on rtk's loop
goes to the caller through a queue, and the caller sends it while it waits.

A sample that is there already is sent too, word by word, so that listeners find its fields. What is drawn side by side
is not: its parts would mix. It comes whole, with the prediction, and a warning says so once for each stream.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from weakref import WeakSet

import dspy
from dspy.clients.call_context import stream_emitted
from dspy.clients.call_result import attributes
from dspy.clients.engines.streaming import EngineChunk
from dspy.streaming.messages import StatusMessage, sync_send_to_stream

from rtk.events import SamplePart
from rtk.models.asking import Ask, Gathered, Gathering, agather, begun, gather
from rtk.models.loop import refuse_on_background, submit
from rtk.samples import Sample

T = TypeVar("T")

logger = logging.getLogger("rtk")

_WORDS = re.compile(r"\s*(?:\w+|[^\w\s]+)|\s+")
_VOID = StatusMessage(
    "The stream broke off, and the model, asked again, said something else: disregard what came so far; "
    "the prediction holds the answer."
)
_TOGETHER = "samples that are drawn side by side are not streamed, since their parts would mix: they come whole"
_ROLLED_OUT = "modules that a strategy runs are not streamed: what they come to is in the prediction"
_OUT_OF_REACH = (
    "nothing is streamed from here: only the thread or task in which DSPy runs the program can send to its stream. "
    "In async code, await the acall of modules; see is_async_program= of dspy.streamify"
)
_LOOK_SECONDS = 0.5

_warned: WeakSet[Any] = WeakSet()


class Voice:
    """One sample's way to the stream that is open where it is made.

    Args:
        ask: for the sample.
        predictor: that asks; listeners tell chunks apart by it.
    """

    def __init__(self, ask: Ask, predictor: Any) -> None:
        self._stream: Any = dspy.settings.send_stream
        self._address = ask.addresses[0]
        self._head = {"id": ask.request.key[:24], "model": ask.request.model,
                      "predict_id": None if predictor is None else id(predictor)}  # fmt: skip
        self._said: list[str] = []
        self._silent = False

    def __repr__(self) -> str:
        return f"Voice({str(self._address)!r})"

    # --- what is sent ---

    def words(self, came: Any) -> list[Any]:
        """What to send for a part, or for the end of the ask."""
        if self._silent:
            return []
        if isinstance(came, SamplePart):
            return self._part(came) if came.address == self._address else []
        samples = came.samples if isinstance(came, Gathered) else []
        return self._end(samples[0]) if samples else []

    def _part(self, part: SamplePart) -> list[Any]:
        if part.anew:
            return self._void()
        self._said.append(part.text)
        return self._chunks(part.text, part.reasoning)

    def _end(self, sample: Sample) -> list[Any]:
        last = self._chunk({}, sample.finish_reason or "stop")
        if not self._said:
            return [*self._chunks(sample.text, sample.reasoning or ""), last]
        return [last] if "".join(self._said) == sample.text else self._void()

    def _void(self) -> list[Any]:
        """Nothing more is sent: what was is not the answer."""
        self._silent = True
        return [_VOID]

    def _chunks(self, text: str, reasoning: str) -> list[Any]:
        """A word each: DSPy's listeners take a chunk that holds a whole field for one of its cache, and pass over
        it."""
        thought = [self._chunk({"reasoning_content": word}) for word in _WORDS.findall(reasoning)]
        return thought + [self._chunk({"content": word}) for word in _WORDS.findall(text)]

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> EngineChunk:
        choice = {"index": 0, "delta": {"content": None, **delta}, "finish_reason": finish}
        return EngineChunk(**self._head, choices=[attributes(choice)])

    # --- sending ---

    def hears(self, ask: Ask, hearer: Callable[[SamplePart], None]) -> Ask:
        """The ask, of whose sample `hearer` is told while it comes."""
        return replace(ask, hearers=(*ask.hearers, hearer))

    def say(self, came: Any) -> None:
        """Send what there is to send, from sync code.

        Raises:
            asyncio.CancelledError: where nobody reads any more.
        """
        for one in self.words(came):
            if _on_a_loop():  # which would wait for its own reader
                return self._lose()
            try:
                sync_send_to_stream(self._stream, one)
            except Exception as error:
                if self.unread:
                    raise asyncio.CancelledError from error
                if not isinstance(error, RuntimeError):
                    raise
                return self._lose()
            stream_emitted()
        return None

    def _lose(self) -> None:
        self._silent = True
        _warn_once(self._stream, _OUT_OF_REACH)

    async def asay(self, came: Any) -> None:
        """The same from a coroutine."""
        for one in self.words(came):
            await self._stream.send(one)
            stream_emitted()

    @property
    def unread(self) -> bool:
        """Whether whoever read the stream has gone."""
        return self._stream.statistics().open_receive_streams == 0

    def wait(self, inbox: SimpleQueue[T]) -> T:
        """What comes next.

        Raises:
            asyncio.CancelledError: where nobody reads any more.
        """
        while True:
            try:
                return inbox.get(timeout=_LOOK_SECONDS)
            except Empty:
                if self.unread:
                    raise asyncio.CancelledError from None


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _warn_once(stream: Any, why: str) -> None:
    if stream not in _warned:
        _warned.add(stream)
        logger.warning("dspy.streamify: %s", why)


def voice_of(ask: Ask, predictor: Any, *, alone: bool = True) -> Voice | None:
    """The way to the stream that is open for what a predictor asks; None where there is none.

    Args:
        ask: what it asks; only a single sample has a voice.
        predictor: None for an LM that is called by itself.
        alone: whether nothing else is drawn meanwhile by the same program.
    """
    stream = dspy.settings.send_stream
    if stream is None or dspy.settings.get("rtk_gather"):
        return None
    listeners = dspy.settings.stream_listeners
    if listeners and not any(listener.predict is predictor for listener in listeners):
        return None
    if not alone or len({*ask.addresses}) > 1:
        _warn_once(stream, _TOGETHER)
        return None
    return Voice(ask, predictor)


def unstreamed() -> None:
    """Say that a module is run out of reach of the stream, where one is open."""
    if dspy.settings.send_stream is not None:
        _warn_once(dspy.settings.send_stream, _ROLLED_OUT)


def gather_aloud(ask: Ask) -> Gathered:
    """See `rtk.models.gather`; where a stream is open, what comes is sent there."""
    voice = voice_of(ask, dspy.settings.caller_predict)
    if voice is None:
        return gather(ask)
    inbox: SimpleQueue[Any] = SimpleQueue()
    gathering = Gathering(voice.hears(ask, inbox.put))
    if not begun(gathering):
        refuse_on_background()
        future = submit(gathering.draw())
        future.add_done_callback(inbox.put)
        try:
            while (came := voice.wait(inbox)) is not future:
                voice.say(came)
        except BaseException:
            future.cancel()
            raise
        future.result()
    gathered = gathering.gathered()
    voice.say(gathered)
    return gathered


async def agather_aloud(ask: Ask) -> Gathered:
    """The same from async code."""
    voice = voice_of(ask, dspy.settings.caller_predict)
    if voice is None:
        return await agather(ask)
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    put = partial(_put, asyncio.get_running_loop(), inbox)
    gathering = Gathering(voice.hears(ask, put))
    if not begun(gathering):
        future = submit(gathering.draw())
        future.add_done_callback(put)
        try:
            while (came := await inbox.get()) is not future:
                await voice.asay(came)
        except BaseException:
            future.cancel()
            raise
        future.result()
    gathered = gathering.gathered()
    await voice.asay(gathered)
    return gathered


def _put(loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue[Any], came: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(inbox.put_nowait, came)
