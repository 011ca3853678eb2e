"""Strategies and models in the cells of a notebook, where an event loop is running already."""

import pytest
from kernel import WATCHED, Kernel

from rtk.store import SampleStore
from rtk.testing import Reply, ScriptedServer

CHAIN = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"
SET_UP = """
import asyncio
import dspy, rtk
lm = rtk.LM("openai/scripted", api_base={url!r}, api_key="any", store={store!r}, server_n=False)
dspy.configure(lm=lm)
vote = rtk.SelfConsistency("question -> answer: int", samples=8)

class Plain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.chain = dspy.ChainOfThought("question -> answer: int")

    def forward(self, question):
        return self.chain(question=question)
"""


def script(received):
    """The square of the number in the question; a plain prompt is repeated."""
    number = received.last.partition("[[ ## question ## ]]")[2].split()[:1]
    return CHAIN.format(int(number[0]) ** 2) if number else received.last


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        yield kernel


@pytest.fixture
def server():
    with ScriptedServer(script) as server:
        yield server


@pytest.fixture
def store(tmp_path):
    return tmp_path / "samples"


@pytest.fixture
def kernel(running, server, store):
    """The kernel, with an LM on this test's server and a store of its own."""
    running.run(SET_UP.format(url=server.url, store=str(store)))
    return running


# --- calls ---


def test_a_strategy_is_called_and_awaited(kernel, server):
    """Both work in a cell, and the second finds the samples of the first."""
    assert kernel.value("vote(question='7').answer") == 49
    assert server.count == 8
    assert kernel.value("pred = await vote.acall(question='7'); (pred.answer, pred.spent.reused)") == (49, 8)
    assert server.count == 8


def test_a_model_is_called_and_awaited(kernel, server):
    """So does a plain call of the model."""
    assert kernel.value("lm('hello', n=3)") == ["hello"] * 3
    assert kernel.value("await lm.acall('hello', n=4)") == ["hello"] * 4
    assert server.count == 4


def test_calls_are_gathered(kernel, server):
    """Awaited side by side, each has its own answer, in its own place."""
    code = "[p.answer for p in await asyncio.gather(*(vote.acall(question=str(n)) for n in range(5)))]"
    assert kernel.value(code) == [0, 1, 4, 9, 16]
    assert server.count == 40


def test_an_evaluation_with_threads(kernel, server):
    """`dspy.Evaluate` scores a strategy from its own threads; a second run draws nothing."""
    kernel.run("""
devset = [dspy.Example(question=str(n), answer=n * n).with_inputs("question") for n in range(6)]
right = lambda example, pred, trace=None: pred.answer == example.answer
evaluate = dspy.Evaluate(devset=devset, metric=right, num_threads=4, display_progress=False)
""")
    assert kernel.value("evaluate(vote).score") == 100.0
    assert kernel.value("evaluate(rtk.SelfConsistency('question -> answer: int', samples=4)).score") == 100.0
    assert server.count == 48


def test_a_budget_around_the_lines_of_a_cell(kernel, server):
    """It holds for sync calls and for awaited ones, and no longer than its block."""
    code = """
with rtk.Budget(samples=12) as budget:
    first = vote(question="1")
    second = await vote.acall(question="2")
third = vote(question="3")
(first.stopped, second.answer, second.stopped, third.stopped, budget.spent.samples)
"""
    assert kernel.value(code) == (None, 4, "samples", None, 12)
    assert server.count == 20


def test_a_cell_may_configure_again(kernel, server):
    """Cell after cell, as people do: another temperature is another request."""
    kernel.run("vote(question='2')")
    kernel.run("await vote.acall(question='2')")
    kernel.run("dspy.configure(lm=lm.copy(temperature=0.2))")
    kernel.run("vote(question='2')")
    assert server.count == 16


def test_what_goes_wrong_is_shown_with_its_mend(kernel):
    """An error of ours ends the cell, and its last line says what to type."""
    cell = kernel.finish(kernel.start("vote(question='1', budget=rtk.Budget(dollars=1))"))
    assert cell.error == "BudgetError"
    assert "price=" in cell.traceback[-1]


# --- eight in flight ---


@pytest.mark.parametrize(
    "code",
    [
        "vote(question='5').answer",
        "(await vote.acall(question='5')).answer",
        "rtk.SelfConsistency(Plain(), samples=8)(question='5').answer",
        "(await rtk.SelfConsistency(Plain(), samples=8).acall(question='5')).answer",
        "len(lm('5', n=8))",
    ],
)
def test_eight_samples_are_in_flight_together(kernel, server, code):
    """However eight samples are asked for in a cell, the server sees eight requests before it answers one."""
    with server.hold():
        cell = kernel.start(code)
        server.wait_for(lambda s: s.in_flight == 8)
    assert kernel.finish(cell).value in (25, 8)
    assert (server.count, server.peak_in_flight) == (8, 8)


# --- interrupts ---


def interrupted(kernel, server, call):
    """Run a cell, answer three of its eight requests, and press the stop button once they have arrived."""
    cell = kernel.start(WATCHED + call)
    server.wait_for(lambda s: s.in_flight == 8)
    server.release(3)
    kernel.wait_for(cell, lambda cell: cell.printed.count("arrived") == 3)
    kernel.interrupt()
    return kernel.finish(cell)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("vote(question='6')", "KeyboardInterrupt"),
        ("lm('6', n=8)", "KeyboardInterrupt"),
        ("await vote.acall(question='6')", "CancelledError"),  # which ipykernel makes of it
        ("await lm.acall('6', n=8)", "CancelledError"),
    ],
)
def test_an_interrupt_ends_the_cell_and_keeps_what_was_drawn(kernel, server, store, call, error):
    """Requests that nobody waits for end, and running the cell again draws the rest."""
    with server.hold():
        assert interrupted(kernel, server, call).error == error
        server.wait_for(lambda s: s.in_flight == 0)
    assert SampleStore(store).count() == 3
    kernel.run(call)
    assert SampleStore(store).count() == 8
    assert server.count == 8 + 5


def test_an_interrupt_of_a_module_s_threads_loses_nothing(kernel, server, store):
    """Eight rollouts of a module that is not ours: what came is kept, and what was in flight is made again."""
    call = "rtk.SelfConsistency(Plain(), samples=8)(question='6').answer"
    with server.hold():
        assert interrupted(kernel, server, call).error == "KeyboardInterrupt"
        assert SampleStore(store).count() == 3
    assert kernel.value(call) == 36
    assert server.count == 8 + 5


def test_a_failed_sample_in_a_cell_costs_one_vote(running, store):
    """Seven vote."""
    replies = [Reply("no", status=400), *[CHAIN.format(1)] * 7]
    with ScriptedServer(replies) as server:
        running.run(SET_UP.format(url=server.url, store=str(store)))
        assert running.value("pred = vote(question='1'); (pred.answer, pred.abstentions)") == (1, {"failed": 1})
