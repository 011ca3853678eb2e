"""Recordings around calls: where each sample comes from, and a replay that needs no endpoint, key, store or weights."""

import asyncio
import contextlib
import sys
import threading

import dspy
import pytest
from dspy.utils import DummyLM
from serving import QUESTION, Anything, numbered, over

import rtk
from rtk.errors import EndpointError, NotRecorded, SampleError, ServedModelChanged
from rtk.models import Completion
from rtk.store import SampleStore
from rtk.testing import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_in_force")


@pytest.fixture
def server():
    with ScriptedServer(numbered()) as running:
        yield running


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No connection is opened, and no store can be; call it once what was recorded is on the disk."""
    opened = []

    def refuse(self, address):
        opened.append(address)
        raise ConnectionRefusedError("a replay opens no connection")

    def begin():
        (tmp_path / "no store").touch()
        monkeypatch.setenv("RTK_CACHE", str(tmp_path / "no store"))
        monkeypatch.setattr("socket.socket.connect", refuse)
        monkeypatch.setattr("socket.socket.connect_ex", refuse)

    yield begin
    assert opened == []


def nowhere(**settings):
    """The same model for a colleague who has neither the endpoint nor the key."""
    return rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none", **settings)


def recorded(server, ask, mode="auto", **settings):
    with rtk.recording("study", mode):
        return ask(over(server, **settings))


def replayed(ask, **settings):
    with rtk.recording("study", mode="replay"):
        return ask(nowhere(**settings))


# --- from where ---


def test_auto_takes_from_the_file_then_the_store_then_the_model(server, tmp_path):
    """Two were stored, two more are drawn; with another store four are in the file, and only the rest is drawn."""
    assert over(server)(QUESTION, n=2) == ["reply 0", "reply 1"]
    assert recorded(server, lambda lm: lm(QUESTION, n=4)) == [f"reply {i}" for i in range(4)]
    assert server.choices_served == 4
    found = recorded(server, lambda lm: lm(QUESTION, n=6), store=tmp_path / "empty")
    assert found == [f"reply {i}" for i in range(6)]
    assert server.choices_served == 6
    assert len(rtk.recording("study", mode="replay")) == 6


def test_what_the_file_holds_wins_over_the_store(server, tmp_path):
    """A colleague's own sample at that address is left where it is."""
    recorded(server, lambda lm: lm(QUESTION))
    mine = over(server, store=tmp_path / "mine")
    assert mine(QUESTION) == ["reply 1"]
    with rtk.recording("study"):
        assert mine(QUESTION, n=2) == ["reply 0", "reply 2"]
    assert mine(QUESTION) == ["reply 1"]


def test_record_keeps_only_what_was_asked_for(server):
    """Of three requests one is asked again: drawn from the file, and the others are gone from it."""
    recorded(server, lambda lm: [lm(f"{i}?", n=2) for i in range(3)])
    assert recorded(server, lambda lm: lm("1?"), mode="record") == ["reply 2"]
    assert server.choices_served == 6
    assert len(rtk.recording("study", mode="replay")) == 1
    assert replayed(lambda lm: lm("1?")) == ["reply 2"]


def test_nothing_is_recorded_outside(server):
    """Neither before nor after the block, nor by a thread of one's own, which does not inherit it."""
    lm = over(server)
    lm("before")
    with rtk.recording("study"):
        lm("inside")
        thread = threading.Thread(target=lm, args=("in a thread",))
        thread.start()
        thread.join()
    lm("after")
    assert len(rtk.recording("study", mode="replay")) == 1


def test_a_plain_call_records_in_every_thread(server):
    """As callbacks of controls need it."""
    standing, lm = rtk.recording("study"), over(server)
    thread = threading.Thread(target=lm, args=("in a thread",))
    thread.start()
    thread.join()
    asyncio.run(lm.acall("on a loop"))
    standing.stop()
    lm("after")
    assert replayed(lambda lm: [*lm("in a thread"), *lm("on a loop")]) == ["reply 0", "reply 1"]
    assert len(standing) == 2


def test_only_the_innermost_records(server):
    """A recording within a recording has what was asked inside it, and the outer one has not."""
    with rtk.recording("outer") as outer:
        over(server)("one")
        with rtk.recording("inner") as inner:
            over(server)("two")
            over(server)("one")
    assert (len(outer), len(inner)) == (1, 2)


