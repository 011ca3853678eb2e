"""A share of successes, such as an accuracy, with its interval."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from rtk.errors import RTKError
from rtk.statistics.estimates import Estimate


def proportion(successes: int, size: int, level: float = 0.95) -> Estimate:
    """The share `p = successes / size` with the Wilson score interval.

    With `z` the normal quantile at `(1 + level) / 2` and `n = size`, the interval is

        (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209–212. Without continuity correction.

    * `size == 0`: the value is None and the interval is [0, 1]: nothing is known.
    * no success: the value is 0 and the interval is [0, z²/(n + z²)], wider than a point.
    * one observation: the value is 0 or 1 and the interval covers about four fifths of [0, 1] at level 0.95.
    * all correct: the value is 1 and the interval is [n/(n + z²), 1]; "8 of 8" is no proof of perfection.

    Args:
        successes: how many of the observations were successes, from 0 to `size`.
        size: how many observations there are.
        level: confidence level, strictly between 0 and 1.

    Raises:
        RTKError: counts that cannot be, or a level outside (0, 1).
    """
    if not 0 <= successes <= size:
        raise RTKError(f"{successes} successes of {size} cannot be", mend="pass 0 <= successes <= size")
    if not 0 < level < 1:
        raise RTKError(f"a confidence level of {level} cannot be", mend="pass a share such as level=0.95")
    if size == 0:
        return Estimate(None, 0.0, 1.0, 0, level, "wilson")
    value, z2 = successes / size, NormalDist().inv_cdf((1 - level) / 2) ** 2  # exact to the last level below 1
    middle = value + z2 / (2 * size)
    reach = sqrt(z2 * (value * (1 - value) / size + z2 / (4 * size * size)))
    low, high = ((middle + way * reach) / (1 + z2 / size) for way in (-1, 1))
    # Rounding may leave an end a hair on the wrong side of the value at 0 and at 1.
    return Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)), int(size), level, "wilson")
