"""Best of N: several attempts, what each is worth, and the one that is worth most."""

import asyncio

import dspy
import numpy as np
import pytest
from scripted import Seen, TwoSteps, asks, by_seed, chain, chat, choices, field_of, model, serving

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError
from rtk.strategies import peek
from rtk.testing import play

SIGNATURE = "question -> answer"


def worth(inputs, prediction):
    """The answer is its own reward."""
    return float(prediction.answer)


def best(answers, reward=worth, **settings):
    with serving(choices(answers), cache=False):
        return rtk.BestOfN(SIGNATURE, len(answers), reward, **settings)(question="?")


def labels(found):
    return [step.score for step in found.deliberation.root.children]


def test_the_highest_reward_wins_and_all_are_kept():
    """In one request; the others follow in the order of asking."""
    with serving(choices(["1", "3", "2"])) as server:
        found = rtk.BestOfN(SIGNATURE, 3, worth)(question="?")
        assert (server.count, server.choices_served) == (1, 3)
    assert (found.answer, found.reasoning) == ("3", "chain 1")
    assert list(found.completions.answer) == ["3", "1", "2"]
    assert labels(found) == [1.0, 3.0, 2.0]
    assert [step.state for step in found.deliberation.root.children] == ["open", "chosen", "open"]
    assert found.deliberation.root.score == 3.0


def test_of_equal_rewards_the_earliest_wins():
    """By index, not by arrival."""
    assert best(["2", "5", "5"]).reasoning == "chain 1"


@pytest.mark.parametrize(("name", "wrong"), [("hidden_sequence", "999"), ("game24", "1 + 1")])
@pytest.mark.parametrize("strategy", ["best of n", "weighted votes"])
def test_a_tasks_checker_is_given_the_answer(name, wrong, strategy):
    """Its second parameter is called so, and what it says decides for the right one among wrong ones."""
    task = rtk.tasks.load(name, size=2)
    example = task.dev[0]
    replies = [{"reasoning": str(place), "answer": one} for place, one in enumerate([wrong, wrong, example.answer])]
    program = {
        "best of n": rtk.BestOfN(task.signature, 3, task.check),
        "weighted votes": rtk.SelfConsistency(task.signature, 3, vote="weighted", weight=task.check),
    }[strategy]
    found = play(program.deepcopy(), replies, **example.inputs())
    assert task.metric(example, found)
    assert labels(found) == [0.0, 0.0, 1.0]


def test_a_verifier_sees_inputs_and_prediction_and_nothing_else():
    """As `dspy.BestOfN` calls it; there is no gold answer among a call's inputs."""
    seen = []

    def reward(inputs, prediction):
        seen.append((dict(inputs), prediction.answer))
        return 0

    best(["a", "b"], reward)
    assert seen == [({"question": "?"}, "a"), ({"question": "?"}, "b")]


@pytest.mark.parametrize(
    ("said", "reward"),
    [(True, 1.0), (False, 0.0), (None, None), ("1/2", 0.5), (Check(True), 1.0), (Check(False, "no"), 0.0),
     (Check(None), None), (Check(False, "half", 0.5), 0.5), (np.True_, 1.0), (np.False_, 0.0)],
)  # fmt: skip
def test_what_a_reward_may_be(said, reward):
    """A number, its text, a check with or without a grade, or nothing to say."""
    assert labels(best(["a"], lambda *_: said)) == [reward]


@pytest.mark.parametrize("said", ["great", float("nan"), float("inf"), object()])
def test_a_reward_that_is_no_number_is_a_clear_error(said):
    """Whatever it is."""
    with pytest.raises(StrategyError, match="is no number"):
        best(["a"], lambda *_: said)


def test_an_attempt_without_a_reward_is_behind_every_other():
    """But before none at all."""
    assert best(["1", "2"], lambda _, prediction: None if prediction.answer == "2" else -5).answer == "1"
    assert best(["1", "2"], lambda *_: None).answer == "1"


def test_attempts_without_an_answer_have_no_reward():
    """They are told."""
    script = lambda received: ["no idea", chain("1")][received.choice]  # noqa: E731
    with serving(script):
        found = rtk.BestOfN(SIGNATURE, 2, worth)(question="?")
    assert (found.answer, found.abstentions, labels(found)) == ("1", {"malformed": 1}, [None, 1.0])


