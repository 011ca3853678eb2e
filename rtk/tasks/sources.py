"""Where a user's own questions come from: a table in memory, a file, a data set of the Hugging Face hub."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtk.errors import MissingExtra, StoreError, TaskError
from rtk.store import rows_of

TEXTUAL = (".csv", ".tsv")
KINDS = (*TEXTUAL, ".jsonl", ".json", ".parquet")
SPLIT_COLUMN = "split"


@dataclass(frozen=True, slots=True)
class Source:
    """A table that was read.

    Attributes:
        rows: plain values by column.
        columns: in the table's order.
        name: what the task is called where nobody says: a file's stem, a data set's name, `"own"`.
        textual: whether everything in it is text, as in a CSV file.
        choices: the categories of those columns that have some.
    """

    rows: list[dict[str, Any]]
    columns: list[str]
    name: str = "own"
    textual: bool = False
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def kind_of_file(path: Any) -> str:
    """The ending of a path of a table, without `.gz`; empty where it is none."""
    found = Path(path)
    ending = found.with_suffix("").suffix if found.suffix == ".gz" else found.suffix
    return ending if ending in KINDS else ""


def read_source(table: Any) -> Source:
    """A table as plain rows.

    Args:
        table: a pandas or polars frame, an Arrow table, any iterable of dicts, or the path of a `.csv`, `.tsv`,
            `.jsonl`, `.json` or `.parquet` file, perhaps `….gz`.

    Raises:
        TaskError: it is no table, cannot be read, or has two columns of one name.
    """
    path = Path(table) if isinstance(table, str | os.PathLike) else None
    ending = kind_of_file(path) if path is not None else ""
    _refuse_twins(_header(path, ending) if path is not None else _columns(table))
    try:
        rows = rows_of(table)
    except StoreError as error:
        raise TaskError(str(error).replace(" of samples", ""), mend=error.mend) from error
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(map(str, _columns(table)))
    name = "own" if path is None else path.name.removesuffix(".gz").removesuffix(ending)
    return Source(rows, columns, name, ending in TEXTUAL, {} if path is not None else _categories(table))


def _columns(table: Any) -> list[Any]:
    """The columns of a frame or an Arrow table, twins included; none of a list of dicts."""
    found = getattr(table, "column_names", None)
    found = getattr(table, "columns", None) if found is None else found
    return list(found) if found is not None and not callable(found) and not isinstance(table, Mapping) else []


def _header(path: Path, ending: str) -> list[str]:
    """The names in the first line of a CSV file; readers rename twins."""
    if ending not in TEXTUAL or not path.is_file():
        return []
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file, delimiter="\t" if ending == ".tsv" else ","), [])
    except (OSError, EOFError, ValueError, csv.Error):
        return []  # whoever reads the rows says what is wrong


def _refuse_twins(columns: Sequence[Any]) -> None:
    twins = [name for name, count in Counter(map(str, columns)).items() if count > 1]
    if twins:
        raise TaskError(
            f"several columns are called {', '.join(map(repr, twins))}",
            mend="rename all but one, or leave them out: frame.loc[:, ~frame.columns.duplicated()]",
        )


def _categories(table: Any) -> dict[str, tuple[str, ...]]:
    """The categories of a pandas frame's columns of texts."""
    kinds = getattr(table, "dtypes", None)
    if kinds is None or not hasattr(kinds, "items"):
        return {}
    found = {str(name): getattr(kind, "categories", None) for name, kind in kinds.items()}
    known = {name: tuple(all_of) for name, all_of in found.items() if all_of is not None and len(all_of)}
    return {name: all_of for name, all_of in known.items() if all(isinstance(one, str) for one in all_of)}


def read_hub(name: str, config: str | None, split: str | None, revision: str | None) -> Source:
    """A data set of the Hugging Face hub, or a local one that `datasets.load_dataset` knows.

    Without `split` all of its splits, each row saying which in the column `split`.

    Raises:
        MissingExtra: `datasets` is not installed.
        TaskError: the data set cannot be loaded: offline, no such name, configuration or split.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise MissingExtra("data sets of the Hugging Face hub need `datasets`", mend="pip install datasets") from error
    try:
        loaded: Any = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise TaskError(
            f"the data set {name!r} could not be loaded: {said:.300}",
            mend="look up its name, config= and split=; offline, load a file of it: rtk.tasks.load('rows.parquet')",
        ) from error
    parts = {"": loaded} if split is not None else dict(loaded)
    rows = [_named(row, part, which) for which, part in parts.items() for row in part]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stem = name.rstrip("/").rpartition("/")[2]
    return Source(rows_of(rows), columns, stem, choices=_labels(next(iter(parts.values()))))


def _named(row: Mapping[str, Any], part: Any, which: str) -> dict[str, Any]:
    """A row with the names of its classes in place of their numbers, and with its split."""
    labels = {column: _label(row[column], names) for column, names in _labels(part).items()}
    return {**row, **labels, **({SPLIT_COLUMN: which} if which else {})}


def _label(number: Any, names: tuple[str, ...]) -> str | None:
    """The name of a class; -1 stands for none."""
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else None


def _labels(part: Any) -> dict[str, tuple[str, ...]]:
    features = getattr(part, "features", None) or {}
    names = {column: getattr(feature, "names", None) for column, feature in features.items()}
    return {column: tuple(found) for column, found in names.items() if found}
