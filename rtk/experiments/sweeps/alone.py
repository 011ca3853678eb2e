"""What an answer costs by itself, whatever it shared when its samples were drawn.

A prompt that a server reads once for several completions is paid by all of them together. In a sweep they are drawn
together for the largest setting; a smaller one that is told the first of them would pay the whole prompt by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rtk.budget import Cost
from rtk.samples import Address


def alone(
    charged: Mapping[Address, Cost], calls: int, read_price: Callable[[], float | None]
) -> tuple[float | None, float | None]:
    """Dollars and floating-point operations of an answer, with each prompt paid once an ask.

    What several settings have in common is paid by each: so two settings can be held against each other, and their
    sums are more than what was paid. Where the price of a token read is not known, dollars are as they were paid.

    Args:
        charged: the answer's samples, as they were paid when drawn.
        calls: asks of the answer; all of one prompt, where it has but one.
        read_price: dollars of a token read; asked for where a prompt was shared.
    """
    dollars = summed([cost.dollars for cost in charged.values()])
    operations = summed([cost.flops for cost in charged.values()])
    groups: dict[str, list[Cost]] = {}
    for address, cost in charged.items():
        if cost.choices > 1:
            groups.setdefault(address.key, []).append(cost)
    if not groups:
        return dollars, operations
    price = None if not dollars else read_price()
    for costs in groups.values():
        missing = _missing(costs, min(calls, len(costs)) if len(groups) == 1 else 1)
        dollars = dollars if dollars is None or price is None else dollars + price * missing
        first = costs[0]
        if operations is not None and first.flops is not None:
            tokens = first.prompt_tokens / first.choices + first.completion_tokens
            operations += first.flops / tokens * missing if tokens else 0.0
    return dollars, operations


def _missing(costs: list[Cost], asks: int) -> float:
    """Tokens read that so many asks of one prompt pay, less those that were paid."""
    paid = math.fsum(cost.prompt_tokens / cost.choices for cost in costs)
    return max(0.0, asks * costs[0].prompt_tokens - paid)


def summed(amounts: list[float | None]) -> float | None:
    """A sum; None where a part of it is not known."""
    known = [one for one in amounts if one is not None]
    return None if len(known) < len(amounts) else math.fsum(known)
