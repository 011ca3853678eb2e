"""The support desk, end to end: looked up, reasoned over with sources, or handed to a person."""

import dspy
import pytest
from scripted import chain, chat, serving

import rtk

TASK = rtk.tasks.load("support")
OF = {kind: [one for one in TASK.dev if one.kind == kind] for kind in
      ("straightforward", "troubleshooting", "unanswerable")}  # fmt: skip
SIGNATURE = TASK.signature.prepend("context", dspy.InputField(desc="what Tarnlight has written down"))


def desk(**settings):
    """Retrieval, a direct answer that does not say how sure it is, and a vote over what was found."""
    levels = {
        "faq": rtk.Retriever(TASK.passages),
        "direct": SIGNATURE,
        "deep": rtk.SelfConsistency(SIGNATURE, 4, comparer="text"),
    }
    return rtk.Cascade(levels, hand_over=True, **settings)


def knows(received):
    """A model that knows the troubleshooting answers, and says so where it knows none."""
    gold = next((one for one in OF["troubleshooting"] if one.question in received.last), None)
    if "reasoning" not in received.prompt:
        return chat(answer="I do not know.")
    return chain("I do not know." if gold is None else f"{gold.answer}", "Passage [1] says so, as does [7].")


def test_a_straightforward_question_is_answered_with_no_model_call():
    """By the passage that was found, which is its source."""
    surest = max(OF["straightforward"], key=lambda one: desk().faq.search(one.question)[0].confidence)
    found = desk()(question=surest.question)
    assert TASK.metric(surest, found)
    assert found.spent.calls == 0
    assert [one.id for one in found.route.accepted.sources] == surest.sources


def test_a_troubleshooting_question_is_escalated_and_its_sources_are_cited():
    """What was cited and not shown is noted, and nothing else is a source."""
    gold = OF["troubleshooting"][0]
    with serving(knows):
        found = desk()(question=gold.question)
    assert TASK.metric(gold, found)
    assert [one.name for one in found.route] == ["faq", "direct", "deep"]
    level = found.route.accepted
    assert (level.name, level.cited) == ("deep", True)
    assert level.sources == found.route[0].passages[:1]
    assert level.notes == ("it cites [7], which it was not shown",)


@pytest.mark.parametrize("gold", OF["unanswerable"][:5], ids=lambda one: one.id)
def test_an_unanswerable_question_is_handed_over_with_what_was_tried(gold):
    """Which is right: no answer is the answer."""
    with serving(knows):
        found = desk()(question=gold.question)
    assert TASK.metric(gold, found)
    message = found.hand_over.message
    assert gold.question[:60] in message
    assert "1. faq (a look-up" in message
    assert "2. direct (the model answered at once): it says that it cannot answer" in message
    assert "3. deep (the model reasoned several times and voted): it says that it cannot answer" in message
    assert gold.get("working", "") == "" or gold.working not in message


def test_calibrated_on_dev_it_keeps_its_promise_on_test():
    """With a deep level that is right, at least cost: what is looked up costs nothing, and few get a wrong answer."""
    every = {one.question: one for one in [*TASK.dev, *TASK.test]}

    def oracle(received):
        gold = next(one for question, one in every.items() if question in received.last)
        said = gold.answer or "I do not know."
        return chain(said) if "reasoning" in received.prompt else chat(answer="I do not know.")

    with serving(oracle):
        program = desk()
        found = program.calibrate(TASK.dev, metric=TASK.metric, wrong_accepts=0.1, within=0.02, progress=None)
        answers = [program(**one.inputs()) for one in TASK.test]
    wrong = sum(
        one.answer is not None and not TASK.metric(gold, one) for gold, one in zip(TASK.test, answers, strict=True)
    )
    assert found.cost < found.full_cost
    assert found.rates["given a wrong answer"].value <= 0.1
    assert wrong <= 0.1 * len(answers)
    looked_up = [one for one in answers if one.route.accepted is not None and one.route.accepted.name == "faq"]
    assert looked_up
    assert all(one.spent.calls == 0 for one in looked_up)
