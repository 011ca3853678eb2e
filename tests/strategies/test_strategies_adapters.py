"""Adapters: every one of DSPy's and a user's own, split around the draw or, where that cannot be, called whole."""

import json

import dspy
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter
from dspy.experimental import Choice, Noul, Score
from scripted import Seen, chain, chat, model, serving

import rtk
from rtk.testing import Reply, ScriptedServer


def as_json(**fields):
    return json.dumps(fields)


def as_xml(**fields):
    return "\n".join(f"<{name}>{value}</{name}>" for name, value in fields.items())


WRITERS = [
    (dspy.ChatAdapter(), chat),
    (dspy.JSONAdapter(), as_json),
    (dspy.XMLAdapter(), as_xml),
    (BAMLAdapter(), as_json),
]
IDS = ["chat", "json", "xml", "baml"]


def one_malformed(write, bad=2):
    """A script whose third choice cannot be read by any adapter."""
    return lambda received: "no idea" if received.choice == bad else write(reasoning="r", answer="yes")


@pytest.mark.parametrize(("adapter", "write"), WRITERS, ids=IDS)
def test_one_malformed_completion_costs_one_sample_with_every_adapter(adapter, write):
    """Eight are asked for in one request, one cannot be read, seven vote, and nothing is asked again."""
    with serving(one_malformed(write)) as server, dspy.context(adapter=adapter):
        found = rtk.SelfConsistency("question -> answer", samples=8)(question="?")
        assert (server.count, server.choices_served) == (1, 8)
    assert (found.answer, found.abstentions, found.confidence.size) == ("yes", {"malformed": 1}, 7)


@pytest.mark.parametrize(("adapter", "write"), WRITERS, ids=IDS)
def test_a_plain_dspy_module_shares_the_samples_with_every_adapter(adapter, write):
    """The request is the adapter's own, so what `dspy.ChainOfThought` draws is not drawn again."""
    with serving(lambda _: write(reasoning="r", answer="yes")) as server, dspy.context(adapter=adapter):
        dspy.ChainOfThought("question -> answer", n=8)(question="?")
        rtk.SelfConsistency("question -> answer", samples=8)(question="?")
        assert server.choices_served == 8


def test_the_json_adapters_response_format_is_in_the_request():
    """What constrains the model is sent, and tells requests apart."""
    with serving(as_json(reasoning="r", answer="yes")) as server, dspy.context(adapter=dspy.JSONAdapter()):
        rtk.SelfConsistency("question -> answer", samples=2)(question="?")
        assert server.requests[0].body["response_format"]["type"] in ("json_object", "json_schema")


# --- adapters that make calls of their own ---


def extracting(received):
    """An extraction model: it reads an answer out of free text, unless there is none."""
    return "nothing there" if "no idea" in received.last else chain("yes")


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_a_two_step_adapter_works_and_one_failed_extraction_costs_one_sample(temperature):
    """Its calls are its own: one rollout each, in streams of their own."""
    script = lambda received: Reply("no idea" if received.index == 2 else "I would say yes")  # noqa: E731
    with ScriptedServer(extracting) as second, serving(script) as server:
        adapter, seen = dspy.TwoStepAdapter(model(second)), Seen()
        with dspy.context(adapter=adapter), rtk.watch(seen):
            vote = rtk.SelfConsistency("question -> answer", samples=8, temperature=temperature)
            found = vote(question="?")
        assert server.choices_served == 8
        assert {received.body["temperature"] for received in server.requests} == {temperature or 0.7}
    assert (found.answer, found.abstentions, found.confidence.size) == ("yes", {"malformed": 1}, 7)
    mine = {address.stream for address in seen.addresses}
    assert mine == {"0", *(f"0/{rollout}" for rollout in range(1, 8))}


class Shouting(dspy.ChatAdapter):
    """A user's adapter that does something around the call."""

    def __call__(self, lm, lm_kwargs, signature, demos, inputs):
        completions = super().__call__(lm, lm_kwargs, signature, demos, inputs)
        return [{**one, "answer": one["answer"].upper()} for one in completions]


