"""Votes: who wins, by how much, and who abstained."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import Abstention, canonical, vote
from rtk.errors import AnswerError

BALLOTS = st.lists(
    st.one_of(
        st.sampled_from(["1", "1.0", 1, "2", "two", "0.5", "1/2", "50%", "[1, 2]", "1,2", None, ""]),
        st.sampled_from([Abstention("length"), Abstention("malformed")]),
    ),
    max_size=12,
)


def test_majority():
    """The largest cluster wins, and the winner is written as its earliest member wrote it."""
    result = vote(["41", "42.", 42, None, Abstention("length"), "42.0", " "])
    assert (result.winner, result.winner_index) == ("42.", 1)
    assert [(one.answer, one.members) for one in result.clusters] == [("42.", (1, 2, 5)), ("41", (0,))]
    assert result.distribution == {"42.": 0.75, "41": 0.25}
    assert (result.share, result.margin) == (0.75, 0.5)
    assert (result.votes, result.size, result.abstentions) == (4, 7, {"empty": 2, "length": 1})


def test_ties_go_to_the_earliest():
    """Of equally heavy clusters the one with the earliest answer wins."""
    assert vote(["b", "a", "a", "b"]).winner == "b"


@pytest.mark.parametrize("rule", ["majority", "mean", "median", "trimmed_mean", "medoid"])
@pytest.mark.parametrize("answers", [[], [None, Abstention("refused"), "  "]])
def test_all_abstain(rule, answers):
    """Where nobody votes there is no winner, no share and no error."""
    result = vote(answers, rule=rule)
    assert (result.winner, result.winner_index, result.clusters, result.distribution) == (None, None, (), {})
    assert (result.share, result.margin, result.votes) == (0.0, 0.0, 0)


def test_weights():
    """The heaviest cluster wins, weights of abstentions are ignored, and weights of 0 alone weigh the same."""
    assert vote(["a", "a", "b", None], rule="weighted", weights=[0.1, 0.2, 0.9, float("nan")]).winner == "b"
    assert vote(["b", "a", "a"], rule="weighted", weights=[0, 0, 0]).winner == "a"


@pytest.mark.parametrize(
    ("rule", "answers", "winner", "index"),
    [
        ("mean", [1, 2, 6], 3, 1),
        ("mean", [0.1, 0.2, "0.3"], 0.2, 1),
        ("mean", ["1", "2", "4"], "2.33333333333", 1),
        ("median", [9, 1, 2], 2, 2),
        ("median", [1, 2], 1.5, 0),
        ("median", ["about 5 km", "7", "1,000"], "7", 1),
        ("trimmed_mean", [1, 2, 3, 4, 1000], 3, 2),
        ("trimmed_mean", [1, 2, 6, 1000], 252.25, 2),
        ("trimmed_mean", ["90", "1", "2", "2", "3", "4", "-7"], "2.4", 2),
    ],
)
def test_quantities(rule, answers, winner, index):
    """A mean or median is exact, takes the shape of the answers, and names the answer nearest to it."""
    result = vote(answers, rule=rule)
    assert (result.winner, result.winner_index) == (winner, index)


def test_the_trim_is_a_share_as_written():
    """29 of 100 at each end, and not 28, which is what floats make of it; none of them at 0."""
    numbers = [0] * 28 + [1] + [5] * 42 + [9] * 29
    assert vote(numbers, rule="trimmed_mean", trim=0.29).winner == 5
    assert vote([1, 2, 9], rule="trimmed_mean", trim=0).winner == vote([1, 2, 9], rule="mean").winner


@given(st.lists(st.integers(-50, 50), min_size=1), st.floats(0, 0.49))
def test_a_trimmed_mean_lies_between_the_extremes(numbers, trim):
    """And between those that are left, whatever is left out."""
    found = vote(numbers, rule="trimmed_mean", trim=trim)
    assert min(numbers) <= found.winner <= max(numbers)


def test_no_number_is_malformed():
    """Under a mean, an answer without a number abstains."""
    result = vote([1, "many", 3], rule="mean")
    assert (result.winner, result.votes, result.abstentions) == (2, 2, {"malformed": 1})


def test_mathematics_and_functions():
    """Answers without keys are compared pair by pair, and clusters are closed under equality."""
    assert vote(["x+1", r"\sqrt8", "1+x"], comparer="math").clusters[0].members == (0, 2)
    near = vote([1, 3, 2, 9], comparer=lambda a, b: abs(a - b) <= 1)
    assert [one.members for one in near.clusters] == [(0, 1, 2), (3,)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"rule": "borda"},
        {"rule": "weighted"},
        {"weights": [1, 1]},
        {"rule": "weighted", "weights": [1]},
        {"rule": "weighted", "weights": [1, -1]},
        {"rule": "weighted", "weights": [1, float("inf")]},
        {"comparer": "fuzzy"},
        {"trim": 0.1},
        {"rule": "trimmed_mean", "trim": 0.5},
        {"rule": "trimmed_mean", "trim": -0.1},
        {"rule": "trimmed_mean", "trim": True},
        {"exclude": "seed"},
        {"exclude": [""]},
        {"exclude": ["seed"], "comparer": lambda a, b: True},
    ],
)
def test_senseless_votes_are_refused(arguments):
    """Unknown rules and comparers, and weights that do not fit, are errors with a mend."""
    with pytest.raises(AnswerError) as caught:
        vote(["a", "b"], **arguments)
    assert caught.value.mend


def test_kinds_of_abstention():
    """An abstention is of a known kind."""
    with pytest.raises(AnswerError, match="tired"):
        Abstention("tired")  # type: ignore[arg-type]


@given(BALLOTS)
def test_clusters_partition_the_votes(answers):
    """Every answer that counts is in one cluster, shares sum to 1, and counts add up."""
    result = vote(answers)
    members = [index for one in result.clusters for index in one.members]
    assert len(members) == len(set(members)) == result.votes
    assert result.votes + sum(result.abstentions.values()) == result.size == len(answers)
    assert sum(result.distribution.values()) == pytest.approx(1.0 if members else 0.0)
    assert result.winner_index is None or answers[result.winner_index] == result.winner


@given(BALLOTS.flatmap(lambda answers: st.tuples(st.just(answers), st.permutations(answers))))
def test_order_decides_ties_only(pair):
    """The distribution over what answers mean does not depend on their order."""
    one, other = ({canonical(c.answer): c.share for c in vote(answers).clusters} for answers in pair)
    assert one == other


@given(BALLOTS, st.lists(st.sampled_from(["1", "2", "x"]), max_size=4))
def test_what_comes_later_changes_no_vote_on_what_came_before(answers, later):
    """A vote on a prefix knows nothing of the rest, in whatever order that comes."""
    whole = [*answers, *later]
    assert vote(whole[: len(answers)]) == vote([*answers, *reversed(later)][: len(answers)]) == vote(answers)


def test_log_probabilities_stand_beside_the_votes():
    """The mean of the winner's voters, and of each cluster in the table; nothing where nothing is known."""
    found = replace(vote(["a", "b", "a", None]), logprobs=(-1.0, -0.5, -3.0, None))
    assert found.logprob == -2.0
    assert [row["logprob"] for row in found.rows()] == [-2.0, -0.5]
    assert found.rows()[0] == {"answer": "a", "votes": 2, "share": pytest.approx(2 / 3), "logprob": -2.0}
    assert vote(["a", "a"]).logprob is None
    assert replace(vote([1, 4], rule="mean"), logprobs=(-1.0, -1.0)).logprob is None
