"""Every parameter on every way: it arrives at the server as it was meant, or it is refused before anything is asked."""

from pathlib import Path

import dspy
import pytest
from serving import QUESTION, key

import rtk
from rtk.errors import UnsupportedParameter
from rtk.models import embedded
from rtk.models.engine import NEUTRAL_SAMPLING, Engine
from rtk.testing import ScriptedServer

SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
THINKING = {"type": "enabled", "budget_tokens": 2000}
OPTIONS = {
    "temperature": 0.3, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "stop": ["END"], "max_tokens": 9,
    "logprobs": True, "top_logprobs": 3, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logit_bias": {"5": 1},
    "response_format": FORMAT, "reasoning_effort": "low", "thinking": THINKING, "think": True,
    "chat_template_kwargs": {"enable_thinking": False}, "extra_body": {"guided_choice": ["a", "b"]},
    "repetition_penalty": 1.1, "num_ctx": 512, "keep_alive": "5m", "tool_choice": "auto", "verbosity": "low",
    "thinking_budget_tokens": 64, "grammar": "root ::= [a-z]", "frobnicate": 1,
}  # fmt: skip
AMONG_OLLAMAS_OPTIONS = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed", "stop": "stop",
    "max_tokens": "num_predict", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
    "num_ctx": "num_ctx",
}  # fmt: skip
OLLAMAS_FIELDS = {
    "logprobs": {"logprobs": True}, "top_logprobs": {"top_logprobs": 3}, "response_format": {"format": SCHEMA},
    "reasoning_effort": {"think": "low"}, "think": {"think": True}, "keep_alive": {"keep_alive": "5m"},
}  # fmt: skip
LLAMA_CPPS = OPTIONS.keys() - {
    "reasoning_effort", "thinking", "think", "extra_body", "repetition_penalty", "num_ctx", "keep_alive", "verbosity",
    "tool_choice", "frobnicate",
}  # fmt: skip


def body(server):
    """What the last request said besides its model, its messages, and that it does not stream."""
    told = dict(server.requests[-1].body)
    assert told.pop("messages")[-1]["content"] == QUESTION
    return {name: value for name, value in told.items() if name != "model" and (name, value) != ("stream", False)}


def derived(lm, seed):
    """The seed that sample 0 is drawn with."""
    ask = lm.ask([{"role": "user", "content": QUESTION}], {"seed": seed})
    return ask.addresses[0].seed(seed)


def expected(lm, option):
    """A field of a body in OpenAI's form."""
    if option == "seed":
        return {"seed": derived(lm, OPTIONS["seed"])}
    return OPTIONS["extra_body"] if option == "extra_body" else {option: OPTIONS[option]}


# --- OpenAI-compatible servers ---

BOTH = pytest.mark.parametrize("transport", ["direct", "litellm"])
PREFIXES = pytest.mark.parametrize("prefix", ["openai", "hosted_vllm", "lm_studio", "llamafile"])


def reaching(server, prefix, transport, **settings):
    return rtk.LM(f"{prefix}/scripted", api_base=server.url, api_key="any", transport=transport, **settings)


@BOTH
@PREFIXES
@pytest.mark.parametrize("option", OPTIONS)
def test_an_openai_compatible_server_gets_each_as_it_was_given(prefix, transport, option):
    """Also what OpenAI itself does not know: the server is the one to say so."""
    with ScriptedServer("{}") as server:
        lm = reaching(server, prefix, transport)
        lm(QUESTION, **{option: OPTIONS[option]})
        assert body(server) == {"temperature": 0.7, **expected(lm, option)}


@PREFIXES
def test_both_ways_send_the_same_body(prefix):
    """All at once, with the same key."""
    found = []
    for transport in ("direct", "litellm"):
        with ScriptedServer("{}") as server:
            lm = reaching(server, prefix, transport, cache=False)
            lm(QUESTION, **OPTIONS)
            found.append((body(server), key(lm, **OPTIONS)))
    assert found[0] == found[1]


