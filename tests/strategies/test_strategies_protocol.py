"""The protocol: a strategy of one's own in twenty lines has all the rest."""

import dspy
import pytest
from scripted import Flowing, chain, chat, field_of, run, serving

import rtk
from rtk.errors import StrategyError


class Debate(rtk.Strategy):
    """Two sides speak in turn, and a judge decides: a user's strategy, as the README would show one."""

    rounds = rtk.Setting(2)

    def __init__(self, signature):
        super().__init__()
        self.speak = dspy.ChainOfThought("question, side, said -> statement")
        self.judge = dspy.ChainOfThought(dspy.Signature(signature).append("said", dspy.InputField()))

    def flow(self, **inputs):
        """Rounds of two statements side by side, then the verdict."""
        said = ""
        for _ in range(self.rounds):
            asked = yield [rtk.ask(self.speak, {**inputs, "side": side, "said": said}) for side in ("pro", "con")]
            said += "\n".join(str(got[0].answer("statement")) for got in asked) + "\n"
            yield dspy.Prediction(answer=said)
        return (yield rtk.ask(self.judge, {**inputs, "said": said}))[0]


def debating(received):
    side = field_of(received, "side")
    if side:
        return chat(reasoning="r", statement=f"{side} {2 if 'pro 1' in received.prompt else 1}")
    return chain("yes" if "con" in field_of(received, "said") else "no")


@pytest.fixture
def debate():
    with serving(debating) as server:
        program = Debate("question -> answer")
        program.server = server
        yield program


def test_it_runs(debate):
    """Asks in order, lists side by side, and the last candidate is the answer."""
    found = debate(question="?")
    assert (found.answer, found.spent.calls, found.stopped) == ("yes", 5, None)


async def test_it_is_awaited(debate):
    """The same generator, the same samples."""
    found = await debate.acall(question="?")
    assert found.answer == debate(question="?").answer == "yes"
    assert debate.server.count == 5


def test_it_is_replayed(debate):
    """A second run draws nothing and is the same to the letter."""
    live, replayed = debate(question="?"), debate(question="?")
    assert (live.spent.drawn, replayed.spent.drawn, replayed.spent.reused) == (5, 0, 5)
    assert live.deliberation.to_dict() == replayed.deliberation.to_dict()


@pytest.mark.parametrize(("calls", "said"), [(0, None), (1, None), (2, 1), (3, 1), (4, 2), (5, "yes")])
def test_it_is_anytime(debate, calls, said):
    """A budget ends it with the best it had yielded."""
    found = debate(question="?", budget=rtk.Budget(calls=calls))
    assert found.stopped == (None if calls == 5 else "calls")
    assert found.answer == said if not isinstance(said, int) else found.answer.count("pro") == said


def test_it_tells_what_happened_though_it_tells_nothing_itself(debate):
    """A flow that says nothing of its deliberation has all it was sent, in the order of asking."""
    root = debate(question="?").deliberation.root
    assert (root.kind, root.label) == ("route", "Debate")
    assert [step.kind for step in root.children] == ["chain"] * 5
    assert "pro 1" in root.children[0].text
    assert "con 1" in root.children[1].text
    assert root.children[-1].state == "chosen"


def test_it_is_optimized(debate):
    """Every predictor that the answer rests on gets demonstrations."""
    trainset = [dspy.Example(question="?", answer="yes").with_inputs("question")]
    optimizer = dspy.BootstrapFewShot(metric=lambda example, pred, trace=None: pred.answer == "yes")
    compiled = optimizer.compile(debate, trainset=trainset)
    assert [demo.answer for demo in compiled.judge.predict.demos] == ["yes"]
    assert len(compiled.speak.predict.demos) == 1
    assert compiled.rounds == 2


def test_it_is_part_of_other_strategies(debate):
    """Three debates vote, in streams of their own."""
    found = rtk.SelfConsistency(debate, samples=3)(question="?")
    assert (found.answer, found.confidence.size, found.spent.calls) == ("yes", 3, 15)
    assert debate.server.choices_served == 15


def test_the_example_of_the_documentation_works():
    """The strategy in the docstring of `rtk.Strategy`, as it stands there."""

    class Twice(rtk.Strategy):
        def __init__(self, signature):
            super().__init__()
            self.draft = dspy.ChainOfThought(signature)
            self.again = dspy.ChainOfThought(dspy.Signature(signature).prepend("draft", dspy.InputField()))

        def flow(self, **inputs):
            drafts = yield rtk.ask(self.draft, inputs)
            yield drafts[0]  # the best so far, should a budget run out
            finals = yield rtk.ask(self.again, {**inputs, "draft": str(drafts[0].prediction)})
            return finals[0]

    with serving(lambda received: chain("second" if "first" in field_of(received, "draft") else "first")):
        assert Twice("question -> answer")(question="?").answer == "second"
        assert Twice("question -> answer")(question="?", budget=rtk.Budget(calls=1)).answer == "first"


