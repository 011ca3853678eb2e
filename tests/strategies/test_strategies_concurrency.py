"""Concurrency: all of a vote is in flight at once, whoever calls and from wherever; nothing waits for itself."""

import asyncio
import threading

import dspy
import pytest
from scripted import PATIENCE, asks, chain, choices, serving, started, tree

import rtk
from rtk.errors import LoopError


class SyncOnly(dspy.Module):
    """A user's module with `forward` and no `aforward`."""

    def __init__(self, inner="question -> answer"):
        super().__init__()
        self.inner = dspy.ChainOfThought(inner) if isinstance(inner, str) else inner

    def forward(self, question):
        return self.inner(question=question)


class AsyncOnly(dspy.Module):
    """A user's module with `aforward` and no `forward`."""

    def __init__(self):
        super().__init__()
        self.inner = dspy.ChainOfThought("question -> answer")

    async def aforward(self, question):
        return await self.inner.acall(question=question)


class Both(SyncOnly, AsyncOnly):
    """A user's module with both."""

    def __init__(self):
        SyncOnly.__init__(self)


PROGRAMS = {
    "signature": "question -> answer",
    "sync-only module": SyncOnly(),
    "async-only module": AsyncOnly(),
    "module with both": Both(),
    "strategy": rtk.ChainOfThought("question -> answer"),
    "nested strategy": rtk.SelfConsistency(rtk.ChainOfThought("question -> answer"), samples=1),
}


@pytest.fixture(params=PROGRAMS)
def eight(request):
    """A vote of eight over anything."""
    return rtk.SelfConsistency(PROGRAMS[request.param], samples=8)


@pytest.fixture
def held():
    """A server that holds what it is asked, each sample being a request of its own."""
    with serving(chain("yes"), server_n=False) as server, server.hold():
        yield server


async def test_acall_has_eight_in_flight(eight, held):
    """Awaited, all eight requests are on their way together, and the loop stays free."""
    task = asyncio.create_task(eight.acall(question="?"))
    await asyncio.to_thread(held.wait_for, lambda server: server.in_flight == 8)
    held.release()
    assert (await asyncio.wait_for(task, PATIENCE)).answer == "yes"


async def test_a_sync_call_in_a_running_loop_has_eight_in_flight(eight, held):
    """As in a notebook cell: `program(...)` works inside a running loop."""
    waiting = started(lambda: held.wait_for(lambda server: server.in_flight == 8))
    waiting.add_done_callback(lambda _: held.release())
    assert eight(question="?").answer == "yes"
    waiting.result()


def test_a_sync_call_has_eight_in_flight(eight, held):
    """Without any loop, too."""
    running = started(lambda: eight(question="?"))
    held.wait_for(lambda server: server.in_flight == 8)
    held.release()
    assert running.result(PATIENCE).answer == "yes"


def test_the_frontier_of_a_tree_is_evaluated_together():
    """All thoughts of a level are valued at once, and the whole beam proposes at once."""
    thoughts = iter("abcdefghijklmnopqrstuvw")
    program = rtk.TreeOfThoughts("question -> answer", breadth=3, branching=3, depth=2)
    with serving(tree(thought=lambda _: next(thoughts), answer="yes")) as server, server.hold():
        running = started(lambda: program(question="?"))
        for together, field in ((1, "thought"), (3, "verdict"), (3, "thought"), (9, "verdict"), (1, "thoughts")):
            server.wait_for(lambda s, together=together: s.held == together)
            released = server.release()
            assert all(asks(received, field) for received in released)
        assert running.result(PATIENCE).answer == "yes"


