"""Peeking: what a call would need and what is there of it, with nothing drawn, recorded or told."""

import asyncio

import dspy
import pytest
from dspy.clients import base_lm
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback
from peeks import SIGNATURE, counts, numbers, searching, stored, vote, votes
from scripted import Flowing, Seen, TwoSteps, by_seed, chain, choices, field_of, serving, tree

import rtk
from rtk.errors import NotRecorded, SampleError, StrategyError
from rtk.samples import Stream
from rtk.store import SampleStore
from rtk.strategies import peek
from rtk.testing import Reply


class Listening(BaseCallback):
    """Notes every event of DSPy's by its name."""

    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        return (lambda **event: self.heard.append(name)) if name.startswith("on_") else super().__getattribute__(name)


# --- it leaves no trace ---


def lengths(*keepers):
    """How much history there is, everywhere."""
    return [len(one.history) for one in keepers], len(base_lm.GLOBAL_HISTORY)


@pytest.mark.parametrize("there", [0, 2, 4])
@pytest.mark.parametrize("program", [vote, lambda: vote(4, rtk.ChainOfThought(SIGNATURE))])
def test_nobody_hears_of_it(program, there):
    """No draw, event, history, usage, trace or callback, wherever a callback was set and however much is there."""
    listening, seen = Listening(), Seen()
    adapter, program = dspy.ChatAdapter(callbacks=[listening]), program()
    for one in (program, program.chain, program.predictors()[0]):
        one.callbacks = [listening]
    with serving(choices(["a", "b"]), callbacks=[listening]) as server:
        if there:
            program.samples = there
            program(question="?")
            program.samples = 4
        lm, served = dspy.settings.lm, server.choices_served
        before, listening.heard[:] = (lengths(lm, program), lm.store.count()), []
        with dspy.context(callbacks=[listening], adapter=adapter, trace=[]), dspy.track_usage() as usage:
            with rtk.watch(seen):
                assert counts(peek(program, question="?")) == (4, there, True, there == 4)
            assert (dspy.settings.trace, usage.get_total_tokens()) == ([], {})
        assert (lengths(lm, program), lm.store.count()) == before
        assert (seen, listening.heard, server.choices_served) == ([], [], served)


@pytest.mark.parametrize("mode", ["auto", "record", "replay"])
def test_a_recording_in_force_is_read_and_not_written(mode, tmp_path):
    """What it holds is there, in a replay that alone; it does not grow, and no question counts as missed."""
    with serving(choices(["a", "b", "b"])) as server:
        with rtk.recording(tmp_path / "study"):
            vote(3)(question="?")
        written = (tmp_path / "study.jsonl").read_bytes()
        vote(5)(question="?")  # two more, in the store alone
        with rtk.recording(tmp_path / "study", mode=mode) as recording:
            held = len(recording)
            there = 3 if mode == "replay" else 5
            assert counts(peek(vote(6), question="?")) == (6, there, True, False)
            assert len(recording) == held
            assert recording.missed == 0
            stored(server, vote(3), question="?")
    if mode != "record":
        assert (tmp_path / "study.jsonl").read_bytes() == written


def test_a_recording_counts_where_nothing_is_stored(tmp_path):
    """For an LM that stores nothing, what is recorded is there."""
    with serving(chain("a"), cache=False) as server, rtk.recording(tmp_path / "study"):
        vote(3)(question="?")
        assert counts(peek(vote(4), question="?")) == (4, 3, True, False)
        stored(server, vote(3), question="?")


def test_a_replay_that_lacks_samples_is_no_error_in_a_peek(tmp_path):
    """The peek says what is missing; the call raises."""
    with serving(chain("a")), rtk.recording(tmp_path / "study"):
        vote(2)(question="?")
    with serving(chain("a")), rtk.recording(tmp_path / "study", mode="replay"):
        assert counts(peek(vote(3), question="?")) == (3, 2, True, False)
        with pytest.raises(NotRecorded):
            vote(3)(question="?")


def test_a_recorded_failure_is_there_in_a_replay_and_asked_for_again_otherwise(tmp_path):
    """As for the call: a replay fails again, and so is whole."""
    script = lambda received: Reply("no", status=400) if received.index == 1 else Reply(chain("a"))  # noqa: E731
    with serving(script, server={"honours_n": False}, server_n=False) as server:
        with rtk.recording(tmp_path / "study"):
            assert vote(3)(question="?").abstentions == {"failed": 1}
            assert counts(peek(vote(3), question="?")) == (3, 2, True, False)
        with rtk.recording(tmp_path / "study", mode="replay"):
            seen = stored(server, vote(3), question="?")
            assert (seen.there, seen.prediction.abstentions) == (3, {"failed": 1})


