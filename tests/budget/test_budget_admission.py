"""Admission: what a budget lets through, in index order, and what its ledger then says."""

import threading
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.budget import Budget, Ceiling, Cost, admit, admit_call, current_budgets, refund_call, release, settle
from rtk.errors import BudgetError
from rtk.samples import Address


def place(index, key="k"):
    return Address(key, "0", index)


def through(budgets, costs, ceiling, hold, reused=False):
    """Ask for samples in index order, at most `hold` unsettled at a time; how many were admitted."""
    flying, admitted = [], 0
    for index, cost in enumerate(costs):
        while (verdict := admit(budgets, place(index), ceiling, first=index == 0)) == "wait" or len(flying) >= hold:
            if verdict == "yes":
                break
            address, its = flying.pop(0)
            settle(budgets, address, its, reused=reused)
        if verdict != "yes":
            break
        admitted += 1
        flying.append((place(index), cost))
        if len(flying) >= hold:
            address, its = flying.pop(0)
            settle(budgets, address, its, reused=reused)
    for address, its in flying:
        settle(budgets, address, its, reused=reused)
    return admitted


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 800), st.integers(1, 16))
def test_tokens_are_never_overspent_and_trip_at_the_same_sample_at_any_concurrency(written, limit, hold):
    """However many samples fly at once, the same prefix is admitted, and it fits."""
    costs = [Cost(10, tokens) for tokens in written]
    ceiling = Ceiling(prompt=40, completion=50)
    alone, together = Budget(tokens=limit), Budget(tokens=limit)
    assert through((alone,), costs, ceiling, 1) == through((together,), costs, ceiling, hold)
    assert alone.spent.tokens == together.spent.tokens <= limit


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 800))
def test_a_replay_trips_where_the_live_run_did(written, limit):
    """Stored samples are charged what they cost when drawn, so the budget ends at the same one."""
    costs = [Cost(10, tokens) for tokens in written]
    live, replayed = Budget(tokens=limit), Budget(tokens=limit)
    ceiling = Ceiling(prompt=40, completion=50)
    assert through((live,), costs, ceiling, 8) == through((replayed,), costs, ceiling, 1, reused=True)
    assert live.spent.tokens == replayed.spent.tokens
    assert replayed.spent.drawn == 0


def test_sixteen_threads_admit_exactly_the_limit():
    """Sixteen threads that ask at once get 100 samples of a hundred, not one more."""
    budget = Budget(samples=100)

    def ask(thread):
        got = 0
        for index in range(50):
            address = Address(f"k{thread}", "0", index)
            if admit((budget,), address, Ceiling(), first=index == 0) == "yes":
                settle((budget,), address, Cost(), reused=False)
                got += 1
        return got

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 100
    assert budget.spent.samples == 100
    assert budget.left == {"samples": 0}


def test_calls_are_exact_with_sixteen_threads():
    """A budget of calls admits as many as it says, whoever asks."""
    budget = Budget(calls=7)
    with ThreadPoolExecutor(16) as pool:
        verdicts = list(pool.map(lambda _: admit_call((budget,)), range(64)))
    assert verdicts.count("yes") == 7
    assert budget.left == {"calls": 0}


def test_an_address_is_charged_once_whoever_asks():
    """Asking for a sample again, now or later, costs nothing more."""
    budget = Budget(samples=1)
    assert admit((budget,), place(0), Ceiling(), first=True) == "yes"
    assert admit((budget,), place(0), Ceiling(), first=True) == "yes"
    settle((budget,), place(0), Cost(5, 5), reused=False)
    settle((budget,), place(0), Cost(5, 5), reused=False)
    assert admit((budget,), place(0), Ceiling(), first=True) == "yes"
    assert (budget.spent.samples, budget.spent.tokens) == (1, 10)


def test_nested_budgets_all_pay_and_the_one_that_fires_is_named():
    """The inner budget's end is told as the inner one's, and the outer has paid as much."""
    with Budget(samples=10) as outer, Budget(samples=2) as inner:
        budgets = current_budgets()
        assert budgets == (outer, inner)
        assert through(budgets, [Cost(1, 1)] * 5, Ceiling(), 4) == 2
        assert admit(budgets, place(9), Ceiling(), first=False) == ("samples", inner)
    assert outer.spent.samples == inner.spent.samples == 2
    assert current_budgets() == ()


