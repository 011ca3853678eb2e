"""Where an LM's samples come from: what all its copies share. Holds the connection, so it shows and copies nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from rtk.models.drawing import Desk, Drawer, desk
from rtk.models.prices import Machine, Price
from rtk.models.retries import Retries
from rtk.models.wire import Transport
from rtk.models.writing import Writer
from rtk.samples import Address, Sample
from rtk.store import SampleStore, default_path

# No lock: it could be held at a fork, for ever. Two stores of one folder do no harm.
_default_stores: WeakValueDictionary[tuple[int, str], SampleStore] = WeakValueDictionary()


def default_store() -> SampleStore:
    """The store used where none is given: one for each default path in this process."""
    path = default_path()
    key = (os.getpid(), str(path))
    return _default_stores.get(key) or _default_stores.setdefault(key, SampleStore(path))


class Source:
    """A model behind a transport, and the store its samples are kept in.

    Args:
        open_transport: makes the way to the model; called on the first draw in a process.
        identity: what tells this model from another of the same name.
        price: makes the price, where it is known; called on the first draw.
        machine: makes the machine, where one is paid by the hour; called on the first draw in a process.
        parameters: of the model, where they are known.
        store: None for the default one, opened on first use.
        keep: whether anything is stored at all.
        concurrency: requests in flight at once.
        server_n: whether one request may ask for several samples; None finds out.
        retries: how often and when to ask again.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        *,
        identity: Mapping[str, Any],
        price: Callable[[], Price | None],
        machine: Callable[[], Machine | None],
        parameters: float | None,
        store: SampleStore | None,
        keep: bool,
        concurrency: int,
        server_n: bool | None,
        retries: Retries,
    ) -> None:
        self.identity = dict(identity)
        self.keep = keep
        self.parameters = parameters
        self._machine = machine
        self._open, self._price, self._store = open_transport, price, store
        self._concurrency, self._server_n, self._retries = concurrency, server_n, retries
        self._pid, self._drawers = os.getpid(), dict[bool, Drawer]()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "Source()"

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        return self

    @property
    def store(self) -> SampleStore:
        """Where samples are kept; once used, it stays the same."""
        if self._store is None:
            self._store = default_store()
        return self._store

    @property
    def price(self) -> Price | None:
        """Dollars per token, where known."""
        return self._price()

    @property
    def concurrency(self) -> int:
        """Requests in flight at once."""
        return self._concurrency

    def through(self, open_transport: Callable[[], Transport], *, keep: bool | None = None) -> Source:
        """The same source by another way; `keep` says anew whether anything is stored."""
        twin = copy(self)
        twin.keep = self.keep if keep is None else keep
        twin._open, twin._drawers, twin._lock = open_transport, {}, threading.Lock()
        return twin

    def read(self, addresses: Sequence[Address]) -> dict[Address, Sample]:
        """Those of some addresses of one request and stream that are stored."""
        first = addresses[0]
        found = self.store.read(first.key, first.stream, [address.index for address in addresses])
        return {sample.address: sample for sample in found.values()}

    def drawer(self, *, keep: bool) -> Drawer:
        """The drawer of this process, made on first use."""
        if self._pid != os.getpid():  # after a fork: the parent's connections are not ours
            self._pid, self._drawers, self._lock = os.getpid(), {}, threading.Lock()
        with self._lock:
            if keep not in self._drawers:
                self._drawers[keep] = self._make(keep)
            return self._drawers[keep]

    def _make(self, keep: bool) -> Drawer:
        place = desk(Writer(self.store)) if keep else Desk(None)
        other = self._drawers.get(not keep)
        if other is not None:  # the same connections, and together no more requests in flight
            return replace(other, desk=place)
        places = asyncio.Semaphore(self._concurrency)
        return Drawer(
            self._open(), place, self._retries, places, self._server_n, self._price(), self._machine()
        )  # fmt: skip
