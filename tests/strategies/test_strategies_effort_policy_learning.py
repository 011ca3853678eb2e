"""Learning an effort policy: backward induction over what the rungs came to, and the price that keeps near enough."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtk.strategies.effort_learning import aside, at_equal_score, binned, cheapest, chosen, folds_of, learned, straight
from rtk.strategies.effort_tables import Climbs, fixed, walked
from rtk.strategies.effort_thresholds import Thresholds, thresholds

SIZES = (4, 8, 16)


def climbs(scores, values, sizes=SIZES):
    """Climbs of votes of such sizes."""
    scores, values, costs = np.asarray(scores, float), np.asarray(values, float), np.asarray(sizes, float)
    steps = np.maximum(costs[None, None, :] - costs[None, :, None], 0) + np.zeros((len(scores), 1, 1))
    return Climbs(scores, values, steps, np.full(len(scores), costs[0]))


def population(questions, seed, *, worthless=False, orders=4):
    """A third easy, a third that more samples help, a third hopeless; the measure tells which, or nothing."""
    chance = np.random.default_rng(seed)
    kinds = chance.integers(0, 3, questions)
    right = np.array([[0.97, 0.97, 0.97], [0.3, 0.6, 0.9], [0.03, 0.03, 0.03]])
    sure = np.array([0.9, 0.5, 0.1])
    scores = chance.random((questions, orders, 3)) < right[kinds][:, None, :]
    values = chance.normal(sure[kinds][:, None, None], 0.12, (questions, orders, 3))
    return climbs(scores, chance.random(values.shape) if worthless else values)


@st.composite
def walks(draw):
    """Climbs of a few questions, and a table for them."""
    questions, orders, rungs = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(2, 4))
    chance = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = np.cumsum(chance.integers(1, 9, rungs))
    made = climbs(chance.random((questions, orders, rungs)), chance.random((questions, orders, rungs)), sizes)
    table = []
    for rung in range(rungs):
        edges = tuple(sorted(chance.random(int(chance.integers(0, 3)))))
        later = [None, *range(rung + 1, rungs)]
        table.append((edges, tuple(later[int(chance.integers(len(later)))] for _ in range(len(edges) + 1))))
    return made, tuple(table)


@settings(max_examples=50, deadline=None)
@given(walks())
def test_walking_a_table_is_going_from_rung_to_rung(made):
    """Score and cost of each question are those of following the table by hand, averaged over the orders."""
    given_climbs, table = made
    found = walked(given_climbs, table)
    for question in range(given_climbs.size):
        scores, costs = [], []
        for order in range(given_climbs.scores.shape[1]):
            rung, cost = 0, given_climbs.first[question]
            while True:
                edges, actions = table[rung]
                value = given_climbs.values[question, order, rung]
                to = actions[sum(edge <= value for edge in edges)] if rung < given_climbs.rungs - 1 else None
                if to is None:
                    break
                cost, rung = cost + given_climbs.steps[question, rung, to], to
            scores.append(given_climbs.scores[question, order, rung])
            costs.append(cost)
        assert found.scores[question] == pytest.approx(np.mean(scores))
        assert found.costs[question] == pytest.approx(np.mean(costs))


def test_easy_and_hopeless_questions_stop_early():
    """At a fair price only those go on that more samples help."""
    table = learned(population(300, 1), 0.02)
    edges, actions = table[0]
    at = lambda value: actions[sum(edge <= value for edge in edges)]  # noqa: E731
    assert at(0.05) is None
    assert at(0.95) is None
    assert at(0.5) is not None


def test_a_higher_price_buys_less():
    """Down to the first rung alone; for nothing, no score is given away."""
    made = population(300, 2)
    costs = [walked(made, learned(made, price)).cost for price in (0.0, 0.01, 0.03, 1.0)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == SIZES[0]
    assert walked(made, learned(made, 0.0)).score >= walked(made, fixed(2, 3)).score - 0.01


@pytest.mark.parametrize("seed", range(2))
def test_what_is_chosen_keeps_near_full_effort_at_less_cost_on_new_questions(seed):
    """Learned from 120 questions, tried on 600 others: cheaper than fixed effort of the same score."""
    table, new = chosen(population(120, seed), 0.01, 5, 0), population(600, 100 + seed)
    got, full = walked(new, table), walked(new, fixed(2, 3))
    assert got.score >= full.score - 0.04
    assert got.cost < 0.9 * at_equal_score(new, got.score)


def test_what_is_chosen_costs_more_the_less_may_be_lost():
    """`within` is what buys."""
    made = population(80, 5)
    costs = [walked(made, chosen(made, within, 5, 0)).cost for within in (0.0, 0.05, 0.5)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == SIZES[0]


def test_thresholds_do_as_their_tables():
    """What is counted of each at once is what walking its table comes to."""
    made = population(12, 3, orders=2)
    every = list(thresholds(made))
    for one, did in every[:: max(1, len(every) // 60)]:
        got = walked(made, one.table(made))
        assert got.scores == pytest.approx(did.scores)
        assert got.costs == pytest.approx(did.costs)


def test_thresholds_read_as_a_table():
    """Hopeless below the one, settled from the other, and nothing beyond the last rung."""
    made = climbs([[[0, 0, 0]]] * 2, [[[0.1, 0.5, 0.9]], [[0.3, 0.7, 0.9]]])
    assert Thresholds(0.7, 0.5, 1, 2).table(made) == (((0.6,), (1, None)), ((0.4, 0.6), (None, 2, None)), ((), (None,)))
    assert Thresholds(0.7, -np.inf, 0, 0).table(made) == fixed(0, 3)
    assert Thresholds(np.inf, -np.inf, 0, 2).table(made) == fixed(2, 3)


def test_a_rung_after_which_everybody_goes_on_is_passed_over():
    """It takes a round less and comes to the same."""
    table = (((), (1,)), ((), (2,)), ((0.5,), (3, None)), ((), (None,)))
    assert straight(table)[0] == ((), (2,))
    made = population(20, 4)
    straightened = straight((((0.5,), (1, None)), ((), (2,)), ((), (None,))))
    assert straightened[0] == ((0.5,), (2, None))
    whole = walked(made, (((0.5,), (1, None)), ((), (2,)), ((), (None,))))
    assert walked(made, straightened).costs == pytest.approx(whole.costs)


def test_a_measure_that_says_nothing_saves_nothing_on_questions_kept_aside():
    """Policies of any price are no cheaper there than fixed effort of the same score."""
    made = population(200, 7, worthless=True)
    for got in aside(made, (0.005, 0.02), folds_of(200, 5, 0)):
        assert got.cost > 0.9 * at_equal_score(made, got.score)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0]), min_size=4, max_size=4), min_size=1, max_size=30),
    st.floats(0.1, 12),
)
def test_every_bin_holds_enough_questions(values, least):
    """Edges ascend, every bin holds a value, and where there are two none is emptier than asked."""
    values = np.array(values)
    edges = binned(values, least)
    assert list(edges) == sorted(set(edges))
    known = set(np.unique(values))
    places = np.searchsorted(edges, values, side="right")
    assert len(set(places.ravel())) == len(edges) + 1
    if edges:
        assert min(np.bincount(places.ravel())) / values.shape[1] >= least - 1e-9
        assert min(known) < edges[0]
        assert edges[-1] <= max(known)


def test_an_edge_is_as_short_as_it_can_be():
    """A person reads it."""
    assert binned(np.array([[0.123456, 0.7654321]] * 10), 1.0) == (0.4,)


def test_the_cheapest_fixed_rung_is_near_enough():
    """Within what may be lost of the last rung."""
    made = climbs([[[0.5, 0.74, 0.75]]] * 4, [[[0, 0, 0]]] * 4)
    assert [cheapest(made, within) for within in (0.0, 0.01, 0.3)] == [2, 1, 0]


def test_between_rungs_the_same_score_costs_a_mixture():
    """Half way between two rungs' scores, half way between their costs; beyond the best rung, what that costs."""
    made = climbs([[[0.5, 0.6, 0.7]]] * 4, [[[0, 0, 0]]] * 4)
    assert at_equal_score(made, 0.5) == 4
    assert at_equal_score(made, 0.55) == pytest.approx(6)
    assert at_equal_score(made, 0.65) == pytest.approx(12)
    assert at_equal_score(made, 0.9) == 16


def test_the_same_questions_and_seed_teach_the_same():
    """Nothing in it is left to chance."""
    made = population(60, 9)
    assert chosen(made, 0.02, 5, 3) == chosen(made, 0.02, 5, 3)
