"""What every command prints with: two streams, tables, bars, and text that strangers wrote.

On a terminal there are tables that fit it; in a pipe or a file, lines that are never cut, for `grep` and `less`.
"""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rtk._html import visible

out = Console()
err = Console(stderr=True)
UNKNOWN = "–"
_UNSEEN = {"Cc", "Cf", "Cs"}
_UNUSUAL = re.compile(r"[^\n -~]")
_GAP = 2  # blanks between columns
_SHORTEST = 10
_LOOKS = 0.1  # seconds between two changes of a bar


def tell(text: object, to: Console = out, style: str = "") -> None:
    """A text as it is: what is no letter in it is made visible, nothing is markup, and no line is cut."""
    to.print(Text(visible(text), style), soft_wrap=True)


def complain(kind: str, message: str, mend: str | None = None) -> None:
    """An error or a warning, and what to type next, which can be pasted."""
    err.print(Text.assemble((f"{visible(kind)}: ", "bold red"), visible(message)), soft_wrap=True)
    if mend:
        tell(mend, err)


def heading(text: str) -> None:
    """What begins a part of a page."""
    if out.is_terminal:
        out.rule(Text(visible(text), "bold"), align="left")
    else:
        tell(f"--- {text}")


def table(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = (), cut: Collection[str] = ()
) -> None:
    """A table.

    Args:
        names: of the columns.
        rows: their cells.
        right: the columns of numbers.
        cut: the columns that give way where the terminal is too narrow.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    if not out.is_terminal:
        _lines([names, *cells], widths, [name in right for name in names])
        return
    widths = _fitted(widths, [name in cut for name in names])
    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for name, width in zip(names, widths, strict=True):
        justify = "right" if name in right else "left"
        shown.add_column(name, width=width, justify=justify, no_wrap=True, overflow="ellipsis")
    for row in cells:
        shown.add_row(*map(Text, row))
    out.print(shown)


def _one_line(cell: object) -> str:
    return " ".join(visible(cell).split())


def _fitted(widths: list[int], may_shrink: Sequence[bool]) -> list[int]:
    """Widths that the terminal has room for: the widest that may shrink does, and never below a word."""
    widths = list(widths)
    places = [place for place, may in enumerate(may_shrink) if may]
    excess = sum(widths) + _GAP * (len(widths) - 1) - out.width
    while excess > 0 and places:
        widest = max(places, key=lambda place: widths[place])
        if widths[widest] <= _SHORTEST:
            break
        widths[widest], excess = widths[widest] - 1, excess - 1
    return widths


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]) -> None:
    """Columns under each other, as wide as they are."""
    for row in rows:
        padded = (
            " " * (width - cell_len(cell)) + cell if number else cell + " " * (width - cell_len(cell))
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        out.file.write((" " * _GAP).join(padded).rstrip() + "\n")


def as_json(value: Any) -> None:
    """A value as JSON, with nothing in it that a terminal would act on."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    out.file.write(_UNUSUAL.sub(_escaped, text) + "\n")


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1] if unicodedata.category(found[0]) in _UNSEEN else found[0]


@contextmanager
def bar(what: str) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal; its step takes what is done, what there is in all, and perhaps a description."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task, shown, said = progress.add_task(visible(what), total=None), 0.0, what

        def step(done: int, total: int | None, description: str = what) -> None:
            nonlocal shown, said
            now = time.monotonic()
            if not progress.disable and (now >= shown + _LOOKS or description != said):
                shown, said = now, description
                progress.update(task, completed=done, total=total, description=visible(description))

        yield step
