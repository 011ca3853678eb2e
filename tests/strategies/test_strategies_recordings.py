"""Recordings around programs: what a strategy, a module or one of DSPy's runners did live, it does with no model."""

import asyncio
import math
import re
from dataclasses import replace

import dspy
import pytest
from dspy.utils import DummyLM
from scripted import TwoSteps, asks, chain, chat, field_of, serving, tree

import rtk
from rtk.errors import NotRecorded, SampleError
from rtk.store import current_recording
from rtk.testing import Reply

pytestmark = pytest.mark.usefixtures("nothing_in_force")

SEED = 5  # of `by_place`: with it every program answers something, and most of them meet a failure
SOON = 0.7  # seconds that a deadline leaves; what has to come by then comes at once


def nowhere(**settings):
    """The same model with nobody at its endpoint."""
    return rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none", **settings)


def twice(work, script, *, server=None, **lm):
    """What `work()` came to live, recorded, and what it comes to replayed, with the server gone."""
    with serving(script, server=server, **lm), rtk.recording("study"):
        live = work()
    with dspy.context(lm=nowhere(**lm)), rtk.recording("study", mode="replay") as replay:
        again = work()
    assert replay.missed == 0
    return live, again


def bare(step):
    """A step of a deliberation without what a server said when it failed: only its kind is recorded."""
    reason = re.sub(r"(status_\d+).*", r"\1", step.get("reason") or "")
    return {**step, "reason": reason, "children": [bare(child) for child in step.get("children", [])]}


def attempt(call):
    """What a call comes to: a prediction, or the kind of failure where nothing came at all."""
    try:
        return call()
    except SampleError as error:
        return error.kind


def told(pred, *, live=False):
    """All that a prediction says, as its replay should say it."""
    if isinstance(pred, str):
        return pred
    spent = pred.spent
    return {
        "fields": pred.toDict(),
        "completions": pred.completions.items(),
        "vote": pred.vote,
        "confidence": pred.confidence,
        "seconds": pred.seconds,
        "stopped": pred.stopped,
        "abstentions": pred.abstentions,
        "spent": replace(spent, drawn=0, reused=spent.drawn + spent.reused) if live else spent,
        "deliberation": {**pred.deliberation.to_dict(), "root": bare(pred.deliberation.to_dict()["root"])},
    }


def said(candidate):
    """A candidate's answer in a word; of one that failed not the reason, which is the server's and is not recorded."""
    return candidate.abstention.kind if candidate.abstention else candidate.prediction.answer


class Sides(rtk.Strategy):
    """A user's strategy of child generators, each of several asks."""

    def __init__(self):
        super().__init__()
        self.step = dspy.ChainOfThought("question -> answer")

    def side(self, question):
        """Three asks, one after the other; the best so far is the last."""
        got = []
        for _ in range(3):
            got = yield rtk.ask(self.step, {"question": question}, samples=2)
            question = f"{question} {said(got[0])}"
            yield got[0]
        return got[0]

    def flow(self, question):
        """Three sides."""
        got = yield [self.side(f"{question} {side}") for side in range(3)]
        return {"answer": ", ".join(said(one) for one in got)}


PROGRAMS = {
    "chain": lambda: rtk.ChainOfThought("question -> answer"),
    "vote": lambda: rtk.SelfConsistency("question -> answer", samples=12),
    "greedy vote": lambda: rtk.SelfConsistency("question -> answer", samples=4, temperature=0),
    "votes of votes": lambda: rtk.SelfConsistency(rtk.SelfConsistency("question -> answer", samples=3), samples=4),
    "rollouts of a module": lambda: rtk.SelfConsistency(TwoSteps(), samples=4),
    "beam": lambda: rtk.TreeOfThoughts("question -> answer", breadth=2, branching=3, depth=2),
    "depth first": lambda: rtk.TreeOfThoughts("question -> answer", search="dfs", branching=3, depth=3),
    "children": Sides,
    "vote of trees": lambda: rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", 1, 2, 2), samples=3),
}


