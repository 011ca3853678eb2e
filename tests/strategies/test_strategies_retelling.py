"""Retelling: what a program answers from what is stored is, in all that can be seen of it, what a call answers."""

import random

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from scripted import chat, model

import rtk
from rtk.strategies import Prompts, Recall, evidence, retold
from rtk.testing import Reply, ScriptedServer

QUESTION = {"question": "How many apples are left?"}
SIGNATURE = "question -> answer: int"
ABOUT = ("spent", "stopped", "confidence", "vote", "seconds", "abstentions")


def written(received):
    """What a model says of a request: mostly 3, by the seed; of six chains one is malformed and one is cut off."""
    draw = random.Random(f"{received.last} {received.body.get('seed')}")
    logprobs = [{"token": "t", "logprob": -draw.random()}]
    if "[[ ## score ## ]]" in received.last:
        return chat(score=draw.random())
    if "[[ ## verdict ## ]]" in received.last:
        return chat(verdict=str(draw.random() < 0.5))
    if "[[ ## unfinished ## ]]" in received.last:
        return chat(answer=draw.randint(3, 4))
    whole = chat(reasoning=f"so {draw.random()}", answer=3 if draw.random() < 0.6 else draw.randint(1, 5), unit="kg")
    kind = draw.randrange(6)
    if kind == 0:
        return Reply("nothing", logprobs=logprobs)
    return Reply(whole[:40], finish_reason="length") if kind == 1 else Reply(whole, logprobs=logprobs)


@pytest.fixture
def server():
    with (
        ScriptedServer(written) as running,
        dspy.context(lm=model(running, seed=1, price=(1.0, 2.0), params=1e6, max_tokens=64)),
    ):
        yield running


@pytest.fixture
def always():
    with ScriptedServer(chat(reasoning="r", answer=3)) as running, dspy.context(lm=model(running, seed=1)):
        yield running


def told_of(prediction, meter):
    """All that can be seen of an answer and of its cost."""
    found = evidence(prediction, "attempts")
    return {
        "fields": dict(prediction.items()),
        "completions": prediction.completions.items() if prediction.completions is not None else None,
        **{name: evidence(prediction, name) for name in ABOUT},
        "deliberation": evidence(prediction, "deliberation") and evidence(prediction, "deliberation").to_dict(),
        "attempts": found and ([one.address for one in found.candidates], found.rewards, found.consulted),
        "answers": found and [dict(one.prediction or {}) for one in found.candidates],
        "charged": meter.charged,
        "spent in all": meter.spent,
    }


def called(program):
    """What a call says of the question, its samples being stored."""
    with rtk.Budget() as meter:
        prediction = program(**QUESTION)
    return told_of(prediction, meter)


def told(program, recall=None):
    """What is told without one; None where a call is needed."""
    meter = rtk.Budget()
    prediction = retold(program, QUESTION, recall or Recall(Prompts()), meter)
    return None if prediction is None else told_of(prediction, meter)


def shortest(inputs, prediction):
    """A reward."""
    return -len(prediction.reasoning) / 100


def first_of(answers):
    """A rule of voting of a user's."""
    return rtk.answers.vote(answers[:3])


def vote(**settings):
    return lambda n: rtk.SelfConsistency(SIGNATURE, **{"samples": n, **settings})


def best(**settings):
    return lambda n: rtk.BestOfN(SIGNATURE, **{"N": n, "reward_fn": shortest, "fail_count": 16, **settings})


