"""`rtk doctor`: which engines answer, what they honour, and whether samples can be kept."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys

import pytest

from rtk.models.doctor import ENGINES, HOSTED
from rtk.testing import Reply, ScriptedServer

KEY = "sk-doctor-key-that-nobody-may-see"
WEIGHTS = {name: value for name, value in os.environ.items() if name == "RTK_MODELS"}
TOKENS = [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]


def honest(received):
    """A model that honours all it is asked for."""
    body = received.body
    if body.get("response_format") or body.get("format"):
        return '{"fact": "water is wet"}'
    seed = body.get("seed", (body.get("options") or {}).get("seed"))
    return Reply(f"surprise number {random.Random(received.index if seed is None else seed).random()}", logprobs=TOKENS)


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No engine is named and no key is set; the weights are not here, and the usual ports are those of nobody."""
    named = {name for engine in ENGINES for name in (*engine.variables, engine.key) if name}
    for name in named | HOSTED.keys():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RTK_MODELS", str(tmp_path / "none"))
    monkeypatch.setattr("rtk.models.weights._installed", lambda package: [])
    free = [type(one)(**{**_fields(one), "usual": one.usual and "http://localhost:9/v1"}) for one in ENGINES]
    monkeypatch.setattr("rtk.models.doctor.ENGINES", tuple(free))


def _fields(engine):
    return {name: getattr(engine, name) for name in engine.__slots__}


def places(ran):
    """What was found, by the name of the engine."""
    return {place["engine"]: place for place in json.loads(ran.out)["places"]}


def test_what_answers_is_asked_and_shown(command, monkeypatch):
    """An engine that a variable names is listed with its models, and what one of them honours with what to write."""
    with ScriptedServer(honest, wire="ollama", models=("llama3.2:1b", "qwen3:8b")) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        ran = command("doctor")
        port = server.url.rpartition(":")[2]
    assert ran.status == 0
    assert re.search(rf"Ollama +localhost:{port} +answers +llama3.2:1b, qwen3:8b", ran.out)
    assert re.search(r'rtk.LM\("ollama_chat/llama3.2:1b"\) +no +yes +yes +yes +yes +[\d,]+', ran.out)


def test_what_is_not_there_is_shown_calmly(command):
    """Engines that are not running come with what starts them; with none at all the command ends with status 1."""
    ran = command("doctor")
    assert ran.status == 1
    assert re.search(r"embedded +this process +(no model +rtk model get|not installed +pip install)", ran.out)
    assert re.search(r"Ollama +localhost:9 +not running +ollama serve", ran.out)
    assert ran.err == ""


