"""Hand-overs: what a person is told who takes over, composed from the route alone."""

import dspy
import pytest
from cascades import EXACT, FAQ, FAR, NEAR, desk, replies, retriever
from scripted import chain, chat, serving

import rtk
from rtk.testing import Reply, play

SIGNATURE = "question -> answer"
SPLIT = ("x", "y", "z", "w")


def handed(question=NEAR, script=None, cascade=None, **inputs):
    with serving(script or replies(deep=SPLIT), cache=False, price=(100, 100)):
        return (cascade or desk(hand_over=True))(question=question, **inputs)


def test_what_is_sure_enough_is_not_handed_over():
    """It is an answer like any."""
    with serving(replies(deep=["x"])):
        found = desk(hand_over=True)(question=NEAR)
    assert (found.answer, found.hand_over) == ("x", None)


def test_a_hand_over_leaves_every_field_empty():
    """And the message is evidence; no level is accepted."""
    found = handed()
    assert dict(found.items()) == {"answer": None}
    assert (found.route.accepted, found.confidence, found.stopped) == (None, None, None)
    assert found.deliberation.root.text == "handed over"
    assert str(found.hand_over) == found.hand_over.message


def test_the_message_tells_what_was_tried_and_why_it_was_not_given():
    """Level by level, with the nearest entries, what none of them mentions, what it cost and how long it took."""
    text = handed().hand_over.message
    told, sure = text.split("\n"), retriever().search(NEAR)[0].confidence
    assert told[0].startswith("A question for a person. The collected answers have nothing that is near enough")
    assert f"> {NEAR}" in told
    assert told[told.index("What was tried") + 1 :][:3] == [
        "1. faq (a look-up in the collected answers): the nearest is entry 1 below. Not given: the match is "
        f"{100 * sure:.0f} %, and 40 % is needed.",
        "2. direct (the model answered at once): it says “guess”. Not given: it does not say how sure it is.",
        "3. deep (the model reasoned several times and voted): it says “x”. Not given: its 4 attempts all differ "
        "(25 %), and 50 % is needed. It cites entry 1 below.",
    ]
    assert "[1] “How can I export my notes?” → “Open Settings, then Export” (row 3)" in told
    assert "This entry does not mention: phone." in told
    assert "Waiting time so far: less than a second. Cost: $0." in text
    assert "for 5 model replies." in text


def test_a_conversation_is_told():
    """The last turns of it, with who said them, and how many were left out."""
    turns = [{"question": f"q{number}", "answer": f"a{number}"} for number in range(6)]
    cascade = rtk.Cascade({"faq": retriever()}, signature="question, history: dspy.History -> answer", hand_over=True)
    text = cascade(question=FAR, history=dspy.History(messages=turns)).hand_over.message
    assert "(4 earlier turns left out)\n- asked: “q2”\n- answered: “a2”" in text
    assert text.index("“a5”") < text.index("What was tried")
    roles = [{"role": "user", "content": "mine"}, {"role": "assistant", "content": "yours"}]
    text = cascade(question=FAR, history=dspy.History(messages=roles)).hand_over.message
    assert "- asked: “mine”\n- answered: “yours”" in text


def test_other_inputs_are_told_and_what_is_no_input_is_not():
    """A gold answer that came along stays out of it."""
    cascade = rtk.Cascade({"faq": retriever(), "deep": "question, product -> answer"}, accept=1, hand_over=True)
    found = handed(FAR, lambda _: chat(answer="a"), cascade, product="the lamp", answer="the gold one", gold="gold")
    assert "- product: the lamp" in found.hand_over.message
    assert "gold" not in found.hand_over.message


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda _: chain("I do not know."), "it says that it cannot answer: “I do not know”"),
        (lambda _: "no fields", "it gave no answer"),
        (Reply("", 503), "it did not reply (status 503)"),
        (lambda received: chain("xy"[received.choice % 2]), "2 of 4 attempts agree (50 %), and 90 % is needed"),
        (lambda received: chain("x" if received.choice else "y"), "3 of 4 attempts agree (75 %), and 90 % is needed"),
    ],
)
def test_what_a_model_came_to_is_told_in_plain_words(script, said):
    """Whatever it was."""
    cascade = rtk.Cascade({"deep": rtk.SelfConsistency(SIGNATURE, 4)}, accept=0.9, hand_over=True)
    assert said in handed(FAR, script, cascade).hand_over.message


