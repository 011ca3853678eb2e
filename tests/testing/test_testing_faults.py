"""Replies that fail, singly as scripted, or now and then by `faults`, as a client of the server meets them."""

import http.client
import json
import math
import urllib.error
import urllib.request

import pytest
from plain_client import ask, ask_and_leave, texts

from rtk.errors import ModelError
from rtk.testing import Reply, ScriptedServer, faults


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
