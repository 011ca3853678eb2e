"""What each engine supports, as `EXPECTED` and the page on engines have it: it works, or it is refused."""

import json

import pytest
from engines import EXPECTED, FEATURES, LIVE, REAL, SCRIPTED, named, parameters, running, stored

import rtk
from rtk.errors import SampleError, UnsupportedParameter
from rtk.testing import Reply

QUESTION = "Name a colour."
ANY_SCRIPTED = pytest.mark.parametrize("engine", parameters(SCRIPTED))
EVERY = pytest.mark.parametrize("site", parameters(SCRIPTED, REAL, LIVE), indirect=True)
SCHEMA = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "colour", "schema": SCHEMA}}
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {"x": {}}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def sent(site, **options):
    """The fields of the request that a call sends, those of Ollama's options among them."""
    site.lm()(QUESTION, **options)
    body = dict(site.server.requests[-1].body)
    return body | body.pop("options", {})


def reaches(engine, feature, as_sent, **options):
    """What is expected to reach the server does; what may be refused is, before anything is sent."""
    with running(engine) as site:
        if engine.expected[feature] != "or refused":
            body = sent(site, **options)
            assert {name: body.get(name) for name in as_sent} == as_sent
            return
        try:
            body = sent(site, **options)
        except UnsupportedParameter:
            assert site.server.count == 0
        else:
            assert {name: body.get(name) for name in as_sent} == as_sent


# --- sampling ---


@ANY_SCRIPTED
def test_n_goes_out_as_expected(engine):
    """In one request where the server takes it so, else in one each; whatever is short is topped up."""
    with running(engine, [str(number) for number in range(20)]) as site:
        lm = site.lm(temperature=1.0)
        assert len(set(lm(QUESTION, n=4))) == 4
        first = site.server.count
        assert len(set(lm(QUESTION, n=8))) == 8
        more = site.server.count - first
    one_each = engine.wire == "ollama" or engine.name == "hosted"  # at its /v1 Ollama gives one, whatever n says
    assert (first, more) == ((4, 4) if one_each else (1, 1))
    assert engine.expected["n"] in ("found out", "a request each" if one_each else "one request")


@ANY_SCRIPTED
def test_ordinary_parameters_reach_the_server(engine):
    """Each under the name that this server has for it."""
    with running(engine) as site:
        body = sent(site, temperature=0.3, top_p=0.8, stop=["END", "\n\n"], max_tokens=7)
    limit = body.get("num_predict") or body.get("max_tokens")
    assert (body["temperature"], body["top_p"], body["stop"], limit) == (0.3, 0.8, ["END", "\n\n"], 7)


@ANY_SCRIPTED
def test_top_k_and_min_p_reach_the_server(engine):
    """DSPy's own path drops the first in silence."""
    reaches(engine, "top_k, min_p", {"top_k": 40}, top_k=40)
    reaches(engine, "top_k, min_p", {"min_p": 0.05}, min_p=0.05)


@ANY_SCRIPTED
def test_extra_fields_reach_the_server(engine):
    """Where a server has fields of its own; Ollama's are its options, and it is asked for no others."""
    own = {"num_ctx": 512} if engine.prefix == "ollama_chat" else {"structured_outputs": {"choice": ["a"]}}
    reaches(engine, "extra_body", own, extra_body=own)
    if engine.prefix == "ollama_chat":
        with running(engine) as site, pytest.raises(UnsupportedParameter):
            site.lm()(QUESTION, extra_body={"frobnicate": 1})


@EVERY
def test_a_seed_gives_samples_that_come_again(site):
    """Each sample has its own, derived from its place; the same place elsewhere has the same. Of llama.cpp one by one:
    what is computed side by side differs in the last digits."""
    settings = {"temperature": 1.0, "seed": 5, "concurrency": 1}
    lm, twin = site.lm(**settings), site.lm(**settings, cache=False)
    texts = lm(QUESTION, n=3)
    again = twin(QUESTION, n=3)
    if site.server is None:
        assert again == texts
        return
    bodies = [body | body.get("options", {}) for body in (one.body for one in site.server.requests)]
    seeds = [body.get("seed", body.get("random_seed")) for body in bodies]  # the latter is Mistral's name for it
    assert sorted(seeds[:3]) == sorted(seeds[3:])
    assert len(set(seeds)) == 3


@EVERY
def test_a_stop_ends_a_sample_before_it(site):
    """A real model never writes it; a scripted one is told it."""
    text = site.lm()(QUESTION, stop=["e"], temperature=1.0)[0]
    if site.server is None:
        assert "e" not in text
    else:
        body = site.server.requests[0].body
        assert (body.get("stop") or body["options"]["stop"]) == ["e"]


# --- log-probabilities and formats ---


