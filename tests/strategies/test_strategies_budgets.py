"""Budgets: kept by every strategy, in every unit, exact under concurrency, wherever DSPy runs the program."""

import asyncio

import dspy
import pytest
from scripted import chain, choices, serving, started, tree

import rtk
from rtk.errors import BudgetError, BudgetSpent
from rtk.testing import Reply


class Asking(rtk.Strategy):
    """Asks one question after the other, and keeps the last answer as its best."""

    def __init__(self, times=10):
        super().__init__()
        self.times = times
        self.step = dspy.ChainOfThought("question -> answer")

    def flow(self, question):
        """So many asks."""
        for number in range(self.times):
            got = yield rtk.ask(self.step, {"question": f"{question} {number}"})
            yield got[0]
        return got[0]


class Around(dspy.Module):
    """A user's module: a vote, then a plain chain."""

    def __init__(self, samples=4):
        super().__init__()
        self.vote = rtk.SelfConsistency("question -> answer", samples=samples)
        self.check = dspy.ChainOfThought("question, draft -> answer")

    def forward(self, question):
        return self.check(question=question, draft=self.vote(question=question).answer)


def numbered(received):
    """A chain whose answer is the number in the question."""
    return chain(received.last.split("Respond")[0].split()[-1])


@pytest.fixture
def server():
    with serving(numbered) as made:
        yield made


# --- as an argument, and as a context manager ---


def test_a_budget_of_calls_is_kept_and_the_best_so_far_returned(server):
    """Seven asks are made, the seventh's answer is given, and the prediction says what ran out."""
    budget = rtk.Budget(calls=7)
    found = Asking()(question="?", budget=budget)
    assert (found.answer, found.stopped) == ("6", "calls")
    assert (budget.spent.calls, budget.left, server.count) == (7, {"calls": 0}, 7)
    assert found.spent.calls == 7


def test_a_budget_that_is_not_needed_changes_nothing(server):
    """What fits is done, and nothing is said to have run out."""
    budget = rtk.Budget(calls=10, samples=10)
    found = Asking()(question="?", budget=budget)
    assert (found.answer, found.stopped) == ("9", None)
    assert budget.left == {"calls": 0, "samples": 0}


def test_a_context_manager_is_a_budget_for_all_inside(server):
    """Several programs share it; outside it counts no more."""
    with rtk.Budget(calls=15) as budget:
        assert Asking()(question="a").stopped is None
        assert Asking()(question="b").stopped == "calls"
        assert Asking()(question="c").toDict() == {"reasoning": None, "answer": None}
    assert Asking()(question="d").stopped is None
    assert budget.spent.calls == 15


async def test_a_budget_is_kept_by_acall(server):
    """Awaited, the same."""
    budget = rtk.Budget(calls=3)
    found = await Asking().acall(question="?", budget=budget)
    assert (found.answer, found.stopped, server.count) == ("2", "calls", 3)


def test_nested_budgets_both_pay_and_the_tighter_one_stops(server):
    """The inner's end is not the outer's: it goes on with what is left."""
    with rtk.Budget(calls=8) as outer:
        inner = rtk.Budget(calls=3)
        assert Asking()(question="a", budget=inner).stopped == "calls"
        assert (inner.spent.calls, outer.spent.calls) == (3, 3)
        assert Asking(5)(question="b").stopped is None
        assert Asking(1)(question="c").stopped == "calls"


def test_the_end_of_a_budget_names_the_one_that_fired(server):
    """A flow that catches it sees which budget it was, and can go on without."""
    seen = []

    class Careful(Asking):
        def flow(self, question):
            try:
                yield from super().flow(question)
            except BudgetSpent as spent:
                seen.append((spent.limit, spent.budget))
            return {"answer": "careful"}

    inner = rtk.Budget(samples=2)
    with rtk.Budget(calls=100):
        found = Careful()(question="?", budget=inner)
    assert seen == [("samples", inner)]
    assert (found.answer, found.stopped) == ("careful", "samples")


