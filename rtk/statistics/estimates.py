"""An estimate: one number that never travels without its interval and its sample size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, the interval around it, and what both rest on.

    Attributes:
        value: the point estimate; None where there is no data, never a flattering number.
        low: lower end of the interval.
        high: upper end of the interval.
        size: how many observations the estimate rests on.
        level: the interval's confidence level, in (0, 1).
        method: how the interval was computed, in a word or two (`"wilson"`).
    """

    value: float | None
    low: float
    high: float
    size: int
    level: float
    method: str

    def __str__(self) -> str:
        value = "–" if self.value is None else f"{self.value:.2f}"
        return f"{value} [{self.low:.2f}, {self.high:.2f}] n={self.size}"