# --- Ollama ---


@BOTH
@pytest.mark.parametrize("option", OPTIONS)
def test_ollama_gets_each_in_its_own_place_or_rtk_refuses_it(transport, option):
    """It would pass over what it does not know."""
    with ScriptedServer("{}", wire="ollama") as server:
        lm = reaching(server, "ollama_chat", transport)
        if option not in AMONG_OLLAMAS_OPTIONS and option not in OLLAMAS_FIELDS:
            with pytest.raises(UnsupportedParameter, match=option if option != "extra_body" else "guided_choice"):
                lm(QUESTION, n=3, **{option: OPTIONS[option]})
            assert server.count == 0
            return
        lm(QUESTION, **{option: OPTIONS[option]})
        value = derived(lm, 7) if option == "seed" else OPTIONS[option]
        inside = {AMONG_OLLAMAS_OPTIONS[option]: value} if option in AMONG_OLLAMAS_OPTIONS else {}
        outside = OLLAMAS_FIELDS.get(option, {})
        assert body(server) == {"options": {"temperature": 0.7, **inside}, **outside}


def test_both_ways_send_ollama_the_same_body():
    """All that it takes, at once, with the same key; options of its own may stand in `extra_body`."""
    taken = {name: OPTIONS[name] for name in OPTIONS if name in AMONG_OLLAMAS_OPTIONS or name in OLLAMAS_FIELDS}
    taken = {name: value for name, value in taken.items() if name != "reasoning_effort"}
    taken["extra_body"] = {"repeat_penalty": 1.1}
    found = []
    for transport in ("direct", "litellm"):
        with ScriptedServer("{}", wire="ollama") as server:
            lm = reaching(server, "ollama_chat", transport, cache=False)
            lm(QUESTION, **taken)
            found.append((body(server), key(lm, **taken)))
    assert found[0] == found[1]
    assert found[0][0]["options"]["repeat_penalty"] == 1.1


@BOTH
@pytest.mark.parametrize(("effort", "think"), [("none", False), ("low", "low"), ("medium", "medium"), ("high", "high")])
def test_ollama_gets_openais_effort_as_its_own(transport, effort, think):
    """As its OpenAI-compatible endpoint has it; another word, or two of them, is refused."""
    with ScriptedServer("yes", wire="ollama") as server:
        lm = reaching(server, "ollama_chat", transport)
        lm(QUESTION, reasoning_effort=effort)
        assert body(server)["think"] == think
        for wrong in ({"reasoning_effort": "much"}, {"reasoning_effort": effort, "think": think}):
            with pytest.raises(UnsupportedParameter, match="reasoning_effort"):
                lm(QUESTION, **wrong)


@BOTH
def test_log_probabilities_come_back_from_ollama(transport):
    """LiteLLM would refuse to ask for them, and lose them on the way back."""
    tokens = [{"token": "yes", "logprob": -0.1, "bytes": [121], "top_logprobs": []}]
    with ScriptedServer(rtk.testing.Reply("yes", logprobs=tokens), wire="ollama") as server:
        [output] = reaching(server, "ollama_chat", transport)(QUESTION, logprobs=True)
    assert output["logprobs"]["content"][0]["logprob"] == -0.1


# --- hosted providers, for which LiteLLM translates ---


