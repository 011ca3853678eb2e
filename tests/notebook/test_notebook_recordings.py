"""Recordings in a notebook: called in its first cell, they hold for all that follows, and replay it after a restart."""

import json
import time

import pytest
from kernel import PATIENCE, WATCHED, Kernel

from rtk.testing import ScriptedServer

CHAIN = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"
FIRST = """
import asyncio, threading
import dspy, rtk
recording = rtk.recording("study"{mode})
lm = rtk.LM("openai/scripted", api_base={url!r}, api_key={key!r}, server_n=False, num_retries=0)
dspy.configure(lm=lm)
vote = rtk.SelfConsistency("question -> answer: int", samples=4)
"""
CELLS = [
    "pred = vote(question='2'); (pred.answer, pred.confidence.value, pred.spent.samples)",
    "pred = await vote.acall(question='3'); (pred.answer, pred.completions.answer)",
    "[p.answer for p in await asyncio.gather(*(vote.acall(question=str(n)) for n in range(4, 7)))]",
    "lm('hello', n=2) + await lm.acall('hello', n=3)",
    """
said = []
thread = threading.Thread(target=lambda: said.append(vote(question="9").answer))
thread.start()
thread.join()
said
""",
    """
with rtk.Budget(samples=6) as budget:
    found = [vote(question=q).stopped for q in "78"]
(found, budget.spent.samples, budget.spent.tokens)
""",
    """
devset = [dspy.Example(question=str(n), answer=n * n).with_inputs("question") for n in range(10, 14)]
right = lambda example, pred, trace=None: pred.answer == example.answer
dspy.Evaluate(devset=devset, metric=right, num_threads=4, display_progress=False)(vote).score
""",
]


def script(received):
    """The square of the number in the question; a plain prompt is repeated."""
    number = received.last.partition("[[ ## question ## ]]")[2].split()[:1]
    return CHAIN.format(int(number[0]) ** 2) if number else received.last


@pytest.fixture
def server():
    with ScriptedServer(script) as server:
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The notebook's folder; its kernels inherit no wish for replays."""
    monkeypatch.delenv("RTK_RECORDING", raising=False)
    return tmp_path


def live(server):
    return FIRST.format(mode="", url=server.url, key="any")


REPLAY = FIRST.format(mode=", mode='replay'", url="http://127.0.0.1:9/v1", key="none")


def texts(folder):
    """The texts of all samples in the file, as far as it is there."""
    try:
        lines = (folder / "study.jsonl").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [entry["sample"]["text"] for entry in map(json.loads, lines) if "sample" in entry]


def until(state):
    """Wait until `state()` holds; a file tells nobody that it was written."""
    deadline = time.monotonic() + PATIENCE
    while not state():
        if time.monotonic() > deadline:
            raise TimeoutError("waited for a state that did not come")
        time.sleep(0.01)


def test_a_notebook_is_replayed_after_a_restart_with_no_server(folder, server):
    """Sync and awaited calls, a thread of one's own, budgets, an evaluation: every cell gives what it gave."""
    with Kernel(folder) as kernel:
        kernel.run(live(server))
        told = [kernel.value(cell) for cell in CELLS]
        kernel.run("recording.stop()")
    assert told[0] == (4, 1.0, 4)
    assert told[-1] == 100.0
    asked = server.count
    server.stop()
    (folder / "samples").rename(folder / "lost")
    with Kernel(folder) as kernel:
        kernel.run(REPLAY)
        assert [kernel.value(cell) for cell in CELLS] == told
        cell = kernel.finish(kernel.start("vote(question='99')"))
    assert cell.error == "NotRecorded"
    assert "mode='auto'" in cell.traceback[-1]
    assert server.count == asked
    assert not (folder / "samples").exists()


def test_it_is_on_the_disk_while_the_kernel_goes_on(folder, server):
    """Nobody calls `stop`: a moment after a cell what it drew is in the file, also what a thread drew after it."""
    with Kernel(folder) as kernel:
        kernel.run(live(server))
        kernel.run(CELLS[0])
        until(lambda: len(texts(folder)) == 4)
        kernel.run("threading.Thread(target=lm, args=('later',)).start()")
        until(lambda: "later" in texts(folder))


def test_the_end_of_a_kernel_writes_what_is_new(folder, server):
    """A restart in the very second of the last sample loses nothing."""
    with Kernel(folder) as kernel:
        kernel.run(live(server))
        kernel.run(CELLS[0])
        kernel.start("exit()")
        until(lambda: len(texts(folder)) == 4)


@pytest.mark.parametrize(
    ("call", "error"),
    [("vote(question='6')", "KeyboardInterrupt"), ("await vote.acall(question='6')", "CancelledError")],
)
def test_an_interrupt_keeps_and_saves_what_was_drawn(folder, server, call, error):
    """Three of four had come: they are in the file, and the next run of the cell adds the fourth."""
    with Kernel(folder) as kernel:
        kernel.run(live(server))
        with server.hold():
            cell = kernel.start(WATCHED + call)
            server.wait_for(lambda s: s.in_flight == 4)
            server.release(3)
            kernel.wait_for(cell, lambda cell: cell.printed.count("arrived") == 3)
            kernel.interrupt()
            assert kernel.finish(cell).error == error
            until(lambda: len(texts(folder)) == 3)
        assert kernel.value(f"({call}).answer") == 36
        until(lambda: len(texts(folder)) == 4)


def test_the_first_cell_may_be_run_again(folder, server):
    """At once, and with another mode: what was drawn is in the file and found in it."""
    with Kernel(folder) as kernel:
        kernel.run(live(server))
        kernel.run(CELLS[0])
        kernel.run(live(server))
        assert kernel.value("len(recording)") == 4
        kernel.run(CELLS[1])
        kernel.run(REPLAY)
        assert kernel.value(CELLS[0]) == (4, 1.0, 4)
        assert kernel.value("recording.mode, len(recording)") == ("replay", 8)
    assert server.count == 8


def test_a_block_within_a_cell_holds_for_its_lines(folder, server):
    """Also for the awaited ones, and an interrupt ends it."""
    with Kernel(folder) as kernel:
        kernel.run(live(server).replace('recording = rtk.recording("study")', ""))
        kernel.run("lm('outside')")
        kernel.run("with rtk.recording('study'):\n    lm('inside'); await lm.acall('awaited')")
        kernel.run("lm('outside again')")
    assert sorted(texts(folder)) == ["awaited", "inside"]