def test_nothing_is_stored_by_looking_at_a_recording(tmp_path):
    """A sample that only the file holds stays there until a call wants it."""
    with serving(chain("a")), rtk.recording(tmp_path / "study"):
        vote(2)(question="?")
    with serving(chain("a"), store=tmp_path / "other"), rtk.recording(tmp_path / "study"):
        assert counts(peek(vote(3), question="?")) == (3, 2, True, False)
        assert dspy.settings.lm.store.count() == 0


# --- what is wanted, and what is there ---


def test_a_chain_is_there_or_not():
    """One sample, known beforehand."""
    with serving(chain("a")) as server:
        assert counts(peek(rtk.ChainOfThought(SIGNATURE), question="?")) == (1, 0, True, False)
        assert peek(rtk.ChainOfThought(SIGNATURE), question="?").prediction.toDict() == {
            "reasoning": None,
            "answer": None,
        }
        rtk.ChainOfThought(SIGNATURE)(question="?")
        assert stored(server, rtk.ChainOfThought(SIGNATURE), question="?").prediction.answer == "a"


def test_the_dial_up_and_down():
    """From 2 to 8 six are missing; back at 2 none is."""
    with serving(choices(["a", "b", "b", "b"])) as server:
        vote(2)(question="?")
        seen = peek(vote(8), question="?")
        assert counts(seen) == (8, 2, True, False)
        assert (seen.prediction.vote.votes, seen.prediction.answer) == (2, "a")
        assert vote(8)(question="?").spent.drawn == 6
        assert stored(server, vote(2), question="?").prediction.answer == "a"
        assert stored(server, vote(8), question="?").prediction.answer == "b"


def test_samples_that_came_out_of_turn_are_there(tmp_path):
    """With 0, 1 and 3 of four, three are there and vote, and one is missing."""
    with serving(choices(["a", "b", "x", "b"])):
        vote(4)(question="?")
        first = dspy.settings.lm.store
    request = next(first.requests())
    kept = [one for one in first.read(request.key, Stream()).values() if one.address.index != 2]
    other = SampleStore(tmp_path / "other")
    other.write(request, kept)
    with serving(chain("late"), store=other) as server:
        seen = peek(vote(4), question="?")
        assert counts(seen) == (4, 3, True, False)
        assert [cluster.answer for cluster in seen.prediction.vote.clusters] == ["b", "a"]
        assert counts(peek(vote(2), question="?")) == (2, 2, True, True)
        assert (vote(4)(question="?").spent.drawn, server.choices_served) == (1, 1)


def test_every_way_to_abstain_is_seen():
    """Malformed, empty, refused and cut-off completions are there, and abstain as in the call."""
    replies = [Reply("no idea"), Reply(""), Reply(chain("a"), finish_reason="content_filter"), Reply(chain("b"))]
    with serving(lambda received: replies[received.index], server_n=False, concurrency=1) as server:
        vote(4)(question="?")
        seen = stored(server, vote(4), question="?")
    assert seen.prediction.abstentions == {"empty": 1, "malformed": 1, "refused": 1}


def test_a_vote_of_votes():
    """All is asked for beforehand; of two votes of three, the first one's samples are those of a plain vote."""
    with serving(choices(["a", "b", "b"])) as server:
        assert counts(peek(votes(2, 3), question="?")) == (6, 0, True, False)
        vote(2)(question="?")
        seen = peek(votes(2, 3), question="?")
        assert counts(seen) == (6, 2, True, False)
        assert seen.prediction.abstentions == {}
        votes(2, 3)(question="?")
        assert server.choices_served == 6
        assert stored(server, votes(2, 3), question="?").wanted == 6


@pytest.mark.parametrize("program", [lambda: vote(8), lambda: votes(2, 3), lambda: votes(3, 1)])
def test_at_temperature_zero_one_sample_is_wanted_once(program):
    """However many ask for it."""
    with serving(chain("a"), temperature=0) as server:
        assert counts(peek(program(), question="?")) == (1, 0, True, False)
        program()(question="?")
        assert server.choices_served == 1
        assert stored(server, program(), question="?").wanted == 1


def test_a_module_of_somebody_elses_is_not_run():
    """Of what it draws nothing is known, so nothing is counted and nothing is exact, before and after it ran."""
    ran = []

    class Spying(TwoSteps):
        def forward(self, question):
            ran.append(question)
            return super().forward(question)

    with serving(chain("a")) as server:
        before = peek(vote(3, Spying()), question="?")
        assert (ran, server.count) == ([], 0)
        vote(3, Spying())(question="?")
        after = peek(vote(3, Spying()), question="?")
    assert counts(before) == counts(after) == (0, 0, False, False)
    assert len(ran) == 3
    assert (after.prediction.answer, after.prediction.abstentions) == (None, {})


