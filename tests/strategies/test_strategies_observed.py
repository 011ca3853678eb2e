"""Observed: DSPy's callbacks, usage tracker and history see a strategy as they see any program."""

import asyncio

import dspy
import pytest
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback
from scripted import PATIENCE, Seen, chain, choices, model, serving, started, tree

import rtk
from rtk.events import SampleArrived
from rtk.testing import Reply, ScriptedServer


class Calls(BaseCallback):
    """Notes every call: name, parent, and how it ended."""

    def __init__(self):
        self.names, self.parents, self.ended = {}, {}, {}

    def started(self, call_id, name):
        self.names[call_id], self.parents[call_id] = name, ACTIVE_CALL_ID.get()

    def on_module_start(self, call_id, instance, inputs):
        self.started(call_id, type(instance).__name__)

    def on_module_end(self, call_id, outputs, exception=None):
        self.ended[call_id] = (outputs, exception)

    def on_lm_start(self, call_id, instance, inputs):
        self.started(call_id, "LM")
        self.asked = inputs["messages"]

    def on_lm_end(self, call_id, outputs, exception=None):
        self.ended[call_id] = (outputs, exception)

    def on_adapter_parse_start(self, call_id, instance, inputs):
        self.started(call_id, "parse")

    def path(self, call_id):
        """The names from the outermost call to this one."""
        parent = self.parents[call_id]
        return [*(self.path(parent) if parent in self.names else []), self.names[call_id]]

    @property
    def paths(self):
        """All calls, as paths, in the order of their starts."""
        return ["/".join(self.path(call_id)) for call_id in self.names]


@pytest.fixture
def calls():
    seen = Calls()
    with dspy.context(callbacks=[seen]):
        yield seen


class Plain(dspy.Module):
    """A user's plain module."""

    def __init__(self):
        super().__init__()
        self.inner = dspy.Predict("question -> answer")

    def forward(self, question):
        return self.inner(question=question)


# --- callbacks ---


def test_callbacks_see_a_vote_as_nested_calls(calls):
    """The strategy, its chain, the predictor and one LM call, each within the other, all ended."""
    with serving(choices(["a", "b"])):
        found = rtk.SelfConsistency("question -> answer", samples=2)(question="?")
    within = "SelfConsistency/ChainOfThought/Predict"
    assert calls.paths == [
        "SelfConsistency",
        "SelfConsistency/ChainOfThought",
        within,
        f"{within}/LM",
        f"{within}/parse",
        f"{within}/parse",
    ]
    ended = {calls.names[call_id]: outputs for call_id, (outputs, _) in calls.ended.items()}
    assert set(ended) == {"SelfConsistency", "ChainOfThought", "Predict", "LM"}
    assert ended["SelfConsistency"] is found
    assert len(ended["LM"]) == 2
    assert calls.asked[-1]["role"] == "user"


def test_callbacks_see_dspys_own_chain_alike(calls):
    """The events are those of `dspy.ChainOfThought`."""
    with serving(chain("a")):
        dspy.ChainOfThought("question -> answer")(question="?")
        theirs = list(calls.paths)
        rtk.SelfConsistency(dspy.ChainOfThought("question -> answer"), samples=1)(question="?")
    ours = [path.removeprefix("SelfConsistency/") for path in calls.paths[len(theirs) + 1 :]]
    assert ours == theirs


async def test_callbacks_see_the_same_by_acall(calls):
    """Awaited calls have the same parents."""
    with serving(chain("a")):
        await rtk.SelfConsistency("question -> answer", samples=1).acall(question="?")
    assert calls.paths[-2] == "SelfConsistency/ChainOfThought/Predict/LM"
    assert len(calls.ended) == 4


def test_callbacks_see_strategies_within_strategies(calls):
    """A nested strategy is a call of its own, and what it asks is within it."""
    program = rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", 1, 1, 1), samples=2)
    with serving(tree(answer="yes")):
        program(question="?")
    assert calls.paths.count("SelfConsistency/TreeOfThoughts") == 2
    lms = [path for path in calls.paths if path.endswith("LM")]
    assert lms == ["SelfConsistency/TreeOfThoughts/ChainOfThought/Predict/LM"] * 6
    unended = set(calls.names) - set(calls.ended)
    assert {calls.names[one] for one in unended} == {"parse"}


def test_callbacks_see_modules_run_by_a_strategy(calls):
    """A user's module, run in a thread of its own, is within the strategy that runs it."""
    with serving(chain("a")):
        rtk.SelfConsistency(Plain(), samples=3)(question="?")
    assert calls.paths.count("SelfConsistency/Plain/Predict/LM") == 3


def test_a_callback_of_one_module_or_lm_sees_only_that():
    """`callbacks=` of a predictor and of an LM work, as in DSPy."""
    mine, lms = Calls(), Calls()
    program = rtk.SelfConsistency("question -> answer", samples=1)
    program.chain.predict.callbacks = [mine]
    with ScriptedServer(chain("a")) as server, dspy.context(lm=model(server, callbacks=[lms])):
        program(question="?")
    assert mine.paths == ["Predict"]
    assert lms.paths == ["LM"]


def test_callbacks_are_told_of_a_failure():
    """Every call that started has ended, with the exception."""
    seen = Calls()
    with serving(chain("a"), server={"api_key": "right"}), dspy.context(callbacks=[seen]), pytest.raises(rtk.RTKError):
        rtk.SelfConsistency("question -> answer")(question="?")
    assert set(seen.names) == set(seen.ended)
    assert all(isinstance(exception, rtk.errors.EndpointError) for _, exception in seen.ended.values())


