"""The playground in a real JupyterLab, with the real embedded model, as a person uses it."""

import os
import re

import pytest
from lab import expect

from rtk.store import SampleStore
from rtk.testing import ScriptedServer

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.slow]

EMBEDDED = """
import dspy, rtk
dspy.configure(lm=rtk.LM("embedded", max_tokens=120), adapter=rtk.LinesAdapter())
task = rtk.tasks.load("arithmetic", size=20)
"""
PLAYGROUND = "playground = rtk.Playground(task=task)\nplayground"
BLOCKING = 'print("blocked", flush=True)\nopen("gate").read()'
HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


class Controls:
    """The playground that a cell put out, as a person finds its parts."""

    def __init__(self, notebook, index=1):
        self.notebook, self.output = notebook, notebook.output(index)
        self.message = self.output.get_by_role("status").first
        self.votes = self.output.locator(".rtk-vote")

    def set(self, label, value):
        """Type a number beside a slider."""
        row = self.output.locator(".widget-slider", has=self.output.page.get_by_text(label, exact=True))
        readout = row.locator(".widget-readout")
        readout.fill(str(value))
        readout.press("Enter")

    def write(self, label, text):
        """Write into a text area, and leave it."""
        area = self.output.locator(".widget-textarea", has_text=label).locator("textarea")
        area.fill(text)
        area.blur()

    def press(self, name):
        """Press a button."""
        self.output.get_by_role("button", name=name).click()

    def says(self, text):
        """Wait for a line below the controls."""
        expect(self.output).to_contain_text(text)

    def ends(self, status="done"):
        """Wait for the end of a run."""
        expect(self.output.locator(f".rtk-vote[data-status={status}]")).to_be_visible()


@pytest.fixture
def gate(lab):
    """What a blocking cell waits for, until it is called."""
    path = lab.folder / "gate"
    if not path.exists():
        os.mkfifo(path)
    return lambda: path.open("w").close()


@pytest.fixture
def store(lab):
    """The samples that the lab's kernels keep."""
    return SampleStore(lab.folder / "samples")


def opened(lab, name, cells, index=1, **how):
    """A notebook whose cells up to the playground have run."""
    notebook = lab.open(lab.write(name, cells), **how)
    for cell in range(index + 1):
        notebook.run(cell)
        notebook.wait_done(cell)
    controls = Controls(notebook, index)
    expect(controls.message).to_be_visible()
    return controls


def test_two_samples_become_eight_while_a_cell_runs(lab, gate, store):
    """Each setting says what it needs; going from 2 to 8 draws exactly 6, and the votes change, in a busy kernel."""
    controls = opened(lab, "dial.ipynb", [EMBEDDED, PLAYGROUND, BLOCKING])
    before = store.count()
    controls.set("Samples", 2)
    controls.says("Needs 2 samples: 0 stored, Run draws 2.")
    controls.notebook.run(2)
    expect(controls.notebook.output(2)).to_contain_text("blocked")
    controls.press("Run")
    controls.ends()
    two, more = re.compile(r"\bof [12] ·"), re.compile(r"\bof [3-8] ·")  # a real model's reply may be unreadable
    expect(controls.votes).to_contain_text(two)
    assert store.count() == before + 2
    controls.set("Samples", 8)
    controls.says("Needs 8 samples: 2 stored, Run draws 6.")
    expect(controls.votes).to_contain_text("so far, with 2 of 8 samples")
    controls.press("Run")
    controls.ends()
    expect(controls.votes).to_contain_text(more)
    expect(controls.votes).not_to_contain_text(two)
    assert store.count() == before + 8
    controls.set("Samples", 2)  # and back: nothing is drawn
    controls.says("Both samples are stored: answered without drawing.")
    expect(controls.votes).to_contain_text(two)
    assert store.count() == before + 8
    assert controls.notebook.cell(2).locator(".jp-InputPrompt").inner_text() == "[*]:"
    controls.notebook.screenshot("playground-while-a-cell-runs")
    gate()
    controls.notebook.wait_done(2)
    assert controls.notebook.console == controls.notebook.outgoing == []


def test_edited_instructions_need_new_samples(lab, store):
    """Another prompt is another request: what it needs is said before anything is drawn; the old one is still there."""
    controls = opened(lab, "prompt.ipynb", [EMBEDDED, PLAYGROUND])
    controls.set("Samples", 3)
    controls.press("Run")
    controls.ends()
    drawn = store.count()
    controls.write("Instructions", "Work it out. Answer with a whole number.")
    controls.says("Needs 3 samples: 0 stored, Run draws 3.")
    assert store.count() == drawn
    controls.press("Run")
    controls.ends()
    assert store.count() == drawn + 3
    controls.write("Instructions", "Calculate. Answer with one whole number.")
    controls.says("All 3 samples are stored: answered without drawing.")
    assert store.count() == drawn + 3


def test_stop_keeps_what_was_drawn(lab, store):
    """Stop ends a run of the real model; what had come is kept, counted truly, and not drawn again."""
    before = set(store.addresses())
    cells = [EMBEDDED.replace("max_tokens=120", "max_tokens=400"), PLAYGROUND]
    controls = opened(lab, "stop.ipynb", cells)
    controls.set("Examples", 0)  # unguided, the model writes until it is cut off
    controls.set("Samples", 32)
    controls.says("Needs 32 samples: 0 stored, Run draws 32.")
    controls.press("Run")
    expect(controls.output).to_contain_text(re.compile(r"Drawing: [1-9]\d* of 32 samples are here"))
    controls.press("Stop")
    controls.ends("stopped")
    said = re.search(r"Stopped; (\d+) samples? drawn in this run (?:is|are) kept", controls.output.inner_text())
    kept = set(store.addresses()) - before
    assert said is not None
    assert 1 <= int(said[1]) <= len(kept) < 32
    controls.set("Samples", 31)
    stored = sum(address.index < 31 for address in kept)  # the last of the 32 may have been among the first to come
    controls.says(f"Needs 31 samples: {stored} stored, Run draws {31 - stored}.")


