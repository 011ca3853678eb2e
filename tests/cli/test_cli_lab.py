"""`rtk lab`: the notebooks with their recordings, copied, in a JupyterLab that ends when it is told to."""

import contextlib
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from rtk.errors import RTKError
from rtk.shipped import copy_notebooks, shipped

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180  # seconds until a state that should come counts as lost; nothing is ever waited out
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
pytestmark = pytest.mark.slow
QUIET = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)


def run(*arguments, cwd, code="from rtk.cli import main; main()", **environment):
    """The command, run to its end."""
    program = f"import sys; sys.argv = ['rtk', *{list(map(str, arguments))!r}]; {code}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, **environment},
    )  # fmt: skip


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def ours():
    """The notebooks that come with rtk, and their recordings."""
    notebooks = sorted(shipped("notebooks").glob("*.ipynb"))
    return notebooks, [shipped("cache") / f"{path.stem}.jsonl" for path in notebooks]


# --- the copies ---


def test_notebooks_and_recordings_are_copied_side_by_side(tmp_path):
    """Each notebook beside the recording that it replays, as they are; nothing else."""
    notebooks, recordings = ours()
    copied = copy_notebooks(tmp_path / "deep" / "folder")
    assert copied
    assert files(tmp_path / "deep" / "folder") == sorted(path.name for path in copied)
    assert {path.name for path in copied} == {path.name for path in (*notebooks, *recordings)}
    for path in (*notebooks, *recordings):
        assert (tmp_path / "deep" / "folder" / path.name).read_bytes() == path.read_bytes()


def test_every_notebook_has_its_recording(tmp_path):
    """Else it would need a model."""
    _, recordings = ours()
    assert [path for path in recordings if not path.is_file()] == []


def test_what_is_there_stays_as_it_is(tmp_path):
    """Work in a notebook is never overwritten; what was removed comes again, and only that is said to be copied."""
    first = copy_notebooks(tmp_path)
    edited, removed = first[0], first[-1]
    edited.write_text("mine", "utf-8")
    removed.unlink()
    assert copy_notebooks(tmp_path) == [removed]
    assert edited.read_text("utf-8") == "mine"
    assert copy_notebooks(tmp_path) == []


@POSIX
def test_a_link_is_not_written_through(tmp_path):
    """Also where it points to nothing."""
    name = ours()[0][0].name
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).symlink_to(tmp_path / "elsewhere")
    copy_notebooks(tmp_path / "folder")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_is_an_error_with_a_mend(tmp_path):
    """A file of that name, for example."""
    (tmp_path / "file").touch()
    with pytest.raises(RTKError, match="cannot copy the notebooks") as caught:
        copy_notebooks(tmp_path / "file")
    assert "rtk lab FOLDER" in caught.value.mend


# --- the command ---


