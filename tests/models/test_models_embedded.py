"""The embedded model, live: through `rtk.LM("embedded")`, and through its own HTTP port like any other server."""

import asyncio
import json

import dspy
import pydantic
import pytest

import rtk
from rtk.errors import ModelError, SampleError
from rtk.models import weights
from rtk.models.engine import engine

pytestmark = pytest.mark.embedded
QUESTION = "Name a colour."


class Colour(pydantic.BaseModel):
    """One colour."""

    name: str


@pytest.fixture
def lm():
    return rtk.LM("embedded", max_tokens=8)


def stored(lm):
    """All samples in the store, by address."""
    return [lm.store.read(one.key, one.stream, [one.index])[one.index] for one in lm.store.addresses()]


def test_asking_for_more_draws_what_is_missing(lm):
    """n of 2, 4, 8 and 4 again: the first texts stay, and there are eight samples in the end."""
    two, four, eight, again = (lm(QUESTION, n=n) for n in (2, 4, 8, 4))
    assert eight[:4] == four == again
    assert four[:2] == two
    assert lm.store.count() == 8
    assert asyncio.run(lm.acall(QUESTION, n=8)) == eight


def test_tokens_are_those_of_each_sample(lm):
    """Samples of one request are counted apart: as many tokens as log-probabilities, and never a share of a sum."""
    lm(QUESTION, n=4, logprobs=True, max_tokens=40)
    samples = stored(lm)
    assert all(abs(one.usage.completion_tokens - len(one.logprobs["content"])) <= 1 for one in samples)
    assert all(one.usage.prompt_tokens > 5 and one.usage.seconds > 0 for one in samples)


def test_a_sample_names_its_weights_and_no_path(lm):
    """What served it is told by the weights' hash: a path would be another on every machine."""
    lm(QUESTION)
    assert [one.served_model for one in stored(lm)] == [f"gguf:{weights.known_sha256()[:12]}"]


def test_sampling_parameters_reach_it(lm):
    """A seed still gives n different samples, a stop ends them, a schema binds them."""
    assert len(set(lm(QUESTION, n=4, seed=5, temperature=1.0))) > 1
    assert "e" not in lm(QUESTION, stop=["e"])[0]
    assert Colour.model_validate_json(
        lm("Name a colour as JSON.", response_format=Colour, temperature=0.0, max_tokens=200)[0]
    )
    assert json.loads(lm.store.request(stored(lm)[0].address.key).body)["options"]["top_k"] == 0


def test_a_prompt_that_is_too_long_says_so(lm):
    """One clear error with its mend."""
    with pytest.raises(SampleError, match="context") as caught:
        lm("word " * 3000)
    assert "context=" in caught.value.mend


def test_a_name_that_is_none_of_the_models_is_refused():
    """The error lists those there are."""
    with pytest.raises(ModelError, match="no embedded model") as caught:
        rtk.LM("embedded/gpt-9")
    assert "smollm2-135m-instruct" in caught.value.mend


@pytest.mark.parametrize("transport", ["direct", "litellm"])
@pytest.mark.parametrize("prefix", ["openai", "hosted_vllm"])
def test_its_port_is_an_openai_compatible_server(prefix, transport):
    """Reached like any other server, it gives n samples; the same request, whichever way."""
    running = engine(weights.require())
    lm = rtk.LM(
        f"{prefix}/smollm2", api_base=running.url, api_key=running.api_key, transport=transport, max_tokens=8
    )  # fmt: skip
    texts = lm(QUESTION, n=3)
    assert len(texts) == 3
    assert lm.store.count() == 3
    key = next(lm.store.addresses()).key
    assert key == rtk.LM(f"{prefix}/smollm2", api_base="http://127.0.0.1:9/v1", api_key="x", max_tokens=8).request(
        [{"role": "user", "content": QUESTION}], {"max_tokens": 8, "temperature": 0.7}
    ).key  # fmt: skip
    assert lm(QUESTION, n=3) == texts


@pytest.mark.slow
def test_the_strategies_run_live():
    """A chain, a vote and a tree over the same model, each under a budget that it keeps."""
    task = rtk.tasks.load("hidden_sequence", size=1, level=1)
    vote = rtk.SelfConsistency(task.signature, samples=4, comparer=task.comparer)
    vote.chain.predict.demos = task.demos(2)
    tree = rtk.TreeOfThoughts(task.signature, 1, 2, task.depth, check=task.check, values=0, separator=", ")
    tree.propose.predict.demos = task.partial_demos(2)
    inputs = dict(task.test[0].inputs())
    with dspy.context(lm=rtk.LM("embedded", max_tokens=80), adapter=rtk.LinesAdapter()):
        for program in (rtk.ChainOfThought(task.signature), vote, tree):
            budget = rtk.Budget(samples=3)
            pred = program(**inputs, budget=budget)
            assert 1 <= budget.spent.samples <= 3
            assert pred.spent.samples == budget.spent.samples
            assert str(pred.deliberation)
        assert vote(**inputs).spent.drawn == 1  # three of the four were drawn under the budget
