"""`play`: programs run on replies, without a model, a server or a store."""

import doctest
import itertools
import math
import sys
from typing import Literal

import dspy
import pydantic
import pytest
from dspy.utils.exceptions import LMTimeoutError

import rtk
from rtk.errors import EndpointError, ModelError, SampleError, StrategyError
from rtk.testing import Reply, faults, play


def chain(answer, reasoning="so"):
    """One reply of a chain of thought."""
    return {"reasoning": reasoning, "answer": answer}


def vote(samples, signature="question -> answer: int"):
    return rtk.SelfConsistency(signature, samples=samples)


def answers(pred):
    return [one.answer for one in pred.completions]


class Plain(dspy.Module):
    """A module that is not ours; its calls are made out of rtk's sight."""

    def __init__(self, times=1):
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.times = times

    def forward(self, question):
        said = [self.say(question=question).answer for _ in range(self.times)]
        return dspy.Prediction(answer=" ".join(said))


class Talk(Plain):
    """Two questions in a row, of which the second holds the first one's answer."""

    def forward(self, question):
        first = self.say(question=question).answer
        return dspy.Prediction(answer=f"{first} {self.say(question=first).answer}")


class Sides(rtk.Strategy):
    """Three children side by side; each asks as often, and for as many samples, as it is told."""

    def __init__(self, asks):
        super().__init__()
        self.say = dspy.Predict("question, turn -> answer")
        self.asks = asks

    def flow(self, question):
        sides = yield [self._side(question, place, counts) for place, counts in enumerate(self.asks)]
        return dspy.Prediction(answer=sides)

    def _side(self, question, place, counts):
        heard = []
        for turn, samples in enumerate(counts):
            inputs = {"question": question, "turn": f"{place}.{turn}"}
            got = yield rtk.ask(self.say, inputs, samples=samples)
            heard.append("".join(got.answers("answer")))
        return heard


class Once(rtk.Strategy):
    """One ask, handed to a function."""

    def __init__(self, tell, samples=1, **config):
        super().__init__()
        self.say = dspy.Predict("question -> answer", **config)
        self.tell, self.samples = tell, samples

    def flow(self, **inputs):
        got = yield rtk.ask(self.say, inputs, samples=self.samples)
        return dspy.Prediction(answer=self.tell(got))


# --- order ---


def test_the_examples_in_its_documentation_run():
    """What `help(play)` shows is what happens."""
    assert doctest.testmod(sys.modules["rtk.testing.play"], extraglobs={"rtk": rtk}).attempted == 4
    assert doctest.testmod(sys.modules["rtk.testing.play"], extraglobs={"rtk": rtk}).failed == 0


def test_the_ith_sample_is_the_ith_reply():
    """A vote over a list counts its replies, the first of the most frequent being the winner."""
    pred = play(vote(5), [chain(n) for n in (1, 2, 3, 2, 4)], question="?")
    assert pred.answer == 2
    assert answers(pred) == [2, 1, 3, 2, 4]
    assert (pred.spent.calls, pred.spent.samples, pred.spent.drawn) == (1, 5, 5)


def test_children_side_by_side_are_served_in_rounds():
    """First asks of all children in the order of their places, then second ones, whoever has more to say."""
    asks = [(3, 1, 1), (1, 1), (2, 1, 1)]
    pred = play(Sides(asks), [{"answer": letter} for letter in "abcdefghijk"], question="?")
    assert pred.answer == [["abc", "g", "j"], ["d", "h"], ["ef", "i", "k"]]


def test_modules_that_are_not_ours_are_served_in_the_order_of_their_places():
    """Eight rollouts of a module with calls of its own: each has its replies together, however threads run."""
    replies = [{"answer": str(number)} for number in range(16)]
    pred = play(vote(8, Talk()), replies, question="?")
    assert answers(pred) == [f"{2 * number} {2 * number + 1}" for number in range(8)]


def test_a_strategy_within_a_strategy_is_played_too():
    """Three votes of two chains each take six replies, vote by vote."""
    inner = vote(2)
    pred = play(rtk.SelfConsistency(inner, samples=3), [chain(n) for n in (1, 1, 2, 2, 2, 2)], question="?")
    assert (pred.answer, answers(pred), pred.spent.samples) == (2, [2, 1, 2], 6)


