"""The driver for JupyterLab, and what controls may rely on there."""

import os
import re

import nbformat
import pytest
from lab import ARTIFACTS, Lab, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLIDER = """
import threading
import ipywidgets as w
from IPython.display import display
s = w.IntSlider(value=2, min=1, max=8, description="samples", continuous_update=False)
l = w.Label()
main = threading.main_thread()
s.observe(lambda c: setattr(l, "value", f"now {c['new']}, {threading.current_thread() is main}"), "value")
display(s, l)
"""
# ipykernel 7.4 sends what the page says to the thread that last spoke for the widget, here the main one, which is
# busy; earlier ones, and so any without this method, leave it to JupyterLab, which chooses a thread for widgets.
UNROUTED = SLIDER + "s.comm._reply_subshell_for = None"
BLOCKING = 'print("blocked", flush=True)\nopen("gate").readline()'
COUNTER = '''
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = """
    export default { render({ model, el }) {
        const button = document.createElement("button");
        const show = () => { button.textContent = `count ${model.get("n")}`; };
        button.addEventListener("click", () => { model.set("n", model.get("n") + 1); model.save_changes(); });
        model.on("change:n", show);
        show();
        el.append(button);
    } };
    """
    n = traitlets.Int(0).tag(sync=True)
counter = Counter()
counter
'''
HANDLE = """
import threading
import ipywidgets as w
from IPython.display import HTML, display
b = w.Button(description="go")
b.comm._reply_subshell_for = None
b.on_click(lambda _: handle.update(HTML("<p>from a callback</p>")))
display(b)
handle = display(HTML("<p>first</p>"), display_id="x")
"""
LATER = """
def later():
    open("gate").readline()
    handle.update(HTML("<p>from a thread</p>"))
threading.Thread(target=later).start()
"""
MARKED = '<style>.mine { top: 7px }</style><p class="mine" data-kind="chain" style="width: 40%">a chain</p>'


@pytest.fixture
def gate(lab):
    """What lets a cell or thread through that reads a line of the file `gate`."""
    path = lab.folder / "gate"
    if not path.exists():
        os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    yield lambda: os.write(held, b"\n")
    os.close(held)


def right(notebook):
    notebook.output(0).get_by_role("slider").press("ArrowRight")


def test_a_control_is_moved_in_the_page(lab):
    """A key moves a slider, its callback runs in the kernel and changes the page, and nothing else is asked for."""
    notebook = lab.open(lab.write("slider.ipynb", [SLIDER]))
    notebook.run(0)
    notebook.wait_done(0)
    right(notebook)
    expect(notebook.output(0)).to_contain_text("now 3, ")
    assert notebook.console == notebook.outgoing == []


def test_a_callback_runs_while_a_cell_blocks(lab, gate):
    """JupyterLab's threads for widgets run callbacks while a cell holds the main thread."""
    notebook = lab.open(lab.write("blocked.ipynb", [UNROUTED, BLOCKING]))
    notebook.run_all()
    notebook.wait_done(0)
    expect(notebook.output(1)).to_contain_text("blocked")
    right(notebook)
    expect(notebook.output(0)).to_contain_text("now 3, False")
    assert notebook.cell(1).locator(".jp-InputPrompt").inner_text() == "[*]:"
    gate()
    notebook.wait_done(1)


def test_a_widget_of_ours_speaks_both_ways(lab):
    """An anywidget renders its module, tells the kernel, is told by it, and is back when the page is loaded anew."""
    notebook = lab.open(lab.write("counter.ipynb", [COUNTER, "counter.n += 10", "counter.n"]))
    notebook.run(0)
    button = notebook.output(0).get_by_role("button")
    expect(button).to_have_text("count 0")
    button.click()
    expect(button).to_have_text("count 1")
    notebook.run(1)
    expect(button).to_have_text("count 11")
    notebook.run(2)
    notebook.wait_done(2)
    assert notebook.text(2).split() == ["[3]:", "11"]
    notebook.save()
    notebook.reload()
    button.click()
    expect(button).to_have_text("count 12")
    assert notebook.console == []


