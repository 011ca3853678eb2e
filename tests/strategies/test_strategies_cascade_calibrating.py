"""Cascades calibrated: thresholds learned from questions with answers, and judged on others."""

import asyncio
import random
import re

import dspy
import numpy as np
import pytest
from cascades import EXACT, question_of
from scripted import chain, chat, serving

import rtk
from rtk.errors import StrategyError, TaskError

SIGNATURE = "question -> answer"


def shop(size=40, seed=1):
    """Questions about numbered things: of even ones the collected answer is right, of odd ones it is another's."""
    pairs = [(f"How do I do thing number{i} zebra{i}?", f"answer {i}") for i in range(size)]
    asked = [
        (f"How do I do thing number{i} zebra{i}?", f"answer {i}" if i % 2 == 0 else f"other {i}") for i in range(size)
    ]
    random.Random(seed).shuffle(asked)
    return rtk.Retriever(pairs), [dspy.Example(question=q, answer=a).with_inputs("question") for q, a in asked]


def number(received):
    return int(re.search(r"number(\d+)", question_of(received)).group(1))


def right(received):
    """A deep level that is always right."""
    i = number(received)
    return chain(f"answer {i}" if i % 2 == 0 else f"other {i}")


def told(sure, correct):
    """A tool that is as sure as told, and right where told."""

    def tool(question):
        i = int(re.search(r"number(\d+)", question).group(1))
        gold = f"answer {i}" if i % 2 == 0 else f"other {i}"
        return {"answer": gold if correct(i) else "wrong", "confidence": sure(i)}

    return tool


def calibrated(levels, examples, script=right, hand_over=False, accept=None, **settings):
    with serving(script):
        cascade = rtk.Cascade(levels, hand_over=hand_over, accept=accept)
        return cascade, cascade.calibrate(examples, progress=None, **settings)


def test_a_level_is_given_where_its_confidence_tells_that_it_is_right():
    """At a threshold between the two; the rest goes to the last level, at half the cost and no loss."""
    _, examples = shop()
    tool = told(lambda i: 0.8 + i / 1000 if i % 2 == 0 else 0.3 + i / 1000, lambda i: i % 2 == 0)
    cascade, found = calibrated({"tool": tool, "deep": rtk.SelfConsistency(SIGNATURE, 4)}, examples)
    assert 0.34 <= cascade.accept["tool"] <= 0.8
    assert found.learned == {"accept": cascade.accept}
    assert (found.informative, found.accuracy.value, found.full.value) == (True, 1.0, 1.0)
    assert (found.share, found.unit, found.size) == (pytest.approx(0.5, abs=0.1), "tokens", 40)
    assert "tool is given where it is at least" in found.why
    assert found.rates["answered by tool"].value == pytest.approx(0.5, abs=0.05)
    with serving(right) as server:
        assert cascade(question=examples[0].question).answer == examples[0].answer
        assert server.count <= 1


def test_retrieval_that_is_wrong_with_confidence_is_never_given():
    """It finds every question word for word and is wrong half the time, as sure as when it is right."""
    faq, examples = shop()
    cascade, found = calibrated({"faq": faq, "deep": rtk.SelfConsistency(SIGNATURE, 2)}, examples)
    assert cascade.accept == {"faq": False}
    assert (found.accuracy.value, found.difference.value, found.share) == (1.0, 0.0, 1.0)
    assert "faq is never given (20 of 40 right), for its confidence tells right from wrong no better" in found.why
    with serving(right):
        assert all(cascade(**one.inputs()).answer == one.answer for one in examples[:4])


