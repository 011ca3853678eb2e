"""Parameters: each reaches the model, or is refused with a mend; none is dropped on the way."""

import dspy
import pydantic
import pytest
from serving import QUESTION, key, numbered, over

import rtk
from rtk.errors import EndpointError, ModelError, UnsupportedParameter
from rtk.testing import Reply, ScriptedServer

TWO = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"y": {}, "x": {}}}},
}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
BOTH = pytest.mark.parametrize("transport", ["direct", "litellm"])


def sent(transport, wire, **options):
    """The body that a call with these options sends."""
    with ScriptedServer(numbered(), wire=wire) as server:
        over(server, transport=transport)(QUESTION, **options)
        return server.requests[-1].body


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {"top_p": 0.9},
        {"top_k": 40},
        {"min_p": 0.05},
        {"stop": ["END", "\n\n"]},
        {"max_tokens": 7},
        {"presence_penalty": 0.1, "frequency_penalty": 0.2},
        {"logprobs": True, "top_logprobs": 3},
        {"logit_bias": {"50256": -100}},
        {"response_format": {"type": "json_object"}},
        {"response_format": SCHEMA},
        {"tools": [TOOL], "tool_choice": "auto"},
        {"reasoning_effort": "low"},
        {"repetition_penalty": 1.1, "min_tokens": 3},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
    ids=lambda options: "-".join(options),
)
def test_an_openai_server_gets_every_option_as_given(transport, options):
    """Also those that OpenAI itself does not know: vLLM and llama.cpp do."""
    body = sent(transport, "openai", **options)
    assert {name: body.get(name) for name in options} == options


@BOTH
def test_extra_body_becomes_fields_of_the_body(transport):
    """As with OpenAI's own client."""
    body = sent(transport, "openai", extra_body={"guided_choice": ["a", "b"]})
    assert body["guided_choice"] == ["a", "b"]
    assert "extra_body" not in body


@BOTH
@pytest.mark.parametrize(
    ("options", "as_sent"),
    [
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"top_k": 40, "min_p": 0.05}, {"top_k": 40, "min_p": 0.05}),
        ({"stop": ["END"]}, {"stop": ["END"]}),
        ({"max_tokens": 7}, {"num_predict": 7}),
        ({"num_ctx": 512, "repeat_penalty": 1.1}, {"num_ctx": 512, "repeat_penalty": 1.1}),
    ],
    ids=str,
)
def test_ollama_gets_them_among_its_options(transport, options, as_sent):
    """Under the names that Ollama has for them."""
    assert sent(transport, "ollama", **options)["options"] == {"temperature": 0.7, **as_sent}


@BOTH
def test_ollama_gets_formats_and_tools_as_fields(transport):
    """A JSON schema is the format itself."""
    assert sent(transport, "ollama", response_format={"type": "json_object"})["format"] == "json"
    assert sent(transport, "ollama", response_format=SCHEMA)["format"] == {"type": "object"}
    assert sent(transport, "ollama", tools=[TOOL])["tools"] == [TOOL]


def test_ollama_gets_what_is_its_own():
    """Log-probabilities, thinking and how long a model stays loaded are fields of its requests."""
    options = {"logprobs": True, "top_logprobs": 2, "think": False, "keep_alive": "5m"}
    body = sent("direct", "ollama", **options)
    assert {name: body[name] for name in options} == options


@pytest.mark.parametrize(
    "options",
    [
        {"logit_bias": {"1": 2}},
        {"frobnicate": 1},
        {"extra_body": {"guided_choice": ["a"]}},
        {"response_format": {"type": "text"}},
    ],
    ids=str,
)
def test_what_ollama_has_no_place_for_is_refused(options):
    """Ollama ignores what it does not know; rtk says so instead, and asks nothing."""
    with ScriptedServer(numbered(), wire="ollama") as server:
        with pytest.raises(UnsupportedParameter) as caught:
            over(server)(QUESTION, n=2, **options)
        assert caught.value.mend
        assert server.count == 0


@pytest.mark.parametrize("options", [{"logprobs": True}, {"logit_bias": {"1": 2}}], ids=str)
def test_what_litellm_would_refuse_is_refused(options):
    """LiteLLM's refusal comes as rtk's, for one sample and for several."""
    with ScriptedServer(numbered(), models=None) as server:
        lm = rtk.LM("mistral/mistral-large-latest", api_base=server.url, api_key="any")
        for count in (1, 3):
            with pytest.raises(UnsupportedParameter, match="does not take a parameter"):
                lm(QUESTION, n=count, **options)
        assert server.count == 0