@pytest.mark.parametrize(
    ("model", "options", "sent"),
    [
        ("deepseek/deepseek-chat", {"top_k": 40}, {"top_k": 40}),
        ("deepseek/deepseek-chat", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}),
        ("fireworks_ai/some-model", {"seed": 7, "min_p": 0.1}, {"min_p": 0.1}),
        ("together_ai/some-model", {"stop": ["END"], "max_tokens": 5}, {"stop": ["END"], "max_tokens": 5}),
    ],
)
def test_a_hosted_provider_gets_what_it_takes(model, options, sent):
    """In its own words where it has others."""
    with ScriptedServer("yes", models=None) as server:
        rtk.LM(model, api_base=server.url, api_key="any")(QUESTION, **options)
        assert sent.items() <= body(server).items()
        assert ("seed" in body(server)) is ("seed" in options)


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        ("deepseek/deepseek-chat", {"thinking": THINKING}, "thinking"),
        ("mistral/mistral-large-latest", {"tool_choice": "auto"}, "tool_choice"),
        ("mistral/mistral-large-latest", {"logit_bias": {"1": 2}}, "logit_bias"),
        ("perplexity/sonar", {"seed": 1}, "seed"),
    ],
)
def test_what_litellm_would_lose_on_the_way_to_one_is_refused(model, options, named):
    """Be it dropped without a word, or cut down to what the provider has a place for."""
    with ScriptedServer("yes", models=None) as server:
        with pytest.raises(UnsupportedParameter, match=named) as caught:
            rtk.LM(model, api_base=server.url, api_key="any")(QUESTION, **options)
        assert (server.count, bool(caught.value.mend)) == (0, True)


# --- the embedded engine ---


@pytest.fixture
def engine(monkeypatch):
    """A scripted server in the engine's place, and an LM over it."""
    with ScriptedServer("{}", wire="llamacpp", models=None) as server:
        running = Engine(Path("x"), "ab" * 32, 8, 2048, server.url, "any", object())
        monkeypatch.setattr(embedded, "engine", lambda path, slots, context: running)
        monkeypatch.setattr(embedded.weights, "require", lambda name=None: Path("x"))
        yield server


@pytest.mark.parametrize("option", OPTIONS)
def test_the_embedded_engine_gets_each_that_llama_cpp_reads(engine, option):
    """And rtk refuses the others, over which it would pass."""
    lm = rtk.LM("embedded")
    if option not in LLAMA_CPPS:
        with pytest.raises(UnsupportedParameter, match=option if option != "extra_body" else "guided_choice"):
            lm(QUESTION, **{option: OPTIONS[option]})
        assert engine.count == 0
        return
    lm(QUESTION, **{option: OPTIONS[option]})
    usual = {"temperature": 0.7, "max_tokens": 512, **NEUTRAL_SAMPLING}
    told = {name: value for name, value in body(engine).items() if name not in ("stream", "stream_options")}
    assert told == {**usual, **expected(lm, option)}


# --- another LM, wrapped ---

LOST = {"auto": {"top_k", "thinking", "tool_choice"}, "litellm": {"thinking", "verbosity", "tool_choice"}}


@pytest.mark.parametrize("engine_", ["auto", "litellm"])
@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - {"seed"}))
def test_a_wrapped_lm_sends_each_or_it_is_an_error(engine_, option):
    """DSPy's own way to a model leaves `top_k` out, and says so where nobody looks."""
    with ScriptedServer("{}") as server:
        inner = dspy.LM("openai/scripted", api_base=server.url, api_key="any", engine=engine_, cache=False)
        lm = rtk.LM.of(inner)
        if option in LOST[engine_]:
            with pytest.raises(UnsupportedParameter, match=option) as caught:
                lm(QUESTION, **{option: OPTIONS[option]})
            assert (lm.store.count(), bool(caught.value.mend)) == (0, True)
            return
        lm(QUESTION, **{option: OPTIONS[option]})
        renamed = {"max_completion_tokens": 9} if option == "max_tokens" and engine_ == "auto" else None
        assert (renamed or expected(lm, option)).items() <= body(server).items()


def test_a_wrapped_lm_through_litellm_does_not_lose_a_number():
    """A budget of thinking tokens would become an effort in a word."""
    with ScriptedServer("{}") as server:
        inner = dspy.LM("hosted_vllm/scripted", api_base=server.url, api_key="any", engine="litellm", cache=False)
        with pytest.raises(UnsupportedParameter, match="thinking"):
            rtk.LM.of(inner)(QUESTION, thinking=THINKING)
        assert server.count == 0
