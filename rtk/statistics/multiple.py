"""Many tests at once: p-values adjusted so that few of many comparisons are called real by chance."""

from __future__ import annotations

from collections.abc import Iterable

from rtk.errors import RTKError


def holm(p_values: Iterable[float]) -> list[float]:
    """P-values adjusted by Holm's step-down method, in the order given.

    The smallest of m is multiplied by m, the next by m − 1, and so on; none may be smaller than one before it, and
    none is above 1. Calling real what is then at most 0.05 is wrong about *any* of them at most 5 times in 100,
    however they depend on each other. Never less powerful than Bonferroni's correction.
    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979), 65–70.

    * none: an empty list.
    * one: unchanged.
    * all alike: each is multiplied by their number.

    Args:
        p_values: one for each comparison, in [0, 1].

    Raises:
        RTKError: a p-value that is missing or outside [0, 1].
    """
    given = [float(p) if p is not None else float("nan") for p in p_values]
    for place, p in enumerate(given):
        if not 0 <= p <= 1:
            raise RTKError(f"p-value {place} is {p:g}", mend="pass p-values in [0, 1]; leave out what was not tested")
    order = sorted(range(len(given)), key=given.__getitem__)
    adjusted, least = [0.0] * len(given), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(given) - rank) * given[place]))
        adjusted[place] = least
    return adjusted
