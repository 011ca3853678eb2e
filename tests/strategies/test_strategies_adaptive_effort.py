"""Adaptive effort: a probe, and more only where it pays."""

import asyncio

import dspy
import numpy as np
import pytest
from scripted import Seen, TwoSteps, asks, by_seed, chain, chat, choices, model, serving

import rtk
from rtk.errors import StrategyError
from rtk.events import VoteMoved
from rtk.strategies.difficulty import MEASURES, measured
from rtk.testing import Reply, ScriptedServer, play

SIGNATURE = "question -> answer"


def effort(*args, **settings):
    return rtk.AdaptiveEffort(SIGNATURE, *args, **settings)


def after(**rungs):
    """A policy by rung: "r4" is rung 4."""
    return {"after": {name.removeprefix("r"): [{"then": then}] for name, then in rungs.items()}}


def said(answers):
    """Replies of chains with these answers; None is one that cannot be read."""
    return ["no" if one is None else {"reasoning": "so", "answer": one} for one in answers]


def rungs(found):
    return [one.name for one in found.route]


def test_a_settled_probe_is_all_there_is():
    """Four chains of one mind, and nothing more is asked."""
    found = play(effort(), said("1111"), question="?")
    assert (found.answer, rungs(found), found.spent.samples) == ("1", ["4"], 4)
    assert found.route[0].reason == "the vote is settled"
    assert found.confidence.value == found.vote.share == 1.0


def test_more_is_drawn_until_the_vote_is_settled():
    """Rung after rung, and each draws what the one before lacks."""
    found = play(effort(4, (8, 16)), said("1211" + "1111"), question="?")
    assert (found.answer, rungs(found), found.spent.samples) == ("1", ["4", "8"], 8)
    last = play(effort(2, (3,)), said("123"), question="?")
    assert (last.answer, rungs(last), last.route[-1].reason) == ("1", ["2", "3"], "all effort")


def test_a_route_has_what_each_rung_came_to():
    """Its answer, how sure it was, what was decided and why, what it cost."""
    found = play(effort(2, (4, 6)), said("12" + "22" + "22"), question="?")
    first, second, third = found.route
    assert [one.answer for one in found.route] == ["1", "2", "2"]
    assert [one.then for one in found.route] == ["4", "6", None]
    assert [one.accepted for one in found.route] == [False, False, True]
    assert [one.samples for one in found.route] == [2, 2, 2]
    assert sum(one.tokens for one in found.route) == found.spent.tokens
    assert (first.confidence, second.confidence) == (0.5, 0.75)
    assert first.value == 0.5 < second.value < third.value
    assert "the vote is not settled" in repr(found.route)


def test_chains_are_told_once_under_the_rung_that_drew_them():
    """So the tokens of the deliberation are those that were written."""
    found = play(effort(2, (4,)), said("12" + "22"), question="?")
    root = found.deliberation.root
    assert (root.text, [step.label for step in root.children]) == ("answered by 4", ["2 votes", "4 votes"])
    assert [[one.state for one in step.children] for step in root.children] == [["open", "chosen"], ["kept", "kept"]]
    assert sum(one.tokens for step in root.children for one in step.children) == found.spent.completion_tokens


def test_rungs_share_their_samples_with_votes_of_that_size():
    """Climbed to 8, `SelfConsistency(8)` draws none, and says the same."""
    with serving(choices(["1", "2", "2", "1"])) as server:
        found = effort(2, (4, 8))(question="?")
        drawn = server.choices_served
        vote = rtk.SelfConsistency(SIGNATURE, 8)(question="?")
        assert (drawn, server.choices_served) == (8, 8)
    assert (found.answer, found.confidence) == (vote.answer, vote.confidence)
    assert found.spent.samples == 8


def test_a_module_is_voted_on_too():
    """Each run in a stream of its own, as in a vote of that size."""
    program, vote = rtk.AdaptiveEffort(TwoSteps(), 2, (3,)), rtk.SelfConsistency(TwoSteps(), 3)
    with serving(by_seed(7), seed=1) as server:
        found = program(question="?")
        drawn = server.choices_served
        assert (found.answer, drawn) == (vote(question="?").answer, server.choices_served)
    assert rungs(found) == ["2", "3"]


