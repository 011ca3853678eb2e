"""Dollars: what a token costs, or a machine's hour, where that is known. An unknown price is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from rtk.errors import ModelError
from rtk.models.litellm_library import library
from rtk.samples import Address


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per token read and per token written."""

    read: float
    written: float

    def of(self, read: float, written: float) -> float:
        """Dollars for so many tokens."""
        return self.read * read + self.written * written


def per_million(price: tuple[float, float] | None) -> Price | None:
    """A price given as dollars per million input tokens and output tokens.

    Raises:
        ModelError: for anything but two numbers from 0 on.
    """
    if price is None:
        return None
    try:
        read, written = (float(part) for part in price)
    except (TypeError, ValueError):
        read = written = -1.0
    if read < 0 or written < 0:
        raise ModelError(
            f"price={price!r} is no price", mend="pass (dollars per million input tokens, per million output tokens)"
        )
    return Price(read / 1e6, written / 1e6)


def pricing(model: str, price: tuple[float, float] | None, *, free: bool, own: bool) -> Callable[[], Price | None]:
    """How to find the price of a token: what the user says, else what LiteLLM lists.

    Args:
        model: the model string.
        price: as of `per_million`.
        free: whether it runs in this process.
        own: whether it runs on a server named by its address; what that costs has nothing to do with its model's name.
    """
    given = Price(0.0, 0.0) if price is None and free else per_million(price)
    return lambda: given if given is not None or own else listed(model)


def listed(model: str) -> Price | None:
    """The price in LiteLLM's offline list, by the model string or by its last part."""
    prices = library().model_cost
    for name in (model, model.partition("/")[2]):
        entry = prices.get(name) or {}
        if "input_cost_per_token" in entry and "output_cost_per_token" in entry:
            return Price(entry["input_cost_per_token"], entry["output_cost_per_token"])
    return None


class Machine:
    """A machine paid by the hour. While samples are in flight its time is paid for, and they share it evenly.

    So what all samples are charged is the price of the time during which any was in flight, however many at once.
    Attempts that failed are paid by the sample that comes in the end. Everything here happens on rtk's loop.

    Args:
        dollars_per_hour: of the machine.
    """

    def __init__(self, dollars_per_hour: float) -> None:
        self._rate = dollars_per_hour / 3600
        self._flying, self._since = 0, 0.0
        self._each = 0.0  # dollars of a sample that had been in flight from the beginning
        self._owed: dict[Address, float] = {}

    @contextmanager
    def working(self, samples: Sequence[Address]) -> Iterator[None]:
        """It works for some samples, and perhaps for others besides."""
        self._advance()
        entered, self._flying = self._each, self._flying + len(samples)
        try:
            yield
        finally:
            self._advance()
            self._flying -= len(samples)
            for address in samples:
                self._owed[address] = self._owed.get(address, 0.0) + self._each - entered

    def bill(self, address: Address) -> float:
        """Dollars of a sample that has come."""
        return self._owed.pop(address, 0.0)

    def _advance(self) -> None:
        now = perf_counter()
        if self._flying:
            self._each += self._rate * (now - self._since) / self._flying
        self._since = now


def hourly(dollars: float | None) -> Callable[[], Machine | None]:
    """What makes the machine that is paid so much by the hour; each process has its own.

    Raises:
        ModelError: for anything but a number from 0 on.
    """
    if dollars is None:
        return lambda: None
    if isinstance(dollars, bool) or not isinstance(dollars, (int, float)) or not 0 <= dollars < math.inf:
        raise ModelError(f"price_per_hour={dollars!r} is no price", mend="pass dollars per hour, such as 1.2")
    return lambda: Machine(dollars)
