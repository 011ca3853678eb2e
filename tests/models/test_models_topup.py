"""Topping up: a sample is drawn once, whoever asks for it, however and how often."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from serving import QUESTION, Anything, numbered, over, stored, until

import rtk
from rtk.errors import SampleError
from rtk.testing import Reply, ScriptedServer

WIRES = pytest.mark.parametrize("wire", ["openai", "ollama"])


@pytest.fixture
def threads():
    with ThreadPoolExecutor(32) as pool:
        yield pool


@WIRES
def test_asking_for_more_draws_only_what_is_missing(wire):
    """Samples 2, 4, 16 and 8 draw 2 + 2 + 12 + 0, and a smaller ask is the beginning of a larger one."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server)
        served, texts = [], []
        for count in (2, 4, 16, 8):
            texts.append(lm(QUESTION, n=count))
            served.append(server.choices_served)
    assert served == [2, 4, 16, 16]
    assert [len(one) for one in texts] == [2, 4, 16, 8]
    assert texts[0] == texts[1][:2] == texts[2][:2]
    assert texts[3] == texts[2][:8]
    assert len(set(texts[2])) == 16


@WIRES
async def test_sync_and_async_share_their_samples(wire):
    """An awaited call finds what a sync one drew, and the other way round."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server)
        first = lm(QUESTION, n=3)
        more = await lm.acall(QUESTION, n=5)
        again = lm(QUESTION, n=5)
        assert server.choices_served == 5
    assert more[:3] == first
    assert again == more


@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
def test_plain_dspy_modules_share_them(module):
    """A DSPy module that asks for four completions after one draws three, in whatever program it stands."""
    texts = (f"[[ ## reasoning ## ]]\nso\n[[ ## answer ## ]]\n{i}\n[[ ## completed ## ]]" for i in range(99))
    with ScriptedServer(texts) as server, dspy.context(lm=over(server)):
        one = module("question -> answer")(question="?")
        four = module("question -> answer", n=4)(question="?")
        assert server.choices_served == 4
        flat = module("question -> answer")(question="?", config={"n": 4})
        assert server.choices_served == 4
    assert four.completions.answer == flat.completions.answer == ["0", "1", "2", "3"]
    assert one.answer == "0"


def test_a_module_and_a_plain_call_share_them():
    """The messages that an adapter makes are the request, whoever sends them."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        with dspy.context(lm=lm, adapter=Anything()):
            answer = dspy.Predict("question -> answer")(question="?").answer
        assert lm(messages=lm.history[-1]["messages"], n=2) == [answer, "reply 1"]
        assert server.choices_served == 2


def test_another_lm_and_another_process_share_them():
    """The store and the request decide, not the object: nothing is drawn again in a new process."""
    with ScriptedServer(numbered()) as server:
        first = over(server)(QUESTION, n=3)
        assert over(server)(QUESTION, n=3) == first
        script = (
            "import rtk, sys; lm = rtk.LM('openai/scripted', api_base=sys.argv[1], api_key='any');"
            "print('|'.join(lm('What is 2 + 2?', n=5)))"
        )
        run = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, check=True)
        assert run.stdout.strip().split("|")[:3] == first
        assert server.choices_served == 5
        assert over(server)(QUESTION, n=5) == run.stdout.strip().split("|")
        assert server.choices_served == 5


def test_a_process_says_nothing_of_its_own():
    """A draw and the end of the process print no line, neither on stdout nor on stderr."""
    with ScriptedServer(numbered()) as server:
        script = (
            "import gc, rtk, sys; ask = lambda: rtk.LM('openai/scripted', api_base=sys.argv[1], api_key='any');"
            "ask()('one', n=3); ask()('two'); gc.collect(); ask()('three')"
        )
        run = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True)
        assert server.choices_served == 5
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# --- one draw for many callers ---


async def test_callers_at_once_wait_for_one_draw(threads):
    """Twelve threads and twelve tasks that want the same four samples cause one draw of four."""
    with ScriptedServer(numbered()) as server, server.hold():
        lm, other = over(server), over(server)
        asked = [threads.submit(one, QUESTION, n=4) for one in [lm, other] * 6]
        tasks = [asyncio.create_task(one.acall(QUESTION, n=4)) for one in [lm, other] * 6]
        await asyncio.to_thread(server.wait_for, lambda s: s.held == 1)
        await asyncio.sleep(0)
        server.release()
        texts = [await asyncio.wrap_future(one) for one in asked] + await asyncio.gather(*tasks)
    assert texts == [["reply 0", "reply 1", "reply 2", "reply 3"]] * 24
    assert server.choices_served == 4


