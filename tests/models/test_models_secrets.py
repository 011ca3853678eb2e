"""Secrets: no key, header or endpoint is on the disk, in a saved program, in a log, in an error or in the history."""

import copy
import json
import logging
import pickle
import traceback

import dspy
import pytest
from serving import QUESTION, Anything, over

import rtk
from rtk.models.endpoints import endpoint
from rtk.testing import Reply, ScriptedServer

KEY, HEADER = "sk-sentinel-0123456789", "header-sentinel-abc"
WAYS = pytest.mark.parametrize(
    ("wire", "transport"), [("openai", "direct"), ("ollama", "direct"), ("openai", "litellm"), ("ollama", "litellm")]
)


def guarded(server, transport, **settings):
    return over(server, transport=transport, api_key=KEY, headers={"X-Secret": HEADER}, **settings)


def secrets(server):
    """Everything that must not be seen anywhere."""
    return [KEY, HEADER, server.url, server.url.removeprefix("http://").partition("/")[0]]


def seen(text, server):
    return [secret for secret in secrets(server) if secret in text]


@WAYS
def test_no_secret_is_in_the_bytes_of_the_store(wire, transport, own_store):
    """Neither in the database nor beside it, not even while it is open."""
    with ScriptedServer("yes", wire=wire, api_key=KEY) as server:
        lm = guarded(server, transport)
        lm(QUESTION, n=3)
        with dspy.context(lm=lm, adapter=Anything()):
            dspy.ChainOfThought("question -> answer")(question="?")
        files = [path for path in own_store.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"cache.db", "cache.db-wal"}
        bytes_ = b"".join(path.read_bytes() for path in files)
        assert b"scripted" in bytes_
        assert [secret for secret in secrets(server) if secret.encode() in bytes_] == []
        assert all(received.headers["x-secret"] == HEADER for received in server.requests)


@WAYS
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_no_secret_is_in_an_error_or_a_log(wire, transport, status, caplog, capsys, no_waiting):
    """Also where a server repeats the key and its own address in its refusal, and where all is logged that can be."""
    caplog.set_level(logging.DEBUG)

    def refuse(received):
        told = f"{received.headers.get('authorization')} {received.headers['x-secret']} at {server.url}"
        return Reply(f"refused: {told}", status=status)

    with ScriptedServer(refuse, wire=wire) as server:
        lm = guarded(server, transport, num_retries=1)
        with pytest.raises(rtk.RTKError) as caught:
            lm(QUESTION, n=2)
        assert "refused" in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.mend)
        assert seen(shown, server) == []
        assert [record.getMessage() for record in caplog.records if seen(record.getMessage(), server)] == []
        printed = capsys.readouterr()
        assert seen(printed.out + printed.err, server) == []


def turns(server):
    """A script that fails in all ways, one for each question, and says in each what it was told."""

    def answer(received):
        told = f"{received.headers.get('authorization')} {received.headers['x-secret']} at {server[0].url}"
        text = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
        ways = {
            "refused": Reply(told, status=401), "cut": Reply(told, cut=True), "reset": Reply(told, cut="start"),
            "unreadable": Reply(body=told.encode()), "late": Reply(told, delay=30), "broken": Reply(told, status=500),
            "now and then": Reply(told, status=500) if received.index % 2 else Reply(text),
        }  # fmt: skip
        asked = str(received.messages[-1]["content"])
        return next((reply for way, reply in ways.items() if way in asked), Reply(text))

    return answer