@pytest.mark.parametrize("slow", [0, 1, 5])
def test_decisions_follow_the_order_of_asking(slow):
    """Whichever reply comes last, the route is the same."""

    def reply(received):
        number = received.body["seed"] % 1000
        return Reply(chain(str(number % 3)), delay=0.05 if number % 6 == slow else 0.0)

    with serving(reply, server={"honours_n": False}, seed=3, cache=False):
        found = effort(2, (4, 6, 8))(question="?")
    with serving(lambda one: chain(str(one.body["seed"] % 1000 % 3)), server={"honours_n": False}, seed=3, cache=False):
        plain = effort(2, (4, 6, 8))(question="?")
    assert [(one.name, one.answer, one.value) for one in found.route] == [
        (one.name, one.answer, one.value) for one in plain.route
    ]


# --- policies ---


def test_a_policy_says_where_to_go():
    """Past a rung, where it says so; the bin is on the route."""
    policy = {"after": {"2": [{"below": 0.6, "then": "6"}, {"then": "stop"}], "6": [{"then": "stop"}]}}
    torn = play(effort(2, (4, 6, 8), policy=policy), said("12" + "2222"), question="?")
    sure = play(effort(2, (4, 6, 8), policy=policy), said("11"), question="?")
    assert (rungs(torn), rungs(sure)) == (["2", "6"], ["2"])
    assert [(one.bin, one.reason) for one in torn.route] == [(0, "lead 0.50"), (0, "as for every question")]
    assert sure.route[0].bin == 1


def test_a_policy_may_name_rungs_by_their_numbers(tmp_path):
    """It is then saved as any, also where it was set afterwards, or is a plan."""
    program, other, loaded = effort(2, (4,)), effort(2, (4,)), effort(2, (4,))
    program.policy = {"after": {2: [{"below": 0.6, "then": 4}, {"then": "stop"}]}}
    other.policy = program.plan
    assert other.policy["after"] == {"2": [{"below": 0.6, "then": "4"}, {"then": "stop"}]}
    for one in (program, other):
        one.save(tmp_path / "effort.json")
        loaded.load(tmp_path / "effort.json")
        assert str(loaded.plan) == "after 2: by lead, on to 4 below 0.6, else stop; after 4: stop"


@pytest.mark.parametrize("measure", list(MEASURES))
def test_a_measure_orders_votes_by_how_sure_they_are(measure):
    """Unanimous before divided before all different; where all abstained it is at its lowest."""
    votes = [
        play(effort(4, (), measure="lead"), said(answers), question="?").vote
        for answers in ["1111", "1112", "1122", "1234"]
    ]
    if measure == "confidence":
        with pytest.raises(StrategyError, match="log-probabilities"):
            measured(measure, votes[0])
        return
    values = [measured(measure, one) for one in votes]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[2]
    nothing = rtk.answers.vote([None, None])
    assert measured(measure, nothing) <= values[-1]


def test_confidence_is_of_the_tokens():
    """The leader's voters' mean; it asks for log-probabilities."""
    sure = Reply(chain("1"), logprobs=[{"token": "1", "logprob": -0.1}])
    unsure = Reply(chain("2"), logprobs=[{"token": "2", "logprob": -2.0}])
    found = play(effort(3, (), measure="confidence"), [sure, unsure, sure], question="?")
    assert found.route[0].value == pytest.approx(0.9048, abs=1e-3)


def test_a_function_may_measure():
    """It is shown the vote so far, and may say a number of numpy's."""
    policy = {"measure": "clusters", "after": {"2": [{"below": -1, "then": "4"}, {"then": "stop"}]}}

    def clusters(found):
        return np.int64(-len(found.clusters))

    found = play(effort(2, (4,), measure=clusters, policy=policy), said("12" + "11"), question="?")
    assert (rungs(found), found.route[0].value) == (["2", "4"], -2.0)
    with pytest.raises(StrategyError, match="measure= gave 'sure'"):
        play(effort(2, (4,), measure=lambda found: "sure"), said("12"), question="?")


# --- programs as rungs ---


def ladder_of(replies, **settings):
    """A probe of two, and a chain of thought with a signature of its own."""
    deep = dspy.Predict("question -> deep, answer")
    return play(effort(2, [deep], **settings), replies, question="?")


def test_a_program_is_asked_where_the_votes_disagree():
    """Its answer is the answer; its fields, and what it rests on, are its own."""
    found = ladder_of([*said("12"), {"deep": "thought", "answer": "3"}])
    assert (found.answer, found.deep, rungs(found)) == ("3", "thought", ["2", "Predict"])
    assert found.route[-1].accepted
    assert found.deliberation.root.text == "answered by Predict"


def test_a_program_is_not_asked_where_the_vote_is_settled():
    """The same ladder, with a probe of one mind."""
    program = effort(4, [dspy.Predict("question -> deep, answer")])
    assert rungs(play(program, said("1111"), question="?")) == ["4"]