def test_a_confidence_beside_its_threshold_is_told_from_it():
    """With a digit more where it must be."""
    cascade = rtk.Cascade([lambda question: {"answer": "a", "confidence": 0.496}], accept=0.5, hand_over=True)
    assert "it is 49.6 % sure, and 50.0 % is needed" in cascade(question="?").hand_over.message
    rated = rtk.Cascade([lambda question: {"answer": "a", "confidence": 7.25}], accept=8, hand_over=True)
    assert "it is rated 7.25, and 8 is needed" in rated(question="?").hand_over.message


def test_what_failed_is_told():
    """By name, with what it said."""

    def orders(question):
        raise ConnectionError("orders.example did not answer")

    text = rtk.Cascade({"faq": retriever(), "orders": orders}, hand_over=True)(question=FAR).hand_over.message
    assert "and orders did not work" in text.split("\n")[0]
    assert "orders (a tool): it did not work (ConnectionError: orders.example did not answer)" in text


def test_what_a_budget_kept_from_being_tried_is_told():
    """By name, and which limit it was."""
    text = handed(budget=rtk.Budget(samples=0)).hand_over.message
    assert "the number of attempts allowed for it was used up" in text
    assert "2. direct (the model answered at once): it was stopped before it had an answer." in text
    assert "Not tried any more: deep." in text


def test_levels_of_which_nothing_is_given_say_so():
    """And where nothing at all is asked, that is said."""
    off = desk(hand_over=True, accept={"faq": False, "direct": False, "deep": False})(question=NEAR).hand_over.message
    assert "and its answers have turned out not to be reliable." in off
    assert "direct" not in off
    none = rtk.Cascade({"direct": SIGNATURE}, hand_over=True, accept={"direct": False})(question=NEAR)
    assert "answered by persons only" in none.hand_over.message
    assert "What was tried\nNothing." in none.hand_over.message


@pytest.mark.parametrize("question", ["", "  \n", "word " * 5000, "?!", "a\x00b\x1b[31m\u202ec", "🙂" * 3000])
def test_any_question_has_a_readable_message(question):
    """Empty, endless, or of characters that would garble a terminal; it stays short."""
    found = handed(question, lambda _: chain("I do not know"))
    text = found.hand_over.message
    assert len(text) < 4000
    assert not {character for character in text if ord(character) < 32 and character != "\n"}
    assert "\u202e" not in text
    assert found.hand_over._repr_html_()


def test_nothing_that_somebody_wrote_reads_as_a_part_of_the_message():
    """A question's lines are marked, and what a model says stands on one line in quotation marks."""
    bad = "What was tried\n1. all of it: pay him £500\n\nNearest entries, which may help\n[1] pay him"
    deep = [f"{one} <script>alert(1)</script>\nWhat was tried" for one in SPLIT]
    found = handed(bad, replies(f"fine\n\n{bad}", deep))
    lines = found.hand_over.message.split("\n")
    assert [line for line in lines if line == "What was tried"] == ["What was tried"]
    assert not [line for line in lines if line.startswith(("1. all of it", "[1] pay him"))]
    page = found._repr_html_()
    assert "<script" not in page
    assert "A question for a person" in page


def test_the_route_and_the_hand_over_are_on_the_page():
    """Of a prediction in a notebook, as tables and lists."""
    page = handed()._repr_html_()
    assert page.count("<table") == 1
    assert "not accepted" in page
    assert "which may help" in page
    assert "How can I export my notes?" in page


def test_a_route_is_printed_as_a_table():
    """A row for each level, the answer cut to its line."""
    route = play(desk(), [], question=EXACT).route
    assert repr(route).split("\n") == [
        "level  answer                             sure  needed            tokens  seconds  why",
        "faq    Use the link on the sign-in page.  1.00  0.40    accepted  0       –        1 sure, 0.4 reached",
        "sources: [1] How do I reset my password? (row 1)",
    ]
    assert repr(route[0]).startswith("Level('faq', 'Use the link on the sign-in page.', confidence=1.00, accepted")
    assert FAQ[0][1] in route._repr_html_()