def test_each_engine_is_looked_for_where_its_variable_says(command, monkeypatch):
    """Ollama, vLLM, LM Studio and any OpenAI-compatible server are found by their variables, with their keys."""
    with (
        ScriptedServer(honest, wire="ollama") as ollama,
        ScriptedServer(honest, wire="vllm", api_key=KEY) as vllm,
        ScriptedServer(honest) as studio,
        ScriptedServer(honest, wire="llamacpp", api_key=KEY) as other,
    ):
        for name, server in {"OLLAMA_API_BASE": ollama, "HOSTED_VLLM_API_BASE": vllm, "LM_STUDIO_API_BASE": studio,
                             "OPENAI_API_BASE": other}.items():  # fmt: skip
            monkeypatch.setenv(name, server.url)
        monkeypatch.setenv("HOSTED_VLLM_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        ran = command("doctor", "--json")
    found = {name: place for name, place in places(ran).items() if place["ping"]}
    assert {name: place["line"] for name, place in found.items()} == {
        "Ollama": 'rtk.LM("ollama_chat/scripted:latest")',
        "vLLM": 'rtk.LM("hosted_vllm/scripted")',
        "LM Studio": 'rtk.LM("lm_studio/scripted")',
        "OpenAI-compatible": 'rtk.LM("openai/scripted")',
    }
    assert all(place["ping"]["answers"] and place["ping"]["seed"] for place in found.values())
    assert KEY not in ran.out + ran.err


def test_a_quick_look_asks_no_model(command, monkeypatch):
    """With --quick the models are listed, and none of them is asked anything."""
    with ScriptedServer(honest, wire="ollama") as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        found = places(command("doctor", "--quick", "--json"))["Ollama"]
        assert server.count == 0
    assert (found["state"], found["serves"], found["ping"]) == ("answers", ["scripted:latest"], None)


def test_another_machine_is_asked_only_where_that_is_said(command, monkeypatch):
    """A variable that names another machine is told by its own name, and nobody connects there without --remote."""
    monkeypatch.setenv("OLLAMA_API_BASE", "http://me:secret@gpu-box:11434")
    ran = command("doctor", "--quick")
    assert re.search(r"Ollama +OLLAMA_API_BASE +not asked", ran.out)
    asked = command("doctor", "--quick", "--remote")
    assert re.search(r"Ollama +OLLAMA_API_BASE +not running", asked.out)  # the tests stay on this machine
    assert not any(word in f"{ran} {asked}" for word in ("gpu-box", "secret"))


def test_no_key_goes_to_a_usual_port(command, monkeypatch):
    """What listens at a usual port may be anything: it is sent no key, though one is set."""
    with ScriptedServer(honest) as server:
        engines = [type(one)(**{**_fields(one), "usual": one.usual and server.url}) for one in ENGINES[1:2]]
        monkeypatch.setattr("rtk.models.doctor.ENGINES", tuple(engines))
        monkeypatch.setenv("HOSTED_VLLM_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        found = places(command("doctor", "--json"))["vLLM"]
        sent = {received.headers.get("authorization") for received in server.requests}
    assert found["ping"]["answers"]
    assert sent <= {None, "Bearer none"}


@pytest.mark.parametrize(
    ("server", "state", "told"),
    [
        ({"api_key": KEY}, "a key is missing", "set HOSTED_VLLM_API_BASE and HOSTED_VLLM_API_KEY"),
        ({"models": ()}, "no model", "vllm serve NAME"),
        ({"wire": "ollama"}, "something else", "what listens there is not vLLM"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_told(command, monkeypatch, server, state, told):
    """An endpoint that wants a key, serves nothing, or is another's comes with what to do."""
    with ScriptedServer(honest, **server) as there:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", there.url)
        found = places(command("doctor", "--quick", "--json"))["vLLM"]
    assert (found["state"], found["told"]) == (state, told)


def test_a_place_is_shown_once(command, monkeypatch):
    """Two variables that name one port make one line."""
    with ScriptedServer(honest, wire="vllm") as server:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
        monkeypatch.setenv("OPENAI_API_BASE", server.url.replace("127.0.0.1", "localhost"))
        found = places(command("doctor", "--quick", "--json"))
    assert found["vLLM"]["state"] == "answers"
    assert "OpenAI-compatible" not in found


@pytest.mark.parametrize("address", ["gpu-box:11434", "http://localhost:port", "nonsense", "ftp://localhost:1"])
def test_a_variable_that_holds_no_address_is_told_of(command, monkeypatch, address):
    """A mistyped address is named by its variable, and stops nothing."""
    monkeypatch.setenv("OLLAMA_API_BASE", address)
    found = places(command("doctor", "--quick", "--json"))["Ollama"]
    assert (found["state"], found["where"]) == ("no answer", "OLLAMA_API_BASE")
    assert "OLLAMA_API_BASE holds no address" in found["told"]


def test_one_model_is_asked_by_name(command):
    """`--model` with `--api-base` asks that one alone, and shows what to write."""
    with ScriptedServer(honest, wire="ollama") as server:
        ran = command("doctor", "--model", "ollama_chat/scripted", "--api-base", server.url)
    assert ran.status == 0
    assert f'rtk.LM("ollama_chat/scripted", api_base="{server.url}")' in ran.out
    assert "vLLM" not in ran.out


def test_a_named_model_that_does_not_answer_ends_with_status_1(command):
    """What is wrong, and what to type, is told below the table; nothing of who may ask there is."""
    with ScriptedServer(honest, wire="ollama", models=("llama3.2:1b",)) as server:
        address = server.url.replace("//", "//me:secret@")
        ran = command("doctor", "--model", "ollama_chat/llama3", "--api-base", address)
    assert ran.status == 1
    assert "ollama pull llama3" in ran.err
    assert "llama3.2:1b" in ran.out
    assert "secret" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--api-base", "http://localhost:1"], 2, "--model"),
        (["--model", "ollama_chat/a", "--api-base", "nonsense"], 1, "no address"),
        (["--model", "embedded/nonsense"], 1, "no embedded model"),
    ],
)
def test_a_mistake_in_the_command_is_an_error(command, arguments, status, told):
    """What cannot be asked is told with its mend, and no traceback."""
    ran = command("doctor", *arguments)
    assert ran.status == status
    assert told in ran.err


def test_keys_of_hosted_providers_are_named_and_not_used(command, monkeypatch):
    """The variables are named, their values are not, and no provider is asked."""
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    ran = command("doctor")
    assert "MISTRAL_API_KEY is set; nobody was asked" in ran.out
    assert "rtk doctor --model mistral/" in ran.out
    assert KEY not in ran.out + ran.err


def test_names_that_a_server_gives_do_nothing_to_a_terminal(command, monkeypatch):
    """A model's name is shown as what it is: no escape, no markup."""
    with ScriptedServer(honest, wire="ollama", models=("\x1b[31m[red]x[/]",)) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        for arguments in ([], ["--json"]):
            ran = command("doctor", *arguments)
            assert "\x1b" not in ran.out + ran.err
            assert "[red]x[/]" in ran.out


def test_a_bar_shows_a_stranger_s_name_as_it_is(monkeypatch, on_a_terminal):
    """While a model is asked, what a terminal shows of its name steers nothing."""
    with ScriptedServer(honest, wire="ollama", models=("\x1b]0;owned\x07[red]x[/]",)) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        _, raw = on_a_terminal("doctor", stream="stderr", TERM="xterm", COLUMNS="150")
    assert "asking ollama_chat/␛]0;owned␇[red]x[/]" in raw.decode()
    assert b"\x1b]0;" not in raw


# --- the store ----------------------------------------------------------------------------------------------------


def test_the_store_is_looked_at_and_not_made(command, put, own_store, tmp_path):
    """How many samples there are and where; a folder without a store stays as it is."""
    put("a", 3)
    assert f"store: {own_store}: 3 samples" in command("doctor", "--quick").out
    ran = command("doctor", "--quick", "--store", tmp_path / "new")
    assert f"store: {tmp_path / 'new'}: made by the first sample" in ran.out
    assert not (tmp_path / "new").exists()


def test_a_store_that_cannot_be_used_is_told_of(command, monkeypatch, own_store):
    """A folder with somebody else's database is an error with its mend, and status 1 though a model answers."""
    with sqlite3.connect(own_store / "cache.db") as other:
        other.execute("CREATE TABLE theirs (a)")
    with ScriptedServer(honest, wire="ollama") as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        ran = command("doctor")
    assert ran.status == 1
    assert "name another store" in ran.err


@pytest.mark.slow
@pytest.mark.embedded
def test_the_embedded_model_is_asked():
    """With its weights here, the embedded model is the first line that can be typed."""
    command = [sys.executable, "-m", "rtk.cli", "doctor", "--json"]
    variables = {name: value for name, value in os.environ.items() if name != "RTK_MODELS"} | WEIGHTS
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)["places"][0]
    assert (first["engine"], first["state"], first["line"]) == ("embedded", "answers", 'rtk.LM("embedded")')
    assert first["ping"]["tokens_per_second"] > 0