@pytest.mark.parametrize(("share", "within", "gate"), [(0.95, 0.1, True), (0.95, 0.01, False), (0.5, 0.01, False)])
def test_a_level_whose_confidence_is_worthless_is_given_always_or_never(share, within, gate):
    """Fixed effort, whichever keeps within the loss that is allowed; it is said so."""
    _faq, examples = shop(60)
    rng = random.Random(0)
    sure = [rng.random() for _ in range(60)]
    wrong = set(random.Random(1).sample(range(60), round(60 * (1 - share))))
    tool = told(lambda i: sure[i], lambda i: i not in wrong)
    levels = {"tool": tool, "deep": rtk.SelfConsistency(SIGNATURE, 2)}
    cascade, found = calibrated(levels, examples, within=within)
    assert cascade.accept == {"tool": gate}
    assert not found.informative
    assert found.difference.value >= -within
    assert "no better than chance" in found.why


def test_what_is_allowed_to_be_lost_is_used_to_save():
    """A level that is nearly as good is given always."""
    _, examples = shop()
    tool = told(lambda i: 0.5, lambda i: i != 3)
    cascade, found = calibrated({"tool": tool, "deep": SIGNATURE}, examples, within=0.05, script=lambda r: chat(
        answer=f"{'answer' if number(r) % 2 == 0 else 'other'} {number(r)}"))  # fmt: skip
    assert cascade.accept == {"tool": True}
    assert (found.cost, found.difference.value) == (0.0, -0.025)


def test_what_was_learned_is_what_runs():
    """Over the questions it was learned from, the calls come to what the table said, in answers and in cost."""
    _, examples = shop(30)
    rng = random.Random(3)
    sure = [rng.random() for _ in range(30)]
    tool = told(lambda i: sure[i], lambda i: sure[i] > 0.4)
    levels = {"tool": tool, "chain": dspy.ChainOfThought(SIGNATURE), "deep": rtk.SelfConsistency(SIGNATURE, 4)}
    script = lambda received: right(received) if received.choice or number(received) % 3 else chain("hm")  # noqa: E731
    with serving(script):
        cascade = rtk.Cascade(levels)
        cascade.calibrate(examples, progress=None, within=0.1, cost="samples")
        found = [cascade(**one.inputs()) for one in examples]
        fixed = rtk.Cascade(levels, accept={"tool": False, "chain": False})
        full = [fixed(**one.inputs()) for one in examples]
    score = sum(one.answer == example.answer for one, example in zip(found, examples, strict=True)) / 30
    best = sum(one.answer == example.answer for one, example in zip(full, examples, strict=True)) / 30
    assert score >= best - 0.1
    assert sum(one.spent.samples for one in found) < sum(one.spent.samples for one in full)


# --- wrong answers bounded ---


def no_answer_for_odd(example, prediction):
    """Odd questions have no right answer."""
    i = int(re.search(r"number(\d+)", example.question).group(1))
    return prediction.answer is None if i % 2 else prediction.answer == f"answer {i}"


def test_questions_without_an_answer_are_handed_over():
    """And so few get a wrong answer that the bound holds; what is sure is given."""
    _, examples = shop(80)
    tool = told(lambda i: 0.8 + i / 1000 if i % 2 == 0 else 0.3 + i / 1000, lambda i: i % 2 == 0)
    levels = {"tool": tool, "deep": rtk.SelfConsistency(SIGNATURE, 2)}
    cascade, found = calibrated(levels, examples, hand_over=True, metric=no_answer_for_odd, wrong_accepts=0.05)
    assert 0.38 <= cascade.accept["tool"] <= 0.8
    assert cascade.accept["deep"] is False
    assert (found.accuracy.value, found.rates["given a wrong answer"].value) == (1.0, 0.0)
    assert found.rates["handed over"].value == 0.5
    assert (found.cost, found.full.value) == (0.0, 0.5)


