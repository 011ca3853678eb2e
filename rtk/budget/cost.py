"""Amounts: what a sample cost, what it may cost at most, what a program has spent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from rtk.samples import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """What one sample cost.

    Attributes:
        prompt_tokens: read.
        completion_tokens: written.
        dollars: None where the price is unknown.
        flops: floating-point operations; None where the number of parameters is unknown.
        estimated: whether the tokens were counted by rtk, since the server reported none.
        seconds: that it took when it was drawn.
        choices: completions that share the prompt with it.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = 0.0
    flops: float | None = 0.0
    estimated: bool = False
    seconds: float = 0.0
    choices: int = 1

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, usage: Usage, parameters: float | None = None) -> Cost:
        """The cost recorded with a sample when it was drawn by a model of so many parameters."""
        operations = None if parameters is None else flops(usage, parameters)
        return cls(
            usage.prompt_tokens, usage.completion_tokens, usage.dollars, operations, usage.estimated, usage.seconds,
            usage.choices,
        )  # fmt: skip


def flops(usage: Usage, parameters: float) -> float:
    """About how many floating-point operations a sample took: 2 for each parameter and token, read or written.

    A prompt that was read once for several choices is counted once for all of them. Left out is attention to what came
    before, which is small beside the rest while the context is short (Kaplan et al. 2020, "Scaling Laws for Neural
    Language Models", section 2.1: C ≈ 2N + 2 · layers · context · width).
    """
    return 2 * parameters * (usage.prompt_tokens / usage.choices + usage.completion_tokens)


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
        flops: floating-point operations (see `flops`), likewise; None as soon as one model's `params=` are unknown.
        drawn: samples drawn now.
        reused: samples that were in the store already.
        failed: samples asked for that did not come.
        overdrawn: samples paid for and not consulted.
        estimated: samples whose tokens rtk counted, since the server reported none.
        lost: completions whose reply broke off, was dropped or came too late: the server may have generated and billed
            them, and they were asked for again. A kept connection that the server had closed counts for nothing.
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
    flops: float | None = 0.0
    estimated: int = 0
    lost: int = 0

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        """The two together; dollars and operations are unknown where either's are."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        sums: dict[str, Any] = {name: None if None in pair else sum(pair) for name, pair in pairs.items()}
        return Spent(**sums)

    def amounts(self) -> str:
        """What it cost in one line, the same whether the samples were drawn or reused."""
        return self._told("")

    def __str__(self) -> str:
        missing = f", {self.failed} failed" if self.failed else ""
        missing += f", {self.lost} lost" if self.lost else ""
        return self._told(f" ({self.drawn} drawn, {self.reused} reused{missing})")

    def _told(self, samples: str) -> str:
        price = "" if not self.dollars else f", ${self.dollars:.4f}"
        counted = f"{_counted(self.calls, 'call')}, {_counted(self.samples, 'sample')}{samples}"
        about = "about " if self.estimated else ""
        return f"{counted}, {about}{_counted(self.tokens, 'token')}{price}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def charged(spent: Spent, costs: Collection[Cost], *, reused: bool, calls: int = 0) -> Spent:
    """What was spent with some samples more, added one after the other, so that sums do not depend on who came when."""
    read = written = estimated = 0
    dollars, operations = spent.dollars, spent.flops
    for cost in costs:
        read += cost.prompt_tokens
        written += cost.completion_tokens
        estimated += cost.estimated
        dollars = None if dollars is None or cost.dollars is None else dollars + cost.dollars
        operations = None if operations is None or cost.flops is None else operations + cost.flops
    count = len(costs)
    return Spent(  # by hand: this is done for every sample, and `replace` takes three times as long
        calls=spent.calls + calls,
        samples=spent.samples + count,
        prompt_tokens=spent.prompt_tokens + read,
        completion_tokens=spent.completion_tokens + written,
        dollars=dollars,
        drawn=spent.drawn + (0 if reused else count),
        reused=spent.reused + (count if reused else 0),
        failed=spent.failed,
        overdrawn=spent.overdrawn,
        flops=operations,
        estimated=spent.estimated + estimated,
        lost=spent.lost,
    )