def test_what_was_shown_is_updated_from_any_thread(lab, gate):
    """A display handle changes the page and the file, from a thread of ours and from a callback during a cell."""
    notebook = lab.open(lab.write("handle.ipynb", [HANDLE, LATER, BLOCKING]))
    notebook.run(0)
    notebook.run(1)
    notebook.wait_done(1)
    gate()
    expect(notebook.output(0)).to_contain_text("from a thread")
    notebook.save()
    assert lab.read("handle.ipynb").cells[0].outputs[1].data["text/html"] == "<p>from a thread</p>"
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("blocked")
    notebook.output(0).get_by_role("button").click()
    expect(notebook.output(0)).to_contain_text("from a callback")
    gate()
    notebook.wait_done(2)
    notebook.save()
    assert lab.read("handle.ipynb").cells[0].outputs[1].data["text/html"] == "<p>from a callback</p>"


def test_a_saved_notebook_is_read_without_a_kernel(lab):
    """A notebook opened without a kernel shows what it was saved with, and starts none."""
    notebook = lab.open(lab.write("saved.ipynb", [HANDLE]))
    notebook.run(0)
    notebook.wait_done(0)
    notebook.save()
    notebook.shut_down_kernel()
    notebook.close()
    notebook = lab.open("saved.ipynb", kernel=False)
    expect(notebook.output(0)).to_contain_text("first")
    notebook.reload()
    expect(notebook.output(0)).to_contain_text("first")
    assert lab.kernels() == notebook.console == []


@pytest.mark.parametrize("trusted", [True, False])
def test_a_strangers_outputs_are_cleaned(lab, trusted):
    """Stylesheets and data attributes are for trusted notebooks; classes and plain inline styles always stay."""
    output = nbformat.v4.new_output("display_data", {"text/html": MARKED})
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    notebook = lab.open(lab.write(f"cleaned-{trusted}.ipynb", [cell], trusted=trusted), kernel=False)
    shown = notebook.output(0).locator("p.mine")
    expect(shown).to_have_text("a chain")
    assert re.sub(r"[ ;]", "", shown.get_attribute("style")) == "width:40%"
    assert shown.get_attribute("data-kind") == ("chain" if trusted else None)
    assert notebook.output(0).locator("style").count() == trusted


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_light_or_dark_and_as_wide_as_asked(lab, dark):
    """A picture shows the whole notebook in JupyterLab's own theme, whatever the machine's, at the width asked for."""
    long = "from IPython.display import HTML\nHTML('<p>✓ ✗ ↩ █</p>' * 40 + '<p>the end</p>')"
    notebook = lab.open(lab.write("theme.ipynb", [SLIDER, long]), width=700, dark=dark, system_dark=not dark)
    notebook.run_all()
    notebook.wait_done(1)
    assert notebook.page.locator("body").get_attribute("data-jp-theme-light") == str(not dark).lower()
    assert notebook.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is not dark
    name = f"lab-{'dark' if dark else 'light'}"
    picture = notebook.screenshot(name)
    assert picture == ARTIFACTS / f"{name}.png"
    width, height = (int.from_bytes(picture.read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert width == 700
    assert height > 900
    assert notebook.page.viewport_size == {"width": 700, "height": 900}


def test_a_failed_cell_is_no_finished_one(lab):
    """Waiting for a cell that fails, or that a failure before it kept from running, says so."""
    notebook = lab.open(lab.write("failing.ipynb", ["1 / 0", "2"]))
    notebook.run_all()
    with pytest.raises(AssertionError, match="cell 0: ZeroDivisionError"):
        notebook.wait_done(0)
    with pytest.raises(AssertionError, match="cell 1: it was not run"):
        notebook.wait_done(1)
    notebook.run(1)
    notebook.wait_done(1)


def test_a_server_leaves_nothing_behind(browser, tmp_path):
    """Kernels have the environment that was given and a store of their own, and end with their server."""
    with Lab(tmp_path, browser, env={"RTK_SAID": "so"}) as lab:
        code = 'import os\nprint(os.getpid(), os.environ["RTK_SAID"], os.environ["RTK_CACHE"])'
        notebook = lab.open(lab.write("environment.ipynb", [code]))
        notebook.run(0)
        notebook.wait_done(0)
        process, said, store = notebook.text(0).split()
    assert (said, store) == ("so", str(tmp_path / "samples"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)
