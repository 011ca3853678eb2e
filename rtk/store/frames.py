"""Rows of other people's tables, as plain dicts: of a frame, a list, or a file."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtk.errors import StoreError

Row = dict[str, Any]

_KINDS = "a pandas frame, a list of dicts, or the path of a .csv, .tsv, .jsonl, .json or .parquet file"
_NOTHING = {"NAType", "NaTType"}


def rows_of(table: Any) -> list[Row]:
    """The rows of a table. Cells are plain values: nothing where the table has none (None, NaN), lists for arrays.

    Args:
        table: a pandas or polars frame, an Arrow table, any iterable of dicts, or the path of a file, perhaps `….gz`.
            Of a CSV file every cell is text, an empty one too.

    Raises:
        StoreError: for what is no table, and a file that cannot be read.
    """
    found = _of_file(Path(table)) if isinstance(table, str | os.PathLike) else _of_frame(table)
    return [{str(name): _plain(cell) for name, cell in row.items()} for row in found]


def _of_frame(table: Any) -> Iterable[Mapping[Any, Any]]:
    for method in ("to_dicts", "to_pylist"):  # polars, whose `to_dict` is another one, and Arrow
        if hasattr(table, method):
            return getattr(table, method)()
    if hasattr(table, "columns") and hasattr(table, "to_dict"):
        return table.to_dict("records")
    rows = list(table) if isinstance(table, Iterable) and not isinstance(table, Mapping | bytes) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise StoreError(f"{type(table).__name__} is no table of samples", mend=f"pass {_KINDS}")
    return rows


def _of_file(path: Path) -> Iterable[Mapping[Any, Any]]:
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in _READERS:
        raise StoreError(f"{path} is no table of samples by its name", mend=f"pass {_KINDS}")
    try:
        return _READERS[kind](path)
    except ImportError as error:
        raise StoreError(f"cannot read {path}: {error}", mend="pip install pyarrow") from error
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {path}: {error}", mend=f"pass {_KINDS}, in UTF-8") from error


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from file


def _csv(path: Path) -> list[Row]:
    import pandas  # heavy

    found = pandas.read_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", dtype=str, keep_default_na=False,
                            encoding="utf-8-sig")  # fmt: skip
    if not isinstance(found.index, pandas.RangeIndex):
        raise ValueError("its rows have more cells than its first line has names")
    return found.to_dict("records")


def _json_lines(path: Path) -> list[Row]:
    found = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            found.append(_object(line, number))
    return found


def _object(line: str, number: int) -> Row:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"line {number}: no JSON object")
    if "rtk_recording" in value:
        raise StoreError("this is a recording of rtk", mend="its samples have addresses already: store.merge(path)")
    return value


def _json(path: Path) -> list[Row]:
    found = json.loads("".join(_lines(path)))
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("no list of JSON objects")
    return found


def _parquet(path: Path) -> list[Row]:
    import pandas  # heavy, and wants pyarrow for this

    return pandas.read_parquet(path).to_dict("records")


_READERS = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".json": _json, ".parquet": _parquet}


def _plain(cell: Any) -> Any:
    if hasattr(cell, "tolist"):  # NumPy's scalars and arrays
        cell = cell.tolist()
    nothing = type(cell).__name__ in _NOTHING or (isinstance(cell, float) and cell != cell)
    return None if nothing else cell
