"""Votes that stop: only as many chains as the rule needs, the same ones whatever came first."""

import asyncio

import pytest
from scripted import Seen, TwoSteps, by_seed, chain, chat, model, run, serving

import rtk
from rtk.answers import stopping, vote
from rtk.errors import AnswerError, StrategyError
from rtk.strategies import peek
from rtk.testing import ScriptedServer

SIGNATURE = "question -> answer"
MOST = 24


def voting(**settings):
    return rtk.SelfConsistency(SIGNATURE, **{"samples": MOST, "stop": "beta", **settings})


def one_by_one(answers, rule):
    """After how many answers a rule stops that is asked after each."""
    return next((n for n in range(1, len(answers)) if rule(vote(answers[:n]), len(answers) - n) == 0), len(answers))


def all_answers(**kwargs):
    """What all chains say, in index order, drawn elsewhere."""
    with serving(by_seed(3), cache=False, **kwargs):
        found = rtk.SelfConsistency(SIGNATURE, samples=MOST)(question="?")
    return [step.label for step in found.deliberation.root.children]


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [({}, 4), ({"certainty": 0.8}, 2), ({"stop": "window"}, 5), ({"stop": "window", "window": 3}, 3),
     ({"stop": "horizon", "certainty": 1.0}, 12)],
)  # fmt: skip
def test_chains_that_agree_are_few(settings, drawn):
    """One request, for as many chains as the rule needs at least."""
    with serving(chain("a")) as server:
        found = voting(**settings)(question="?")
        assert (server.count, server.choices_served) == (1, drawn)
    assert (found.answer, found.vote.votes, found.spent.samples, found.spent.overdrawn) == ("a", drawn, drawn, 0)
    assert found.stopped is None
    assert f"settled after {drawn} of 24: stop=" in str(found.deliberation)


