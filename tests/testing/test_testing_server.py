"""The scripted model server, driven over plain HTTP: its scripts, its states, its life."""

import asyncio
import http.client
import itertools
import math
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from plain_client import ask, ask_and_leave, texts

from rtk.errors import EndpointError, ModelError
from rtk.testing import Reply, ScriptedServer


@pytest.fixture
def threads():
    with ThreadPoolExecutor(16) as pool:
        yield pool


# --- scripts ---


def test_a_list_is_answered_in_order_and_then_refused():
    """Each choice takes the next reply; after the last one requests get status 400, which no client asks again."""
    with ScriptedServer(["one", Reply("two"), "three"]) as server:
        assert texts(ask(server)) == ["one"]
        assert texts(ask(server, n=5)) == ["two", "three"]
        status, body = ask(server)
    assert (status, body["error"]["message"]) == (400, "the script is at its end")


def test_a_cycle_never_ends():
    """Any iterable is a script; an endless one never ends."""
    with ScriptedServer(itertools.cycle(["a", "b"])) as server:
        assert texts(ask(server, n=5)) == ["a", "b", "a", "b", "a"]


def test_a_text_is_given_always():
    """One text answers everything."""
    with ScriptedServer("yes") as server:
        assert [texts(ask(server)) for _ in range(3)] == [["yes"]] * 3


def test_a_dict_looks_at_the_last_message_first():
    """Few-shot examples that hold another question of the script do not answer this one."""
    with ScriptedServer({"2+2": "4", "3+3": ["6", "six"], "": "no idea"}) as server:
        demos = [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]
        assert texts(ask(server, messages=[*demos, {"role": "user", "content": "3+3"}])) == ["6"]
        assert texts(ask(server, messages=[*demos, {"role": "user", "content": "well?"}])) == ["4"]
        assert texts(ask(server, "3+3")) == ["six"]
        assert texts(ask(server, "5+5")) == ["no idea"]


def test_a_prompt_without_a_key_is_refused():
    """The refusal names the prompt."""
    with ScriptedServer({"2+2": "4"}) as server:
        status, body = ask(server, "5+5")
    assert status == 400
    assert "5+5" in body["error"]["message"]


def test_content_parts_are_read_as_text():
    """A message whose content is a list of parts matches by their texts."""
    with ScriptedServer({"2+2": "4"}) as server:
        parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "2+2"}]
        assert texts(ask(server, messages=[{"role": "user", "content": parts}])) == ["4"]
        assert server.requests[0].prompt == "What is\n2+2"


def test_a_function_is_asked_for_each_choice():
    """It sees which choice it is asked for, and which request."""
    with ScriptedServer(lambda received: f"{received.last}:{received.index}.{received.choice}/{received.n}") as server:
        ask(server, "a")
        assert texts(ask(server, "b", n=3)) == ["b:1.0/3", "b:1.1/3", "b:1.2/3"]


def test_a_function_may_answer_all_choices_at_once():
    """A list from it is all choices, even fewer than asked for."""
    with ScriptedServer(lambda received: ["a", "b"]) as server:
        assert texts(ask(server, n=3)) == ["a", "b"]
        assert texts(ask(server)) == ["a"]


