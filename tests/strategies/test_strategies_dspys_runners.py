"""DSPy's ways to run a program: `asyncify`, `streamify`, `batch`, `Parallel`; and samples that outlive an interrupt."""

import os
import signal
import subprocess
import sys
import textwrap

import dspy
import pytest
from scripted import PATIENCE, choices, serving

import rtk
from rtk.testing import ScriptedServer


async def test_asyncify_runs_a_strategy_in_a_thread():
    """The sync call in a worker thread, with DSPy's settings."""
    program = dspy.asyncify(rtk.SelfConsistency("question -> answer", samples=4))
    with serving(choices(["a", "b", "b"])):
        assert (await program(question="?")).answer == "a"


@pytest.mark.parametrize("program", ["question -> answer", dspy.ChainOfThought("question -> answer")])
async def test_streamify_ends_with_the_prediction(program):
    """A vote streams no chunks, and its prediction arrives at the end."""
    streamed = dspy.streamify(rtk.SelfConsistency(program, samples=3))
    with serving(choices(["a", "b", "b"])):
        chunks = [chunk async for chunk in streamed(question="?")]
    assert isinstance(chunks[-1], rtk.Prediction)
    assert (chunks[-1].answer, chunks[-1].confidence.size) == ("b", 3)


async def test_streamify_with_a_listener_ends_with_the_prediction():
    """A listener on a field of a chain within a strategy harms nothing."""
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    streamed = dspy.streamify(rtk.SelfConsistency("question -> answer", samples=3), stream_listeners=[listener])
    with serving(choices(["a", "b", "b"])):
        chunks = [chunk async for chunk in streamed(question="?")]
    assert chunks[-1].answer == "b"


def test_batch_runs_a_strategy_on_many_examples():
    """In the order of the examples."""
    examples = [dspy.Example(question=f"{i}?").with_inputs("question") for i in range(8)]
    with serving(choices(["a", "b", "b"])) as server:
        found = rtk.SelfConsistency("question -> answer", samples=3).batch(
            examples, num_threads=4, disable_progress_bar=True
        )
        assert server.choices_served == 24
    assert [one.answer for one in found] == ["b"] * 8


def test_an_ensemble_of_strategies_is_reduced():
    """`dspy.Ensemble` over votes at two dials shares their samples."""
    programs = [rtk.SelfConsistency("question -> answer", samples=count) for count in (2, 4)]
    ensemble = dspy.Ensemble(reduce_fn=lambda found: found[-1]).compile(programs)
    with serving(choices(["a", "b", "b", "b"])) as server:
        assert ensemble(question="?").confidence.size == 4
        assert server.choices_served == 4


# --- interrupts ---


CHILD = """
    import signal, sys
    import dspy, rtk

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have its background jobs ignore it

    class Plain(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.ChainOfThought("question -> answer")

        def forward(self, question):
            return self.inner(question=question)

    program = {program}
    lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="x", store=sys.argv[2], server_n=False)
    dspy.configure(lm=lm)
    try:
        with rtk.watch(lambda event: print("arrived", flush=True), only=rtk.events.SampleArrived):
            program(question="?")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    "program",
    [
        'rtk.SelfConsistency("question -> answer", samples=8)',
        "rtk.SelfConsistency(Plain(), samples=8)",
        "rtk.SelfConsistency(rtk.SelfConsistency(Plain(), samples=4), samples=2)",
    ],
    ids=["flat", "module", "nested"],
)
def test_an_interrupt_ends_the_wait_and_keeps_what_was_drawn(program, tmp_path):
    """Ctrl-C while three of eight have come: the call ends, its requests are left, and three are in the store."""
    with ScriptedServer(choices(["a"])) as server, server.hold():
        command = [sys.executable, "-c", textwrap.dedent(CHILD).format(program=program), server.url, str(tmp_path)]
        environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            server.wait_for(lambda s: s.held == 8, timeout=PATIENCE)
            server.release(count=3)
            assert [child.stdout.readline().strip() for _ in range(3)] == ["arrived"] * 3
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
        assert (out.strip(), child.returncode) == ("interrupted", 0), err
        server.wait_for(lambda s: s.in_flight == 0)
    assert rtk.SampleStore(tmp_path).count() == 3