# --- what may be yielded and returned ---


@pytest.mark.parametrize(
    "returned",
    [
        lambda got: got[0],
        lambda got: got[0].prediction,
        lambda got: {"answer": "a"},
        lambda got: dspy.Prediction(answer="a"),
        lambda got: rtk.Outcome(got[0].prediction, used=[got[0]]),
        lambda got: rtk.Outcome({"answer": "a"}),
    ],
    ids=["candidate", "its prediction", "dict", "prediction", "outcome", "outcome of a dict"],
)
def test_a_flow_returns_a_candidate_a_prediction_or_an_outcome(returned):
    """Each becomes a prediction with its evidence."""

    def flow(self, inputs):
        return returned((yield rtk.ask(self.step, inputs, samples=2)))

    found = run(flow)
    assert found.answer == "a"
    assert found.spent.samples == 2


def test_an_ask_is_sent_its_candidates():
    """In index order, each with its sample, tokens and address; abstentions in their places."""
    seen = []

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs, samples=3)
        seen.append(got)
        return got[0]

    run(flow, lambda received: [chain("a"), "no idea", chain("c")][received.choice])
    got = seen[0]
    assert [candidate.index for candidate in got] == [0, 1, 2]
    assert got.answers("answer")[0::2] == ["a", "c"]
    assert (got[1].prediction, got[1].abstention.kind) == (None, "malformed")
    assert [candidate.address for candidate in got] == [str(candidate.sample.address) for candidate in got]
    assert all(candidate.tokens > 0 for candidate in got)
    assert got.stopped is None


def test_a_list_is_sent_the_results_in_its_order():
    """Asks and child generators may stand side by side."""

    def child(self, inputs):
        return (yield rtk.ask(self.step, inputs))[0].prediction.answer

    def flow(self, inputs):
        first, second, third = yield [child(self, inputs), rtk.ask(self.step, inputs, samples=2), child(self, inputs)]
        return {"answer": [first, second.answers("answer"), third]}

    assert run(flow).answer == ["a", ["a", "a"], "a"]


def test_an_empty_list_is_sent_an_empty_list():
    """A frontier may be empty."""

    def flow(self, inputs):
        got = yield []
        return {"answer": got}

    assert run(flow).answer == []


def test_a_yielded_best_is_sent_nothing_and_asked_for_nothing():
    """The generator goes on at once."""

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        sent = [(yield got[0]), (yield got[0].prediction), (yield rtk.Outcome(got[0].prediction))]
        return {"answer": sent}

    assert run(flow).answer == [None, None, None]


def test_config_reaches_the_predictor_and_nothing_else():
    """Sampling parameters of an ask are in its request; a module takes none."""

    def hot(self, inputs):
        return (yield rtk.ask(self.step, inputs, config={"temperature": 1.5}))[0]

    def wrong(self, inputs):
        return (yield rtk.ask(rtk.ChainOfThought("question -> answer"), inputs, config={"temperature": 1.5}))[0]

    with serving(chain("a")) as server:
        Flowing(hot)(question="?")
        assert server.requests[0].body["temperature"] == 1.5
    with pytest.raises(StrategyError, match="config="):
        run(wrong)


def test_dspys_own_call_arguments_are_honoured():
    """`config=` and `demos=` of a call reach the predictors, as they do in DSPy."""
    demo = dspy.Example(question="1", reasoning="r", answer="demo answer")
    with serving(chain("a")) as server:
        for program in (rtk.ChainOfThought("question -> answer"), rtk.SelfConsistency("question -> answer", samples=2)):
            program(question="?", config={"temperature": 1.5}, demos=[demo])
        assert {received.body["temperature"] for received in server.requests} == {1.5}
        assert all("demo answer" in received.prompt for received in server.requests)


def test_a_flow_may_be_answered_at_once_any_number_of_times():
    """Children that need no sample, and empty lists, are no recursion."""

    def child(self, number):
        return number
        yield

    def flow(self, inputs):
        total = 0
        for number in range(2000):
            yield []
            total += sum((yield [child(self, number), child(self, 1)]))
        return {"answer": total}

    assert run(flow).answer == sum(range(2000)) + 2000
