"""`rtk.watch(parts=…)`: the parts of samples while they are drawn, and when there are none."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from serving import numbered, over, until

import rtk
from rtk.testing import Reply, ScriptedServer

TEXT = "one two three four five six"


def told(parts):
    """The text of each sample, put together, by address."""
    found = {}
    for part in parts:
        found[part.address] = found.get(part.address, "") + part.text
    return found


def test_parts_come_before_the_sample_and_name_it():
    """A part's address is the sample's; reasoning is apart from text; what is stored has no parts."""
    parts, arrived = [], []
    with ScriptedServer(Reply(TEXT, reasoning="so so")) as server:
        lm = over(server)
        for _ in range(2):
            with rtk.watch(arrived.append, parts=lambda part: parts.append((part, len(arrived)))):
                lm("count")
    assert [event.reused for event in arrived] == [False, True]
    assert {(part.address, before) for part, before in parts} == {(arrived[0].sample.address, 0)}
    assert "".join(part.text for part, _ in parts) == TEXT
    assert "".join(part.reasoning for part, _ in parts) == "so so"


def test_nobody_listens_and_nothing_streams():
    """Watching samples alone costs no stream."""
    with ScriptedServer(TEXT) as server, rtk.watch(print):
        over(server)("count")
        assert not server.requests[0].body.get("stream")


def test_samples_of_one_ask_come_whole():
    """Eight of them are one request, as ever; eight equal ones at temperature 0 are one sample, and stream."""
    parts = []
    with ScriptedServer(TEXT) as server, rtk.watch(parts=parts.append):
        lm = over(server)
        lm("count", n=8)
        assert parts == []
        assert (server.count, server.requests[0].body.get("stream")) == (1, None)
        assert lm("count", n=8, temperature=0.0) == [TEXT] * 8
    assert [*told(parts).values()] == [TEXT]


def test_samples_side_by_side_are_told_apart_by_address():
    """Each of four asks at once."""
    parts = []

    async def ask(lm):
        return await asyncio.gather(*(lm.acall(f"count {n}") for n in range(4)))

    with ScriptedServer(numbered()) as server, rtk.watch(parts=parts.append):
        texts = asyncio.run(ask(over(server)))
    assert sorted(told(parts).values()) == sorted(text for [text] in texts)


def test_who_comes_later_hears_the_beginning_too():
    """Two asks for one sample: one draw, and both hear all of it."""
    first, second = [], []

    def ask(lm, parts):
        with rtk.watch(parts=parts.append):
            return lm("count")

    with ScriptedServer(TEXT) as server, ThreadPoolExecutor(2) as threads:
        lm = over(server)
        with server.hold(after=4):
            one = threads.submit(ask, lm, first)
            until(lambda: first)
            other = threads.submit(ask, lm, second)
            until(lambda: second)
        assert one.result() == other.result() == [TEXT]
        assert server.count == 1
    assert [*told(first).values()] == [*told(second).values()] == [TEXT]
    assert len(second) < len(first)


def test_who_joins_a_draw_that_nobody_heard_gets_it_whole():
    """The request is under way and does not stream."""
    parts = []
    with ScriptedServer(TEXT) as server, ThreadPoolExecutor(1) as threads:
        lm = over(server)
        with server.hold():
            plain = threads.submit(lm, "count")
            server.wait_for(lambda s: s.in_flight == 1)
            with rtk.watch(parts=parts.append):
                asked = asyncio.run(_released(lm, server))
        assert plain.result() == asked == [TEXT]
        assert (server.count, parts) == (1, [])


async def _released(lm, server):
    asked = asyncio.create_task(lm.acall("count"))
    await asyncio.sleep(0.05)  # no server tells of an ask that joins another
    server.release()
    return await asked


def test_a_listener_that_fails_harms_nobody(caplog):
    """It is logged; the sample comes."""

    def fails(part):
        raise ValueError("no ear")

    with ScriptedServer(TEXT) as server, rtk.watch(parts=fails):
        assert over(server)("count") == [TEXT]
    assert "a watcher failed" in caplog.text


def test_listeners_hear_what_programs_draw():
    """Through DSPy's modules and threads, from several listeners."""
    inner, outer = [], []
    reply = "[[ ## answer ## ]]\nfour\n\n[[ ## completed ## ]]"
    with ScriptedServer(reply) as server, dspy.context(lm=over(server)):
        predict = dspy.Predict("question -> answer")
        with rtk.watch(parts=outer.append), rtk.watch(parts=inner.append):
            dspy.Parallel(num_threads=2, disable_progress_bar=True)([(predict, {"question": str(n)}) for n in range(2)])
    assert [*told(inner).values()] == [reply, reply]
    assert inner == outer


@pytest.mark.embedded
def test_the_embedded_model_is_heard():
    """A real model: each part a token or a few."""
    parts = []
    with rtk.watch(parts=parts.append):
        [text] = rtk.LM("embedded", max_tokens=24, temperature=0)("What is a river?")  # no chance of a short reply
    assert len(parts) > 5
    assert "".join(part.text for part in parts) == text
