"""Confidence: how sure a passage is the right one, comparable between questions."""

import math

import pytest

import rtk

FAQ = [
    ("How do I reset my password?", "Open Settings, choose Security and press Reset. A link is mailed to you."),
    ("Can I get a refund?", "Within 30 days of the purchase we refund the whole price to your card."),
    ("Which phones does the app run on?", "On phones and tablets made in 2019 or later."),
    ("How do I cancel my subscription?", "Under Billing, press Cancel. It ends with the month."),
    ("Where do I find my invoices?", "Under Billing, in the list of payments."),
    ("Can several people use one account?", "Up to five people may share an account, each with a password."),
    ("When is the support team there?", "On weekdays from nine to five. Open a ticket at any time."),
    ("How do I change my address?", "Open Settings, choose Account and press Edit."),
]
ANSWERED = {
    "I forgot my password, how can it be reset?": "1",
    "get a refund for a purchase": "2",
    "does the app run on my phone": "3",
    "cancel the subscription": "4",
    "find an old invoice": "5",
    "how many people can share the account": "6",
    "is your support team there on weekdays": "7",
    "change the address in my settings": "8",
}
ELSEWHERE = (
    "open a bank account for my people in Peru",
    "press the olives and find a press that runs",
    "how many days until the price of gold changes",
    "choose a card game for five people",
    "what time does the month end in space",
    "run a marathon in five months at my age",
)


def test_right_passages_are_told_from_wrong_ones():
    """Questions that the passages answer get more confidence than questions of common words about something else."""
    retriever = rtk.Retriever(FAQ)
    first = {question: retriever.search(question)[0] for question in ANSWERED}
    assert {question: passage.id for question, passage in first.items()} == ANSWERED
    inside = [passage.confidence for passage in first.values()]
    outside = [found[0].confidence if (found := retriever.search(question)) else 0.0 for question in ELSEWHERE]
    told = rtk.statistics.auroc([*inside, *outside], [True] * len(inside) + [False] * len(outside))
    assert told.area.value is not None
    assert told.area.value > 0.95
    assert told.informative


def test_it_falls_as_the_question_strays():
    """Each word that a passage does not know takes confidence in it away."""
    retriever = rtk.Retriever(FAQ)
    asked = "cancel my subscription"
    sure = []
    for word in ("", " for a yacht", " with anchors", " and sails"):
        asked += word
        sure.append(retriever.search(asked)[0].confidence)
    assert sure == sorted(sure, reverse=True)
    assert len(set(sure)) == len(sure)


def test_it_falls_where_another_passage_fits_as_well():
    """A passage with a twin in all but one word is less certain than one alone."""
    alone = rtk.Retriever([*FAQ, ("Is there a student discount?", "Ten percent.")])
    beside = rtk.Retriever([*FAQ[:-1], ("Is there a student discount?", "Ten percent."), ("Student discount", "No.")])
    question = "what discount does a student have"
    assert beside.search(question)[0].confidence < alone.search(question)[0].confidence


def test_the_formula_is_the_one_that_is_told():
    """For two passages and one word the confidence is the documented one, computed by hand."""
    found = rtk.Retriever(["red kite", "blue book"], language=None).search("red boat")[0]
    had, nowhere = math.log1p((2 - 1 + 0.5) / 1.5), math.log1p((2 + 0.5) / 0.5)
    agreement = had / (had + nowhere)
    expected = agreement * (1 - math.exp(-had / (2 * math.log(3))))  # alone, so the margin is 1
    assert found.confidence == pytest.approx(expected)


def test_a_question_asked_twice_in_the_source_is_not_certain():
    """Where two pairs have one question word for word, each is as likely."""
    found = rtk.Retriever([("Where?", "Here."), ("where ?", "Or there."), ("Where?", "There.")]).search("WHERE?")
    assert [(passage.answer, passage.confidence) for passage in found] == [("Here.", 0.5), ("There.", 0.5)]


def test_lower_ranks_are_never_surer():
    """Confidence in a passage without a rival ahead of it is at least that in those behind, for like titles."""
    found = rtk.Retriever(["red kite flies", "red kite", "red"], language=None).search("red kite flies")
    assert [passage.id for passage in found] == ["1", "2", "3"]
    assert found[0].confidence > found[1].confidence > found[2].confidence > 0


def test_one_passage_alone_has_a_confidence():
    """A source of a single passage is no special case."""
    found = rtk.Retriever(["the red kite"]).search("kite and eagle")
    assert [0 < passage.confidence < 1 for passage in found] == [True]
