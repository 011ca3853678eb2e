"""Replay against live runs: on the order as drawn a policy is the strategy, question by question, sample by sample."""

import math
import zlib
from functools import partial

import pytest
from attempts_drawn import NOTHING, SIGNATURE, asked, scripted, swept
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rtk
from rtk.answers import Vote, vote
from rtk.experiments.replays.policies import Policy
from rtk.experiments.replays.replaying import replay

MOST = 16
PATTERNS = st.lists(
    st.lists(st.sampled_from(["1", "2", "1.0", "3", "7 km", NOTHING]), min_size=MOST, max_size=MOST),
    min_size=3, max_size=3,
)  # fmt: skip
MIXED = [["1", "2"] * 8, ["2", "1", "1", NOTHING] * 4, [NOTHING] * 16, ["3", "1", "2", "1.0", "2", "1", "3", "1"] * 2,
         [NOTHING] * 15 + ["1"], ["2", "2", "1", "1", "1", "2"] + ["5"] * 10, ["1"] * 16]  # fmt: skip


def lead_of_two(found: Vote) -> bool:
    """Stops at a lead of two votes."""
    sizes = [len(one.members) for one in found.clusters] + [0, 0]
    return sizes[0] - sizes[1] >= 2


def last_one(answers):
    """Elects the answer that is the largest as text."""
    return vote(answers, rule="weighted", weights=[float(zlib.crc32(str(one).encode()) % 7) for one in answers])


def worth(inputs, prediction):
    """A reward that says nothing of the gold answer: ties, and nothing to say of some."""
    drawn = zlib.crc32(f"{inputs['question']}{prediction.answer}".encode()) % 5
    return None if drawn == 4 else drawn - 1


STOPS = [{}, {"stop": "beta"}, {"stop": "beta", "certainty": 0.8}, {"stop": "window"}, {"stop": "window", "window": 3},
         {"stop": "horizon"}, {"stop": "horizon", "certainty": 1.0}, {"stop": lead_of_two}]  # fmt: skip
VOTES = [{"vote": one} for one in ("majority", "medoid", "mean", "median", "trimmed_mean", last_one)]
HEADS = ("majority", "medoid", last_one)
TRIMMED = [{"vote": "trimmed_mean", "trim": 0.3}]
POLICIES = [
    Policy(samples, **voting, **stop)
    for samples in (1, 5, MOST)
    for voting in [*VOTES, *TRIMMED]
    for stop in STOPS
    if not stop or voting["vote"] in HEADS
]


def program(policy, **more):
    """The strategy with a policy's settings."""
    given = {name: getattr(policy, name) for name in ("stop", "certainty", "window", "trim")}
    return rtk.SelfConsistency(SIGNATURE, policy.samples, policy.vote, **given, **more)


def said(live, found, consulted=True):
    """Assert that a frame of live rows and one of a replay say the same."""
    assert found["answer"].tolist() == live["answer"].tolist()
    assert found["correct"].tolist() == live["correct"].tolist()
    assert found["abstained"].tolist() == live["abstained"].tolist()
    for one, other in zip(found["confidence"], live["confidence"], strict=True):
        assert one == other or (math.isnan(one) and math.isnan(other))
    if consulted:
        assert list(map(sorted, found["addresses"])) == list(map(sorted, live["addresses"]))
        for name in ("consulted", "tokens_in", "tokens_out"):
            assert found[name].tolist() == live[name].tolist()


def compared(policies, drawn, examples, made):
    """Replay policies on what was drawn, and run each live on the same store: nothing is drawn any more."""
    replayed = replay(drawn, policies, orders=2)
    assert replayed.policies == policies
    for policy in policies:
        live = swept(made(policy), examples).rows()
        assert live["drawn"].sum() == 0
        said(live, replayed.rows(policy))


@pytest.mark.parametrize("temperature", [None, 0.0])
def test_a_policy_is_the_strategy_at_all_settings(temperature):
    """Answers, verdicts, confidence, samples consulted and what they cost; also at temperature 0, where one sample is
    all there is, and counts once.
    """
    with scripted():
        examples = asked(*MIXED)
        drawn = swept(rtk.SelfConsistency(SIGNATURE, MOST, temperature=temperature), examples)
        compared(POLICIES, drawn, examples, lambda policy: program(policy, temperature=temperature))


