"""Mistakes that a user makes with the strategies: each is refused where it can be seen, with its mend."""

import dspy
import pytest
from scripted import chat, serving

import rtk
from rtk.errors import StrategyError
from rtk.testing import play

SIGNATURE = "question -> answer"
CHAINS = [{"reasoning": "r", "answer": answer} for answer in ("a", "b")]
RESPONSE = dspy.Predict("question, response -> score: float")


@pytest.mark.parametrize(
    "program",
    [
        lambda: rtk.BestOfN(SIGNATURE, 2, RESPONSE),
        lambda: rtk.SelfConsistency(SIGNATURE, 2, "weighted", weight=RESPONSE),
    ],
)
def test_a_judge_that_asks_for_what_nobody_gives_is_refused(program):
    """It would be asked the same of every attempt; the fields that it may have are named."""
    with pytest.raises(StrategyError, match="the judge asks for response") as caught:
        play(program(), [*CHAINS, {"score": 0.1}, {"score": 0.2}], question="?")
    assert "question, reasoning, answer" in caught.value.mend


def test_a_judge_of_answers_is_no_judge_of_thoughts():
    """A tree shows `partial`."""
    program = rtk.TreeOfThoughts(SIGNATURE, evaluate=dspy.Predict("question, answer -> score: float"), separator="")
    with pytest.raises(StrategyError, match="the judge asks for answer"):
        play(program, [{"reasoning": "r", "thought": "t"}] * 3, question="?")


def test_a_judge_may_say_yes_and_no():
    """As a number, or a word for one."""
    replies = [*CHAINS, {"verdict": "No."}, {"verdict": "yes"}]
    program = rtk.BestOfN(SIGNATURE, 2, dspy.Predict("question, answer -> verdict"))
    assert play(program, replies, question="?").answer == "b"


def test_a_judge_that_never_gives_a_number_is_an_error_and_no_choice():
    """As a function that always fails."""
    replies = [*CHAINS, {"verdict": "bad"}, {"verdict": "good"}]
    with pytest.raises(StrategyError, match="'good' is no number") as caught:
        play(rtk.BestOfN(SIGNATURE, 2, dspy.Predict("question, answer -> verdict")), replies, question="?")
    assert "score: float" in caught.value.mend


@pytest.mark.parametrize("name", ["thought", "partial", "thoughts", "best"])
def test_a_field_called_as_one_of_the_trees_own_is_refused(name):
    """It would be taken for that, and dropped from a prompt."""
    with pytest.raises(StrategyError, match=name):
        rtk.TreeOfThoughts(f"{name} -> answer")


@pytest.mark.parametrize("budget", [8, {"samples": 8}, "8"])
def test_what_is_no_budget_is_refused_where_the_question_has_no_such_input(budget):
    """Else it would be no limit at all."""
    with pytest.raises(StrategyError, match="is no budget"):
        play(rtk.SelfConsistency(SIGNATURE, 2), CHAINS, question="?", budget=budget)
    replies = [{"reasoning": "r", "answer": "a"}] * 2
    assert play(rtk.SelfConsistency("budget -> answer", 2), replies, budget=budget).answer == "a"


@pytest.mark.parametrize("wrong", [5, None, dspy.Predict, "no arrow"])
@pytest.mark.parametrize("build", [rtk.ChainOfThought, rtk.SelfConsistency, rtk.TreeOfThoughts])
def test_what_is_neither_a_signature_nor_a_module_is_refused(build, wrong):
    """It says what it is, and what it should be."""
    with pytest.raises(StrategyError, match="neither a signature nor a module") as caught:
        build(wrong)
    assert "question -> answer" in caught.value.mend


@pytest.mark.parametrize(
    ("saved", "into"),
    [
        (lambda: rtk.TreeOfThoughts(SIGNATURE, evaluate="vote"), lambda: rtk.TreeOfThoughts(SIGNATURE)),
        (lambda: rtk.TreeOfThoughts(SIGNATURE, separator=", "), lambda: rtk.TreeOfThoughts(SIGNATURE)),
        (lambda: dspy.ChainOfThought(SIGNATURE), lambda: rtk.SelfConsistency(SIGNATURE)),
    ],
)
def test_a_program_built_otherwise_is_not_loaded(saved, into, tmp_path):
    """What is missing is named, and what to do."""
    saved().save(tmp_path / "program.json")
    with pytest.raises(StrategyError, match="the saved program has no") as caught:
        into().load(tmp_path / "program.json")
    assert "built as the saved one was" in caught.value.mend


def test_a_vote_field_by_field_on_plain_answers_is_refused():
    """It would pay for everything and elect nothing."""
    with pytest.raises(StrategyError, match="without fields, such as 'a'"):
        play(rtk.SelfConsistency(SIGNATURE, 2, "fields"), CHAINS, question="?")


@pytest.mark.parametrize("settings", [{"only": "VoteMoved"}, {"only": [rtk.events.VoteMoved]}, {"only": 5}])
def test_a_kind_of_event_that_is_none_is_refused(settings):
    """Before anything happens, not at every event."""
    with pytest.raises(rtk.RTKError, match="only="), rtk.watch(print, **settings):
        pass


def test_a_watcher_that_cannot_be_called_is_refused():
    """Likewise."""
    with pytest.raises(rtk.RTKError, match="5"), rtk.watch(5):
        pass


# --- thoughts that a budget left without a value ---


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first", "particle"])
@pytest.mark.parametrize("evaluate", ["value", "vote"])
def test_more_budget_never_means_no_answer(search, evaluate):
    """From two samples on something is answered, whatever was not evaluated."""

    def script(received):
        return chat(reasoning="r", thought=f"t{received.body['seed'] % 7}", answer="z", best=1, verdict="likely")

    answers = []
    for samples in range(2, 9):
        with serving(script, server_n=False, seed=1, cache=False):
            program = rtk.TreeOfThoughts(SIGNATURE, 2, 2, 2, search, evaluate=evaluate)
            answers.append(program(question="?", budget=rtk.Budget(samples=samples)).answer)
    assert None not in answers


def test_a_tree_all_of_whose_thoughts_were_refused_says_so():
    """They were found, and none stands."""
    with serving(chat(reasoning="r", thought="t")):
        found = rtk.TreeOfThoughts(SIGNATURE, check=lambda inputs, partial: False)(question="?")
    assert (found.answer, found.deliberation.root.reason) == (None, "no thought stands")


# --- metrics, which see the gold answer ---


@pytest.mark.parametrize(
    "build",
    [
        lambda metric: rtk.ChainOfThought(SIGNATURE, checks=[metric]),
        lambda metric: rtk.TreeOfThoughts(SIGNATURE, check=metric),
        lambda metric: rtk.BestOfN(SIGNATURE, 2, metric),
        lambda metric: rtk.SelfConsistency(SIGNATURE, 2, "weighted", weight=metric),
    ],
)
@pytest.mark.parametrize("metric", [lambda gold, pred, trace=None: True, lambda example, pred, trace: True])
def test_a_metric_is_no_verifier(build, metric):
    """It is refused when the program is built, by its parameters."""
    with pytest.raises(StrategyError, match="is a metric by its parameters"):
        build(metric)


def test_a_temperature_that_is_no_number_is_refused():
    """By rtk, naming it."""
    with pytest.raises(StrategyError, match="temperature='hot'"):
        rtk.SelfConsistency(SIGNATURE, temperature="hot")
