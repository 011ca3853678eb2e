"""Cascades under budgets that end anywhere, and the best answer so far."""

import dspy
import pytest
from cascades import EXACT, FAR, NEAR, desk, replies, retriever
from scripted import chain, chat, model, serving

import rtk
from rtk.events import BestSoFar
from rtk.testing import play

SIGNATURE = "question -> answer"


def four(**settings):
    """A direct answer, a short vote, a judged chain and a long vote: nine samples and a verdict."""
    levels = {
        "faq": retriever(),
        "direct": SIGNATURE,
        "votes": rtk.SelfConsistency("question, context -> answer", 3),
        "judged": dspy.ChainOfThought("question, tone -> answer"),
        "deep": rtk.SelfConsistency("question, context, tone -> answer", 4),
    }
    judge = dspy.Predict("question, answer -> score: float")
    return rtk.Cascade(levels, confidence={"judged": judge}, accept=0.9, signature=SIGNATURE, **settings)


def script(received):
    """Each level says something of its own, and no vote agrees."""
    if "score" in received.prompt:
        return chat(score=0.1)
    if "reasoning" not in received.prompt:
        return chat(answer="direct")
    which = ("votes", "deep")["tone" in received.prompt] if "context" in received.prompt else "judged"
    return chain(f"{which} {received.choice % 3}")


def asked(found):
    return [one.name for one in found.route if one.cut is None]


@pytest.mark.parametrize("samples", range(11))
@pytest.mark.parametrize("hand_over", [False, True])
def test_a_budget_of_samples_may_end_anywhere(samples, hand_over):
    """In every level and between them: nothing is overspent, what came is told, and the best so far is given."""
    with serving(script, cache=False):
        found = four(hand_over=hand_over)(question=NEAR, tone="kind", budget=rtk.Budget(samples=samples))
    assert found.spent.samples == samples
    whole = {"direct": 1, "votes": 4, "judged": 6, "deep": 10}
    assert asked(found) == ["faq", *(name for name, needs in whole.items() if samples >= needs)]
    assert (found.stopped == "samples") == (samples < 10)
    if hand_over:
        assert found.answer is None
        assert ("number of attempts" in found.hand_over.message) == (samples < 10)
    else:
        assert found.answer is not None
        assert found.hand_over is None
    assert [one.cut for one in found.route if one.cut is not None] == ["samples"] * (samples < 10)


@pytest.mark.parametrize("unit", ["calls", "tokens", "dollars"])
@pytest.mark.parametrize("limit", range(9))
def test_other_units_may_end_anywhere_too(unit, limit):
    """A replay under the same budget says the same."""
    amount = {"calls": limit, "tokens": 180 * limit, "dollars": 2e-4 * limit}[unit]
    told = []
    with serving(script, price=(1, 1), max_tokens=60):
        for _ in range(2):
            found = four(hand_over=True)(question=NEAR, tone="kind", budget=rtk.Budget(**{unit: amount}))
            told.append((found.route, found.stopped, found.hand_over.message))
            spent = found.spent.calls if unit == "calls" else getattr(found.spent, unit)
            assert spent <= amount
    assert told[0] == told[1]
    assert told[0][1] in (unit, None)


def test_a_vote_that_is_cut_short_counts_as_far_as_it_came():
    """With the low end of its confidence: one vote of one is not sure; where that is not enough it is handed over."""
    with serving(replies(deep=["x"]), cache=False):
        found = desk(8, hand_over=True)(question=NEAR, budget=rtk.Budget(samples=7))
        assert (found.answer, found.stopped, round(found.route[-1].confidence, 2)) == ("x", "samples", 0.61)
        assert "ended in it" in found.route[-1].reason
        found = desk(8, hand_over=True)(question=NEAR, budget=rtk.Budget(samples=2))
        assert (found.answer, round(found.route[-1].confidence, 2)) == (None, 0.21)
    with serving(replies(deep=["x", "y", "z"]), cache=False):
        found = desk(8, hand_over=True)(question=NEAR, budget=rtk.Budget(samples=4))
    assert (found.answer, found.route[-1].answer) == (None, "x")
    assert "stopped before it was done" in found.hand_over.message


def test_a_budget_that_ends_in_the_judging_leaves_the_answer_unaccepted():
    """It does not say how sure it is; nearer answers are given before it."""
    cascade = rtk.Cascade(
        {"faq": retriever(), "direct": SIGNATURE, "deep": SIGNATURE},
        confidence={"direct": dspy.Predict("question, answer -> score: float")},
    )
    found = play(cascade, lambda _: chat(answer="a"), question=NEAR, budget=rtk.Budget(samples=1))
    assert (found.stopped, found.route.accepted.name, found.route[1].cut) == ("samples", "faq", "samples")


def test_a_sure_passage_needs_no_budget():
    """Nothing is asked, so nothing is spent."""
    found = play(desk(), [], question=EXACT, budget=rtk.Budget(samples=0))
    assert (found.answer, found.stopped) == ("Use the link on the sign-in page.", None)


def test_a_deadline_ends_it_too():
    """Within the level that is under way."""

    with serving(replies(), server={"latency": 30}):
        found = desk(hand_over=True)(question=NEAR, budget=rtk.Budget(seconds=0.3))
    assert (found.answer, found.stopped) == (None, "seconds")
    assert "the time allowed for it was over" in found.hand_over.message


def test_the_best_so_far_is_told_before_each_level():
    """To those who watch."""
    told = []
    with serving(replies(deep=["x", "x", "y", "z"])), rtk.watch(lambda event: told.append(event)):
        desk()(question=NEAR)
    best = [event.fields["answer"] for event in told if isinstance(event, BestSoFar)]
    assert best[:2] == ["Open Settings, then Export.", "Open Settings, then Export."]


def test_of_answers_that_are_equally_near_the_later_one_is_given():
    """And one whose confidence is known before one that does not say."""
    levels = {
        "one": lambda question: {"answer": "1", "confidence": 0.4},
        "two": lambda question: {"answer": "2", "confidence": 0.4},
        "direct": SIGNATURE,
        "deep": rtk.SelfConsistency(SIGNATURE, 2),
    }
    found = play(rtk.Cascade(levels), [{"answer": "3"}], question=FAR, budget=rtk.Budget(samples=1))
    assert (found.answer, found.stopped) == ("2", "samples")


def test_its_own_budget_within_a_larger_one_ends_only_itself():
    """What is left of the other is not touched."""
    with serving(replies()), rtk.Budget(samples=20) as outer:
        found = desk(8)(question=NEAR, budget=rtk.Budget(samples=3))
        assert (found.stopped, outer.left["samples"]) == ("samples", 17)


def test_levels_of_two_models_are_paid_from_one_budget():
    """Whichever asks."""
    with serving(chain("large")) as server, serving(replies("small")) as small:
        cascade = rtk.Cascade({"direct": SIGNATURE, "deep": rtk.SelfConsistency(SIGNATURE, 4)})
        cascade.deep.set_lm(model(server))
        found = cascade(question="?", budget=rtk.Budget(samples=3))
        assert (small.choices_served, server.choices_served) == (1, 2)
    assert (found.answer, found.stopped) == ("large", "samples")
