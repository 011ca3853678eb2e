"""Budgets around plain calls: exact at any concurrency, and spent at the same sample live and replayed."""

import asyncio
import math
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import QUESTION, numbered, over, until

import rtk
from rtk.errors import BudgetError, BudgetSpent
from rtk.testing import Reply, ScriptedServer

ANSWER = "[[ ## answer ## ]]\nyes"
WIRES = pytest.mark.parametrize("wire", ["openai", "ollama"])


@pytest.fixture
def server():
    """Each reply has two words, each prompt five."""
    with ScriptedServer(numbered()) as running:
        yield running


def spent(lm, budget, **options):
    """The error of a call under a budget, and the texts that had arrived."""
    with budget, pytest.raises(BudgetSpent) as caught:
        lm(QUESTION, **options)
    assert caught.value.budget is budget
    return caught.value.limit, [sample.text for sample in caught.value.arrived]


# --- samples ---


@WIRES
def test_a_budget_of_samples_lets_exactly_so_many_through(wire):
    """Five of eight: the five arrive with the error, are stored, and not one more was asked for."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm, budget = over(server), rtk.Budget(samples=5)
        assert spent(lm, budget, n=8) == ("samples", [f"reply {i}" for i in range(5)])
        assert server.choices_served == 5
        assert (budget.spent.samples, budget.spent.drawn, budget.spent.calls) == (5, 5, 1)
        assert budget.left == {"samples": 0}
        assert lm(QUESTION, n=8)[:5] == [f"reply {i}" for i in range(5)]


def test_it_is_spent_at_the_same_sample_when_replayed(server):
    """A stored sample is charged as a new one: the second run ends where the first did, and draws nothing."""
    lm, first, second = over(server), rtk.Budget(samples=5), rtk.Budget(samples=5)
    assert spent(lm, first, n=8) == spent(lm, second, n=8)
    assert server.choices_served == 5
    assert (second.spent.drawn, second.spent.reused) == (0, 5)


def test_what_fits_is_not_disturbed(server):
    """A budget that is large enough changes neither the samples nor the number of requests."""
    lm = over(server)
    with rtk.Budget(samples=8, calls=1) as budget:
        assert len(lm(QUESTION, n=8)) == 8
    assert [received.n for received in server.requests] == [8]
    assert budget.left == {"samples": 0, "calls": 0}


def test_a_sample_is_charged_once_whoever_asks(server):
    """The same samples, asked for again under one budget, cost nothing more; a call is a call."""
    lm = over(server)
    with rtk.Budget(samples=4) as budget:
        for _ in range(3):
            assert len(lm(QUESTION, n=4)) == 4
    assert (budget.spent.samples, budget.spent.calls, budget.spent.drawn) == (4, 3, 4)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"price": (0.1, 0.3)}])
def test_a_budget_that_limits_nothing_counts_as_one_that_does(server, settings, tmp_path):
    """Of what is stored, or recorded: the same spent to the last bit, and the same told to who watches."""
    lm, asks = over(server, **settings), [2, 8, 8, 5]
    with rtk.recording(tmp_path / "a.jsonl"):
        lm(QUESTION, n=8)

    def again(limits, heard):
        with rtk.Budget() as outer, rtk.Budget(**limits) as inner, rtk.watch(heard.append):
            texts = [lm(QUESTION, n=count) for count in asks]
        return texts, str(outer.spent), outer.spent, inner.spent

    for mode in (None, "replay"):
        with rtk.recording(tmp_path / "a.jsonl", mode=mode) if mode else nullcontext():
            free, limited, one, other = [], [], {}, {"samples": 1000, "seconds": 1000}
            assert again(one, free) == again(other, limited)
            assert free == limited != []


def test_a_closed_budget_admits_nothing_that_is_stored(server):
    """Though it limits nothing."""
    lm, budget = over(server), rtk.Budget()
    lm(QUESTION)
    budget.close()
    assert spent(lm, budget) == ("closed", [])


def test_a_sample_that_failed_gives_its_place_to_the_next(server):
    """Of eight, one fails and five are paid for: those are the first five that came."""
    with ScriptedServer(lambda r: Reply("no", status=400) if r.index == 1 else f"reply {r.index}") as running:
        budget = rtk.Budget(samples=5)
        lm = over(running, server_n=False, concurrency=1)
        assert spent(lm, budget, n=8) == ("samples", [f"reply {i}" for i in (0, 2, 3, 4, 5)])
    assert (budget.spent.samples, budget.spent.failed) == (5, 1)


def test_at_temperature_zero_eight_times_one_sample_is_one(server):
    """One is drawn, given eight times, and charged once."""
    with rtk.Budget(samples=1) as budget:
        assert len(over(server, temperature=0)(QUESTION, n=8)) == 8
    assert (budget.spent.samples, budget.spent.tokens) == (1, 7)


# --- calls ---


def test_a_budget_of_calls_counts_asks(server):
    """However many samples each; the eighth call is refused before anything is sent."""
    lm, budget = over(server), rtk.Budget(calls=7)
    with budget:
        for number in range(7):
            lm(f"question {number}", n=3)
    assert spent(lm, budget) == ("calls", [])
    assert server.choices_served == 21


def test_it_is_no_exception_that_a_program_could_swallow():
    """Optimizers and evaluators catch every Exception: this is none, and names what ran out."""
    assert not issubclass(BudgetSpent, Exception)
    assert "the budget of calls" in str(BudgetSpent("calls"))


@pytest.mark.parametrize("threads", [1, 16])
def test_an_evaluation_ends_at_the_budget(threads):
    """DSPy's `Evaluate` with any number of threads asks exactly as often as it may."""
    devset = [dspy.Example(question=f"question {number}", answer="yes").with_inputs("question") for number in range(40)]
    with ScriptedServer(ANSWER) as server:
        evaluate = dspy.Evaluate(devset=devset, metric=lambda *_: 1.0, num_threads=threads, display_progress=False)
        with dspy.context(lm=over(server)), rtk.Budget(calls=9) as budget, pytest.raises(BudgetSpent):
            evaluate(dspy.Predict("question -> answer"))
        until(lambda: budget.spent.samples == 9)  # what was under way when it ended comes to its end
        assert (server.count, budget.spent.calls) == (9, 9)


