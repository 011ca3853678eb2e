"""The scripted model server, driven over plain HTTP."""

import asyncio
import http.client
import itertools
import json
import math
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from rtk.errors import EndpointError, ModelError
from rtk.testing import Reply, ScriptedServer, faults


def ask(server, prompt="hello", *, model="scripted", key=None, timeout=10, **fields):
    """POST one question; the status and the JSON (or bytes) of the reply."""
    ollama = not server.url.endswith("/v1")
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": False, **fields}
    path = "/api/chat" if ollama else "/chat/completions"
    return send(server.url + path, json.dumps(body).encode(), key, timeout)


def send(url, data=None, key=None, timeout=10):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask_and_leave(server):
    """Send a question, and hang up once it has arrived."""
    host, _, path = server.url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
    connection.request("POST", f"/{path}/chat/completions", json.dumps(body))
    server.wait_for(lambda s: s.in_flight == 1)
    connection.close()


def texts(reply):
    return [choice["message"]["content"] for choice in reply[1]["choices"]]


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


# --- wires ---


def test_openai_replies_hold_what_is_scripted():
    """Text, reasoning, finish reason, tool calls, served model, headers and words counted."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = Reply("an answer here", reasoning="think twice", finish_reason="length", tool_calls=[call])
    with ScriptedServer([reply], served_model="scripted-2") as server:
        status, body = ask(server, "one two three four")
    choice = body["choices"][0]
    assert (status, body["model"], body["object"]) == (200, "scripted-2", "chat.completion")
    assert choice["message"]["content"] == "an answer here"
    assert choice["message"]["reasoning_content"] == "think twice"
    assert choice["message"]["tool_calls"] == [call]
    assert choice["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


def test_ollama_replies_hold_what_is_scripted():
    """The same on Ollama's wire: thinking, arguments as an object, counts; one completion whatever is asked."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    with ScriptedServer([Reply("an answer", reasoning="hm", tool_calls=[call])] * 2, wire="ollama") as server:
        status, body = ask(server, "one two", n=2)
        assert server.choices_served == 1
    assert (status, body["model"], body["done"], body["done_reason"]) == (200, "scripted", True, "stop")
    assert body["message"]["thinking"] == "hm"
    assert body["message"]["tool_calls"] == [{"function": {"name": "f", "arguments": {"x": 1}}}]
    assert (body["prompt_eval_count"], body["eval_count"]) == (2, 3)


def test_logprobs_come_only_where_asked_for():
    """As with real servers, on both wires."""
    tokens = [{"token": "yes", "logprob": -0.1}]
    with ScriptedServer(Reply("yes", logprobs=tokens)) as server:
        assert ask(server)[1]["choices"][0]["logprobs"] is None
        assert ask(server, logprobs=True)[1]["choices"][0]["logprobs"] == {"content": tokens}
    with ScriptedServer(Reply("yes", logprobs=tokens), wire="ollama") as server:
        assert "logprobs" not in ask(server)[1]
        assert ask(server, logprobs=True)[1]["logprobs"] == tokens


@pytest.mark.parametrize(("usage", "tokens"), [("sum", 6), ("one", 1), ("none", None)])
def test_usage_is_reported_in_three_ways(usage, tokens):
    """The sum over choices, the first choice's (told by `timings`, as llama.cpp does), or not at all."""
    with ScriptedServer(["a", "b b", "c c c"], usage=usage) as server:
        body = ask(server, n=3)[1]
    assert body.get("usage", {}).get("completion_tokens") == tokens
    assert ("timings" in body) == (usage == "one")


def test_counts_can_be_given():
    """By reply, or as a whole usage object."""
    given = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 4}
    with ScriptedServer([Reply("a", prompt_tokens=70, completion_tokens=8), Reply("b", usage=given)]) as server:
        assert ask(server)[1]["usage"] == {"prompt_tokens": 70, "completion_tokens": 8, "total_tokens": 78}
        assert ask(server)[1]["usage"] == given