def test_a_sample_is_drawn_once():
    """As with a store: a plain module that asks the same twice is answered the same; a larger vote draws the rest."""
    assert play(Plain(times=3), [{"answer": "one"}], question="?").answer == "one one one"

    class Escalate(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.few, self.many = vote(2), vote(5)

        def flow(self, **inputs):
            yield rtk.ask(self.few, inputs)
            return (yield rtk.ask(self.many, inputs))[0]

    pred = play(Escalate(), [chain(n) for n in (1, 2, 3, 3, 3)], question="?")
    assert (pred.answer, pred.spent.drawn) == (3, 5)


def test_at_temperature_0_there_is_one_sample():
    """Asked for four, it takes one reply, as live."""
    pred = play(rtk.SelfConsistency("question -> answer", samples=4, temperature=0), [chain("x")], question="?")
    assert answers(pred) == ["x"]


async def test_it_plays_within_a_running_loop():
    """As in a notebook's cell."""
    assert play(vote(2), [chain(1), chain(1)], question="?").answer == 1


# --- replies ---


class Point(pydantic.BaseModel):
    """A structured output."""

    x: int
    tags: list[str]


@pytest.mark.parametrize(
    "adapter", [None, dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), rtk.LinesAdapter()]
)
def test_fields_are_written_in_the_format_of_the_adapter(adapter):
    """Numbers, lists, choices and objects come back as they were given, in every format."""
    given = {"n": 4, "l": [1, 2], "c": "b", "p": Point(x=1, tags=["a"]), "t": "two\n\nlines"}
    annotations = {"n": int, "l": list[int], "c": Literal["a", "b"], "p": Point, "t": str}
    outputs = {name: (kind, dspy.OutputField()) for name, kind in annotations.items()}
    signature = dspy.Signature({"question": (str, dspy.InputField()), **outputs}, "Answer.")
    pred = play(rtk.SelfConsistency(dspy.Predict(signature), samples=1), [given], adapter=adapter, question="?")
    assert dict(pred.items()) == given


def test_the_configured_adapter_is_the_one_in_use():
    """Where none is given."""
    seen = []
    with dspy.context(adapter=dspy.JSONAdapter()):
        play(rtk.ChainOfThought("question -> answer"), lambda r: seen.append(r.prompt) or chain("x"), question="?")
    assert "JSON object" in seen[0]


def test_a_missing_field_is_a_malformed_reply():
    """A dict is written as it is, so that a reply can lack what it should have."""
    pred = play(vote(2), [{"answer": 1}, chain(2)], question="?")
    assert (pred.answer, pred.abstentions) == (2, {"malformed": 1})


def test_a_reply_says_how_it_ended():
    """Cut off, refused and empty completions abstain, each in its kind."""
    replies = [Reply("1", finish_reason="length"), Reply("no", finish_reason="content_filter"), "", chain(1)]
    pred = play(vote(4), replies, question="?")
    assert (pred.answer, pred.abstentions) == (1, {"empty": 1, "length": 1, "refused": 1})


def test_a_reply_carries_reasoning_tokens_and_seconds():
    """What a reasoning model sends apart from its answer, counts given by hand, and a delay that nobody waits for."""
    text = "[[ ## answer ## ]]\nyes"
    given = Reply(text, reasoning="hm", prompt_tokens=70, completion_tokens=8, delay=3600)
    told = []
    pred = play(Once(lambda got: told.append(got[0].sample) or "done"), [given], question="?")
    sample = told[0]
    assert (sample.reasoning, sample.usage.prompt_tokens, sample.usage.completion_tokens) == ("hm", 70, 8)
    assert (pred.spent.tokens, pred.seconds) == (78, 3600)


def test_a_refusal_is_a_sample():
    """Its words are the text, and its finish reason says what it is."""
    told = []
    play(Once(lambda got: told.append(got[0].sample)), [Reply(refusal="I will not.")], question="?")
    assert (told[0].text, told[0].finish_reason, told[0].usage.completion_tokens) == ("I will not.", "refusal", 3)


def test_words_are_counted_where_no_tokens_are_given():
    """A token is a word, as at the scripted server; a usage object goes before any count."""
    told = []
    tell = lambda got: told.extend(one.sample.usage.completion_tokens for one in got)  # noqa: E731
    play(Once(tell, samples=2), ["three words here", Reply("x", usage={"completion_tokens": 9})], question="?")
    assert told == [3, 9]


