"""Streams that break off: a watcher never takes two texts for one, and the sample is the one that came whole."""

import json

import dspy
import pytest
from serving import over, stored
from streams import BOTH, EACH_WAY, FIELDS, FOUR, OTHER, QUESTION, at, by_field, kinds, seen, words

import rtk
from rtk.testing import Reply, ScriptedServer

TEXT = "one two three four five six"
BREAKS = {"cut": Reply(TEXT, cut=True), "an error": Reply(TEXT, failure="out of memory")}
EACH_BREAK = pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
pytestmark = pytest.mark.usefixtures("no_waiting")


def heard(lm, prompt=QUESTION, **options):
    """What a plain call returns, and the parts that came before."""
    parts = []
    with rtk.watch(parts=parts.append):
        return lm(prompt, **options)[0], parts


# --- what is heard ---


@EACH_BREAK
@EACH_WAY
def test_what_a_further_try_repeats_is_not_heard_twice(model, wire, way, broken):
    """It goes on where the stream broke off; what was lost is counted."""
    with ScriptedServer([broken, TEXT], wire=wire) as server, rtk.Budget() as budget:
        text, parts = heard(at(server, model, way))
        assert server.count == 2
    assert text == "".join(part.text for part in parts) == TEXT
    assert not any(part.anew for part in parts)
    assert budget.spent.lost == 1


@EACH_WAY
def test_another_text_begins_anew(model, wire, way):
    """The first part that differs says that what came before is void, and holds all of the new text until then."""
    with ScriptedServer([BREAKS["cut"], "one two or three"], wire=wire) as server:
        lm = at(server, model, way)
        text, parts = heard(lm)
    [first] = [place for place, part in enumerate(parts) if part.anew]
    before = "".join(part.text for part in parts[:first])
    assert TEXT.startswith(before)
    assert before != TEXT
    assert parts[first].text == "one two or"
    assert "".join(part.text for part in parts[first:]) == text == stored(lm, 1, QUESTION)[0].text == "one two or three"


def test_a_stream_that_never_comes_whole_is_a_missing_sample():
    """As any other fault: with its kind, after all tries, and nothing stored."""
    with ScriptedServer(BREAKS["cut"]) as server:
        lm = over(server, retries=1)
        with pytest.raises(rtk.errors.SampleError) as caught:
            heard(lm)
        assert (server.count, caught.value.kind, lm.store.count()) == (2, "truncated", 0)


@pytest.mark.parametrize("wire", ["openai", "ollama"])
@pytest.mark.parametrize("body", [b"[]", b"null", b'{"choices": 3, "message": 3}', b'{"choices": [3]}', b"{", b"\xff"])
def test_a_stream_of_another_form_is_asked_for_again(wire, body):
    """Whatever it holds, it is a fault and no crash."""
    framed = body if wire == "ollama" else b"data: " + body + b"\n\n"
    with ScriptedServer([Reply(body=framed), TEXT], wire=wire) as server:
        assert heard(over(server))[0] == TEXT
        assert server.count == 2


def test_no_key_is_in_the_words_of_a_broken_stream():
    """A server may repeat it in an error in the middle."""
    for wire in ("openai", "ollama"):
        for way in ("direct", "litellm"):
            key = "sk-a-key-that-must-not-be-shown"
            with ScriptedServer(Reply(TEXT, failure=f"bad {key}"), wire=wire, api_key=key) as server:
                lm = over(server, api_key=key, retries=0, transport=way)
                with pytest.raises(rtk.errors.SampleError, match="bad") as caught:
                    heard(lm)
            assert key not in str(caught.value)


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_a_line_of_any_length_is_read(wire):
    """A server that does not cut its text into pieces sends it in one line; lines may end as in HTTP."""
    text = "word" * 200_000
    message = {"role": "assistant", "content": text}
    chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}], "message": message, "done": True}
    body = json.dumps(chunk).encode() + b"\r\n"
    with ScriptedServer(Reply(body=body if wire == "ollama" else b"data:" + body), wire=wire) as server:
        assert heard(over(server))[0] == text
        assert server.count == 1


# --- servers that do not stream ---


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_a_server_that_answers_whole_is_asked_for_no_stream_again(wire):
    """It passes over the word `stream`."""
    message = {"role": "assistant", "content": TEXT}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "message": message, "done": True}
    reply = Reply(body=json.dumps(whole).encode(), headers={"Content-Type": "application/json"})
    with ScriptedServer(reply, wire=wire) as server:
        lm = over(server)
        for n in range(2):
            assert heard(lm, f"{QUESTION} {n}") == (TEXT, [])
        assert [bool(one.body.get("stream")) for one in server.requests] == [True, False, False]


@EACH_WAY
def test_a_server_that_refuses_to_stream_is_asked_for_the_whole(model, wire, way, caplog):
    """It is said once, and remembered."""

    def script(received):
        return Reply("no streams here", status=400) if received.body.get("stream") else TEXT

    with ScriptedServer(script, wire=wire) as server:
        lm = at(server, model, way)
        for n in range(3):
            assert heard(lm, f"{QUESTION} {n}") == (TEXT, [])
        assert [bool(one.body.get("stream")) for one in server.requests] == [True, False, False, False]
    assert sum("does not stream (no streams here)" in record.message for record in caplog.records) == 1


def test_a_request_that_is_refused_either_way_shows_nothing():
    """The next one streams."""

    def script(received):
        return Reply("bad request", status=400) if "bad" in received.prompt else TEXT

    with ScriptedServer(script) as server:
        lm = over(server)
        with pytest.raises(rtk.errors.SampleError, match="bad request"):
            heard(lm, "bad")
        assert len(heard(lm)[1]) == 6


# --- what a watcher of dspy.streamify sees ---


@BOTH
def test_a_stream_that_is_taken_up_again_is_one(awaited):
    """Its watcher sees nothing of the break."""
    with ScriptedServer([Reply(FOUR, cut=True), FOUR]) as server:
        values = seen(over(server), is_async_program=awaited)
    assert kinds(values) == ["StreamResponse", "Prediction"]
    assert by_field(values) == FIELDS


@BOTH
def test_where_the_text_is_another_one_a_status_message_says_so(awaited):
    """Nothing is streamed after it; the prediction holds what was said at last."""
    with ScriptedServer([Reply(FOUR, cut=True), OTHER]) as server:
        lm = over(server)
        values = seen(lm, [], is_async_program=awaited)
        again = seen(lm, is_async_program=awaited)
    assert kinds(values) == ["EngineChunk", "StatusMessage", "Prediction"]
    assert FOUR.startswith(words(values))
    assert "disregard" in values[-2].message
    assert "a sum" in values[-1].reasoning
    assert kinds(again) == ["StreamResponse", "Prediction"]


@BOTH
def test_a_sample_that_does_not_come_ends_the_stream(awaited):
    """With the error of the program, after what was seen."""
    with ScriptedServer(Reply(FOUR, cut=True)) as server, pytest.raises(rtk.errors.SampleError, match="broke off"):
        seen(over(server, retries=0), [], is_async_program=awaited)


def test_a_malformed_text_that_was_seen_is_not_asked_for_again_in_json():
    """As in DSPy: who has seen one answer is not shown another."""
    with ScriptedServer("no fields at all") as server:
        lm = over(server)
        with pytest.raises(dspy.utils.exceptions.AdapterParseError):
            seen(lm, [])
        assert server.count == 1
