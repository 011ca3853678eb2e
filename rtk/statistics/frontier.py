"""Cost against value: which settings no other beats, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Floats, clustered, numbers
from rtk.statistics.resampling import redrawn


def pareto(cost: Iterable[float], value: Iterable[float]) -> list[int]:
    """The points that no other point beats: their indices, cheapest first.

    A point is beaten where another costs no more and is worth no less, and is better in one of the two. Points alike
    in both stand or fall together. A point whose cost or value is unknown (NaN) is not among them, and beats none.

    * no point: an empty list.
    * one point, or all alike: all of them.

    Args:
        cost: of each point, in any unit; less is better.
        value: of each point, such as its accuracy; more is better.

    Raises:
        RTKError: two sequences of different lengths.
    """
    costs, values = numbers(cost, "costs"), numbers(value, "values")
    if costs.size != values.size:
        raise RTKError(f"{costs.size} costs and {values.size} values", mend="pass one cost and one value a point")
    kept = np.flatnonzero(_unbeaten(costs[None], values[None])[0])
    return [int(one) for one in kept[np.lexsort((kept, costs[kept]))]]


def on_frontier(cost: Any, value: Any, draws: int = 2000, seed: int = 0) -> list[float]:
    """How often each point is among those that no other beats, when the questions are drawn again with replacement.

    All points are measured on the same questions, so they are drawn together: a hard question is hard for all.
    Replicates of a question belong averaged into one column. A share near 1 is a point that the questions at hand all
    but settle; points that differ by noise share what there is. It is a bootstrap probability (B. Efron and
    R. Tibshirani, The Annals of Statistics 26 (1998), 1687–1718), not a p-value.

    * no question: 0 for every point, nothing is known of any.
    * one question: 1 or 0.
    * a point without any question drawn, or of unknown cost, is not among them.

    Args:
        cost: a matrix of points × questions, averaged over those drawn; or one fixed cost a point. NaN where unknown.
        value: a matrix of points × questions; NaN where a question was not asked.
        draws: how many times the questions are drawn again.
        seed: the same seed gives the same shares, in every process.

    Returns:
        for each point a share in [0, 1]; they do not add up to 1.

    Raises:
        RTKError: matrices that do not fit each other.
    """
    values, costs = np.asarray(value, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if values.ndim != 2 or costs.shape not in (values.shape, values.shape[:1]):
        raise RTKError(
            f"costs of shape {costs.shape} do not fit values of shape {values.shape}",
            mend="pass values as points × questions, and costs alike or one a point",
        )
    if not values.size:
        return [0.0] * values.shape[0]
    hits = np.zeros(values.shape[0])
    for weights in redrawn(clustered(values.shape[1], None), draws, seed):
        means = _means(weights, values)
        spent = np.broadcast_to(costs, means.shape) if costs.ndim == 1 else _means(weights, costs)
        hits += _unbeaten(spent, means).sum(axis=0)
    return [float(one) for one in hits / draws]


def _unbeaten(costs: Floats, values: Floats) -> Any:
    """For each row, one draw, which of its points no other beats."""
    known = ~(np.isnan(costs) | np.isnan(values))
    kept = known.copy()
    for other in range(costs.shape[1]):
        one_cost, one_value = costs[:, [other]], values[:, [other]]
        better = ((one_cost < costs) & (one_value >= values)) | ((one_cost <= costs) & (one_value > values))
        kept &= ~(better & known[:, [other]])
    return kept


def _means(weights: Floats, matrix: Floats) -> Floats:
    """The means of draws × points over the questions drawn, as far as they were asked.

    Rounded to 12 digits: how a sum is ordered must not part two points that are alike.
    """
    known = ~np.isnan(matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(known, matrix, 0.0).T) / (weights @ known.T.astype(np.float64))
        digits = 10.0 ** (12 - np.ceil(np.log10(np.maximum(np.abs(means), 1e-280))))
    return np.round(means * digits) / digits