def test_logprobs_come_where_they_were_asked_for():
    """As with real servers."""
    reply, told = Reply("x", logprobs=[{"token": "x", "logprob": -0.5}]), []
    for config in ({}, {"logprobs": True}):
        play(Once(lambda got: told.append(got[0].sample.logprobs), **config), [reply], question="?")
    assert told == [None, {"content": [{"token": "x", "logprob": -0.5}]}]


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (Reply("overloaded", status=503), "status_503: overloaded"),
        (Reply("the prompt exceeds the context window", status=400), "context: "),
        (Reply(cut=True), "truncated: "),
        (Reply(cut="start"), "connection: "),
        (Reply("half of it", failure="out of memory"), "status_500: out of memory"),
        (Reply(body=b"<html>"), "truncated: "),
        (Reply(delay=math.inf), "timeout: "),
        (TimeoutError("too slow"), "timeout: too slow"),
        (ConnectionResetError(), "connection: ConnectionResetError"),
        (LMTimeoutError("too slow"), "LMTimeoutError: "),
    ],
)
def test_a_failure_costs_one_sample(failing, kind):
    """It is never asked again, its kind is told, and the others vote."""
    pred = play(vote(3), [chain(1), failing, chain(1)], question="?")
    assert (pred.answer, pred.abstentions, pred.spent.failed) == (1, {"failed": 1}, 1)
    assert kind in pred.deliberation.root.children[1].reason


def test_failures_alone_are_an_error():
    """As live."""
    with pytest.raises(SampleError) as caught:
        play(vote(2), [Reply(status=500), TimeoutError()], question="?")
    assert caught.value.kind == "status_500"


def test_what_no_retry_mends_ends_the_run():
    """A refused key is no matter of one sample."""
    with pytest.raises(EndpointError, match="refuses the key"):
        play(vote(2), [chain(1), Reply(status=401)], question="?")


def test_another_exception_is_raised_where_the_program_asks():
    """A strategy may catch it there, and goes on; else it comes out of `play`."""
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        play(vote(2), [chain(1), error], question="?")
    assert caught.value is error

    class Careful(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.say = dspy.Predict("question -> answer")

        def flow(self, **inputs):
            try:
                yield rtk.ask(self.say, inputs)
            except ZeroDivisionError:
                return (yield rtk.ask(self.say, inputs))[0]

    assert play(Careful(), [error, {"answer": "again"}], question="?").answer == "again"


# --- scripts ---


def test_one_reply_answers_everything():
    """A text or a `Reply`, however often it is asked."""
    text = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n7"
    assert answers(play(vote(3), text, question="?")) == [7, 7, 7]
    assert answers(play(vote(3), Reply(text), question="?")) == [7, 7, 7]


def test_a_dict_answers_by_what_is_in_the_prompt():
    """Each part of a prompt has replies of its own: a list in order, or one for always."""
    script = {"partial": {"reasoning": "", "thought": "1"}, "": []}
    tree = rtk.TreeOfThoughts("question -> answer", breadth=1, branching=2, depth=2, values=0, separator=", ")
    assert play(tree, script, question="?").answer == "1, 1"
    both = {"2+2": chain(4), "3+3": [chain(5), chain(6)], "": "?"}
    assert answers(play(vote(2), both, question="3+3")) == [5, 6]
    assert answers(play(vote(2), {**both, "3+3": "unused"}, question="2+2")) == [4, 4]


def test_a_function_is_asked_for_each_sample():
    """It sees the messages, how many samples were asked before, and how many of the same request."""
    seen = []

    def script(received):
        seen.append((received.index, received.occurrence, received.messages[-1]["role"], "7 * 8" in received.last))
        return chain(received.index)

    assert answers(play(vote(3), script, question="7 * 8"))[0] == 0
    assert seen == [(0, 0, "user", True), (1, 1, "user", True), (2, 2, "user", True)]


def test_an_iterator_need_not_be_used_up():
    """What is left is still in it; an endless one will do."""
    left = iter([chain(1), chain(2), chain(3)])
    assert play(vote(2), left, question="?").answer == 1
    assert next(left) == chain(3)
    assert answers(play(vote(4), itertools.cycle([chain(1), chain(2)]), question="?")) == [1, 2, 1, 2]


def test_faults_go_around_a_script():
    """The same faults as at a server, in the same run every time."""
    text = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n7"
    script = faults(text, 0.5, kinds=("500", "reset"), seed=1)
    preds = [play(vote(8), script, question="?") for _ in range(2)]
    assert preds[0].abstentions == preds[1].abstentions == {"failed": script.given.total()}
    assert 0 < script.given.total() < 8


# --- mistakes in a script ---


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([chain(1), chain(2)], "sample 2 in stream 0 .the script is at its end. .*7 . 8"),
        ({"partial": "x"}, "no key of the script is in the prompt.*7 . 8"),
    ],
)
def test_too_few_replies_name_the_request_that_had_none(script, words):
    """With what to do about it."""
    with pytest.raises(ModelError, match=words) as caught:
        play(vote(3), script, question="7 * 8")
    assert "function" in caught.value.mend


