"""Free text: how alike it is written, what is taken for the same, and the one that stands for the others."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import equal, medoid, similarity, vote
from rtk.errors import AnswerError

WORDS = st.lists(st.sampled_from(["the", "sky", "is", "blue", "not", "grey", "7", "über", "東京", "🙂"]), max_size=6)
TEXTS = WORDS.map(" ".join)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Paris is the capital of France.", "The capital of France is Paris"),
        ("Raise the rate", "raise the rates!"),
        ("I would recommend the red one", "I recommend the red one."),
        ("Photosynthesis converts light energy into chemical energy stored in glucose.",
         "Photosynthesis is how plants convert light into chemical energy, stored as glucose."),
        ("1/2", "0.5"),
        ("½", "50%"),
        ("東京は日本の首都です", "東京は日本の首都です。"),
    ],
)  # fmt: skip
def test_texts_written_alike_are_the_same(a, b):
    """The order of words, endings and punctuation matter little; what `auto` finds the same is so too."""
    assert equal(a, b, "similar")
    assert equal(b, a, "similar")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The bridge is safe to cross today", "The bridge is not safe to cross today"),
        ("You can't leave the house", "You can leave the house"),
        ("It takes 5 days to get there by train", "It takes 6 days to get there by train"),
        ("Mercury is the hottest planet", "Venus is the hottest planet"),
        ("yes", "no"),
        ("🙂", "🙁"),
        ("", "something"),
    ],
)
def test_texts_that_say_otherwise_are_not(a, b):
    """Other numbers, a negation in one of them, other words."""
    assert not equal(a, b, "similar")


@given(TEXTS, TEXTS)
def test_similarity_is_symmetric_and_between_0_and_1(a, b):
    """And 1 for the same text."""
    assert 0 <= similarity(a, b) == similarity(b, a) <= 1
    assert similarity(a, a) == 1.0


@given(st.lists(TEXTS, max_size=10))
def test_clusters_are_closed_under_similarity(texts):
    """Two that are similar are in one cluster, and so is what they are linked through; the members partition."""
    found = vote(texts, comparer="similar")
    place = {index: number for number, one in enumerate(found.clusters) for index in one.members}
    assert sorted(place) == [index for index, text in enumerate(texts) if text.strip()]
    for one in place:
        for other in place:
            assert not equal(texts[one], texts[other], "similar") or place[one] == place[other]


def test_a_chain_of_similar_texts_is_one_cluster():
    """The ends of it are not similar themselves."""
    texts = ["alpha beta gamma delta", "alpha beta gamma delta epsilon", "alpha beta gamma epsilon zeta delta",
             "beta gamma epsilon zeta delta"]  # fmt: skip
    assert not equal(texts[0], texts[-1], "similar")
    assert vote(texts, comparer="similar").clusters[0].members == (0, 1, 2, 3)


def test_equal_under_auto_links_as_well():
    """A text that is similar to one writing of an answer is the same as the other writing."""
    texts = ["{red, green}", "{green, red}", "green, red"]
    assert vote(texts[:2], comparer="similar").clusters[0].members == (0, 1)


# --- medoid ---


def test_the_medoid_is_most_like_the_others():
    """Of those of the largest cluster, with its share."""
    texts = ["no idea", "The sky is blue because of Rayleigh scattering of light",
             "The sky is blue: Rayleigh scattering", "The sky is blue because of Rayleigh scattering"]  # fmt: skip
    found = vote(texts, rule="medoid", comparer="similar")
    assert (found.winner, found.winner_index, found.share) == (texts[3], 3, 0.75)
    assert found.clusters[0].answer == texts[1]
    assert medoid(texts) == 3


def test_of_several_largest_clusters_the_one_most_like_all_answers():
    """Where nothing agrees the text nearest to all of them stands."""
    texts = ["apples and pears", "the quick brown fox jumps", "quick brown dogs sleep a lot", "a lot of brown paper"]
    found = vote(texts, rule="medoid", comparer="similar")
    assert len(found.clusters) == 4
    assert (found.winner_index, found.share) == (2, 0.25)


def test_ties_go_to_the_earliest_medoid():
    """Of two texts neither is nearer."""
    assert vote(["one thing here", "one thing there"], rule="medoid", comparer=lambda a, b: True).winner_index == 0
    assert medoid(["b", "a", "a", "b"]) == 0


def test_a_medoid_of_nothing_is_refused():
    """There is none."""
    with pytest.raises(AnswerError) as caught:
        medoid([])
    assert caught.value.mend


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_a_medoid_is_no_less_like_the_others_than_any(texts):
    """By its mean similarity."""
    sums = [sum(similarity(one, other) for other in texts) for one in texts]
    assert sums[medoid(texts)] == pytest.approx(max(sums))


def test_huge_and_strange_texts_cost_little():
    """100 kB each, without words, without blanks, of one character, with combining marks."""
    texts = [f"{'word' * 25_000} {n}" for n in range(20)] + ["x" * 100_000, "🙂" * 25_000, "\u0301" * 50_000,
             "a " * 50_000, "\x00", "\ud800"]  # fmt: skip
    began = time.process_time()
    found = vote(texts, rule="medoid", comparer="similar")
    assert time.process_time() - began < 20
    assert sum(len(one.members) for one in found.clusters) == len(texts)
