"""Patience: how often a request is asked again, how long it waits in between, and when it is too late."""

import asyncio
import math

import dspy
import pytest
from serving import QUESTION, numbered, over, stored

import rtk
from rtk.errors import EndpointError, ModelError, SampleError
from rtk.models.retries import Retries
from rtk.testing import Reply, ScriptedServer, faults

WAYS = pytest.mark.parametrize(
    ("wire", "transport"), [("openai", "direct"), ("ollama", "direct"), ("openai", "litellm"), ("ollama", "litellm")]
)
NOW = {"Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
ASKED = [
    Reply("slow down", status=429, headers={"Retry-After": "7"}),
    Reply("slow down", status=429, headers={"Retry-After": "0.5"}),
    Reply("loading", status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT", **NOW}),
    Reply("loading", status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", **NOW}),
    Reply("loading", status=503, headers={"Retry-After": "soon"}),
    Reply("no", status=500),
]
"""Waits of 7 and 0.5 seconds, until 9 seconds after the reply's own date, until a moment that is past, and two that say
nothing."""


@pytest.fixture
def waits(monkeypatch):
    """What the server asked before each wait; nothing is waited for."""
    asked = []
    monkeypatch.setattr(Retries, "wait", lambda self, attempt, seconds: asked.append((attempt, seconds)) or 0.0)
    return asked


@WAYS
def test_a_server_that_names_its_wait_is_obeyed(wire, transport, waits):
    """`Retry-After` is the wait, as a number and as a date; without it the wait is our own."""
    with ScriptedServer([*ASKED, "yes"], wire=wire) as server:
        assert over(server, transport=transport, num_retries=6)(QUESTION) == ["yes"]
    assert waits == list(enumerate([7.0, 0.5, 9.0, 0.0, None, None]))


def test_waits_are_drawn_below_a_bound_that_doubles_up_to_half_a_minute():
    """Full jitter: anything from 0 to the bound."""
    retries = Retries(attempts=9)
    for attempt, bound in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30]):
        waits = [retries.wait(attempt, None) for _ in range(200)]
        assert 0 <= min(waits) <= max(waits) <= bound
        assert max(waits) > bound / 2


def test_a_wait_that_was_asked_for_is_never_cut_short():
    """It is drawn out a little, so that not all who were told the same come back at the same moment."""
    waits = [Retries().wait(0, 100.0) for _ in range(100)]
    assert 100 <= min(waits) < max(waits) <= 125
    assert Retries().wait(5, 0.0) == 0.0


def test_a_server_that_asks_for_an_hour_is_not_asked_again(waits):
    """It would refuse before that; what is to be done is the user's to say."""
    later = Reply("quota for today is used", status=429, headers={"Retry-After": "3600"})
    with ScriptedServer([later, "yes"]) as server:
        with pytest.raises(SampleError, match="status_429"):
            over(server)(QUESTION)
        assert server.count == 1
    assert waits == []


@pytest.mark.parametrize("setting", [{"num_retries": 0}, {"retries": 0}, {"retries": 0, "num_retries": 5}], ids=str)
@WAYS
def test_no_retries_ask_once(wire, transport, setting):
    """`num_retries` as of `dspy.LM`, and `retries` for short; the shorter counts where both are given."""
    with ScriptedServer(Reply("no", status=500), wire=wire) as server:
        with pytest.raises(SampleError):
            over(server, transport=transport, **setting)(QUESTION)
        assert server.count == 1


def test_retries_are_saved_and_cannot_differ_on_a_call_or_a_copy():
    """They are the model's own."""
    with ScriptedServer("yes") as server:
        lm = over(server, retries=7, deadline=50)
        assert (lm.num_retries, lm.dump_state()["num_retries"], lm.dump_state()["deadline"]) == (7, 7, 50)
        for name in ("retries", "num_retries", "deadline"):
            for wrong in (lambda name=name: lm(QUESTION, **{name: 1}), lambda name=name: lm.copy(**{name: 1})):
                with pytest.raises(ModelError, match=name):
                    wrong()
        assert server.count == 0


@pytest.mark.parametrize(
    "wrong",
    [{"retries": -1}, {"num_retries": 1.5}, {"deadline": 0}, {"deadline": math.inf}, {"deadline": "soon"}],
    ids=str,
)
def test_a_patience_that_cannot_be_is_refused(wrong):
    """When the LM is made."""
    with pytest.raises(ModelError) as caught:
        rtk.LM("openai/any", api_base="http://127.0.0.1:1/v1", **wrong)
    assert caught.value.mend


# --- the deadline of a sample ---


@WAYS
def test_a_reply_that_takes_longer_than_the_deadline_is_a_timeout(wire, transport):
    """Whatever a single try may take; it is not asked again, and its siblings come."""
    script = {"slow": Reply(delay=math.inf), "quick": "yes"}
    with ScriptedServer(script, wire=wire) as server:
        lm = over(server, transport=transport, deadline=0.3)
        with pytest.raises(SampleError, match=r"deadline of 0\.3 s") as caught:
            lm("slow")
        assert (caught.value.kind, server.count) == ("timeout", 1)
        assert "deadline=" in caught.value.mend
        assert lm("quick", n=2) == ["yes", "yes"]


@WAYS
def test_waits_between_tries_count_towards_the_deadline(wire, transport):
    """A wait that would end behind it is not begun; the reason names the fault that was waited for."""
    busy = Reply("slow down", status=429, headers={"Retry-After": "60"})
    with ScriptedServer([busy, "yes"], wire=wire) as server:
        with pytest.raises(SampleError) as caught:
            over(server, transport=transport, deadline=20)(QUESTION)
        assert server.count == 1
    assert (caught.value.kind, "status_429: slow down" in str(caught.value)) == ("timeout", True)


def test_further_tries_share_one_deadline(no_waiting):
    """A server that fails for ever is asked until the deadline, however many tries are allowed."""
    with ScriptedServer(Reply("no", status=500, delay=0.02)) as server:
        with pytest.raises(SampleError, match="deadline") as caught:
            over(server, deadline=0.3, num_retries=10_000)(QUESTION)
        assert server.count > 1
    assert caught.value.kind == "timeout"


def test_a_batch_has_one_deadline_for_all_its_samples():
    """It is not asked for one by one afterwards, for as long again."""
    with ScriptedServer(lambda received: Reply(delay=math.inf)) as server:
        with pytest.raises(SampleError) as caught:
            over(server, deadline=0.3)(QUESTION, n=8)
        assert [received.n for received in server.requests] == [8]
    assert caught.value.kind == "timeout"


def test_waiting_for_a_place_does_not_count():
    """Twelve samples, one at a time, each within its deadline, are all drawn."""
    with ScriptedServer(Reply("yes", delay=0.05)) as server:
        assert len(over(server, deadline=0.5, concurrency=1, server_n=False)(QUESTION, n=12)) == 12


async def test_a_deadline_leaves_no_request_behind():
    """What is too late is cancelled at the server too."""
    with ScriptedServer(Reply(delay=math.inf)) as server:
        with pytest.raises(SampleError):
            await over(server, deadline=0.2, server_n=False).acall(QUESTION, n=4)
        await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)


