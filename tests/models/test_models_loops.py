"""Loops: calls from sync code, from coroutines on any loop, from inside a running one, and from rtk's own."""

import asyncio
import threading

import dspy
import pytest
from serving import QUESTION, Anything, numbered, over

from rtk.errors import LoopError
from rtk.models import on_background, submit
from rtk.testing import ScriptedServer


@pytest.fixture
def server():
    with ScriptedServer(numbered()) as running:
        yield running


async def test_a_sync_call_works_inside_a_running_loop(server):
    """As in a notebook's cell, where a loop runs always: the call waits, and the loop goes on afterwards."""
    lm = over(server)
    assert lm(QUESTION, n=2) == ["reply 0", "reply 1"]
    with dspy.context(lm=lm, adapter=Anything()):
        assert dspy.Predict("question -> answer")(question="?").answer == "reply 2"
    assert (await lm.acall(QUESTION, n=3))[:2] == ["reply 0", "reply 1"]


async def test_a_sync_call_works_in_a_thread_of_a_running_loop(server):
    """`asyncio.to_thread`, and what DSPy's `asyncify` does with it."""
    lm = over(server)
    assert await asyncio.to_thread(lm, QUESTION) == ["reply 0"]

    class Asks(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=dspy.settings.lm(question)[0])

    with dspy.context(lm=lm):
        assert (await dspy.asyncify(Asks())(question=QUESTION)).answer == "reply 0"


def test_awaited_calls_work_on_one_loop_after_the_other(server):
    """Nothing is bound to the loop of the first call."""
    lm = over(server)
    found = [asyncio.run(lm.acall(f"{number}?")) for number in range(3)]
    assert found == [["reply 0"], ["reply 1"], ["reply 2"]]


def test_loops_in_several_threads_share_one_lm(server):
    """Each thread has a loop of its own, and all of them the same samples."""
    lm, found = over(server), []

    def run():
        found.append(asyncio.run(lm.acall(QUESTION, n=3)))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert found == [["reply 0", "reply 1", "reply 2"]] * 6
    assert server.choices_served == 3


async def test_a_waiting_caller_leaves_its_loop_free(server):
    """While a reply is on its way the caller's own loop runs other things."""
    with server.hold():
        waiting = asyncio.create_task(over(server).acall(QUESTION))
        while server.held == 0:
            await asyncio.sleep(0)
        assert not waiting.done()
        server.release()
        assert await waiting == ["reply 0"]


# --- rtk's own loop ---


def on_ours(call):
    """Run a function on rtk's own loop."""

    async def run():
        assert on_background()
        return call()

    return submit(run()).result(300)


def test_a_sync_call_on_rtks_own_loop_is_refused(server):
    """It would wait for itself: an error with a mend, without a request, a hang, or a coroutine left over."""
    lm = over(server)
    with pytest.raises(LoopError) as caught:
        on_ours(lambda: lm(QUESTION))
    assert "acall" in caught.value.mend
    assert server.count == 0
    assert lm(QUESTION) == ["reply 0"]


def test_what_is_stored_is_given_on_rtks_own_loop_too(server):
    """It needs no loop."""
    lm = over(server)
    lm(QUESTION, n=2)
    assert on_ours(lambda: lm(QUESTION, n=2)) == ["reply 0", "reply 1"]


def test_an_awaited_call_works_on_rtks_own_loop(server):
    """A coroutine there may await any LM."""
    lm = over(server)
    assert submit(lm.acall(QUESTION)).result(300) == ["reply 0"]
    assert not on_background()


# --- leaving ---


async def test_a_cancelled_call_ends_its_requests(server):
    """What nobody waits for is not paid for any longer."""
    with server.hold():
        task = asyncio.create_task(over(server, server_n=False).acall(QUESTION, n=4))
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)
    assert server.choices_served == 0


async def test_a_call_with_a_time_limit_of_asyncios_keeps_what_came(server):
    """`asyncio.timeout` around it: the replies that came are in the store."""
    lm = over(server, server_n=False)
    with server.hold():
        task = asyncio.create_task(lm.acall(QUESTION, n=4))
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 4)
        server.release(count=2)
        while lm.store.count() < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.01)
        await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)
    assert lm.store.count() == 2
    assert len(await lm.acall(QUESTION, n=4)) == 4
    assert server.choices_served == 4


async def test_one_failing_task_takes_nothing_from_its_siblings(server):
    """In a task group that is cancelled, calls of others outside of it go on."""
    lm = over(server)

    async def fails():
        raise ZeroDivisionError

    async def together(*calls):
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)

    with server.hold():
        outside = asyncio.create_task(lm.acall("shared"))
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 1)
        with pytest.raises(ExceptionGroup):
            await together(lm.acall("shared"), lm.acall("mine"), fails())
        server.release()
        assert await outside == ["reply 0"]


async def test_the_callers_context_travels_with_the_call(server):
    """What DSPy's context holds in a task is what the draw sees, whichever loop it runs on."""
    seen = []
    lm = over(server)

    async def ask(number):
        with dspy.context(rtk_watchers=(lambda event, number=number: seen.append((number, event.sample.text)),)):
            return await lm.acall(f"question {number}")

    texts = await asyncio.gather(*map(ask, range(5)))
    assert sorted(seen) == sorted((number, text[0]) for number, text in enumerate(texts))
