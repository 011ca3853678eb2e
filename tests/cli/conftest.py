"""What the tests of the command line share: a command run in this process, and a store with samples."""

import io
import os
import pty
import subprocess
import sys
from dataclasses import dataclass

import pytest

from rtk.cli import main
from rtk.samples import Address, Request, Sample, Usage
from rtk.store import SampleStore


@dataclass
class Ran:
    """A command that has ended: its status, and what it said on its two streams."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys, monkeypatch):
    """Run `rtk …` as in a pipe; what is typed answers its questions."""

    def run(*arguments, typed=""):
        monkeypatch.setattr(sys, "argv", ["rtk", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def put(own_store):
    """Write samples of a question to the default store; the request's key."""

    def put(question, count=1, model="openai/small", *, system=None, identity=None, **sample):
        messages = [{"role": "system", "content": system}] if system else []
        request = Request.of(model, [*messages, {"role": "user", "content": question}], {"temperature": 0.7}, identity)
        given = {"text": "four", "usage": Usage(10, 5, 0.01, 0.5), "finish_reason": "stop", **sample}
        samples = [Sample(Address(request.key, "0", index), **given) for index in range(count)]
        SampleStore(own_store).write(request, samples)
        return request.key

    return put


@pytest.fixture
def on_a_terminal():
    """Run `rtk …` with one of its streams a terminal, and the other left unread; what the terminal was sent."""

    def run(*arguments, stream="stdout", **variables):
        primary, secondary = pty.openpty()
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: secondary}
        process = subprocess.Popen([sys.executable, "-m", "rtk.cli", *arguments], stdin=secondary, **streams,
                                   env={**os.environ, **variables})  # fmt: skip
        os.close(secondary)
        raw = b""
        try:
            while part := os.read(primary, 1 << 16):
                raw += part
        except OSError:  # its end, as Linux tells it
            pass
        os.close(primary)
        return process.wait(60), raw

    return run
