"""Crowds: a thousand draws at once, over a server that fails now and then, and processes that die on the way."""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import numbered, over, until

from rtk.errors import SampleError
from rtk.store import SampleStore
from rtk.testing import ScriptedServer, faults

PASSING = ("500", "429", "reset", "truncated", "malformed")
WIRES = pytest.mark.parametrize("wire", ["openai", "ollama"])


def everything(store):
    """All samples of a store: address to text."""
    return {
        (address.key, address.index): store.read(address.key, address.stream, [address.index])[address.index].text
        for address in store.addresses()
    }


def ask_from_everywhere(lm, prompts, count):
    """Each prompt asked by a thread and by a task at once; what each was told, by prompt."""
    told = {}

    def ask(prompt):
        try:
            return lm(prompt, n=count)
        except SampleError as error:
            return error.kind

    async def ask_all():
        async def one(prompt):
            try:
                return await lm.acall(prompt, n=count)
            except SampleError as error:
                return error.kind

        return await asyncio.gather(*map(one, reversed(prompts)))

    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(ask, prompt) for prompt in prompts]
        awaited = asyncio.run(ask_all())
        for prompt, one, other in zip(prompts, asked, reversed(awaited), strict=True):
            told[prompt] = (one.result(300), other)
    return told


@WIRES
def test_a_thousand_draws_at_once_lose_and_double_nothing(wire, no_waiting):
    """125 questions, eight samples each, asked by threads and tasks at once over a failing server: every sample is
    served once, stored once and told to both who asked."""
    script = faults(numbered(), rate=0.15, kinds=PASSING, seed=1)
    prompts = [f"question {number}" for number in range(125)]
    with ScriptedServer(script, wire=wire, latency=(0, 0.01)) as server:
        lm = over(server, server_n=False, concurrency=64, num_retries=12)
        told = ask_from_everywhere(lm, prompts, 8)
        assert server.choices_served == 1000
        assert server.count == 1000 + sum(script.given.values())
        assert server.peak_in_flight <= 64
    assert script.given.keys() == set(PASSING)
    samples = everything(lm.store)
    assert len(samples) == len(set(samples.values())) == 1000
    assert all(one == other and len(one) == 8 for one, other in told.values())
    assert sorted(text for one, _ in told.values() for text in one) == sorted(samples.values())


@WIRES
def test_a_crowd_over_a_server_that_falls_silent_loses_and_doubles_nothing(wire, no_waiting):
    """Requests that are never answered are given up and asked again. Few at once: what a loaded machine answers too
    late would be asked twice, rightly."""
    script = faults(numbered(), rate=0.1, kinds=("timeout",), seed=1)
    with ScriptedServer(script, wire=wire) as server:
        lm = over(server, server_n=False, concurrency=64, timeout=3, num_retries=12)
        told = ask_from_everywhere(lm, [f"question {number}" for number in range(15)], 4)
        assert server.choices_served == 60
        assert server.count == 60 + script.given["timeout"] > 60
    assert len(everything(lm.store)) == 60
    assert all(one == other and len(one) == 4 for one, other in told.values())


def test_a_thousand_draws_in_batches_lose_and_double_nothing(no_waiting):
    """The same where the server gives up to five at a time."""
    script = faults(numbered(), rate=0.15, kinds=PASSING, seed=2)
    prompts = [f"question {number}" for number in range(125)]
    with ScriptedServer(script, honours_n=5) as server:
        lm = over(server, concurrency=32, num_retries=12)
        told = ask_from_everywhere(lm, prompts, 8)
        assert server.choices_served == 1000
    samples = everything(lm.store)
    assert len(samples) == len(set(samples.values())) == 1000
    assert all(one == other and len(one) == 8 for one, other in told.values())


def test_questions_that_always_fail_cost_only_themselves(no_waiting):
    """A tenth of the questions is never answered: the others have all their samples, and each loss is told."""
    script = faults(numbered(), rate=0.1, kinds=PASSING, seed=5, permanent=0.1)
    prompts = [f"question {number}" for number in range(100)]
    with ScriptedServer(script) as server:
        lm = over(server, server_n=False, concurrency=64, num_retries=6)
        told = ask_from_everywhere(lm, prompts, 2)
    failed = [prompt for prompt, (one, _) in told.items() if isinstance(one, str)]
    assert 3 < len(failed) < 20
    assert all(one == other for one, other in told.values())
    samples = everything(lm.store)
    assert len(samples) == len(set(samples.values())) == 2 * (100 - len(failed))


# --- processes that end before their time ---