class Whispering(dspy.ChatAdapter):
    """A user's adapter that formats and parses its own way, and calls as DSPy does."""

    def format_task_description(self, signature):
        return "Whisper."

    def parse(self, signature, completion):
        return {**super().parse(signature, completion), "answer": "yes"}


def test_a_users_adapter_with_a_call_of_its_own_is_called():
    """What it does around the call is done for each sample; the abstention is one sample's."""
    script = lambda received: "no idea" if received.index == 1 else chain("yes")  # noqa: E731
    adapter = Shouting(use_json_adapter_fallback=False)
    with serving(script) as server, dspy.context(adapter=adapter):
        found = rtk.SelfConsistency("question -> answer", samples=4)(question="?")
        assert server.choices_served == 4
    assert (found.answer, found.abstentions) == ("YES", {"malformed": 1})


def test_a_users_adapter_that_formats_and_parses_is_split():
    """Eight samples are one request, formatted and parsed by it."""
    with serving(chain("no")) as server, dspy.context(adapter=Whispering()):
        found = rtk.SelfConsistency("question -> answer", samples=8)(question="?")
        assert server.count == 1
        assert "Whisper." in server.requests[0].prompt
    assert found.answer == "yes"


async def test_an_adapter_with_calls_of_its_own_works_by_acall():
    """The async half of such an adapter is used by `acall`."""
    with ScriptedServer(chain("yes")) as second, serving("I would say yes") as server:
        with dspy.context(adapter=dspy.TwoStepAdapter(model(second))):
            found = await rtk.SelfConsistency("question -> answer", samples=4).acall(question="?")
        assert server.choices_served == 4
    assert found.answer == "yes"


class Twice(rtk.Strategy):
    """Asks the same predictor twice."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question -> answer")

    def flow(self, **inputs):
        """Two asks of the same request."""
        first = yield rtk.ask(self.draft, inputs)
        second = yield rtk.ask(self.draft, inputs)
        return {"answer": f"{first[0].prediction.answer}, {second[0].prediction.answer}"}


def test_asking_again_through_such_an_adapter_gives_the_next_sample():
    """Cursors hold for calls of an adapter's own, too."""
    script = lambda received: chat(answer="ab"[received.index])  # noqa: E731
    with serving(script) as server, dspy.context(adapter=Shouting()):
        assert Twice()(question="?").answer == "A, B"
        assert Twice()(question="?").answer == "A, B"
        assert server.count == 2


# --- decisions ---


def decision(kind):
    return dspy.Signature({"question": (str, dspy.InputField()), "answer": (kind, dspy.OutputField(desc="?"))})


DECISIONS = [
    (Noul, '{"noul": 0.9}', lambda answer: bool(answer)),
    (
        Score["bad", "fair", "good"],
        '{"probabilities": {"0": 0.1, "1": 0.1, "2": 0.8}, "confidence": 0.9}',
        lambda answer: answer.level == 2,
    ),
    (
        Choice[("red", "warm"), ("blue", "cold")],
        '{"probabilities": {"red": 0.2, "blue": 0.8}, "confidence": 0.9}',
        lambda answer: answer.value == "blue",
    ),
]


@pytest.mark.parametrize(("kind", "written", "right"), DECISIONS, ids=["noul", "score", "choice"])
@pytest.mark.parametrize("strategy", [rtk.ChainOfThought, lambda one: rtk.SelfConsistency(one, samples=4)])
def test_decision_outputs_work(strategy, kind, written, right):
    """DSPy's decision adapter makes calls of its own; strategies over it answer, and vote."""
    with serving(chat(reasoning="r", answer=written)):
        found = strategy(decision(kind))(question="?")
    assert right(found.answer)


def test_a_malformed_decision_costs_one_sample():
    """The others vote."""
    good = chat(reasoning="r", answer='{"noul": 0.9}')
    script = lambda received: "no idea" if received.index == 0 or "JSON object" in received.prompt else good  # noqa: E731
    with serving(script):
        found = rtk.SelfConsistency(decision(Noul), samples=4)(question="?")
    assert bool(found.answer)
    assert found.abstentions == {"malformed": 1}