@pytest.mark.parametrize("bound", [0.02, 0.05, 0.1])
def test_a_bound_on_wrong_answers_is_kept_on_other_questions(bound):
    """A level that is wrong one time in four, whatever it is sure of, beside one whose confidence counts."""

    def desk(seed):
        rng = random.Random(seed)
        sure = {i: rng.random() for i in range(160)}
        return told(lambda i: sure[i], lambda i: rng.random() < sure[i] ** 0.3)

    _, examples = shop(160)
    cascade, found = calibrated(
        {"tool": desk(1)}, examples, hand_over=True, wrong_accepts=bound,
        metric=lambda example, prediction: prediction.answer not in (None, "wrong"),
    )  # fmt: skip
    assert found.rates["given a wrong answer"].value <= bound
    fresh = rtk.Cascade({"tool": desk(2)}, hand_over=True, accept=cascade.accept)
    answers = [fresh(**one.inputs()).answer for one in examples]
    assert answers.count("wrong") <= 160 * bound + 3


def test_where_the_bound_cannot_be_shown_everything_is_handed_over():
    """And it says how many questions it would take."""
    _, examples = shop(20)
    levels = {"tool": told(lambda i: 0.5, lambda i: True), "deep": SIGNATURE}
    cascade, found = calibrated(levels, examples, hand_over=True, wrong_accepts=0.02, script=chat(answer="x"))
    assert cascade.accept == {"tool": False, "deep": False}
    assert "114 questions without a wrong answer would be needed" in found.why
    handed = cascade(question=EXACT)
    assert handed.answer is None
    assert handed.hand_over is not None


# --- how it is run ---


def test_calibrating_draws_what_calls_will_use():
    """A call after it draws nothing, and calibrating again neither."""
    _, examples = shop(12)
    levels = {"chain": dspy.ChainOfThought(SIGNATURE), "direct": SIGNATURE, "deep": rtk.SelfConsistency(SIGNATURE, 4)}
    with serving(lambda received: right(received) if "reasoning" in received.prompt else chat(answer="x")) as server:
        cascade = rtk.Cascade(levels)
        found = cascade.calibrate(examples, progress=None)
        drawn = server.choices_served
        assert drawn == 12 * 5
        for accept in (1, {"chain": False}, {"chain": False, "direct": False}, {"direct": True}):
            cascade.accept = accept
            for one in examples:
                cascade(**one.inputs())
        again = asyncio.run(cascade.acalibrate(examples, progress=None))
        assert server.choices_served == drawn
    assert repr(again) == repr(found)


def test_a_budget_that_ends_leaves_what_was_answered_whole():
    """And says so; where not one question was, it is an error."""
    _, examples = shop(30)
    levels = {"tool": told(lambda i: i / 100, lambda i: True), "deep": rtk.SelfConsistency(SIGNATURE, 2)}
    with serving(right):
        found = rtk.Cascade(levels).calibrate(examples, progress=None, budget=rtk.Budget(samples=21))
        assert (found.size, found.stopped) == (10, "samples")
        assert "the budget of samples ended first" in repr(found)
    with serving(right, cache=False), pytest.raises(StrategyError, match="before a single question"):
        rtk.Cascade(levels).calibrate(examples, progress=None, budget=rtk.Budget(samples=1))


@pytest.mark.parametrize("unit", ["tokens", "samples", "calls", "dollars", "seconds"])
def test_any_unit_may_be_saved(unit):
    """Whichever it is, a level that costs nothing and is right is given."""
    _, examples = shop(20)
    tool = told(lambda i: 1.0, lambda i: True)
    cascade, found = calibrated({"tool": tool, "deep": SIGNATURE}, examples, cost=unit) if unit != "dollars" else (
        calibrated_with_price(tool, examples))  # fmt: skip
    assert cascade.accept == {"tool": True}
    assert found.unit == unit