def by_place(received):
    """A reply of a content of its own for every request and every seed; some fail, some say nothing of use."""
    lot = received.body["seed"] + len(received.prompt)
    if lot % 17 == 0:
        return Reply("out of order", status=400)
    if lot % 11 == 0:
        return "no idea"
    words = " ".join(["so"] * (1 + lot % 13))
    if asks(received, "thought"):
        return chat(reasoning=words, thought=f"t{lot % 4}")
    if asks(received, "verdict"):
        return chat(reasoning=words, verdict=("sure", "likely", "impossible")[lot % 3])
    return chain(f"a{lot % 3}", words)


@pytest.mark.parametrize("budget", [{}, {"samples": 5}, {"calls": 3}, {"tokens": 1500}], ids=str)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_replay_is_the_run(program, budget):
    """Whatever its shape and its end: prediction, votes, deliberation and spending are the run's; nothing is drawn."""
    run = lambda: attempt(lambda: PROGRAMS[program]()(question="?", budget=rtk.Budget(**budget)))  # noqa: E731
    live, again = twice(run, by_place, server={"latency": (0, 0.004)}, seed=SEED, max_tokens=40, cache=bool(budget))
    assert told(again) == told(live, live=True)


@pytest.mark.parametrize("program", ["vote", "rollouts of a module", "beam", "children"])
def test_an_awaited_run_is_replayed_awaited_or_not(program):
    """Both calls ask for the same samples."""
    with serving(by_place, seed=SEED), rtk.recording("study"):
        live = attempt(lambda: asyncio.run(PROGRAMS[program]().acall(question="?")))
    with dspy.context(lm=nowhere(seed=SEED)), rtk.recording("study", mode="replay"):
        awaited = attempt(lambda: asyncio.run(PROGRAMS[program]().acall(question="?")))
        called = attempt(lambda: PROGRAMS[program]()(question="?"))
    assert told(awaited) == told(called) == told(live, live=True)


def test_a_smaller_dial_is_in_the_recording_of_a_larger_one():
    """Twelve chains were recorded; four of them make the vote of four."""
    vote = lambda samples: rtk.SelfConsistency("question -> answer", samples=samples)(question="?")  # noqa: E731
    with serving(by_place, seed=SEED), rtk.recording("study"):
        vote(12)
        four = vote(4)
    with dspy.context(lm=nowhere(seed=SEED)), rtk.recording("study", mode="replay"):
        assert told(vote(4)) == told(four, live=True)
        with pytest.raises(NotRecorded, match=r"holds 1[0-2] samples, the last at index 11"):
            vote(13)


def test_a_plain_call_holds_for_every_strategy_until_it_is_stopped():
    """A notebook's first cell."""
    program = PROGRAMS["rollouts of a module"]()
    with serving(by_place, seed=SEED):
        standing = rtk.recording("study")
        live = program(question="?")
        standing.stop()
    rtk.recording("study", mode="replay")
    with dspy.context(lm=nowhere(seed=SEED)):
        assert told(program(question="?")) == told(live, live=True)


@pytest.mark.parametrize("kind", ["dspy.LM", "DummyLM"])
@pytest.mark.filterwarnings("ignore:.*is no rtk.LM")
def test_a_strategy_over_a_plain_lm_is_recorded(kind):
    """It is not stored, and replays all the same."""
    replies = [{"reasoning": "r", "answer": answer} for answer in "abb"]
    vote = rtk.SelfConsistency("question -> answer", samples=3)
    with serving([chain(answer) for answer in "abb"]) as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False)
        lm = plain if kind == "dspy.LM" else DummyLM(replies)
        with dspy.context(lm=lm), rtk.recording("study"):
            live = vote(question="?")
    lm = DummyLM([]) if kind == "DummyLM" else dspy.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="x")
    with dspy.context(lm=lm), rtk.recording("study", mode="replay"):
        assert told(vote(question="?")) == told(live, live=True)
    assert live.answer == "b"


