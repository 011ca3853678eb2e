"""The command line: thin. It parses, calls, and prints.

Floor 5: may import everything.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import rtk
from rtk.errors import RTKError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Better answers from the same model.")
model_app = typer.Typer(no_args_is_help=True, help="The embedded model's weights.")
app.add_typer(model_app, name="model")
out = Console()
err = Console(stderr=True)


def main() -> None:
    """Run a command; an error of rtk's is two lines, not a traceback."""
    try:
        app()
    except RTKError as error:
        err.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        err.print(str(error), markup=False, highlight=False)
        if error.mend:
            err.print(error.mend, markup=False, highlight=False)
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

    found = weights.find(name)
    if found is None:
        with _bar("fetching", None) as step:
            found = weights.get(name, progress=step)
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
    size: Annotated[int, typer.Option(min=1, help="Puzzles; twice as many products.")] = 20,
    seed: Annotated[int, typer.Option(help="Which draw of questions.")] = 0,
    store: Annotated[Path | None, typer.Option(help="Folder of the sample store; RTK_CACHE, else the user's.")] = None,
) -> None:
    """The main job, live: one model, direct, chain, vote and tree, and what more thinking buys and costs."""
    from rtk.experiments import demo as run
    from rtk.experiments.demo import arms

    logging.getLogger("dspy").setLevel(logging.ERROR)
    lm = rtk.LM(model, store=store, **({"api_base": api_base} if api_base else {}))
    if model == "embedded":
        from rtk.models import weights

        weights.require()
    rows, started = arms(size, seed), time.perf_counter()
    out.print(f"{model} on {2 * size} products and {size} hidden sequences, live; Ctrl-C keeps every sample drawn.")
    try:
        with _bar("", sum(len(arm.task.test) for arm in rows)) as step:
            found = run(rows, lm, progress=lambda arm: step(f"{arm.task.name}: {arm.strategy}, {arm.budget}"))
    except KeyboardInterrupt:
        out.print(f"stopped; what was drawn is kept in {lm.store.path}: the same command goes on from there.")
        raise typer.Exit(130) from None
    _report(found, lm, time.perf_counter() - started)


def _report(found: Any, lm: Any, seconds: float) -> None:
    if found.shown is not None:
        example, prediction = found.shown
        out.rule("one puzzle's tree of thoughts")
        out.print(example.question, highlight=False, markup=False)
        out.print(prediction.deliberation.text(width=out.width), highlight=False, markup=False, soft_wrap=True)
    out.print(_table(found.arms))
    drawn = sum(arm.measured.spent.drawn for arm in found.arms)
    reused = sum(arm.measured.spent.reused for arm in found.arms)
    kept = "every sample came from the store" if not drawn else f"{drawn} samples drawn, {reused} reused"
    out.print(f"{kept} ({lm.store.path}); {seconds:.0f} s. " + ("0 drawn." if not drawn else "Run it again: 0 drawn."),
              highlight=False, soft_wrap=True)  # fmt: skip


def _table(rows: list[Any]) -> Table:
    table = Table(title="what more thinking buys, and costs", title_style="bold")
    for name, justify in (("task", "left"), ("strategy", "left"), ("budget", "left"), ("accuracy", "right"),
                          ("95% interval", "right"), ("n", "right"), ("samples", "right"), ("tokens", "right"),
                          ("s/question", "right")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)
    last = None
    for arm in rows:
        measured, task = arm.measured, arm.task
        if last not in (None, task.name):
            table.add_section()
        accuracy, spent = measured.accuracy, measured.spent
        table.add_row(
            task.name if task.name != last else "", arm.strategy, arm.budget, f"{accuracy.value:.2f}",
            f"{accuracy.low:.2f}–{accuracy.high:.2f}", str(accuracy.size) + (f" ({measured.errors} failed)" if measured.errors else ""),
            str(spent.samples), str(spent.completion_tokens), f"{measured.seconds:.2f}",
        )  # fmt: skip
        last = task.name
    return table


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar; its step takes a description, or (done, total) of bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def step(*state: Any) -> None:
            if len(state) == 2:
                progress.update(task, completed=state[0], total=state[1])
            else:
                progress.update(task, advance=1, description=state[0])

        yield step


if __name__ == "__main__":
    main()