class Thought(pydantic.BaseModel):
    """Its fields are not in the order of the alphabet."""

    reasoning: str
    answer: int


@pytest.mark.parametrize(
    ("wire", "transport"), [("openai", "direct"), ("openai", "litellm"), ("ollama", "direct"), ("ollama", "litellm")]
)
def test_a_schemas_properties_stay_in_order(wire, transport):
    """A model that is held to a schema writes its properties as they stand: the answer must not come first."""
    body = sent(transport, wire, response_format=Thought, tools=[TWO])
    schema = body["format"] if wire == "ollama" else body["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reasoning", "answer"]
    assert list(body["tools"][0]["function"]["parameters"]["properties"]) == ["y", "x"]
    assert list(body["tools"][0]["function"]) == ["name", "parameters"]


def test_another_order_of_properties_is_another_request():
    """What a model would write differs with it; the order of options makes no difference."""
    schemas = [{"type": "object", "properties": {name: {} for name in names}} for names in ("ab", "ba")]
    formats = [{"type": "json_schema", "json_schema": {"name": "a", "schema": schema}} for schema in schemas]
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        keys = [key(lm, response_format=one) for one in formats]
        assert keys[0] != keys[1]
        assert key(lm, response_format=formats[0], top_p=1) == key(lm, top_p=1, response_format=formats[0])


@BOTH
def test_messages_arrive_as_they_are(transport):
    """Roles, earlier turns and an assistant's beginning are not rearranged."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Müller & Söhne — 你好 \u2028"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go on."},
    ]
    with ScriptedServer(numbered()) as server:
        over(server, transport=transport)(messages=messages)
        assert server.requests[0].messages == messages


def test_images_reach_ollama_beside_the_text():
    """Parts of a message become one text and a list of base64 images."""
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    with ScriptedServer(numbered(), wire="ollama") as server:
        lm = over(server)
        lm(messages=[{"role": "user", "content": parts}])
        assert server.requests[0].messages == [{"role": "user", "content": "What is this?", "images": ["AAAA"]}]
        with pytest.raises(UnsupportedParameter, match="base64"):
            lm(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}])


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_tool_calls_come_and_go_in_openais_form(wire):
    """A tool call is read from a reply, and sent back in a later turn as each wire wants it."""
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    with ScriptedServer([Reply(tool_calls=[call]), "three"], wire=wire) as server:
        lm = over(server)
        [output] = lm(QUESTION, tools=[TOOL])
        [got] = output["tool_calls"]
        assert got["function"] == call["function"]
        turns = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "", "tool_calls": [got]},
            {"role": "tool", "content": "3"},
        ]
        assert lm(messages=turns) == ["three"]
        [again] = server.requests[-1].messages[1]["tool_calls"]
    assert again["function"]["arguments"] == ({"x": 1} if wire == "ollama" else '{"x": 1}')


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_dspys_adapters_get_their_tools_and_formats(wire):
    """Native tool calls are read, and JSON output is asked for and read, as over DSPy's own LM."""
    call = {"id": "1", "type": "function", "function": {"name": "double", "arguments": '{"x": 1}'}}
    with ScriptedServer([Reply(tool_calls=[call]), '{"answer": 4}'], wire=wire) as server:
        with dspy.context(lm=over(server), adapter=dspy.ChatAdapter(use_native_function_calling=True)):
            acting = dspy.Predict("question, tools: list[dspy.Tool] -> calls: dspy.ToolCalls")
            [called] = acting(question="?", tools=[dspy.Tool(double)]).calls.tool_calls
        assert (called.name, called.args) == ("double", {"x": 1})
        with dspy.context(lm=over(server), adapter=dspy.JSONAdapter()):
            assert dspy.Predict("question -> answer: int")(question="?").answer == 4
        assert "format" in server.requests[1].body or "response_format" in server.requests[1].body


def double(x: int) -> int:
    return 2 * x


@BOTH
def test_reasoning_and_log_probabilities_come_with_the_text(transport):
    """What is more than text comes as DSPy has it: a dict with the same keys for every sample."""
    tokens = [{"token": "yes", "logprob": -0.1, "bytes": [121], "top_logprobs": []}]
    script = [Reply("yes", reasoning="hm", logprobs=tokens), Reply("no", logprobs=tokens)]
    with ScriptedServer(script) as server:
        first, second = over(server, transport=transport)(QUESTION, n=2, logprobs=True)
    assert (first["text"], first["reasoning_content"], first["logprobs"]) == ("yes", "hm", {"content": tokens})
    assert (second["text"], second["reasoning_content"]) == ("no", None)