def calibrated_with_price(tool, examples):
    with serving(right, price=(1, 1)):
        cascade = rtk.Cascade({"tool": tool, "deep": rtk.SelfConsistency(SIGNATURE, 2)})
        return cascade, cascade.calibrate(examples, progress=None, cost="dollars")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"within": 2}, "within="),
        ({"within": True}, "within="),
        ({"wrong_accepts": 0.1}, "without a person"),
        ({"cost": "euros"}, "cost="),
        ({"folds": 1}, "folds="),
        ({"metric": "exact"}, "metric="),
        ({"metric": lambda example, prediction: 7}, "the metric returned 7"),
        ({"metric": lambda example, prediction: prediction.answer.lower()}, "the metric failed on no answer"),
        ({"cost": "dollars"}, "price"),
    ],
)
def test_what_cannot_be_learned_is_refused(settings, match):
    """Naming the setting."""
    _, examples = shop(4)
    with pytest.raises((StrategyError, TaskError), match=match):
        calibrated({"chain": dspy.ChainOfThought(SIGNATURE), "deep": SIGNATURE}, examples, **settings)
    with pytest.raises(StrategyError, match="no questions"):
        rtk.Cascade({"deep": SIGNATURE}).calibrate([])


@pytest.mark.parametrize(
    "metric",
    [
        lambda example, prediction: np.bool_(prediction.answer == example.answer),
        lambda example, prediction: np.float32(prediction.answer == example.answer),
        lambda example, prediction: dspy.Prediction(score=float(prediction.answer == example.answer), feedback="so"),
    ],
)
def test_a_metric_may_say_what_it_says_to_sweeps(metric):
    """Numbers of numpy's, and predictions with a score."""
    _, examples = shop(12)
    _, found = calibrated({"deep": SIGNATURE}, examples, metric=metric)
    assert found.full.value == 1


def test_a_metric_is_tried_before_anything_is_drawn():
    """On no answer, which it will be asked about."""
    with serving(right) as server, pytest.raises(StrategyError, match="failed on no answer"):
        rtk.Cascade({"deep": SIGNATURE}).calibrate(shop(4)[1], metric=lambda example: 1, progress=None)
    assert server.choices_served == 0


def test_an_example_without_a_gold_answer_is_right_to_be_handed_over():
    """Where the gold answer is None, and nothing else is said of the metric."""
    asked = [dspy.Example(question=f"Which number{i}?", answer=None).with_inputs("question") for i in range(12)]
    cascade, found = calibrated({"deep": rtk.SelfConsistency(SIGNATURE, 2)}, asked, hand_over=True)
    assert cascade.accept == {"deep": False}
    assert (found.accuracy.value, found.rates["handed over"].value) == (1, 1)


def test_nothing_is_learned_from_a_single_question():
    """Of which no other could tell whether it holds."""
    cascade, found = calibrated({"tool": told(lambda i: 1.0, lambda i: True), "deep": SIGNATURE}, shop(1)[1])
    assert cascade.accept == {"tool": False}
    assert "no thresholds stay within" in found.why


def test_a_level_that_was_never_wrong_is_given_from_the_least_confidence_on_that_it_had():
    """What a lower one is worth nobody has seen."""
    _, examples = shop(20)
    levels = {"tool": told(lambda i: 0.6 + i / 100, lambda i: True), "deep": rtk.SelfConsistency(SIGNATURE, 2)}
    cascade, found = calibrated(levels, examples)
    assert cascade.accept == {"tool": 0.6}
    assert "tool is given where it is at least 0.6 sure (20 of 20 right)" in found.why


@pytest.mark.parametrize("seed", [0, 5])
def test_what_a_bound_allows_is_used(seed):
    """With many questions, a good part of it: no more is handed over than must be."""
    dice = random.Random(seed)
    sure = {f"q{i}": dice.random() for i in range(150)}
    correct = {asked: dice.random() < amount**0.5 for asked, amount in sure.items()}

    def tool(question):
        return {"answer": "right" if correct[question] else "wrong", "confidence": sure[question]}

    asked = [dspy.Example(question=one, answer="right").with_inputs("question") for one in sure]
    found = rtk.Cascade({"tool": tool}, hand_over=True).calibrate(asked, wrong_accepts=0.1, progress=None)
    assert found.rates["handed over"].value <= 0.6
    assert 0.04 <= found.rates["given a wrong answer"].value <= 0.07
