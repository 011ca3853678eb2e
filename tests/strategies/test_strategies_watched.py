"""Watched: everything a strategy does is told as it happens, to watchers and to who awaits it, and changes nothing."""

import asyncio

import dspy
import pytest
from scripted import PATIENCE, Flowing, chain, choices, field_of, run, serving, started, tree

import rtk
from rtk.events import (
    Backtracked,
    BestSoFar,
    BranchPruned,
    BudgetLeft,
    CandidateScored,
    SampleArrived,
    StrategyEvent,
    ThoughtScored,
    VoteMoved,
    tell,
)


def told(program, script, *kinds, **inputs):
    """The events of some kinds, of one run."""
    with serving(script), rtk.watch(only=kinds or StrategyEvent) as events:
        program(question="?", **inputs)
    return list(events)


# --- what is told ---


def test_a_vote_moves_with_every_answer_in_index_order():
    """Whichever came first; live, those that arrived while an earlier one was missing are counted together with it."""
    script = lambda received: chain("ab"[received.body["seed"] % 2])  # noqa: E731
    served, events = {"latency": (0, 0.02)}, []
    with serving(script, server=served, server_n=False, seed=4), rtk.watch(events.append, only=VoteMoved):
        found = rtk.SelfConsistency("question -> answer", samples=6)(question="?")
        live, events[:] = [*events], []
        rtk.SelfConsistency("question -> answer", samples=6)(question="?")
    moves = list(events)
    assert [move.size for move in moves] == [1, 2, 3, 4, 5, 6]
    assert live == [move for move in moves if move.size in {one.size for one in live}]
    assert {move.of for move in moves} == {6}
    assert {move.strategy for move in moves} == {"SelfConsistency"}
    assert (moves[-1].answer, moves[-1].share) == (found.answer, found.vote.share)


def test_a_vote_moves_while_samples_are_still_on_their_way():
    """The first three are counted while the fourth is held."""
    moves = []
    with serving(choices(["a"]), server_n=False) as server, rtk.watch(moves.append, only=VoteMoved):
        with server.hold():
            running = started(lambda: rtk.SelfConsistency("question -> answer", samples=4)(question="?"))
            server.wait_for(lambda s: s.held == 4)
            server.release(count=3)
            server.wait_for(lambda s: s.choices_served == 3)
            deadline = 1000
            while len(moves) < 1 and deadline:
                deadline -= 1
                asyncio.run(asyncio.sleep(0.01))
            assert [move.answer for move in moves][:1] == ["a"]
            assert not running.done()
        running.result(PATIENCE)
    assert moves[-1].size == 4


def test_a_tree_tells_what_it_thinks_of_each_thought():
    """Scores, what is pruned and why, and where it went back."""
    script = tree(
        thought=lambda received: {"": "52", "5": "41", "2": "33"}[field_of(received, "partial")][received.choice],
        verdict=lambda received: "impossible" if field_of(received, "partial")[-1] in "41" else "sure",
    )
    program = rtk.TreeOfThoughts("question -> answer", 2, 2, 2, "dfs", separator="")
    events = told(program, script)
    kinds = [type(event) for event in events]
    assert [(e.text, e.score, e.level) for e in events if isinstance(e, ThoughtScored)][:2] == [
        ("5", 1.0, 1), ("2", 1.0, 1)
    ]  # fmt: skip
    pruned = [(e.text, e.reason) for e in events if isinstance(e, BranchPruned)]
    assert pruned == [("54", "impossible"), ("51", "impossible"), ("23", "the same as one before")]
    assert [(e.text, e.level) for e in events if isinstance(e, Backtracked)] == [("5", 1)]
    assert kinds.index(Backtracked) > kinds.index(BranchPruned)


def test_a_choice_tells_each_reward():
    """With the attempt's place."""
    events = told(
        rtk.BestOfN("question -> answer", 3, lambda inputs, p: float(p.answer)),
        choices(["1", "3", "2"]),
        CandidateScored,
    )
    assert [(event.index, event.score) for event in events] == [(0, 1.0), (1, 3.0), (2, 2.0)]


def test_what_is_left_of_a_budget_is_told_after_every_ask():
    """Of each budget that limits anything, and of none where none does."""
    program = rtk.TreeOfThoughts("question -> answer", 1, 1, 2, values=0, separator="")
    events = told(program, tree(thought="1"), BudgetLeft, budget=rtk.Budget(calls=5))
    assert [(event.left, event.limits) for event in events] == [
        ({"calls": 4}, {"calls": 5}),
        ({"calls": 3}, {"calls": 5}),
    ]
    assert told(program, tree(thought="1"), BudgetLeft) == []


def test_a_strategy_of_ones_own_tells_for_nothing_and_what_it_likes():
    """Samples, its best so far, what is left; and any event of its own."""

    def flow(self, inputs):
        first = yield rtk.ask(self.step, inputs)
        yield first[0]
        tell(ThoughtScored, text="mine", score=0.5, level=1)
        return first[0]

    with rtk.watch() as events:
        run(flow, budget=rtk.Budget(calls=3))
    kinds = [type(event) for event in events]
    assert kinds == [SampleArrived, BudgetLeft, BestSoFar, ThoughtScored]