def test_what_failed_is_told_without_the_server_s_words():
    """A step says the kind of failure; where nothing came at all, the error is of the same kind."""
    vote = rtk.SelfConsistency("question -> answer", samples=3)
    script = lambda received: Reply("secret", status=400) if received.index == 0 else chain("a")  # noqa: E731
    live, again = twice(lambda: vote(question="?"), script, server_n=False, concurrency=1)
    reasons = lambda pred: [step.reason for step in pred.deliberation.root.children if step.reason]  # noqa: E731
    assert (reasons(live), reasons(again)) == (["status_400: secret"], ["status_400"])
    assert again.abstentions == live.abstentions == {"failed": 1}

    def nothing():
        with pytest.raises(SampleError) as caught:
            vote(question="??")
        return caught.value.kind

    assert twice(nothing, Reply("secret", status=400)) == ("status_400", "status_400")


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_not_recorded_ends_a_strategy(program):
    """It is no abstention and no best so far, also under a budget and in every rollout."""
    with serving("hello"), rtk.recording("study"):
        dspy.settings.lm("something else")
    replay = rtk.recording("study", mode="replay")
    with dspy.context(lm=nowhere(seed=SEED)), pytest.raises(NotRecorded, match="'something else', asked"):
        PROGRAMS[program]()(question="?", budget=rtk.Budget(samples=500, seconds=60))
    assert replay.missed


# --- deadlines ---


def silent(field, *partial):
    """A tree that counts to three; the server falls silent at the prompts for a field after these thoughts."""
    steps = {"": "1", "1": "2", "1\n2": "3"}
    count = tree(thought=lambda one: steps[field_of(one, "partial")], unit="m", answer="done")

    def script(received):
        found = field_of(received, "thoughts" if field == "unit" else "partial")
        hangs = asks(received, field) and found == "\n".join(partial)
        return Reply(count(received), delay=math.inf if hangs else 0.0)

    return script


SILENCES = [("thought",), ("thought", "1", "2"), ("verdict", "1"), ("verdict", "1", "2", "3"), ("unit", "1", "2", "3")]


@pytest.mark.parametrize("search", ["bfs", "dfs"])
@pytest.mark.parametrize("silence", SILENCES, ids=str)
def test_a_deadline_stops_a_tree_in_the_same_round(search, silence):
    """A tree of several rounds whose server falls silent in one: the same best so far, from a replay in no time."""
    program = rtk.TreeOfThoughts("question -> unit, answer", 1, 2, 3, search)
    run = lambda: program(question="?", budget=rtk.Budget(seconds=SOON))  # noqa: E731
    live, again = twice(run, silent(*silence), server_n=False)
    assert live.stopped == "seconds"
    assert told(again) == told(live, live=True)


@pytest.mark.parametrize("inner", [{"seconds": SOON}, {"samples": 3, "seconds": SOON}], ids=str)
def test_a_deadline_inside_stops_what_is_inside(inner):
    """A budget of a call within another: one question is cut short, the next is answered, the outer pays for both."""
    vote = rtk.SelfConsistency("question -> answer", samples=4)
    script = lambda received: Reply(chain("a"), delay=math.inf if "slow" in received.last else 0.0)  # noqa: E731

    def work():
        with rtk.Budget(samples=7, seconds=60) as outer:
            found = [vote(question=question, budget=rtk.Budget(**inner)) for question in ("slow", "quick", "last")]
        return found, outer

    (live, paid), (again, spent) = twice(work, script, server_n=False)
    assert live[0].stopped == "seconds"
    assert [told(one) for one in again] == [told(one, live=True) for one in live]
    assert spent.spent == replace(paid.spent, drawn=0, reused=paid.spent.samples)


