"""Which commands there are, and how an error ends one."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer

import rtk
from rtk.cli import cache, demo, doctor, lab, model
from rtk.cli.output import complain, out
from rtk.errors import RTKError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Better answers from the same model.")
app.command()(demo.demo)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab.lab)
app.command()(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run a command; an error of rtk's is two lines, not a traceback."""
    tell_others, warnings.showwarning = warnings.showwarning, _told
    try:
        app()
    except RTKError as error:
        complain(type(error).__name__, str(error), error.mend)
        raise SystemExit(1) from None
    finally:
        warnings.showwarning = tell_others


def _told(message: Warning | str, category: type[Warning], *place: Any) -> None:
    """A warning of rtk's in a line of its own, without the place in its code; of others' there are none."""
    if category.__module__.partition(".")[0] == "rtk":
        complain(category.__name__, str(message))


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"rtk {rtk.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """A research toolkit for inference-time scaling."""
