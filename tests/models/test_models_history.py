"""DSPy's history of what is asked again: whole for who looks, and next to nothing in memory."""

import copy
import gc
import json
import tracemalloc

import dspy
import pytest
from serving import MESSAGES, QUESTION, key, numbered, over

import rtk
from rtk.testing import ScriptedServer

MEANWHILE = ("timestamp", "uuid", "usage", "cost")
PASSES, ASKS = 6, 40


@pytest.fixture
def server():
    """Each reply has two words."""
    with ScriptedServer(numbered()) as running:
        yield running


def test_an_entry_of_what_is_reused_says_what_that_of_drawing_it_said(server):
    """All but the time, the identity, and the cost: nothing was paid."""
    lm = over(server, price=(1, 1))
    for _ in range(2):
        lm(QUESTION, n=3, stop=["x"])
    drawn, again = lm.history
    assert list(again) == list(drawn)
    assert len(again) == len(drawn)
    assert {name: again[name] for name in drawn if name not in MEANWHILE} == {
        name: drawn[name] for name in drawn if name not in MEANWHILE
    }
    assert (again["usage"], again["cost"]) == ({}, 0)
    assert again["timestamp"] > drawn["timestamp"]
    assert again["uuid"] == again["uuid"] != drawn["uuid"]


def test_each_entry_has_a_time_and_an_identity_of_its_own(server):
    """Though entries of one ask share the rest."""
    lm = over(server)
    for _ in range(4):
        lm(QUESTION)
    assert len({entry["uuid"] for entry in lm.history}) == 4
    times = [entry["timestamp"] for entry in lm.history]
    assert times == sorted(times)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"n": 2}, {"n": 3, "rollout_id": 5}, {"max_tokens": 9}])
def test_entries_of_different_asks_are_not_mixed_up(server, options):
    """Another number of samples, another stream, another request: each entry tells of its own."""
    lm = over(server)
    calls = [options, {}, options, {"n": 4}, options]
    first = [lm(QUESTION, **each) for each in calls]
    again = [lm(QUESTION, **each) for each in calls]
    assert [entry["outputs"] for entry in lm.history] == [*first, *again]
    assert [entry["kwargs"] for entry in lm.history[5:]] == calls


def test_a_prompt_and_its_messages_are_told_as_they_were_given(server):
    """The two make one request, and two kinds of entry."""
    lm = over(server)
    for _ in range(2):
        lm(QUESTION)
        lm(messages=MESSAGES)
    assert [entry["prompt"] for entry in lm.history] == [QUESTION, None] * 2
    assert all(entry["messages"] == MESSAGES for entry in lm.history)


def test_logprobs_and_reasoning_are_told_again():
    """What is more than text is read back, too."""
    reply = rtk.testing.Reply("four", reasoning="2 and 2", logprobs=[{"token": "four", "logprob": -0.5}])
    with ScriptedServer(reply) as server:
        lm = over(server)
        drawn, again = lm(QUESTION, logprobs=True), lm(QUESTION, logprobs=True)
        assert lm.history[0]["outputs"] == lm.history[1]["outputs"] == drawn == again
        assert lm.history[1]["response"] == lm.history[0]["response"]


def test_what_was_removed_since_is_said_to_be_gone(server, capsys):
    """The history is no copy of the store; DSPy can still print it."""
    lm = over(server)
    for _ in range(2):
        lm(QUESTION, n=2)
    lm.store.remove(key(lm))
    assert lm.history[1]["messages"] == MESSAGES
    assert lm.history[1]["outputs"] == ["(no longer in the store)"] * 2
    lm.inspect_history()
    assert "no longer in the store" in capsys.readouterr().out


def test_a_replay_tells_from_its_recording(server, tmp_path):
    """There is no store behind it."""
    with rtk.recording(tmp_path / "a.jsonl"):
        drawn = over(server)(QUESTION, n=2)
    lm = over(server, store=tmp_path / "empty")
    with rtk.recording(tmp_path / "a.jsonl", mode="replay"):
        lm(QUESTION, n=2)
    assert lm.history[0]["outputs"] == drawn
    assert lm.store.count() == 0


def test_an_entry_becomes_a_plain_dict_and_is_shared_by_copies(server):
    """`dict(entry)` is JSON; a program is copied together with what it remembers."""
    lm = over(server)
    for _ in range(2):
        lm(QUESTION)
    entry = lm.history[-1]
    assert json.loads(json.dumps(dict(entry)))["outputs"] == ["reply 0"]
    assert repr(entry) == repr(dict(entry))
    assert copy.deepcopy({"one": entry})["one"] is entry
    with pytest.raises(KeyError):
        entry["another"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [False, True])
def test_asking_again_and_again_takes_no_memory(strategy, tmp_path):
    """An ask of 32 long texts, repeated, leaves less than half a kilobyte: an entry in the history."""
    long = "[[ ## reasoning ## ]]\n" + "so " * 400 + "\n\n[[ ## answer ## ]]\n4"
    program = rtk.SelfConsistency("question -> answer", samples=32)
    with ScriptedServer(long) as server:
        lm = over(server)
        with dspy.context(lm=lm):
            grown = growth(lambda number: program(question=f"{number}?") if strategy else lm(f"{number}?", n=32))
    assert len(lm.history) == PASSES * ASKS
    assert grown < 500


def growth(ask):
    """Bytes that an ask leaves behind, once all of them have been made before."""

    def held():
        for number in range(ASKS):
            ask(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    held(), held()
    tracemalloc.start()
    try:
        before = held()
        for _ in range(PASSES - 3):
            after = held()
    finally:
        tracemalloc.stop()
    return (after - before) / ((PASSES - 3) * ASKS)
