"""Rows on their way to a disk: Parquet files that are written a batch at a time and read by column."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rtk.samples import readable

BATCH = 1000  # rows that are in memory while a table is written


@dataclass(frozen=True)
class Table:
    """One kind of row.

    Attributes:
        file: its name in the folder.
        types: column to type: `"int"`, `"float"`, `"bool"`, `"text"`, `"texts"`.
        place: columns that say where a row belongs; the others are its own.
    """

    file: str
    types: Mapping[str, str]
    place: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All columns."""
        return list(self.types)

    @property
    def own(self) -> list[str]:
        """The columns that say something."""
        return [name for name in self.types if name not in self.place]

    def schema(self) -> Any:
        """As Arrow has it."""
        import pyarrow as pa

        kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
        kinds["texts"] = pa.list_(pa.string())
        return pa.schema([(name, kinds[kind]) for name, kind in self.types.items()])

    def batches(self, folder: Path) -> Iterator[list[dict[str, Any]]]:
        """The rows as they were written, some at a time."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(folder / self.file) as file:
            for batch in file.iter_batches(BATCH):
                yield batch.to_pylist()


def _table(file: str, place: str, **columns: str) -> Table:
    places = tuple(place.split())
    typed = {name: kind for kind, names in columns.items() for name in names.split()}
    return Table(file, {**dict.fromkeys(places, "int"), **typed}, places)


ROWS = _table(
    "rows.parquet",
    "arm replicate at",
    text="answer error stopped level",
    bool="correct abstained",
    float="score confidence dollars seconds work wall flops",
    int="calls consulted drawn reused failed tokens_in tokens_out pool attempts",
    texts="addresses",
)
ATTEMPTS = _table(
    "attempts.parquet",
    "arm replicate at",
    int="pool index tokens_in tokens_out",
    text="answer abstention address text finish",
    bool="correct",
    float="score logprob reward dollars seconds flops",
)
EXAMPLES = _table("examples.parquet", "at", text="example question gold kind")
STORIES = _table("deliberations.parquet", "arm replicate at", text="story")
TABLES = (ROWS, ATTEMPTS, EXAMPLES, STORIES)


class Spool:
    """Takes rows from any thread and writes them, a batch at a time; as a context manager it closes its files.

    Args:
        folder: where the files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._waiting: dict[str, list[Mapping[str, Any]]] = {table.file: [] for table in TABLES}
        self._writers: dict[str, Any] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows; a column that one leaves out is empty. None is taken once it is closed."""
        with self._lock:
            if self._closed:
                return
            waiting = self._waiting[table.file]
            waiting.extend(rows)
            if len(waiting) >= BATCH:
                self._write(table)

    def close(self) -> None:
        """Write what is left, an empty table where there was nothing; closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for table in TABLES:
                self._write(table)
                self._writers[table.file].close()

    def _write(self, table: Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = table.schema()
        if table.file not in self._writers:
            # No metadata, which may hold another's code, and no dictionaries, of which a few bytes may become
            # gigabytes: so `saved_tables` can refuse both in what a stranger wrote.
            self._writers[table.file] = pq.ParquetWriter(
                self._folder / table.file, schema, compression="zstd", use_dictionary=False, store_schema=False
            )
        rows, self._waiting[table.file] = self._waiting[table.file], []
        if rows:
            columns = {name: [row.get(name) for row in rows] for name in table.names}
            try:
                made = pa.table(columns, schema=schema)
            except UnicodeEncodeError:  # a model may write what no encoding carries
                made = pa.table({name: list(map(_readable, values)) for name, values in columns.items()}, schema=schema)
            self._writers[table.file].write_table(made)


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_readable, value))
    return readable(value) if isinstance(value, str) else value


def read(folder: Path, table: Table, columns: Sequence[str] | None = None) -> Any:
    """Columns of a table as a pandas frame, in the order of writing: whole numbers and booleans as they are, missing
    numbers as NaN, missing texts as None.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    found = pq.read_table(folder / table.file, columns=list(columns or table.names))
    return pd.DataFrame({name: _column(found[name], table.types[name]) for name in found.column_names})


def _column(values: Any, kind: str) -> Any:
    """An Arrow column as pandas has it; texts are Python's, since pandas makes a NaN of a missing one otherwise."""
    import pandas as pd

    if kind == "text":
        return pd.Series(values.to_pylist(), dtype=object)
    if kind == "texts":
        return pd.Series([one or [] for one in values.to_pylist()], dtype=object)
    return values.to_pandas()


def read_where(folder: Path, table: Table, place: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rows at a place."""
    import pyarrow.parquet as pq

    return pq.read_table(folder / table.file, filters=[(name, "==", at) for name, at in place.items()]).to_pylist()