RUN = """
import sys, threading
import rtk
lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="any", server_n=False, concurrency=8)
told = lambda number: sys.stdout.write("|".join([str(number), *lm(f"question {number}", n=4)]) + "\\n")
threads = [threading.Thread(target=told, args=(number,)) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def run(server, script=RUN):
    return subprocess.Popen([sys.executable, "-c", script, server.url], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_run_started_again_draws_only_what_was_in_flight(own_store):
    """After `kill -9` with eight requests in flight, the next run asks for those and for what had not been asked."""
    with ScriptedServer(numbered()) as server:
        with server.hold():
            first = run(server)
            server.wait_for(lambda s: s.held == 8, timeout=300)
            for answered in range(1, 15):
                server.release(count=1)
                server.wait_for(lambda s, due=answered: s.choices_served == due and s.held == 8)
            until(lambda: stored_in(own_store, 14))
            first.send_signal(signal.SIGKILL)
            first.wait(30)
            server.wait_for(lambda s: s.in_flight == 0)
        kept = everything(SampleStore(own_store))
        assert server.choices_served == len(kept) == 14
        second = run(server)
        lines = second.stdout.read().splitlines()
        assert second.wait(30) == 0
        assert server.choices_served == 40
        assert server.count == 14 + 8 + 26
    samples = everything(SampleStore(own_store))
    assert len(samples) == len(set(samples.values())) == 40
    assert kept.items() <= samples.items()
    assert sorted(text for line in lines for text in line.split("|")[1:]) == sorted(samples.values())


def stored_in(folder, count):
    """Whether so many samples are on the disk."""
    with SampleStore(folder) as store:
        return store.count() >= count


INTERRUPTED = """
import signal, sys
import rtk
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have its background jobs ignore it
lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="any", server_n=False, concurrency=8)
try:
    lm("question 0", n=8)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(*lm("question 0", n=3), sep="|")
"""


@pytest.mark.parametrize("caught", [True, False])
def test_an_interrupt_keeps_what_was_drawn_and_leaves_no_hang(own_store, caught):
    """Ctrl-C while eight requests fly: three replies are kept, the others given up, and the process goes on or ends."""
    script = INTERRUPTED if caught else INTERRUPTED.replace("except KeyboardInterrupt", "except ZeroDivisionError")
    with ScriptedServer(numbered()) as server:
        with server.hold():
            process = subprocess.Popen(
                [sys.executable, "-c", script, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            server.wait_for(lambda s: s.held == 8, timeout=300)
            server.release(count=3)
            until(lambda: stored_in(own_store, 3))
            process.send_signal(signal.SIGINT)
            server.wait_for(lambda s: s.in_flight == 0)
        out, err = process.communicate(timeout=300)
    kept = everything(SampleStore(own_store))
    assert len(kept) >= 3
    if caught:
        assert out.splitlines()[0] == "interrupted"
        assert set(out.splitlines()[1].split("|")) <= set(kept.values())
        assert (process.returncode, err) == (0, "")
    else:
        assert process.returncode in (-signal.SIGINT, 130, 1)
        assert err.count("Traceback") == 1
        assert "KeyboardInterrupt" in err


WRAPPED = """
import signal, sys
import dspy, rtk
signal.signal(signal.SIGINT, signal.default_int_handler)
lm = rtk.LM.of(dspy.LM("openai/scripted", api_base=sys.argv[1], api_key="any", cache=False), concurrency=2)
try:
    lm("question", n=8)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_starts_no_more_calls_of_a_wrapped_lm():
    """Two of eight are on their way, which nobody can stop; the caller is back before they are, and no third begins."""
    with ScriptedServer(numbered()) as server, server.hold():
        process = subprocess.Popen([sys.executable, "-c", WRAPPED, server.url], stdout=subprocess.PIPE, text=True)
        server.wait_for(lambda s: s.held == 2, timeout=300)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        server.release()
        assert process.wait(30) == 0
        assert server.count == 2


# --- forks ---


def in_child(work):
    """What `work()` returns in a forked child, as text; the child's end is hard."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_draws_through_a_loop_of_its_own():
    """Child and parent both go on with the same LM: each finds what the other drew, and neither hangs."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        before = lm("a question", n=2)
        assert in_child(lambda: lm("a question", n=4)[:2] == before and len(lm("another", n=2))) == "2"
        assert server.choices_served == 6
        assert len(lm("a question", n=4)) == 4
        assert server.choices_served == 6
        assert in_child(lambda: asyncio.run(lm.acall("a third"))) == "['reply 6']"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_draws_harms_nobody():
    """While the parent's threads draw, children forked among them draw too; no sample is lost on either side."""
    with ScriptedServer(numbered(), latency=0.002) as server:
        lm = over(server, server_n=False, concurrency=8)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(lm, f"parent {number}", n=4) for number in range(40)]
            told = [in_child(lambda number=number: len(lm(f"child {number}", n=3))) for number in range(4)]
            texts = [one.result(300) for one in asked]
    assert told == ["3"] * 4
    assert [len(one) for one in texts] == [4] * 40
    assert lm.store.count() == 40 * 4 + 4 * 3