def test_replies_left_over_are_refused():
    """A list says what is asked for, no more and no less; the mend says how to say less."""
    with pytest.raises(ModelError, match="2 of the replies were not asked for") as caught:
        play(vote(1), {"": [chain(1), chain(2), chain(3)]}, question="?")
    assert "iter(" in caught.value.mend


def test_a_mistake_in_the_script_cannot_be_swallowed():
    """A program that catches every exception does not hide that its script was too short, or wrong."""

    class Swallows(dspy.Module):
        def __init__(self):
            super().__init__()
            self.say = dspy.Predict("question -> answer")

        def forward(self, question):
            try:
                return self.say(question=question)
            except Exception:  # noqa: BLE001 - what this test is about
                return dspy.Prediction(answer="hidden")

    with pytest.raises(ModelError, match="at its end"):
        play(Swallows(), [], question="?")
    with pytest.raises(KeyError, match="mine"):
        play(Swallows(), lambda received: {}["mine"], question="?")


@pytest.mark.parametrize("wrong", [3, None, [3], {"part": 3}, [KeyboardInterrupt()], lambda received: 3])
def test_what_is_no_reply_is_refused(wrong):
    """Numbers and interrupts are no replies."""
    with pytest.raises(ModelError):
        play(Plain(), wrong, question="?")


def test_what_is_no_program_is_refused():
    """With the mend."""
    with pytest.raises(StrategyError, match="no program") as caught:
        play("question -> answer", ["x"])
    assert "dspy.Predict" in caught.value.mend


# --- surroundings ---


def test_a_budget_stops_a_program_at_the_sample_it_would_stop_at():
    """The replies are those that were asked for."""
    pred = play(vote(8), [chain(1), chain(2), chain(2)], budget=rtk.Budget(samples=3), question="?")
    assert (pred.answer, pred.stopped, pred.spent.samples) == (2, "samples", 3)
    with pytest.raises(rtk.BudgetSpent):
        play(Plain(), [], budget=rtk.Budget(calls=0), question="?")


def test_fields_called_budget_and_adapter_are_fields():
    """Only a `Budget` and an adapter are taken for something else."""
    seen = []
    program = rtk.ChainOfThought("budget, adapter -> answer")
    play(program, lambda received: seen.append(received.last) or chain("x"), budget="40 euros", adapter="a plug")
    assert "40 euros" in seen[0]
    assert "a plug" in seen[0]


def test_a_program_s_own_models_are_not_asked():
    """They have the script's answers for the time, each under its own name, and are back afterwards."""
    small = rtk.LM("openai/small", api_base="http://127.0.0.1:9/v1", api_key="none")
    large = dspy.LM("openai/large", api_key="none", temperature=0.5)

    class Cascade(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.first, self.second = dspy.Predict("question -> answer"), dspy.Predict("question -> answer")
            self.first.lm, self.second.lm = small, large

        def flow(self, **inputs):
            yield rtk.ask(self.first, inputs)
            return (yield rtk.ask(self.second, inputs))[0]

    program = Cascade()
    assert play(program, [Reply(status=500), {"answer": "large"}], question="?").answer == "large"
    assert program.first.lm is small
    assert program.second.lm is large


def test_nothing_is_stored(own_store):
    """The default store is not even opened."""
    play(vote(2), [chain(1), chain(1)], question="?")
    assert list(own_store.iterdir()) == []
