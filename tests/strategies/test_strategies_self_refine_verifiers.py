"""Who verifies in self-refine: code, checkers, judges, the model itself; and what becomes of those that fail."""

import dspy
import numpy as np
import pytest
from scripted import asks, chain, chat, field_of, serving

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError
from rtk.testing import play

SIGNATURE = "question -> answer"


def answers(*said):
    return [{"reasoning": "because", "answer": str(one)} for one in said]


def critique(finding, passes):
    return {"finding": finding, "passes": passes}


def refined(replies, verify, rounds=2, **settings):
    return play(rtk.SelfRefine(SIGNATURE, verify, rounds, **settings), replies, question="?")


def findings(found):
    """What was said of each attempt: by whom, in which state, and what."""
    told = [step for one in found.deliberation.root.children for step in one.children if step.kind == "check"]
    return [(step.label, step.state, step.text) for step in told]


# --- checkers ---


@pytest.mark.parametrize(
    ("said", "samples", "score"),
    [(True, 1, 1.0), (False, 3, 0.0), (None, 1, None), (Check(True), 1, 1.0), (Check(False, "no"), 3, 0.0),
     (Check(None, "?"), 1, None), (Check(True, "half", 0.5), 1, 0.5), (0.5, 3, 0.5), ("1/2", 3, 0.5), ("yes", 1, 1.0),
     (1.0, 3, 1.0), (np.True_, 1, 1.0), (np.False_, 3, 0.0), (np.float32(0.5), 3, 0.5)],
)  # fmt: skip
def test_what_a_checker_may_say(said, samples, score):
    """A verdict, a check, a number, which grades alone, or nothing, after which there is nothing to revise by."""
    found = refined(iter(answers(1, 2, 3)), lambda *_: said)
    assert (found.answer, found.spent.samples, found.deliberation.root.score) == ("1", samples, score)


@pytest.mark.parametrize(("threshold", "answer", "samples"), [(1, "1", 1), (3, "3", 3), (9, "3", 3)])
def test_a_number_passes_from_the_threshold_on(threshold, answer, samples):
    """Below it the highest is kept, and the model is told its score."""
    seen = []

    def script(received):
        seen.append(received.last)
        return {"reasoning": "r", "answer": "123"[len(seen) - 1]}

    found = refined(script, lambda inputs, pred: float(pred.answer), threshold=threshold)
    assert (found.answer, found.spent.samples) == (answer, samples)
    assert samples == 1 or "It is given a score of 1." in seen[1]


def test_a_threshold_holds_for_checks_that_grade():
    """One that says what is wrong besides still does not pass."""
    graded = lambda ok, score: lambda *_: Check(ok, "so", score)  # noqa: E731
    assert refined(answers(1), graded(True, 0.9), threshold=0.5).spent.samples == 1
    assert refined(answers(1, 2, 3), graded(True, 0.4), threshold=0.5).spent.samples == 3
    assert refined(answers(1, 2, 3), graded(False, 0.9), threshold=0.5).spent.samples == 3


def test_a_tasks_checker_is_given_the_answer():
    """A function whose second parameter is called as one; its reason is what the model is shown."""
    task = rtk.tasks.load("hidden_sequence", size=2)
    example = task.test[0]
    seen = []

    def script(received):
        seen.append(received.last)
        return {"reasoning": "r", "answer": example.answer if len(seen) > 1 else "0, 0, 0"}

    found = play(rtk.SelfRefine(task.signature, task.check), script, **example.inputs())
    assert (found.answer, found.spent.samples) == (example.answer, 2)
    assert "0 is not from 1 to 20." in seen[1]


def test_a_checker_never_sees_the_gold_answer():
    """Nor does a judge, though the call was given it; reading it is an error that says why."""
    seen = []
    program = rtk.SelfRefine(SIGNATURE, lambda inputs, pred: seen.append(dict(inputs)) or True)
    play(program, answers(1), question="?", gold="1")
    assert seen == [{"question": "?"}]
    with pytest.raises(StrategyError, match="not shown 'gold'"):
        play(rtk.SelfRefine(SIGNATURE, lambda inputs, pred: inputs["gold"]), answers(1), question="?", gold="1")
    judge = dspy.Predict("gold, answer -> good: bool")
    with pytest.raises(StrategyError, match="not shown 'gold'"):
        play(rtk.SelfRefine(SIGNATURE, judge), iter(answers(1)), question="?", gold="1")


