"""A sweep that is interrupted or killed: what was drawn is kept, and the same call goes on from there."""

import random
import signal
import subprocess
import sys
import time

import pytest

from rtk.testing import Reply, ScriptedServer

STUDY = """
import signal, sys
import dspy, rtk
signal.signal(signal.SIGINT, signal.default_int_handler)
from rtk.experiments import sweep
examples = [dspy.Example(question=f"number {i}?", answer=i).with_inputs("question") for i in range(40)]
lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="x", seed=1, store=rtk.SampleStore(sys.argv[2]))
dspy.configure(lm=lm, adapter=rtk.LinesAdapter())
print("begun", flush=True)
found = sweep(rtk.SelfConsistency("question -> answer: int"), examples, {"samples": [1, 4]}, concurrency=4,
              metric=lambda example, pred: pred.answer == example.answer)
frame = found.rows()
print(found.stopped, len(frame), int(frame["drawn"].sum()), frame["answer"].isna().sum(), flush=True)
"""


def reply(received):
    number = int(received.last.partition("number ")[2].partition("?")[0])
    return Reply(f"reasoning: r\nanswer: {number}", delay=0.05)


def begun(server, folder):
    """The study in a process of its own, under way."""
    found = subprocess.Popen(
        [sys.executable, "-c", STUDY, server.url, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert found.stdout.readline() == "begun\n"
    return found


def ended(process):
    said, trouble = process.communicate(timeout=120)
    assert said, trouble
    return said.split()


def wait_for(server, requests):
    end = time.monotonic() + 60
    while len(server.requests) < requests and time.monotonic() < end:
        time.sleep(0.01)


def test_an_interrupted_sweep_returns_what_there_is_and_goes_on(tmp_path):
    """Ctrl-C gives the rows that came to their end, whole; the next call draws only what is missing."""
    with ScriptedServer(reply) as server:
        process = begun(server, tmp_path)
        wait_for(server, 40)
        process.send_signal(signal.SIGINT)
        stopped, rows, _, missing = ended(process)
        assert stopped == "interrupted"
        assert 0 < int(rows) < 80
        assert missing == "0"
        before = len(server.requests)
        assert ended(begun(server, tmp_path))[:2] == ["None", "80"]
        assert len(server.requests) <= 160 + 16  # of those under way when it was interrupted, some were lost
        assert len(server.requests) - before < 160


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_sweep_goes_on_where_it_was(tmp_path, seed):
    """Killed at a random moment, it has lost at most what was in flight."""
    with ScriptedServer(reply) as server:
        process = begun(server, tmp_path)
        wait_for(server, random.Random(seed).randint(5, 140))
        process.kill()
        process.communicate()
        stopped, rows, _, missing = ended(begun(server, tmp_path))
        assert (stopped, rows, missing) == ("None", "80", "0")
        assert len(server.requests) <= 160 + 16
