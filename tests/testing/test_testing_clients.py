"""The scripted servers, judged by others' clients: OpenAI's, Ollama's and LiteLLM, whole and streamed."""

import json
from dataclasses import dataclass, field

import litellm
import ollama
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from rtk.testing import Reply, ScriptedServer

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1, "y": 2}'}}
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}
TOKENS = [{"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []} for token in ("a", " b")]
ASKED = [{"role": "user", "content": "What is it?"}]
WIRES = ["openai", "vllm", "vllm-0.9", "llamacpp", "ollama"]
LITELLM = {"openai": "openai", "vllm": "hosted_vllm", "vllm-0.9": "hosted_vllm", "llamacpp": "openai",
           "ollama": "ollama_chat"}  # fmt: skip
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@dataclass
class Heard:
    """What a client makes of a reply, in words common to all of them."""

    text: str = ""
    reasoning: str = ""
    calls: list = field(default_factory=list)
    reason: str | None = None
    tokens: tuple = ()

    def add(self, message, reason=None):
        """A whole message, or a delta."""
        self.text += message.get("content") or ""
        self.reasoning += message.get("reasoning") or message.get("reasoning_content") or message.get("thinking") or ""
        for call in message.get("tool_calls") or ():
            function = call["function"]
            if function.get("name"):
                self.calls.append([function["name"], ""])
            arguments = function.get("arguments") or ""
            self.calls[-1][1] += arguments if isinstance(arguments, str) else json.dumps(arguments)
        self.reason = reason or self.reason


def of_openai(server, streamed, **fields):
    """By OpenAI's client, at the `/v1` of any wire."""
    base = server.url if server.url.endswith("/v1") else server.url + "/v1"
    with openai.OpenAI(base_url=base, api_key="k", max_retries=0) as client:
        if not streamed:
            return _of_choices(client.chat.completions.create(model="scripted", messages=ASKED, **fields))
        told = {"stream": True, "stream_options": {"include_usage": True}}
        return _of_chunks(client.chat.completions.create(model="scripted", messages=ASKED, **told, **fields))


def of_litellm(server, streamed, **fields):
    """By LiteLLM, under the prefix of each wire."""
    fields |= {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    wire = repr(server).split("'")[1]
    reply = litellm.completion(
        f"{LITELLM[wire]}/scripted", ASKED, api_base=server.url, api_key="k", num_retries=0, max_retries=0, **fields
    )
    return _of_chunks(reply) if streamed else _of_choices(reply)


def _of_choices(reply):
    heard = Heard(tokens=(reply.usage.prompt_tokens, reply.usage.completion_tokens))
    heard.add(reply.choices[0].message.model_dump(), reply.choices[0].finish_reason)
    return heard


def _of_chunks(chunks):
    heard = Heard()
    for chunk in chunks:
        for choice in chunk.choices:
            heard.add(choice.delta.model_dump(), choice.finish_reason)
        if getattr(chunk, "usage", None):
            heard.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    return heard


def of_ollama(server, streamed, **fields):
    """By Ollama's client."""
    client, heard = ollama.Client(server.url, headers={"Authorization": "Bearer k"}), Heard()
    replies = client.chat("scripted", ASKED, stream=streamed, **fields)
    for reply in replies if streamed else [replies]:
        heard.add(reply.message.model_dump(), reply.done_reason)
        heard.tokens = (reply.prompt_eval_count, reply.eval_count)
    return heard


CLIENTS = pytest.mark.parametrize(
    ("client", "wire"),
    [*((of_openai, wire) for wire in WIRES), *((of_litellm, wire) for wire in WIRES), (of_ollama, "ollama")],
    ids=lambda one: one.__name__ if callable(one) else one,
)


@STREAMED
@CLIENTS
def test_text_reason_and_tokens_are_heard(client, wire, streamed):
    """Whatever the letters; the tokens are the words counted."""
    text = "Größe: 3 €\n\n  文字化け 🙂 «end»  "
    with ScriptedServer(Reply(text, finish_reason="length"), wire=wire, api_key="k") as server:
        heard = client(server, streamed)
    assert heard == Heard(text, "", [], "length", (3, len(text.split())))


@STREAMED
@CLIENTS
def test_reasoning_is_heard_apart_from_the_answer(client, wire, streamed):
    """Under whichever of its names."""
    with ScriptedServer(Reply("it is 4", reasoning="two and two"), wire=wire, api_key="k") as server:
        heard = client(server, streamed)
    assert (heard.text, heard.reasoning, heard.reason) == ("it is 4", "two and two", "stop")


@STREAMED
@CLIENTS
def test_tool_calls_are_heard(client, wire, streamed):
    """Two of them, with names and arguments; Ollama's own client hears their end as a stop."""
    reply = Reply(tool_calls=[CALL, CALL], finish_reason="tool_calls")
    with ScriptedServer(reply, wire=wire, api_key="k") as server:
        heard = client(server, streamed, tools=[TOOL])
    assert [(name, json.loads(arguments)) for name, arguments in heard.calls] == [("add", {"x": 1, "y": 2})] * 2
    assert heard.reason == ("stop" if client is of_ollama else "tool_calls")


@pytest.mark.parametrize("wire", ["openai", "vllm", "llamacpp"])
def test_several_choices_are_heard(wire):
    """By OpenAI's client, whole and streamed."""
    with ScriptedServer(["a b", "c", "d e f"] * 2, wire=wire) as server:
        client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=0)
        whole = client.chat.completions.create(model="scripted", messages=ASKED, n=3)
        texts = dict.fromkeys(range(3), "")
        for chunk in client.chat.completions.create(model="scripted", messages=ASKED, n=3, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    assert [choice.message.content for choice in whole.choices] == ["a b", "c", "d e f"]
    assert list(texts.values()) == ["a b", "c", "d e f"]


def test_log_probabilities_and_refusals_are_heard():
    """As OpenAI's client has them, and Ollama's."""
    with ScriptedServer([Reply("a b", logprobs=TOKENS), Reply(refusal="I will not")]) as server:
        client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=0)
        first = client.chat.completions.create(model="scripted", messages=ASKED, logprobs=True)
        assert [(one.token, one.logprob) for one in first.choices[0].logprobs.content] == [("a", -0.5), (" b", -0.5)]
        message = client.chat.completions.create(model="scripted", messages=ASKED).choices[0].message
        assert (message.content, message.refusal) == (None, "I will not")
    with ScriptedServer(Reply("a b", logprobs=TOKENS), wire="ollama") as server:
        client = ollama.Client(server.url)
        whole = client.chat("scripted", ASKED, logprobs=True).logprobs
        streamed = [one for reply in client.chat("scripted", ASKED, logprobs=True, stream=True)
                    for one in reply.logprobs or ()]  # fmt: skip
        assert [one.token for one in whole] == [one.token for one in streamed] == ["a", " b"]


# --- the forms, by OpenAI's own types ---


def _unknown(value):
    """Names of fields that OpenAI's types do not have."""
    if isinstance(value, list):
        return set().union(*map(_unknown, value))
    if not hasattr(value, "model_extra"):
        return set()
    inner = [getattr(value, name) for name in type(value).model_fields]
    return set(value.model_extra or ()).union(*map(_unknown, inner))


@pytest.mark.parametrize(
    ("wire", "own"),
    [
        ("openai", {"reasoning_content"}),
        (
            "vllm",
            {"reasoning", "stop_reason", "token_ids", "routed_experts", "prompt_logprobs", "prompt_token_ids",
             "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics"},
        ),
        ("vllm-0.9", {"reasoning_content", "stop_reason", "prompt_logprobs", "kv_transfer_params"}),
        ("llamacpp", {"reasoning_content", "timings"}),
        ("ollama", {"reasoning", "index"}),
    ],
)  # fmt: skip
def test_replies_are_of_openai_s_types_and_no_others(wire, own):
    """Strictly so, with each server's own additions named here; the same for every chunk of a stream."""
    reply = Reply("a b", reasoning="c", tool_calls=[CALL], logprobs=TOKENS, finish_reason="tool_calls")
    body = {"model": "scripted", "messages": ASKED, "logprobs": True, "stream_options": {"include_usage": True}}
    found = set()
    with ScriptedServer(reply, wire=wire) as server:
        base = server.url.removesuffix("/v1") + "/v1"
        client = openai.OpenAI(base_url=base, api_key="k", max_retries=0)
        whole = {name: value for name, value in body.items() if name != "stream_options"}
        raw = client.post("/chat/completions", body=whole, cast_to=object)
        found |= _unknown(ChatCompletion.model_validate(raw, strict=True))
        streamed = client.chat.completions.with_raw_response.create(stream=True, **body).http_response
        for line in streamed.iter_lines():
            if line.startswith("data: {"):
                chunk = ChatCompletionChunk.model_validate(json.loads(line[6:]), strict=True)
                found |= _unknown(chunk)
    assert found == own


# --- errors ---


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply("no key", status=401), openai.AuthenticationError),
        (Reply("no such model", status=404), openai.NotFoundError),
        (Reply("what is this", status=400), openai.BadRequestError),
        (Reply("too many", status=429, headers={"Retry-After": "7"}), openai.RateLimitError),
        (Reply("broken", status=500), openai.InternalServerError),
        (Reply("overloaded", status=503), openai.InternalServerError),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else str(one.status),
)
def test_errors_are_those_of_openai_s_client(wire, reply, kind):
    """Each status its own error, with the message where the wire tells one."""
    with ScriptedServer(reply, wire=wire) as server, pytest.raises(kind) as caught:
        of_openai(server, streamed=False)
    assert caught.value.status_code == reply.status
    assert caught.value.response.headers.get("Retry-After") == reply.headers.get("Retry-After")
    if reply.status != 401:
        assert reply.text in str(caught.value)