def test_a_script_that_raises_is_told_at_the_end():
    """Its client gets a 500, and leaving the block raises, with the cause."""
    with (
        pytest.raises(ModelError, match="ZeroDivisionError") as caught,
        ScriptedServer(lambda _: str(1 // 0)) as server,
        pytest.raises(urllib.error.HTTPError, match="500"),
    ):
        urllib.request.urlopen(server.url + "/chat/completions", b'{"model": "scripted", "messages": [{}]}')
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("script", [3, None])
def test_what_is_no_script_is_refused_at_once(script):
    """A number is no script."""
    with pytest.raises(ModelError, match="no script"):
        ScriptedServer(script)


# --- states ---


def test_eight_in_flight_are_seen_and_let_go(threads):
    """Behind `hold` requests pile up; leaving the block answers them all."""
    with ScriptedServer("yes") as server:
        with server.hold():
            pending = [threads.submit(ask, server) for _ in range(8)]
            server.wait_for(lambda s: s.in_flight == 8)
            assert (server.held, server.choices_served) == (8, 0)
        assert [texts(one.result(10)) for one in pending] == [["yes"]] * 8
        assert (server.in_flight, server.peak_in_flight, server.choices_served) == (0, 8, 8)


def test_replies_can_be_let_go_out_of_order(threads):
    """The last to arrive first, then one more, the first of those left."""
    with ScriptedServer(lambda received: received.last) as server, server.hold():
        pending = {}
        for index in range(4):
            pending[index] = threads.submit(ask, server, str(index))
            server.wait_for(lambda s, index=index: s.held == index + 1)
        assert [one.index for one in server.release(where=lambda received: received.last == "3")] == [3]
        assert texts(pending[3].result(10)) == ["3"]
        assert [one.index for one in server.release(1)] == [0]
        assert texts(pending[0].result(10)) == ["0"]
        assert (server.held, pending[1].done()) == (2, False)
        assert len(server.release()) == 2


def test_a_client_that_leaves_is_held_no_longer():
    """Its place behind the gate is free."""
    with ScriptedServer("yes") as server, server.hold():
        ask_and_leave(server)
        server.wait_for(lambda s: s.held == 0)
        assert server.release() == []


def test_waiting_for_what_never_comes_says_how_things_stand():
    """A TimeoutError with the counts."""
    with ScriptedServer("yes") as server, pytest.raises(TimeoutError, match="count=0, in_flight=0"):
        server.wait_for(lambda s: s.count == 1, timeout=0.01)


def test_reset_begins_anew():
    """Records are gone and a list starts over."""
    with ScriptedServer(["a", "b"]) as server:
        ask(server)
        server.reset()
        assert (server.count, server.requests, server.choices_served, server.peak_in_flight) == (0, [], 0, 0)
        assert texts(ask(server)) == ["a"]


def test_records_are_bounded_and_repeats_are_numbered():
    """Only the newest are kept; the count is of all; each knows how often its body came before."""
    with ScriptedServer("x", keep=2) as server:
        for prompt in ("a", "b", "a"):
            ask(server, prompt)
        assert server.count == 3
        assert [(one.index, one.occurrence, one.last) for one in server.requests] == [(1, 0, "b"), (2, 1, "a")]


def test_a_record_does_not_show_its_key():
    """Headers are kept for tests to look at, and stay out of the repr."""
    with ScriptedServer("x", api_key="s3cret") as server:
        ask(server, key="s3cret")
        assert server.requests[0].headers["authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(server.requests)


def test_latency_is_drawn_by_request_not_by_arrival():
    """A function may set it, per request; a reply's own delay comes first."""
    asked = []
    latency = lambda received: asked.append(received.last) or 0.0  # noqa: E731
    with ScriptedServer({"a": "x", "b": Reply("y", delay=0)}, latency=latency) as server:
        ask(server, "a")
        ask(server, "b")
    assert asked == ["a"]


def test_a_range_of_latencies_is_kept_to():
    """A reply within the range is a reply."""
    with ScriptedServer("x", latency=(0.001, 0.002)) as server:
        assert texts(ask(server)) == ["x"]


# --- life ---


def test_the_server_stops_while_replies_hang(threads):
    """Their clients see the connection end."""
    with ScriptedServer(Reply(delay=math.inf)) as server:
        pending = [threads.submit(ask, server) for _ in range(3)]
        server.wait_for(lambda s: s.in_flight == 3)
    assert all(isinstance(one.exception(10), (OSError, http.client.HTTPException)) for one in pending)


def test_a_server_comes_back_at_the_same_address():
    """After a stop nobody listens; after a start the same URL answers again."""
    server = ScriptedServer("x").start()
    url = server.url
    server.stop()
    server.stop()
    with pytest.raises(urllib.error.URLError):
        ask(server)
    server.start()
    assert (server.url, texts(ask(server))) == (url, ["x"])
    server.stop()


def test_misuse_is_told_with_its_mend():
    """No address before the start, no second start, no unknown wire."""
    server = ScriptedServer("x")
    with pytest.raises(EndpointError, match="no address"):
        _ = server.url
    with server, pytest.raises(EndpointError, match="already running"):
        server.start()
    with pytest.raises(ModelError) as caught:
        ScriptedServer("x", wire="grpc")
    assert "ollama" in caught.value.mend


def test_no_thread_is_left_behind():
    """The server's thread ends with its block."""
    with ScriptedServer("x") as server:
        ask(server)
    assert not [thread for thread in threading.enumerate() if thread.name == "rtk-scripted-server"]


async def test_many_clients_on_one_loop_are_served_once_each():
    """200 requests over kept-alive connections: each reply of the list goes to one of them."""
    with ScriptedServer([str(index) for index in range(200)]) as server:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "x"}]}

        async def one(session):
            async with session.post(server.url + "/chat/completions", json=body) as reply:
                return (await reply.json())["choices"][0]["message"]["content"]

        async with aiohttp.ClientSession() as session:
            got = await asyncio.gather(*(one(session) for _ in range(200)))
        assert sorted(map(int, got)) == list(range(200))
        assert (server.count, server.in_flight, server.choices_served) == (200, 0, 200)
        assert sorted(received.occurrence for received in server.requests) == list(range(200))
