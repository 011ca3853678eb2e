"""Does confidence tell right answers from wrong ones: the area under the ROC curve, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Floats, numbers, scores
from rtk.statistics.estimates import Estimate
from rtk.statistics.proportions import proportion
from rtk.statistics.scoring import check_level


@dataclass(frozen=True, slots=True)
class Discrimination:
    """How well confidence sorts answers.

    Attributes:
        area: how often the better of two answers is the more confident one, ties counting half; 0.5 is a coin.
        p: how often confidence that knows nothing would sort as well or better, one-sided; 1.0 where nothing can be
            said.
        unsaid: rows without a confidence, which are left out.
    """

    area: Estimate
    p: float
    unsaid: int = 0

    @property
    def informative(self) -> bool:
        """Whether that it is better than a coin is more than chance would have, at the level of the interval."""
        return self.p < 1 - self.area.level

    def __str__(self) -> str:
        return f"AUROC {self.area}, p = {self.p:.2g}"


def auroc(confidence: Iterable[Any], correct: Iterable[Any], level: float = 0.95) -> Discrimination:
    """The area under the ROC curve: P(confidence of a right answer > of a wrong one) + P(they tie) / 2.

    With graded scores it is the same over all pairs of rows whose scores differ (Harrell's concordance). The interval
    is symmetric on the scale of log-odds, its standard error from the placements of the rows (E. R. DeLong et al.,
    Biometrics 44 (1988), 837–845). The p-value is that of Kendall's τ-b with its correction for ties, which for right
    and wrong is the Mann–Whitney test.

    * no pair of rows with different scores (no row, all right, all wrong): the value is None within [0, 1], p is 1.
    * all confidences alike: 0.5, and p is 1.
    * sorted perfectly, or perfectly the wrong way: Wilson's interval of as many rows as the rarer kind has.

    Args:
        confidence: of each row, any numbers; None or NaN where there is none.
        correct: the score of each row, in [0, 1]; bools count as 0 and 1.
        level: confidence level of the interval.

    Raises:
        RTKError: sequences of different lengths, scores outside [0, 1], a level outside (0, 1).
    """
    check_level(level)
    every, right = numbers(confidence, "confidences"), scores(correct, "'correct'")
    if every.shape != right.shape:
        raise RTKError(f"{every.size} confidences and {right.size} scores", mend="pass one of each a row")
    kept = ~np.isnan(every)
    said, right, unsaid = every[kept], right[kept], int((~kept).sum())
    better = np.sign(right[:, None] - right[None, :])
    pairs = np.abs(better).sum(axis=1)
    if not pairs.sum():
        return Discrimination(Estimate(None, 0.0, 1.0, said.size, level, "placements"), 1.0, unsaid)
    won = ((np.sign(said[:, None] - said[None, :]) * better + 1) / 2 * np.abs(better)).sum(axis=1)
    return Discrimination(_area(won, pairs, right, level), _p(said, right), unsaid)


def _area(won: Floats, pairs: Floats, right: Floats, level: float) -> Estimate:
    """The area and its interval, from what each row won of the pairs it is in."""
    area, size = float(won.sum() / pairs.sum()), right.size
    if area in (0.0, 1.0):
        rarer = int(min(np.unique(right, return_counts=True)[1].min(), size // 2)) or 1
        ends = proportion(round(area * rarer), rarer, level)
        return Estimate(area, ends.low, ends.high, size, level, "wilson")
    influence = 2 * (won - area * pairs) / pairs.sum()
    error = sqrt(float((influence**2).sum()) * size / max(1, size - 1))
    reach = -NormalDist().inv_cdf((1 - level) / 2) * error / (area * (1 - area))
    middle = log(area / (1 - area))
    low, high = (1 / (1 + exp(min(700.0, -(middle + side * reach)))) for side in (-1, 1))
    return Estimate(area, low, high, size, level, "placements")


def _p(said: Floats, right: Floats) -> float:
    from scipy.stats import kendalltau

    if np.ptp(said) == 0:
        return 1.0
    found: Any = kendalltau(said, right, alternative="greater")
    return 1.0 if np.isnan(found.pvalue) else float(found.pvalue)