@given(PATTERNS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_the_answers_are_the_strategy_gives_the_same(patterns):
    """With ties, numbers in words, one answer in two writings, and abstentions anywhere."""
    chosen = [one for one in POLICIES if one.samples == MOST and (one.stop is None or one.vote == "majority")]
    with scripted():
        examples = asked(*patterns)
        compared(chosen, swept(rtk.SelfConsistency(SIGNATURE, MOST), examples), examples, program)


def test_weighed_votes_are_the_strategys():
    """By a verifier's rewards, by log-probabilities, and by a function, for any number of attempts."""
    with scripted():
        examples = asked(*MIXED)
        for rule, weight, more in (("weighted", "reward", {"weight": worth}), ("confidence", None, {})):
            made = partial(rtk.SelfConsistency, SIGNATURE, vote=rule, **more)
            policies = [Policy(samples, rule, weight=weight) for samples in (1, 4, 7, MOST)]
            compared(policies, swept(made(MOST), examples), examples, partial(_of_size, made))


def _of_size(made, policy):
    return made(policy.samples)


@pytest.mark.parametrize("threshold", [None, -1, 1, 2, 9])
@pytest.mark.parametrize("temperature", [0.7, 0.0])
def test_the_best_of_many_is_the_strategys(threshold, temperature):
    """With a reward that is good enough and without, of any number of attempts; nothing behind it is consulted."""
    with scripted(temperature=temperature):
        examples = asked(*MIXED)
        drawn = swept(rtk.BestOfN(SIGNATURE, MOST, worth, fail_count=99), examples)
        sizes = (1, 3, MOST) if temperature else (1,)
        policies = [Policy(samples, "best", weight="reward", threshold=threshold) for samples in sizes]
        compared(policies, drawn, examples, lambda one: rtk.BestOfN(SIGNATURE, one.samples, worth, one.threshold))


def test_the_best_by_log_probability_is_the_strategys():
    """Without any verifier."""
    with scripted():
        examples = asked(*MIXED)
        drawn = swept(rtk.BestOfN(SIGNATURE, MOST, "logprob"), examples)
        policies = [
            Policy(samples, "best", weight="logprob", threshold=end) for samples in (2, MOST) for end in (None, -0.2)
        ]
        compared(policies, drawn, examples, lambda one: rtk.BestOfN(SIGNATURE, one.samples, "logprob", one.threshold))


@pytest.mark.parametrize("comparer", ["exact", "text", "math", lambda a, b: abs(len(a) - len(b)) <= 1])
def test_what_counts_as_the_same_is_the_strategys(comparer):
    """Also where answers hang together by others alone, which fewer samples may leave out."""
    patterns = [["a", "aa", "aaa", "aaaa", "bbbbbbb", "b"] * 3, ["1/2", "0.5", "\\frac12", "2", "aaa"] * 3 + ["1"],
                ["1", "333", "22", "1", "4444", "55555"] * 3]  # fmt: skip
    examples = asked(*[one[:MOST] for one in patterns])
    with scripted():
        drawn = swept(rtk.SelfConsistency(SIGNATURE, MOST), examples)
        for policy in [Policy(n, stop=stop) for n in (3, 9, MOST) for stop in (None, "beta", "window")]:
            live = swept(program(policy, comparer=comparer), examples).rows()
            said(live, replay(drawn, [policy], comparer=comparer, orders=2).rows(policy))


def test_free_texts_are_the_strategys():
    """The medoid of the largest cluster, of ties that which is most like all, with and without a stop."""
    texts = ["the cat sat on the mat", "the cat sat on a mat", "a cat sat on the mat", "dogs bark", "dogs barked",
             "dogs bark loudly", "the cat sat on the mats", "birds sing"]  # fmt: skip
    patterns = [texts * 2, texts[::-1] * 2, [*texts[3:], *texts[:3]] * 2, texts[3:6] * 5 + texts[:1]]
    with scripted():
        examples = asked(*patterns)
        drawn = swept(rtk.SelfConsistency(SIGNATURE, MOST), examples)
        policies = [Policy(n, "medoid", stop) for n in (1, 4, 6, 11, MOST) for stop in (None, "beta", "horizon")]
        compared(policies, drawn, examples, program)
