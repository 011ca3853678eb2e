"""`rtk.allocate`: whose samples they are, who is given the next one, and what that is worth."""

import random

import dspy
import pytest
from allotted import World, delayed
from scripted import Seen, TwoSteps, chain, serving

import rtk
from rtk.errors import StrategyError

VOTE = rtk.SelfConsistency("question -> answer", samples=16)


def given(world, budget, program=VOTE, questions=None, **kwargs):
    return rtk.allocate(program, questions or world.questions, budget, progress=None, **kwargs)


# --- addresses ---


@pytest.mark.parametrize(
    "chain_of",
    [lambda: "question -> answer", lambda: dspy.ChainOfThought("question -> answer")],
    ids=["flat", "module"],
)
def test_every_answer_is_that_of_the_program_alone_on_as_many_samples(chain_of):
    """The plain call draws nothing after it, and says, tells and counts the same."""
    world = World()
    with world.served():
        found = given(world, 60, rtk.SelfConsistency(chain_of(), samples=16))
        for one, count, asked in zip(found, found.samples, world.questions, strict=True):
            alone = rtk.SelfConsistency(chain_of(), samples=count)(**asked)
            assert alone.spent.drawn == 0
            assert (dict(alone), alone.vote, alone.confidence) == (dict(one), one.vote, one.confidence)
            assert alone.deliberation.to_dict() == one.deliberation.to_dict()
            assert (alone.spent.samples, alone.spent.tokens) == (one.spent.samples, one.spent.tokens)
    assert sum(found.samples) == found.spent.samples == found.spent.drawn == 60


def test_rollouts_of_a_module_are_those_of_the_program_alone():
    """The i-th run of a user's module is in the i-th stream, as in a plain vote over it."""
    with serving(lambda received: chain(str(received.index))):
        program = rtk.SelfConsistency(TwoSteps(), samples=6)
        found = rtk.allocate(program, [{"question": "a"}, {"question": "b"}], rtk.Budget(samples=14), progress=None)
        for one, count, text in zip(found, found.samples, "ab", strict=True):
            alone = rtk.SelfConsistency(TwoSteps(), samples=count)(question=text)
            assert alone.spent.drawn == 0
            assert alone.vote == one.vote
    assert found.spent.samples == 14
    assert sum(found.samples) == 7


def test_samples_of_a_plain_vote_are_reused_and_the_other_way_round():
    """What a sweep of four each drew is not drawn again; only what goes beyond is."""
    world = World()
    with world.served() as server:
        for one in world.questions:
            rtk.SelfConsistency("question -> answer", samples=4)(**one)
        before = server.choices_served
        found = given(world, 60)
        assert server.choices_served - before == sum(max(0, count - 4) for count in found.samples)
        assert found.spent.drawn == server.choices_served - before
        assert sum(one.spent.reused for one in found) == found.spent.reused


def test_replicates_are_allocations_of_their_own():
    """Inside `rtk.replicate` every sample is in its stream, as of a plain call there."""
    world, seen = World(size=3), Seen()
    with serving(chain("right")), rtk.replicate(2), rtk.watch(seen):
        given(world, 6)
    assert seen.streams == ["2"]


def test_questions_that_ask_the_same_are_asked_once():
    """They have the same samples, indices from 0 on, and both the answer; fields that are no input do not count."""
    world = World(kinds=("close",), size=2)
    asked = [{"question": "q0", "id": 1}, {"question": "q1"}, {"question": "q0", "id": 2}]
    with world.served() as server:
        found = given(world, 12, questions=asked)
        assert server.choices_served == found.spent.samples == 12
    assert found.samples[0] == found.samples[2]
    assert found.predictions[0].answer == found.predictions[2].answer
    assert found.predictions[0] is not found.predictions[2]
    assert found.predictions[0].spent.samples == found.samples[0]


# --- who is given the next one ---


def test_it_beats_as_many_for_each_on_the_same_samples():
    """On worlds that were not chosen for it, at several budgets: more votes are right than by round robin."""
    ours = even = 0
    for seed in range(3):
        world = World(("clear", "close", "close"), size=48, seed=100 + seed, name=f"of world {seed}")
        with world.served():
            for each in (3, 5, 7):
                found = given(world, each * 48)
                assert found.spent.samples <= each * 48
                ours, even = ours + world.right(found.samples), even + world.right([each] * 48)
                assert [one.answer for one in found] == [world.leader(*pair) for pair in enumerate(found.samples)]
    assert ours > even + 10


def test_ties_are_given_most_clear_votes_least_and_hopeless_ones_do_not_swallow_the_budget():
    """A third of the questions is clear, a third never decided, and to a third every answer is another one."""
    world = World(kinds=(["right"] * 16, ["right", "wrong"] * 8, "hopeless"), size=24)
    with world.served():
        found = given(world, 144)
    clear, tied, hopeless = (sum(found.samples[kind::3]) for kind in range(3))
    assert clear < hopeless < tied
    assert clear < 32


