"""A budget over a model that will never answer: the error comes, and nobody waits for ever."""

import asyncio

import dspy
import pytest

import rtk
from rtk.errors import EndpointError, WeightsError
from rtk.testing import Reply, ScriptedServer

BUDGETS = [{"samples": 3}, {"samples": 1}, {"samples": 8}, {"tokens": 3000}, {"calls": 1}, {"seconds": 60}, {}]


@pytest.fixture(params=["no weights", "nobody listens", "no such model", "wrong key"])
def silent(request, tmp_path, monkeypatch):
    """An LM that cannot answer, and the error that says so."""
    if request.param == "no weights":
        monkeypatch.setenv("RTK_MODELS", str(tmp_path / "none"))
        monkeypatch.setattr("rtk.models.weights.find", lambda *_: None)
        yield rtk.LM("embedded", max_tokens=20), WeightsError
    elif request.param == "nobody listens":
        lm = rtk.LM("openai/m", api_base="http://127.0.0.1:9/v1", api_key="k", max_tokens=20, num_retries=0)
        yield lm, EndpointError
    else:
        with ScriptedServer(Reply("no", status=404 if request.param == "no such model" else 401)) as server:
            yield (
                rtk.LM("openai/scripted", api_base=server.url, api_key="k", max_tokens=20, server_n=False),
                EndpointError,
            )


def asked(lm, how, budget):
    """Ask for eight samples, in one of the ways there are."""
    vote = rtk.SelfConsistency("question -> answer", samples=8)
    with dspy.context(lm=lm):
        if how == "a vote":
            return vote(question="2+2?", budget=budget)
        if how == "a vote, awaited":
            return asyncio.run(vote.acall(question="2+2?", budget=budget))
        if how == "votes side by side":
            return rtk.SelfConsistency(vote, samples=3)(question="2+2?", budget=budget)
        with budget:
            return lm("2+2?", n=8)


@pytest.mark.parametrize("how", ["a vote", "a vote, awaited", "votes side by side", "a plain call"])
@pytest.mark.parametrize("limits", BUDGETS, ids=str)
def test_the_error_comes_under_any_budget(silent, how, limits):
    """However much of the ask the budget admits at first."""
    lm, error = silent
    budget = rtk.Budget(**limits)
    with pytest.raises(error):
        asked(lm, how, budget)
    assert (budget.spent.samples, budget.spent.drawn) == (0, 0)


def test_a_budget_goes_on_after_an_error():
    """What was reserved for samples that failed is free again: the next ask under the same budget is admitted."""
    with ScriptedServer([Reply("no", status=404)] * 3 + ["4"] * 3) as server, rtk.Budget(samples=3) as budget:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="k", max_tokens=20, server_n=False)
        with pytest.raises(EndpointError):
            lm("2+2?", n=3)
        assert lm("2+2?", n=3) == ["4"] * 3
        assert budget.spent.samples == 3
