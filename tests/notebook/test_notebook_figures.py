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
from rtk.experiments import sweep

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
    """It counts up in place, in plain HTML, and says in the end what it said first: all answers, and no times."""
    kernel.run("found = sweep(vote, examples, metric=right)")
    shown = kernel.value("shown")
    assert [kind for kind, _, _ in shown] == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
    assert shown[1][1] == "0 of 6 answers"
    assert shown[-1][1:] == shown[0][1:]
    assert shown[-1][1] == "6 of 6 answers"
    assert 'role="progressbar"' in shown[-1][2]
    assert not re.search(r"script|left|\ds\b", shown[-1][2])


def test_several_programs_and_settings_have_one_line(kernel):
    """It counts the answers of all of them."""
    kernel.run("both = {'chain': rtk.ChainOfThought('question -> answer: int'), 'vote': vote}")
    kernel.run("sweep(both, examples, {'samples': [1, 4]}, metric=right)")
    assert [kind for kind, _, _ in kernel.value("shown")].count("display_data") == 1
    assert texts(kernel)[-1] == "18 of 18 answers"


def test_what_a_long_run_will_take_is_said_and_gone_in_the_end(kernel):
    """It stands in the line while the run goes on; how much of it is stored would differ when it is run again."""
    kernel.run("many = [dspy.Example(question=str(i), answer=0).with_inputs('question') for i in range(100)]")
    kernel.run("sweep(vote, many, {'samples': [1, 2]}, metric=right)")
    said = texts(kernel)
    assert re.fullmatch(r"0 of 200 answers \(about 200 samples wanted, 0 stored; .*\)", said[1])
    assert said[0] == said[-1] == "200 of 200 answers"
    assert [kind for kind, _, _ in kernel.value("shown")].count("display_data") == 1


def test_none_and_a_function_show_nothing(kernel):
    """Who counts himself has the output to himself."""
    kernel.run("ticks = []; sweep(vote, examples, metric=right, progress=lambda: ticks.append(1))")
    kernel.run("sweep(vote, examples, metric=right, progress=None)")
    assert kernel.value("len(ticks)") == 6
    assert kernel.value("shown") == []


def test_an_interrupt_ends_the_line_and_keeps_what_was_drawn(kernel, server, store):
    """The last state says how far it came, the results are there, and running the cell again draws the rest."""
    with server.hold():
        call = "found = sweep(vote, examples, metric=right, concurrency=2)"
        cell = kernel.start(WATCHED + call)
        server.wait_for(lambda s: s.in_flight == 4)
        server.release(3)
        kernel.wait_for(cell, lambda cell: cell.printed.count("arrived") == 3)
        kernel.interrupt()
        assert kernel.finish(cell).error is None
    assert kernel.value("found.stopped") == "interrupted"
    assert re.fullmatch(r"stopped at [01] of 6 answers; what was drawn is kept", texts(kernel)[-1])
    kept = SampleStore(store).count()
    assert kept >= 3
    kernel.run("shown.clear()")
    kernel.run(call)
    assert kernel.value("int(found.rows()['drawn'].sum())") == 12 - kept
    assert texts(kernel)[-1] == "6 of 6 answers"


def test_a_curve_is_shown_as_a_chart_with_a_picture(kernel):
    """The bundle that a kernel sends holds what JupyterLab draws, what others show, and no HTML in their way."""
    kernel.run("found = sweep(vote, examples, {'samples': [1, 2]}, metric=right)")
    kernel.run("""
from IPython.display import display
sent = []
get_ipython().display_pub.register_hook(lambda message: sent.append(message["content"]) or message)
display(found.curve())
display(sweep(vote, examples, {'samples': [1, 2]}, metric=right, progress=None).curve())
""")
    assert kernel.value("sorted(sent[0]['data'])") == sorted(["text/plain", "image/png", VEGA_LITE])
    assert 300 < kernel.value("sent[0]['metadata']['image/png']['width']") < 420
    assert kernel.value("all(sent[0][part] == sent[1][part] for part in ('data', 'metadata'))")


CELLS = [
    "found = sweep(vote, examples, {'samples': [1, 2, 4]}, metric=right)\nfound.curve()",
    "found.compare({'samples': 1}, {'samples': 4})",
    "found",
    "sweep({'chain': rtk.ChainOfThought('question -> answer: int'), 'vote': vote}, examples, metric=right).compare()",
]


@pytest.mark.slow
def test_a_notebook_that_is_run_again_holds_the_same(server, store, tmp_path):
    """Its outputs, pictures too, are those of the first run, and nbval, which compares them, finds no difference."""
    cells = [SET_UP.format(url=server.url, store=str(store)), *CELLS]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    first, second = (_executed(made, tmp_path) for _ in range(2))
    assert json.dumps(_outputs(first)) == json.dumps(_outputs(second))
    assert _outputs(first)[0]["data"]["text/plain"] == "18 of 18 answers"
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
