"""What sets each scripted server apart: pages, refusals, forms of errors; llama.cpp's against the real one."""

import json
import urllib.error
import urllib.request

import pytest
from plain_client import ask, send, texts

from rtk.models import weights
from rtk.models.engine import engine
from rtk.testing import Reply, ScriptedServer

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


# --- vLLM ---


def test_vllm_tells_its_health_version_and_context_without_a_key():
    """Only what is below `/v1` is guarded."""
    with ScriptedServer("x", wire="vllm", api_key="right") as server:
        root = server.url.removesuffix("/v1")
        with urllib.request.urlopen(root + "/health") as reply:
            assert (reply.status, reply.read()) == (200, b"")
        assert send(root + "/version") == (200, {"version": "0.19.0"})
        assert send(server.url + "/models") == (401, {"error": "Unauthorized"})
        assert send(server.url + "/models", key="right")[1]["data"][0]["max_model_len"] == 32_768


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "hot"},
        {"temperature": -1},
        {"top_p": 0},
        {"top_k": -2},
        {"min_p": 2},
        {"repetition_penalty": 0},
        {"presence_penalty": 3},
        {"max_tokens": 0},
        {"n": 0},
        {"n": 2, "temperature": 0},
        {"stop": 3},
        {"seed": "x"},
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": 21},
        {"stream_options": {"include_usage": True}},
        {"tools": []},
        {"tool_choice": "auto"},
        {"tools": [TOOL], "tool_choice": "sometimes"},
        {"response_format": {"type": "yaml"}},
        {"response_format": {"type": "json_schema"}},
        {"reasoning_effort": "enormous"},
        {"structured_outputs": ["a", "b"]},
        {"chat_template_kwargs": "thinking"},
        {"messages": []},
    ],
    ids=json.dumps,
)
def test_vllm_refuses_what_vllm_refuses(wrong):
    """Wrong types, values out of range, and fields that do not go together; in both forms of its errors."""
    with ScriptedServer("x", wire="vllm") as server:
        status, body = ask(server, **wrong)
        assert (status, body["error"]["type"], body["error"]["code"]) == (400, "BadRequestError", 400)
        assert list(wrong)[-1] in body["error"]["message"] or "n must be 1" in body["error"]["message"]
        assert server.choices_served == 0
    with ScriptedServer("x", wire="vllm-0.9") as server:
        status, body = ask(server, **wrong)
        assert (status, body["object"], body["code"]) == (400, "error", 400)


def test_vllm_takes_its_own_fields_and_passes_over_unknown_ones():
    """As it does: a field that no version knows, or that this one no longer knows, is not refused."""
    own = {
        "top_k": 20, "min_p": 0.1, "repetition_penalty": 1.1, "structured_outputs": {"choice": ["a"]},
        "chat_template_kwargs": {"enable_thinking": False}, "tools": [TOOL], "tool_choice": "auto", "n": 2,
        "logprobs": True, "top_logprobs": 5, "guided_json": {}, "nonsense": 1, "temperature": 1, "stop": "END",
    }  # fmt: skip
    with ScriptedServer("x", wire="vllm") as server:
        assert texts(ask(server, **own)) == ["x", "x"]
        assert {name: server.requests[0].body[name] for name in own} == own


def test_vllm_counts_reasoning_and_names_what_it_does_not_say():
    """Reasoning tokens are told where there is reasoning; fields of its own are there, and null."""
    with ScriptedServer([Reply("it is 4", reasoning="two and two"), "4"], wire="vllm") as server:
        thought, plain = ask(server)[1], ask(server)[1]
    assert thought["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert (thought["usage"]["completion_tokens"], plain["usage"]["completion_tokens_details"]) == (6, None)
    assert thought["choices"][0]["message"]["reasoning"] == "two and two"
    assert plain["choices"][0]["message"]["reasoning"] is None
    assert "tool_calls" not in plain["choices"][0]["message"]
    assert [plain[name] for name in ("prompt_logprobs", "kv_transfer_params")] == [None, None]
    assert plain["choices"][0]["stop_reason"] is None


# --- Ollama ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
        {"messages": [{"role": "user", "content": "look", "images": ["data:image/png;base64,AAAA"]}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]},
        {"options": [1]},
        {"format": "yaml"},
        {"stream": "yes"},
        {"think": "hard"},
        {"top_logprobs": 21},
    ],
    ids=json.dumps,
)
def test_ollama_refuses_what_is_of_another_s_form(wrong):
    """Content in parts, images with a prefix, arguments as text: OpenAI's forms are errors to Ollama."""
    with ScriptedServer("x", wire="ollama") as server:
        status, body = ask(server, **wrong)
        assert (status, server.choices_served) == (400, 0)
    assert body["error"].startswith("json: cannot unmarshal")


def test_ollama_takes_its_own_forms():
    """Text, plain base64, arguments as an object, a schema as the format, options by any name."""
    messages = [
        {"role": "user", "content": "look", "images": ["aGVsbG8="]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"x": 1}}}]},
        {"role": "tool", "content": "1", "tool_name": "add"},
    ]
    own = {"format": {"type": "object"}, "options": {"top_k": 3, "nonsense": 1}, "think": "low", "keep_alive": "5m"}
    with ScriptedServer("x", wire="ollama") as server:
        status, body = ask(server, messages=messages, **own)
    assert (status, body["message"]["content"]) == (200, "x")


