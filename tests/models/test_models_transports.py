"""Transports: every model string goes to its endpoint, and both ways there give the same requests and samples."""

import os
import subprocess
import sys

import aiohttp
import pytest
from serving import QUESTION, key, numbered, over, stored

import rtk
from rtk.errors import EndpointError, UnsupportedParameter
from rtk.testing import Reply, ScriptedServer

MODELS = pytest.mark.parametrize(
    ("model", "wire"),
    [("openai/scripted", "openai"), ("hosted_vllm/scripted", "openai"), ("ollama_chat/scripted", "ollama")],
)
OPTIONS = {"max_tokens": 9, "top_p": 0.5, "stop": "END", "seed": 4, "response_format": {"type": "json_object"}}


def reached(server, model, transport, **settings):
    return rtk.LM(model, api_base=server.url, api_key="any", transport=transport, **settings)


# --- both ways ---


@MODELS
def test_both_give_the_same_keys_and_texts(model, wire, tmp_path):
    """Against the same server, each with a store of its own: request, addresses and samples are the same."""
    found = []
    for transport in ("direct", "litellm"):
        with ScriptedServer(lambda received: f"{received.last} {received.choice}", wire=wire) as server:
            lm = reached(server, model, transport, store=tmp_path / transport)
            texts = [lm(QUESTION, n=3), lm("another", n=3, **OPTIONS)]
            samples = stored(lm, 3)
            found.append((key(lm), key(lm, "another", **OPTIONS), texts, [*samples], server.count))
            assert {sample.served_model for sample in samples.values()} == {"scripted"}
            assert {sample.usage.tokens for sample in samples.values()} == {5 + 6}
    assert found[0] == found[1]


@MODELS
@pytest.mark.parametrize("ways", [("direct", "litellm"), ("litellm", "direct")], ids="-".join)
def test_one_tops_up_what_the_other_drew(model, wire, ways):
    """Over one store they share every sample, and no change of the served model is seen."""
    with ScriptedServer(numbered(), wire=wire) as server:
        two = reached(server, model, ways[0])(QUESTION, n=2)
        five = reached(server, model, ways[1])(QUESTION, n=5)
        assert five[:2] == two
        assert server.choices_served == 5


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_key_and_headers_are_sent(transport):
    """The key as a bearer, and headers under whichever of their names they were given."""
    with ScriptedServer(numbered(), api_key="the-key") as server:
        lm = over(
            server,
            transport=transport,
            api_key="the-key",
            headers={"X-One": "1"},
            extra_headers={"X-Two": "2"},
            default_headers={"X-Three": "3"},
            organization="org-1",
        )
        lm(QUESTION)
        headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer the-key"
    assert [headers[f"x-{name}"] for name in ("one", "two", "three")] == ["1", "2", "3"]
    assert headers["openai-organization"] == "org-1"


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_the_time_limit_reaches_the_connection(transport, no_waiting):
    """A reply that never comes ends at the time limit, as one failed sample."""
    with ScriptedServer(Reply(delay=float("inf"))) as server:
        for name in ("timeout", "request_timeout"):
            lm = over(server, transport=transport, num_retries=0, **{name: 0.2})
            with pytest.raises(rtk.errors.SampleError, match="timeout"):
                lm(QUESTION)


# --- where a model string goes ---


LOCAL = """
import rtk, sys
for model, base in zip(sys.argv[1::2], sys.argv[2::2]):
    print(rtk.LM(model, api_base=base, api_key="the-key")("hello", n=2))
print(rtk.LM("openai/scripted")("from the environment"), "litellm" in sys.modules)
"""


def test_a_local_server_is_spoken_to_directly_and_without_litellm():
    """LiteLLM's import takes seconds: a process that needs none of it does not load it; the environment names an
    endpoint and its key as well as arguments do."""
    with ScriptedServer("yes", api_key="the-key") as openai, ScriptedServer("no", wire="ollama") as ollama:
        places = ["openai/scripted", openai.url, "hosted_vllm/scripted", openai.url, "ollama_chat/scripted", ollama.url]
        env = {**os.environ, "OPENAI_API_BASE": openai.url, "OPENAI_API_KEY": "the-key"}
        run = subprocess.run([sys.executable, "-c", LOCAL, *places], capture_output=True, text=True, env=env)
    assert run.stdout.splitlines() == ["['yes', 'yes']", "['yes', 'yes']", "['no', 'no']", "['yes'] False"]
    assert run.stderr == ""


