"""The command line: thin. It parses, calls, and prints.

Floor 5: may import everything.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import rtk
from rtk.errors import MissingExtra, RTKError
from rtk.shipped import copy_notebooks

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Better answers from the same model.")
model_app = typer.Typer(no_args_is_help=True, help="The embedded model's weights.")
app.add_typer(model_app, name="model")
NOTEBOOKS = Path("rtk-notebooks")
out = Console()
err = Console(stderr=True)


def main() -> None:
    """Run a command; an error of rtk's is two lines, not a traceback."""
    try:
        app()
    except RTKError as error:
        err.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        if error.mend:
            err.print(error.mend, markup=False, highlight=False, soft_wrap=True)  # a command in it can be pasted
        raise SystemExit(1) from None


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"rtk {rtk.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """A research toolkit for inference-time scaling."""


@model_app.command("get")
def model_get(name: Annotated[str, typer.Argument(help="Which one.")] = "smollm2-135m-instruct") -> None:
    """Fetch the embedded model, once."""
    from rtk.models import weights

    with _bar("fetching") as step:
        found = weights.get(name, progress=step)  # what is here already is verified, not fetched
    out.print(f"{name} is at {found}", highlight=False, soft_wrap=True)


@model_app.command("where")
def model_where(name: Annotated[str, typer.Argument(help="Which one.")] = "smollm2-135m-instruct") -> None:
    """Say where the embedded model's weights are."""
    from rtk.models import weights

    out.print(str(weights.require(name)), highlight=False, soft_wrap=True)


@app.command()
def demo(
    model: Annotated[str, typer.Option(help="embedded, or a LiteLLM model string.")] = "embedded",
    api_base: Annotated[str | None, typer.Option(help="Endpoint of an OpenAI-compatible or Ollama server.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Puzzles; twice as many calculations.")] = 20,
    seed: Annotated[int, typer.Option(help="Which draw of questions.")] = 0,
    store: Annotated[Path | None, typer.Option(help="Folder of the sample store; RTK_CACHE, else the user's.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table alone, as Markdown.")] = False,
) -> None:
    """The main job, live: one model, direct, chain, vote and tree, and what more thinking buys and costs."""
    from rtk.experiments import demo as run

    logging.getLogger("dspy").setLevel(logging.ERROR)
    lm = rtk.LM(model, store=store, api_base=api_base)
    if model == "embedded":
        from rtk.models import weights

        weights.require()
    err.print(f"{model} on {2 * size} calculations and {size} hidden sequences; Ctrl-C keeps every sample drawn.")
    started = time.perf_counter()
    try:
        with _bar("") as step:
            told = lambda arm, done, total: step(done, total, f"{arm.task.name}: {arm.strategy}, {arm.budget}")  # noqa: E731
            found = run(lm, size=size, seed=seed, progress=told)
    except KeyboardInterrupt:
        err.print(f"stopped; what was drawn is kept in {lm.store.path}: the same command goes on from there.")
        raise typer.Exit(130) from None
    if markdown:
        out.print(_markdown(found.rows()), markup=False, highlight=False, soft_wrap=True)
        return
    _show(found.shown)
    out.print(_table(found.rows()))
    _account(found.arms, lm, time.perf_counter() - started)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
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
        err.print(f"copied {path}", highlight=False, soft_wrap=True)
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=folder)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while True:
        try:
            raise typer.Exit(server.wait())
        except KeyboardInterrupt:  # JupyterLab asks back, and ends when it is told to
            continue


def _show(shown: Any) -> None:
    """One puzzle's deliberation."""
    if shown is None:
        return
    example, prediction = shown
    out.rule("one puzzle's tree of thoughts")
    out.print(example.question, highlight=False, markup=False)
    out.print(prediction.deliberation.text(width=out.width), highlight=False, markup=False, soft_wrap=True)
    verdict = "right" if prediction.answer == example.answer else "wrong"
    out.print(f"answer: {prediction.answer} ({verdict})\n", highlight=False, markup=False)


def _account(arms: list[Any], lm: Any, seconds: float) -> None:
    """What was drawn, what was reused, and where it is kept."""
    drawn = sum(arm.measured.spent.drawn for arm in arms)
    reused = sum(arm.measured.spent.reused for arm in arms)
    said = (
        f"{drawn} samples drawn, {reused} reused. Run it again: it will draw none."
        if drawn
        else f"0 samples drawn: every one of the {reused} came from the store."
    )
    out.print(f"{said} {seconds:.0f} s; samples are in {lm.store.path}", highlight=False, soft_wrap=True)


_COLUMNS = ("task", "strategy", "budget", "accuracy", "95 % CI", "n", "samples", "tokens", "checks", "s each")
_LEFT = 3  # columns of words


def _cells(row: dict[str, Any]) -> list[str]:
    """A row of the study as text, in the order of the columns."""
    asked = f"{row['n']} ({row['failed']} failed)" if row["failed"] else str(row["n"])
    interval = f"{row['low']:.2f}–{row['high']:.2f}"
    counts = [f"{row[name]:,}" for name in ("samples", "tokens", "checks")]
    words = [row["task"], row["strategy"], row["budget"]]
    return [*words, f"{row['accuracy']:.2f}", interval, asked, *counts, f"{row['seconds']:.2f}"]


def _table(rows: list[dict[str, Any]]) -> Table:
    """The rows under the names of their tasks and how many questions each was asked; 80 columns hold it."""
    table = Table(title="what more thinking buys, and costs", title_style="bold", box=SIMPLE_HEAD, pad_edge=False,
                  padding=0)  # fmt: skip
    size = _COLUMNS.index("n")
    for index, name in enumerate(_COLUMNS):
        if index not in (0, size):
            table.add_column(name, justify="left" if index < _LEFT else "right", no_wrap=True)
    asked = None
    for row in rows:
        cells = _cells(row)
        if asked != (row["task"], cells[size]):
            asked = (row["task"], cells[size])
            table.add_row(f"[bold]{row['task']}[/]", f"n = {cells[size]}")
        table.add_row(*(cell for index, cell in enumerate(cells) if index not in (0, size)))
    return table


def _markdown(rows: list[dict[str, Any]]) -> str:
    align = ["---" if index < _LEFT else "---:" for index in range(len(_COLUMNS))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [list(_COLUMNS), align, *map(_cells, rows)])


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """A progress bar; its step takes what is done, what there is in all, and perhaps a description."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def step(done: int, total: int, description: str = what) -> None:
            progress.update(task, completed=done, total=total, description=description)

        yield step


if __name__ == "__main__":
    main()