def test_parallel_runs_share_a_budget_exactly():
    """DSPy's `Parallel`: seven of forty runs, whichever they are."""
    predict = dspy.Predict("question -> answer")
    with ScriptedServer(ANSWER) as server:
        pairs = [(predict, {"question": f"question {number}"}) for number in range(40)]
        with dspy.context(lm=over(server)), rtk.Budget(samples=7) as budget, pytest.raises(BudgetSpent):
            dspy.Parallel(num_threads=16, disable_progress_bar=True)(pairs)
        until(lambda: budget.spent.samples == 7)
        assert server.choices_served == 7


async def test_gathered_calls_share_a_budget_exactly(server):
    """Forty tasks at once under a budget of eleven samples: eleven come, the others are told."""
    lm = over(server)
    with rtk.Budget(samples=11) as budget:
        found = await asyncio.gather(*(lm.acall(f"question {i}") for i in range(40)), return_exceptions=True)
    assert sum(isinstance(one, list) for one in found) == 11
    assert {type(one) for one in found} == {list, BudgetSpent}
    assert (server.choices_served, budget.spent.samples, budget.spent.calls) == (11, 11, 11)


def test_threads_and_tasks_share_a_budget_exactly(server):
    """Whatever asks, wherever it runs: in sum as many as it says, over asks for several at a time."""
    lm = over(server, concurrency=64)

    def ask(number):
        try:
            return len(lm(f"question {number}", n=3))
        except BudgetSpent as error:
            return len(error.arrived)

    async def ask_all():
        async def one(number):
            try:
                return len(await lm.acall(f"task {number}", n=3))
            except BudgetSpent as error:
                return len(error.arrived)

        return await asyncio.gather(*map(one, range(30)))

    with rtk.Budget(samples=50) as budget, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(copy_context().run, ask, number) for number in range(30)]
        counts = [*asyncio.run(ask_all()), *(one.result(300) for one in asked)]
    assert sum(counts) == server.choices_served == budget.spent.samples == 50


# --- tokens and dollars ---


def words(received):
    """Replies of 1 to 9 words, by the sample's own seed."""
    return " ".join(["word"] * (1 + received.body["seed"] % 9))


