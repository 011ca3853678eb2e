"""DSPy's history: an entry for each ask."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from rtk.models.asking import Ask
from rtk.models.outputs import outputs, reply_body, usage
from rtk.samples import Address, Request, Sample
from rtk.store import SampleStore

GONE = "(no longer in the store)"
"""The text of a sample that was removed after an ask gave it."""


def entry(
    model: str, ask: Ask, samples: Sequence[Sample], drawn: Sequence[Sample], prompt: Any, kwargs: Mapping[str, Any]
) -> Mapping[str, Any]:
    """An entry of DSPy's history. Usage and cost are of what was drawn now.

    Where nothing was, it is a view, which reads the store when somebody looks: DSPy keeps ten thousand entries, and
    asking again must not fill the memory.
    """
    whole = not drawn and len(samples) == len(ask.addresses)
    store = ask.source.store.path if whole and ask.keep and ask.recording is None else None
    held = () if store is not None else tuple(samples)
    call = Call(model, ask.request, ask.addresses[0], len(ask.addresses), prompt, dict(kwargs), store, held)
    if whole:
        return Recalled(_shared(call), time.time())
    dollars = [sample.usage.dollars for sample in drawn]
    cost = None if None in dollars else sum(one or 0.0 for one in dollars)
    return {**Recalled(call, time.time()), "usage": usage(drawn) if drawn else {}, "cost": cost}


@dataclass
class Call:
    """An ask, as its entry tells of it; entries of the same ask share one.

    Attributes:
        store: the folder where its samples are read again; None where they are held. An open store would stay so.
        held: the samples.
    """

    model: str
    request: Request
    first: Address
    count: int
    prompt: Any
    kwargs: dict[str, Any]
    store: Path | None
    held: tuple[Sample, ...]

    def samples(self) -> Sequence[Sample]:
        """The samples that it gave."""
        if self.store is None:
            return self.held
        key, stream, start = self.first
        places = [start] * self.count if self.request.greedy else range(start, start + self.count)
        found = SampleStore(self.store).read(key, stream, places) if self.store.exists() else {}
        return [found.get(index) or Sample(Address(key, stream, index), GONE) for index in places]


_calls: WeakValueDictionary[tuple[str, Address, int], Call] = WeakValueDictionary()


def _shared(call: Call) -> Call:
    place = (call.model, call.first, call.count)
    known = _calls.setdefault(place, call)
    if known != call:  # the same samples, asked for with other words
        _calls[place] = call
        return call
    return known


class Recalled(Mapping[str, Any]):
    """The entry of an ask of which nothing was drawn; `dict(entry)` is a plain one."""

    __slots__ = ("_call", "_seconds", "_uuid")

    def __init__(self, call: Call, seconds: float) -> None:
        self._call, self._seconds, self._uuid = call, seconds, ""

    def __getitem__(self, name: str) -> Any:
        return _FIELDS[name](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def __len__(self) -> int:
        return len(_FIELDS)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Recalled:
        return self

    def outputs(self) -> list[Any]:
        """What the call returned."""
        return outputs(self._call.samples(), logprobs=bool(self._call.request.options.get("logprobs")))

    def identity(self) -> str:
        """A UUID, made when somebody asks for it."""
        self._uuid = self._uuid or str(uuid.uuid4())
        return self._uuid


_FIELDS: dict[str, Callable[[Recalled], Any]] = {
    "prompt": lambda one: one._call.prompt,
    "messages": lambda one: one._call.request.messages,
    "kwargs": lambda one: dict(one._call.kwargs),
    "response": lambda one: reply_body(one._call.model, one._call.samples()),
    "outputs": Recalled.outputs,
    "usage": lambda one: {},
    "cost": lambda one: 0,
    "timestamp": lambda one: datetime.fromtimestamp(one._seconds).isoformat(),
    "uuid": Recalled.identity,
    "model": lambda one: one._call.model,
    "response_model": lambda one: one._call.samples()[0].served_model or one._call.model,
    "model_type": lambda one: "chat",
}