def test_events_say_in_which_strategy_they_happen():
    """The modules from the outside in."""
    program = rtk.BestOfN(rtk.SelfConsistency("question -> answer", 2), 2, lambda inputs, p: 1.0)
    events = told(program, choices(["a"]))
    assert {e.strategy for e in events if isinstance(e, VoteMoved)} == {"BestOfN/SelfConsistency"}
    assert {e.strategy for e in events if isinstance(e, CandidateScored)} == {"BestOfN"}


# --- how it is told ---


def test_events_may_be_awaited_while_a_call_runs():
    """The call is run, its events come as they occur, and its result is there in the end."""

    async def listen():
        with rtk.watch() as events:
            program = rtk.SelfConsistency("question -> answer", samples=3)
            seen = [event async for event in events.of(program.acall(question="?"))]
        return seen, events.result

    with serving(choices(["a", "b", "a"])):
        seen, result = asyncio.run(listen())
    assert result.answer == "a"
    assert [type(event) for event in seen].count(SampleArrived) == 3
    assert [event.size for event in seen if isinstance(event, VoteMoved)][-1] == 3


def test_who_stops_awaiting_cancels_the_call():
    """Nothing goes on behind the back of who left."""

    async def leave(server):
        with rtk.watch() as events:
            program = rtk.SelfConsistency("question -> answer", samples=2)
            listening = events.of(program.acall(question="?"))
            async for _ in listening:
                break
            await listening.aclose()
            server.release()
            return events.result

    with serving(choices(["a"]), server_n=False) as server, server.hold():
        waiting = started(lambda: asyncio.run(leave(server)))
        server.wait_for(lambda s: s.held == 2)
        server.release(count=1)
        assert waiting.result(PATIENCE) is None


def test_what_a_call_raises_is_raised_where_it_is_awaited():
    """Events come first."""

    async def listen():
        with rtk.watch() as events:
            async for _ in events.of(rtk.ChainOfThought("question -> answer").acall(question="?", budget=None)):
                pass

    with dspy.context(lm=None), pytest.raises(Exception, match=r"(?i)lm"):
        asyncio.run(listen())


def test_watchers_change_nothing():
    """The same answer, deliberation and cost, watched or not."""
    script = tree(thought=lambda r: str(r.body["seed"] % 10), verdict=lambda r: ("sure", "likely")[r.body["seed"] % 2])
    program = rtk.TreeOfThoughts("question -> answer", 2, 3, 2, separator="")
    found = []
    for watched in (False, True):
        with serving(script, server_n=False, seed=1, cache=False):
            if watched:
                with rtk.watch(lambda event: None):
                    found.append(program(question="?"))
            else:
                found.append(program(question="?"))
    assert found[0].deliberation.to_dict() == found[1].deliberation.to_dict()
    assert found[0].spent == found[1].spent


# --- the protocol behind it ---


def test_what_is_shared_is_asked_once_in_a_call():
    """By whomever of its flow, also in child generators, and everybody is given the same."""

    def child(self, inputs):
        got = yield rtk.ask(self.step, inputs, samples=2, shared=True)
        return [one.prediction.answer for one in got]

    def flow(self, inputs):
        first = yield [child(self, inputs), child(self, inputs), rtk.ask(self.step, inputs)]
        again = yield from child(self, inputs)
        assert first[0] == first[1] == again
        return first[2][0]

    with serving(choices(["a", "b"])) as server:
        found = Flowing(flow)(question="?")
        assert (found.spent.calls, server.choices_served) == (2, 2)


def test_each_candidate_is_followed_up_as_it_comes():
    """What is made of it is on it, in index order, and what it cost is part of the longest path."""

    def follow(self, candidate):
        got = yield rtk.ask(self.step, {"question": f"after {candidate.index}"}, shared=True)
        return (candidate.index, got[0].prediction.answer)

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs, samples=3, each=lambda one: follow(self, one))
        assert [one.made for one in got] == [(0, "x"), (1, "x"), (2, "x")]
        return got[0]

    found = run(flow, chain("x"))
    assert (found.spent.calls, found.spent.samples) == (4, 6)
    with serving(chain("x"), cache=False, server_n=False):
        budget = rtk.Budget(calls=2)
        under = Flowing(lambda self, inputs: partly(self, inputs))(question="?", budget=budget)
    assert (under.answer, under.stopped) == ("x", "calls")


def partly(self, inputs):
    """Three candidates, of which a budget of two calls lets one be followed up."""

    def follow(candidate):
        yield rtk.ask(self.step, {"question": f"after {candidate.index}"})
        return candidate.index

    got = yield rtk.ask(self.step, inputs, samples=3, each=follow)
    assert [one.made for one in got] == [0, None, None]
    assert got.cut is not None
    return got[0]


def test_a_mistake_in_what_follows_is_raised_where_it_was_asked():
    """It is no abstention."""

    def follow(candidate):
        raise ZeroDivisionError("mine")
        yield

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs, samples=2, each=follow)
        return got[0]

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(flow)


def test_what_is_shared_has_no_asker_of_its_own():
    """So nothing can be done with each of its candidates, or heard of them."""
    with pytest.raises(rtk.errors.StrategyError, match="shared"):
        rtk.ask(dspy.Predict("question -> answer"), {}, shared=True, each=lambda one: None)


def test_asks_of_the_same_in_child_generators_are_apart_unless_shared():
    """As they were: each child generator draws in a stream of its own."""

    def child(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        return got[0].address

    def flow(self, inputs):
        addresses = yield [child(self, inputs), child(self, inputs)]
        assert len(set(addresses)) == 2
        return dspy.Prediction(answer="done")

    assert run(flow).answer == "done"
