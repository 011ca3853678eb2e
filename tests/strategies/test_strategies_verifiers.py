"""Verifiers: reward models on a server, log-probabilities, and that none of them ever sees the gold answer."""

import asyncio
import copy
import pickle
from contextlib import contextmanager

import dspy
import pytest
from scripted import TwoSteps, asks, by_seed, chain, chat, choices, run, serving

import rtk
from rtk.errors import StrategyError
from rtk.strategies import peek
from rtk.testing import Reply, ScriptedServer, play

SIGNATURE = "question -> answer"
WIRES = ["vllm-score", "vllm-classify", "vllm-pooling", "llamacpp-rerank"]


def length(received):
    """A score that every attempt has to itself: the last number in the text."""
    return received.last.split()[-1]


@contextmanager
def judged(answers, script=length, *, wire="vllm-score", server=None, judge=None, **lm):
    """A chat model with these answers, and a reward model with this script: both servers, and the endpoint."""
    answers = choices(answers) if isinstance(answers, list) else answers
    with ScriptedServer(script, wire=wire, **(server or {})) as scorer, serving(answers, **lm) as chatting:
        yield chatting, scorer, rtk.Endpoint(scorer.url, **{"num_retries": 0, **(judge or {})})


def rewards(found):
    return [step.score for step in found.deliberation.root.children]


# --- endpoints ---


@pytest.mark.parametrize("wire", WIRES)
def test_a_reward_model_judges_the_attempts(wire):
    """Its scores are stored, budgeted and on the deliberation, and asked for no second time."""
    with judged(["1", "3", "2"], wire=wire) as (chatting, scorer, judge):
        program = rtk.BestOfN(SIGNATURE, 3, judge)
        found, again = program(question="?"), program(question="?")
        assert (chatting.choices_served, scorer.choices_served) == (3, 3)
    assert (found.answer, rewards(found)) == ("3", [1.0, 3.0, 2.0])
    assert (found.spent.calls, found.spent.samples, found.spent.drawn, again.spent.drawn) == (4, 6, 6, 0)
    checks = [step.children[0] for step in found.deliberation.root.children]
    assert [(step.kind, step.text) for step in checks] == [("check", f"score: {n}.0") for n in (1, 3, 2)]
    assert all(step.address for step in checks)


def test_it_is_sent_the_inputs_and_what_the_attempt_came_to():
    """All of several fields with their names; one of them, or what a function makes of them, where that is said."""
    with judged(["4"], "1") as (_, scorer, _):
        for settings in ({}, {"question": "question", "answer": "answer"}, {"answer": lambda found: [*found]}):
            judge = rtk.Endpoint(scorer.url, revision=str(settings.keys()), **settings)
            rtk.BestOfN(SIGNATURE, 1, judge)(question="2 + 2?")
        sent = [(received.body["text_1"], received.body["text_2"]) for received in scorer.requests]
    whole = "reasoning: chain 0\n\nanswer: 4"
    assert sent == [("2 + 2?", whole), ("2 + 2?", "4"), ("2 + 2?", '["reasoning", "answer"]')]


def test_a_field_that_is_not_there_is_a_clear_error():
    """It names those that are."""
    judging, refused = (
        judged(["4"], judge={"answer": "solution"}),
        pytest.raises(rtk.errors.ModelError, match="solution"),
    )
    with judging as (_, _, judge), refused as caught:
        rtk.BestOfN(SIGNATURE, 1, judge)(question="?")
    assert "reasoning, answer" in caught.value.mend


def test_many_attempts_are_scored_side_by_side():
    """64 of them, as many at once as the endpoint lets through; the result is the same in any order of arrival."""
    told = []
    for latency, concurrency in ((0, 1), ((0, 0.03), 64), ((0, 0.03), 7)):
        server, judge = {"latency": latency, "seed": concurrency}, {"concurrency": concurrency, "cache": False}
        with judged([str(n * 37 % 64) for n in range(64)], server=server, judge=judge) as (_, scorer, endpoint):
            found = rtk.BestOfN(SIGNATURE, 64, endpoint)(question="?")
            assert scorer.peak_in_flight <= concurrency
            assert concurrency == 1 or scorer.peak_in_flight > 1
        told.append((found.answer, rewards(found), list(found.completions.answer)))
    assert told[0] == told[1] == told[2]
    assert told[0][0] == "63"


def test_awaited_it_is_the_same():
    """From the same samples."""
    with judged(by_seed(9), seed=2) as (_, scorer, judge):
        program = rtk.BestOfN(SIGNATURE, 4, judge)
        once, again = program(question="?"), asyncio.run(program.acall(question="?"))
        assert scorer.count <= 4
    assert once.deliberation.to_dict() == again.deliberation.to_dict()


