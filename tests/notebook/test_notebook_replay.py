"""The shipped notebooks: replayed strictly from their recordings, with no model, no store and no way out."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from rtk.shipped import shipped

NOTEBOOKS = sorted(shipped("notebooks").glob("*.ipynb"))
SEALED = """
import socket

def refuse(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise ConnectionRefusedError(f"a replay asked for {address[0]}")
    return connect(self, address)

connect, socket.socket.connect = socket.socket.connect, refuse
"""


def replayed(notebook, folder, *options, **environment):
    """Run every cell and compare its outputs with the stored ones, where there is nothing but the recording."""
    (folder / "sitecustomize.py").write_text(SEALED)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RTK_", "OLLAMA", "OPENAI"))}
    bare = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "RTK_MODELS": str(folder),
            "RTK_CACHE": str(folder / "samples"), "RTK_RECORDING": "replay", "PYTHONPATH": str(folder)}  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env",
               *options, str(notebook)]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=kept | bare | environment)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_replays_without_a_model(notebook, tmp_path):
    """Every cell gives the outputs that are stored in it, from the recording alone; nothing is drawn or kept."""
    run = replayed(notebook, tmp_path)
    assert run.returncode == 0, run.stdout[-6000:]
    assert re.search(r"\d+ passed", run.stdout)
    assert "skipped" not in run.stdout
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_whole(notebook):
    """It was executed from top to bottom without an error, and its recording lies in `cache/` under the same stem."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert (shipped("cache") / f"{notebook.stem}.jsonl").is_file()


def test_a_changed_line_is_named(tmp_path):
    """A colleague who asks something else in a strict replay is told what differs, not handed another answer."""
    source = shipped("notebooks") / "01-quickstart.ipynb"
    content = source.read_text("utf-8")
    changed = content.replace("What is (7 + 4) × 8?", "What is (7 + 5) × 8?")
    assert changed != content
    (tmp_path / source.name).write_text(changed, "utf-8")
    run = replayed(tmp_path / source.name, tmp_path)
    assert run.returncode == 1
    assert "NotRecorded" in run.stdout
    assert "The nearest recorded request" in run.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_recording_tell_nothing_of_the_machine(notebook):
    """No key, endpoint or path of the machine it was made on."""
    for path in (notebook, shipped("cache") / f"{notebook.stem}.jsonl"):
        text = path.read_text("utf-8")
        assert not re.search(r"127\.0\.0\.1|localhost:\d|/home/|/root/|/work/|/tmp/|Bearer |sk-[A-Za-z0-9]{8}", text)
    assert json.loads(notebook.read_text("utf-8"))["metadata"]["kernelspec"]["name"] == "python3"