def test_a_module_beside_an_ask_makes_a_least_number():
    """What is ours is counted, and is not all."""

    def flow(self, inputs):
        results = yield [rtk.ask(self.step, inputs, samples=2), rtk.ask(TwoSteps(), inputs)]
        return results[0][0]

    with serving(chain("a")):
        assert counts(peek(Flowing(flow), question="?")) == (2, 0, False, False)
        Flowing(flow)(question="?")
        assert counts(peek(Flowing(flow), question="?")) == (2, 2, False, False)


@pytest.mark.parametrize("settings", [{}, {"search": "dfs"}, {"values": 0}, {"values": 2, "separator": " "}])
def test_a_tree_is_seen_level_by_level(settings):
    """Nothing there, its first level is wanted at least; all there, it is the call; in between, as far as it goes."""
    with serving(tree(numbers, answer="42"), seed=1) as server:
        assert counts(peek(searching(**settings), question="?")) == (3, 0, False, False)
        searching(**{**settings, "depth": 1})(question="?")
        part = peek(searching(**settings), question="?")
        assert (part.exact, part.wanted > part.there >= 3) == (False, True)
        whole = searching(**settings)(question="?")
        assert whole.spent.reused == part.there
        assert part.wanted <= whole.spent.samples
        assert stored(server, searching(**settings), question="?").wanted == whole.spent.samples


def test_a_tree_with_a_part_of_a_level_there_values_that_and_asks_no_further():
    """A thought is valued whatever its siblings are; which of them go on depends on what is missing."""
    with serving(tree(numbers, answer="42"), seed=1):
        searching(branching=2)(question="?")
        assert counts(peek(searching(branching=3), question="?")) == (5, 4, False, False)


# --- where it is called ---


def test_a_replicate_has_samples_of_its_own():
    """What was drawn as another repetition is not there."""
    with serving(by_seed(), seed=1) as server:
        vote(3)(question="?")
        with rtk.replicate(1):
            assert counts(peek(vote(3), question="?")) == (3, 0, True, False)
            vote(2)(question="?")
            assert counts(peek(vote(3), question="?")) == (3, 2, True, False)
            stored(server, vote(2), question="?")
        stored(server, vote(3), question="?")


def test_where_nothing_is_kept_nothing_is_there():
    """An LM with cache=False draws anew every time."""
    with serving(chain("a"), cache=False):
        vote(3)(question="?")
        assert counts(peek(vote(3), question="?")) == (3, 0, True, False)


@pytest.mark.filterwarnings("ignore:.*is no rtk.LM")
@pytest.mark.parametrize("kind", ["dummy", "plain"])
def test_plain_lms_are_not_called(kind):
    """Of theirs nothing is stored, so nothing is there, and a scripted one's replies are not used up."""
    with serving(chain("a")) as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="x", cache=False)
        lm = plain if kind == "plain" else DummyLM([{"reasoning": "r", "answer": answer} for answer in "ab"])
        with dspy.context(lm=lm):
            assert counts(peek(vote(2), question="?")) == (2, 0, True, False)
            assert (server.count, lm.history) == (0, [])
            assert vote(2)(question="?").answer == "a"


async def test_it_works_in_a_running_event_loop():
    """A notebook's cells and callbacks run in one."""
    with serving(chain("a")):
        await vote(2).acall(question="?")
        assert counts(peek(vote(3), question="?")) == (3, 2, True, False)
        assert await asyncio.to_thread(lambda: counts(peek(vote(3), question="?"))) == (3, 2, True, False)


def test_inputs_may_have_any_name():
    """Also those of its own parameters, and `budget` where it is none of rtk's."""
    program = rtk.ChainOfThought("strategy, budget -> answer")
    with serving(lambda received: chain(field_of(received, "budget"))) as server:
        program(strategy="s", budget="12 dollars")
        assert stored(server, program, strategy="s", budget="12 dollars").prediction.answer == "12 dollars"


# --- strategies of a user's own ---


def test_what_is_asked_of_a_model_without_yielding_is_looked_up():
    """A flow that calls a module by itself draws nothing in a peek, which ends there."""

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        yield got[0]
        return dspy.Prediction(answer=self.step(question=f"sure of {got[0].prediction.answer}?").answer)

    with serving(lambda received: chain(f"{field_of(received, 'question')}!")) as server:
        rtk.ChainOfThought(SIGNATURE)(question="?")
        seen = peek(Flowing(flow), question="?")
        assert counts(seen) == (2, 1, False, False)
        assert (seen.prediction.answer, server.count) == ("?!", 1)
        assert Flowing(flow)(question="?").answer == "sure of ?!?!"
        assert stored(server, Flowing(flow), question="?").wanted == 2


