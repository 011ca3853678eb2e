"""What the scripted servers stream, as bytes: the form of each wire, breaks in the middle, and a gate within."""

import http.client
import itertools
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtk.testing import Reply, ScriptedServer

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1, "y": 2}'}}
SSE = pytest.mark.parametrize("wire", ["openai", "vllm", "vllm-0.9", "llamacpp"])


def opened(server, path="/chat/completions", **fields):
    """The reply to a request for a stream, not read yet."""
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hello there"}], "stream": True, **fields}
    return urllib.request.urlopen(server.url + path, json.dumps(body).encode(), timeout=10)


def events(server, **fields):
    """The events of OpenAI's stream, which must end as it does."""
    with opened(server, **fields) as reply:
        assert reply.headers["Content-Type"] == "text/event-stream"
        *found, end, rest = reply.read().split(b"\n\n")
    assert (end, rest) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in found]


def lines(server, path="/api/chat", **fields):
    """The lines of Ollama's stream."""
    with opened(server, path, **fields) as reply:
        assert reply.headers["Content-Type"] == "application/x-ndjson"
        return [json.loads(line) for line in reply.read().splitlines()]


def joined(found, name, index=0):
    """One choice's text, put together from its deltas."""
    deltas = [choice["delta"] for event in found for choice in event["choices"] if choice["index"] == index]
    return "".join(delta.get(name) or "" for delta in deltas)


# --- OpenAI's server-sent events ---