def test_a_store_is_one_by_whatever_path(threads, tmp_path):
    """A link to its folder leads to the same store, and to the same flights."""
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with ScriptedServer(numbered()) as server, server.hold():
        one, other = (over(server, store=tmp_path / name) for name in ("store", "link"))
        first = threads.submit(one, QUESTION)
        server.wait_for(lambda s: s.held == 1)
        second = threads.submit(other, QUESTION)
        until(lambda: joined(one, 2))
        server.release()
        assert first.result(300) == second.result(300) == ["reply 0"]


def test_overlapping_asks_draw_their_union(threads):
    """An ask for eight joins the flight of an ask for four and draws the other four."""
    with ScriptedServer(numbered()) as server, server.hold():
        lm = over(server)
        four = threads.submit(lm, QUESTION, n=4)
        server.wait_for(lambda s: s.held == 1)
        eight = threads.submit(lm, QUESTION, n=8)
        server.wait_for(lambda s: s.held == 2)
        assert [received.n for received in server.requests] == [4, 4]
        server.release(where=lambda received: received.index == 1)
        server.release()
        assert eight.result(300)[:4] == four.result(300)
    assert server.choices_served == 8


def test_a_caller_who_leaves_takes_nothing_from_the_others(threads):
    """A cancelled ask ends its own request only: what somebody else waits for goes on."""
    with ScriptedServer(numbered()) as server, server.hold():
        lm = over(server)

        async def leave():
            mine = asyncio.create_task(lm.acall(QUESTION, n=2))
            alone = asyncio.create_task(lm.acall("only me"))
            await asyncio.to_thread(server.wait_for, lambda s: s.held == 2)
            other = threads.submit(lm, QUESTION, n=2)
            await asyncio.to_thread(until, lambda: joined(lm, 2))
            mine.cancel()
            alone.cancel()
            await asyncio.gather(mine, alone, return_exceptions=True)
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 1)
            server.release()
            return await asyncio.wrap_future(other)

        assert asyncio.run(leave()) == ["reply 0", "reply 1"]
        assert server.count == 2
        server.release()
    assert len(stored(lm, 2)) == 2
    assert stored(lm, 1, "only me") == {}


def joined(lm, callers):
    """Whether so many callers wait for one sample; nothing public tells."""
    return any(landing.waiting == callers for landing in lm._source.drawer(keep=True).desk.flights.values())


def test_who_asks_again_after_leaving_gets_a_draw_of_their_own():
    """A request that was cancelled is nobody's to join."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)

        async def ask_twice():
            with server.hold():
                first = asyncio.create_task(lm.acall(QUESTION, n=2))
                await asyncio.to_thread(server.wait_for, lambda s: s.held == 1)
                first.cancel()
                second = asyncio.create_task(lm.acall(QUESTION, n=2))
                await asyncio.to_thread(server.wait_for, lambda s: s.count == 2)
            return await second

        assert len(asyncio.run(ask_twice())) == 2


def test_replicates_and_rollout_ids_are_not_shared():
    """Each names a stream of its own, and is found again by its name."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        plain = lm(QUESTION, n=2)
        with rtk.replicate(1):
            second = lm(QUESTION, n=2)
            with_id = lm(QUESTION, n=2, rollout_id=7)
        assert len({*plain, *second, *with_id}) == 6
        with rtk.replicate(1):
            assert lm.copy(rollout_id=7)(QUESTION, n=2) == with_id
        assert lm(QUESTION, n=2, rollout_id=0) == plain
        assert server.choices_served == 6


def test_one_that_failed_is_the_only_one_drawn_again(no_waiting):
    """Of eight, the seven that came stay; asking again asks for the one that did not."""
    broken = {3}

    def answer(received):
        return Reply("no", status=500) if received.index in broken else f"reply {received.index}"

    with ScriptedServer(answer) as server:
        lm = over(server, server_n=False, concurrency=1, num_retries=0)
        with pytest.raises(SampleError) as caught:
            lm(QUESTION, n=8)
        seven = [one.text for one in caught.value.arrived]
        assert (len(seven), server.count) == (7, 8)
        assert sorted(stored(lm, 8)) == [0, 1, 2, 4, 5, 6, 7]
        assert lm(QUESTION, n=8) == [*seven[:3], "reply 8", *seven[3:]]
        assert server.count == 9
