"""`rtk model`: the embedded model's weights."""

from __future__ import annotations

from typing import Annotated

import typer

from rtk.cli.output import bar, tell

app = typer.Typer(no_args_is_help=True, help="The embedded model's weights.")
Name = Annotated[str, typer.Argument(help="Which one.")]


@app.command("get")
def get(name: Name = "smollm2-135m-instruct") -> None:
    """Fetch the embedded model, once."""
    from rtk.models import weights

    with bar("fetching") as step:
        found = weights.get(name, progress=step)  # what is here already is verified, not fetched
    tell(f"{name} is at {found}")


@app.command("where")
def where(name: Name = "smollm2-135m-instruct") -> None:
    """Say where the embedded model's weights are."""
    from rtk.models import weights

    tell(weights.require(name))