# --- a replay is the run ---

ASKS = {
    "one": lambda lm: lm(QUESTION),
    "several": lambda lm: lm(QUESTION, n=4),
    "again": lambda lm: [lm(QUESTION, n=2), lm(QUESTION, n=3), lm(QUESTION)],
    "awaited": lambda lm: asyncio.run(lm.acall(QUESTION, n=3)),
    "greedy": lambda lm: lm(QUESTION, n=3, temperature=0),
    "rollout_id": lambda lm: [lm(QUESTION, rollout_id=1), lm(QUESTION, rollout_id=2), lm.copy(rollout_id=3)(QUESTION)],
    "seed": lambda lm: lm(QUESTION, n=3, seed=7),
    "uncached call": lambda lm: [lm(QUESTION, cache=False), lm(QUESTION, cache=False)],
    "messages": lambda lm: lm(messages=[{"role": "system", "content": "é\u2028"}, {"role": "user", "content": "?"}]),
}  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"cache": False}, {"server_n": False}, {"transport": "litellm"}], ids=str)
@pytest.mark.parametrize("ask", ASKS)
def test_a_replay_gives_what_the_run_gave(server, offline, ask, settings):
    """With the endpoint gone, no store, another key: the same texts, however they were asked for."""
    texts = recorded(server, ASKS[ask], **settings)
    server.stop()
    offline()
    assert replayed(ASKS[ask], **settings) == texts


def test_a_replay_gives_a_part_of_what_the_run_gave(server, offline):
    """Eight were recorded: four of them are the first four."""
    eight = recorded(server, lambda lm: lm(QUESTION, n=8))
    offline()
    assert replayed(lambda lm: lm(QUESTION, n=4)) == eight[:4]


def test_replicates_are_streams_of_their_own(server, offline):
    """Each replays its own samples, and one that was not drawn is not recorded."""

    def ask(lm, numbers=(0, 2)):
        texts = []
        for number in numbers:
            with rtk.replicate(number):
                texts += lm(QUESTION, n=2)
        return texts

    texts = recorded(server, ask)
    offline()
    assert replayed(ask) == texts == [f"reply {i}" for i in range(4)]
    with pytest.raises(NotRecorded, match=r"stream 1 .* samples of streams 0, 2\."):
        replayed(lambda lm: ask(lm, [1]))


def test_a_sample_comes_back_whole(offline):
    """Reasoning, log-probabilities, tokens and the reason of its end."""
    logprobs = [{"token": "four", "logprob": -0.5}]
    reply = Reply("four", reasoning="2 + 2", finish_reason="length", logprobs=logprobs, completion_tokens=9)
    with ScriptedServer(reply) as server:
        told = recorded(server, lambda lm: (lm(QUESTION, logprobs=True), lm.history[-1]["usage"]))
    offline()
    again = replayed(lambda lm: (lm(QUESTION, logprobs=True), lm.history[-1]))
    assert again[0] == told[0]
    assert told[0][0]["reasoning_content"] == "2 + 2"
    assert told[1]["completion_tokens"] == 9


@pytest.mark.parametrize("kind", ["dspy.LM", "DummyLM"])
@pytest.mark.parametrize("cache", [True, False])
def test_other_lms_are_replayed_too(server, offline, kind, cache):
    """Wrapped by `rtk.LM.of`, they make the calls when recorded, and none in a replay."""

    def other():
        if kind == "DummyLM":
            return rtk.LM.of(DummyLM([{"answer": "one"}, {"answer": "two"}]), cache=cache)
        lm = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False)
        return rtk.LM.of(lm, cache=cache)

    with rtk.recording("study"):
        texts = other()(QUESTION, n=2)
    server.stop()
    offline()
    with rtk.recording("study", mode="replay"):
        assert other()(QUESTION, n=2) == texts
    assert len(set(texts)) == 2


class Parrot:
    """A transport that says the place of each sample."""

    many, most = True, 8

    async def complete(self, request, addresses):
        return [Completion(f"{address.stream}:{address.index}") for address in addresses]

    async def close(self):
        """Nothing to close."""