def test_a_checker_that_always_fails_is_raised():
    """With the cause, and what it takes."""
    with pytest.raises(StrategyError, match=r"verified none of 1 attempts.*ZeroDivisionError") as caught:
        refined(answers(1), lambda inputs, pred: 1 / 0)
    assert "prediction" in caught.value.mend


def test_a_checker_that_fails_once_leaves_that_attempt_unverified():
    """Which is behind one that was found wanting; and as nobody knows what to mend, it ends there."""
    found = refined(answers(1, "x"), lambda inputs, pred: float(pred.answer) > 5)
    assert (found.answer, found.spent.samples) == ("1", 2)
    assert findings(found)[1][:2] == ("checker", "open")
    assert "could not convert" in findings(found)[1][2]


def test_a_checker_that_always_fails_does_not_hide_behind_one_of_its_name():
    """Functions without a name are told by their numbers."""
    with pytest.raises(StrategyError, match="checker 2 verified none of 1 attempts"):
        refined(answers(1), [lambda inputs, pred: True, lambda inputs, pred: 1 / 0])


def test_a_function_called_as_the_critic_is_a_function():
    """Beside the critic, too, which is given twice here."""

    def critique(inputs, prediction):
        return Check(True)

    assert findings(refined(answers(1), critique)) == [("critique", "kept", "it passes")]
    replies = [*answers(1), *[{"finding": "", "passes": "True"}] * 2]
    found = refined(replies, [critique, "critique", "critique"])
    assert [one[0] for one in findings(found)] == ["critique 1", "critique 2", "critique 3"]


@pytest.mark.parametrize("said", ["great", float("nan"), object()])
def test_what_is_no_verdict_is_a_clear_error(said):
    """Whatever it is."""
    with pytest.raises(StrategyError, match="is no number"):
        refined(answers(1), lambda *_: said)


def test_of_several_all_must_pass():
    """In order, up to the first that does not; an attempt that passed more of them is better."""
    asked = []

    def odd(inputs, prediction):
        asked.append(prediction.answer)
        return Check(int(prediction.answer) % 2 == 1, "it is even")

    found = refined(answers(1, 2, 12), [lambda inputs, pred: Check(int(pred.answer) > 1, "too small"), odd])
    assert (found.answer, asked) == ("2", ["2", "12"])
    assert [one[2] for one in findings(found)] == [
        "it does not pass: too small", "it passes", "it does not pass: it is even", "it passes",
        "it does not pass: it is even",
    ]  # fmt: skip


# --- judges and critics ---


def test_the_model_may_be_its_own_critic():
    """It sees the inputs and the attempt, writes what is wrong and whether it passes; that is shown to the reviser."""
    seen = []

    def script(received):
        seen.append(received)
        if asks(received, "passes"):
            return critique("seven is missing", False) if len(seen) == 2 else critique("fine", True)
        return {"reasoning": "six", "answer": "6"} if len(seen) == 1 else {"reasoning": "seven", "answer": "7"}

    found = refined(script, "critique")
    assert (found.answer, found.spent.samples) == ("7", 4)
    assert field_of(seen[1], "attempt") == "six\nanswer: 6"
    assert field_of(seen[2], "finding") == "seven is missing"
    assert [one[:2] for one in findings(found)] == [("critique", "dead end"), ("critique", "kept")]


def test_a_critic_that_passes_everything_costs_one_ask():
    """The draft stands."""
    found = refined([*answers(1), critique("nothing", True)], "critique")
    assert (found.answer, found.spent.samples) == ("1", 2)


def test_a_critic_that_passes_nothing_leaves_the_draft():
    """After all rounds: nobody showed that a revision is better."""
    replies = [one for n in (1, 2, 3) for one in (*answers(n), critique(f"{n} is wrong", False))]
    found = refined(replies, "critique")
    assert (found.answer, found.spent.samples) == ("1", 6)


@pytest.mark.parametrize("reply", ["no form at all", "", {"finding": "hm", "passes": "perhaps"}])
def test_a_critique_that_cannot_be_read_ends_it(reply):
    """There is nothing to revise by; the answer stands, and the deliberation says that nobody verified it."""
    with serving(lambda received: _written(reply) if asks(received, "passes") else chain("1")):
        found = rtk.SelfRefine(SIGNATURE, "critique")(question="?")
    assert (found.answer, found.spent.samples) == ("1", 2)
    assert findings(found)[0][:2] == ("critique", "open")
    assert "no verdict to revise by" in found.deliberation.root.reason


