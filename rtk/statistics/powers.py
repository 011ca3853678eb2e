"""How many questions it takes to see a difference, and how small a difference so many questions show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, isfinite, sqrt
from statistics import NormalDist

import numpy as np

from rtk.errors import RTKError
from rtk.statistics.clusters import Floats, Ints

MOST = 10_000_000
ROUNDING = 1e-9
CORRELATION = 0.5
NEAR, STEADY = 64, 5000  # beyond so many questions the power grows steadily


@dataclass(frozen=True, slots=True)
class Power:
    """How many questions show how large a difference, and how surely.

    Attributes:
        questions: how many questions both programs answer.
        difference: of their accuracies, the second less the first.
        power: the chance that McNemar's exact test calls this difference real, and of the right sign.
        accuracy: that of the first program.
        disagreement: the share of questions on which one of the two is right.
        level: the level of the test, two-sided.
    """

    questions: int
    difference: float
    power: float
    accuracy: float
    disagreement: float
    level: float

    def __int__(self) -> int:
        return self.questions

    def __index__(self) -> int:
        return self.questions

    def __repr__(self) -> str:
        after = self.accuracy + self.difference
        return (
            f"{self.questions:,} questions show a difference of {self.difference:+.3g} (accuracy {self.accuracy:.3g} "
            f"against {after:.3g}) with probability {self.power:.3f} at level {self.level:g}, "
            f"if one of the two alone is right on {self.disagreement:.1%} of them"
        )


def power(
    difference: float | None = None,
    questions: int | None = None,
    *,
    accuracy: float = 0.5,
    disagreement: float | None = None,
    power: float = 0.8,
    level: float = 0.05,
) -> Power:
    """Plan a paired comparison: pass a difference to get the questions it takes, or questions to get the difference.

    With both, the chance that so many questions show that difference.

    The test is McNemar's exact one, two-sided, as `p_value` and `mcnemar` have it, on one row a question. Its power is
    summed exactly over how many questions the two differ on and who wins how many of them; the search begins at
    Connor's formula. What is called real with the wrong sign does not count. Source: R. J. Connor, "Sample size for
    testing differences in proportions for the paired-sample design", Biometrics 43 (1987), 207–211; the exact power
    is unconditional, as in S. W. Duffy, "Asymptotic and exact power for the McNemar test and its analogue with R
    controls per case", Biometrics 40 (1984), 1005–1015.

    The number given is one from which on no larger one (of those looked at: the next 64) has less power than asked
    for; the power of an exact test does not grow quite steadily.

    What decides is on how many questions the two differ. Take it from a pilot where you can. Without `disagreement`
    they are taken to be correlated by 0.5, so that with a and b their accuracies the two differ on a share of

        a (1 − b) + b (1 − a) − √(a (1 − a) b (1 − b))

    and on |difference| at least. Replicates of a question would narrow it further; they are not counted on.

    * a negative difference: as its mirror image, a loss.
    * a difference of 0: an error, no number of questions shows it.
    * fewer than 6 questions at level 0.05: an error, they show no difference whatever.

    Args:
        difference: of the accuracies, in [−1, 1] and not 0.
        questions: how many questions there are, at least 1.
        accuracy: that of the first program.
        disagreement: the share of questions on which just one of the two is right.
        power: the probability with which the difference is to be seen.
        level: that of the test, such as 0.05; not of confidence.

    Raises:
        RTKError: neither of the first two, or figures that cannot be.
    """
    if not 0 < level <= 0.5 or not 0 < power < 1:
        raise RTKError(f"a test at level {level:g} with power {power:g}", mend="pass e.g. level=0.05, power=0.8")
    if not 0 <= accuracy <= 1:
        raise RTKError(f"an accuracy of {accuracy:g} cannot be", mend="pass a share in [0, 1]")
    if difference is None and questions is None:
        raise RTKError("nothing to plan by", mend="pass difference=0.1, or questions=200")
    if questions is not None and questions < 1:
        raise RTKError(f"{questions} questions", mend="pass 1 or more")
    if difference is None:
        return _smallest(int(questions or 0), accuracy, disagreement, power, level)
    share = _share(difference, accuracy, disagreement)
    if questions is None:
        questions = _fewest(abs(difference), share, power, level)
    reached = exact_power(int(questions), abs(difference), share, level)
    return Power(int(questions), float(difference), reached, accuracy, share, level)


def exact_power(questions: int, difference: float, disagreement: float, level: float) -> float:
    """The chance that McNemar's exact test finds a positive difference.

    Args:
        questions: how many.
        difference: of the accuracies, from 0 on.
        disagreement: the share of questions that just one of the two gets right, at least the difference.
        level: of the two-sided test.
    """
    from scipy.stats import binom

    mean, spread = questions * disagreement, sqrt(questions * disagreement * (1 - disagreement))
    least, most = max(0, floor(mean - 9 * spread) - 9), min(questions, ceil(mean + 9 * spread) + 9)
    differ = np.arange(least, most + 1, dtype=np.int64)
    won = binom.sf(_enough(differ, level) - 1, differ, min(1.0, (1 + difference / disagreement) / 2))
    return float(min(1.0, (binom.pmf(differ, questions, disagreement) * won).sum()))


def _enough(differ: Ints, level: float) -> Floats:
    """Of so many questions that differ, how many wins are called real."""
    from scipy.stats import binom

    wins = binom.isf(level / 2, differ, 0.5)  # the least k with P(more than k wins) ≤ level / 2
    wins = np.where(binom.sf(wins - 1, differ, 0.5) <= level / 2, wins, wins + 1)
    return np.where(binom.sf(wins - 1, differ, 0.5) <= level / 2, wins, wins + 1)


def _share(difference: float, accuracy: float, disagreement: float | None) -> float:
    """The share of questions on which the two differ."""
    after = accuracy + difference
    if not difference or not -ROUNDING <= after <= 1 + ROUNDING:
        raise RTKError(
            f"a difference of {difference:g} from an accuracy of {accuracy:g} cannot be seen",
            mend="pass a difference other than 0 that leaves the second accuracy in [0, 1]",
        )
    after = min(1.0, max(0.0, after))
    apart = accuracy * (1 - after) + after * (1 - accuracy)
    if disagreement is None:
        root = sqrt(accuracy * (1 - accuracy) * after * (1 - after))
        return max(abs(difference), apart - 2 * CORRELATION * root)
    most = min(accuracy + after, 2 - accuracy - after)
    if not abs(difference) - ROUNDING <= disagreement <= most + ROUNDING:
        raise RTKError(
            f"programs of accuracy {accuracy:g} and {after:g} cannot differ on {disagreement:g} of the questions",
            mend=f"pass a disagreement from {abs(difference):.3g} to {most:.3g}",
        )
    return max(abs(difference), disagreement)


def _fewest(difference: float, share: float, power: float, level: float) -> int:
    """The least number of questions that shows a difference, and so do those after it."""

    def enough(questions: int) -> bool:
        return exact_power(questions, difference, share, level) >= power

    quantile = NormalDist().inv_cdf
    reach = quantile(1 - level / 2) * sqrt(share) + max(0.0, quantile(power)) * sqrt(share - difference**2)
    connor = reach**2 / difference**2
    if not isfinite(connor) or connor > MOST:
        raise RTKError(f"it takes more than {MOST:,} questions", mend="pass a larger difference")
    return _least(enough, max(1, ceil(connor)))


def _least(enough: Callable[[int], bool], first: int) -> int:
    """Where what is enough begins, by doubling and halving; then the last place nearby that is not enough."""
    low, high = 0, first
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    after = range(high + 1, high + NEAR + 1) if high <= STEADY else ()
    return max((more + 1 for more in after if not enough(more)), default=high)


def _smallest(questions: int, accuracy: float, disagreement: float | None, power: float, level: float) -> Power:
    """The smallest gain that so many questions show; where none on the scale is large enough, the smallest loss."""

    def reached(difference: float) -> float:
        return exact_power(questions, abs(difference), _share(difference, accuracy, disagreement), level)

    gains, losses = _range(accuracy, disagreement), _range(1 - accuracy, disagreement)
    for sign, (least, most) in ((1, gains), (-1, losses)):
        if most <= max(0.0, least - ROUNDING) or reached(sign * most) < power:
            continue
        for _ in range(50):
            middle = (least + most) / 2
            least, most = (least, middle) if reached(sign * middle) >= power else (middle, most)
        found = sign * most
        return Power(questions, found, reached(found), accuracy, _share(found, accuracy, disagreement), level)
    raise RTKError(
        f"{questions:,} questions show no difference at level {level:g} with probability {power:g}",
        mend="take more questions, or pass a lower power",
    )


def _range(accuracy: float, disagreement: float | None) -> tuple[float, float]:
    """The gains that there can be, where the two differ on just that share of the questions."""
    if disagreement is None:
        return 0.0, 1 - accuracy
    if not 0 < disagreement <= 1:
        raise RTKError(f"a disagreement of {disagreement:g} cannot be", mend="pass a share in (0, 1]")
    return max(0.0, disagreement - 2 * accuracy), min(disagreement, 1 - accuracy, 2 - 2 * accuracy - disagreement)
