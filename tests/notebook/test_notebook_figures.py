"""Progress and figures in the cells of a notebook: what is shown while a run goes on, and what is kept of it."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
from kernel import WATCHED, Kernel
from nbclient import NotebookClient

from rtk.store import SampleStore
from rtk.testing import ScriptedServer

VEGA_LITE = "application/vnd.vegalite.v5+json"
SET_UP = """
import dspy, rtk
from rtk.experiments import compare, curve, measure

examples = [dspy.Example(question=str(i), answer=i * i).with_inputs("question") for i in range(6)]
right = lambda example, pred: pred.answer == example.answer
vote = rtk.SelfConsistency("question -> answer: int", samples=2)
lm = rtk.LM("openai/scripted", api_base={url!r}, api_key="any", store={store!r}, server_n=False)
dspy.configure(lm=lm, adapter=rtk.LinesAdapter())
"""
# Before the front end sees a message of a display, this notes it.
LISTEN = """
shown = []

def note(message):
    html = message["content"]["data"].get("text/html")
    shown.append([message["msg_type"], message["content"]["data"]["text/plain"], html])
    return message

get_ipython().display_pub.register_hook(note)
"""


def script(received):
    """The square of the number in the question, but for 5."""
    number = int(received.last.partition("question:")[2].split()[0])
    return f"reasoning: so\nanswer: {number**2 if number < 5 else 0}"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.run(LISTEN)
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
    """The kernel, with an LM on this test's server, a store of its own, and nothing shown yet."""
    running.run(SET_UP.format(url=server.url, store=str(store)))
    running.run("shown.clear()")
    return running


def texts(kernel):
    return [text for _, text, _ in kernel.value("shown")]


def test_a_run_has_one_line_that_is_written_over(kernel):
    """It counts up in place, in plain HTML, and says in the end what it said first: all questions, and no times."""
    kernel.run("found = measure(vote, examples, right)")
    shown = kernel.value("shown")
    assert [kind for kind, _, _ in shown] == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
    assert shown[1][1] == "0 of 6 questions"
    assert shown[-1][1:] == shown[0][1:]
    assert shown[-1][1] == "6 of 6 questions"
    assert 'role="progressbar"' in shown[-1][2]
    assert not re.search(r"script|left|\ds\b", shown[-1][2])


def test_a_line_keeps_its_place_among_several_programs(kernel):
    """A comparison and a curve have one line each, which says whose turn it is."""
    kernel.run("compare(rtk.ChainOfThought('question -> answer: int'), vote, examples, right)")
    kernel.run("curve(vote, examples, right, samples=(1, 4))")
    kinds = [kind for kind, _, _ in kernel.value("shown")]
    assert kinds.count("display_data") == 2
    assert {"before: 0 of 6 questions", "after: 0 of 6 questions", "4 samples: 0 of 6 questions",
            "1 sample: 0 of 6 questions"} <= set(texts(kernel))  # fmt: skip


def test_none_and_a_function_show_nothing(kernel):
    """Who counts himself has the output to himself."""
    kernel.run("ticks = []; measure(vote, examples, right, progress=lambda: ticks.append(1))")
    kernel.run("measure(vote, examples, right, progress=None)")
    assert kernel.value("len(ticks)") == 6
    assert kernel.value("shown") == []


def test_an_interrupt_ends_the_line_and_keeps_what_was_drawn(kernel, server, store):
    """The last state says how far it came, and running the cell again draws the rest."""
    with server.hold():
        call = "measure(vote, examples, right, concurrency=2)"
        cell = kernel.start(WATCHED + call)
        server.wait_for(lambda s: s.in_flight == 4)
        server.release(3)
        kernel.wait_for(cell, lambda cell: cell.printed.count("arrived") == 3)
        kernel.interrupt()
        assert kernel.finish(cell).error == "KeyboardInterrupt"
    assert re.fullmatch(r"stopped at [01] of 6 questions; what was drawn is kept", texts(kernel)[-1])
    kept = SampleStore(store).count()
    assert kept >= 3
    kernel.run("shown.clear()")
    assert kernel.value(f"{call}.spent.drawn") == 12 - kept
    assert texts(kernel)[-1] == "6 of 6 questions"


def test_a_curve_is_shown_as_a_chart_with_a_picture(kernel):
    """The bundle that a kernel sends holds what JupyterLab draws, what others show, and no HTML in their way."""
    kernel.run("found = curve(vote, examples, right, samples=(1, 2))")
    kernel.run("""
from IPython.display import display
sent = []
get_ipython().display_pub.register_hook(lambda message: sent.append(message["content"]) or message)
display(found)
display(curve(vote, examples, right, samples=(1, 2), progress=None))
""")
    assert kernel.value("sorted(sent[0]['data'])") == sorted(["text/plain", "image/png", VEGA_LITE])
    assert 300 < kernel.value("sent[0]['metadata']['image/png']['width']") < 420
    assert kernel.value("all(sent[0][part] == sent[1][part] for part in ('data', 'metadata'))")


CELLS = [
    "found = curve(vote, examples, right, samples=(1, 2, 4))\nfound",
    "compare(rtk.ChainOfThought('question -> answer: int'), vote, examples, right)",
    "measure(vote, examples, right)",
]


@pytest.mark.slow
def test_a_notebook_that_is_run_again_holds_the_same(server, store, tmp_path):
    """Its outputs, pictures too, are those of the first run, and nbval, which compares them, finds no difference."""
    cells = [SET_UP.format(url=server.url, store=str(store)), *CELLS]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    first, second = (_executed(made, tmp_path) for _ in range(2))
    assert json.dumps(_outputs(first)) == json.dumps(_outputs(second))
    assert _outputs(first)[0]["data"]["text/plain"] == "6 of 6 questions"
    drawn = server.count
    nbformat.write(first, tmp_path / "study.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "study.ipynb"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert server.count == drawn == 24


def _executed(made, folder):
    notebook = nbformat.from_dict(json.loads(json.dumps(made)))
    return NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, kernel_name="python3").execute()


def _outputs(notebook):
    return [output for cell in notebook.cells for output in cell.outputs]