@pytest.mark.parametrize("wire", ["openai", "vllm", "llamacpp"])
def test_an_error_within_a_stream_is_one_to_openai_s_client(wire):
    """Although its status was 200."""
    reply = Reply("one two three", failure="out of memory")
    with ScriptedServer(reply, wire=wire) as server, pytest.raises(openai.APIError, match="out of memory"):
        of_openai(server, streamed=True)


def test_ollama_s_client_hears_errors():
    """An unknown model, and an error within a stream."""
    with ScriptedServer(Reply("one two three", failure="out of memory"), wire="ollama") as server:
        with pytest.raises(ollama.ResponseError, match="out of memory"):
            of_ollama(server, streamed=True)
        with pytest.raises(ollama.ResponseError, match="model 'other' not found") as caught:
            ollama.Client(server.url).chat("other", ASKED)
    assert caught.value.status_code == 404


# --- what else there is ---


def test_ollama_s_client_finds_its_pages():
    """Models that there are and that run, one in detail, generation from a prompt, loading."""
    with ScriptedServer("yes", wire="ollama", models=("a", "b:7b")) as server:
        client = ollama.Client(server.url)
        assert [model.model for model in client.list().models] == ["a:latest", "b:7b"]
        assert [model.model for model in client.ps().models] == ["a:latest", "b:7b"]
        shown = client.show("a")
        assert (shown.details.format, shown.modelinfo["general.architecture"]) == ("gguf", "llama")
        assert "completion" in shown.capabilities
        assert client.generate("a", "is it?").response == "yes"
        assert "".join(one.response for one in client.generate("a", "is it?", stream=True)) == "yes"
        assert client.chat("a", []).done_reason == "load"
        with pytest.raises(ollama.ResponseError, match="model 'c' not found"):
            client.show("c")


@pytest.mark.parametrize("wire", WIRES)
def test_openai_s_client_lists_the_models(wire):
    """At the `/v1` of every wire."""
    with ScriptedServer("yes", wire=wire, models=("a", "b")) as server:
        base = server.url.removesuffix("/v1") + "/v1"
        client = openai.OpenAI(base_url=base, api_key="k", max_retries=0)
        assert [model.id for model in client.models.list()] == ["a", "b"]