@pytest.mark.parametrize(("honours_n", "choices"), [(True, 4), (False, 1), (2, 2), (9, 4)])
def test_n_is_honoured_as_told(honours_n, choices):
    """All, one, or at most a number of the completions asked for."""
    with ScriptedServer("x", honours_n=honours_n) as server:
        assert len(texts(ask(server, n=4))) == choices
        assert (server.requests[0].n, server.choices_served) == (4, choices)


def test_models_are_listed():
    """Each wire has its list; Ollama also says its version."""
    with ScriptedServer("x", models=("a", "b")) as server:
        assert [model["id"] for model in send(server.url + "/models")[1]["data"]] == ["a", "b"]
    with ScriptedServer("x", models=("a", "b:7b"), wire="ollama") as server:
        assert [model["name"] for model in send(server.url + "/api/tags")[1]["models"]] == ["a:latest", "b:7b"]
        assert "version" in send(server.url + "/api/version")[1]
        assert ask(server, model="a:latest")[0] == 200


@pytest.mark.parametrize("wire", ["openai", "ollama"])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"key": "wrong"}, 401),
        ({}, 401),
        ({"key": "right", "model": "other"}, 404),
        ({"key": "right", "stream": True}, 400),
        ({"key": "right", "messages": []}, 400),
    ],
)
def test_bad_requests_are_refused_in_the_wires_own_form(wire, how, status):
    """Refused requests are counted, take no reply from the script, and wait for nothing."""
    with ScriptedServer(["x"], wire=wire, api_key="right", latency=math.inf) as server, server.hold():
        got, body = ask(server, **how)
        assert (server.count, server.choices_served) == (1, 0)
    assert got == status
    words = body["error"] if wire == "ollama" else body["error"]["message"]
    assert isinstance(words, str)
    assert "right" not in words


def test_any_model_is_known_where_none_is_named():
    """`models=None` takes every name, and repeats it."""
    with ScriptedServer("x", models=None) as server:
        assert ask(server, model="whatever")[1]["model"] == "whatever"


@pytest.mark.parametrize("n", [0, -1, "2", True, 1.5])
def test_a_senseless_n_is_refused(n):
    """Only whole numbers above 0."""
    with ScriptedServer("x") as server:
        assert ask(server, n=n)[0] == 400


def test_what_is_no_json_is_refused():
    """And counted."""
    with ScriptedServer("x") as server:
        assert send(server.url + "/chat/completions", b"{no")[0] == 400
        assert (server.count, server.requests[0].body) == (1, {})


def test_long_prompts_arrive():
    """A prompt of several megabytes is no trouble."""
    with ScriptedServer("x") as server:
        assert ask(server, "long " * 1_000_000)[1]["usage"]["prompt_tokens"] == 1_000_000


# --- failures ---


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_error_replies_carry_status_words_and_headers(wire):
    """In the wire's envelope."""
    with ScriptedServer([Reply("slow down", status=429, headers={"Retry-After": "7"})], wire=wire) as server:
        path = "/api/chat" if wire == "ollama" else "/chat/completions"
        body = {"model": "scripted", "messages": [{"role": "user", "content": "x"}], "stream": False}
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(server.url + path, json.dumps(body).encode())
        error = json.load(caught.value)["error"]
        assert (error if wire == "ollama" else error["message"]) == "slow down"
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "7")


def test_one_failing_reply_fails_the_whole_request():
    """n completions travel together."""
    with ScriptedServer(["a", Reply(status=503), "c"]) as server:
        assert ask(server, n=3)[0] == 503
        assert server.choices_served == 0


def test_a_raw_body_is_sent_as_it_is():
    """Whatever it is."""
    with ScriptedServer(Reply(body=b"<html>")) as server, pytest.raises(json.JSONDecodeError):
        ask(server)


def test_a_cut_reply_breaks_off_within_its_body():
    """The length is announced, half of it comes, the server lives on."""
    with ScriptedServer([Reply("a long answer", cut=True), "fine"]) as server:
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(server)
        assert caught.value.partial.startswith(b'{"id"')
        assert texts(ask(server)) == ["fine"]
        assert server.choices_served == 1