def test_the_embedded_model_needs_no_weights_in_a_replay(offline, tmp_path, monkeypatch):
    """On a machine with neither the weights nor xllamacpp."""
    monkeypatch.setenv("RTK_MODELS", str(tmp_path / "no models"))
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with rtk.recording("study"):
        texts = rtk.LM("embedded").through(Parrot())(QUESTION, n=3)
    offline()
    with rtk.recording("study", mode="replay"):
        assert rtk.LM("embedded")(QUESTION, n=3) == texts == ["0:0", "0:1", "0:2"]
        with pytest.raises(NotRecorded, match=r"'embedded'.*holds 3 samples, the last at index 2"):
            rtk.LM("embedded")(QUESTION, n=4)


async def test_samples_of_one_address_drawn_side_by_side_are_one(server):
    """Two calls of an LM that keeps nothing are under way for the same address: both are given what is recorded."""
    lm = over(server, cache=False)
    with rtk.recording("study"), server.hold():
        tasks = [asyncio.create_task(lm.acall(QUESTION, n=2)) for _ in range(3)]
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 3)
        server.release()
        texts = await asyncio.gather(*tasks)
    assert texts[0] == texts[1] == texts[2]
    assert replayed(lambda lm: lm(QUESTION, n=2)) == texts[0]


# --- what did not come ---


def first_fails(received):
    return Reply("out of order", status=400) if received.index == 0 else f"reply {received.index}"


def what_came(lm, count):
    """The texts of an ask of which one did not come, and what is said of that."""
    with pytest.raises(SampleError) as caught:
        lm(QUESTION, n=count)
    return [one.text for one in caught.value.arrived], str(caught.value)


def test_what_failed_fails_again_and_its_siblings_come():
    """One of four did not come: live and replayed the same three texts, with the same kind of loss."""
    with ScriptedServer(first_fails) as server:
        live = recorded(server, lambda lm: what_came(lm, 4), server_n=False, concurrency=1)
    again = replayed(lambda lm: what_came(lm, 4))
    for texts, said in (live, again):
        assert texts == ["reply 1", "reply 2", "reply 3"]
        assert said.startswith("1 of 4 samples of openai/scripted did not come (status_400")


@pytest.mark.parametrize(
    "reply", [Reply("no", status=400), Reply("no", status=500), Reply(cut="start"), Reply(body=b"?")]
)
def test_where_nothing_came_nothing_comes(reply, no_waiting):
    """The same error, of the same kind."""
    with ScriptedServer(reply) as server:
        with pytest.raises(SampleError) as live:
            recorded(server, lambda lm: lm(QUESTION, n=2), num_retries=1)
        asked = server.count
        with pytest.raises(SampleError) as again:
            replayed(lambda lm: lm(QUESTION, n=2))
        assert server.count == asked
    assert again.value.kind == live.value.kind
    assert again.value.mend == live.value.mend


def test_what_failed_is_asked_for_again_in_auto():
    """And what comes then takes the failure's place; what fails again stays failed."""
    with ScriptedServer(first_fails) as server:
        one_by_one = {"server_n": False, "concurrency": 1}
        assert len(recorded(server, lambda lm: what_came(lm, 2), **one_by_one)[0]) == 1
        assert len(recorded(server, lambda lm: lm(QUESTION, n=2), **one_by_one)) == 2
        assert server.count == 3
    assert replayed(lambda lm: lm(QUESTION, n=2)) == ["reply 2", "reply 1"]


def test_an_endpoint_that_cannot_be_reached_is_told_with_what_the_file_lacks(server):
    """In `auto`, as a colleague without the model meets it: the error has a note of why it was asked at all."""
    recorded(server, lambda lm: lm(QUESTION))
    with rtk.recording("study"):
        assert nowhere(num_retries=0)(QUESTION) == ["reply 0"]
        for lm in (nowhere(num_retries=0), over(server, api_key="", num_retries=0)):
            server.stop()
            with pytest.raises(EndpointError) as caught:
                lm("What is 2 + 3?")
            (note,) = [note for note in caught.value.__notes__ if "does not hold it either" in note]
            assert "2 + 2" in note
            assert "2 + 3" in note