def test_a_program_that_has_no_answer_leaves_the_votes():
    """And the next program is asked."""
    first, second = dspy.Predict("question -> a, answer"), dspy.Predict("question -> b, answer")
    found = play(effort(2, [first, second]), [*said("12"), "no", "no"], question="?")
    assert (found.answer, rungs(found)) == ("1", ["2", "Predict 1", "Predict 2"])
    assert [one.accepted for one in found.route] == [True, False, False]


def test_a_program_that_agrees_ends_it():
    """Two ways to one answer; another answer is tried by the next program."""
    programs = [dspy.Predict("question -> a, answer"), dspy.Predict("question -> b, answer")]
    agrees = play(effort(3, programs), [*said("112"), {"a": "x", "answer": "1"}], question="?")
    assert (rungs(agrees), agrees.answer) == (["3", "Predict 1"], "1")
    assert agrees.route[-1].value == pytest.approx(2 / 3)
    differs = play(
        effort(3, programs), [*said("112"), {"a": "x", "answer": "2"}, {"b": "y", "answer": "4"}], question="?"
    )
    assert (rungs(differs), differs.answer) == (["3", "Predict 1", "Predict 2"], "4")


def test_settings_stand_for_a_vote_over_the_same_chains():
    """`{"samples": 6, …}` is a rung; its chains are those that are there, and are paid once."""
    program = effort(2, [{"samples": 4, "vote": "majority"}])
    found = play(program, said("1222"), question="?")
    assert (rungs(found), found.answer, found.spent.samples) == (["2", "SelfConsistency"], "2", 4)
    assert [one.samples for one in found.route] == [2, 2]
    with pytest.raises(StrategyError, match="is no vote"):
        effort(2, [{"sample": 4}])


def test_optimizers_see_the_predictors_of_every_rung():
    """And a saved program brings all of them back, with the policy."""
    program = effort(
        2, [dspy.Predict("question -> a, answer"), rtk.ChainOfThought(SIGNATURE)], policy=after(r2="Predict")
    )
    names = [name for name, _ in program.named_predictors()]
    assert names[0] == "chain.predict"
    assert len(names) > 2
    other = effort(3, [dspy.Predict("question -> a, answer"), rtk.ChainOfThought(SIGNATURE)])
    other.load_state(program.dump_state())
    assert (other.probe, other.policy, repr(other.plan)) == (2, program.policy, repr(program.plan))


# --- where it ends ---


@pytest.mark.parametrize("samples", range(1, 11))
def test_a_budget_may_end_in_the_middle_of_any_rung(samples):
    """The votes that came count, nothing is overspent, and it says why it stopped."""
    with serving(choices(["1", "2", "3", "4"])):
        found = effort(2, (4, 8))(question="?", budget=rtk.Budget(samples=samples))
        assert found.spent.samples == min(samples, 8)
        assert found.stopped == ("samples" if samples < 8 else None)
        assert found.answer == "1"
        assert sum(one.samples for one in found.route) == min(samples, 8)


def test_a_budget_that_admits_nothing_leaves_no_answer():
    """As for any strategy."""
    with serving(choices(["1"])):
        found = effort(2, (4,))(question="?", budget=rtk.Budget(samples=0))
    assert (found.answer, found.stopped) == (None, "samples")


def test_a_program_that_a_budget_cut_short_gives_way_to_the_votes():
    """What it had so far is no answer of that effort."""
    program = effort(2, [rtk.BestOfN("question -> a, answer", 4, lambda *_: 1.0, threshold=2.0)])
    script = lambda one: chat(reasoning="r", a="x", answer="9") if asks(one, "a") else choices(["1", "2"])(one)  # noqa: E731
    with serving(script):
        cut = program(question="?", budget=rtk.Budget(samples=4))
        whole = program(question="?")
    assert (cut.answer, cut.stopped) == ("1", "samples")
    assert cut.route[-1].cut == "samples"
    assert whole.answer == "9"


def test_at_temperature_0_votes_are_one():
    """It is drawn once, counts once, and further votes are passed over for the programs."""
    program = rtk.AdaptiveEffort(SIGNATURE, 4, [8, dspy.Predict("question -> a, answer")], temperature=0)
    script = lambda one: chat(a="x", answer="9") if asks(one, "a") else chain("1")  # noqa: E731
    with serving(script) as server:
        found = program(question="?")
        assert server.choices_served == 2
    assert (rungs(found), found.answer) == (["4", "Predict"], "9")
    with serving(choices(["1"])):
        alone = effort(4, (8,), temperature=0)(question="?")
    assert (rungs(alone), alone.answer) == (["4"], "1")
    assert "counts once" in alone.route[-1].reason