@SSE
def test_choices_come_in_turn_each_with_role_text_and_end(wire):
    """Three choices of one request interleave; each begins with its role and ends with its reason, once."""
    replies = [Reply("one two three"), Reply("eins zwei", finish_reason="length"), Reply("")]
    with ScriptedServer(replies, wire=wire) as server:
        found = events(server, n=3)
    assert [joined(found, "content", index) for index in range(3)] == ["one two three", "eins zwei", ""]
    assert [event["choices"][0]["index"] for event in found[:6]] == [0, 1, 2, 0, 1, 2]
    for index, reason in enumerate(["stop", "length", "stop"]):
        own = [choice for event in found for choice in event["choices"] if choice["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + [reason]
    assert {event["object"] for event in found} == {"chat.completion.chunk"}
    assert len({event["id"] for event in found}) == 1


@pytest.mark.parametrize(
    ("wire", "name"),
    [("openai", "reasoning_content"), ("vllm", "reasoning"), ("vllm-0.9", "reasoning_content")],
)
def test_reasoning_comes_first_and_under_its_own_name(wire, name):
    """Text and reasoning are never in one delta."""
    with ScriptedServer(Reply("it is 4", reasoning="two and two"), wire=wire) as server:
        found = events(server)
    assert (joined(found, name), joined(found, "content")) == ("two and two", "it is 4")
    kinds = [next(iter(e["choices"][0]["delta"]), "") for e in found[1:]]
    told = [kind for kind, _ in itertools.groupby(kinds)]
    assert told[:2] == [name, "content"]


@SSE
def test_a_tool_call_is_spread_over_deltas(wire):
    """Its name comes first, its arguments piece by piece, all under one place."""
    with ScriptedServer(Reply(tool_calls=[CALL, CALL], finish_reason="tool_calls"), wire=wire) as server:
        found = events(server)
    deltas = [call for event in found for call in event["choices"][0]["delta"].get("tool_calls", ())]
    for place in (0, 1):
        own = [delta for delta in deltas if delta["index"] == place]
        assert (own[0]["id"], own[0]["function"]["name"]) == ("call_1", "add")
        assert len(own) == 3
        assert json.loads("".join(delta["function"]["arguments"] for delta in own)) == {"x": 1, "y": 2}
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("wire", ["openai", "vllm"])
def test_usage_comes_last_where_asked_for(wire):
    """One more chunk, without choices, with the sum; unasked there is none."""
    with ScriptedServer(["a b", "c"] * 2, wire=wire) as server:
        asked, unasked = events(server, n=2, stream_options={"include_usage": True}), events(server, n=2)
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["completion_tokens"] == 3
    assert [event.get("usage") for event in asked[:-1]] == [None] * (len(asked) - 1)
    assert not [event for event in unasked if event.get("usage")]


@pytest.mark.parametrize("settings", [{"wire": "llamacpp"}, {"usage": "one"}])
def test_each_choice_is_reported_alone_as_llama_cpp_does(settings):
    """A report follows the end of the choice it is on; unasked, the end holds timings."""
    with ScriptedServer(["a b", "c", "d"], **settings) as server:
        found = events(server, n=2, stream_options={"include_usage": True})
        unasked = events(server)
    ends = [n for n, event in enumerate(found) if event["choices"] and event["choices"][0]["finish_reason"]]
    assert [found[n]["choices"][0]["index"] for n in ends] == [1, 0]
    assert [found[n + 1]["usage"]["completion_tokens"] for n in ends] == [1, 2]
    assert unasked[-1]["timings"]["predicted_n"] == 1


def test_no_usage_is_reported_by_a_server_that_reports_none():
    """Also where it is asked for."""
    with ScriptedServer("a", usage="none") as server:
        assert not [event for event in events(server, stream_options={"include_usage": True}) if event.get("usage")]


@SSE
def test_log_probabilities_come_token_by_token(wire):
    """Where the tokens are the text, each chunk holds one of them; unasked, none comes."""
    tokens = [{"token": token, "logprob": -0.5, "bytes": list(token.encode())} for token in ("He", "llo", " you")]
    with ScriptedServer(Reply("Hello you", logprobs=tokens), wire=wire) as server:
        found, unasked = events(server, logprobs=True), events(server)
    told = [choice["logprobs"]["content"] for event in found for choice in event["choices"] if choice.get("logprobs")]
    assert told == [[token] for token in tokens]
    assert joined(found, "content") == "Hello you"
    assert not [choice for event in unasked for choice in event["choices"] if choice.get("logprobs")]


# --- Ollama's lines ---


def test_ollama_streams_lines_unless_told_not_to():
    """Thinking, text, tool calls, and a last line with the reason and the counts."""
    call = {"id": "call_1", "function": {"index": 0, "name": "add", "arguments": {"x": 1, "y": 2}}}
    with ScriptedServer(Reply("it is four", reasoning="two and two", tool_calls=[CALL]), wire="ollama") as server:
        found = lines(server)
        *_, by_default = lines(server, stream=None)
    assert "".join(line["message"].get("thinking", "") for line in found) == "two and two"
    assert "".join(line["message"]["content"] for line in found) == "it is four"
    assert [line["message"]["tool_calls"] for line in found if "tool_calls" in line["message"]] == [[call]]
    assert [line["done"] for line in found] == [False] * (len(found) - 1) + [True]
    last = found[-1]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 2, 6)
    assert all(last[f"{name}_duration"] > 0 for name in ("total", "load", "prompt_eval", "eval"))
    assert by_default["done"]


def test_ollama_generates_from_a_prompt_too():
    """`/api/generate`: a text in place of a message."""
    with ScriptedServer(lambda received: received.prompt.upper(), wire="ollama") as server:
        found = lines(server, "/api/generate", prompt="say this", messages=None)
    assert "".join(line["response"] for line in found) == "SAY THIS"
    assert (found[-1]["done"], found[-1]["prompt_eval_count"]) == (True, 2)


def test_ollama_s_openai_wire_streams_as_it_does():
    """Every delta has its role; a tool call comes whole; `n` is passed over."""
    with ScriptedServer(Reply("a b", reasoning="c", tool_calls=[CALL]), wire="ollama") as server:
        with opened(server, "/v1/chat/completions", n=3, stream_options={"include_usage": True}) as reply:
            found = [json.loads(one[6:]) for one in reply.read().split(b"\n\n")[:-2]]
        assert server.choices_served == 1
    deltas = [event["choices"][0]["delta"] for event in found[:-1]]
    assert {delta["role"] for delta in deltas} == {"assistant"}
    assert [delta["reasoning"] for delta in deltas if "reasoning" in delta] == ["c"]
    assert [delta["tool_calls"] for delta in deltas if "tool_calls" in delta] == [[{**CALL, "index": 0}]]
    assert (found[-1]["choices"], found[-1]["usage"]["completion_tokens"]) == ([], 3)


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_any_letters_are_streamed(wire):
    """In UTF-8, a lone half of a pair escaped; separators of lines, which others take for ends of lines, are text."""
    text = "Größe 🙂 文字 \u2028 \u2029 \x85 \ud83d end\r\n"
    with ScriptedServer(Reply(text), wire=wire) as server:
        if wire == "ollama":
            assert "".join(line["message"]["content"] for line in lines(server)) == text
        else:
            assert joined(events(server), "content") == text


# --- what breaks ---


@pytest.mark.parametrize("wire", ["openai", "vllm", "llamacpp", "ollama"])
def test_a_stream_is_cut_in_the_middle(wire):
    """Some of it arrives, and then the connection ends; it is no choice served."""
    path = "/api/chat" if wire == "ollama" else "/chat/completions"
    with ScriptedServer(Reply("one two three four", cut=True), wire=wire) as server:
        with opened(server, path) as reply, pytest.raises((http.client.IncompleteRead, ConnectionError)) as caught:
            reply.read()
        assert b"one" in getattr(caught.value, "partial", b"one")
        server.wait_for(lambda s: s.in_flight == 0)
        assert server.choices_served == 0


@pytest.mark.parametrize("wire", ["openai", "vllm", "vllm-0.9", "llamacpp", "ollama"])
def test_an_error_ends_a_stream_in_the_wire_s_own_form(wire):
    """Status 200 has been said; the error is the last thing told. Not streamed it is a status 500."""
    with ScriptedServer(Reply("one two three four", failure="out of memory"), wire=wire) as server:
        found = lines(server) if wire == "ollama" else events(server)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            opened(server, "/api/chat" if wire == "ollama" else "/chat/completions", stream=False)
        assert server.choices_served == 0
    assert "out of memory" in json.dumps(found[-1])
    assert "error" in found[-1] or found[-1]["object"] == "error"
    assert len(found) > 1


def test_a_stream_waits_behind_a_gate():
    """Held after two chunks, a stream goes on when it is let go; requests that do not stream pass by."""
    with ScriptedServer("one two three", wire="ollama") as server, ThreadPoolExecutor(1) as threads:
        with server.hold(after=2):
            reply = opened(server, "/api/chat")
            server.wait_for(lambda s: s.held == 1)
            first = [json.loads(reply.readline()) for _ in range(2)]
            rest = threads.submit(reply.read)
            assert json.load(opened(server, "/api/chat", stream=False))["done"]
            assert not rest.done()
            assert len(server.release()) == 1
            assert json.loads(rest.result(10).splitlines()[-1])["done"]
            reply.close()
        assert "".join(line["message"]["content"] for line in first) == "one two"
        assert (server.held, server.choices_served) == (0, 2)


def test_a_client_that_leaves_a_stream_frees_its_place():
    """What it was held for is forgotten."""
    with ScriptedServer("one two three") as server, server.hold(after=2):
        opened(server).close()
        server.wait_for(lambda s: s.count == 1 and s.in_flight == 0)
        assert (server.held, server.choices_served) == (0, 0)
