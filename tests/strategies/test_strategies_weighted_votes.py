"""Votes that a verifier weighs, means without extremes, log-probabilities beside votes, and counting once."""

import dspy
import pytest
from scripted import by_seed, chain, chat, choices, field_of, serving

import rtk
from rtk.answers import Check, vote
from rtk.errors import StrategyError
from rtk.testing import Reply, ScriptedServer, play

SIGNATURE = "question -> answer"
JUDGE = "question, answer -> score: float"


def said(*answers):
    """Chains with these answers."""
    return [{"reasoning": f"chain {number}", "answer": one} for number, one in enumerate(answers)]


def weighted(replies, weight, samples=3, **inputs):
    program = rtk.SelfConsistency(SIGNATURE, samples, "weighted", weight=weight)
    return play(program, replies, **{"question": "?", **inputs})


# --- weighed by a verifier ---


def test_a_function_weighs_the_chains():
    """The heaviest answer wins; the interval stays that of the votes, and the weights are told."""
    found = weighted(said("a", "a", "long one"), lambda inputs, pred: len(pred.answer))
    assert (found.answer, found.vote.share) == ("long one", pytest.approx(0.8))
    assert (found.confidence.value, found.confidence.size) == (pytest.approx(1 / 3), 3)
    assert [step.score for step in found.deliberation.root.children] == [1, 1, 8]
    assert "1 of 3 for long one, with 80% of the weight" in str(found.deliberation)


@pytest.mark.parametrize(
    ("weight", "winner", "share"),
    [
        (lambda inputs, pred: Check(pred.answer == "b", reason="so be it"), "b", 1.0),
        (lambda inputs, pred: Check(None, score=0.25 if pred.answer == "a" else 0.75), "b", 0.6),
        (lambda inputs, pred: pred.answer == "b", "b", 1.0),
        (lambda inputs, pred: None if pred.answer == "a" else 0.1, "b", 1.0),
        (lambda inputs, pred: -5 if pred.answer == "a" else 0.1, "b", 1.0),
        (lambda inputs, pred: None, "a", pytest.approx(2 / 3)),
        (lambda inputs, pred: -1, "a", pytest.approx(2 / 3)),
        (lambda inputs, pred: 1 / 0 if pred.answer == "a" else 1, "b", 1.0),
    ],
)
def test_what_a_verifier_may_say(weight, winner, share):
    """Checks and truth; None, less than 0 and a failure weigh nothing, and where all do the votes count alike."""
    found = weighted(said("a", "b", "a"), weight)
    assert (found.answer, found.vote.share) == (winner, share)


def test_reasons_stand_at_the_chains():
    """Those of a check, and those of a failure."""
    weight = lambda inputs, pred: 1 / 0 if pred.answer == "a" else Check(True, reason="just so")  # noqa: E731
    found = weighted([*said("a", "b"), "no idea"], weight)
    reasons = [step.reason for step in found.deliberation.root.children]
    assert reasons[0].startswith("the verifier failed: ZeroDivisionError")
    assert reasons[1] == "just so"


def test_weights_that_cannot_be_are_a_clear_error():
    """No number, or none at all."""
    with pytest.raises(StrategyError, match="is no number"):
        weighted(said("a", "b", "a"), lambda inputs, pred: "heavy")
    with pytest.raises(StrategyError, match="no chain has a weight") as caught:
        weighted(said("a", "b", "a"), lambda inputs, pred: 1 / 0)
    assert "(inputs, prediction)" in caught.value.mend


def test_a_judge_weighs_them():
    """A predictor of its own, asked side by side, told at its chain, and on the trace of its winner."""
    program = rtk.SelfConsistency(SIGNATURE, 3, "weighted", weight=dspy.Predict(JUDGE))
    assert [name for name, _ in program.named_predictors()] == ["chain.predict", "verifier"]
    replies = [*said("a", "b", "a"), *[{"score": one} for one in (0.1, 0.9, 0.2)]]
    with dspy.context(trace=[]):
        found = play(program, replies, question="?")
        traced = [list(outputs.keys()) for _, _, outputs in dspy.settings.trace]
    assert (found.answer, found.vote.share, found.spent.calls) == ("b", pytest.approx(0.75), 4)
    assert traced == [["reasoning", "answer"], ["score"]]
    assert [[one.kind for one in step.children] for step in found.deliberation.root.children] == [["check"]] * 3


def test_a_reward_model_on_a_server_weighs_them():
    """Its scores are stored and budgeted like any."""
    score = lambda received: received.last.split()[-1]  # noqa: E731
    with ScriptedServer(score, wire="vllm-score") as scorer, serving(choices(["1", "1", "5"])):
        program = rtk.SelfConsistency(SIGNATURE, 3, "weighted", weight=rtk.Endpoint(scorer.url, num_retries=0))
        found, again = program(question="?"), program(question="?")
    assert (found.answer, found.vote.share) == ("5", pytest.approx(5 / 7))
    assert (found.spent.samples, again.spent.drawn) == (6, 0)


def test_what_a_judge_cannot_say_weighs_nothing():
    """It is a model and may say anything."""
    found = weighted([*said("a", "b", "a"), "no idea", {"score": 0.4}, {"score": -2.0}], dspy.Predict(JUDGE))
    assert (found.answer, found.vote.share) == ("b", 1.0)


def test_a_verifier_is_shown_no_gold_answer():
    """Not that which came along with the question."""
    seen = []
    weighted(said("a", "b", "a"), lambda inputs, pred: seen.append(dict(inputs)) or 1, answer="gold", extra=1)
    assert seen == [{"question": "?"}] * 3
    with pytest.raises(StrategyError, match="metric"):
        rtk.SelfConsistency(SIGNATURE, vote="weighted", weight=lambda example, pred, trace=None: 1)