@pytest.mark.parametrize("samples", range(1, 6))
def test_a_budget_may_end_among_the_scores(samples):
    """There is an answer, it says so, and nothing is overspent."""
    with judged(["1", "3", "2"]) as (chatting, scorer, judge):
        found = rtk.BestOfN(SIGNATURE, 3, judge)(question="?", budget=rtk.Budget(samples=samples))
        assert chatting.choices_served + scorer.choices_served == samples
    assert (found.stopped, found.spent.samples) == ("samples", samples)
    assert found.answer == ("1" if samples < 5 else "3")


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_budget_of_calls_ends_in_the_middle_of_three_levels(calls):
    """A vote over the best of votes, each judged by the server."""
    with judged(by_seed(9), seed=1) as (_, _, judge):
        inner = rtk.BestOfN(rtk.SelfConsistency(SIGNATURE, samples=2), 2, judge)
        found = rtk.SelfConsistency(inner, samples=2)(question="?", budget=rtk.Budget(calls=calls))
    assert (found.stopped, found.spent.calls) == ("calls", calls)
    assert found.answer is not None


def test_with_a_threshold_no_further_attempt_is_paid():
    """The first that reaches it is the answer."""
    with judged(lambda received: chain("1325"[received.index])) as (chatting, scorer, judge):
        found = rtk.BestOfN(SIGNATURE, 4, judge, threshold=3)(question="?")
        assert (chatting.count, scorer.count) == (2, 2)
    assert (found.answer, rewards(found)) == ("3", [1.0, 3.0])


def test_a_recording_holds_the_scores(nothing_in_force):
    """Both servers gone, the run is the same."""
    with judged(["1", "3", "2"], wire="vllm-pooling") as (_, _, judge), rtk.recording("study"):
        live = rtk.BestOfN(SIGNATURE, 3, judge)(question="?")
    lm = rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none")
    with dspy.context(lm=lm), rtk.recording("study", mode="replay") as replay:
        again = rtk.BestOfN(SIGNATURE, 3, rtk.Endpoint("http://127.0.0.1:9"))(question="?")
    assert (again.answer, again.deliberation.to_dict()) == (live.answer, live.deliberation.to_dict())
    assert replay.missed == 0


def test_a_score_that_does_not_come_costs_its_attempt_alone():
    """It says why; where none comes there is an error, and no answer that nobody verified."""
    script = lambda received: Reply("no", status=500) if length(received) == "3" else length(received)  # noqa: E731
    with judged(["1", "3", "2"], script) as (_, _, judge):
        found = rtk.BestOfN(SIGNATURE, 3, judge)(question="?")
        with pytest.raises(StrategyError, match=r"1 of 3 attempts have no reward.*status_500"):
            rtk.BestOfN(SIGNATURE, 3, judge, fail_count=0)(question="?")
    assert (found.answer, rewards(found)) == ("2", [1.0, None, 2.0])
    assert "status_500" in found.deliberation.root.children[1].reason
    with judged(["5", "6"], Reply("no", status=500)) as (_, _, judge), pytest.raises(StrategyError) as caught:
        rtk.BestOfN(SIGNATURE, 2, judge)(question="another?")
    assert "2 of 2" in str(caught.value)
    assert "ask again" in caught.value.mend


def test_an_endpoint_that_will_never_answer_is_an_error():
    """And no attempt without a reward."""
    judging, refused = judged(["1"], server={"api_key": "right"}), pytest.raises(rtk.errors.EndpointError, match="key")
    with judging as (_, _, judge), refused:
        rtk.BestOfN(SIGNATURE, 1, judge)(question="?")


def test_a_strategy_of_ones_own_asks_an_endpoint():
    """Like any program; asked several times there is still one score, and sampling parameters are refused."""
    with ScriptedServer("0.5", wire="vllm-score") as scorer:
        judge = rtk.Endpoint(scorer.url)
        pair = {"question": "?", "answer": "4"}

        def flow(strategy, inputs):
            scores = yield rtk.ask(judge, pair, samples=3)
            return {"answer": scores.answers("score")}

        assert run(flow).answer == [0.5, 0.5, 0.5]
        assert scorer.count == 1

        def wrong(strategy, inputs):
            yield rtk.ask(judge, pair, config={"temperature": 1})

        with pytest.raises(StrategyError, match="temperature"):
            run(wrong)


def test_a_look_sees_the_scores_that_are_there():
    """Nothing is drawn for it."""
    with judged(["1", "2"]) as (_, scorer, judge):
        program = rtk.BestOfN(SIGNATURE, 2, judge)
        assert not peek(program, question="?").whole
        program(question="?")
        seen = peek(program, question="?")
        assert (seen.wanted, seen.there, seen.whole, scorer.count) == (4, 4, True, 2)


