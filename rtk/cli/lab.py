"""`rtk lab`: the notebooks that come with rtk, in JupyterLab."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from rtk.cli.output import err, tell
from rtk.errors import MissingExtra
from rtk.shipped import copy_notebooks

NOTEBOOKS = Path("rtk-notebooks")


def lab(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where the notebooks are copied to.")] = NOTEBOOKS,
) -> None:
    """Open the notebooks that come with rtk in JupyterLab, as copies; options after the folder are JupyterLab's."""
    options = context.args
    if str(folder).startswith("-"):  # no folder was named: typer takes the first option that it does not know for one
        folder, options = NOTEBOOKS, [str(folder), *options]
    if find_spec("jupyterlab") is None:
        raise MissingExtra("JupyterLab is not installed here", mend="pip install 'rtk-inference[notebook]'")
    for path in copy_notebooks(folder):
        tell(f"copied {path}", err)
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=folder)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while True:
        try:
            raise typer.Exit(server.wait())
        except KeyboardInterrupt:  # JupyterLab asks back, and ends when it is told to
            continue
