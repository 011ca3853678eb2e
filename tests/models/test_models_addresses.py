"""Addresses of an LM's samples: fixed by the place in the program and the request, never by what arrived first."""

import tempfile
from concurrent.futures import ThreadPoolExecutor

import dspy
import numpy
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import MESSAGES, QUESTION, Anything, key, numbered, over, stored

import rtk
from rtk.errors import ModelError, UnsupportedParameter
from rtk.samples import Address
from rtk.testing import ScriptedServer


@pytest.fixture
def lm():
    """An LM over a server that never gives a text twice."""
    with ScriptedServer(numbered(), models=None) as server:
        yield over(server)


# --- the rules ---


def test_a_plain_call_is_a_pure_function(lm):
    """Rule 1: the same call gives the same samples every time, in whatever thread and module it is made."""
    first = lm(QUESTION, n=4)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: lm(QUESTION, n=4), range(8))) == [first] * 8

    class Asks(dspy.Module):
        def forward(self, times):
            return dspy.Prediction(texts=[dspy.settings.lm(QUESTION, n=4) for _ in range(times)])

    with dspy.context(lm=lm):
        found = dspy.Parallel(num_threads=3, disable_progress_bar=True)([(Asks(), {"times": 2})] * 3)
    assert [texts for one in found for texts in one.texts] == [first] * 6


def test_a_call_lies_at_the_first_indices_of_its_stream(lm):
    """Rule 1: samples 0 to n - 1, in order."""
    texts = lm(QUESTION, n=3)
    assert {index: sample.text for index, sample in stored(lm, 9).items()} == dict(enumerate(texts))
    assert {sample.address.stream for sample in stored(lm, 9).values()} == {"0"}


def test_a_call_draws_in_the_replicate_it_runs_in(lm):
    """Rule 5: each replicate has samples of its own, also in DSPy's threads, and they stay its own."""

    class Asks(dspy.Module):
        def forward(self):
            return dspy.Prediction(texts=lm(QUESTION))

    plain = lm(QUESTION)
    with rtk.replicate(2):
        second = lm(QUESTION)
        found = dspy.Parallel(num_threads=2, disable_progress_bar=True)([(Asks(), {})] * 3)
    assert [one.texts for one in found] == [second] * 3
    assert second != plain
    assert lm(QUESTION) == plain


def test_a_rollout_id_is_a_stream_of_its_own(lm):
    """Rule 6: on a call or a copy, in any replicate; none and 0 are the parent's."""
    plain = lm(QUESTION)
    apart = lm(QUESTION, rollout_id=5)
    with rtk.replicate(1):
        elsewhere = lm(QUESTION, rollout_id=5)
    assert len({plain[0], apart[0], elsewhere[0]}) == 3
    assert lm.copy(rollout_id=5)(QUESTION) == apart
    assert lm(QUESTION, rollout_id=0) == lm(QUESTION, rollout_id=None) == plain
    ask = lm.ask(MESSAGES, {"rollout_id": 5})
    assert [str(address).split(":")[1:] for address in ask.addresses] == [["0~5", "0"]]


def test_dspys_best_of_n_draws_its_attempts_once(lm):
    """It asks copies with rollout_ids at temperature 1: three attempts, and none when it is run again."""
    best = dspy.BestOfN(dspy.Predict("question -> answer"), N=3, reward_fn=lambda *_: 0.0, threshold=1.0)
    with dspy.context(lm=lm, adapter=Anything()):
        first = best(question="?").answer
        assert lm.store.count() == 3
        assert best(question="?").answer == first
    assert {address.stream for address in lm.store.addresses()} == {"0~1", "0~2", "0"}
    assert lm.store.count() == 3


@pytest.mark.parametrize("wrong", [-1, "a", 1.5, True])
def test_a_rollout_id_that_names_no_stream_is_refused(lm, wrong):
    """An error with a mend, before anything is asked."""
    with pytest.raises(ModelError, match="names no stream"):
        lm(QUESTION, rollout_id=wrong)


def test_a_count_may_be_numpys(lm):
    """As loops over arrays give it."""
    assert lm(QUESTION, n=numpy.int64(2)) == lm(QUESTION, n=2)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_count_that_is_none_is_refused(lm, wrong):
    """Asking for no sample is a mistake, not one sample."""
    with pytest.raises(ModelError, match="no number of samples"):
        lm(QUESTION, n=wrong)


def test_at_temperature_zero_one_sample_is_given_every_time(lm):
    """Rule 7: asked for eight it is drawn once, in every stream, and given eight times."""
    greedy = lm.copy(temperature=0)
    eight = greedy(QUESTION, n=8)
    assert len(eight) == 8
    assert len(set(eight)) == 1
    with rtk.replicate(4):
        assert greedy(QUESTION, rollout_id=3) == eight[:1]
    assert list(stored(greedy, 8, temperature=0)) == [0]
    assert lm(QUESTION) != eight[:1]


PERMUTATIONS = st.permutations(range(6))