def test_nothing_is_charged_where_one_of_several_refuses():
    """A call refused by an outer budget is charged to no inner one."""
    outer, inner = Budget(calls=0), Budget(calls=5)
    assert admit_call((outer, inner)) == ("calls", outer)
    assert inner.spent.calls == 0


def test_a_call_of_which_nothing_was_admitted_is_given_back():
    """A refunded call can be made again."""
    budget = Budget(calls=1)
    assert admit_call((budget,)) == "yes"
    refund_call((budget,))
    assert admit_call((budget,)) == "yes"


def test_a_released_reservation_frees_its_place():
    """What is no longer wanted holds nothing back."""
    budget = Budget(samples=1)
    assert admit((budget,), place(0), Ceiling(), first=True) == "yes"
    assert admit((budget,), place(1), Ceiling(), first=False) == "wait"
    release((budget,), place(0))
    assert admit((budget,), place(1), Ceiling(), first=False) == "yes"
    assert budget.spent.failed == 0


def test_a_sample_that_never_came_is_counted_and_costs_nothing():
    """A failure is in the books, not in the bill."""
    budget = Budget(samples=2)
    admit((budget,), place(0), Ceiling(), first=True)
    settle((budget,), place(0), None, reused=False)
    assert (budget.spent.failed, budget.spent.samples) == (1, 0)


def test_a_long_prompt_waits_for_its_true_length_before_it_is_refused():
    """The bound of a prompt is loose; once one sample has settled the true length counts."""
    budget = Budget(tokens=200)
    loose = Ceiling(prompt=150, completion=40)
    assert admit((budget,), place(0), loose, first=True) == "yes"
    assert admit((budget,), place(1), loose, first=False) == "wait"
    settle((budget,), place(0), Cost(20, 40), reused=False)
    assert admit((budget,), place(1), loose, first=False) == "yes"


def test_tokens_without_a_bound_decide_a_whole_ask_at_its_first_sample():
    """Without max_tokens an ask may overshoot, and the next one is refused."""
    budget, free = Budget(tokens=50), Ceiling(prompt=10, completion=None)
    assert through((budget,), [Cost(10, 30)] * 3, free, 3) == 3
    assert admit((budget,), Address("other", "0", 0), free, first=True) == ("tokens", budget)
    assert budget.left == {"tokens": 0}


def test_dollars_over_an_unknown_price_are_refused():
    """A promise about money needs a price, and the error says where to give it."""
    with pytest.raises(BudgetError) as caught:
        admit((Budget(dollars=1),), place(0), Ceiling(10, 10), first=True)
    assert "price=" in caught.value.mend


def test_dollars_count_both_directions():
    """Read and written tokens are paid at their own prices."""
    budget = Budget(dollars=0.0025)
    ceiling = Ceiling(prompt=100, completion=100, read=5e-6, written=10e-6)
    assert through((budget,), [Cost(100, 50, 0.001)] * 5, ceiling, 4) == 2
    assert budget.spent.dollars == pytest.approx(0.002)


def test_a_closed_budget_admits_nothing_more():
    """Closing ends a run at its next sample."""
    budget = Budget()
    budget.close()
    assert admit_call((budget,)) == ("closed", budget)
    assert admit((budget,), place(0), Ceiling(), first=True) == ("closed", budget)


@pytest.mark.parametrize("limits", [{"calls": -1}, {"tokens": "many"}, {"samples": True}, {"dollars": float("nan")}])
def test_limits_that_mean_nothing_are_refused(limits):
    """A limit is a number from 0 on."""
    with pytest.raises(BudgetError):
        Budget(**limits)


def test_a_budget_reaches_the_threads_of_dspys_parallel():
    """Budgets travel with DSPy's own context."""
    seen = []

    class Look(dspy.Module):
        def forward(self, i):
            seen.append((current_budgets(), threading.get_ident()))
            return dspy.Prediction(i=i)

    with Budget(samples=1) as budget:
        dspy.Parallel(num_threads=2, disable_progress_bar=True)([(Look(), {"i": i}) for i in range(4)])
    assert {budgets for budgets, _ in seen} == {(budget,)}


def test_a_budget_shows_its_limits_and_what_is_left():
    """A reader sees the promise and the rest."""
    budget = Budget(calls=3, dollars=0.5)
    assert repr(budget) == "Budget(calls=3, dollars=0.5)"
    assert budget.left == {"calls": 3, "dollars": 0.5}
    assert str(budget.spent) == "0 calls, 0 samples (0 drawn, 0 reused), 0 tokens"