async def test_callbacks_are_told_of_calls_that_were_given_up(calls):
    """Where a call is cancelled while its asks are on their way, those have ended too."""
    with serving(chain("a")) as server, server.hold():
        task = asyncio.create_task(rtk.SelfConsistency(rtk.ChainOfThought("question -> answer"), 2).acall(question="?"))
        await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(calls.names) == set(calls.ended)
    assert all(isinstance(exception, asyncio.CancelledError) for _, exception in calls.ended.values())


def test_a_callback_that_fails_harms_nobody():
    """As in DSPy."""

    class Broken(BaseCallback):
        def on_module_start(self, call_id, instance, inputs):
            raise RuntimeError

    with serving(chain("a")), dspy.context(callbacks=[Broken()]):
        assert rtk.SelfConsistency("question -> answer", samples=2)(question="?").answer == "a"


# --- usage ---


def test_the_usage_tracker_counts_what_was_drawn():
    """Tokens of all samples, once; what is reused costs nothing again."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with serving(choices(["a"])):
        with dspy.track_usage() as tracker:
            found = program(question="?")
        with dspy.track_usage() as again:
            program(question="?")
    total = tracker.get_total_tokens()["openai/scripted"]
    assert total["completion_tokens"] == found.spent.completion_tokens
    assert total["prompt_tokens"] == found.spent.prompt_tokens
    assert again.get_total_tokens() == {}


@pytest.mark.parametrize("program", [Plain(), rtk.ChainOfThought("question -> answer")])
def test_the_usage_tracker_counts_rollouts(program):
    """Also those that run in threads of their own."""
    with serving(chain("a")), dspy.track_usage() as tracker:
        found = rtk.SelfConsistency(program, samples=4)(question="?")
    assert tracker.get_total_tokens()["openai/scripted"]["total_tokens"] == found.spent.tokens


def test_a_prediction_has_its_usage_where_dspy_tracks_it():
    """`dspy.context(track_usage=True)` puts it on the prediction."""
    with serving(chain("a")), dspy.context(track_usage=True):
        found = rtk.SelfConsistency("question -> answer", samples=2)(question="?")
    assert found.get_lm_usage()["openai/scripted"]["total_tokens"] == found.spent.tokens


# --- history ---


def test_history_is_written_once_for_each_ask():
    """The LM, the strategy, its chain and its predictor each have one entry of all samples."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with serving(choices(["a", "b"])):
        program(question="?")
        lm = dspy.settings.lm
    for holder in (lm, program, program.chain, program.chain.predict):
        assert [len(entry["outputs"]) for entry in holder.history] == [4]
    assert lm.history[0]["usage"]["completion_tokens"] > 0


def test_history_of_a_replay_costs_nothing():
    """An entry for each ask, without usage."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with serving(choices(["a"])):
        program(question="?")
        program(question="?")
        entries = dspy.settings.lm.history
    assert [bool(entry["usage"]) for entry in entries] == [True, False]


def test_history_of_nested_strategies_reaches_every_module_it_ran_in():
    """Each strategy and module sees what was asked within it."""
    inner = rtk.SelfConsistency("question -> answer", samples=2)
    outer, plain = rtk.SelfConsistency(inner, samples=3), rtk.SelfConsistency(Plain(), samples=2)
    with serving(chain("a")):
        outer(question="?")
        plain(question="?")
    assert [len(one.history) for one in (outer, inner, inner.chain, plain, plain.chain)] == [3, 3, 3, 2, 2]


def test_history_may_be_switched_off():
    """`disable_history` is DSPy's own setting."""
    with serving(chain("a")), dspy.context(disable_history=True):
        rtk.SelfConsistency("question -> answer", samples=2)(question="?")
        assert dspy.settings.lm.history == []


# --- watchers ---


def test_watchers_see_every_sample_once_live_and_replayed():
    """Each as it comes: drawn the first time, reused the second."""
    program, live, replayed = rtk.SelfConsistency("question -> answer", samples=4), Seen(), Seen()
    with serving(choices(["a"])):
        with rtk.watch(live):
            program(question="?")
        with rtk.watch(replayed):
            program(question="?")
    assert sorted(live.addresses) == sorted(replayed.addresses)
    assert {event.reused for event in live} == {False}
    assert {event.reused for event in replayed} == {True}


def test_watchers_see_samples_while_the_others_are_on_their_way():
    """Nothing waits for the slowest."""
    seen = Seen()
    with serving(choices(["a"]), server_n=False) as server, server.hold():

        def watcher(event):
            seen(event)
            server.release(count=1)  # the next one

        with rtk.watch(watcher, only=SampleArrived):
            running = started(lambda: rtk.SelfConsistency("question -> answer", samples=4)(question="?"))
        server.wait_for(lambda s: s.held == 4)
        server.release(count=1)
        assert running.result(PATIENCE).answer == "a"
    assert len(seen) == 4


def test_watchers_see_what_did_not_come():
    """With its kind."""
    seen = Seen()
    with serving(Reply("x", status=500)), rtk.watch(seen), pytest.raises(rtk.errors.SampleError):
        rtk.ChainOfThought("question -> answer")(question="?")
    assert [event.sample.kind for event in seen] == ["status_500"]