def test_a_deadline_in_a_module_s_threads():
    """Rollouts of a user's module, some of which are cut off: the same vote of the rest."""

    def script(received):
        hangs = received.body["seed"] % 3 == 0 and asks(received, "draft")
        return Reply(chain(received.body["seed"] % 2), delay=math.inf if hangs else 0.0)

    program = rtk.SelfConsistency(TwoSteps(), samples=6)
    live, again = twice(lambda: program(question="?", budget=rtk.Budget(seconds=SOON)), script, seed=4)
    assert live.stopped == "seconds"
    assert told(again) == told(live, live=True)


# --- DSPy's runners ---

TRAINSET = [dspy.Example(question=f"{i} + {i}", answer=str(2 * i)).with_inputs("question") for i in range(1, 7)]


def right(example, pred, trace=None):
    return pred.answer == example.answer


def often_wrong(received):
    """Chains of questions `i + i`, two of three right."""
    number = int(field_of(received, "question").split()[0])
    return chain(2 * number + ((received.body["seed"] + number) % 3 == 0), f"chain {received.body['seed']}")


@pytest.mark.parametrize("standing", [False, True])
@pytest.mark.parametrize("program", [lambda: rtk.SelfConsistency("question -> answer", samples=3), TwoSteps])
def test_an_evaluation_with_threads_is_replayed(program, standing):
    """`dspy.Evaluate`: the same score and the same predictions, in a block and for the whole process."""
    evaluate = dspy.Evaluate(devset=TRAINSET, metric=right, num_threads=4, display_progress=False)

    def work():
        result = evaluate(program())
        return result.score, [pred.toDict() for _, pred, _ in result.results]

    if not standing:
        live, again = twice(work, often_wrong, seed=1)
        assert again == live
        return
    with serving(often_wrong, seed=1):
        recording = rtk.recording("study")
        live = work()
        recording.stop()
    rtk.recording("study", mode="replay")
    with dspy.context(lm=nowhere(seed=1)):
        assert work() == live


def test_dspys_parallel_is_replayed():
    """Programs in its threads record into the block around it."""
    programs = [(rtk.SelfConsistency("question -> answer", samples=2 + i % 3), one) for i, one in enumerate(TRAINSET)]
    parallel = dspy.Parallel(num_threads=4, disable_progress_bar=True)
    live, again = twice(lambda: parallel(programs), often_wrong, seed=1)
    assert [told(one) for one in again] == [told(one, live=True) for one in live]


def test_a_compile_is_replayed():
    """`BootstrapFewShot`, with a second round: the same demonstrations, and the compiled program's same answer."""

    def work():
        optimizer = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=3, max_labeled_demos=1, max_rounds=2)
        compiled = optimizer.compile(rtk.SelfConsistency("question -> answer", samples=1), trainset=TRAINSET)
        demos = [demo.toDict() for _, predictor in compiled.named_predictors() for demo in predictor.demos]
        return demos, told(compiled(question="9 + 9"), live=current_recording().mode == "auto")

    live, again = twice(work, often_wrong, seed=1)
    assert again == live
    assert any(demo.get("augmented") for demo in live[0])


async def test_coroutines_side_by_side_have_each_its_own_recording():
    """A recording travels with its task."""

    async def work(name, mode):
        with rtk.recording(name, mode):
            await asyncio.sleep(0)
            found = await rtk.SelfConsistency("question -> answer", samples=2).acall(question=name)
        return found.answer

    with serving(lambda received: chain(field_of(received, "question"))):
        assert await asyncio.gather(work("one", "auto"), work("two", "auto")) == ["one", "two"]
    with dspy.context(lm=nowhere()):
        assert await asyncio.gather(work("one", "replay"), work("two", "replay")) == ["one", "two"]
        with pytest.raises(NotRecorded), rtk.recording("one", mode="replay"):
            await rtk.SelfConsistency("question -> answer", samples=2).acall(question="two")
