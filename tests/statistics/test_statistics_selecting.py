"""Choosers of k samples: against every order of the samples, and against rtk's own vote."""

from itertools import permutations
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtk.answers import vote
from rtk.errors import RTKError
from rtk.statistics import best_of_k, majority_at_k, pass_at_k, selecting

LABELS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=6)
SAMPLES = LABELS.flatmap(
    lambda labels: st.tuples(st.just(labels), st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels)))
)


def elected(labels, right):
    """The score of the vote's winner: the first seen of the largest clusters, with its earliest member's answer."""
    members = {}
    for label, score in zip(labels, right, strict=True):
        if label is not None:
            members.setdefault(label, []).append(score)
    return max(members.values(), key=len)[0] if members else 0.0


@given(SAMPLES, st.integers(1, 6))
@settings(deadline=None)
def test_the_majority_is_that_of_all_orders(samples, k):
    """The mean over all k-subsets in all orders, by enumeration, is what the polynomials give."""
    labels, right = samples
    found = majority_at_k(labels, right, k)
    if k > len(labels):
        assert found is None
        return
    orders = [
        elected([labels[i] for i in order], [right[i] for i in order]) for order in permutations(range(len(labels)), k)
    ]
    assert found == pytest.approx(np.mean(orders))


def test_the_tie_rule_is_that_of_rtks_vote():
    """Over all orders of the samples, the answers that `rtk.answers.vote` elects are right as often."""
    given_answers, gold = ["4", "5", "4", "5", "6"], "5"
    won = [vote([given_answers[i] for i in order]).winner == gold for order in permutations(range(5), 4)]
    assert majority_at_k(given_answers, [one == gold for one in given_answers], 4) == pytest.approx(np.mean(won))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=64), st.integers(1, 64))
@settings(deadline=None)
def test_one_sample_is_the_share_and_all_are_the_vote(labels, k):
    """k = 1 gives the share of right samples, k = n the vote itself with ties shared; a curve is its single values."""
    right = [label == 0 for label in labels]
    curve = majority_at_k(labels, right, [1, k, len(labels)])
    counts = np.bincount(labels, minlength=6)
    leaders = counts == counts.max()
    assert curve[0] == pytest.approx(np.mean(right))
    assert curve[2] == pytest.approx(leaders[0] / leaders.sum())
    assert curve[1] == (None if k > len(labels) else pytest.approx(majority_at_k(labels, right, k)))
    assert all(one is None or 0 <= one <= 1 for one in curve)


def test_a_simulated_vote_comes_out():
    """At 64 samples the exact figure is that of 40,000 random draws, within their noise."""
    random = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 22 + [2] * 12 + list(range(3, 13)))
    order = np.argsort(random.random((40_000, 64)), axis=1)[:, :15]
    votes = (labels[order][:, :, None] == np.arange(13)).sum(axis=1)
    tied = votes == votes.max(axis=1, keepdims=True)
    simulated = (tied[:, 0] / tied.sum(axis=1)).mean()
    assert majority_at_k(labels.tolist(), labels == 0, 15) == pytest.approx(simulated, abs=0.008)


def test_many_samples_stay_exact():
    """Beyond what a double holds at once the figures are those of the direct way, and the ends are right."""
    random = np.random.default_rng(1)
    labels = random.zipf(1.5, 200).tolist()
    right = [one == 1 for one in labels]
    asked = [1, 3, 64, 200]
    direct = majority_at_k(labels, right, asked)
    large = [selecting._curve(_shape(labels, right), 200, k, min(k / 200, 0.999))[k] for k in asked]
    assert large == pytest.approx(direct)
    many = [0] * 900 + [1] * 1100
    assert majority_at_k(many, [one == 0 for one in many], [1, 2000]) == pytest.approx([0.45, 0.0])


def _shape(labels, right):
    clusters = {label: [r for one, r in zip(labels, right, strict=True) if one == label] for label in labels}
    return tuple(sorted((len(of), float(np.mean(of))) for of in clusters.values()))


def test_thousands_of_questions_take_seconds():
    """A curve over all k of 64 samples takes some milliseconds a question."""
    random = np.random.default_rng(2)
    majority_at_k([1, 2], [True, False], 2)
    started = perf_counter()
    for _ in range(100):
        labels = random.zipf(1.4, 64).tolist()
        majority_at_k(labels, [one == 1 for one in labels], range(1, 65))
    assert (perf_counter() - started) / 100 < 0.02


def test_abstentions_are_drawn_and_vote_for_nobody():
    """An abstention takes a place in the draw; alone it is no right answer, and its score is not looked at."""
    assert majority_at_k(["a", None, float("nan")], [1, None, None], [1, 2, 3]) == pytest.approx([1 / 3, 2 / 3, 1])
    assert majority_at_k([None, None], [1, 1], 1) == 0.0
    assert majority_at_k([], [], 1) is None


@given(
    st.lists(st.tuples(st.sampled_from([None, 0.1, 0.5, float("nan"), 2.0]), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_the_best_is_that_of_all_orders(samples, k):
    """The mean over all k-subsets in all orders of the first best-scored sample; unscored ones come last."""
    found = best_of_k([score for score, _ in samples], [right for _, right in samples], k)
    if k > len(samples):
        assert found is None
        return
    keyed = [(-np.inf if score is None or score != score else score, right) for score, right in samples]
    chosen = [max(order, key=lambda one: one[0])[1] for order in permutations(keyed, k)]
    assert found == pytest.approx(np.mean(chosen))


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_a_perfect_chooser_reaches_pass_at_k(case):
    """Scores that say what is right make best-of-k pass@k."""
    n, c, k = case
    right = [i < c for i in range(n)]
    assert best_of_k([float(one) for one in right], right, k) == pytest.approx(pass_at_k(n, c, k))
    assert best_of_k([1.0] * n, right, [k]) == pytest.approx([c / n])


@pytest.mark.parametrize(
    "call",
    [
        lambda: majority_at_k(["a"], [1], 0),
        lambda: majority_at_k(["a"], [1, 1], 1),
        lambda: majority_at_k(["a"], [2], 1),
        lambda: best_of_k([1], [None], 1),
        lambda: best_of_k([1, 2], [1], [1]),
    ],
)
def test_an_impossible_choice_is_refused_with_a_mend(call):
    """No k, samples without a score each, and scores off the scale raise with a mend."""
    with pytest.raises(RTKError) as caught:
        call()
    assert caught.value.mend