@settings(max_examples=25)
@given(limit=st.integers(0, 160), concurrency=st.integers(1, 9), count=st.integers(1, 9))
def test_tokens_are_never_overspent_and_end_at_the_same_sample(limit, concurrency, count):
    """At any concurrency, live and replayed, the same samples are admitted as one after the other."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other, ScriptedServer(words) as server:
        budgets, found = [rtk.Budget(tokens=limit) for _ in range(3)], []
        slow = over(server, store=one, concurrency=1, seed=7, max_tokens=9)
        fast = over(server, store=other, concurrency=concurrency, seed=7, max_tokens=9)
        for lm, budget in zip((slow, fast, fast), budgets, strict=True):
            try:
                with budget:
                    found.append((None, lm(QUESTION, n=count)))
            except BudgetSpent as error:
                found.append((error.limit, [sample.text for sample in error.arrived]))
        assert found[0] == found[1] == found[2]
        assert {budget.spent.tokens for budget in budgets} == {budgets[0].spent.tokens}
        assert budgets[0].spent.tokens <= limit
        assert budgets[2].spent.drawn == 0


def test_tokens_without_max_tokens_may_overshoot_by_one_ask(server):
    """Nothing bounds a reply: the ask that crosses the limit is finished, the next is refused."""
    lm, budget = over(server), rtk.Budget(tokens=20)
    with budget:
        assert len(lm(QUESTION, n=4)) == 4
    assert budget.spent.tokens == 28
    assert spent(lm, budget, temperature=1) == ("tokens", [])
    assert server.choices_served == 4


def test_a_bound_in_extra_body_is_a_bound(server):
    """`num_predict` or `max_tokens`, wherever it was given."""
    lm = over(server, extra_body={"max_tokens": 4})
    assert spent(lm, rtk.Budget(tokens=30), n=8)[0] == "tokens"
    assert server.choices_served < 8


def test_dollars_are_exact_and_need_a_price(server):
    """Twenty samples of 40 dollars fit into 830; over an unknown price the promise cannot be made."""
    lm = over(server, price=(4e6, 10e6), max_tokens=2, server_n=False, concurrency=3)
    budget = rtk.Budget(dollars=830)
    limit, texts = spent(lm, budget, n=30)
    assert (limit, len(texts), budget.spent.dollars) == ("dollars", 20, pytest.approx(800))
    with rtk.Budget(dollars=1), pytest.raises(BudgetError) as caught:
        over(server)("another")
    assert "price=" in caught.value.mend
    with rtk.Budget(dollars=1), pytest.raises(BudgetError, match="no known bound"):
        over(server, price=(1, 1))("a third")
    assert server.choices_served == 20


def test_what_was_paid_is_told_though_the_budget_is_spent(server):
    """DSPy's tracker and history hear of the samples that came before it ended."""
    lm = over(server)
    with dspy.track_usage() as tracker:
        spent(lm, rtk.Budget(samples=3), n=8)
    assert tracker.get_total_tokens()["openai/scripted"]["completion_tokens"] == 6
    assert len(lm.history[-1]["outputs"]) == 3


# --- seconds ---


def test_a_deadline_keeps_what_arrived_and_leaves_the_rest(server):
    """Two of four came in time: they are told and stored; the requests of the others are given up."""
    lm = over(server, server_n=False, concurrency=4)
    with server.hold():
        found = []
        thread = threading.Thread(target=lambda: found.append(spent(lm, rtk.Budget(seconds=1), n=4)))
        thread.start()
        server.wait_for(lambda s: s.held == 4)
        server.release(count=2)
        thread.join(300)
        server.wait_for(lambda s: s.in_flight == 0)
    assert found[0][0] == "seconds"
    assert len(found[0][1]) <= 2
    assert lm.store.count() == 2
    assert len(lm(QUESTION, n=4)) == 4


async def test_a_deadline_ends_an_awaited_call_too(server):
    """Also one whose requests never come back."""
    with ScriptedServer(Reply(delay=math.inf)) as running:
        with rtk.Budget(seconds=0.2), pytest.raises(BudgetSpent) as caught:
            await over(running).acall(QUESTION, n=2)
        await asyncio.to_thread(running.wait_for, lambda s: s.in_flight == 0)
    assert (caught.value.limit, caught.value.arrived) == ("seconds", [])


def test_no_time_at_all_asks_nothing(server):
    """Not even what is stored is told when the time is over."""
    lm = over(server)
    lm(QUESTION)
    assert spent(lm, rtk.Budget(seconds=0)) == ("seconds", [])
    assert server.count == 1


# --- budgets in budgets ---


def test_nested_budgets_all_pay_and_the_one_that_fired_is_named(server):
    """The inner one ends first; what it spent the outer has paid too."""
    lm, outer, inner = over(server), rtk.Budget(samples=6), rtk.Budget(samples=2)
    with outer:
        assert spent(lm, inner, n=4) == ("samples", ["reply 0", "reply 1"])
        assert outer.spent.samples == 2
        with rtk.Budget(samples=100), pytest.raises(BudgetSpent) as caught:
            lm("another", n=9)
    assert caught.value.budget is outer
    assert len(caught.value.arrived) == 4
    assert server.choices_served == 6


def test_an_endpoint_that_refuses_gives_back_what_was_reserved(server):
    """An error is no spending: the next ask has the whole budget."""
    with ScriptedServer("yes", api_key="right") as running, rtk.Budget(samples=3) as budget:
        with pytest.raises(rtk.errors.EndpointError):
            over(running)(QUESTION, n=3)
        assert budget.spent.samples == 0
        assert len(over(running, api_key="right")(QUESTION, n=3)) == 3


async def test_a_cancelled_call_gives_back_what_was_reserved(server):
    """Who leaves has spent nothing on what did not come."""
    lm = over(server)
    with rtk.Budget(samples=2) as budget:
        with server.hold():
            task = asyncio.create_task(lm.acall(QUESTION, n=2))
            await asyncio.to_thread(server.wait_for, lambda s: s.held == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)
        assert len(await lm.acall("another", n=2)) == 2
    assert budget.spent.samples == 2
