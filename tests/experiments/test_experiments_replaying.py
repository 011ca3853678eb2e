"""Replay over orders: arrays say what the rules say, means are those of all subsets, and what is not known is told."""

import dataclasses
from zlib import crc32

import dspy
import numpy as np
import pytest
from attempts_drawn import SIGNATURE, asked, records, scripted, swept
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk
from rtk.errors import AnswerError, RTKError
from rtk.experiments.replays.counting import Table
from rtk.experiments.replays.orders import orders_of
from rtk.experiments.replays.playing import play
from rtk.experiments.replays.policies import Policy, combined, played
from rtk.experiments.replays.pools import sources_of
from rtk.experiments.replays.replaying import replay
from rtk.statistics import best_of_k, majority_at_k

ANSWERS = st.sampled_from(["1", "2", "1.0", "3", "a cat", None])


def made_up(questions=40, size=8, seed=0, **options):
    """Records in which questions are of different difficulty."""
    random = np.random.default_rng(seed)
    ease = random.beta(1.5, 1.2, questions)
    drawn = [["1" if random.random() < one else str(2 + random.integers(4)) for _ in range(size)] for one in ease]
    return records(drawn, seed=seed, **options), drawn


# --- arrays and rules ---


@given(
    st.lists(st.lists(ANSWERS, min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 7), st.integers(0, 9)
)
@settings(max_examples=15)
def test_all_orders_at_once_are_each_order_by_the_rules(drawn, samples, seed):
    """Every vote and stop, in every order, gives the place, score, confidence and stop that one order alone gives."""
    found = records(drawn, logprobs=True, seed=seed)
    pools = sources_of(found)[0].drawn
    orders = orders_of(range(len(pools)), 7, 12, seed)
    table = Table(pools, 7, orders, "auto", {f"q{at}": "1" for at in range(len(pools))})
    policies = combined({
        "samples": [samples],
        "stop": [None, "beta", ("beta", {"certainty": 0.7}), ("window", {"window": 2}), "horizon"], "weight": None,
        "vote": ["majority", "confidence", "mean", "median", "trimmed_mean", "medoid"], "threshold": [None, 0.5],
        "extract": None,
    })  # fmt: skip
    for policy in policies:
        plays = play(policy, table, samples)
        weights = table.weights("confidence", None) if policy.vote == "confidence" else None
        for pool in range(len(pools)):
            for number, order in enumerate(orders[pool]):
                answers = [pools[pool].answers[at] for at in order]
                own = None if weights is None else weights[pool, order].tolist()
                one = played(policy, answers, list(range(7)), samples, "auto", own)
                place = -1 if one.place is None else order[one.place]
                confidence = float("nan") if one.confidence is None else one.confidence
                assert plays.seen[pool, number] == one.seen
                np.testing.assert_equal(plays.confidence[pool, number], confidence)
                if one.own:
                    assert (plays.place[pool, number], (pool, number) in plays.made) == (place, False)
                right = table.scores(None)[pool, place] if one.own else table.right(pool, one.answer)
                assert plays.score[pool, number] == right


def test_in_a_set_of_orders_every_attempt_stands_in_every_place():
    """The first order is that of drawing; the others come in sets of turns, so that single attempts count alike."""
    orders = orders_of(range(5), 6, 12, seed=3)
    assert (orders[:, 0] == np.arange(6)).all()
    for one in (orders[:, 1:7], orders[:, 7:13]):
        assert (np.sort(one, axis=1) == np.arange(6)[None, :, None]).all()
    assert (np.sort(orders, axis=2) == np.arange(6)).all()
    assert len({tuple(one) for one in orders[:, 1]}) > 1


def test_a_pools_orders_depend_on_its_number_and_the_seed_alone():
    """Not on how many pools are looked at together."""
    assert (orders_of(range(8), 5, 7, seed=1)[3:5] == orders_of(range(3, 5), 5, 7, seed=1)).all()
    assert not (orders_of(range(8), 5, 7, seed=1) == orders_of(range(8), 5, 7, seed=2)).all()


def test_pools_in_parts_are_pools_at_once(monkeypatch):
    """However many are laid out together."""
    found, _ = made_up()
    whole = replay(found, samples=[3, 8], stop=[None, "beta"], orders=8).to_frame()
    monkeypatch.setattr("rtk.experiments.replays.replaying.CELLS", 200)
    assert replay(found, samples=[3, 8], stop=[None, "beta"], orders=8).to_frame().equals(whole)


# --- means ---


def test_means_over_orders_are_those_over_all_subsets():
    """Of single attempts exactly; of votes and bests as near as the number of orders allows."""
    found, drawn = made_up(rewards=lambda at, index, answer: (at * 7 + index * 3) % 11)
    frame = replay(found, samples=[1, 3, 5, 8], vote=["majority", "best"], orders=400).to_frame()
    right = [[one == "1" for one in row] for row in drawn]
    for row in frame.itertuples():
        if row.vote == "majority":
            expected = [majority_at_k(*pair, row.samples) for pair in zip(drawn, right, strict=True)]
        else:
            ranks = [[(at * 7 + index * 3) % 11 for index in range(8)] for at in range(len(drawn))]
            expected = [best_of_k(*pair, row.samples) for pair in zip(ranks, right, strict=True)]
        near = 1e-12 if row.samples == 1 else 0.01
        assert row.accuracy == pytest.approx(np.mean(expected), abs=near)


def test_as_drawn_is_the_sweeps_own_row():
    """Beside the mean over orders stands what the order as drawn came to."""
    found, _ = made_up(settings=[1, 4, 8])
    frame = replay(found, samples=[1, 4, 8]).to_frame().set_index("samples")
    live = found.rows("samples", "score").groupby("samples")["score"].mean()
    assert frame["as_drawn"].tolist() == live.loc[[1, 4, 8]].tolist()


def test_a_threshold_trades_answers_for_accuracy():
    """What is below it abstains, which is a wrong answer; those that are left are right more often."""
    found, _ = made_up(questions=100)
    frame = replay(found, threshold=[None, 0.5, 0.8]).to_frame()
    assert frame["answered"].is_monotonic_decreasing
    assert frame["when_answered"].is_monotonic_increasing
    assert frame["accuracy"].is_monotonic_decreasing
    assert frame["accuracy"].tolist() == pytest.approx((frame["answered"] * frame["when_answered"]).tolist())


def test_the_same_seed_gives_the_same_result():
    """And another one another."""
    found, _ = made_up()
    one, same, other = (replay(found, samples=[3], orders=4, seed=seed).to_frame() for seed in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)


def test_replicates_are_no_further_questions():
    """The interval of two equal replicates is that of one."""
    _, drawn = made_up(questions=20)
    one, two = records(drawn), records([drawn, drawn], replicates=2)
    first, second = (replay(found, orders=8).points[0].estimate("drawn_score") for found in (one, two))
    assert (first.size, second.size) == (20, 20)
    assert second.high - second.low >= 0.99 * (first.high - first.low)


# --- reading anew, weighing ---


def test_a_text_is_read_again():
    """Answers that were read keep the metric's score; what is new is compared with the gold answer."""
    found = records([["1", "7", None], ["2", "1", None]])
    last = lambda text: text.split()[-1] if "idea" not in text else "1"  # noqa: E731
    rows = replay(found, [Policy(extract=last), Policy(extract=lambda text: "none" if "idea" in text else None)])
    assert rows.rows(0)["answer"].tolist() == ["1", "1"]
    assert rows.rows(0)["confidence"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert rows.rows(1)["answer"].tolist() == ["none", "none"]
    assert rows.rows(1)["score"].tolist() == [0, 0]


def test_a_named_extractor_reads_the_last_line_or_a_box():
    """As `rtk.answers.extract` knows them; where it finds nothing the attempt abstains."""
    found = records([["1", "1", None]])
    rows = replay(found, extract=["boxed", "auto"])
    assert rows.rows(0)["abstained"].tolist() == [True]
    assert rows.rows(1)["answer"].tolist() == ["1"]


def test_a_weight_sees_the_attempt_and_no_gold_answer():
    """A function of the question and the attempt; what it may not know is not there."""
    seen = []

    def weight(question, attempt):
        seen.append((question, set(attempt)))
        return 5.0 if attempt["answer"] == "2" else None

    found = records([["1", "1", "2"]])
    assert replay(found, vote=["weighted", "best"], weight=[weight]).rows(0)["answer"].tolist() == ["2"]
    assert {one for one, _ in seen} == {"question 0"}
    assert not any(names & {"gold", "correct", "score"} for _, names in seen)


# --- what is told ---


def test_settings_that_a_vote_does_not_take_are_left_out_of_it():
    """Nothing is evaluated twice, and nothing that no strategy would do."""
    found = combined({"samples": None, "stop": [None, "beta"], "vote": ["majority", "mean", "weighted"],
                      "threshold": None, "weight": ["reward", "logprob"], "extract": None})  # fmt: skip
    assert [str(one) for one in found] == [
        "vote=majority", "vote=mean", "vote=weighted, weight=reward", "vote=weighted, weight=logprob",
        "vote=majority, stop=beta",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [({"samples": [9]}, RTKError, "8 attempts at some question, not 9"),
     ({"vote": ["best"]}, RTKError, "have no rewards"), ({"vote": ["confidence"]}, RTKError, "no log-probabilities"),
     ({"vote": ["judge"]}, RTKError, "cannot be replayed"), ({"stop": ["early"]}, AnswerError, "is no rule"),
     ({"stop": "beta"}, RTKError, "stop='beta'"), ({"samples": [0]}, RTKError, "samples=0"),
     ({"threshold": ["high"]}, RTKError, "threshold='high'"), ({"weight": ["x"]}, RTKError, "weight='x'"),
     ({"orders": 0}, RTKError, "orders=0"), ({"extract": ["tail"]}, AnswerError, "how='tail'"),
     ({"extract": [lambda text: 1 / 0]}, RTKError, "ZeroDivisionError"),
     ({"vote": [lambda answers: "1"]}, RTKError, "the vote function returned str")],
)  # fmt: skip
def test_what_cannot_be_is_refused(options, error, said):
    """By what it is; nothing is guessed."""
    with pytest.raises(error, match=said):
        replay(made_up()[0], **options)


def test_a_sweep_without_attempts_is_refused():
    """It says what to sweep."""
    with scripted():
        found = swept(dspy.Predict(SIGNATURE), asked(["1"]))
    with pytest.raises(RTKError, match="no answer of this sweep was chosen from attempts"):
        replay(found)


def test_a_question_that_raised_counts_as_wrong():
    """It has no attempts, costs nothing, and is told."""

    class Raises(rtk.SelfConsistency):
        def flow(self, **inputs):
            if inputs["question"].startswith("1|"):
                raise ValueError("no")
            return (yield from super().flow(**inputs))

    with scripted():
        found = swept(Raises(SIGNATURE, 2), asked(["1", "1"], ["1", "1"]))
    replayed = replay(found)
    assert replayed.to_frame()["accuracy"].tolist() == [0.5]
    assert replayed.rows()["consulted"].tolist() == [2, 0]
    assert "1 of 2 questions have no attempts" in repr(replayed)


def test_a_comparer_that_judges_otherwise_than_the_metric_is_told():
    """The votes would not be the sweep's."""
    found = records([["1", "one", "2"]], score=lambda answer: float(answer in ("1", "one")))
    assert "finds 1 of 3 attempts otherwise than the metric did" in repr(replay(found))
    assert "otherwise" not in repr(replay(found, comparer=lambda a, b: {a, b} <= {"1", "one"} or a == b))


def test_pools_of_different_sizes_are_read_as_far_as_all_go():
    """A stop that drew more where it was unsure would be no random choice."""
    with scripted():
        found = swept(rtk.SelfConsistency(SIGNATURE, 8, stop="beta"), asked(["1"] * 8, ["1", "2"] * 4))
    replayed = replay(found)
    assert replayed.points[0].samples == 4
    assert "have 4 to 8 attempts: the first 4 of each are used" in repr(replayed)


def test_settings_that_sample_otherwise_are_sources_of_their_own():
    """By what tells them apart; a policy is looked up by its source."""
    with scripted():
        found = swept(
            rtk.SelfConsistency(SIGNATURE), asked(["1", "2"]), over={"samples": [1, 2], "temperature": [0.5, 1.0]}
        )
    replayed = replay(found)
    assert [one.label for one in replayed.sources] == ["temperature=0.5", "temperature=1.0"]
    assert replayed.to_frame()["source"].tolist() == ["temperature=0.5", "temperature=1.0"]
    assert len(replayed.rows(Policy(), source="temperature=1.0")) == 1
    with pytest.raises(RTKError, match="on several sources"):
        replayed.rows(Policy())
    with pytest.raises(RTKError, match="was not evaluated"):
        replayed.rows(Policy(stop="beta"))


# --- the best ---


def test_the_frontier_holds_what_no_other_beats():
    """The cheapest first, each better than the one before, with how often it stays there."""
    replayed = replay(made_up(questions=60)[0], samples=[1, 2, 4, 8], stop=[None, "beta"], orders=16)
    frame = replayed.frontier()
    assert frame["consulted"].is_monotonic_increasing
    assert frame["accuracy"].is_monotonic_increasing
    assert frame["on_frontier"].between(0, 1).all()
    assert replayed.frontier("tokens")["tokens_out"].is_monotonic_increasing
    with pytest.raises(RTKError, match="cost='minutes'"):
        replayed.frontier("minutes")
    with pytest.raises(RTKError, match="no flops are known"):
        replayed.frontier("flops")


def test_the_best_of_many_is_scored_where_it_was_not_chosen():
    """Among policies that are all chance, the best looks better than it is."""
    random = np.random.default_rng(5)
    weights = [
        (lambda question, attempt, seed=seed: crc32(f"{seed} {attempt['address']}".encode()) % 97) for seed in range(40)
    ]
    found = records([[str(random.integers(1, 3)) for _ in range(4)] for _ in range(30)])
    replayed = replay(found, vote=["best"], weight=weights, orders=1)
    best = max(replayed.to_frame()["accuracy"])
    assert best > 0.6
    assert replayed.chosen().value < best - 0.05


def test_it_shows_itself_in_every_form():
    """A chart that is described in words, text with what a reader must know, and a frame of all policies."""
    replayed = replay(made_up()[0], samples=[1, 2, 4, 8], stop=[None, "beta", "window", "horizon"], orders=8)
    text, spec = repr(replayed), replayed.chart().to_dict()
    assert "mean accuracy over 8 random orders" in text
    assert "Not beaten by another in accuracy at as few samples, of 16:" in text
    assert "chosen on other questions than it is scored on" in text
    assert "Not beaten: samples=1, vote=majority" in spec["description"]
    assert len(replayed.to_frame()) == 16
    assert replayed.png().startswith(b"\x89PNG")


def test_attempts_without_scores_are_refused():
    """A judged task is not replayed as if every attempt were wrong."""
    with pytest.raises(RTKError, match="no scores of their own"):
        replay(records([["1", "2"]], gold="9", score=lambda answer: float("nan")))


def test_sources_with_too_few_attempts_have_one_note():
    """However many policies ask for more, and of however many sources."""
    program = {"few": rtk.SelfConsistency(SIGNATURE, 2), "more": rtk.SelfConsistency(SIGNATURE, 4, temperature=0.9)}
    with scripted():
        found = replay(swept(program, asked(["1", "2", "1", "1"])), samples=[1, 3, 4, 5])
    notes = [one for one in found.notes if "left out" in one]
    assert notes == [
        "policies left out, since a question has fewer attempts than they ask for: 3 of few (2), 1 of more (4)"
    ]


def test_a_metric_that_is_a_mean_is_one_mean():
    """No "mean mean"."""
    found = replay(records([["1", "2"]]))
    judged = dataclasses.replace(found, task=dataclasses.replace(found.task, metric="mean judged score"))
    assert "mean judged score over" in repr(judged)
    assert "mean mean" not in repr(judged)
