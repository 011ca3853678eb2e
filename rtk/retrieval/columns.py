"""Which columns of a table hold questions, answers, texts, ids and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtk.errors import RetrievalError

OBVIOUS = {
    "question": ("question", "query", "q"),
    "answer": ("answer", "response", "reply", "a"),
    "text": ("text", "passage", "content", "body", "document"),
    "title": ("title", "heading"),
    "id": ("id",),
    "source": ("source", "url", "file"),
}
"""Names that say what a column holds, in lower case; where several are there, the one named first is taken."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that holds pairs (`question` and `answer`) or texts (`text`, perhaps with a `title`)."""

    question: str | None = None
    answer: str | None = None
    text: str | None = None
    title: str | None = None
    id: str | None = None
    source: str | None = None

    def cells(self, row: Mapping[str, Any], place: str) -> tuple[str, str, bool, str, str]:
        """Of a row: title, body, whether it is a pair, its id and its source, those two empty where it has none."""
        pair = self.text is None
        title, body = (self.question, self.answer) if pair else (self.title, self.text)
        return (
            _cell(row, title, place),
            _cell(row, body, place),
            pair,
            _cell(row, self.id, place).strip(),
            _cell(row, self.source, place).strip(),
        )


def chosen_columns(rows: Sequence[Mapping[str, Any]], named: Mapping[str, str | None]) -> Columns:
    """The columns as they are named, else as their names say.

    Args:
        rows: the table.
        named: of `question`, `answer` and `text`, the column that somebody named, or None.

    Raises:
        RetrievalError: a named column is not there, or the names do not say which are meant.
    """
    there = list(dict.fromkeys(str(name) for row in rows for name in row))
    for name, column in named.items():
        if column is not None and column not in there:
            raise RetrievalError(f"{name}={column!r}: there is no such column", mend=f"one of {_listed(there)}")
    if named["text"] is not None and (named["question"] is not None or named["answer"] is not None):
        raise RetrievalError("text= beside question= or answer=", mend="name the columns of pairs, or that of texts")
    found = {what: named.get(what) or _obvious(there, names) for what, names in OBVIOUS.items()}
    if found["question"] and found["answer"] and named["text"] is None:
        found.update(text=None, title=None)
    elif found["text"] and not named["question"] and not named["answer"]:
        found.update(question=None, answer=None)
    else:
        raise RetrievalError(
            f"the columns do not say which hold questions and answers, or texts: {_listed(there)}",
            mend="question='…', answer='…' for pairs, or text='…'",
        )
    return Columns(**found)


def _obvious(there: Sequence[str], names: Sequence[str]) -> str | None:
    for name in names:
        alike = [column for column in there if column.strip().lower() == name]
        if len(alike) > 1:
            raise RetrievalError(f"the columns {_listed(alike)} differ only in their spelling", mend="rename one")
        if alike:
            return alike[0]
    return None


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in columns[:20])
    return f"{shown}, …" if len(columns) > 20 else shown or "none"


def _cell(row: Mapping[str, Any], column: str | None, place: str) -> str:
    value = row.get(column) if column is not None else None
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return str(value.item())
    raise RetrievalError(
        f"{place}: its {column!r} is a {type(value).__name__}, no text", mend="make it a text, or name another column"
    )