def test_ollama_loads_and_unloads_a_model_without_asking_it():
    """No message, no reply taken from the script."""
    with ScriptedServer(["x"], wire="ollama") as server:
        assert ask(server, messages=[])[1]["done_reason"] == "load"
        assert ask(server, messages=[], keep_alive=0)[1]["done_reason"] == "unload"
        assert ask(server)[1]["message"]["content"] == "x"


def test_ollama_names_the_model_it_does_not_have():
    """In the words by which its users know what to do."""
    with ScriptedServer("x", wire="ollama") as server:
        assert ask(server, model="llama9")[1] == {"error": "model 'llama9' not found"}
        body = {"model": "llama9", "messages": [{"role": "user", "content": "hello"}]}
        status, reply = send(server.url + "/v1/chat/completions", json.dumps(body).encode())
    assert (status, reply["error"]["message"]) == (404, "model 'llama9' not found")
    assert reply["error"]["type"] == "not_found_error"


# --- llama.cpp ---


def skeleton(value):
    """The names and the types in a JSON value; of a list those of all its items."""
    if isinstance(value, dict):
        return {name: skeleton(item) for name, item in value.items()}
    if isinstance(value, list):
        return [next(iter([skeleton(item) for item in value]), None)]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def chunk_skeletons(raw):
    """Those of a stream's chunks, each once, in the order in which they first come."""
    events = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: {")]
    return list({json.dumps(skeleton(event), sort_keys=True): None for event in events})


@pytest.mark.embedded
def test_the_scripted_llama_cpp_has_the_real_one_s_forms():
    """Whole, streamed, with several choices, with log-probabilities, refused: names and types are the same."""
    real = engine(weights.require(weights.names()[0]))

    def both(path, key=None, **fields):
        body = {"model": "scripted", "messages": [{"role": "user", "content": "Say a word."}], "max_tokens": 2,
                "temperature": 0, **fields}  # fmt: skip
        replies = []
        for url, right in ((real.url, real.api_key), (server.url, "right")):
            request = urllib.request.Request(url + path, json.dumps(body).encode(),
                                             {"Authorization": f"Bearer {key or right}"})  # fmt: skip
            try:
                replies.append(urllib.request.urlopen(request).read())
            except urllib.error.HTTPError as error:
                replies.append((error.code, skeleton(json.load(error))))
        return replies

    top = [{"id": 1, "token": "a", "bytes": [97], "logprob": -0.5}]
    tokens = [{**top[0], "token": token, "bytes": [1], "top_logprobs": top} for token in ("a", " b")]
    reply = Reply("a b", logprobs=tokens, finish_reason="length")
    with ScriptedServer(reply, wire="llamacpp", api_key="right") as server:
        for fields in ({}, {"n": 2}, {"logprobs": True, "top_logprobs": 1}):
            ours, theirs = (skeleton(json.loads(raw)) for raw in both("/chat/completions", **fields))
            assert ours == theirs
        for fields in ({}, {"stream_options": {"include_usage": True}}, {"logprobs": True, "top_logprobs": 1}):
            ours, theirs = map(chunk_skeletons, both("/chat/completions", stream=True, **fields))
            assert ours == theirs
        ours, theirs = both("/chat/completions", key="wrong")
        assert ours == theirs
        ours, theirs = both("/chat/completions", messages=None)
        assert ours == theirs


# --- models that score ---


@pytest.mark.parametrize(
    ("wire", "path", "asked", "told"),
    [
        ("vllm-score", "/score", {"text_1": "q", "text_2": ["a", "b"]}, [("score", 0.25), ("score", 0.75)]),
        ("vllm-score", "/v1/rerank", {"query": "q", "documents": ["a", "b"]},
         [("relevance_score", 0.75), ("relevance_score", 0.25)]),
        ("vllm-classify", "/classify", {"input": ["a", "b"]}, [("probs", [0.25]), ("probs", [0.75])]),
        ("vllm-pooling", "/pooling", {"messages": [{"role": "user", "content": "q"}]}, [("data", [[0.25]])]),
        ("llamacpp-rerank", "/rerank", {"query": "q", "documents": ["a"]}, [("relevance_score", 0.25)]),
    ],
)  # fmt: skip
def test_scores_are_numbers_in_the_form_of_their_server(wire, path, asked, told):
    """One for each text; reranked ones the best first."""
    with ScriptedServer(["0.25", "0.75"], wire=wire, api_key="right") as server:
        post = lambda key, **fields: send(server.url + path, json.dumps(fields).encode(), key)  # noqa: E731
        status, body = post("right", model="scripted", **asked)
        assert post(None, **asked)[0] == 401
        assert post("right", model="scripted")[0] == 400
    entries = body.get("data") or body["results"]
    assert status == 200
    assert [(name, entry[name]) for entry, (name, _) in zip(entries, told, strict=True)] == told
