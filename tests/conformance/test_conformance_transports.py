"""rtk speaks to an endpoint itself or through LiteLLM: the requests, the addresses and the samples are the same."""

import pytest
from engines import DIRECT, LITELLM, REAL, SCRIPTED, parameters, running, stored

import rtk
from rtk.models import weights
from rtk.models.engine import engine as started
from rtk.testing import Reply

QUESTION = "Name a colour."
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"x": {}}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
TOKENS = [{"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []} for token in ("a", " b")]
REPLY = Reply("a b", reasoning="think twice", tool_calls=[CALL], logprobs=TOKENS, finish_reason="tool_calls")
OPTIONS = {
    "plain": {},
    "sampling": {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "stop": "END"},
    "tokens": {"max_tokens": 9, "logprobs": True, "top_logprobs": 2},
    "format": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [TOOL]},
}
BOTH = pytest.mark.parametrize("engine", parameters(SCRIPTED, where=lambda engine: engine.way == DIRECT))


def other(engine):
    """The same engine, through LiteLLM."""
    return next(one for one in (*SCRIPTED, *REAL) if one == type(engine)(**{**vars(engine), "way": LITELLM}))


def told(sample):
    """A sample less the moment and the pace at which it came."""
    usage = sample.usage._replace(seconds=0.0)
    return sample._replace(usage=usage, drawn_at="")


def drawn(engine, options, folder):
    """The bodies sent and the samples drawn, in a store of their own."""
    with running(engine, REPLY) as site:
        lm = site.lm(store=folder)
        lm(QUESTION, n=3, **options)
        samples = stored(lm, 3, QUESTION, **options)
        return [one.body for one in site.server.requests], {index: told(one) for index, one in samples.items()}


@BOTH
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_both_ways_give_the_same_samples_at_the_same_addresses(engine, options, tmp_path):
    """Key, stream, index, text, reasoning, tool calls, log-probabilities, finish reason, tokens, served model."""
    sent, direct = drawn(engine, options, tmp_path / "direct")
    also_sent, through = drawn(other(engine), options, tmp_path / "litellm")
    assert direct == through
    assert len(direct) == 3
    assert [body["messages"] for body in sent] == [body["messages"] for body in also_sent]
    for name in options.keys() - {"seed"}:
        assert {str(body.get(name)) for body in sent} == {str(body.get(name)) for body in also_sent}


@BOTH
@pytest.mark.parametrize("first", [DIRECT, LITELLM])
def test_one_way_tops_up_what_the_other_drew(engine, first):
    """Over one store: two one way, five the other, five served."""
    ways = (DIRECT, LITELLM) if first == DIRECT else (LITELLM, DIRECT)
    with running(engine, "yes") as site:
        lms = [site.lm(transport=way) for way in ways]
        lms[0](QUESTION, n=2)
        lms[1](QUESTION, n=5)
        assert site.server.choices_served == 5
        assert lms[0].store.count() == 5


@pytest.mark.embedded
def test_the_embedded_engine_says_the_same_whichever_way_it_is_asked():
    """At temperature 0: in this process, over HTTP, and through LiteLLM; over HTTP under one key."""
    real = started(weights.require(weights.names()[0]))
    settings = {"temperature": 0.0, "max_tokens": 16, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    at = {"api_base": real.url, "api_key": real.api_key}
    inside = rtk.LM("embedded", **settings)
    direct, through = (rtk.LM("openai/smollm2", transport=way, **at, **settings) for way in (DIRECT, LITELLM))
    said = inside(QUESTION)
    assert direct(QUESTION) == said
    assert through(QUESTION) == said
    assert direct.store.count() == 2, "the two over HTTP are one request"
