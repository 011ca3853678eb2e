"""Tables of results that somebody else wrote: read only if they are such as this room writes, and no larger than said.

A Parquet file may carry metadata that some readers unpickle, types that bring their own code, and a few bytes that
become gigabytes. None of it is in ours (see `rtk.experiments.records.spool`), so none of it is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtk.errors import RTKError
from rtk.experiments.records.spool import ATTEMPTS, BATCH, EXAMPLES, ROWS, STORIES, Table

AGAIN = "save the results again, or copy the folder again, whole"
PLAIN = frozenset({"PLAIN", "RLE", "BIT_PACKED"})  # encodings in which a value takes the room that it says
SHARES, CLOSE = ("score", "confidence"), 1e-9  # what lies from 0 to 1, but for how floats are added
AMOUNTS = ("calls", "consulted", "drawn", "reused", "failed", "tokens_in", "tokens_out", "pool", "attempts", "index",
           "dollars", "seconds", "work", "wall", "flops")  # fmt: skip
SWELLING, FLOOR = 200, 2**30  # a table is read as long as it is so many times its file, or a gigabyte


def refused(name: str, why: str) -> RTKError:
    """The error for a file of results that is not read."""
    return RTKError(f"{name} is not read: {why}", mend=AGAIN)


def check(path: Path, name: str, table: Table, rows: int) -> Any:
    """Look at a whole table of a stranger, a few rows at a time.

    Args:
        path: of the file.
        name: what errors call it.
        table: what it should hold.
        rows: how many rows it should have.

    Returns:
        Its places, as a pandas frame of whole numbers.

    Raises:
        RTKError: for a file that is no Parquet, holds other columns or types, metadata, or more than its size allows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _check_form(pq.read_metadata(path), name, table, rows, path.stat().st_size)
        with pq.ParquetFile(path) as file:
            return _places(file.iter_batches(BATCH), name, table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise refused(name, f"it is damaged ({error!s:.200})") from error


def _check_form(found: Any, name: str, table: Table, rows: int, size: int) -> None:
    """What the file says of itself, before any value is read."""
    if found.metadata:
        raise refused(name, "it carries metadata, which no results of ours do")
    _check_columns(found.schema, name, table)
    if found.num_rows != rows:
        raise refused(name, f"it has {found.num_rows:,} rows and should have {rows:,}")
    chunks = [
        found.row_group(group).column(column)
        for group in range(found.num_row_groups)
        for column in range(found.num_columns)
    ]
    strange = sorted({kind for chunk in chunks for kind in chunk.encodings} - PLAIN)
    if strange:
        raise refused(name, f"it is encoded as {strange[0]}, which no results of ours are")
    needed = max(sum(chunk.total_uncompressed_size for chunk in chunks), rows * len(table.types) * 8)
    if needed > FLOOR + SWELLING * size:
        raise refused(name, f"its {size:,} bytes would become {needed:,}")


def _check_columns(schema: Any, name: str, table: Table) -> None:
    """Columns, types and order as we write them; by what Parquet says, and not by what a reader makes of it."""
    found, wanted = _kinds(schema), _kinds(_written(table))
    for column, kind in wanted.items():
        if column not in found:
            raise refused(name, f"it lacks the column {column!r}")
        if found[column] != kind:
            raise refused(name, f"its column {column!r} holds {found[column]} and should hold {kind}")
    if more := [column for column in found if column not in wanted]:
        raise refused(name, f"it has a column {more[0]!r:.80}, which results do not have")
    if not schema.equals(_written(table)):
        raise refused(name, "its columns stand in another order")


def _kinds(schema: Any) -> dict[str, str]:
    columns = [schema.column(place) for place in range(len(schema))]
    return {one.path: f"{one.physical_type} ({one.logical_type.type})" for one in columns}


def _written(table: Table) -> Any:
    """The schema of an empty table of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table.schema().empty_table(), buffer, store_schema=False)
    return pq.read_metadata(pa.BufferReader(buffer.getvalue())).schema


def _places(batches: Iterator[Any], name: str, table: Table) -> Any:
    """The columns that say where rows belong; every other value is read, found to be whole, and let go."""
    import pyarrow as pa

    kept = [*table.place, *(name for name in ("pool", "index") if table is ATTEMPTS)]
    parts = [pa.schema([(column, pa.int64()) for column in kept]).empty_table()]
    for batch in batches:
        batch.validate(full=True)
        parts.append(pa.Table.from_batches([batch.select(kept)]))
        _check_values(batch, name, table)
    found = pa.concat_tables(parts)
    for column in kept:
        if found[column].null_count:
            raise refused(name, f"its column {column!r} has empty places")
    return found.to_pandas()


def _check_values(batch: Any, name: str, table: Table) -> None:
    """Whether numbers are such as can be, and an answer is right where its score says so."""
    for column in (one for one in SHARES if one in table.types):
        if not batch[column].to_pandas().dropna().between(0, 1 + CLOSE).all():
            raise refused(name, f"it has a {column} outside 0 to 1")
    for column in (one for one in AMOUNTS if one in table.types):
        if (batch[column].to_pandas() < 0).any():
            raise refused(name, f"its column {column!r} has a number below 0")
    if "score" in table.types:
        found = batch.select(["score", "correct"]).to_pandas()
        right = found["score"] >= 1
        if table is ROWS:
            right &= batch["error"].to_pandas().isna()
        if (right != found["correct"].eq(True))[found["score"].notna()].any():
            raise refused(name, "it has an answer that is right where its score or its error says otherwise, or not so")


def check_places(places: dict[str, Any], names: dict[str, str], arms: int, replicates: int) -> None:
    """Whether the tables' rows belong together.

    Args:
        places: of each table by its file, as `check` gave them.
        names: what errors call them.
        arms: how many settings there are.
        replicates: how many runs of the whole.

    Raises:
        RTKError: for a row of a setting, replicate or example that there is not, or two rows at one place.
    """
    examples = places[EXAMPLES.file]["at"]
    if sorted(examples) != list(range(len(examples))):
        raise refused(names[EXAMPLES.file], "its rows are not numbered from 0 on")
    most = {"arm": arms, "replicate": replicates, "at": len(examples)}
    for table in (ROWS, ATTEMPTS, STORIES):
        found, name = places[table.file], names[table.file]
        for column, end in most.items():
            if len(found) and not (found[column].min() >= 0 and found[column].max() < end):
                raise refused(name, f"it has a row whose {column!r} is not among the {end:,} that there are")
        if found.duplicated(["pool", "index"] if table is ATTEMPTS else list(table.place)).any():
            raise refused(name, "two of its rows have one place")
    told = places[STORIES.file].merge(places[ROWS.file], indicator=True, how="left")
    if not (told["_merge"] == "both").all():
        raise refused(names[STORIES.file], "it tells of an answer that there is not")
