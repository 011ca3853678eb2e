"""Dollars: what a token costs, where that is known. An unknown price is None, never 0."""

from __future__ import annotations

from dataclasses import dataclass

from rtk.errors import ModelError
from rtk.models.litellm_wire import library


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


def listed(model: str) -> Price | None:
    """The price in LiteLLM's offline list, by the model string or by its last part."""
    prices = library().model_cost
    for name in (model, model.partition("/")[2]):
        entry = prices.get(name) or {}
        if "input_cost_per_token" in entry and "output_cost_per_token" in entry:
            return Price(entry["input_cost_per_token"], entry["output_cost_per_token"])
    return None