@settings(max_examples=20)
@given(PERMUTATIONS)
def test_replies_in_any_order_give_the_same_addresses(order):
    """Whichever of six replies comes first, each text lies at the address whose seed its request carried."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ScriptedServer(lambda received: f"seed {received.body['seed']}") as server,
        ThreadPoolExecutor(1) as pool,
    ):
        lm = over(server, store=folder, seed=1, server_n=False)
        with server.hold():
            asked = pool.submit(lm, QUESTION, n=6)
            server.wait_for(lambda s: s.held == 6)
            seeds = [received.body["seed"] for received in server.requests]
            for left, place in zip(range(5, -1, -1), order, strict=True):
                server.release(where=lambda received, seed=seeds[place]: received.body["seed"] == seed)
                server.wait_for(lambda s, left=left: s.in_flight == left)
        texts = asked.result(300)
        assert texts == [f"seed {Address('', '0', index).seed(1)}" for index in range(6)]
        assert lm(QUESTION, n=6) == texts


@settings(max_examples=15)
@given(PERMUTATIONS, st.integers(1, 6))
def test_questions_in_any_order_get_their_own_answers(order, concurrency):
    """Six questions asked at once, in any order and number at a time, have the texts that they have alone."""
    with tempfile.TemporaryDirectory() as folder, ScriptedServer(lambda received: f"to {received.last}") as server:
        lm = over(server, store=folder, concurrency=concurrency)
        with ThreadPoolExecutor(6) as pool:
            texts = dict(zip(order, pool.map(lambda number: lm(f"question {number}", n=2), order), strict=True))
        assert texts == {number: [f"to question {number}"] * 2 for number in range(6)}


# --- the temperature ---


def sent(server):
    return server.requests[-1].body["temperature"]


def test_the_temperature_is_always_sent():
    """0.7 unless given, whatever n is; a call's wins over the LM's, and None means the LM's."""
    with ScriptedServer(numbered(), models=None) as server:
        lm = over(server)
        told = []
        for options in ({}, {"n": 8}, {"temperature": 0.2}, {"temperature": None, "top_p": 0.5}):
            lm(QUESTION, **options)
            told.append(sent(server))
        lm.copy(temperature=None)("another")
        over(server, temperature=1.3)("a third")
        assert told == [0.7, 0.7, 0.2, 0.7]
        assert [received.body["temperature"] for received in server.requests[-2:]] == [0.7, 1.3]
    assert key(lm) == key(lm, temperature=None) == key(lm, temperature=0.7) != key(lm, temperature=0.71)


@pytest.mark.parametrize("name", ["o3-mini", "gpt-5-nano"])
def test_a_reasoning_model_has_the_one_temperature_it_takes(name):
    """OpenAI's reasoning models take 1.0 and call the bound of their output max_completion_tokens."""
    with ScriptedServer(numbered(), models=None) as server:
        lm = rtk.LM(f"openai/{name}", api_base=server.url, api_key="any", max_tokens=16_000)
        lm(QUESTION)
        assert (sent(server), server.requests[-1].body["max_completion_tokens"]) == (1, 16_000)


@pytest.mark.parametrize("wrong", ["hot", -1, float("nan"), True])
def test_a_temperature_that_is_none_is_refused(lm, wrong):
    """It must be a number from 0 on, for its request could not be read back."""
    with pytest.raises(UnsupportedParameter, match="temperature"):
        lm(QUESTION, temperature=wrong)


def test_dspys_own_rule_for_n_changes_no_key(lm):
    """DSPy raises the temperature to 0.7 where n > 1 and none is set: here one always is, so one and many share."""
    predict = dspy.Predict("question -> answer")
    with dspy.context(lm=lm, adapter=Anything()):
        one = predict(question="?")
        four = predict(question="?", config={"n": 4})
        assert four.completions.answer[0] == one.answer
        hot = predict(question="?", config={"n": 2, "temperature": 1.0})
        assert hot.answer not in four.completions.answer
    temperatures = {lm.store.request(address.key).options["temperature"] for address in lm.store.addresses()}
    assert temperatures == {0.7, 1}


def test_dspy_asks_a_greedy_lm_for_many_at_its_own_temperature(lm):
    """At temperature 0 DSPy asks for several at 0.7: what it sent is what lies in the store."""
    with dspy.context(lm=lm.copy(temperature=0), adapter=Anything()):
        assert len(set(dspy.Predict("question -> answer", n=3)(question="?").completions.answer)) == 3
    assert {request.options["temperature"] for request in lm.store.requests()} == {0.7}


# --- the key ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"n": 3}, {"rollout_id": 4}),
        ({"cache": False}, {}),
        ({"top_p": None}, {}),
        ({"logit_bias": {"1": 2, "3": 4}}, {"logit_bias": {"3": 4, "1": 2}}),
    ],
)
def test_what_asks_for_the_same_is_the_same_request(lm, one, other):
    """How often, where and in which order is no part of a request."""
    assert key(lm, **one) == key(lm, **other)


def test_what_is_behind_the_name_is_part_of_the_request(lm):
    """A revision tells models of one name apart; the endpoint, the key and the transport do not."""
    with ScriptedServer("yes") as server:
        elsewhere = over(server, api_key="another", timeout=3, headers={"X": "y"}, num_retries=0, transport="litellm")
        assert key(elsewhere) == key(lm)
        assert key(over(server, revision="2")) != key(lm)
        assert key(over(server, revision="2")) == key(over(server, revision="2"))


def test_a_pydantic_model_is_its_schema(lm):
    """A class as response format is stored, and sent, as the JSON schema that it stands for."""

    class Answer(pydantic.BaseModel):
        value: int

    assert lm(QUESTION, response_format=Answer)
    [request] = lm.store.requests()
    assert request.options["response_format"]["json_schema"]["schema"]["properties"] == {
        "value": {"title": "Value", "type": "integer"}
    }
