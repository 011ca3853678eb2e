"""Peeking under budgets: none is charged, and what one would end is ended where the call ends it."""

import dspy
import pytest
from peeks import SIGNATURE, counts, numbers, searching, stored, told, vote, votes
from scripted import Flowing, asks, chain, chat, serving

import rtk
from rtk.strategies import peek

# --- nothing is charged ---


@pytest.mark.parametrize("limits", [{}, {"samples": 9}, {"tokens": 10_000}, {"calls": 1}, {"seconds": 60.0}])
@pytest.mark.parametrize("there", [0, 2, 4])
def test_no_budget_is_charged_or_started(limits, there):
    """Neither one outside nor one among the inputs, with or without limits; the call then has all of it."""
    outer, own = rtk.Budget(**limits), rtk.Budget(**limits)
    with serving(chain("a"), max_tokens=40) as server:
        if there:
            vote(there)(question="?")
        with outer:
            peek(vote(), question="?", budget=own)
            assert (outer.spent, own.spent, own.seconds) == (rtk.Spent(), rtk.Spent(), 0.0)
            found = vote()(question="?", budget=own)
        assert (found.stopped, found.spent.samples, server.choices_served) == (None, 4, 4)
        assert own.spent == outer.spent == found.spent


def test_a_budget_that_a_flow_brings_is_not_charged():
    """A strategy may keep one for what it asks inside; looking twice leaves it whole for the call."""
    own = rtk.Budget(samples=2, calls=1)

    def flow(self, inputs):
        got = yield rtk.ask(vote(), {**inputs, "budget": own})
        return got[0]

    with serving(chain("a")):
        vote()(question="?")
        looks = [peek(Flowing(flow), question="?") for _ in range(2)]
        assert [counts(seen) for seen in looks] == [(2, 2, True, True)] * 2
        assert own.spent == rtk.Spent()
        assert told(Flowing(flow)(question="?")) == told(looks[1].prediction)


def test_what_an_outer_budget_has_paid_for_is_free_in_a_peek_too():
    """An address is charged once; what is left is for the others."""
    with serving(chain("a")) as server, rtk.Budget(samples=3) as budget:
        vote(3)(question="?")
        assert budget.left == {"samples": 0}
        assert counts(peek(vote(3), question="?")) == (3, 3, True, True)
        seen = stored(server, vote(4), question="?")
        assert (seen.wanted, seen.prediction.stopped) == (3, "samples")


# --- what they end ---


class Steps(rtk.Strategy):
    """Two child generators of two asks each, the second of which rests on the first."""

    def __init__(self):
        super().__init__()
        self.step = dspy.ChainOfThought(SIGNATURE)

    def branch(self, question, number):
        got = yield rtk.ask(self.step, {"question": f"{question} {number}"}, samples=2)
        yield got[0]
        got = yield rtk.ask(self.step, {"question": f"{question} {number} {got[0].answer('answer')}"})
        return got[0]

    def flow(self, question):
        found = yield [self.branch(question, number) for number in range(2)]
        return found[-1]


PROGRAMS = {
    "chain": lambda: rtk.ChainOfThought(SIGNATURE),
    "vote": lambda: vote(5),
    "votes": lambda: votes(2, 3),
    "greedy": lambda: vote(5, temperature=0),
    "tree": searching,
    "trees": lambda: vote(2, searching(values=0)),
    "steps": Steps,
}
LIMITS = [
    *({"samples": n} for n in range(0, 9, 2)),
    *({"calls": n} for n in range(5)),
    *({"tokens": n} for n in (0, 300, 900, 1500, 4000)),
    {"dollars": 0.0015},
    {"samples": 7, "calls": 2, "tokens": 3000},
]


def scripted(received):
    """Any of the programs' asks, the same for the same sample."""
    thought, verdict = numbers(received) if asks(received, "partial") else "", "sure"
    number = received.body["seed"] % 3
    if asks(received, "thought"):
        return chat(reasoning="next", thought=thought)
    return chat(reasoning="hm", verdict=verdict) if asks(received, "verdict") else chain(number, "word " * number)