def test_a_checker_that_asks_a_model_draws_nothing():
    """Though a search ends quietly where a budget does, a peek at it is not whole."""
    judge = dspy.Predict("partial -> verdict")
    program = searching(values=0, separator=" ", check=lambda inputs, partial: bool(judge(partial=partial).verdict))
    with serving(tree("step", "yes")) as server:
        searching(values=0, separator=" ")(question="?")
        before = server.count
        assert counts(peek(program, question="?"))[2:] == (False, False)
        assert server.count == before
        program(question="?")
        stored(server, program, question="?")


def test_a_flow_that_goes_on_without_what_is_missing_is_not_believed():
    """What it asks then may never be asked: it is not counted."""

    def flow(self, inputs):
        first, second = yield [rtk.ask(self.step, inputs), rtk.ask(self.step, {"question": "other"}, samples=2)]
        joined = " ".join(one.answer("answer") for one in [*first, *second])
        got = yield rtk.ask(self.step, {"question": joined}, samples=5)
        return got[0]

    with serving(chain("a")):
        vote(1)(question="?")
        assert counts(peek(Flowing(flow), question="?")) == (3, 1, False, False)
        assert Flowing(flow)(question="?").spent.samples == 8


def test_a_sample_that_is_asked_for_twice_is_wanted_once():
    """A strategy that escalates from 2 votes to 6 needs 6, not 8."""

    def flow(self, inputs):
        few = yield rtk.ask(vote(2), inputs)
        many = yield rtk.ask(vote(6), inputs)
        return many[0] if many else few[0]

    with serving(lambda received: chain("ab"[received.index > 0])) as server:
        vote(2)(question="?")
        assert counts(peek(Flowing(flow), question="?")) == (6, 2, False, False)
        assert (Flowing(flow)(question="?").answer, server.choices_served) == ("b", 6)
        stored(server, Flowing(flow), question="?")


def test_a_subclass_with_a_flow_of_its_own_does_not_know_beforehand():
    """What a vote promises of its asks holds for a vote's flow alone."""

    class Sure(rtk.SelfConsistency):
        def flow(self, **inputs):
            first = yield from super().flow(**inputs)
            again = yield rtk.ask(self.chain, {"question": f"sure of {first.prediction.get('answer', None)}?"})
            return again[0]

    class Same(rtk.SelfConsistency):
        pass

    with serving(chain("a")):
        assert counts(peek(Sure(SIGNATURE, samples=2), question="?")) == (2, 0, False, False)
        assert counts(peek(Same(SIGNATURE, samples=2), question="?")) == (2, 0, True, False)
        assert counts(peek(vote(2, Sure(SIGNATURE, samples=2)), question="?")) == (4, 0, False, False)
        vote(2)(question="?")
        assert counts(peek(Sure(SIGNATURE, samples=2), question="?")) == (3, 2, False, False)


def test_votes_that_are_not_drawn_are_no_abstentions():
    """Of four chains that are strategies, two are there: two vote, and nobody is said to have answered nothing."""
    chains = lambda samples: vote(samples, rtk.ChainOfThought(SIGNATURE))  # noqa: E731
    with serving(choices(["a"])) as server:
        chains(2)(question="?")
        seen = peek(chains(4), question="?")
        assert counts(seen) == (4, 2, True, False)
        assert (seen.prediction.vote.size, seen.prediction.abstentions) == (2, {})
        chains(4)(question="?")
        stored(server, chains(4), question="?")


# --- mistakes ---


def test_a_mistake_is_the_calls_own():
    """What the call would refuse at once, the peek does; what it finds in what is there, too."""
    with serving(chain("a")):
        assert counts(peek(vote(2, field="anser"), question="?")) == (2, 0, True, False)
        vote(2)(question="?")
        with pytest.raises(StrategyError, match="field='anser'"):
            peek(vote(2, field="anser"), question="?")
        with pytest.raises(StrategyError, match="depth=0"):
            peek(rtk.TreeOfThoughts(SIGNATURE, depth=lambda inputs: 0), question="?")
        with pytest.raises(StrategyError, match="no flow"):
            peek(rtk.Strategy(), question="?")


def test_a_replay_in_which_nothing_came_fails_as_the_call_does(tmp_path):
    """It is there, and it is a failure."""
    with serving(Reply("no", status=400)), rtk.recording(tmp_path / "study"), pytest.raises(SampleError):
        vote(2)(question="?")
    with serving(chain("a")) as server, rtk.recording(tmp_path / "study", mode="replay"):
        with pytest.raises(SampleError):
            peek(vote(2), question="?")
        assert server.count == 0


def test_a_vote_function_sees_what_is_there():
    """It may be called with fewer answers than the call gives it."""
    seen = []

    def first(answers):
        seen.append(len(answers))
        return rtk.answers.vote(answers)

    with serving(choices(["a", "no"])):
        vote(2)(question="?")
        assert peek(vote(4, vote=first), question="?").prediction.answer == "a"
    assert seen == [2]