def test_a_reply_cut_at_its_start_resets_the_connection():
    """No byte comes."""
    with ScriptedServer([Reply(cut="start"), "fine"]) as server:
        with pytest.raises(ConnectionResetError):
            ask(server)
        assert texts(ask(server)) == ["fine"]


def test_a_hanging_reply_ends_when_its_client_leaves():
    """The request is in flight until then, and no longer."""
    with ScriptedServer([Reply(delay=math.inf), "fine"]) as server:
        ask_and_leave(server)
        server.wait_for(lambda s: s.in_flight == 0)
        assert texts(ask(server)) == ["fine"]


def test_the_server_stops_while_replies_hang(threads):
    """Their clients see the connection end."""
    with ScriptedServer(Reply(delay=math.inf)) as server:
        pending = [threads.submit(ask, server) for _ in range(3)]
        server.wait_for(lambda s: s.in_flight == 3)
    assert all(isinstance(one.exception(10), (OSError, http.client.HTTPException)) for one in pending)


def statuses(script, prompts, times=1):
    """What each prompt met, asked several times one after the other."""
    with ScriptedServer(script) as server:
        return {prompt: [ask(server, prompt)[0] for _ in range(times)] for prompt in prompts}


def test_faults_follow_from_the_request_alone():
    """The same faults meet the same requests whatever the order; another seed, other faults."""
    prompts = [f"question {index}" for index in range(40)]
    script = faults("yes", 0.5, kinds=("500", "429"), seed=1)
    first = statuses(script, prompts, times=2)
    assert statuses(script, reversed(prompts), times=2) == first
    assert statuses(faults("yes", 0.5, kinds=("500", "429"), seed=2), prompts, times=2) != first
    assert {status for row in first.values() for status in row} == {200, 500, 429}
    assert any(row[0] != 200 and row[1] == 200 for row in first.values())


def test_permanent_faults_never_end():
    """A share of the prompts fails however often it is asked; the others never do at rate 0."""
    rows = statuses(faults("yes", 0.0, kinds=("500",), permanent=0.5), [f"q{i}" for i in range(30)], times=3)
    assert {tuple(row) for row in rows.values()} == {(200,) * 3, (500,) * 3}


def test_faults_lose_no_reply_of_a_list():
    """What is not failed goes on in order, and each fault is counted."""
    script = faults([str(index) for index in range(10)], 0.5, kinds=("500", "empty"), seed=3)
    with ScriptedServer(script) as server:
        replies = [ask(server, "same") for _ in range(16)]
        given = [texts(reply)[0] for reply in replies if reply[0] == 200]
        got = [text for text in given if text]
        assert got == [str(index) for index in range(len(got))]
        assert script.given == {"500": 16 - len(given), "empty": given.count("")}
        server.reset()
        assert script.given == {}


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset", ConnectionResetError),
        ("truncated", http.client.IncompleteRead),
        ("malformed", json.JSONDecodeError),
        ("timeout", TimeoutError),
    ],
)
def test_each_kind_of_fault_breaks_in_its_own_way(kind, error):
    """As a client sees it."""
    with ScriptedServer(faults("yes", 1.0, kinds=(kind,))) as server, pytest.raises(error):
        ask(server, timeout=0.1 if kind == "timeout" else 10)


@pytest.mark.parametrize("wrong", [{"rate": 1.5}, {"rate": 0.1, "permanent": -1}, {"rate": 0.1, "kinds": ("smoke",)}])
def test_senseless_faults_are_refused(wrong):
    """With the mend."""
    with pytest.raises(ModelError) as caught:
        faults("yes", **wrong)
    assert caught.value.mend


def test_other_statuses_come_with_their_completion():
    """A redirect, say: its headers are the script's."""
    with ScriptedServer([Reply("x", status=203), Reply(status=307, headers={"Location": "/v1/models"})]) as server:
        assert ask(server)[0] == 203
        with pytest.raises(urllib.error.HTTPError, match="307"):
            urllib.request.urlopen(
                server.url + "/chat/completions", b'{"model": "scripted", "messages": [{"content": "x"}]}'
            )


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