ELSEWHERE = """
import socket, sys
asked = set()
connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

def connecting(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        asked.add(address[0])
    return connect(self, address)

def looking_up(host, *args, **kwargs):
    asked.add(host)
    return getaddrinfo(host, *args, **kwargs)

socket.socket.connect, socket.getaddrinfo = connecting, looking_up
import dspy, rtk
for model, base in zip(sys.argv[1::2], sys.argv[2::2]):
    lm = rtk.LM(model, api_base=base, api_key="any", transport="litellm")
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        print(dspy.Predict("question -> answer")(question="?", config={"n": 2}).answer)
    lm.supports_function_calling, lm.supports_reasoning, lm.supported_params
print(sorted(asked - {"127.0.0.1", "localhost", "::1"}))
"""


def test_litellm_asks_nobody_else():
    """Neither its list of prices nor what it says of a model's abilities is fetched from anywhere."""
    text = '{"answer": "yes"}'
    with ScriptedServer(text) as openai, ScriptedServer(text, wire="ollama") as ollama:
        places = ["openai/scripted", openai.url, "hosted_vllm/scripted", openai.url, "ollama_chat/scripted", ollama.url]
        env = {name: value for name, value in os.environ.items() if name != "LITELLM_LOCAL_MODEL_COST_MAP"}
        run = subprocess.run([sys.executable, "-c", ELSEWHERE, *places], capture_output=True, text=True, env=env)
    assert (run.stdout.splitlines(), run.returncode) == (["yes", "yes", "yes", "[]"], 0)
    assert run.stderr == ""


def test_an_unknown_prefix_with_an_endpoint_is_looked_up():
    """A provider that LiteLLM knows goes through LiteLLM; one that nobody knows is an error that says what to write."""
    with ScriptedServer(numbered(), models=None) as server:
        lm = rtk.LM("deepseek/deepseek-chat", api_base=server.url, api_key="any", store=None)
        assert lm(QUESTION, n=2) == ["reply 0", "reply 1"]
        with pytest.raises(EndpointError, match="names no provider") as caught:
            rtk.LM("nobody-knows-this", api_base=server.url)
    assert "openai/NAME" in caught.value.mend


@pytest.mark.parametrize("model", ["anthropic/claude-x", "openai/gpt-x"])
def test_direct_to_a_place_without_an_address_is_refused(model, monkeypatch):
    """A hosted provider is LiteLLM's to reach."""
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(EndpointError, match="cannot be reached with") as caught:
        rtk.LM(model, transport="direct")
    assert "api_base=" in caught.value.mend


def test_a_model_of_no_provider_is_a_clear_error():
    """The provider's name in front is what people forget."""
    with pytest.raises(EndpointError, match="names no provider") as caught:
        rtk.LM("gpt-nonsense")(QUESTION)
    assert "provider/model" in caught.value.mend


@pytest.mark.parametrize(("model", "variable"), [("openai/gpt-x", "OPENAI"), ("gemini/gemini-x", "GEMINI")])
def test_a_hosted_model_without_a_key_is_a_clear_error(model, variable, monkeypatch):
    """LiteLLM calls it the server's fault, which asking again would mend."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_API_BASE", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EndpointError, match=f"no key for .*{variable}_") as caught:
        rtk.LM(model)(QUESTION)
    assert "api_key=" in caught.value.mend


def test_an_unknown_transport_is_refused():
    """A typo would otherwise be taken for "auto"."""
    with pytest.raises(EndpointError, match="transport='http'") as caught:
        rtk.LM("openai/x", transport="http")  # pyright: ignore[reportArgumentType]
    assert "direct" in caught.value.mend


@pytest.mark.parametrize("setting", [{"api_base": "http://127.0.0.1:1/v1"}, {"api_key": "k"}, {"transport": "litellm"}])
def test_the_embedded_model_takes_no_connection(setting):
    """Who names an endpoint means a model there, and would get this one's answers."""
    with pytest.raises(UnsupportedParameter, match=next(iter(setting))) as caught:
        rtk.LM("embedded", **setting)
    assert "openai/NAME" in caught.value.mend


def test_settings_that_direct_does_not_know_go_through_litellm():
    """Nothing of the connection is dropped: what rtk's own wire cannot say, LiteLLM says."""
    with ScriptedServer(numbered()) as server:
        assert over(server, api_version="2024-02-01")(QUESTION) == ["reply 0"]


def test_a_slash_at_the_end_of_an_endpoint_is_none_of_the_path():
    """People copy addresses with and without it."""
    with ScriptedServer(numbered()) as server:
        over(server, api_base=server.url + "/")(QUESTION)
        assert server.requests[0].path == "/v1/chat/completions"


def test_connections_are_kept(monkeypatch):
    """A hundred requests one after the other open one connection."""

    opened = []
    connect = aiohttp.TCPConnector._create_connection

    async def counted(self, *args, **kwargs):
        opened.append(1)
        return await connect(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", counted)
    with ScriptedServer(numbered()) as server:
        lm = over(server, server_n=False, concurrency=1)
        lm(QUESTION, n=100)
    assert (server.count, len(opened)) == (100, 1)