def test_without_any_answer_there_is_none():
    """In the module's fields."""
    found = play(rtk.BestOfN(SIGNATURE, 2, worth), ["no", "idea"], question="?")
    assert (found.answer, found.reasoning, found.deliberation.root.state) == (None, None, "dead end")


# --- thresholds ---


@pytest.mark.parametrize(("threshold", "drawn"), [(1, 1), (3, 2), (4, 4), (9, 4)])
def test_the_first_that_is_good_enough_is_the_answer(threshold, drawn):
    """One by one, as DSPy's, and none beyond it is paid."""
    found = play(
        rtk.BestOfN(SIGNATURE, 4, worth, threshold),
        iter([{"reasoning": "r", "answer": a} for a in "1324"]),
        question="?",
    )
    assert (found.spent.samples, found.spent.overdrawn) == (drawn, 0)
    assert found.answer == {1: "1", 3: "3", 4: "4", 9: "4"}[threshold]


def test_a_wave_runs_side_by_side_and_order_decides():
    """A later attempt that is better does not count where an earlier one is good enough."""
    with serving(choices(["1", "3", "5", "7"])) as server:
        found = rtk.BestOfN(SIGNATURE, 8, worth, 2, wave=4)(question="?")
        assert (server.count, server.choices_served) == (1, 4)
    assert (found.answer, found.spent.overdrawn, list(found.completions.answer)) == ("3", 2, ["3", "1"])


def test_order_of_arrival_changes_nothing():
    """Nor does concurrency."""
    told = []
    for concurrency, latency in ((1, 0), (8, (0, 0.05))):
        with serving(by_seed(9), server={"latency": latency}, seed=4, concurrency=concurrency, cache=False):
            found = rtk.BestOfN(SIGNATURE, 8, worth, 6, wave=3)(question="?")
        told.append((found.answer, found.reasoning, labels(found)))
    assert told[0] == told[1]


@pytest.mark.parametrize("settings", [{}, {"threshold": 9}, {"threshold": 9, "wave": 3}])
def test_at_temperature_zero_there_is_one_attempt(settings):
    """All of them are the same sample, which counts once."""
    with serving(choices(["1", "2"]), temperature=0) as server:
        found = rtk.BestOfN(SIGNATURE, 4, worth, **settings)(question="?")
        assert server.choices_served == 1
    assert (found.answer, labels(found)) == ("1", [1.0])


# --- modules, judges ---


def test_attempts_of_a_module_run_in_streams_of_their_own():
    """Those of any strategy over it."""
    with serving(chain("1")), rtk.watch(seen := Seen()):
        rtk.BestOfN(TwoSteps(), 3, worth)(question="?")
    assert seen.streams == ["0", "0/1", "0/2"]


def test_attempts_are_the_samples_of_a_vote():
    """Drawn once for both."""
    with serving(choices(["1", "2", "3", "4"])) as server:
        rtk.SelfConsistency(SIGNATURE, samples=4)(question="?")
        found = rtk.BestOfN(SIGNATURE, 4, worth)(question="?")
        assert (server.choices_served, found.spent.reused) == (4, 4)


def judging(received):
    """A model that answers by its choice, and judges an answer by itself."""
    if asks(received, "score"):
        return chat(score=field_of(received, "answer"))
    return chain("132"[received.choice])


def test_a_judge_is_asked_like_any_predictor():
    """With what it has fields for; what it says is stored, budgeted, and told."""
    judge = dspy.Predict("question, answer -> score: float")
    with serving(judging) as server:
        found = rtk.BestOfN(SIGNATURE, 3, judge)(question="?")
        again = rtk.BestOfN(SIGNATURE, 3, judge)(question="?")
        assert server.choices_served == 6
    assert (found.answer, found.spent.samples, found.spent.calls, again.spent.drawn) == ("3", 6, 4, 0)
    assert labels(found) == [1.0, 3.0, 2.0]
    assert [step.children[0].kind for step in found.deliberation.root.children] == ["check"] * 3