@pytest.mark.parametrize("rule", ["beta", "window", "horizon"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_is_what_the_rule_wants_one_by_one(rule, seed):
    """In waves, and not one chain more; the vote is that of the first chains."""
    answers = all_answers(seed=seed)
    with serving(by_seed(3), seed=seed) as server:
        found = voting(stop=rule)(question="?")
        assert server.choices_served == one_by_one(answers, stopping(rule))
    assert [step.label for step in found.deliberation.root.children] == answers[: found.vote.size]
    assert found.vote == vote(answers[: found.vote.size])


def test_order_of_arrival_and_concurrency_change_nothing():
    """The chain that comes first is not the one that counts first."""
    told = []
    for concurrency, latency in ((1, 0), (16, (0, 0.05)), (3, (0, 0.02))):
        with serving(by_seed(3), server={"latency": latency}, seed=3, concurrency=concurrency, cache=False):
            found = voting()(question="?")
        told.append((found.answer, found.vote, [step.label for step in found.deliberation.root.children]))
    assert told[0] == told[1] == told[2]


def test_it_is_the_same_awaited_and_from_the_store():
    """And then draws nothing."""
    with serving(by_seed(3), seed=1) as server:
        first, drawn = voting()(question="?"), server.choices_served
        again, awaited = voting()(question="?"), asyncio.run(voting().acall(question="?"))
        assert server.choices_served == drawn
    assert first.deliberation.to_dict() == again.deliberation.to_dict() == awaited.deliberation.to_dict()
    assert again.spent.reused == drawn


def test_stopped_and_whole_votes_share_their_chains():
    """What the stop saved is all that the whole vote draws."""
    with serving(chain("a")) as server:
        voting()(question="?")
        rtk.SelfConsistency(SIGNATURE, samples=MOST)(question="?")
        assert server.choices_served == MOST


def test_a_longer_wave_is_fewer_rounds_and_what_is_beyond_the_stop_is_told():
    """It is paid, kept, and not consulted."""
    with serving(chain("a")) as server:
        found = voting(wave=10)(question="?")
        assert (server.count, server.choices_served) == (1, 10)
        assert voting()(question="?").spent.drawn == 0
    assert (found.vote.size, found.spent.samples, found.spent.overdrawn) == (4, 10, 6)
    assert len(found.completions) == 4


def test_what_is_beyond_the_stop_abstains_from_nothing():
    """It was not looked at."""
    with serving(lambda received: chain("a") if received.choice < 4 else "no idea"):
        found = voting(wave=10)(question="?")
    assert (found.spent.samples, found.abstentions) == (10, {})


@pytest.mark.parametrize("wave", [1, 5, 24])
def test_a_wave_of_any_length_says_the_same(wave):
    """Its stop is where it would be one by one."""
    answers = all_answers(seed=2)
    with serving(by_seed(3), seed=2):
        found = voting(wave=wave)(question="?")
    assert found.vote == vote(answers[: one_by_one(answers, stopping("beta"))])


def test_a_function_of_the_vote_stops_it():
    """It is asked after every chain, and never about none."""
    asked = []

    def lead_of_two(found):
        asked.append(found.size)
        return found.clusters and len(found.clusters[0].members) >= 2

    with serving(chain("a")) as server:
        found = voting(stop=lead_of_two)(question="?")
        assert server.choices_served == 2
    assert asked == [1, 2]
    assert "lead_of_two" in found.deliberation.root.reason


def test_runs_of_a_module_stop_too():
    """Each is a run in a stream of its own, those of a whole vote."""
    with serving(chain("a")), rtk.watch(seen := Seen()):
        rtk.SelfConsistency(TwoSteps(), samples=MOST, stop="beta")(question="?")
    assert seen.streams == ["0", "0/1", "0/2", "0/3"]


def test_votes_of_votes_stop_each_for_itself():
    """Four of four."""
    with serving(chain("a")) as server:
        found = rtk.SelfConsistency(voting(), samples=9, stop="beta")(question="?")
        assert server.choices_served == 16
    assert (found.vote.size, found.spent.samples) == (4, 16)


@pytest.mark.parametrize("samples", [1, 3, 5, 7, 11])
def test_a_budget_that_ends_first_leaves_the_best_so_far(samples):
    """The vote on the chains it admitted."""
    answers = all_answers(seed=3)
    needed = one_by_one(answers, stopping("horizon", 1.0))
    with serving(by_seed(3), seed=3) as server:
        found = voting(stop="horizon", certainty=1.0)(question="?", budget=rtk.Budget(samples=samples))
        assert server.choices_served == samples < needed
    assert found.stopped == "samples"
    assert (found.answer, found.vote) == (vote(answers[:samples]).winner, vote(answers[:samples]))


@pytest.mark.parametrize("calls", [1, 2])
def test_a_budget_of_calls_is_one_of_waves(calls):
    """A call is an ask, however many chains it is for."""
    with serving(by_seed(3), seed=3):
        found = voting()(question="?", budget=rtk.Budget(calls=calls))
    assert (found.stopped, found.spent.calls) == ("calls", calls)
    assert found.answer is not None


def test_at_temperature_zero_there_is_nothing_to_wait_for():
    """All chains are one."""
    with serving(chain("a")) as server:
        found = voting(temperature=0)(question="?")
        assert server.choices_served == 1
    assert (found.answer, found.vote.size) == ("a", 1)
    assert "temperature 0" in found.deliberation.root.reason


def test_chains_without_an_answer_settle_nothing():
    """They count as drawn."""
    with serving(lambda received: "no idea" if received.body["seed"] % 2 else chain("a"), seed=5) as server:
        found = voting()(question="?")
        assert server.choices_served == 4 + sum(found.abstentions.values())
    assert found.vote.votes == 4


def test_nothing_but_abstentions_is_no_answer():
    """After all of them."""
    with serving("no idea") as server:
        found = voting()(question="?")
        assert server.choices_served == MOST
    assert (found.answer, found.abstentions) == (None, {"malformed": MOST})


def test_a_look_counts_the_first_wave_and_what_is_there():
    """What comes decides how many more: it is not exact before, and whole when all is there."""
    with serving(by_seed(3), seed=1):
        seen = peek(voting(), question="?")
        assert (seen.wanted, seen.there, seen.exact) == (4, 0, False)
        found = voting()(question="?")
        seen = peek(voting(), question="?")
        assert (seen.wanted, seen.there, seen.whole) == (found.vote.size, found.vote.size, True)


def test_it_is_saved_with_its_settings(tmp_path):
    """And loads into any vote."""
    voting(stop="horizon", certainty=0.9, wave=2).save(tmp_path / "vote.json")
    loaded = rtk.SelfConsistency(SIGNATURE)
    loaded.load(tmp_path / "vote.json")
    assert (loaded.stop, loaded.certainty, loaded.wave, loaded.samples) == ("horizon", 0.9, 2, MOST)


async def test_one_that_is_left_in_its_second_wave_keeps_the_first():
    """Asked again, it draws the rest alone."""
    with ScriptedServer(by_seed(3)) as server:
        program = voting()
        program.set_lm(model(server, seed=1))
        with server.hold():
            task = asyncio.create_task(program.acall(question="?"))
            await asyncio.to_thread(server.wait_for, lambda s: s.held == 4)
            server.release()
            await asyncio.to_thread(server.wait_for, lambda s: s.held > 0)
            task.cancel()
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)
        found = await program.acall(question="?")
    assert found.spent.reused == 4
    assert found.spent.drawn == found.vote.size - 4 > 0


def test_outcomes_of_ones_own_tell_what_they_did_not_use():
    """`unused=` of a user's strategy is counted like any."""

    def flow(self, inputs):
        chains = yield rtk.ask(self.step, inputs, samples=5)
        return rtk.Outcome(chains[0].prediction, used=chains[:1], unused=chains[1:])

    assert run(flow).spent.overdrawn == 4


@pytest.mark.parametrize(
    "wrong",
    [{"stop": "never"}, {"certainty": 0.2}, {"window": 0, "stop": "window"}, {"wave": 0}, {"vote": "mean"},
     {"vote": "median"}],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_once(wrong):
    """With what may be."""
    with pytest.raises((StrategyError, AnswerError)) as caught:
        voting(**wrong)
    assert caught.value.mend


def test_a_budget_that_admits_nothing_raises_nothing_but_says_so():
    """No chain, no vote."""
    with serving(chat(reasoning="r", answer="a")):
        found = voting()(question="?", budget=rtk.Budget(samples=0))
    assert (found.answer, found.stopped) == (None, "samples")
