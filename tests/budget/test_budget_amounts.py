"""What was spent, in words; and budgets that are charged apart."""

import pytest

from rtk.budget import Budget, Ceiling, Cost, Spent, admit, admit_call, flops, settle
from rtk.samples import Address, Usage


def spent(**numbers):
    return Spent(**{"calls": 2, "samples": 8, "prompt_tokens": 1000, "completion_tokens": 234, **numbers})


def test_amounts_are_one_line():
    """Calls, samples and tokens, and dollars where there are any."""
    assert spent().amounts() == "2 calls, 8 samples, 1,234 tokens"
    assert spent(dollars=0.01234).amounts() == "2 calls, 8 samples, 1,234 tokens, $0.0123"


@pytest.mark.parametrize("dollars", [None, 0.0, 0])
def test_an_unknown_or_no_price_is_left_out(dollars):
    """Nothing is said to cost nothing."""
    assert spent(dollars=dollars).amounts() == "2 calls, 8 samples, 1,234 tokens"


@pytest.mark.parametrize("how", [{"drawn": 8}, {"reused": 8}, {"drawn": 3, "reused": 5}, {"failed": 2, "overdrawn": 1}])
def test_amounts_are_the_same_however_the_samples_came(how):
    """A cell that is run again says the same; the whole account tells the difference."""
    assert spent(**how).amounts() == spent().amounts()
    assert str(spent(**how)) != str(spent())


def test_one_of_anything_is_singular():
    """Also a thousand of them is not."""
    one = Spent(calls=1, samples=1, completion_tokens=1, drawn=1)
    assert one.amounts() == "1 call, 1 sample, 1 token"
    assert str(one) == "1 call, 1 sample (1 drawn, 0 reused), 1 token"
    none, many = Spent(), Spent(calls=1001, samples=1001, prompt_tokens=1001)
    assert none.amounts() == "0 calls, 0 samples, 0 tokens"
    assert many.amounts() == "1,001 calls, 1,001 samples, 1,001 tokens"


def test_what_did_not_come_is_in_the_account():
    """How many were drawn, reused and lost; nothing lost is not mentioned."""
    assert str(spent(drawn=5, reused=3, failed=1)) == "2 calls, 8 samples (5 drawn, 3 reused, 1 failed), 1,234 tokens"
    assert "failed" not in str(spent(drawn=8))


def test_amounts_add_up():
    """The line of a sum is that of its parts together."""
    whole = spent(dollars=0.5) + spent(dollars=0.25)
    assert whole.amounts() == "4 calls, 16 samples, 2,468 tokens, $0.7500"
    assert (spent(dollars=0.5) + spent(dollars=None)).amounts() == "4 calls, 16 samples, 2,468 tokens"


def test_tokens_that_were_counted_here_are_said_to_be_about_so_many():
    """One of them makes the sum an estimate."""
    assert (spent() + spent(estimated=1)).amounts() == "4 calls, 16 samples, about 2,468 tokens"


def test_replies_that_were_lost_are_in_the_account_and_not_in_the_amounts():
    """They cost what nobody knows, and a replay does not lose them again."""
    whole = spent(drawn=8, lost=2) + spent(reused=8)
    assert str(whole) == "4 calls, 16 samples (8 drawn, 8 reused, 2 lost), 2,468 tokens"
    assert whole.amounts() == (spent() + spent()).amounts()


def test_operations_are_two_for_each_parameter_and_token():
    """A prompt that was read for four choices at once is a quarter for each (Kaplan et al. 2020)."""
    usage = Usage(prompt_tokens=100, completion_tokens=7)
    assert flops(usage, 1e9) == 2e9 * 107
    assert flops(usage._replace(choices=4), 1e9) == 2e9 * (25 + 7)
    assert Cost.of(usage, 1e9).flops == flops(usage, 1e9)


def test_operations_of_which_some_are_unknown_are_unknown():
    """None, and never 0; nothing at all took none."""
    assert Cost.of(Usage(5, 5)).flops is None
    assert (spent(flops=3.0) + spent(flops=4.0)).flops == 7.0
    assert (spent(flops=3.0) + spent(flops=None)).flops is None
    assert Spent().flops == 0.0


# --- a budget charged apart ---


def place(index):
    return Address("k", "0", index)


def test_a_twin_stands_where_its_budget_does_and_is_charged_apart():
    """With what was charged, reserved and spent; what either pays from then on is no matter of the other's."""
    budget = Budget(samples=3, calls=2)
    admit_call((budget,))
    for index in range(2):
        admit((budget,), place(index), Ceiling(), first=index == 0)
    settle((budget,), place(0), Cost(1, 1), reused=False)
    twin = budget.twin()
    assert (twin.spent, twin.limits, twin.left) == (budget.spent, budget.limits, budget.left)
    assert admit((twin,), place(0), Ceiling(), first=True) == "yes"
    assert admit((twin,), place(2), Ceiling(), first=False) == "yes"
    assert admit((twin,), place(3), Ceiling(), first=False) == "wait"
    settle((twin,), place(2), Cost(1, 1), reused=True)
    admit_call((twin,))
    assert (budget.spent.samples, budget.spent.calls, budget.left) == (1, 1, {"samples": 2, "calls": 1})
    assert (twin.spent.samples, twin.spent.calls, twin.left) == (2, 2, {"samples": 1, "calls": 0})


def test_a_twin_of_a_closed_budget_is_closed_and_closing_a_twin_closes_nothing_else():
    """What was given up stays so."""
    budget = Budget()
    budget.twin().close()
    assert admit_call((budget,)) == "yes"
    budget.close()
    assert admit_call((budget.twin(),))[0] == "closed"


def test_looking_at_a_twin_starts_no_clock():
    """The seconds of a budget begin with the first thing asked under it."""
    budget = Budget(seconds=60)
    admit_call((budget.twin(),))
    assert budget.seconds == 0.0
