"""Every strategy over every other: answers, budgets that end anywhere, sync and async, saved and loaded."""

import dspy
import pytest
from scripted import asks, chat, serving

import rtk

ASKED = {"question": "How many?"}


def reply(received):
    """What a small model says to any of the prompts that strategies send."""
    if asks(received, "verdict"):
        return chat(reasoning="hm", verdict="sure")
    if asks(received, "thought"):
        return chat(reasoning="next", thought=f"step {received.choice}")
    if asks(received, "reasoning"):
        return chat(reasoning=f"chain {received.choice}: 2 + 2 = 4", answer="4" if received.choice % 3 else "5")
    return chat(answer="4")


def longer(inputs, prediction):
    """A reward that any answer has."""
    return float(len(str(prediction.answer)))


STRATEGIES = {
    "chain": lambda on: rtk.ChainOfThought(on),
    "vote": lambda on: rtk.SelfConsistency(on, 3),
    "stopped vote": lambda on: rtk.SelfConsistency(on, 4, stop="window", window=2),
    "best": lambda on: rtk.BestOfN(on, 2, longer),
    "tree": lambda on: rtk.TreeOfThoughts(on, 1, 2, 1, values=0),
    "refine": lambda on: rtk.SelfRefine(on, rounds=1),
    "effort": lambda on: rtk.AdaptiveEffort(on, 2, [4]),
    "cascade": lambda on: rtk.Cascade({"calculator": "calculator", "deep": on}),
}
PAIRS = [(outer, inner) for outer in STRATEGIES for inner in STRATEGIES]
NEW = [pair for pair in PAIRS if {"refine", "effort", "cascade"} & {*pair}]


def built(outer, inner):
    """One strategy over another."""
    return STRATEGIES[outer](STRATEGIES[inner]("question -> answer"))


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
async def test_any_strategy_runs_over_any_other(outer, inner):
    """Called, awaited and loaded from what was saved, a strategy over a strategy gives one answer and the same cost."""
    with serving(reply, cache=False):
        program = built(outer, inner)
        said = program(**ASKED)
        again = await built(outer, inner).acall(**ASKED)
        loaded = built(outer, inner)
        loaded.load_state(program.dump_state())
        third = loaded(**ASKED)
    assert said.answer in ("4", "5")
    assert [said.answer, said.spent.samples] == [again.answer, again.spent.samples]
    assert [said.answer, said.spent.samples] == [third.answer, third.spent.samples]
    assert said.stopped is None
    assert said.deliberation.text()


@pytest.mark.parametrize(("outer", "inner"), NEW)
def test_a_budget_may_end_anywhere_in_it(outer, inner):
    """Whatever number of samples a budget admits, no more are spent, and what there is by then is the answer."""
    with serving(reply, cache=False):
        whole = built(outer, inner)(**ASKED).spent.samples
        for limit in range(min(whole, 6)):
            said = built(outer, inner)(**ASKED, budget=rtk.Budget(samples=limit))
            assert said.spent.samples <= limit
            assert said.stopped == "samples"
        enough = built(outer, inner)(**ASKED, budget=rtk.Budget(samples=whole))
    assert enough.stopped is None
    assert enough.answer in ("4", "5")


@pytest.mark.parametrize(("outer", "inner"), NEW)
def test_it_says_beforehand_what_it_would_ask(outer, inner):
    """What a call of it consulted lies between the least and the most that were foretold."""
    with serving(reply, cache=False):
        told = built(outer, inner).estimate(**ASKED)
        samples = built(outer, inner)(**ASKED).spent.samples
    assert told.samples.least <= samples <= told.samples.most


@pytest.mark.parametrize("name", ["refine", "effort", "cascade"])
def test_an_optimizer_learns_from_it(name):
    """BootstrapFewShot takes demonstrations from a strategy's chosen chains, and gives a program of the same kind."""
    asked = [dspy.Example(question=f"How many are {n}?", answer="4").with_inputs("question") for n in range(3)]
    right = lambda example, pred, trace=None: pred.answer in ("4", "5")  # noqa: E731
    with serving(reply, cache=False):
        found = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=2, max_labeled_demos=0).compile(
            STRATEGIES[name]("question -> answer"), trainset=asked
        )
        assert found(**ASKED).answer in ("4", "5")
    assert any(predictor.demos for predictor in found.predictors())