# --- what no retry mends ---


@WAYS
@pytest.mark.parametrize(
    "refusal",
    [
        Reply("Insufficient Balance", status=402),
        Reply("You exceeded your current quota: insufficient_quota", status=429),
    ],
    ids=lambda reply: str(reply.status),
)
def test_an_account_without_credit_is_the_endpoints_error(wire, transport, refusal):
    """Asking again costs nothing and brings nothing."""
    with ScriptedServer(refusal, wire=wire) as server:
        with pytest.raises(EndpointError, match="no credit") as caught:
            over(server, transport=transport)(QUESTION, n=4)
        assert server.count == 1 or wire == "ollama"
    assert "add credit" in caught.value.mend


# --- replies that were lost on the way ---


@WAYS
@pytest.mark.parametrize(
    "fault", [Reply("never read", cut=True), Reply(body=b'{"mess'), Reply(delay=math.inf)], ids=str
)
def test_a_reply_that_was_lost_is_counted(wire, transport, fault, no_waiting):
    """It may have been generated and billed though nothing arrived; the sample itself comes at the second try."""
    with ScriptedServer([fault, "yes"], wire=wire) as server, rtk.Budget() as meter:
        timeout = 0.3 if fault.delay else 60
        assert over(server, transport=transport, timeout=timeout)(QUESTION) == ["yes"]
    assert (meter.spent.lost, meter.spent.samples, meter.spent.failed) == (1, 1, 0)
    assert "1 lost" in str(meter.spent)


@WAYS
@pytest.mark.parametrize("fault", [Reply("no", status=500), Reply("wait", status=429), Reply(body=b"[1]")], ids=str)
def test_a_refusal_is_no_lost_reply(wire, transport, fault, no_waiting):
    """Nothing was generated."""
    with ScriptedServer([fault, "yes"], wire=wire) as server, rtk.Budget() as meter:
        over(server, transport=transport)(QUESTION)
    assert meter.spent.lost == 0
    assert "lost" not in str(meter.spent)


def test_the_lost_replies_of_a_strategy_are_told_on_its_prediction(no_waiting):
    """As many as the server broke off, with those of a batch counted each."""
    script = faults("answer: 4", rate=0.4, kinds=("truncated", "reset"), seed=2)
    with ScriptedServer(script) as server:
        lm = over(server, num_retries=20, server_n=False)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            pred = rtk.SelfConsistency(dspy.Predict("question -> answer"), 12)(question="?")
    assert pred.spent.lost == sum(script.given.values()) > 0
    assert pred.spent.samples == 12


def test_the_lost_replies_of_a_batch_are_as_many_as_its_samples(no_waiting):
    """All of them were on the way."""
    with ScriptedServer([Reply(cut=True), *["yes"] * 8]) as server, rtk.Budget() as meter:
        lm = over(server)
        assert lm(QUESTION, n=4) == ["yes"] * 4
    assert (meter.spent.lost, len(stored(lm, 4))) == (4, 4)


def test_a_replay_loses_nothing(no_waiting, tmp_path):
    """What a recording gives comes from no server."""
    with ScriptedServer([Reply(cut=True), *numbered_texts()]) as server:
        lm = over(server)
        with rtk.recording(tmp_path / "study.jsonl"), rtk.Budget() as live:
            lm(QUESTION, n=2)
        with rtk.recording(tmp_path / "study.jsonl", mode="replay"), rtk.Budget() as again:
            lm(QUESTION, n=2)
    assert (live.spent.lost, again.spent.lost) == (2, 0)


def numbered_texts():
    return [text for text, _ in zip(numbered(), range(8), strict=False)]