def test_the_order_of_arrival_decides_nothing():
    """However long each reply takes, every question has the same samples and the same answer."""
    world, found = World(size=9), []
    for seed in range(3):
        chance = random.Random(seed)
        slow = {(number, index): chance.choice([0, 0.001, 0.02]) for number in range(9) for index in range(16)}
        with world.served(delayed(world, lambda *place, slow=slow: slow[place])):
            found.append(given(world, 45, wave=4))
    assert len({tuple(one.samples) for one in found}) == 1
    assert len({tuple(pred.answer for pred in one) for one in found}) == 1


def test_a_larger_budget_goes_on_where_a_smaller_one_ended():
    """No question has fewer samples than it had, and what is new is drawn alone."""
    world = World()
    with world.served() as server:
        few = given(world, 40)
        more = given(world, 70)
        assert server.choices_served == 70
    assert all(a <= b for a, b in zip(few.samples, more.samples, strict=True))


def test_no_question_is_given_more_than_its_most():
    """The program's own `samples=` by default, else `most=`; where all have it, the budget is not spent."""
    world = World(kinds=("close",), size=3)
    with world.served():
        assert max(given(world, 60, rtk.SelfConsistency("question -> answer", samples=5)).samples) <= 5
        found = given(world, 60, most=3)
    assert max(found.samples) <= 3
    assert found.stopped is None


def test_what_cannot_change_a_vote_is_not_drawn():
    """Where no lead can be made up for any more, it ends with budget left."""
    world = World(kinds=(["right"] * 16,), size=4)
    with world.served():
        found = given(world, 64)
    assert found.stopped is None
    assert found.samples == [8] * 4
    assert found.changes == [0.0] * 4


def test_every_question_has_its_least_first():
    """Before any has more, those in front first."""
    world = World(size=6)
    with world.served():
        assert given(world, 18, least=3).samples == [3] * 6
        assert min(given(world, 30, least=3).samples) == 3
        some = given(world, 15, least=3)
    assert some.samples == [3, 3, 3, 2, 2, 2]
    assert some.short == [3, 4, 5]


def test_the_programs_own_rule_ends_a_questions_share():
    """With `stop=` a question that is settled by it is given no more, whatever is left."""
    world = World(kinds=(["right"] * 16, "close"), size=6)
    with world.served():
        found = given(world, 90, rtk.SelfConsistency("question -> answer", samples=16, stop="window", window=3))
    assert found.samples[::2] == [3, 3, 3]
    assert all(one.confidence.size == count for one, count in zip(found, found.samples, strict=True))


def test_a_budget_of_tokens_counts_what_samples_cost():
    """Of two questions alike, the one whose samples are short is given more of them."""
    world = World(kinds=("close",), size=2)
    world.answers[1] = world.answers[0]
    long = "so " * 200

    def script(received):
        reply = world.reply(received)
        return reply if "q0" in received.last else reply.replace("because", long)

    with world.served(script, max_tokens=400):
        found = given(world, rtk.Budget(tokens=6000), wave=1)
    assert found.samples[0] > found.samples[1]
    assert found.stopped == "tokens"
    assert found.spent.tokens <= 6000


# --- what it refuses ---


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (dspy.Predict("question -> answer"), "no vote"),
        (rtk.BestOfN("question -> answer", 2, lambda inputs, pred: 1.0), "no vote"),
        ("question -> answer", "no vote"),
        (rtk.SelfConsistency("question -> answer", vote="median"), "every sample moves it"),
        (rtk.SelfConsistency("question -> answer", vote="judge"), "more than chains"),
        (rtk.SelfConsistency("question -> answer", vote="universal"), "more than chains"),
        (rtk.SelfConsistency("question -> answer", finish_cut=True), "finish_cut"),
        (
            rtk.SelfConsistency("question -> answer", vote="weighted", weight=dspy.Predict("question -> score: float")),
            "more than chains",
        ),
    ],
)
def test_what_is_no_vote_of_chains_alone_is_refused(program, said):
    """Before anything is asked, with what to take instead."""
    with pytest.raises(StrategyError, match=said) as caught:
        rtk.allocate(program, [{"question": "?"}], 4)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("asked", "settings", "said"),
    [
        ([], {}, "no questions"),
        ("What?", {}, "no questions"),
        ({"question": "?"}, {}, "no questions"),
        (["What?"], {}, "no question"),
        ([dspy.Example(question="?")], {}, "which fields are inputs"),
        ([{"question": "?", "limit": rtk.Budget(samples=1)}], {}, "budget of its own"),
        ([{"question": "?"}], {"budget": True}, "budget=True"),
        ([{"question": "?"}], {"budget": 1.5}, "budget=1.5"),
        ([{"question": "?"}], {"most": 0}, "most=0"),
        ([{"question": "?"}], {"least": 0}, "least=0"),
        ([{"question": "?"}], {"wave": 0}, "wave=0"),
        ([{"question": "?"}], {"least": 3, "most": 2}, "least=3"),
    ],
)
def test_questions_and_settings_that_cannot_be_are_refused(asked, settings, said):
    """Before anything is asked, with what to give instead."""
    with pytest.raises(StrategyError, match=said) as caught:
        rtk.allocate(VOTE, asked, **{"budget": 4, **settings})
    assert caught.value.mend