@ANY_SCRIPTED
def test_log_probabilities_come_in_one_form(engine):
    """OpenAI's, whoever sends them; where they cannot be had the call is refused."""
    tokens = [{"token": "yes", "logprob": -0.25, "bytes": [121, 101, 115], "top_logprobs": []}]
    with running(engine, Reply("yes", logprobs=tokens)) as site:
        lm = site.lm()
        try:
            output = lm(QUESTION, logprobs=True, top_logprobs=1)[0]
        except UnsupportedParameter:
            assert engine.expected["logprobs"] == "or refused"
            assert site.server.count == 0
            return
        assert output["text"] == "yes"
        assert [(one["token"], one["logprob"]) for one in output["logprobs"]["content"]] == [("yes", -0.25)]
        asked = stored(lm, 1, QUESTION, logprobs=True, top_logprobs=1)[0].logprobs["content"]
        assert [one["logprob"] for one in asked] == [-0.25]


@pytest.mark.parametrize("site", parameters(REAL, LIVE), indirect=True)
def test_a_real_model_s_log_probabilities_are_those_of_its_tokens(site):
    """Joined they are the text; each is below 0, or 0."""
    sample = site.lm(max_tokens=6)(QUESTION, logprobs=True)[0]
    tokens = sample["logprobs"]["content"]
    assert sample["text"].strip() in "".join(one["token"] for one in tokens)
    assert all(one["logprob"] <= 0 for one in tokens)


@EVERY
def test_a_schema_binds_what_is_written(site):
    """A real model keeps to it; a scripted one is told it, in its own form."""
    text = site.lm(max_tokens=100)("Name a colour as JSON.", response_format=FORMAT, temperature=0.0)[0]
    if site.server is None:
        assert isinstance(json.loads(text)["colour"], str)
        return
    body = site.server.requests[0].body
    told = body["format"] if "format" in body else body["response_format"]["json_schema"]["schema"]
    assert told == SCHEMA


# --- reasoning, tools, images ---


@ANY_SCRIPTED
def test_reasoning_is_kept_apart_from_the_answer(engine):
    """Under whichever name it comes; with its tokens, where the server tells them."""
    with running(engine, Reply("It is 4.", reasoning="two and two")) as site:
        lm = site.lm()
        output = lm(QUESTION)[0]
        sample = stored(lm, 1, QUESTION)[0]
    assert (output["text"], output["reasoning_content"]) == ("It is 4.", "two and two")
    assert (sample.text, sample.reasoning) == ("It is 4.", "two and two")
    assert sample.usage.completion_tokens == 6
    if engine.wire in ("openai", "vllm"):
        assert sample.usage.reasoning_tokens == 3


@ANY_SCRIPTED
def test_reasoning_effort_reaches_the_server(engine):
    """Ollama's name for it is `think`."""
    name = "think" if engine.prefix == "ollama_chat" else "reasoning_effort"
    reaches(engine, "reasoning_effort", {name: "low"}, reasoning_effort="low")


@ANY_SCRIPTED
def test_tools_go_out_and_calls_come_in(engine):
    """Calls have OpenAI's form, whoever makes them: an id, a type, a name, arguments as text."""
    reply = Reply(tool_calls=[CALL, {**CALL, "id": "call_2"}], finish_reason="tool_calls")
    with running(engine, reply) as site:
        lm = site.lm()
        output = lm(QUESTION, tools=[TOOL])[0]
        sample = stored(lm, 1, QUESTION, tools=[TOOL])[0]
        assert site.server.requests[0].body["tools"] == [TOOL]
    calls = sample.tool_calls
    assert [call["id"] for call in calls] == ["call_1", "call_2"]
    assert {call["type"] for call in calls} == {"function"}
    assert [call["function"]["name"] for call in calls] == ["add", "add"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"x": 1}] * 2
    assert (sample.text, sample.finish_reason) == ("", "tool_calls")
    assert output["tool_calls"]


@ANY_SCRIPTED
def test_a_conversation_with_a_tool_goes_back(engine):
    """The call that was made and what it gave, in the form that this server takes; it would refuse another."""
    messages = [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ]
    with running(engine, "It is 3.") as site:
        assert site.lm()(messages=messages, tools=[TOOL]) == ["It is 3."]
        _, call, result = site.server.requests[0].messages
    function = call["tool_calls"][0]["function"]
    ollama = engine.prefix == "ollama_chat"
    assert function["name"] == "add"
    assert function["arguments"] == ({"x": 1} if ollama else '{"x": 1}')
    assert result["content"] == "3"
    if ollama:
        assert result.get("tool_name") == "add"
    else:
        assert result["tool_call_id"] == "call_1"


@ANY_SCRIPTED
def test_a_call_without_a_name_of_its_own_goes_back_too(engine):
    """Models that number no calls: the turn is sent as it was."""
    call = {name: value for name, value in CALL.items() if name != "id"}
    messages = [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3"},
    ]
    with running(engine, "It is 3.") as site:
        assert site.lm()(messages=messages) == ["It is 3."]
        assert site.server.requests[0].messages[2]["content"] == "3"


