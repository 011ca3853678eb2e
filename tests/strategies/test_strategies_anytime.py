"""Anytime: a budget ends a strategy at the same sample in every run, live or replayed, with its best answer so far."""

import asyncio
import tempfile

import dspy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted import Seen, TwoSteps, asks, chain, chat, choices, field_of, model, serving, tree

import rtk
from rtk.testing import ScriptedServer


class Sides(rtk.Strategy):
    """A user's strategy of child generators, each of several asks."""

    def __init__(self):
        super().__init__()
        self.step = dspy.ChainOfThought("question -> answer")

    def side(self, question):
        """Three asks, one after the other; the best so far is the last."""
        for _ in range(3):
            got = yield rtk.ask(self.step, {"question": question}, samples=2)
            question = f"{question} {got[0].answer('answer')}"
            yield got[0]
        return got[0]

    def flow(self, question):
        """Three sides."""
        got = yield [self.side(f"{question} {side}") for side in range(3)]
        return {"answer": ", ".join(str(one.answer("answer")) for one in got)}


def by_length(inputs, prediction):
    """A reward that some attempts tie for."""
    return len(prediction.reasoning) % 4


PROGRAMS = {
    "vote": lambda: rtk.SelfConsistency("question -> answer", samples=12),
    "votes of votes": lambda: rtk.SelfConsistency(rtk.SelfConsistency("question -> answer", samples=3), samples=4),
    "module": lambda: rtk.SelfConsistency(TwoSteps(), samples=4),
    "beam": lambda: rtk.TreeOfThoughts("question -> answer", breadth=2, branching=3, depth=2),
    "depth first": lambda: rtk.TreeOfThoughts("question -> answer", search="dfs", branching=3, depth=3),
    "children": Sides,
    "vote that stops": lambda: rtk.SelfConsistency("question -> answer", samples=12, stop="beta", certainty=0.8),
    "runs that stop": lambda: rtk.SelfConsistency(TwoSteps(), samples=6, stop="horizon", wave=2),
    "best": lambda: rtk.BestOfN("question -> answer", 8, by_length),
    "best of votes": lambda: rtk.BestOfN(rtk.SelfConsistency("question -> answer", 3), 4, by_length, 2, wave=2),
    "judged": lambda: rtk.BestOfN("question -> answer", 4, dspy.ChainOfThought("question, answer -> rating: int")),
}
LIMITS = {"calls": 12, "samples": 24, "tokens": 3000}
limits = st.sampled_from(sorted(LIMITS)).flatmap(lambda unit: st.tuples(st.just(unit), st.integers(0, LIMITS[unit])))


def by_place(received):
    """A reply of a length and a content of its own for every request and every seed, that is, for every sample."""
    lot = received.body["seed"] + len(received.prompt)
    if lot % 11 == 0:
        return "no idea"
    words = " ".join(["so"] * (1 + lot % 13))
    if asks(received, "thought"):
        return chat(reasoning=words, thought=f"t{lot % 4}")
    if asks(received, "verdict"):
        return chat(reasoning=words, verdict=("sure", "likely", "impossible")[lot % 3])
    if asks(received, "rating"):
        return chat(reasoning=words, rating=lot % 5)
    return chain(f"a{lot % 3}", words)


def told(program, limit, **lm):
    """Everything about a run under a budget that may not depend on time or concurrency."""
    seen = Seen()
    with dspy.context(lm=model(seed=1, max_tokens=40, **lm)), rtk.watch(seen), rtk.Budget(**dict([limit])) as budget:
        try:
            found = program(question="?")
        except rtk.RTKError as error:  # nothing came at all
            return type(error), str(error)
    spent = found.spent
    return (
        found.toDict(),
        found.stopped,
        str(found.deliberation),
        (spent.calls, spent.samples, spent.tokens, budget.spent.samples, budget.spent.tokens),
        sorted(map(str, seen.addresses)),
    )


@pytest.fixture(scope="module")
def servers():
    """One that answers at once, and one whose replies overtake each other."""
    with ScriptedServer(by_place) as quick, ScriptedServer(by_place, latency=(0, 0.004)) as slow:
        yield quick, slow


@pytest.mark.parametrize("program", PROGRAMS)
@settings(max_examples=5)
@example(limit=("samples", 7))
@example(limit=("calls", 4))
@given(limit=limits)
def test_a_budget_trips_at_the_same_sample_live_and_replayed(servers, program, limit):
    """One at a time, sixteen at once with shuffled replies, and from a full store: one and the same run."""
    quick, slow = servers
    one, other, full = (tempfile.TemporaryDirectory() for _ in range(3))
    with one, other, full:
        alone = told(PROGRAMS[program](), limit, server=quick, store=one.name, concurrency=1, server_n=False)
        together = told(PROGRAMS[program](), limit, server=slow, store=other.name, server_n=False)
        assert together == alone
        # a cut run consults nothing that the whole run does not
        told(PROGRAMS[program](), ("samples", 10_000), server=quick, store=full.name)
        asked = quick.count
        assert told(PROGRAMS[program](), limit, server=quick, store=full.name) == alone
        assert quick.count == asked


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_budget_trips_at_the_same_sample_awaited(servers, program, tmp_path):
    """The async driver makes the same run of it."""

    def awaited(question):
        return asyncio.run(PROGRAMS[program]().acall(question=question))

    limit = ("samples", 7)
    expected = told(PROGRAMS[program](), limit, server=servers[0], store=tmp_path / "a")
    assert told(awaited, limit, server=servers[1], store=tmp_path / "b") == expected