STRATEGIES = {
    "majority": vote(),
    "temperature": vote(temperature=0.3),
    "greedy": vote(temperature=0.0),
    "confidence": vote(vote="confidence"),
    "weighted": vote(vote="weighted", weight=shortest),
    "mean": vote(vote="mean"),
    "median": vote(vote="median"),
    "trimmed mean": vote(vote="trimmed_mean", trim=0.1),
    "fields": lambda n: rtk.SelfConsistency("question -> answer: int, unit", n, "fields"),
    "medoid": vote(vote="medoid", comparer="text"),
    "a function": vote(vote=first_of),
    "field": vote(field="reasoning", comparer="text"),
    "beta": vote(stop="beta", certainty=0.7),
    "window": vote(stop="window", window=2),
    "horizon": vote(stop="horizon"),
    "a rule": vote(stop=lambda found: found.votes > 2),
    "waves": vote(stop="beta", wave=3),
    "universal": vote(vote="universal"),
    "best of n": best(),
    "threshold": best(threshold=-0.2),
    "threshold in waves": best(threshold=-0.2, wave=2),
    "logprob": best(reward_fn="logprob"),
    "greedy best of n": lambda n: rtk.BestOfN(dspy.ChainOfThought(SIGNATURE, temperature=0.0), n, shortest),
    "chain of thought": lambda n: rtk.ChainOfThought(SIGNATURE),
}
"""Programs by how many samples they ask for, all of whose asks can be told."""
ASKING = {
    "judge": vote(vote="judge", judge=dspy.Predict("question, one, other -> verdict: bool")),
    "weighing judge": vote(vote="weighted", weight=dspy.Predict("question, answer -> score: float")),
    "finish": vote(finish_cut=True),
    "judged best of n": best(reward_fn=dspy.Predict("question, answer -> score: float")),
    "tree": lambda n: rtk.TreeOfThoughts(SIGNATURE, breadth=1, branching=n, depth=1),
}
"""Programs that perhaps yield several asks at once, of which a call is needed."""


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_told_is_what_a_call_says(server, name):
    """From the store: the answer, its evidence, its attempts, and what it is charged."""
    program = STRATEGIES[name](8)
    program(**QUESTION)
    asked = len(server.requests)
    assert told(program) == called(program)
    assert len(server.requests) == asked


@pytest.mark.parametrize("name", STRATEGIES)
def test_settings_share_what_was_read(server, name):
    """Each of several settings says what its call says, where a larger one has read the samples before."""
    makes, recall = STRATEGIES[name], Recall(Prompts())
    chain = getattr(makes(8), "chain", None) or getattr(makes(8), "module", None)
    for n in (8, 5, 2, 1):
        program = makes(n)
        if chain is not None:  # as the arms of a sweep, which ask the very same program
            setattr(program, "chain" if hasattr(program, "chain") else "module", chain)
        program(**QUESTION)
        assert told(program, recall) == called(program)


@pytest.mark.parametrize("name", [*STRATEGIES, *ASKING])
def test_settings_share_what_a_call_drew(server, name):
    """Likewise where the larger one drew them; what it wrote over them is not told to the others."""
    makes, recall = {**STRATEGIES, **ASKING}[name], Recall(Prompts())
    large, small = makes(8), makes(3)
    for part in ("chain", "module"):
        if hasattr(large, part):
            setattr(small, part, getattr(large, part))
    drawn = large(**QUESTION)
    recall.adopt(evidence(drawn, "attempts"))
    found = told(small, recall)
    assert found in (None, called(small))
    assert found is not None or name in {*ASKING, "greedy", "confidence", "logprob"} or name.startswith("thres")


@pytest.mark.parametrize("name", ASKING)
def test_what_only_a_call_serves_is_not_told(server, name):
    """Asks side by side, and those of child generators: nothing is said rather than something else."""
    program = ASKING[name](4)
    program(**QUESTION)
    assert told(program) in (None, called(program))


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_told_where_something_must_be_asked(server, name):
    """With one sample missing, or none there, it is the call that draws; the meter has seen nothing."""
    program, meter = STRATEGIES[name](8), rtk.Budget()
    assert retold(program, QUESTION, Recall(Prompts()), meter) is None
    assert (meter.spent.calls, server.requests) == (0, [])


def test_a_sample_that_did_not_come_is_asked_for_again():
    """Also where a call has just found it missing."""
    script = lambda got: Reply("no", status=400) if got.index == 2 else chat(reasoning="r", answer=1)  # noqa: E731
    with ScriptedServer(script) as running, dspy.context(lm=model(running, seed=1, concurrency=1)):
        program, recall = rtk.SelfConsistency(SIGNATURE, samples=4), Recall(Prompts())
        drawn = program(**QUESTION)
        recall.adopt(evidence(drawn, "attempts"))
        assert drawn.abstentions == {"failed": 1}
        assert told(program, recall) is None
        program.samples = 2
        assert told(program, recall) == called(program)


def test_samples_that_are_not_kept_are_told_where_they_were_drawn(server):
    """Without a store, too, the smaller setting finds what the larger one drew."""
    with dspy.context(lm=model(server, cache=False)):
        program, recall = rtk.SelfConsistency(SIGNATURE, samples=6), Recall(Prompts())
        drawn = program(**QUESTION)
        assert told(program, recall) is None
        recall.adopt(evidence(drawn, "attempts"))
        program.samples = 3
        found = told(program, recall)
        assert [one.address for one in evidence(drawn, "attempts").candidates[:3]] == found["attempts"][0]