@ANY_SCRIPTED
def test_images_go_out(engine):
    """As parts with a data URL, or as Ollama has them: a text, and images in plain base64."""
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    with running(engine, "A dot.") as site:
        assert site.lm()(messages=[{"role": "user", "content": parts}]) == ["A dot."]
        (message,) = site.server.requests[0].messages
    if engine.prefix == "ollama_chat":
        assert (message["content"], message["images"]) == ("What is this?", [PIXEL])
    else:
        assert message["content"] == parts


@pytest.mark.embedded
def test_what_the_embedded_model_has_not_is_refused():
    """Tools and effort before anything is asked, images by the engine; it never passes over them."""
    lm = rtk.LM("embedded", num_retries=0)
    for options in ({"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "required"}, {"reasoning_effort": "low"}):
        with pytest.raises(UnsupportedParameter):
            lm(QUESTION, **options)
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    with pytest.raises(SampleError, match="image"):
        lm(messages=[{"role": "user", "content": [image]}])


# --- streaming ---


@EVERY
def test_a_sample_is_heard_while_it_is_drawn_and_stored_as_ever(site):
    """In pieces that are the sample's text when put together; one that nobody listens to goes out without."""
    parts, came = [], []
    lm = site.lm()
    with rtk.watch(came.append, parts=lambda part: parts.append((part, len(came)))):
        lm(QUESTION)
    (sample,) = (event.sample for event in came)
    assert {(part.address, before) for part, before in parts} == {(sample.address, 0)}
    assert len(parts) > 1
    assert "".join(part.text for part, _ in parts) == sample.text
    assert stored(lm, 1, QUESTION)[0] == sample
    assert sample.usage.completion_tokens > 0
    if site.server is not None:
        lm("Name another.")
        assert [bool(one.body.get("stream")) for one in site.server.requests] == [True, False]


@ANY_SCRIPTED
def test_what_a_stream_brings_is_what_a_whole_reply_brings(engine):
    """Reasoning apart from the text, calls of tools, the end's reason, and the usage where a server tells it."""
    reply = Reply("It is <b>4</b>.", reasoning="two and two", tool_calls=[CALL], finish_reason="tool_calls")
    with running(engine, reply) as site:
        came = []
        with rtk.watch(came.append):
            with rtk.watch(parts=(parts := []).append):
                heard = site.lm()(QUESTION, tools=[TOOL])
            assert heard == site.lm(cache=False)(QUESTION, tools=[TOOL])
        assert site.server.count == 2
    streamed, whole = (event.sample for event in came)
    assert streamed._replace(usage=whole.usage, drawn_at=whole.drawn_at) == whole
    if engine.name == "hosted":  # LiteLLM does not ask this provider for the usage of a stream: it is counted here
        assert streamed.usage.estimated
    else:
        assert streamed.usage._replace(seconds=whole.usage.seconds) == whole.usage
    assert "".join(part.reasoning for part in parts) == "two and two"


# --- the cost ---


@ANY_SCRIPTED
def test_a_price_is_the_one_given_or_unknown(engine):
    """Never 0 where nobody knows it; of a local server it is what its user says."""
    with running(engine, Reply("yes", prompt_tokens=1000, completion_tokens=100)) as site:
        free, paid = site.lm(), site.lm(price=(2, 10), cache=False)
        with rtk.Budget(samples=9) as unknown:
            free(QUESTION)
        with rtk.Budget(dollars=1) as known:
            paid(QUESTION, max_tokens=200)
    assert known.spent.dollars == pytest.approx(0.003)
    if engine.name != "hosted":
        assert unknown.spent.dollars is None


def test_a_hosted_model_s_price_is_listed():
    """LiteLLM's list, kept offline, knows it by the model string."""
    engine = next(one for one in SCRIPTED if one.name == "hosted")
    with running(engine, Reply("yes", prompt_tokens=1_000_000, completion_tokens=0), models=None) as site:
        lm = rtk.LM("deepseek/deepseek-chat", **site.settings)
        with rtk.Budget(samples=9) as budget:
            lm(QUESTION)
    assert 0.01 < budget.spent.dollars < 10


def test_every_engine_has_its_row_and_every_way_is_tried():
    """No engine of the table goes untried, and none but the embedded and the hosted in one way only."""
    tried = {}
    for engine in (*SCRIPTED, *REAL):
        tried.setdefault(engine.name, set()).add(engine.way)
    assert tried.keys() == EXPECTED.keys()
    assert {name for name, ways in tried.items() if len(ways) < 2} == {"embedded", "hosted"}
    assert all(tuple(row) == FEATURES for row in EXPECTED.values())


@pytest.mark.parametrize("engine", LIVE, ids=lambda engine: engine.id)
def test_a_real_server_answers_where_one_is_named(engine):
    """It, and a model of its; with it named, every test above tries it too."""
    if not named(engine):
        pytest.skip(f"{engine.variable} and {engine.variable}_MODEL name no server to try")
    with running(engine) as site:
        assert isinstance(site.lm()(QUESTION)[0], str)
