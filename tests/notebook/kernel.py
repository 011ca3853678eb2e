"""A real IPython kernel of this very interpreter, driven as a notebook drives it."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass, field

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

PATIENCE = 180  # seconds until a state that should come counts as lost; nothing is ever waited out
WATCHED = "with rtk.watch(lambda event: print('arrived', flush=True), only=rtk.events.SampleArrived):\n    "


class ThisInterpreter(KernelSpecManager):
    """Knows one kernel, whatever is installed on the machine."""

    def get_kernel_spec(self, kernel_name):
        """The kernel of `sys.executable`."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="this interpreter", language="python", interrupt_mode="signal")


@dataclass
class Cell:
    """A cell that was started, and what came of it so far."""

    id: str
    printed: str = ""
    shown: str | None = None
    error: str | None = None
    traceback: list[str] = field(default_factory=list)
    done: bool = False

    @property
    def value(self):
        """The value of its last line, which is plain data."""
        return None if self.shown is None else ast.literal_eval(self.shown)


class Kernel:
    """A kernel with its files in a folder of its own; a context manager."""

    def __init__(self, folder):
        self._manager = KernelManager(
            kernel_spec_manager=ThisInterpreter(), connection_file=str(folder / "connection.json")
        )
        self._env = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "RTK_CACHE": str(folder / "samples")}
        self._folder = folder

    def __enter__(self):
        self._manager.start_kernel(env=self._env, cwd=str(self._folder))
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)
        return self

    def __exit__(self, *exc):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def start(self, code):
        """Send a cell off."""
        return Cell(self._client.execute(code))

    def run(self, code):
        """Run a cell to its end, which is no error."""
        cell = self.finish(self.start(code))
        assert cell.error is None, "\n".join(cell.traceback)
        return cell

    def value(self, code):
        """Run a cell to its end; the value of its last line, which is plain data."""
        return self.run(code).value

    def finish(self, cell):
        """Wait for a cell's end."""
        return self.wait_for(cell, lambda cell: cell.done)

    def wait_for(self, cell, predicate):
        """Read what the kernel sends, until `predicate(cell)` holds."""
        while not predicate(cell):
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == cell.id:
                _note(cell, message["msg_type"], message["content"])
        return cell

    def interrupt(self):
        """What the stop button does.

        While a cell awaits, ipykernel notes the signal and sees it on the next message (tornado's `add_callback` from
        a signal handler does not wake its loop): a front end always has one on its way, and here it is this one.
        """
        self._manager.interrupt_kernel()
        self._client.kernel_info()


def _note(cell, kind, content):
    if kind == "stream" and content["name"] == "stdout":
        cell.printed += content["text"]
    elif kind == "execute_result":
        cell.shown = content["data"]["text/plain"]
    elif kind == "error":
        cell.error, cell.traceback = content["ename"], content["traceback"]
    elif kind == "status" and content["execution_state"] == "idle":
        cell.done = True
