"""Where passages come from: pairs and texts in memory, a frame, the file of a table, a text or a folder of texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

from rtk.errors import RetrievalError, StoreError
from rtk.retrieval.columns import Columns, chosen_columns
from rtk.retrieval.folders import TEXT_FILES, read_file, read_folder
from rtk.retrieval.passages import Dropped, Entry
from rtk.retrieval.words import spelled
from rtk.store import rows_of

TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
KINDS = (
    "a list of (question, answer) pairs, of rows or of texts, a frame, the path of a table "
    f"({', '.join(TABLES)}), of a text ({', '.join(TEXT_FILES)}) or of a folder of them"
)


@dataclass(frozen=True)
class Source:
    """What was read.

    Attributes:
        entries: the passages, in the source's order.
        dropped: what is no passage.
        name: of the file or folder; empty for what was in memory.
    """

    entries: tuple[Entry, ...]
    dropped: tuple[Dropped, ...]
    name: str = ""


def read(
    source: Any,
    *,
    words: int,
    question: str | None = None,
    answer: str | None = None,
    text: str | None = None,
) -> Source:
    """The passages of a source.

    Args:
        source: see `KINDS`.
        words: how long a passage of a text file may be.
        question: the column of the questions; guessed where it is obvious, as the next two.
        answer: the column of the answers.
        text: the column of the texts, of a table that holds no pairs.

    Raises:
        RetrievalError: it is no source, cannot be read, holds no passage, or has two rows of one id.
    """
    named = {"question": question, "answer": answer, "text": text}
    path = Path(source).expanduser() if isinstance(source, str | os.PathLike) else None
    if path is None:
        found, dropped = _of_items(_items(source), named, "")
    elif _table_kind(path) in TABLES:
        found, dropped = _of_items(_rows(path), named, path.name)
    else:
        found, dropped = _of_texts(path, named, words)
    entries, twins = _without_twins(found)
    _refuse_shared_ids(entries)
    dropped = [*dropped, *twins]
    if not entries:
        why = "; ".join(f"{one.source}: {one.reason}" for one in dropped[:3])
        raise RetrievalError(f"{path or 'the source'} holds no passage{why and f' ({why})'}", mend=f"pass {KINDS}")
    return Source(tuple(entries), tuple(dropped), path.name or str(path) if path is not None else "")


def _table_kind(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _of_texts(path: Path, named: Mapping[str, str | None], words: int) -> tuple[list[Entry], list[Dropped]]:
    for name, column in named.items():
        if column is not None:
            raise RetrievalError(f"{name}={column!r} with texts, which have no columns", mend=f"leave out {name}=")
    if path.is_dir():
        return read_folder(path, words)
    if not path.exists():
        raise RetrievalError(
            f"there is no file or folder {str(path)!r:.200}", mend="look up its path; one text is a list, too: [text]"
        )
    if path.suffix.lower() not in TEXT_FILES:
        raise RetrievalError(f"{path} is neither a table nor a text by its name", mend=f"pass {KINDS}")
    return read_file(path, path.name, words)


def _rows(table: Any) -> list[Any]:
    try:
        return list(rows_of(table))
    except StoreError as error:
        raise RetrievalError(str(error).replace(" of samples", ""), mend=f"pass {KINDS}") from error


def _items(source: Any) -> list[Any]:
    """What a source in memory holds: rows, pairs or texts."""
    if any(hasattr(source, method) for method in ("to_dicts", "to_pylist")) or hasattr(source, "iterrows"):
        _refuse_twin_columns(source)
        return _rows(source)
    if isinstance(source, Mapping | bytes) or not isinstance(source, Iterable):
        mend = "list(faq.items()), or a list of such rows" if isinstance(source, Mapping) else f"pass {KINDS}"
        raise RetrievalError(f"a {type(source).__name__} is no source of passages", mend=mend)
    return [_plain(item) for item in source]


def _plain(item: Any) -> Any:
    return dict(item.items()) if isinstance(item, dspy.Example) else item


def _refuse_twin_columns(frame: Any) -> None:
    columns = list(map(str, getattr(frame, "columns", ())))
    twins = sorted({name for name in columns if columns.count(name) > 1})
    if twins:
        raise RetrievalError(
            f"several columns are called {', '.join(map(repr, twins))}",
            mend="rename all but one, or leave them out: frame.loc[:, ~frame.columns.duplicated()]",
        )


def _of_items(items: Sequence[Any], named: Mapping[str, str | None], file: str) -> tuple[list[Entry], list[Dropped]]:
    """Passages of rows, pairs and texts; a row is named by its number, from 1."""
    rows = [item for item in items if isinstance(item, Mapping)]
    columns = chosen_columns(rows, named) if rows else None
    if columns is None and any(named.values()):
        raise RetrievalError("question=, answer= and text= name columns, and there are none", mend="leave them out")
    found: list[Entry] = []
    dropped: list[Dropped] = []
    for number, item in enumerate(items, 1):
        place = f"{file} row {number}" if file else f"row {number}"
        title, body, pair, name, cited = _cells(item, columns, place)
        lacking = [what for what, cell in (("question", title), ("answer", body)) if pair and not cell.strip()]
        if lacking or not body.strip():
            dropped.append(Dropped(place, f"no {' and no '.join(lacking or ['text'])}"))
        else:
            source = cited or (name if name and not file else place)
            found.append(Entry(name or str(number), title.strip(), body.strip(), source, pair))
    return found, dropped


def _cells(item: Any, columns: Columns | None, place: str) -> tuple[str, str, bool, str, str]:
    """Of one item: title, body, whether it is a pair, its id and its source, those two empty where it has none."""
    if isinstance(item, str):
        return "", item, False, "", ""
    if isinstance(item, Mapping) and columns is not None:
        return columns.cells(item, place)
    if isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str | None) for part in item):
        return item[0] or "", item[1] or "", True, "", ""
    if item is None or (isinstance(item, float) and item != item):
        return "", "", False, "", ""
    raise RetrievalError(
        f"{place} is no passage: {item!r:.60}", mend="a text, a (question, answer) pair of texts, or a row with columns"
    )


def _without_twins(entries: Iterable[Entry]) -> tuple[list[Entry], list[Dropped]]:
    """The first of those that say the same, and the others by name."""
    first: dict[tuple[str, str], Entry] = {}
    twins = []
    for entry in entries:
        same = first.setdefault((spelled(entry.title), spelled(entry.body)), entry)
        if same is not entry:
            twins.append(Dropped(entry.source, f"says the same as {same.source}"))
    return list(first.values()), twins


def _refuse_shared_ids(entries: Iterable[Entry]) -> None:
    known: dict[str, Entry] = {}
    for entry in entries:
        other = known.setdefault(entry.id, entry)
        if other is not entry:
            raise RetrievalError(
                f"two passages have the id {entry.id!r:.60}: {other.title or other.body!r:.60} and "
                f"{entry.title or entry.body!r:.60}",
                mend="give each an id of its own, or none at all",
            )
