"""Score limits of a mean on a bounded scale: Wilson's interval, for what is not only right or wrong."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Floats

ROUNDING = 1e-12


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise RTKError(f"a confidence level of {level} cannot be", mend="pass a share such as level=0.95")


def score_limits(values: Floats, low: float, high: float, z: float) -> tuple[float, float]:
    """The means that a score test does not reject, of independent values on the scale from `low` to `high`.

    A mean μ belongs to the interval where `n (m − μ)² ≤ z² · Var_μ`: m is the mean of the n values, and `Var_μ` the
    variance not of the sample but of what μ supposes: of the likeliest distribution on the scale that has the mean μ.
    For μ > m that is the sample with weights proportional to `1/(c − x)` for some `c ≥ high`; where that does not
    reach μ, also with a mass at `high`, which nobody has seen yet. For μ < m the mirror image.

    * values of two kinds, 0 and 1 on [0, 1]: Wilson's interval.
    * values of three kinds, −1, 0 and 1 on [−1, 1]: Tango's interval of a paired difference.
    * n values all alike: from each end of the scale the share z²/(n + z²) of the way to the value; wider than a point.
    * many values: as Student's interval.

    Sources: E. B. Wilson 1927 and T. Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", Statistics in Medicine 17 (1998), 891–908, for the two special cases;
    A. B. Owen, "Empirical likelihood ratio confidence intervals for a single functional", Biometrika 75 (1988),
    237–249, for the likeliest distribution. The combination is rtk's own.

    Args:
        values: at least one, independent of each other, within the scale.
        low: the lower end of the scale.
        high: its upper end.
        z: the normal quantile of the level.
    """
    kinds, counts = np.unique(values, return_counts=True)
    return -_upper(-kinds, counts, -low, z), _upper(kinds, counts, high, z)


def _upper(kinds: Floats, counts: Any, end: float, z: float) -> float:
    """The largest mean that is not rejected."""
    gaps, size = end - kinds, int(counts.sum())
    gaps = np.where(gaps < ROUNDING, 0.0, gaps)
    room = float((counts * gaps).sum()) / size  # between the mean and the end of the scale
    if room <= 0:
        return end
    if gaps.min() > 0:
        first, second = _moments(gaps, counts / gaps)
        if kinds.size == 1 or size * (room - first) ** 2 <= z * z * (second - first * first):
            return end - _share(first, second, room, size, z) * first
    return end - _tilted(gaps, counts, room, size, z)


def _moments(gaps: Floats, weights: Floats) -> tuple[float, float]:
    """The weighted means of the gaps and of their squares."""
    whole = weights.sum()
    return float((weights * gaps).sum() / whole), float((weights * gaps * gaps).sum() / whole)


def _share(first: float, second: float, room: float, size: int, z: float) -> float:
    """The share that the sample keeps where the rest is a mass at the end: the smaller root of a quadratic."""
    square, linear, constant = first * first * (size + z * z), 2 * size * room * first + z * z * second, size * room**2
    return 2 * constant / (linear + sqrt(max(0.0, linear * linear - 4 * square * constant)))


def _tilted(gaps: Floats, counts: Any, room: float, size: int, z: float) -> float:
    """The mean gap at which the test rejects, among weights 1 / (u · gap + 1 − u): all alike at u = 0."""
    from scipy.optimize import brentq

    def beyond(u: float) -> float:
        first, second = _moments(gaps, counts / (u * gaps + (1 - u)))
        return sqrt(size) * (room - first) - z * sqrt(max(0.0, second - first * first))

    nearest = float(gaps.min())
    last = 1.0 if nearest > 0 else 1 - 1e-15
    found: Any = brentq(beyond, 0.0, last, xtol=1e-15) if beyond(last) > 0 else last
    return _moments(gaps, counts / (found * gaps + (1 - found)))[0]