def test_child_generators_run_side_by_side():
    """Each goes on as soon as its own asks are back, whatever the others wait for."""

    class Pair(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.draft = dspy.Predict("question -> answer")

        def child(self, question):
            first = (yield rtk.ask(self.draft, {"question": question}))[0]
            return (yield rtk.ask(self.draft, {"question": f"{question}, after {first.prediction.answer}"}))[0]

        def flow(self, question):
            got = yield [self.child(f"{question} {side}") for side in ("left", "right")]
            return {"answer": [one.prediction.answer for one in got]}

    script = lambda received: f"[[ ## answer ## ]]\n{received.last.count('after')}"  # noqa: E731
    with serving(script) as server, server.hold():
        running = started(lambda: Pair()(question="?"))
        server.wait_for(lambda s: s.held == 2)
        server.release(where=lambda received: "left" in received.last)
        server.wait_for(lambda s: s.held == 2 and s.count == 3)  # the left one asks again, the right one still waits
        server.release()
        server.wait_for(lambda s: s.held == 1 and s.count == 4)
        server.release()
        assert running.result(PATIENCE).answer == ["1", "1"]


# --- what must not wait for itself ---


class SyncInside(dspy.Module):
    """An async module that calls a strategy synchronously: on rtk's own loop that would wait for itself."""

    def __init__(self):
        super().__init__()
        self.inner = rtk.SelfConsistency("question -> answer", samples=2)

    async def aforward(self, question):
        return self.inner(question=question)


def test_a_sync_call_on_rtks_own_loop_is_refused_with_its_mend():
    """A clear error in place of a deadlock."""
    with serving(chain("yes")), pytest.raises(LoopError) as caught:
        started(lambda: rtk.SelfConsistency(SyncInside(), samples=2)(question="?")).result(PATIENCE)
    assert "acall" in caught.value.mend


async def test_the_same_module_works_on_another_loop():
    """On the caller's own loop the sync call inside is an ordinary one."""
    with serving(chain("yes")):
        found = await rtk.SelfConsistency(SyncInside(), samples=2).acall(question="?")
    assert found.answer == "yes"


def nested(outer, inner):
    """So many runs of a sync-only module that votes with so many."""
    return rtk.SelfConsistency(SyncOnly(rtk.SelfConsistency(SyncOnly(), samples=inner)), samples=outer)


def test_eight_times_four_nested_over_sync_only_modules_does_not_hang():
    """Programs that wait never take a place that those they wait for need, however few draws may be in flight."""
    with serving(choices(["a"]), concurrency=1) as server:
        assert started(lambda: nested(8, 4)(question="?")).result(PATIENCE).answer == "a"
        assert server.choices_served == 32


def test_sixteen_threads_of_evaluate_over_nested_votes_do_not_hang():
    """Nor do they where DSPy runs sixteen such programs at once; hundreds more would only wait for Python."""
    examples = [dspy.Example(question=f"{i}?", answer="a").with_inputs("question") for i in range(16)]
    evaluate = dspy.Evaluate(devset=examples, metric=lambda example, pred, trace=None: pred.answer == "a")
    with serving(choices(["a"])) as server:
        assert started(lambda: evaluate(nested(4, 2), num_threads=16)).result(PATIENCE).score == 100
        assert server.choices_served == 16 * 8


async def test_many_programs_awaited_together_share_one_loop():
    """`asyncio.gather` over votes of sync-only modules."""
    with serving(choices(["a", "b", "b"])):
        programs = [rtk.SelfConsistency(SyncOnly(), samples=3) for _ in range(8)]
        found = await asyncio.gather(*(one.acall(question=f"{i}?") for i, one in enumerate(programs)))
    assert {one.answer for one in found} == {"a"}


def test_a_call_that_is_given_up_harms_nobody(monkeypatch):
    """A thread that comes back after its caller and its loop are gone ends in silence."""
    raised, entered, gate = [], threading.Barrier(3), threading.Event()
    monkeypatch.setattr(threading, "excepthook", raised.append)

    class Slow(dspy.Module):
        def forward(self, question):
            entered.wait(PATIENCE)
            gate.wait(PATIENCE)
            return dspy.Prediction(answer="late")

    async def given_up():
        task = asyncio.create_task(rtk.SelfConsistency(Slow(), samples=2).acall(question="?"))
        await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started(lambda: asyncio.run(given_up())).result(PATIENCE)
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("rtk-rollout"):
            thread.join(PATIENCE)
    assert raised == []


async def test_a_cancelled_call_takes_its_requests_back():
    """What nobody waits for any more leaves the server, and asking anew works."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with serving(chain("yes"), server_n=False) as server:
        with server.hold():
            task = asyncio.create_task(program.acall(question="?"))
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 4)
            task.cancel()
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)
        assert (await program.acall(question="?")).answer == "yes"


def test_running_a_module_says_nothing_of_how_it_is_called(caplog):
    """DSPy warns whoever calls `forward` directly; rtk does not."""
    with serving(chain("yes")):
        rtk.SelfConsistency(SyncOnly(), samples=2)(question="?")
        rtk.SelfConsistency(AsyncOnly(), samples=2)(question="?")
    assert caplog.records == []