def drawing(**lm):
    """A model whose samples are a function of their addresses, with a price."""
    return serving(scripted, seed=3, max_tokens=60, price=(5, 5), **lm)


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("outside", [False, True], ids=["own", "outer"])
def test_under_a_budget_a_peek_is_the_call(name, limits, outside):
    """With all there: the same fields, votes, spending and end; with nothing there, the number, where it is exact."""

    def under(call):
        budget = rtk.Budget(**limits)
        if not outside:
            return call(PROGRAMS[name](), question="?", budget=budget)
        with budget:
            return call(PROGRAMS[name](), question="?")

    with drawing() as server:
        before = under(peek)
        live = under(lambda program, **inputs: program(**inputs))
        assert before.there == 0
        assert before.wanted <= server.choices_served
        assert not before.exact or before.wanted == server.choices_served
        PROGRAMS[name]()(question="?")
        served = server.choices_served
        seen = under(peek)
        assert seen.whole
        assert told(seen.prediction) == told(live)
        assert server.choices_served == served


@pytest.mark.parametrize("there", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("limits", [{}, {"samples": 6}, {"tokens": 2000}], ids=str)
def test_wherever_a_run_ended_a_peek_says_what_the_next_one_draws(name, there, limits):
    """Exactly, or at least so many; and where it says none, none."""
    with drawing() as server:
        PROGRAMS[name]()(question="?", budget=rtk.Budget(samples=there))
        before = server.choices_served
        seen = peek(PROGRAMS[name](), question="?", budget=rtk.Budget(**limits))
        assert server.choices_served == before
        found = PROGRAMS[name]()(question="?", budget=rtk.Budget(**limits))
        drawn, missing = server.choices_served - before, seen.wanted - seen.there
        assert found.spent.drawn == drawn
        assert missing == drawn if seen.exact else missing <= drawn
        assert seen.whole == (drawn == 0)


@pytest.mark.parametrize("there", [0, 1, 3, 5])
@pytest.mark.parametrize("limits", [{"tokens": n} for n in (300, 700, 1100)], ids=str)
def test_a_number_is_exact_only_where_no_price_is_awaited(there, limits):
    """What missing samples cost decides how many a budget of tokens admits: until they are there it is a least one."""
    with drawing() as server:
        if there:
            vote(there)(question="?")
        before = server.choices_served
        seen = peek(vote(8), question="?", budget=rtk.Budget(**limits))
        vote(8)(question="?", budget=rtk.Budget(**limits))
        drawn = server.choices_served - before
        missing = seen.wanted - seen.there
        assert missing == drawn if seen.exact else missing < drawn


def test_a_budget_of_tokens_over_an_unbounded_model_decides_at_the_first_sample():
    """Without max_tokens a whole ask is admitted, and the number is exact."""
    with serving(chain("a")) as server:
        assert counts(peek(vote(4), question="?", budget=rtk.Budget(tokens=1))) == (4, 0, True, False)
        assert vote(4)(question="?", budget=rtk.Budget(tokens=1)).spent.samples == server.choices_served == 4


def test_a_closed_budget_admits_nothing():
    """Neither of the call nor of the peek."""
    budget = rtk.Budget()
    budget.close()
    with serving(chain("a")) as server:
        vote(2)(question="?")
        seen = stored(server, vote(2), question="?", budget=budget)
        assert (seen.wanted, seen.prediction.stopped) == (0, "closed")


def test_looking_notes_nothing_overdrawn():
    """Samples that are there beyond a stop are told of on the prediction, and not charged to who only looks."""
    program = rtk.SelfConsistency("question -> answer", samples=12, stop="beta", wave=12)
    with serving(chain("yes")):
        program(question="?")
        with rtk.Budget() as budget:
            seen = peek(program, question="?")
        assert budget.spent == rtk.Spent()
        assert seen.prediction.spent.overdrawn == 12 - seen.prediction.vote.votes > 0
