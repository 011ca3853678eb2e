"""Amounts: what a sample cost, what it may cost at most, what a program has spent."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rtk.samples import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sample cost: tokens read and written, and dollars (None where the price is unknown)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = 0.0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, usage: Usage) -> Cost:
        """The cost recorded with a sample when it was drawn."""
        return cls(usage.prompt_tokens, usage.completion_tokens, usage.dollars)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most one sample may cost, known before it is drawn; the same for a stored sample as for a new one.

    Attributes:
        prompt: the most tokens read; a budget knows better once a sample of the same request has settled.
        completion: the most tokens written (`max_tokens`); None where nothing bounds them.
        read: dollars per token read; None where the price is unknown.
        written: dollars per token written; likewise.
    """

    prompt: int = 0
    completion: int | None = None
    read: float | None = None
    written: float | None = None

    def most(self, unit: str, prompt: int) -> float | None:
        """The most of a unit one sample may cost whose prompt has at most that many tokens; None if unbounded."""
        if unit == "samples":
            return 1
        if self.completion is None:
            return None
        if unit == "tokens":
            return prompt + self.completion
        if self.read is None or self.written is None:
            return None
        return self.read * prompt + self.written * self.completion


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent. A sample is charged once to a budget, whoever asks for it.

    Attributes:
        calls: asks of a predictor, however many samples each.
        samples: samples consulted, drawn now or reused.
        prompt_tokens: tokens read, as counted when each sample was drawn.
        completion_tokens: tokens written, likewise.
        dollars: likewise; None as soon as one sample's price is unknown.
        drawn: samples drawn now.
        reused: samples that were in the store already.
        failed: samples asked for that did not come.
        overdrawn: samples paid for and not consulted.
    """

    calls: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = 0.0
    drawn: int = 0
    reused: int = 0
    failed: int = 0
    overdrawn: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        """The two together; dollars are unknown where either's are."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        sums: dict[str, Any] = {name: None if None in pair else sum(pair) for name, pair in pairs.items()}
        return Spent(**sums)

    def amounts(self) -> str:
        """What it cost in one line, the same whether the samples were drawn or reused."""
        return self._told("")

    def __str__(self) -> str:
        missing = f", {self.failed} failed" if self.failed else ""
        return self._told(f" ({self.drawn} drawn, {self.reused} reused{missing})")

    def _told(self, samples: str) -> str:
        price = "" if not self.dollars else f", ${self.dollars:.4f}"
        counted = f"{_counted(self.calls, 'call')}, {_counted(self.samples, 'sample')}{samples}"
        return f"{counted}, {_counted(self.tokens, 'token')}{price}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def charge(cost: Cost, *, reused: bool) -> Spent:
    """One sample's entry in a ledger."""
    return Spent(
        samples=1,
        prompt_tokens=cost.prompt_tokens,
        completion_tokens=cost.completion_tokens,
        dollars=cost.dollars,
        drawn=int(not reused),
        reused=int(reused),
    )
