"""The quickstart in a real JupyterLab as `rtk lab` opens it, on a machine with nothing but its recording."""

import nbformat
import pytest
from lab import expect

from rtk.shipped import copy_notebooks, shipped

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAME = "01-quickstart.ipynb"
CELLS = nbformat.read(shipped("notebooks") / NAME, as_version=4).cells


@pytest.fixture(scope="module")
def lab_env(tmp_path_factory):
    """No weights to run: whatever is not recorded is an error."""
    return {"RTK_MODELS": str(tmp_path_factory.mktemp("no-models"))}


def at(words):
    """The place of the one code cell that holds these words."""
    (found,) = [i for i, cell in enumerate(CELLS) if cell.cell_type == "code" and words in cell.source]
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700])
def test_it_runs_without_a_model(lab, dark, width):
    """Every cell runs from the recording; the chart is drawn, the dial turns, and nothing leaves the machine."""
    copy_notebooks(lab.folder)
    notebook = lab.open(NAME, dark=dark, width=width)
    notebook.run_all()
    notebook.wait_done(at("results.summary()"))
    chart = notebook.output(at("results.curve()")).locator("canvas, svg.marks")
    expect(chart.first).to_be_visible()
    controls = notebook.output(at("rtk.Playground"))
    expect(controls.locator(".rtk-vote[data-status=done]")).to_be_visible()
    readout = controls.locator(".widget-slider", has_text="Samples").locator(".widget-readout")
    readout.fill("3")
    readout.press("Enter")
    expect(controls).to_contain_text("All 3 samples are stored: answered without drawing.")
    readout.fill("9")
    readout.press("Enter")
    expect(controls).to_contain_text("Needs 9 samples: 8 stored, Run draws 1.")
    controls.get_by_role("button", name="Run").click()
    expect(controls.get_by_role("alert")).to_contain_text("rtk model get")
    assert notebook.outgoing == []
    notebook.screenshot(f"quickstart-{'dark' if dark else 'light'}-{width}")


def test_it_is_read_without_a_kernel(lab):
    """As it was saved: answers, the tree, the chart as a picture or drawn, and the playground's last answer."""
    copy_notebooks(lab.folder)
    notebook = lab.open(NAME, kernel=False)
    expect(notebook.output(at("results.curve()")).locator("canvas, svg.marks, img").first).to_be_visible()
    expect(notebook.output(at("rtk.Playground"))).to_contain_text("of 8 for")
    notebook.screenshot("quickstart-without-a-kernel")
