"""Hearing a sample while it is drawn: what it has said so far, and who listens.

Streams cost work for every chunk, so a draw streams where somebody listens, and only where it is of one sample.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import cast

from rtk.events import Hearer, SamplePart, emit
from rtk.models.wire import Completion, Fault, Streaming, Transport
from rtk.samples import Address, Request, readable

logger = logging.getLogger("rtk")

Words = tuple[str, str]
"""Text, and reasoning."""


class Aloud:
    """A draw that is heard.

    A stream that breaks off is asked for again. What the next attempt only repeats is not said twice; where it says
    something else, its first part says that what came before is void: nobody shall take two texts for one.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._hearers: list[Hearer] = []
        self._said: list[Words] = []
        self._now = self._said  # what this attempt has said; another list while it may only be repeating

    @property
    def silent(self) -> bool:
        """Whether nothing has been said yet."""
        return not self._said

    def listen(self, hearer: Hearer) -> None:
        """From now on somebody listens, and hears first what has been said."""
        self._hearers.append(hearer)
        if self._said:
            emit(SamplePart(self._address, *_joined(self._said)), (hearer,))

    def begin(self) -> None:
        """An attempt begins."""
        self._now = [] if self._said else self._said

    def hear(self, text: str, reasoning: str) -> None:
        """A part came."""
        words = (readable(text), readable(reasoning))
        if not any(words):
            return
        self._now.append(words)
        if self._now is self._said:
            self._say(words)
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        """Go on where the attempt before broke off, or begin anew where this one says something else."""
        before, now = _joined(self._said), _joined(self._now)
        if all(old.startswith(new) for old, new in zip(before, now, strict=True)):
            return
        anew = not all(new.startswith(old) for old, new in zip(before, now, strict=True))
        self._said = self._now
        self._say(now if anew else (now[0][len(before[0]) :], now[1][len(before[1]) :]), anew)

    def _say(self, words: Words, anew: bool = False) -> None:
        emit(SamplePart(self._address, *words, anew), tuple(self._hearers))


def _joined(said: Iterable[Words]) -> Words:
    texts, reasonings = zip(*said, strict=True)
    return "".join(texts), "".join(reasonings)


async def complete(
    transport: Transport, request: Request, addresses: Sequence[Address], aloud: Aloud | None
) -> list[Completion]:
    """Ask a transport; aloud, where somebody listens and it can. See `rtk.models.wire.Transport.complete`."""
    if aloud is None or len(addresses) > 1 or not getattr(transport, "streams", False):
        return await transport.complete(request, addresses)
    streaming = cast(Streaming, transport)
    aloud.begin()
    try:
        return await streaming.complete(request, addresses, aloud.hear)
    except Fault as fault:
        if fault.retryable or fault.shared or not aloud.silent:
            raise
        refused = fault
    found = await transport.complete(request, addresses)
    streaming.streams = False  # as it has shown now; a request that is refused either way shows nothing
    logger.warning("%s does not stream (%s): what it says comes whole", request.model, refused)
    return found
