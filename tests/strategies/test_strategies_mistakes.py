"""Mistakes: what a strategy may not yield, return or ask is told clearly, and what goes wrong in it is raised."""

import dspy
import pytest
from scripted import Flowing, chain, choices, field_of, run, serving

import rtk
from rtk.errors import BudgetSpent, StrategyError
from rtk.testing import Reply

# --- yields, returns and asks ---


@pytest.mark.parametrize(
    ("yielded", "named"),
    [
        ("text", "str"),
        (3, "int"),
        (None, "NoneType"),
        (["text"], "str"),
        ([None], "NoneType"),
        (dspy.Predict("question -> answer"), "Predict"),
        ((one_of for one_of in ()), "generator"),
    ],
)
def test_a_yield_that_cannot_be_is_a_clear_error(yielded, named):
    """It names the strategy, the type, and what may be yielded."""

    def flow(self, inputs):
        yield yielded

    with pytest.raises(StrategyError, match=named) as caught:
        run(flow)
    assert "Flowing" in str(caught.value)
    assert "ask" in caught.value.mend


@pytest.mark.parametrize("returned", ["text", 3, [1], object(), rtk.Outcome("text"), rtk.Outcome(None)])
def test_a_return_that_cannot_be_is_a_clear_error(returned):
    """It names the strategy and what may be returned."""

    def flow(self, inputs):
        yield rtk.ask(self.step, inputs)
        return returned

    with pytest.raises(StrategyError, match="Flowing") as caught:
        run(flow)
    assert "prediction" in caught.value.mend


def test_a_flow_that_is_no_generator_is_a_clear_error():
    """Neither a plain function nor a coroutine is one; nor is a strategy without a flow."""

    async def coroutine(self, inputs):
        return {"answer": "a"}

    for wrong in (lambda self, inputs: {"answer": "a"}, coroutine):
        with pytest.raises(StrategyError, match="generator") as caught:
            run(wrong)
        assert "yield" in caught.value.mend
    with pytest.raises(StrategyError, match="has no flow"):
        rtk.Strategy()(question="?")


@pytest.mark.parametrize(
    "arguments",
    [{"program": "question -> answer"}, {"samples": 0}, {"samples": True}, {"samples": 1.5}, {"rollout": -1}],
)
def test_an_ask_that_cannot_be_is_a_clear_error(arguments):
    """`rtk.ask` says what is wrong before anything is drawn."""
    with pytest.raises(StrategyError):
        rtk.ask(**{"program": dspy.Predict("question -> answer"), "inputs": {}, **arguments})


# --- exceptions ---


def test_an_exception_in_a_flow_is_raised_as_it_is():
    """Nothing hides a bug."""

    def flow(self, inputs):
        yield rtk.ask(self.step, inputs)
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        run(flow)


def test_an_exception_in_one_child_is_raised_where_the_list_was_yielded():
    """The flow may catch it; the other children have run."""
    ran = []

    def child(self, inputs, bad):
        got = yield rtk.ask(self.step, inputs)
        ran.append(bad)
        if bad:
            raise ValueError("one child")
        return got[0]

    def flow(self, inputs):
        try:
            yield [child(self, inputs, bad) for bad in (False, True, False)]
        except ValueError as error:
            return {"answer": str(error)}

    assert run(flow).answer == "one child"
    assert sorted(ran) == [False, False, True]


def test_a_mistake_in_an_ask_is_raised_where_it_was_yielded():
    """A flow may catch what its ask cannot do, such as a field that reaches no model."""

    def flow(self, inputs):
        try:
            yield rtk.ask(self.step, inputs, config={"api_base": "http://elsewhere"})
        except rtk.errors.UnsupportedParameter:
            return (yield rtk.ask(self.step, inputs))[0]

    assert run(flow).answer == "a"


def test_inputs_that_a_nested_strategy_does_not_take_are_an_error_where_it_was_asked():
    """As a call with wrong arguments is anywhere."""

    class Narrow(rtk.Strategy):
        def flow(self, other):
            yield from ()

    def flow(self, inputs):
        try:
            yield rtk.ask(Narrow(), inputs)
        except TypeError:
            return {"answer": "caught"}

    assert run(flow).answer == "caught"


def test_a_failed_run_of_a_nested_strategy_is_an_abstention_among_others():
    """One of several fails for a reason of its own: the others stand."""

    def fragile(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        if got[0].prediction.answer == "bad":
            raise ValueError("bad")
        return got[0]

    def flow(self, inputs):
        got = yield rtk.ask(Flowing(fragile), inputs, samples=3)
        return {"answer": [one.abstention.reason if one.abstention else "fine" for one in got]}

    found = run(flow, lambda received: chain("bad" if received.index == 0 else "good"))
    assert sorted(found.answer) == ["ValueError: bad", "fine", "fine"]
    assert found.abstentions == {"failed": 1}


def test_the_flow_is_closed_when_its_call_is_over():
    """What it holds is let go, also where it ended early."""
    closed = []

    def flow(self, inputs):
        try:
            yield rtk.ask(self.step, inputs)
            yield rtk.ask(self.step, inputs)
        finally:
            closed.append(True)

    run(flow, budget=rtk.Budget(calls=1))
    assert closed == [True]


def test_a_call_inside_a_flow_is_under_the_same_roof():
    """A plain program called in a flow draws in its stream and under its budget."""

    def flow(self, inputs):
        found = self.step(**inputs)
        yield found
        self.step(**inputs)
        return {"answer": "twice"}

    with serving(choices(["a"])) as server:
        budget = rtk.Budget(calls=1)
        found = Flowing(flow)(question="?", budget=budget)
        assert (found.answer, found.stopped, server.count) == ("a", "calls", 1)
        assert budget.spent.calls == 1


def test_a_flow_may_end_by_itself_what_a_budget_did_not():
    """`BudgetSpent` raised by hand is the end with the best so far."""

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        yield got[0]
        raise BudgetSpent("patience")

    found = run(flow)
    assert (found.answer, found.stopped) == ("a", "patience")


def test_a_module_with_an_attribute_called_flow_is_no_strategy():
    """Names of a user's own module mean nothing to rtk."""

    class Pipeline(dspy.Module):
        def __init__(self):
            super().__init__()
            self.flow = dspy.ChainOfThought("question -> answer")

        def forward(self, question):
            return self.flow(question=question)

    with serving(choices(["a", "a"])):
        assert rtk.SelfConsistency(Pipeline(), samples=2)(question="?").answer == "a"


def test_all_asks_failing_is_an_error_and_one_of_several_is_not():
    """A strategy that heard nothing at all says so; one that heard something answers."""

    def flow(self, inputs):
        got = yield [rtk.ask(self.step, {"question": f"{i}"}) for i in range(2)]
        return got[1][0]

    script = lambda received: Reply("x", status=500) if field_of(received, "question") == "0" else chain("a")  # noqa: E731
    found = run(flow, script)
    assert (found.answer, found.abstentions) == ("a", {"failed": 1})
    with pytest.raises(rtk.errors.SampleError, match="Flowing"):
        run(flow, Reply("x", status=500))