# --- the best so far ---


def test_a_vote_that_is_cut_is_the_vote_of_a_smaller_dial():
    """Five of eight admitted: the very answer and confidence of five samples."""
    with serving(choices(["a", "b", "b", "a", "a", "b", "b", "b"])):
        cut = rtk.SelfConsistency("question -> answer", samples=8)(question="?", budget=rtk.Budget(samples=5))
        small = rtk.SelfConsistency("question -> answer", samples=5)(question="?")
    assert cut.toDict() == small.toDict()
    assert cut.confidence == small.confidence
    assert (cut.stopped, small.stopped) == ("samples", None)


STEPS = {"": "1", "1": "2", "1 2": "3"}


def counting(received):
    """A tree that counts: the next thought after what is found so far."""
    return tree(
        thought=lambda one: STEPS[field_of(one, "partial")], answer=lambda one: f"done: {field_of(one, 'thoughts')}"
    )(received)


@pytest.mark.parametrize("search", ["bfs", "dfs"])
@pytest.mark.parametrize(
    ("calls", "answer"), [(0, None), (1, "1"), (2, "1"), (3, "1"), (4, "1 2"), (5, "1 2"), (6, "1 2 3"), (7, "1 2 3")]
)
def test_a_tree_that_is_cut_answers_with_the_deepest_level_it_finished(search, calls, answer):
    """Each level is a proposal and a judgement; what is judged is the best so far, and what is not where nothing is."""
    program = rtk.TreeOfThoughts("question -> answer", 1, 1, 3, search, separator=" ")
    with serving(counting):
        found = program(question="?", budget=rtk.Budget(calls=calls))
    assert found.answer == answer
    assert found.stopped == ("calls" if calls < 6 else None)
    chosen = [step.text for step in found.deliberation.chosen]
    assert chosen == ([] if answer is None else ["", *answer.split()])


def test_a_tree_that_cannot_ask_for_its_answer_gives_its_thoughts():
    """The last ask is not made; the thoughts found stand in the last output field."""
    program = rtk.TreeOfThoughts("question -> unit, answer", 1, 1, 2)
    with serving(
        lambda received: counting(received) if asks(received, "thought") else chat(reasoning="", verdict="sure")
    ):
        found = program(question="?", budget=rtk.Budget(calls=4))
    assert (found.unit, found.answer, found.stopped) == (None, "1\n2", "calls")


class Debate(rtk.Strategy):
    """A user's strategy that reads its lists as if nothing could be cut."""

    def __init__(self):
        super().__init__()
        self.speak = dspy.ChainOfThought("question, side -> answer")
        self.judge = dspy.ChainOfThought("question, pro, con -> answer")

    def flow(self, question):
        """Two speakers, then a judge; the best so far is the first speaker's word."""
        opening = yield rtk.ask(self.speak, {"question": question, "side": "either"})
        yield opening[0]
        asked = yield [rtk.ask(self.speak, {"question": question, "side": side}) for side in ("pro", "con")]
        pro, con = (got[0].prediction.answer for got in asked)
        return (yield rtk.ask(self.judge, {"question": question, "pro": pro, "con": con}))[0]


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_reading_past_the_end_of_what_was_cut_gives_the_best_so_far(calls):
    """A list of asks that a budget cut raises `BudgetSpent` where it is read too far, and no IndexError."""
    with serving(chain("so")):
        found = Debate()(question="?", budget=rtk.Budget(calls=calls))
    assert (found.answer, found.stopped, found.spent.calls) == ("so", "calls", calls)


def test_children_that_came_to_nothing_give_the_best_so_far():
    """A child generator cut before it had anything ends the flow around it with its best so far."""

    class Parent(Debate):
        def child(self, question, side):
            return (yield rtk.ask(self.speak, {"question": question, "side": side}))[0].prediction.answer

        def flow(self, question):
            yield dspy.Prediction(answer="nothing yet")
            pro, con = yield [self.child(question, side) for side in ("pro", "con")]
            return {"answer": f"{pro} {con}"}

    with serving(chain("so")):
        found = Parent()(question="?", budget=rtk.Budget(calls=1))
        assert (found.answer, found.stopped) == ("nothing yet", "calls")
        assert Parent()(question="?").answer == "so so"


def test_a_cut_rollout_counts_with_its_best_so_far():
    """Trees that are cut still vote, and the vote says that it was cut."""
    trees = rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", 1, 1, 3, separator=" "), samples=3)
    with serving(counting):
        found = trees(question="?", budget=rtk.Budget(calls=12))
    assert (found.answer, found.stopped, found.spent.calls) == ("1 2", "calls", 12)
    assert list(found.completions.answer) == ["1 2"] * 3


def test_closing_a_budget_ends_a_run_at_its_next_sample():
    """As a stop button does."""
    budget = rtk.Budget()
    budget.close()
    with serving(chain("a")) as server:
        found = rtk.SelfConsistency("question -> answer")(question="?", budget=budget)
        assert server.count == 0
    assert (found.answer, found.stopped) == (None, "closed")