def test_a_budget_inside_an_ask_ends_nothing_but_that_ask(server):
    """A nested strategy's own budget leaves the one around it as it is."""

    class Outer(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.inner, self.own = Asking(), rtk.Budget(calls=2)

        def flow(self, question):
            got = yield rtk.ask(self.inner, {"question": question, "budget": self.own})
            last = yield rtk.ask(self.inner.step, {"question": f"{got[0].prediction.answer} 99"})
            return last[0]

    with rtk.Budget(calls=50) as whole:
        found = Outer()(question="?")
    assert (found.answer, found.stopped) == ("99", None)
    assert whole.spent.calls == 3


# --- units ---


@pytest.mark.parametrize(
    ("limit", "votes"),
    [
        ({"samples": 5}, 5),
        ({"tokens": 1500}, 12),  # 11 of 120 and the ceiling of the twelfth, 100 read and 40 written, make 1460
        ({"dollars": 0.0015}, 12),
        ({"samples": 16}, 16),
        ({"calls": 1}, 16),
    ],
)
def test_a_vote_counts_what_a_budget_admits(limit, votes):
    """Samples, tokens and dollars cut a vote at the sample that no longer fits; the winner is that of the rest."""
    reply = Reply(chain("a"), prompt_tokens=100, completion_tokens=20)
    with serving(reply, server_n=False, max_tokens=40, price=(1, 1)) as server:
        budget = rtk.Budget(**limit)
        found = rtk.SelfConsistency("question -> answer", samples=16)(question="?", budget=budget)
        assert server.choices_served == votes
    ((unit, most),) = limit.items()
    assert (found.answer, found.confidence.size) == ("a", votes)
    assert found.stopped == (None if votes == 16 else unit)
    assert getattr(budget.spent, unit) <= most


def test_a_budget_of_seconds_ends_a_wait():
    """What did not come in time is left; the vote is of what did."""
    with serving(choices(["a"]), server_n=False) as server, server.hold():
        running = started(
            lambda: rtk.SelfConsistency("question -> answer")(question="?", budget=rtk.Budget(seconds=0.5))
        )
        found = running.result(300)
        server.wait_for(lambda s: s.in_flight == 0)
    assert (found.answer, found.stopped) == (None, "seconds")


@pytest.mark.parametrize("limit", [{"calls": 0}, {"samples": 0}, {"tokens": 0}, {"seconds": 0}])
@pytest.mark.parametrize(
    "program",
    [
        rtk.ChainOfThought("question -> answer: int, unit"),
        rtk.SelfConsistency("question -> answer: int, unit"),
        rtk.TreeOfThoughts("question -> answer: int, unit"),
        rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer: int, unit"), samples=2),
        rtk.SelfConsistency(dspy.ChainOfThought("question -> answer: int, unit"), samples=2),
    ],
    ids=["chain", "vote", "tree", "trees", "module"],
)
def test_a_budget_of_nothing_asks_for_nothing_and_answers_nothing(server, program, limit):
    """Every output field is there, and None."""
    found = program(question="?", budget=rtk.Budget(**limit))
    assert (found.answer, found.unit, found.stopped) == (None, None, next(iter(limit)))
    assert server.count == 0


def test_dollars_without_a_price_are_refused(server):
    """A promise that cannot be kept is an error that names `price=`."""
    with pytest.raises(BudgetError, match="price"):
        rtk.SelfConsistency("question -> answer")(question="?", budget=rtk.Budget(dollars=1))


def test_a_sample_is_charged_once_whoever_asks(server):
    """Asking again under the same budget is another call, and no further sample."""
    program, budget = rtk.SelfConsistency("question -> answer", samples=4), rtk.Budget(samples=4)
    assert program(question="?", budget=budget).stopped is None
    assert program(question="?", budget=budget).stopped is None
    assert (budget.spent.samples, budget.spent.calls) == (4, 2)


def test_drawn_and_reused_are_told_apart(server):
    """The second run costs the same promise and draws nothing."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    first, second = program(question="?").spent, program(question="?").spent
    assert (first.drawn, first.reused) == (4, 0)
    assert (second.drawn, second.reused) == (0, 4)
    assert second.tokens == first.tokens > 0


def test_what_a_nested_strategy_spends_is_in_the_outer_ones_count(server):
    """`pred.spent` is of everything below, each sample once."""
    found = rtk.SelfConsistency(rtk.SelfConsistency("question -> answer", samples=3), samples=2)(question="?")
    assert (found.spent.samples, found.spent.calls) == (6, 2)


# --- where DSPy runs the program ---


EXAMPLES = [dspy.Example(question=f"{i}", answer=str(i)).with_inputs("question") for i in range(16)]


def test_evaluate_with_sixteen_threads_spends_exactly_what_is_admitted(server):
    """128 samples are wanted, 100 may be drawn: 100 are, and every example is scored."""
    evaluate = dspy.Evaluate(devset=EXAMPLES, metric=lambda example, pred, trace=None: pred.answer == example.answer)
    with rtk.Budget(samples=100) as budget:
        result = evaluate(rtk.SelfConsistency("question -> answer"), num_threads=16)
    assert budget.spent.samples == server.choices_served == 100
    assert len(result.results) == 16
    assert sum(pred.confidence.size for _, pred, _ in result.results if pred.confidence) == 100


def test_parallel_spends_exactly_what_is_admitted(server):
    """So does `dspy.Parallel`."""
    program = rtk.SelfConsistency("question -> answer")
    with rtk.Budget(samples=100) as budget:
        run = dspy.Parallel(num_threads=16, disable_progress_bar=True)
        found = run([(program, one) for one in EXAMPLES])
    assert budget.spent.samples == server.choices_served == 100
    assert sum(pred.stopped == "samples" for pred in found) >= 1


async def test_gathered_calls_spend_exactly_what_is_admitted(server):
    """So does `asyncio.gather`."""
    program = rtk.SelfConsistency("question -> answer")
    with rtk.Budget(samples=100) as budget:
        await asyncio.gather(*(program.acall(**one.inputs()) for one in EXAMPLES))
    assert budget.spent.samples == server.choices_served == 100


def test_calls_of_sync_only_modules_are_counted_exactly(server):
    """Rollouts in threads of their own are under the budget too."""
    with rtk.Budget(calls=5) as budget:
        found = rtk.SelfConsistency(Around(), samples=4)(question="?")
    assert (budget.spent.calls, found.stopped) == (5, "calls")
    assert found.confidence.size == 2


def test_a_spent_budget_passes_through_a_users_plain_module(server):
    """Nothing in DSPy swallows it: it derives from `BaseException` and names its budget."""
    with rtk.Budget(calls=1) as budget, pytest.raises(BudgetSpent) as caught:
        Around()(question="?")
    assert (caught.value.limit, caught.value.budget) == ("calls", budget)
    assert not isinstance(caught.value, Exception)


class Voting(dspy.Module):
    """A user's plain module that votes, and marks the answer."""

    def __init__(self):
        super().__init__()
        self.vote = rtk.SelfConsistency("question -> answer", samples=4)

    def forward(self, question):
        found = self.vote(question=question)
        return dspy.Prediction(answer=f"{found.answer} ({found.stopped})")


def test_a_strategy_in_a_plain_module_returns_its_best_so_far(server):
    """The vote inside is cut, says so, and the module goes on with what it found."""
    with rtk.Budget(samples=3) as budget:
        assert Voting()(question="7").answer == "7 (samples)"
    assert budget.spent.samples == 3


def test_a_trees_asks_are_calls(server):
    """A call is one ask of a predictor, however many samples."""
    script = tree(thought=lambda received: received.choice, answer="x")
    with serving(script):
        found = rtk.TreeOfThoughts("question -> answer", breadth=1, branching=2, depth=2)(question="?")
    assert (found.spent.calls, found.spent.samples) == (1 + 2 + 1 + 2 + 1, 2 + 2 + 2 + 2 + 1)
