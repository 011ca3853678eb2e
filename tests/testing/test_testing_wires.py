"""The scripted model server's wires: what a reply holds, what is refused, what else can be had."""

import math

import pytest
from plain_client import ask, send, texts

from rtk.testing import Reply, ScriptedServer


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
    counts = {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}
    assert body["usage"] == {**counts, "completion_tokens_details": {"reasoning_tokens": 2}}


def test_ollama_replies_hold_what_is_scripted():
    """The same on Ollama's wire: thinking, arguments as an object, counts; one completion whatever is asked."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    with ScriptedServer([Reply("an answer", reasoning="hm", tool_calls=[call])] * 2, wire="ollama") as server:
        status, body = ask(server, "one two", n=2)
        assert server.choices_served == 1
    assert (status, body["model"], body["done"], body["done_reason"]) == (200, "scripted", True, "stop")
    assert body["message"]["thinking"] == "hm"
    assert body["message"]["tool_calls"] == [{"id": "1", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}]
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


@pytest.mark.parametrize("wire", ["openai", "ollama", "vllm", "vllm-0.9"])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"key": "wrong"}, 401),
        ({}, 401),
        ({"key": "right", "model": "other"}, 404),
        ({"key": "right", "messages": "hello"}, 400),
    ],
)
def test_bad_requests_are_refused_in_the_wires_own_form(wire, how, status):
    """Refused requests are counted, take no reply from the script, and wait for nothing."""
    with ScriptedServer(["x"], wire=wire, api_key="right", latency=math.inf) as server, server.hold():
        got, body = ask(server, **how)
        assert (server.count, server.choices_served) == (1, 0)
    assert got == status
    words = _words(wire, status, body)
    assert isinstance(words, str)
    assert "right" not in words


def _words(wire, status, body):
    """Where each wire has the message of an error."""
    if wire == "ollama" or (status == 401 and wire != "openai"):
        return body["error"]
    return body["message"] if wire == "vllm-0.9" else body["error"]["message"]


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