# --- what is no parameter of a call ---

CONNECTION = {
    "api_key": "k", "api_base": "http://127.0.0.1:1/v1", "base_url": "http://127.0.0.1:1/v1", "headers": {"a": "b"},
    "extra_headers": {"a": "b"}, "timeout": 3, "organization": "o", "aws_secret_access_key": "s", "azure_ad_token": "t",
    "vertex_credentials": "c", "api_version": "1",
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTION)
def test_settings_of_the_connection_are_refused_for_a_call(name):
    """They belong to rtk.LM, and a call or a copy that carries one is told so."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        for wrong in (lambda: lm(QUESTION, **{name: CONNECTION[name]}), lambda: lm.copy(**{name: CONNECTION[name]})):
            with pytest.raises(UnsupportedParameter, match=name) as caught:
                wrong()
            assert "rtk.LM(" in caught.value.mend
        assert server.count == 0


@pytest.mark.parametrize(
    "options",
    [{"stream": True}, {"user": "me"}, {"metadata": {"a": 1}}, {"mock_response": "x"}, {"num_retries": 2}],
    ids=str,
)
def test_what_would_not_reach_the_model_is_refused_everywhere(options):
    """For a call, and at once where an LM is made with it."""
    with ScriptedServer(numbered()) as server:
        with pytest.raises(UnsupportedParameter):
            over(server)(QUESTION, **options)
        if "num_retries" not in options:
            with pytest.raises(UnsupportedParameter):
                over(server, **options)


@pytest.mark.parametrize(
    "extra", [{"seed": 1}, {"temperature": 0}, {"n": 2}, {"messages": []}, {"api_key": "k"}, "text"], ids=str
)
def test_extra_body_cannot_undo_what_rtk_promises(extra):
    """A temperature or a seed hidden in it would make the request a lie, and a key would lie on the disk."""
    with ScriptedServer(numbered()) as server, pytest.raises(UnsupportedParameter):
        over(server)(QUESTION, extra_body=extra)


@pytest.mark.parametrize("options", [{"engine": "lm15"}, {"use_developer_role": True}, {"async_engine": ...}], ids=str)
def test_settings_of_dspys_lm_that_mean_nothing_here_are_refused(options):
    """Where DSPy's own values are left as they are, nothing is said."""
    with pytest.raises(UnsupportedParameter, match="no effect"):
        rtk.LM("openai/scripted", api_base="http://127.0.0.1:1/v1", **options)
    rtk.LM("openai/scripted", api_base="http://127.0.0.1:1/v1", engine="auto", use_developer_role=False)


class Unspeakable(pydantic.BaseModel):
    """Without a JSON schema."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    thing: object = pydantic.Field(default=None)
    call: pydantic.InstanceOf[ScriptedServer]


@pytest.mark.parametrize("value", [..., float("nan"), {1, 2}, "\ud800", Unspeakable], ids=ascii)
def test_a_value_that_json_cannot_carry_is_refused(value):
    """An error with a mend, before anything is asked."""
    with ScriptedServer(numbered()) as server:
        with pytest.raises(UnsupportedParameter, match="JSON") as caught:
            over(server)(QUESTION, response_format=value)
        assert caught.value.mend
        assert server.count == 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"model_type": "text"}, ModelError),
        ({"concurrency": 0}, ModelError),
        ({"price": "cheap"}, ModelError),
        ({"price": (1, -1)}, ModelError),
        ({"gguf": "x.gguf"}, ModelError),
        ({"api_base": "localhost:8000"}, EndpointError),
        ({"timeout": "soon"}, EndpointError),
        ({"transport": "direct", "api_version": "1"}, EndpointError),
    ],
    ids=str,
)
def test_an_lm_that_cannot_be_is_refused(settings, error):
    """With a mend, when it is made or, for the time limit, when it is first asked."""
    with pytest.raises(error) as caught:
        rtk.LM("openai/scripted", **{"api_base": "http://127.0.0.1:1/v1", **settings})(QUESTION)
    assert caught.value.mend


def test_nothing_asked_is_refused():
    """A call without a question asks nothing of anybody."""
    with ScriptedServer(numbered()) as server:
        for nothing in ({}, {"messages": []}):
            with pytest.raises(ModelError, match="nothing was asked"):
                over(server)(**nothing)
        assert server.count == 0