def test_a_judge_that_makes_no_sense_gives_no_reward():
    """It is a model, and may say anything; what cannot be read, or is no number, is none, and others decide."""
    for score, kind in (("splendid", ": float"), ("splendid", "")):
        script = lambda received, score=score: (  # noqa: E731
            chat(score=score if "1" in field_of(received, "answer") else 0.5)
            if asks(received, "score")
            else chain("12"[received.choice])
        )
        with serving(script):
            found = rtk.BestOfN(SIGNATURE, 2, dspy.Predict(f"question, answer -> score{kind}"))(question="?")
        assert (found.answer, labels(found)) == ("2", [None, 0.5])


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5])
def test_a_budget_may_end_anywhere(samples):
    """Among the attempts, or the judgements: there is an answer, and it says that it was stopped."""
    with serving(judging):
        found = rtk.BestOfN(SIGNATURE, 3, dspy.Predict("question, answer -> score: float"))(
            question="?", budget=rtk.Budget(samples=samples)
        )
    assert found.stopped == "samples"
    assert found.spent.samples == samples
    assert found.answer in "132"


def test_votes_and_trees_are_attempts_too():
    """A vote three deep, under a budget of calls."""
    deep = rtk.SelfConsistency(rtk.BestOfN(rtk.SelfConsistency(SIGNATURE, samples=2), 2, worth), samples=2)
    with serving(by_seed(9), seed=1):
        whole, cut = deep(question="?"), deep(question="?", budget=rtk.Budget(calls=3))
    assert (whole.spent.calls, whole.spent.samples, whole.stopped) == (4, 8, None)
    assert (cut.spent.calls, cut.stopped) == (3, "calls")
    assert cut.answer is not None


# --- failures, settings ---


def test_a_reward_that_fails_costs_its_attempt_alone():
    """And says why."""
    found = best(["1", "x", "2"])
    assert (found.answer, labels(found)) == ("2", [1.0, None, 2.0])
    assert "could not convert" in found.deliberation.root.children[1].reason


@pytest.mark.parametrize(("answers", "allowed"), [("xx", None), ("x1", 0), ("xx1", 1)])
def test_more_failures_than_are_allowed_are_raised(answers, allowed):
    """With the cause."""
    with pytest.raises(StrategyError, match="could not convert"):
        best(list(answers), fail_count=allowed)


def test_it_is_awaited_as_well():
    """The same answer from the same samples."""
    with serving(by_seed(9), seed=2) as server:
        program = rtk.BestOfN(SIGNATURE, 4, worth)
        once, again = program(question="?"), asyncio.run(program.acall(question="?"))
        assert server.choices_served == 4
    assert once.deliberation.to_dict() == again.deliberation.to_dict()


def test_nothing_of_the_module_is_changed():
    """Its LM, its demonstrations, its state; and a function as reward is no part of it."""
    module = dspy.ChainOfThought(SIGNATURE)
    with serving(chain("1")) as server:
        module.set_lm(model(server))
        before = module.dump_state()
        program = rtk.BestOfN(module, 2, worth)
        program(question="?")
    assert module.dump_state() == before
    assert [name for name, _ in program.named_predictors()] == ["module.predict"]


def test_it_is_saved_with_its_settings(tmp_path):
    """Its reward is code, and comes with the program it is loaded into."""
    rtk.BestOfN(SIGNATURE, 7, worth, 0.5).save(tmp_path / "best.json")
    loaded = rtk.BestOfN(SIGNATURE, 2, worth)
    loaded.load(tmp_path / "best.json")
    assert (loaded.N, loaded.threshold) == (7, 0.5)


def test_a_look_knows_what_is_needed():
    """All attempts, where no reward decides how many."""
    with serving(chain("1")):
        seen = peek(rtk.BestOfN(SIGNATURE, 3, worth), question="?")
        assert (seen.wanted, seen.there, seen.exact) == (3, 0, True)
        assert not peek(rtk.BestOfN(SIGNATURE, 3, worth, 1), question="?").exact


@pytest.mark.parametrize(
    "wrong", [{"N": 0}, {"N": True}, {"wave": 0}, {"threshold": "high"}, {"reward_fn": None}, {"fail_count": -1}]
)
def test_what_cannot_be_is_refused_at_once(wrong):
    """With what may be."""
    with pytest.raises(StrategyError) as caught:
        rtk.BestOfN(SIGNATURE, **{"reward_fn": worth, **wrong})
    assert caught.value.mend