def test_where_all_abstain_there_is_no_answer():
    """All effort was tried, and every abstention is counted."""
    found = play(effort(2, (4,)), said([None] * 4), question="?")
    assert (found.answer, found.abstentions, rungs(found)) == (None, {"malformed": 4}, ["2", "4"])
    assert not any(one.accepted for one in found.route)


# --- in and over other programs ---


def test_awaited_it_is_the_same():
    """The same samples, the same route."""
    with serving(by_seed(3), seed=2):
        program = effort(2, (4, 8))
        found = program(question="?")
        awaited = asyncio.run(program.acall(question="?"))
    assert (awaited.answer, rungs(awaited)) == (found.answer, rungs(found))
    assert awaited.spent.drawn == 0


def test_it_runs_inside_and_over_other_strategies():
    """A level of any, and any a rung of it; the route is on each attempt."""
    with serving(by_seed(3), seed=2):
        best = rtk.BestOfN(effort(2, (4,)), 3, lambda inputs, pred: float(pred.answer))(question="?")
        over = effort(2, [rtk.SelfConsistency(effort(2, (3,)), 2)])(question="?")
    assert best.answer == max(best.completions.answer)
    assert over.answer is not None


def test_what_is_rehearsed_holds_what_happens():
    """The least is the first rung that can settle a vote, the most the whole ladder; or that of a fixed policy."""
    with ScriptedServer(choices(["1", "2"])) as server, dspy.context(lm=model(server)):
        found = effort(2, (4, 8)).estimate(question="?")
        assert (found.samples.least, found.samples.most) == (4, 8)
        same = effort(2, (4, 8), policy=after(r2="8")).estimate(question="?")
        assert (same.samples.least, same.samples.most) == (8, 8)
        assert server.count == 0


def test_who_watches_sees_the_vote_move():
    """Out of all the chains that there may be."""
    moves = []
    with (
        serving(choices(["1", "2"])),
        rtk.watch(lambda event: moves.append(event) if isinstance(event, VoteMoved) else None),
    ):
        effort(2, (4,))(question="?")
    assert moves[-1].of == 4
    assert (moves[-1].size, moves[-1].answer) == (4, "1")


def test_samples_are_those_of_a_call_with_another_probe():
    """Swept over its settings, nothing is drawn twice."""
    task = rtk.tasks.Task.from_frame([{"question": f"q{n}", "answer": "1"} for n in range(30)], size=5)
    with serving(choices(["1", "2", "1", "3"])) as server:
        found = rtk.sweep(effort(4, (8,)), task, over={"probe": [2, 4], "ladder": [[8], [6, 8]]}, progress=None)
        assert server.choices_served == 5 * 8
    assert len(found.to_frame()) == 20


def test_seen_from_outside_a_replay_asks_nothing():
    """Its addresses are those of the first run."""
    with serving(by_seed(4), seed=5) as server:
        first, again = Seen(), Seen()
        with rtk.watch(first):
            one = effort(2, (4, 8))(question="?")
        drawn = server.choices_served
        with rtk.watch(again):
            two = effort(2, (4, 8))(question="?")
        assert server.choices_served == drawn
    assert sorted(map(str, first.addresses)) == sorted(map(str, again.addresses))
    assert one.route == two.route


@pytest.mark.parametrize(
    ("given", "said_so"),
    [
        ({"probe": 0}, "probe"), ({"ladder": (8, 4)}, "does not ascend"), ({"ladder": (8, "16")}, "ladder"),
        ({"ladder": [dspy.Predict(SIGNATURE), 8]}, "a number behind a program"), ({"measure": "luck"}, "no measure"),
        ({"within": 1.5}, "within"), ({"within": "a point"}, "within"), ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"), ({"temperature": float("nan")}, "temperature"),
        ({"policy": {"after": {"5": []}}}, "rung '5'"), ({"policy": "stop"}, "policy"),
        ({"policy": {"measure": "margin", "after": {}}}, "margin"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(given, said_so):
    """When the program is built, and each with what to write instead."""
    with pytest.raises(StrategyError, match=said_so) as error:
        effort(**given)
    assert error.value.mend


@pytest.mark.parametrize("settings", [{"temperature": 0.5}, {"measure": "confidence"}])
def test_what_needs_a_predictor_is_refused_over_a_module(settings):
    """Its chains are runs of the module."""
    with pytest.raises(StrategyError, match="predictor's chains"):
        rtk.AdaptiveEffort(TwoSteps(), **settings)