def test_what_a_model_writes_stays_text(lab):
    """A reply, a question and instructions with a script in them are shown as text: live, below, and when reopened."""
    reply = f"reasoning: {HOSTILE}\nanswer: {HOSTILE}"
    with ScriptedServer(reply) as server:
        model = f'rtk.LM("openai/scripted", api_base={server.url!r}, api_key="any")'
        setup = EMBEDDED.replace('rtk.LM("embedded", max_tokens=120)', model)
        controls = opened(lab, "hostile.ipynb", [setup, "rtk.Playground('question -> answer: str')"])
        controls.write("Question", f"What is {HOSTILE}?")
        controls.write("Instructions", f"Say {HOSTILE}.")
        controls.press("Run")
        controls.ends()
    notebook = controls.notebook
    expect(controls.votes).to_contain_text(HOSTILE)
    assert notebook.page.evaluate("window.pwned") is None
    assert controls.output.locator("img, script").count() == 0
    notebook.save()
    notebook.shut_down_kernel()
    notebook.close()
    again = lab.open("hostile.ipynb", kernel=False)
    expect(again.output(1)).to_contain_text(HOSTILE)
    assert again.page.evaluate("window.pwned") is None
    assert again.output(1).locator("img, script").count() == 0


def test_a_static_copy_stays_for_readers_without_a_kernel(lab):
    """A page loaded anew has its controls back; without a kernel the settings, answer and votes are still there."""
    controls = opened(lab, "copy.ipynb", [EMBEDDED, PLAYGROUND])
    controls.set("Samples", 4)
    controls.press("Run")
    controls.ends()
    headline = controls.votes.locator(".rtk-vote-headline")
    expect(headline).to_contain_text("Answer: ")  # stored samples that another notebook drew are "done" before Run
    answer = headline.inner_text()
    static = controls.output.locator("[class^=rtk-static]")
    expect(static).to_be_hidden()  # the live view stands for it
    notebook = controls.notebook
    notebook.save()
    notebook.reload()
    controls = Controls(notebook)
    expect(controls.votes).to_contain_text(answer)
    controls.set("Samples", 2)
    controls.says("Both samples are stored: answered without drawing.")
    notebook.shut_down_kernel()
    notebook.close()
    again = lab.open("copy.ipynb", kernel=False)
    copy = again.output(1).locator("[class^=rtk-static]")
    expect(copy).to_be_visible()
    expect(copy).to_contain_text("self-consistency")
    expect(copy).to_contain_text(answer.removeprefix("Answer: ").split()[0])
    expect(copy).to_contain_text("deliberation")
    expect(copy.locator("table").first).to_contain_text("samples4")
    again.screenshot("playground-without-a-kernel")


def test_an_error_is_shown_where_one_looks(lab):
    """A model that is not there is named below the buttons, with its mend, and the controls go on working."""
    setup = EMBEDDED.replace('"embedded", max_tokens=120', '"openai/nobody", api_base="http://127.0.0.1:9/v1"')
    controls = opened(lab, "error.ipynb", [setup, PLAYGROUND])
    controls.press("Run")
    alert = controls.output.get_by_role("alert")
    expect(alert).to_contain_text("nobody is listening at the endpoint of 'openai/nobody'")
    expect(alert).to_contain_text("start the server")
    assert "127.0.0.1:9" not in controls.output.inner_text()
    controls.notebook.screenshot("playground-error")
    controls.set("Samples", 2)
    controls.says("Needs 2 samples: 0 stored, Run draws 2.")
    expect(controls.output.get_by_role("button", name="Run")).to_be_enabled()


def test_everything_is_reached_by_keyboard_and_has_a_name(lab):
    """Tab leads from the first control to Run, Enter presses it, and every control on the way has a name."""
    controls = opened(lab, "keys.ipynb", [EMBEDDED, PLAYGROUND])
    for role, name in (("combobox", "Pick"), ("combobox", "Strategy"), ("textbox", "Instructions"), ("button", "Run")):
        expect(controls.output.get_by_role(role, name=name)).to_be_visible()
    page = controls.notebook.page
    controls.output.get_by_role("combobox", name="Pick").focus()
    run = controls.output.get_by_role("button", name="Run")
    for _ in range(20):
        page.keyboard.press("Tab")
        if run.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    controls.ends()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700])
def test_a_picture_of_each_look(lab, dark, width):
    """In light and dark, wide and narrow, nothing of it is wider than its place."""
    tree = 'puzzles = rtk.tasks.load("hidden_sequence", size=20)\nboard = rtk.Playground(task=puzzles)\nboard'
    notebook = lab.open(lab.write("looks.ipynb", [EMBEDDED, PLAYGROUND, tree]), dark=dark, width=width)
    notebook.run_all()
    notebook.wait_done(2)
    votes, board = Controls(notebook, 1), Controls(notebook, 2)
    expect(votes.message).to_be_visible()
    if votes.votes.get_attribute("data-status") != "done":  # the first of these draws
        votes.press("Run")
    board.output.get_by_role("combobox", name="Strategy").select_option("tree of thoughts")
    board.says("Proposals")
    if board.votes.get_attribute("data-status") != "done":
        board.press("Run")
    votes.ends()
    board.ends()
    for controls in (votes, board):
        assert controls.output.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
    notebook.screenshot(f"playground-{'dark' if dark else 'light'}-{width}")