def test_what_is_told_of_a_prediction_is_written_over_by_nobody(server):
    """A metric or a strategy that changes what it is handed changes nothing for those who come later."""
    program, recall = rtk.SelfConsistency(SIGNATURE, samples=4), Recall(Prompts())
    program(**QUESTION)
    first = retold(program, QUESTION, recall, rtk.Budget())
    for one in evidence(first, "attempts").candidates:
        if one.prediction is not None:
            one.prediction.answer = 77
    assert told(program, recall) == called(program)


class Twice(rtk.Strategy):
    """Asks the same predictor two times, and another of the same signature, which go on in one stream."""

    def __init__(self):
        super().__init__()
        self.one, self.other = dspy.Predict(SIGNATURE), dspy.Predict(SIGNATURE)

    def flow(self, **inputs):
        found = []
        for program, rollout in ((self.one, None), (self.other, None), (self.one, None), (self.one, 2)):
            found.append((yield rtk.ask(program, inputs, rollout=rollout))[0])
            yield found[-1]
        return found[-1]


def test_an_ask_goes_on_where_the_one_before_ended(server):
    """The places of samples are those of a call, whichever program asks for them."""
    program = Twice()
    program(**QUESTION)
    found = told(program)
    assert found == called(program)
    assert [str(address).partition(":")[2] for address in found["charged"]] == ["0:0", "0:1", "0:2", "0/2:0"]


def noting(heard):
    """A callback."""

    class Noting(BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            heard.append(instance)

    return Noting()


@pytest.mark.parametrize("kind", [rtk.SelfConsistency, dspy.ChainOfThought, dspy.Predict])
def test_nothing_is_told_where_a_call_would_be_heard_of(always, kind):
    """Watchers, callbacks wherever they are, a count of usage, a stream; and budgets that limit, or are closed."""
    program = kind(SIGNATURE)
    program(**QUESTION)
    assert told(program) == called(program)
    closed = rtk.Budget()
    closed.close()
    chain = getattr(program, "chain", program)
    parts = [program, chain, getattr(chain, "predict", chain), dspy.settings.lm]
    for part in parts:
        part.callbacks = [noting([])]
        assert told(program) is None
        part.callbacks = []
    for settings in ({"callbacks": [noting([])]}, {"track_usage": True}, {"send_stream": object()},
                     {"adapter": dspy.ChatAdapter(callbacks=[noting([])])},
                     {"rtk_budgets": (rtk.Budget(calls=9),)}, {"rtk_budgets": (closed,)}):  # fmt: skip
        with dspy.context(**settings):
            assert told(program) is None
    with rtk.watch(print):
        assert told(program) is None
    program.forward = lambda **inputs: None
    assert told(program) is None


def test_a_budget_among_the_inputs_is_the_call_s(server):
    """As are a class's own ways to be called."""

    class Other(rtk.SelfConsistency):
        def forward(self, **inputs):
            return super().forward(**inputs)

    program = rtk.SelfConsistency(SIGNATURE)
    program(**QUESTION)
    limited = {**QUESTION, "budget": rtk.Budget(samples=2)}
    assert retold(program, limited, Recall(Prompts()), rtk.Budget()) is None
    assert told(Other(SIGNATURE)) is None


def test_what_fails_is_the_call_s_to_say(server):
    """A flow that raises, and a weight that fails for all: the call raises it, with what it cost until then."""

    class Fails(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.draft = dspy.Predict(SIGNATURE)

        def flow(self, **inputs):
            yield rtk.ask(self.draft, inputs)
            raise ValueError("no")

    program = Fails()
    with pytest.raises(ValueError, match="no"):
        program(**QUESTION)
    assert told(program) is None


def test_dspys_history_has_what_was_read(server):
    """The entry of a call from the store, and one for all settings that share it."""
    program, lm = rtk.SelfConsistency(SIGNATURE, samples=4), dspy.settings.lm
    program(**QUESTION)
    called(program)
    recall = Recall(Prompts())
    for program.samples in (4, 2):
        told(program, recall)
    names = ("messages", "outputs", "kwargs", "prompt", "usage", "cost")
    assert [[entry[name] for name in names] for entry in lm.history[2:]] == [[lm.history[1][name] for name in names]]
    assert program.chain.predict.history[-1] is lm.history[-1]
    assert program.history[-1] is lm.history[-1]
