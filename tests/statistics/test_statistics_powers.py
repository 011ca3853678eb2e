"""Power: against enumeration of all outcomes, and against simulated experiments."""

from math import comb

import numpy as np
import pytest

import rtk
from rtk.errors import RTKError
from rtk.statistics import mcnemar, power
from rtk.statistics.powers import exact_power


def enumerated(questions, difference, disagreement, level):
    """The chance of a significant gain, over all outcomes, with the test itself."""
    won, lost = (disagreement + difference) / 2, (disagreement - difference) / 2
    total = 0.0
    for w in range(questions + 1):
        for losses in range(questions + 1 - w):
            if w > losses and mcnemar([True] * losses + [False] * w, [False] * losses + [True] * w) <= level:
                ways = comb(questions, w) * comb(questions - w, losses)
                total += ways * won**w * lost**losses * (1 - won - lost) ** (questions - w - losses)
    return total


@pytest.mark.parametrize("case", [(12, 0.4, 0.5, 0.05), (15, 0.2, 0.6, 0.05), (10, 0.3, 0.3, 0.2), (6, 1.0, 1.0, 0.05)])
def test_the_power_is_that_of_all_outcomes(case):
    """The chance of a significant gain is the sum over all outcomes, tested one by one."""
    assert exact_power(*case) == pytest.approx(enumerated(*case))


def test_simulated_experiments_find_the_difference_as_often():
    """Of 2,000 comparisons with as many questions as planned, four fifths find the difference."""
    planned = power(0.1, accuracy=0.6, disagreement=0.3)
    random = np.random.default_rng(0)
    outcomes = random.multinomial(planned.questions, [0.2, 0.1, 0.7], size=2000)
    pairs = [([True] * lost + [False] * won, [False] * lost + [True] * won) for won, lost, _ in outcomes.tolist()]
    found = np.mean([mcnemar(*pair) <= 0.05 and sum(pair[1]) > sum(pair[0]) for pair in pairs])
    assert found == pytest.approx(planned.power, abs=0.025)
    assert 0.8 <= planned.power < 0.82


@pytest.mark.parametrize("given", [{"accuracy": 0.7}, {"accuracy": 0.3, "disagreement": 0.2}, {"level": 0.01}])
def test_no_fewer_and_no_more_questions_do(given):
    """One question less does not reach the power asked for; all of the next ones do."""
    planned = power(0.12, power=0.9, **given)
    chances = [power(0.12, planned.questions + more, **given).power for more in range(-1, 30)]
    assert chances[0] < 0.9 <= min(chances[1:])


def test_it_is_near_connors_figure():
    """For many questions the exact number is a little above Connor's approximation."""
    share, difference = 0.2, 0.02
    connor = (1.959964 * share**0.5 + 0.841621 * (share - difference**2) ** 0.5) ** 2 / difference**2
    planned = power(difference, accuracy=0.5, disagreement=share)
    assert connor < planned.questions < 1.03 * connor


@pytest.mark.parametrize("given", [{}, {"accuracy": 0.9}, {"accuracy": 0.1, "disagreement": 0.3}, {"accuracy": 0.97}])
def test_what_so_many_questions_show_takes_so_many(given):
    """Asked the other way round, the difference found has the power, and a little less does not."""
    shown = power(questions=150, **given)
    assert shown.power == pytest.approx(0.8, abs=1e-6)
    less = shown.difference - np.sign(shown.difference) * 0.003
    assert power(less, 150, **given).power < 0.8
    assert shown.difference > 0 or given["accuracy"] == 0.97


def test_gains_and_losses_are_mirror_images():
    """A loss takes as many questions as the gain that undoes it."""
    assert power(-0.1, accuracy=0.7).questions == power(0.1, accuracy=0.6).questions


def test_programs_that_agree_more_take_fewer_questions():
    """The fewer questions they differ on, the fewer it takes; without a pilot a correlation of 0.5 is assumed."""
    wanted = [power(0.05, accuracy=0.5, disagreement=share).questions for share in (0.1, 0.2, 0.4)]
    assert wanted == sorted(wanted)
    assert power(0.05, accuracy=0.5).disagreement == pytest.approx(0.5 - (0.25 * 0.55 * 0.45) ** 0.5)


def test_a_plan_is_a_sentence_and_a_number():
    """A plan says in one sentence what it rests on, and counts as its number of questions; rtk shows it by name."""
    planned = rtk.power(0.1)
    assert repr(planned) == (
        "211 questions show a difference of +0.1 (accuracy 0.5 against 0.6) with probability 0.801 at level 0.05, "
        "if one of the two alone is right on 25.5% of them"
    )
    assert int(planned) == planned.questions == len(range(planned)) == 211


@pytest.mark.parametrize(
    "call",
    [
        lambda: power(),
        lambda: power(0),
        lambda: power(0.6),
        lambda: power(0.1, level=0.95),
        lambda: power(0.1, power=80),
        lambda: power(0.1, accuracy=1.5),
        lambda: power(0.1, disagreement=0.05),
        lambda: power(0.1, accuracy=0.05, disagreement=0.9),
        lambda: power(questions=5),
        lambda: power(questions=0),
        lambda: power(questions=50, disagreement=2),
        lambda: power(1e-6),
    ],
)
def test_what_cannot_be_planned_is_refused_with_a_mend(call):
    """Nothing to plan by, figures that cannot be together, and what no number of questions shows raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend
