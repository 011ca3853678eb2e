"""Addresses: fixed by the place in the program, before any reply; shared where rules 1 to 7 share, apart elsewhere."""

import tempfile

import dspy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted import PATIENCE, Seen, TwoSteps, by_seed, chain, choices, model, serving, started

import rtk
from rtk.testing import ScriptedServer

# --- nestings: all draw the same request, so that places alone tell their samples apart ---


class Around(dspy.Module):
    """A user's module that calls another program once."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, question):
        return self.inner(question=question)


class Awaited(dspy.Module):
    """The same, for `acall` only."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    async def aforward(self, question):
        return await self.inner.acall(question=question)


class Drafts(rtk.Strategy):
    """A user's strategy: several rollouts, one ask for each."""

    def __init__(self, inner, count):
        super().__init__()
        self.inner, self.count = inner, count

    def flow(self, **inputs):
        """One ask for each number of a rollout, side by side."""
        asked = yield [rtk.ask(self.inner, inputs, rollout=number) for number in range(self.count)]
        return asked[0][0]


class Children(Drafts):
    """A user's strategy: several child generators."""

    def flow(self, **inputs):
        """One child for each, side by side."""
        found = yield [self.one(inputs) for _ in range(self.count)]
        return found[0]

    def one(self, inputs):
        """A child: one ask."""
        return (yield rtk.ask(self.inner, inputs))[0]


LEAVES = {
    "chains": lambda count: rtk.SelfConsistency("question -> answer", samples=count),
    "plain": lambda count: Around(dspy.ChainOfThought("question -> answer", n=count, temperature=0.7)),
}
LEVELS = {
    "vote": rtk.SelfConsistency,
    "drafts": Drafts,
    "children": Children,
    "module": lambda inner, count: Around(inner),
}
leaves = st.tuples(st.sampled_from(sorted(LEAVES)), st.integers(1, 3))
levels = st.lists(st.tuples(st.sampled_from(sorted(LEVELS)), st.integers(1, 3)), min_size=1, max_size=3)


def built(leaf, levels):
    """A program from its innermost level outwards, and how many samples it draws."""
    program, count = LEAVES[leaf[0]](leaf[1]), leaf[1]
    for kind, times in levels:
        program, count = LEVELS[kind](program, times), count * (1 if kind == "module" else times)
    return program, count


@pytest.fixture(scope="module")
def always():
    """A server that gives one answer to all."""
    with ScriptedServer(chain("yes")) as server:
        yield server


def drawn(program, lm):
    seen = Seen()
    with dspy.context(lm=lm), rtk.watch(seen):
        program(question="?")
    return seen.addresses


@settings(max_examples=30)
@given(leaves, levels)
def test_no_two_leaves_of_a_nested_program_share_an_address(always, leaf, levels):
    """Three levels deep, of any kind, every sample has an address of its own."""
    program, count = built(leaf, levels)
    addresses = drawn(program, model(always))
    assert len({address.key for address in addresses}) == 1
    assert len(addresses) == len(set(addresses)) == count


@settings(max_examples=15)
@example(("chains", 2), [("vote", 2)], 1)
@given(leaves, levels.filter(lambda these: len(these) < 3), st.integers(1, 3))
def test_fewer_rollouts_are_the_first_of_more(always, leaf, levels, count):
    """Rollout j is the same whoever else runs, so a dial turned up draws only what is new."""
    lm, inner = model(always), built(leaf, levels)[0]
    fewer = set(drawn(rtk.SelfConsistency(inner, samples=count), lm))
    more = set(drawn(rtk.SelfConsistency(inner, samples=count + 1), lm))
    assert fewer < more
    assert len(more) == len(fewer) // count * (count + 1)


def test_streams_name_every_level_entered_outermost_first(always):
    """Trailing zeros are dropped: the first rollout of the first is the stream of the whole."""
    program = rtk.SelfConsistency(rtk.SelfConsistency(Around(dspy.ChainOfThought("question -> answer")), 2), 2)
    assert sorted(address.stream for address in drawn(program, model(always))) == ["0", "0/0/1", "0/1", "0/1/1"]


def test_a_module_with_acall_only_draws_where_its_sync_twin_does(always):
    """How a module is run changes no address."""
    lm = model(always)
    inner = rtk.SelfConsistency("question -> answer", samples=2)
    one = drawn(rtk.SelfConsistency(Around(inner), samples=3), lm)
    other = drawn(rtk.SelfConsistency(Awaited(inner), samples=3), lm)
    assert sorted(one) == sorted(other)


# --- cursors and sharing ---


class Again(rtk.Strategy):
    """Asks the same predictor as often as told, so many samples each time."""

    def __init__(self, *counts, program=None):
        super().__init__()
        self.counts, self.program = counts, program or dspy.ChainOfThought("question -> answer")

    def flow(self, **inputs):
        """One ask after the other; the answers in their order."""
        answers = []
        for count in self.counts:
            got = yield rtk.ask(self.program, inputs, samples=count)
            answers += got.answers("reasoning")
        return {"answer": answers}


def test_asking_again_gives_the_next_samples_and_never_a_copy():
    """A cursor counts per request, in one strategy call; the next call begins anew."""
    with serving([chain("a", str(i)) for i in range(6)], server_n=False):
        assert Again(1, 2, 3)(question="?").answer == ["0", "1", "2", "3", "4", "5"]
        assert Again(2)(question="?").answer == ["0", "1"]


def test_asks_side_by_side_share_the_cursor_in_index_order():
    """Two asks of one request in a list get different samples."""

    class Pair(Again):
        def flow(self, **inputs):
            asked = yield [rtk.ask(self.program, inputs, samples=2) for _ in range(2)]
            return {"answer": [got.answers("reasoning") for got in asked]}

    with serving([chain("a", str(i)) for i in range(4)], server_n=False, concurrency=1):
        assert Pair()(question="?").answer == [["0", "1"], ["2", "3"]]