@pytest.mark.parametrize("samples", range(8))
def test_a_budget_that_ends_at_the_judge_leaves_an_answer(samples):
    """That of the chains, weighed as far as they were judged; the same at every concurrency."""
    script = lambda received: chat(score=len(field_of(received, "answer"))) if "score" in received.prompt \
        else chain("x" * (1 + received.body["seed"] % 3))  # noqa: E731  # fmt: skip
    told = []
    for concurrency in (1, 8):
        with serving(script, seed=1, concurrency=concurrency, cache=False):
            program = rtk.SelfConsistency(SIGNATURE, 4, "weighted", weight=dspy.Predict(JUDGE))
            found = program(question="?", budget=rtk.Budget(samples=samples))
        assert (found.answer is None) == (samples == 0)
        told.append((found.answer, found.stopped, found.vote))
        if 0 < samples <= 4:
            assert "not weighed" in found.deliberation.root.reason
    assert told[0] == told[1]


def test_it_is_saved_without_its_function_and_nests():
    """Copies call the same function."""
    program = rtk.SelfConsistency(SIGNATURE, 2, "weighted", weight=lambda inputs, pred: 1)
    assert program.deepcopy().verifier is program.verifier
    found = play(rtk.BestOfN(program, 2, lambda inputs, pred: 1), iter(said(*"abab")), question="?")
    assert found.answer in "ab"


@pytest.mark.parametrize(
    "wrong", [{"vote": "weighted"}, {"vote": "weighted", "weight": 3}, {"weight": lambda inputs, pred: 1},
              {"vote": "weighted", "weight": lambda inputs, pred: 1, "stop": "beta"}, {"trim": 0.1},
              {"vote": "trimmed_mean", "trim": 0.7}, {"comparer": "fuzzy"}, {"exclude": "seed"},
              {"exclude": ["seed"], "comparer": lambda a, b: True}, {"vote": "fields", "stop": "beta"}],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(wrong):
    """At once, with what does."""
    with pytest.raises(rtk.errors.RTKError) as caught:
        rtk.SelfConsistency(SIGNATURE, **wrong)
    assert caught.value.mend


# --- means without extremes ---


def test_a_trimmed_mean_leaves_out_the_extremes():
    """A fifth at each end, or as much as is said."""
    numbers = said("1", "2", "3", "4", "1000")
    found = play(rtk.SelfConsistency(SIGNATURE, 5, "trimmed_mean"), numbers, question="?")
    assert (found.answer, found.deliberation.root.text) == ("3", "the trimmed mean of 5 is 3")
    program = rtk.SelfConsistency("question -> answer: float", 5, "trimmed_mean", trim=0)
    assert play(program, numbers, question="?").answer == 202


# --- log-probabilities beside the votes ---


def sure(answer, logprob):
    return Reply(chain(answer), logprobs=[{"token": "t", "logprob": logprob}])


def test_log_probabilities_stand_beside_the_vote():
    """Of each chain and of the winner's voters, where the model gave them; they are no part of the confidence."""
    replies = [sure("a", -1.0), sure("b", -0.5), sure("a", -3.0)]
    with serving(lambda received: replies[received.choice], logprobs=True, cache=False):
        found = rtk.SelfConsistency(SIGNATURE, 3)(question="?")
    assert (found.answer, found.vote.logprobs, found.vote.logprob) == ("a", (-1.0, -0.5, -3.0), -2.0)
    assert found.confidence.value == pytest.approx(2 / 3)
    assert [row["logprob"] for row in found.vote.rows()] == [-2.0, -0.5]
    with serving(lambda received: replies[received.choice], cache=False):
        assert rtk.SelfConsistency(SIGNATURE, 3)(question="?").vote.logprobs == ()


# --- counting ---


def test_chains_are_counted_once_for_each_look():
    """One by one, 12 chains are counted 12 times, and not again for the best so far."""
    counts = []

    def counted(answers):
        counts.append(len(answers))
        return vote(answers)

    with serving(by_seed(5), seed=1, cache=False):
        program = rtk.SelfConsistency(SIGNATURE, 12, counted, stop=lambda found: False)
        assert program(question="?").vote.size == 12
    assert counts == list(range(1, 13))


def test_weights_are_read_once(monkeypatch):
    """For the vote, and not again for what is told."""
    read = []
    from rtk.strategies import ballots

    monkeypatch.setattr(ballots, "certainties", lambda chains: read.append(len(chains)) or [1.0] * len(chains))
    with serving(chain("a"), cache=False):
        rtk.SelfConsistency(SIGNATURE, 4, "confidence")(question="?")
    assert read == [4]


def test_who_watches_hears_the_vote_move():
    """In index order, from the first chain to the last; it changes nothing."""
    moved = []
    with serving(by_seed(3), seed=1, cache=False):
        quiet = rtk.SelfConsistency(SIGNATURE, 6)(question="?")
        with rtk.watch(lambda event: moved.append(event) if isinstance(event, rtk.events.VoteMoved) else None):
            heard = rtk.SelfConsistency(SIGNATURE, 6)(question="?")
    sizes = [event.size for event in moved]
    assert sizes == sorted(set(sizes))
    assert (sizes[-1], moved[-1].of, moved[-1].answer, moved[-1].share) == (6, 6, heard.answer, heard.vote.share)
    assert heard.vote == quiet.vote
