"""The view of a vote: what it is told to show."""

import dspy
import pytest
from boards import SIGNATURE, answers, chain, model

import rtk
from rtk.testing import ScriptedServer
from rtk.widgets import VoteView


@pytest.fixture
def server():
    with ScriptedServer(answers("a", "b", "b")) as running:
        yield running


def test_a_view_of_a_vote_counts_what_it_does_not_show(server):
    """Twelve answers are shown, the others counted; shares are of those who voted."""
    many = [chain(f"answer {i % 20}") if i < 30 else "no idea" for i in range(32)]
    with ScriptedServer(many) as crowded, dspy.context(lm=model(crowded)):
        found = rtk.SelfConsistency(SIGNATURE, samples=32)(question="?")
    shown = VoteView()
    assert shown.state == {"status": "idle"}
    shown.show(found)
    state = shown.state
    assert (len(state["votes"]), state["status"], state["headline"]) == (12, "done", "answer 0")
    assert state["votes"][0] == {"answer": "answer 0", "count": "2 of 30 · 7%", "share": 2 / 30, "chosen": True}
    assert state["foot"].startswith("8 other answers · margin 0.00 · confidence 0.07")
    assert state["foot"].endswith("2 malformed")
    shown.show(None, "running", "")
    assert shown.state == {"status": "running", "headline": "", "votes": [], "foot": ""}


def test_a_mean_that_nobody_gave_has_no_bar_of_its_own(server):
    """No answer is marked as chosen."""
    with ScriptedServer([chain(number) for number in (1, 2, 6)]) as numbers, dspy.context(lm=model(numbers)):
        found = rtk.SelfConsistency(SIGNATURE, samples=3, vote="mean")(question="?")
    shown = VoteView()
    shown.show(found)
    assert [vote["chosen"] for vote in shown.state["votes"]] == [False] * 3
    assert shown.state["headline"] == "3"