# --- another model ---


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_another_model_under_the_name_is_an_error(tmp_path, cache, n):
    """Where the file's samples and a new one are not of one model; what is recorded stays as it is."""
    with ScriptedServer(numbered(), served_model="one") as server:
        recorded(server, lambda lm: lm(QUESTION, n=n), cache=cache)
        server.served_model = "two"
        with pytest.raises(ServedModelChanged) as caught:
            recorded(server, lambda lm: lm(QUESTION, n=n + 2), cache=cache, store=tmp_path / "new")
        assert 'revision="two"' in caught.value.mend
        assert len(recorded(server, lambda lm: lm(QUESTION, n=2), cache=cache, revision="two")) == 2
    assert replayed(lambda lm: lm(QUESTION, n=n)) == [f"reply {i}" for i in range(n)]
    with pytest.raises(NotRecorded):
        replayed(lambda lm: lm(QUESTION, n=n + 1))


def test_another_model_in_the_store_is_an_error_too(tmp_path):
    """The file's first sample is of one model, and the store's are of another."""
    with ScriptedServer(numbered(), served_model="one") as server:
        recorded(server, lambda lm: lm(QUESTION))
        server.served_model = "two"
        store = SampleStore(tmp_path / "two")
        over(server, store=store)(QUESTION, n=2)
        for n in (2, 3):
            with pytest.raises(ServedModelChanged):
                recorded(server, lambda lm, n=n: lm(QUESTION, n=n), store=store)


# --- what is swallowed ---


@pytest.mark.parametrize("threads", [1, 4])
def test_an_evaluation_does_not_score_what_is_not_recorded(server, threads):
    """`dspy.Evaluate` counts every exception as a zero; a replay that lacks an answer ends it instead."""
    devset = [dspy.Example(question=f"{i}?", answer="yes").with_inputs("question") for i in range(6)]
    evaluate = dspy.Evaluate(devset=devset, metric=lambda example, pred: 1.0, num_threads=threads)
    program = dspy.Predict("question -> answer")
    with dspy.context(lm=over(server), adapter=Anything()), rtk.recording("study"):
        for example in devset[:2]:
            program(**example.inputs())
    replay = rtk.recording("study", mode="replay")
    with dspy.context(lm=nowhere(), adapter=Anything()), pytest.raises(NotRecorded), replay:
        evaluate(program)


def test_an_optimizer_does_not_pass_over_what_is_not_recorded(server):
    """`BootstrapFewShot` goes on after an exception, with fewer demonstrations than there were."""
    trainset = [dspy.Example(question=f"{i}?", answer="yes").with_inputs("question") for i in range(3)]
    optimizer = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=3, max_labeled_demos=0)
    program = dspy.Predict("question -> answer")
    with dspy.context(lm=over(server), adapter=Anything()), rtk.recording("study"):
        optimizer.compile(program, trainset=trainset[:1])
    replay = rtk.recording("study", mode="replay")
    with dspy.context(lm=nowhere(), adapter=Anything()), pytest.raises(NotRecorded), replay:
        optimizer.compile(program, trainset=trainset)


def test_a_block_warns_of_what_was_swallowed(server, caplog):
    """Where something between catches even that, the log says that samples were lacking."""
    recorded(server, lambda lm: lm(QUESTION))
    with rtk.recording("study", mode="replay") as replay:
        for question in ("another", "and another"):
            with contextlib.suppress(BaseException):
                nowhere()(question)
    assert replay.missed == 2
    assert [record.getMessage() for record in caplog.records if record.name == "rtk"] == [
        "rtk.recording('study', mode='replay') lacked samples 2 times, and something between went on without them"
    ]


def test_a_block_that_ends_with_the_error_says_no_more(server, caplog):
    """It is not swallowed."""
    recorded(server, lambda lm: lm(QUESTION))
    with pytest.raises(NotRecorded):
        replayed(lambda lm: lm("another"))
    assert caplog.records == []


def test_a_sweep_raises_what_is_not_recorded(server):
    """It is no wrong answer."""
    examples = [dspy.Example(question=f"{i}?").with_inputs("question") for i in range(3)]
    program = dspy.Predict("question -> answer")
    with dspy.context(lm=over(server), adapter=Anything()), rtk.recording("study"):
        program(question="0?")
    again = lambda: rtk.sweep(program, examples, metric=lambda example, pred: True)  # noqa: E731
    offline = dspy.context(lm=nowhere(), adapter=Anything())
    with offline, pytest.raises(NotRecorded, match=r"asked '.*[12]\?"), rtk.recording("study", mode="replay"):
        again()
