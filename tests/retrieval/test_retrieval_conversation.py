"""Questions that lean on what was asked before."""

import dspy
import pytest

import rtk
from rtk.errors import RetrievalError

FAQ = [
    ("How do I cancel my subscription?", "Under Billing, press Cancel."),
    ("How do I cancel my subscription on the phone app without a computer?", "Tap Plan."),
    ("Which languages does the phone app speak?", "Twelve of them."),
    ("How do I reset my password?", "Open Settings and press Reset."),
    ("Do you deliver on a Sunday?", "Only by bicycle."),
]


def said(*turns):
    return dspy.History(messages=[{"question": turn, "answer": "Under Billing."} for turn in turns])


def first(question, history=None):
    found = rtk.Retriever(FAQ).search(question, history=history)
    return found[0].id if found else None


def test_a_follow_up_is_found_with_what_came_before():
    """A question too short to stand alone is searched for together with the turns before it."""
    assert first("and on the phone app?") == "3"
    assert first("and on the phone app?", said("I want to cancel my subscription")) == "2"
    assert first("how?") is None
    assert first("how?", said("I want to reset my password")) == "4"


def test_a_question_of_its_own_is_left_alone():
    """A question with enough of its own is searched for as if nothing had been said before."""
    retriever = rtk.Retriever(FAQ)
    question = "does the phone app speak other languages"
    assert retriever.search(question, history=said("reset my password")) == retriever.search(question)


def test_the_question_weighs_more_than_what_came_before():
    """A change of subject wins over earlier turns, and the last turn over those before it."""
    assert first("and my password?", said("cancel my subscription")) == "4"
    assert first("how?", said("reset my password", "cancel my subscription")) == "1"


def test_what_rests_on_earlier_turns_is_less_sure():
    """A question that says nothing itself gives less confidence than the turn that it leans on."""
    retriever = rtk.Retriever(FAQ)
    alone = retriever.search("reset password")[0]
    later = retriever.search("how?", history=said("reset password"))[0]
    assert (alone.id, later.id) == ("4", "4")
    assert later.confidence < alone.confidence


@pytest.mark.parametrize(
    "history",
    [
        ["reset my password"],
        ("reset my password",),
        [{"role": "user", "content": "reset my password"}, {"role": "assistant", "content": "cancel a subscription"}],
        [{"role": "user", "content": [{"type": "text", "text": "reset my password"}]}],
        [{"query": "reset my password", "answer": "cancel a subscription"}],
        [{"said": "reset my password", "answer": "cancel a subscription"}],
        dspy.History(messages=[{"question": "reset my password", "answer": None}]),
    ],
)
def test_conversations_come_in_many_forms(history):
    """A history, its messages, a chat's messages and plain texts say the same; only what the user said counts."""
    assert first("how?", history) == "4"


@pytest.mark.parametrize("history", [None, [], dspy.History(messages=[]), [""], [{"question": None}], [{}]])
def test_no_conversation_is_no_help(history):
    """Without anything said before, a follow-up is a question like any other."""
    assert first("how?", history) is None


@pytest.mark.parametrize("history", ["text", {"question": "text"}, 3, [3], [["a"]]])
def test_what_is_no_conversation_is_an_error(history):
    """Anything else is refused, with what a conversation is."""
    with pytest.raises(RetrievalError, match="history=") as refused:
        rtk.Retriever(FAQ).search("how?", history=history)
    assert refused.value.mend


def test_a_program_passes_its_history_on():
    """Called as a module, a retriever takes the conversation as an input."""
    pred = rtk.Retriever(FAQ)(question="how?", history=said("reset my password"))
    assert pred.answer == "Open Settings and press Reset."


def test_embeddings_see_the_earlier_turns():
    """What is embedded of a follow-up is the turns that it leans on and the question, oldest first."""
    seen = []

    def embed(texts):
        seen.append(texts)
        return [[1.0, len(text)] for text in texts]

    retriever = rtk.Retriever(FAQ, search="embeddings", embed=embed)
    retriever.search("how?", history=said("reset my password"))
    assert seen[1] == ["reset my password\nhow?"]