def test_it_says_what_it_copied_once(tmp_path):
    """The first run names each file, the second none."""
    first = run("lab", "mine", "--version", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    said = [line.removeprefix("copied ") for line in first.stderr.splitlines() if line.startswith("copied ")]
    assert sorted(said) == [str(Path("mine") / name) for name in files(tmp_path / "mine")]
    assert re.fullmatch(r"\d+\.\d+.*\n", first.stdout)
    assert "copied" not in run("lab", "mine", "--version", cwd=tmp_path).stderr


@pytest.mark.parametrize("options", [("--version",), ("--no-browser", "--version")])
def test_the_folder_may_be_left_out(tmp_path, options):
    """An option is never taken for it."""
    done = run("lab", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == ["rtk-notebooks"]
    assert re.fullmatch(r"\d+\.\d+.*\n", done.stdout)


def test_it_ends_as_jupyterlab_does(tmp_path):
    """An option that JupyterLab refuses is told by it, and the exit says so."""
    done = run("lab", "mine", "--no-such-option", cwd=tmp_path)
    assert done.returncode not in (0, None)
    assert "no-such-option" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_jupyterlab_the_mend_names_the_extra(tmp_path):
    """Two lines, the second to be typed, before anything is copied."""
    code = "sys.modules['jupyterlab'] = None; from rtk.cli import main; main()"
    done = run("lab", "mine", cwd=tmp_path, code=code)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "MissingExtra: JupyterLab is not installed here",
        "pip install 'rtk-inference[notebook]'",
    ]
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_is_two_lines(tmp_path):
    """No server is started for it."""
    (tmp_path / "file").touch()
    done = run("lab", "file", "--no-browser", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("RTKError: cannot copy the notebooks to file")
    assert done.stderr.splitlines()[-1] == "name another: rtk lab FOLDER"


# --- the server ---


class Command:
    """`rtk lab FOLDER` under way, in a process group of its own, with what it says so far."""

    def __init__(self, cwd, stdin=subprocess.DEVNULL):
        self.said, self._token = "", secrets.token_hex(16)
        own = {name: str(cwd / ".own" / name.lower()) for name in
               ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
                "IPYTHONDIR")}  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtk.cli", "lab", "mine", *QUIET], cwd=cwd, stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", start_new_session=True,
            env={**kept, **own, "JUPYTER_NO_CONFIG": "1", "JUPYTER_TOKEN": self._token},
        )  # fmt: skip
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        self.url = self.wait_for(r"(http://127\.0\.0\.1:\d+)/lab")
        until = time.monotonic() + PATIENCE  # the line with the address comes a moment before the port is open
        while not self.answers():
            assert time.monotonic() < until, self.said
            time.sleep(0.02)
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def _read(self):
        while part := os.read(self.process.stdout.fileno(), 4096):  # a question ends in no line
            self._lines.put(part.decode("utf-8", "replace"))
        self._lines.put(None)

    def wait_for(self, pattern):
        """Wait until it says something from here on; its first group, or all of it."""
        start = 0
        while not (found := re.compile(pattern).search(self.said, start)):
            part = self._lines.get(timeout=PATIENCE)
            assert part is not None, f"it ended without {pattern!r}:\n{self.said}"
            self.said += part
        self.said = self.said[found.end() :]
        return found[1] if found.groups() else found[0]

    def ask(self, path, method="GET"):
        """Ask the server's REST API."""
        headers = {"Authorization": f"token {self._token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=PATIENCE) as reply:
            return json.loads(reply.read() or b"null")

    def answers(self):
        try:
            return bool(self.ask("/api/status"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ended(self):
        """The exit status, with nothing of it left and all of it said."""
        status = self.process.wait(PATIENCE)
        while (part := self._lines.get(timeout=PATIENCE)) is not None:
            self.said += part
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        assert not self.answers()
        return status


@POSIX
def test_it_serves_the_copies_and_ends_with_the_server(tmp_path):
    """JupyterLab's root is the folder; shut down from its page, the command is over."""
    with Command(tmp_path) as command:
        there = {one["name"] for one in command.ask("/api/contents")["content"]}
        assert there == {path.name for path in (*ours()[0], *ours()[1])}
        assert command.ask("/api/kernels") == []
        command.ask("/api/shutdown", "POST")
        assert command.ended() == 0


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_without_a_terminal_a_signal_ends_both(tmp_path, number):
    """Neither is left behind: not by Ctrl-C, which reaches both, nor by an end that only the command is told of."""
    with Command(tmp_path) as command:
        if number == signal.SIGINT:
            os.killpg(command.process.pid, number)
        else:
            command.process.send_signal(number)
        assert command.ended() == 0
        assert "Traceback" not in command.said


@POSIX
def test_at_a_terminal_ctrl_c_asks_back(tmp_path):
    """JupyterLab's own question decides: with no, both go on; with yes, both end."""
    keyboard, terminal = os.openpty()
    try:
        with Command(tmp_path, stdin=terminal) as command:
            os.killpg(command.process.pid, signal.SIGINT)
            command.wait_for(r"Shut down this Jupyter server \(y/\[n\]\)\?")
            os.write(keyboard, b"n\n")
            command.wait_for("resuming operation")
            assert command.answers()
            os.killpg(command.process.pid, signal.SIGINT)  # so soon after a question, it may end without another
            os.write(keyboard, b"y\n")
            assert command.ended() == 0
    finally:
        os.close(keyboard)
        os.close(terminal)


# --- an installed rtk ---


@pytest.mark.slow
def test_an_installed_rtk_brings_its_notebooks(tmp_path):
    """From an unpacked wheel, away from any checkout, the copies are those of the wheel."""
    checkout, site, work = tmp_path / "checkout", tmp_path / "site", tmp_path / "work"
    for folder in (checkout, site, work):
        folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, checkout)
    for name in ("rtk", "widgets", "cache", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "live"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    built = subprocess.run(build, cwd=checkout, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next((tmp_path / "dist").iterdir())) as wheel:
        wheel.extractall(site)
    shutil.rmtree(checkout)
    done = run("lab", "mine", "--version", cwd=work, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    shown = site / "rtk" / "_shipped"
    for path in (work / "mine").iterdir():
        source = shown / ("notebooks" if path.suffix == ".ipynb" else "cache") / path.name
        assert path.read_bytes() == source.read_bytes()
    assert len(files(work / "mine")) == 2 * len(list((shown / "notebooks").glob("*.ipynb"))) > 0
    where = run(cwd=work, code="import rtk; print(rtk.__file__)", PYTHONPATH=str(site)).stdout
    assert Path(where.strip()) == site / "rtk" / "__init__.py"