def test_escalating_from_four_votes_to_sixteen_draws_twelve():
    """A strategy run within another one has cursors of its own, in the same stream."""

    class Escalating(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.few = rtk.SelfConsistency("question -> answer", samples=4)
            self.many = rtk.SelfConsistency("question -> answer", samples=16)

        def flow(self, **inputs):
            first = (yield rtk.ask(self.few, inputs))[0]
            if first.prediction.confidence.value > 0.9:
                return first
            return (yield rtk.ask(self.many, inputs))[0]

    with serving(choices(["a", "b"])) as server:
        assert Escalating()(question="?").answer == "a"
        assert server.choices_served == 16


def test_a_second_draft_is_new_only_where_it_is_asked_for():
    """The same sub-program asked again gives the same; with a rollout's number it gives something new."""
    inner = rtk.SelfConsistency("question -> answer", samples=2)
    with serving(chain("yes")) as server:
        Again(1, 1, program=inner)(question="?")
        assert server.choices_served == 2
        Drafts(inner, 2)(question="?")
        assert server.choices_served == 4


def test_flat_programs_share_their_samples():
    """Votes of 8 and of 16, a plain chain with n=8 and a bare call are the same samples 0 to 15."""
    with serving(chain("yes")) as server:
        rtk.SelfConsistency("question -> answer", samples=8)(question="?")
        rtk.SelfConsistency("question -> answer", samples=16)(question="?")
        rtk.SelfConsistency(dspy.ChainOfThought("question -> answer"), samples=4)(question="?")
        dspy.ChainOfThought("question -> answer", n=8)(question="?")
        rtk.ChainOfThought("question -> answer")(question="?")
        dspy.settings.lm(messages=server.requests[0].messages, n=8)
        assert server.choices_served == 16


def test_a_tree_alone_and_the_first_tree_of_five_share():
    """What was drawn for one is part of what is drawn for five."""
    tree = rtk.TreeOfThoughts("question -> answer", branching=2, depth=2, values=0, separator=" ")
    with serving("[[ ## reasoning ## ]]\nr\n\n[[ ## thought ## ]]\nt\n\n[[ ## completed ## ]]"):
        alone = drawn(tree, dspy.settings.lm)
        among = drawn(rtk.SelfConsistency(tree, samples=5), dspy.settings.lm)
    assert set(alone) < set(among)
    assert len(set(among)) == 5 * len(set(alone))


def test_replicates_and_rollout_ids_are_streams_apart():
    """`rtk.replicate` sets the first number of every stream, and DSPy's `rollout_id` a mark at its end."""
    program, seen = rtk.SelfConsistency(Around(dspy.ChainOfThought("question -> answer")), samples=2), Seen()
    with serving(chain("yes")), rtk.watch(seen):
        with rtk.replicate(3):
            program(question="?")
        with dspy.context(lm=dspy.settings.lm.copy(rollout_id=7)):
            program(question="?")
    assert seen.streams == ["0/1~7", "0~7", "3", "3/1"]


def test_a_temperature_of_its_own_is_another_request():
    """Samples at another temperature are never mixed in."""
    with serving(chain("yes")) as server:
        rtk.SelfConsistency("question -> answer", samples=2)(question="?")
        rtk.SelfConsistency("question -> answer", samples=2, temperature=1.3)(question="?")
        assert [received.body["temperature"] for received in server.requests] == [0.7, 1.3]


# --- the order of replies ---


def told(program, lm):
    """All that may not depend on the order of replies."""
    seen = Seen()
    with dspy.context(lm=lm), rtk.watch(seen):
        found = program(question="?")
    return found.toDict(), sorted(map(str, seen.addresses)), str(found.deliberation), list(found.completions.answer)


def released_in(order, server, run, width):
    """Run something while replies are held and let go one at a time; `order` picks among those that are held."""
    with server.hold():
        result, waiting, alive, arrived = started(run), [], width, 0
        for pick in order:
            server.wait_for(lambda s, alive=alive: s.held == alive)
            fresh = server.requests[arrived:]
            arrived += len(fresh)
            waiting += fresh
            one = waiting.pop(pick % len(waiting))
            server.release(where=lambda received, one=one: received.index == one.index)
            alive -= "draft" in one.last
        return result.result(PATIENCE)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 11), min_size=8, max_size=8))
def test_the_order_of_replies_changes_nothing(order):
    """Shuffled replies give the same addresses, answer, deliberation and completions."""
    program = rtk.SelfConsistency(TwoSteps(), samples=4)
    with (
        ScriptedServer(by_seed()) as server,
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
    ):
        expected = told(program, model(server, seed=1, store=one, concurrency=1))
        server.reset()
        lm = model(server, seed=1, store=other)
        assert released_in(order, server, lambda: told(program, lm), 4) == expected


def test_the_first_reply_to_arrive_wins_no_vote():
    """A tie goes to the earliest index, though its reply came last."""
    program = rtk.SelfConsistency("question -> answer")
    with serving(by_seed(2**31), seed=1) as server, server.hold():
        running = started(lambda: program(question="?"))
        server.wait_for(lambda s: s.held == 8)
        for index in reversed(range(8)):
            server.release(where=lambda received, index=index: received.index == index)
            server.wait_for(lambda s, index=index: s.in_flight == index)
        found = running.result(PATIENCE)
    first = found.deliberation.root.children[0]
    assert (first.state, first.label) == ("chosen", found.answer)
    assert first.address.endswith(":0:0")