def test_callbacks_hear_of_the_endpoint():
    """Its start and its end, inside the strategy's."""
    heard = []

    class Listener(dspy.utils.BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            heard.append(("start", type(instance).__name__))

        def on_module_end(self, call_id, outputs, exception):
            heard.append(("end", outputs))

    with judged(["1"]) as (_, _, judge), dspy.context(callbacks=[Listener()]):
        rtk.BestOfN(SIGNATURE, 1, judge)(question="?")
    assert ("start", "Endpoint") in heard
    assert any(kind == "end" and getattr(told, "score", None) == 1.0 for kind, told in heard)


def test_watchers_hear_the_rewards():
    """In the order of the attempts."""
    seen = []
    with judged(["1", "3"]) as (_, _, judge), rtk.watch(seen.append, only=rtk.events.CandidateScored):
        rtk.BestOfN(SIGNATURE, 2, judge)(question="?")
    assert [(event.index, event.score) for event in seen] == [(0, 1.0), (1, 3.0)]


def test_an_endpoint_is_played_without_a_server():
    """A list of replies answers it too, numbers as text."""
    program = rtk.BestOfN(SIGNATURE, 2, rtk.Endpoint("http://127.0.0.1:9"))
    said = [{"reasoning": "a", "answer": "x"}, {"reasoning": "b", "answer": "y"}, "0.25", "0.75"]
    assert play(program, said, question="?").answer == "y"
    assert play(program, [*said[:2], "1", "splendid"], question="?").answer == "x"


def test_a_score_is_not_streamed():
    """What a program streams is its words."""

    async def pieces(program):
        return [piece async for piece in dspy.streamify(program)(question="?")]

    with judged(["7"]) as (_, _, judge):
        found = asyncio.run(pieces(rtk.BestOfN(SIGNATURE, 1, judge)))
    assert found[-1].answer == "7"
    assert all("7.0" not in str(piece) for piece in found[:-1])


# --- log-probabilities ---


def sure(received):
    """Chains that a model is more and more sure of, but for the last."""
    logprob = [-2.0, -0.5, -1.0][received.choice]
    return Reply(chain(str(received.choice)), logprobs=[{"token": "t", "logprob": logprob}] * 2)


def test_the_surest_attempt_wins():
    """By the mean log-probability of its tokens."""
    with serving(sure) as server:
        found = rtk.BestOfN(SIGNATURE, 3, "logprob")(question="?")
        assert (server.count, server.requests[0].body["logprobs"]) == (1, True)
    assert (found.answer, rewards(found)) == ("1", [-2.0, -0.5, -1.0])
    assert found.deliberation.root.score == -0.5


def test_a_threshold_of_log_probability_stops():
    """In nats."""
    with serving(lambda received: sure(received)) as server:
        found = rtk.BestOfN(SIGNATURE, 3, "logprob", threshold=-3, wave=2)(question="?")
        assert server.choices_served == 2
    assert (found.answer, found.spent.overdrawn) == ("0", 1)


def test_a_model_without_log_probabilities_is_a_clear_error():
    """So is a module that draws by itself."""
    with serving(chain("1")), pytest.raises(StrategyError, match='reward_fn="logprob"') as caught:
        rtk.BestOfN(SIGNATURE, 2, "logprob")(question="?")
    assert "lm.ping()" in caught.value.mend
    for module in (TwoSteps(), rtk.SelfConsistency(SIGNATURE)):
        with pytest.raises(StrategyError, match="predictor") as caught:
            rtk.BestOfN(module, 2, "logprob")
        assert caught.value.mend
    with pytest.raises(StrategyError):
        rtk.BestOfN(SIGNATURE, 2, "surest")


# --- never the gold answer ---

GOLD = dspy.Example(question="2 + 2?", answer="gold", label="gold").with_inputs("question")


class Opaque(dspy.Module):
    """A module that does not say what it takes."""

    def forward(self, **inputs):
        return dspy.Prediction(answer=f"about {inputs['question']}")


class Retrieving(dspy.Module):
    """A module that takes what no predictor of it does."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.Predict("question, context -> draft")
        self.final = dspy.Predict("question, draft -> answer")

    def forward(self, question, documents, hint=None):
        draft = self.draft(question=question, context=documents[0]).draft
        return self.final(question=question, draft=draft)


def seen_by(module, script=None, **given):
    """The inputs that a verifier of a module is shown."""
    shown = []
    with serving(script or chat(reasoning="r", answer="4", draft="d")):
        rtk.BestOfN(module, 1, lambda inputs, _: shown.append(inputs) or 1.0)(**(given or GOLD.toDict()))
    return shown[0]


@pytest.mark.parametrize(
    "module", [SIGNATURE, dspy.Predict(SIGNATURE), TwoSteps(), rtk.SelfConsistency(SIGNATURE, samples=2)], ids=repr
)
def test_a_verifier_is_shown_the_programs_inputs_alone(module):
    """Whatever else the call was given; the values of the rest are nowhere in what it is handed."""
    given = GOLD.toDict() if not isinstance(module, TwoSteps) else {"question": "2 + 2?"}
    shown = seen_by(module, **given)
    assert isinstance(shown, rtk.Inputs)
    assert dict(shown) == {"question": "2 + 2?"}
    assert b"gold" not in pickle.dumps(shown)
    assert "gold" not in repr(shown)


@pytest.mark.parametrize("name", ["answer", "label"])
@pytest.mark.parametrize("read", [lambda inputs, name: inputs[name], lambda inputs, name: inputs.get(name, "")])
def test_reading_what_is_withheld_is_an_error_that_says_why(name, read):
    """Also by `get`, which passes over a missing name; it is in no way a failed reward."""
    with serving(chain("4")), pytest.raises(StrategyError, match="gold") as caught:
        rtk.BestOfN(SIGNATURE, 2, lambda inputs, _: read(inputs, name) == "4")(**GOLD)
    assert name in str(caught.value)
    assert "metric" in caught.value.mend


def test_of_a_module_that_says_nothing_its_outputs_are_withheld():
    """The rest is what it was called with."""
    assert dict(seen_by(Opaque())) == {"question": "2 + 2?", "label": "gold"}


def test_what_a_module_cannot_run_without_is_shown():
    """It is an input, though no predictor's; what it puts out on the way, or may do without, is not."""
    shown = seen_by(Retrieving(), question="?", documents=["d"], hint="gold")
    assert dict(shown) == {"question": "?", "documents": ["d"]}
    assert shown.withheld == {"hint"}


def test_a_judge_sees_no_gold_answer_either():
    """Its `answer` is the attempt's; a field for anything withheld is refused."""
    script = lambda received: chat(score="1") if asks(received, "score") else chain("4")  # noqa: E731
    with serving(script) as server:
        rtk.BestOfN(SIGNATURE, 1, dspy.Predict("question, answer -> score: float"))(**GOLD)
        assert [received for received in server.requests if "gold" in received.prompt] == []
        with pytest.raises(StrategyError, match="label"):
            rtk.BestOfN(SIGNATURE, 1, dspy.Predict("question, label, answer -> score: float"))(**GOLD)


def test_an_endpoint_sees_no_gold_answer_either():
    """Neither as text nor by a function of the inputs."""
    with judged(["4"]) as (_, scorer, judge):
        rtk.BestOfN(SIGNATURE, 1, judge)(**GOLD)
        assert [received for received in scorer.requests if "gold" in str(received.body)] == []
        judge = rtk.Endpoint(scorer.url, question=lambda inputs: inputs["label"])
        with pytest.raises(StrategyError, match="label"):
            rtk.BestOfN(SIGNATURE, 1, judge)(**GOLD)


def metric(gold, pred):
    return gold.answer == pred.answer


def scored(example, prediction, trace=None):
    return example.answer == prediction.answer


class Metric:
    """Metrics are objects too."""

    def __call__(self, example, pred):
        return True

    def method(self, gold, pred, trace=None, pred_name=None, pred_trace=None):
        return True


@pytest.mark.parametrize(
    "given",
    [metric, scored, Metric(), Metric().method, lambda one, pred, trace: 1, lambda one, pred, third: 1,
     lambda one, pred, trace=None: 1],
)  # fmt: skip
def test_a_metric_is_refused_as_reward(given):
    """It is told by its parameters, before anything is drawn."""
    with pytest.raises(StrategyError, match="metric") as caught:
        rtk.BestOfN(SIGNATURE, 2, given)
    assert "(inputs, prediction)" in caught.value.mend
    task = rtk.tasks.load("arithmetic", size=2)
    with pytest.raises(StrategyError, match="metric"):
        rtk.BestOfN(task.signature, 2, task.metric)


@pytest.mark.parametrize("given", [max, lambda *_: 1, lambda args, pred: 1, lambda inputs, pred, scale=2: 1, len])
def test_other_functions_are_taken(given):
    """As `dspy.BestOfN`'s own are."""
    rtk.BestOfN(SIGNATURE, 2, given)


def test_inputs_cannot_be_changed():
    """They are a mapping like any other, and are copied as one."""
    shown = rtk.Inputs({"question": "?"}, withheld=["answer", "question"])
    assert (list(shown), len(shown), {**shown}, shown == {"question": "?"}) == (
        ["question"],
        1,
        {"question": "?"},
        True,
    )
    assert ("answer" in shown, shown.get("other"), shown.withheld) == (False, None, {"answer"})
    assert repr(copy.deepcopy(shown)) == repr(shown) == "Inputs(question='?')"
    with pytest.raises(TypeError):
        shown["question"] = "!"
    with pytest.raises(AttributeError):
        shown.question = "!"
    with pytest.raises(KeyError):
        shown["other"]
