"""`rtk demo`: the main job, live."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

import rtk
from rtk.cli.output import bar, err, heading, out, tell


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
    tell(f"{model} on {2 * size} calculations and {size} hidden sequences; Ctrl-C keeps every sample drawn.", err)
    started = time.perf_counter()
    try:
        with bar("") as step:
            found = run(lm, size=size, seed=seed, progress=lambda task, done, total: step(done, total, task))
    except KeyboardInterrupt:
        tell(f"stopped; what was drawn is kept in {lm.store.path}: the same command goes on from there.", err)
        raise typer.Exit(130) from None
    if markdown:
        tell(_markdown(found.rows()))
        return
    _show(found.shown)
    out.print(_table(found.rows()))
    _account(found, lm, time.perf_counter() - started)


def _show(shown: Any) -> None:
    """One puzzle's deliberation."""
    if shown is None:
        return
    row, told = shown
    heading("one puzzle's tree of thoughts")
    tell(row["question"])
    tell(told.text(width=out.width))
    tell(f"answer: {row['answer']} ({'right' if row['correct'] else 'wrong'})\n")


def _account(found: Any, lm: Any, seconds: float) -> None:
    """What was drawn, what was reused, and where it is kept."""
    drawn, reused = found.drawn, found.reused
    said = (
        f"{drawn} samples drawn, {reused} reused. Run it again: it will draw none."
        if drawn
        else f"0 samples drawn: every one of the {reused} came from the store."
    )
    tell(f"{said} {seconds:.0f} s; samples are in {lm.store.path}")


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