@WAYS
def test_no_secret_is_in_anything_that_a_run_leaves(
    wire, transport, own_store, tmp_path, caplog, capfd, no_waiting, monkeypatch
):
    """Store, recording, export, saved program, predictions, deliberations, events, history, errors, logs, output."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.delenv("RTK_RECORDING", raising=False)
    held, left, events = [], [], []
    with ScriptedServer(turns(held), wire=wire) as server:
        held.append(server)
        lm, vote = guarded(server, transport, num_retries=1, timeout=0.5), rtk.SelfConsistency("question -> answer", 2)
        with rtk.recording(tmp_path / "run.jsonl"), rtk.watch(events.append), dspy.context(lm=lm):
            for way in ("fine", "refused", "cut", "reset", "unreadable", "late", "broken", "now and then"):
                try:
                    pred = vote(question=way)
                    left += [
                        repr(pred),
                        pred.toDict(),
                        pred.deliberation.to_dict(),
                        str(pred.spent),
                        pred._repr_html_(),
                    ]
                except rtk.RTKError as error:
                    left += [
                        *traceback.format_exception(error),
                        error.mend,
                        repr(error.__cause__),
                        repr(error.__context__),
                    ]
        lm.store.export(tmp_path / "out.jsonl")
        vote.save(tmp_path / "program.json")
        lm.inspect_history(20)
        left += [lm.history, events, caplog.text, *capfd.readouterr(), repr(lm), repr(vote)]
    files = [path for folder in (own_store, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert {"cache.db", "run.jsonl", "out.jsonl", "program.json"} <= {path.name for path in files}
    assert [path.name for path in files if any(word.encode() in path.read_bytes() for word in secrets(server))] == []
    assert seen(repr(left), server) == []
    assert len(events) > 8


@WAYS
def test_no_secret_is_in_an_unreadable_replys_error(wire, transport, no_waiting):
    """A page of a proxy names hosts."""
    with ScriptedServer(lambda _: Reply(body=f"<a>{server.url} {KEY}</a>".encode()), wire=wire) as server:
        with pytest.raises(rtk.RTKError) as caught:
            guarded(server, transport, num_retries=0)(QUESTION)
        assert seen("".join(traceback.format_exception(caught.value)), server) == []


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_no_secret_is_in_what_an_lm_shows_of_itself(transport):
    """Its repr, its attributes' reprs, its settings, its history and its copies' too."""
    with ScriptedServer("yes") as server:
        lm = guarded(server, transport)
        lm(QUESTION, n=2)
        lm.history.append({})
        twin = copy.deepcopy(lm)
        for one in (lm, twin, lm.copy(temperature=1)):
            assert repr(one) == "rtk.LM('openai/scripted')"
            assert seen(repr(vars(one)), server) == []
            assert seen(json.dumps(one.kwargs), server) == []
        assert seen(repr(lm.history), server) == []
        assert seen(repr(endpoint(lm.model, {"api_base": server.url, "api_key": KEY})), server) == []


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_no_secret_is_in_a_saved_program(transport, tmp_path):
    """Neither in its JSON nor in the state of the LM itself."""
    with ScriptedServer("yes") as server:
        program = dspy.Predict("question -> answer")
        program.lm = guarded(server, transport, revision="2")
        program.lm(QUESTION)
        program.save(tmp_path / "program.json")
        assert seen((tmp_path / "program.json").read_text(), server) == []
        assert seen(json.dumps(program.lm.dump_state()), server) == []


def test_no_secret_of_a_provider_is_in_a_request(own_store):
    """Credentials of clouds are settings of the connection, whatever their names, and end in no request."""
    settings = {
        "aws_access_key_id": "AKIA-1", "aws_secret_access_key": "aws-2", "aws_session_token": "aws-3",
        "aws_bedrock_runtime_endpoint": "http://127.0.0.1:9", "vertex_credentials": "v-3", "vertex_project": "p-4",
        "azure_ad_token": "az-5", "client_secret": "cs-6", "tenant_id": "t-7", "watsonx_zen_api_key": "w-8",
    }  # fmt: skip
    lm = rtk.LM("bedrock/some-model", **settings)
    request = lm.ask([{"role": "user", "content": QUESTION}], {}).request
    assert request.options == {"temperature": 0.7}
    assert [value for value in settings.values() if value in repr(vars(lm)) + json.dumps(lm.dump_state())] == []


def test_an_lm_is_not_pickled_with_its_key():
    """It holds locks and connections: pickling says so rather than writing the key down."""
    with ScriptedServer("yes") as server, pytest.raises(Exception, match="pickle"):
        pickle.dumps(guarded(server, "direct"))