def _written(reply):
    return reply if isinstance(reply, str) else chat(**reply)


def test_an_empty_finding_is_shown_as_none():
    """The reviser is told that no reason was given."""
    seen = []

    def script(received):
        seen.append(received)
        if asks(received, "passes"):
            return critique("", len(seen) > 2)
        return {"reasoning": "r", "answer": str(len(seen))}

    assert refined(script, "critique").answer == "3"
    assert "no reason was given" in field_of(seen[2], "finding")


def test_a_critic_of_ones_own_takes_the_place():
    """Any module; its last output is the verdict, a number or a yes, and the others are the finding."""
    critic = dspy.Predict("question, attempt, answer -> praise, blame, score: float")
    said = [{"praise": "short", "blame": "wrong", "score": 0.2}, {"praise": "long", "blame": "none", "score": 0.8}]
    seen = []

    def script(received):
        seen.append(received)
        return said[len(seen) // 2 - 1] if asks(received, "score") else answers(len(seen))[0]

    program = rtk.SelfRefine(SIGNATURE, "critique", threshold=0.5, critic=critic)
    found = play(program, script, question="?")
    assert (found.answer, found.deliberation.root.score) == ("3", 0.8)
    assert field_of(seen[2], "finding") == "short\nwrong"
    with pytest.raises(StrategyError, match="critic="):
        rtk.SelfRefine(SIGNATURE, "arithmetic", critic=critic)


@pytest.mark.parametrize("verdict", ["good: bool", "good: Literal['yes', 'no']", "good"])
def test_a_judge_is_asked_like_any_program(verdict):
    """With what it has fields for; a yes or no decides, without a threshold, and its own samples are charged."""

    def script(received):
        if asks(received, "good"):
            good = field_of(received, "answer") == "9"
            return chat(why="9 is right", good=good if "bool" in verdict else "yes" if good else "no")
        return chain(9 if asks(received, "finding") else 1)

    with serving(script) as server:
        found = rtk.SelfRefine(SIGNATURE, dspy.Predict(f"question, answer -> why, {verdict}"))(question="?")
        assert server.choices_served == found.spent.samples == 4
    assert (found.answer, findings(found)[0][2]) == ("9", "it does not pass: 9 is right")


def test_a_judge_may_be_a_strategy():
    """A vote of judges, whose samples are in the deliberation too."""
    judge = rtk.SelfConsistency("question, answer -> good: bool", 3)
    with serving(lambda received: chat(reasoning="r", good=True) if asks(received, "good") else chain(1)):
        found = rtk.SelfRefine(SIGNATURE, [judge])(question="?")
    assert (found.answer, found.spent.samples) == ("1", 4)
    assert sum(step.tokens > 0 for _, step in found.deliberation.walk()) == 4


def test_a_reward_model_verifies():
    """An endpoint that scores; an attempt passes from the threshold on."""
    endpoint = rtk.Endpoint("http://127.0.0.1:9", model="reward")
    replies = [*answers(1), "0.25", *answers(9), "0.75"]
    found = play(rtk.SelfRefine(SIGNATURE, endpoint, threshold=0.5), replies, question="?")
    assert (found.answer, found.deliberation.root.score) == ("9", 0.75)


# --- settings ---


@pytest.mark.parametrize(
    "wrong",
    [{"verify": "guess"}, {"verify": []}, {"verify": 3}, {"verify": None}, {"verify": "judge 1"}, {"rounds": -1},
     {"rounds": True}, {"threshold": "high"}, {"threshold": True}, {"threshold": float("nan")},
     {"explain": "long"}, {"explain": 1}, {"comparer": "near"},
     {"verify": lambda example, pred, trace=None: True}, {"verify": lambda gold, pred: True}],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_once(wrong):
    """With what may be; a metric, which is shown the gold answer, is no verifier."""
    with pytest.raises(rtk.RTKError) as caught:
        rtk.SelfRefine(SIGNATURE, **wrong)
    assert caught.value.mend


def test_a_module_that_nobody_knows_is_refused():
    """Without predictors there is no signature to revise by."""

    class Silent(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer="4")

    with pytest.raises(StrategyError, match="has no predictors"):
        rtk.SelfRefine(Silent())
