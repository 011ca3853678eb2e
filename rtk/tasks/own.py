"""A user's own table as the splits of a task: every row sound, no question in two splits."""

from __future__ import annotations

import hashlib
import json
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.signatures.signature import ensure_signature

from rtk.answers import Comparer, equal
from rtk.errors import TaskError
from rtk.tasks.columns import Columns, Plan, planned, signature_of
from rtk.tasks.flaws import Flaw, counted, refuse
from rtk.tasks.items import SPLITS, split_of
from rtk.tasks.kinds import Read, check_type, read_column
from rtk.tasks.sources import Source

COMPARERS: Mapping[str, Comparer] = {"int": "numeric", "float": "numeric", "list": "sequence"}
ALIASES = {
    "train": "train", "training": "train", "dev": "dev", "valid": "dev", "val": "dev", "validation": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
TRAIN_SIZE, LEAST_DEV_SIZE = 40, 10  # with `size=`, as `rtk.tasks.load` has them
ID_DIGITS = 16


@dataclass(frozen=True)
class Asked:
    """What a user says of a table; see `Task.from_frame`."""

    question: Columns = "question"
    answer: str | None = "answer"
    id: str | None = None
    split: str | None = None
    name: str | None = None
    size: int | Mapping[str, int] | None = None
    seed: int = 0
    answer_type: Any = None
    choices: Sequence[Any] | None = None
    comparer: Comparer | None = None
    signature: Any = None
    instructions: str | None = None
    bad: str = "raise"


@dataclass(frozen=True)
class Table:
    """A table that was read: what a task needs of it."""

    name: str
    signature: Any
    splits: dict[str, list[dspy.Example]]
    answer_field: str
    answer_type: Any
    comparer: Comparer
    dropped: tuple[Flaw, ...] = ()
    repeated: tuple[Flaw, ...] = ()


@dataclass
class _Row:
    """A row that is sound by itself."""

    number: int
    inputs: dict[str, Any]
    answer: Any
    id: str | None = None
    split: str | None = None
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = content_key(self.inputs)


def read_table(source: Source, asked: Asked) -> Table:
    """The splits of a table.

    Raises:
        TaskError: columns that are not there, bad rows, or too few questions.
    """
    if asked.bad not in ("raise", "drop"):
        raise TaskError(f"bad={asked.bad!r}", mend='bad="raise" names the bad rows, bad="drop" leaves them out')
    check_type(asked.answer_type)
    if not source.rows:
        raise TaskError("the table has no rows", mend="pass one with a row for each question")
    signature = None if asked.signature is None else ensure_signature(asked.signature)
    plan = planned(source.columns, asked.question, asked.answer, asked.id, asked.split, signature)
    inputs = {name: read_column(_cells(source, column), nested=True) for name, column in plan.inputs.items()}
    answer = None if plan.answer is None else _answers(source, plan.answer, asked)
    comparer: Comparer = asked.comparer or COMPARERS.get("text" if answer is None else answer.kind, "auto")
    if not callable(comparer):
        equal("", "", comparer)  # refuses an unknown name
    rows, flaws = _sound_rows(source, plan, inputs, answer)
    kept, more, repeated = _compared(rows, comparer, plan)
    flaws = sorted([*flaws, *more])
    if asked.bad == "raise":
        refuse(flaws)
    elif flaws:
        warnings.warn(f"left out of {len(source.rows)} rows: {counted(flaws)}", stacklevel=4)
    name = asked.name or source.name
    made = signature or signature_of(plan, inputs, answer, asked.instructions)
    if signature is not None and asked.instructions is not None:
        made = signature.with_instructions(asked.instructions)
    kind = "text" if answer is None else answer.kind
    splits = {split: [_example(row, plan, name) for row in found] for split, found in _split(kept, asked).items()}
    return Table(name, made, splits, plan.answer_field, kind, comparer, tuple(flaws), tuple(repeated))


def content_key(inputs: Mapping[str, Any]) -> str:
    """What makes two questions the same: their inputs, however blanks and composed letters are written."""
    return json.dumps(_settled(inputs), ensure_ascii=False, sort_keys=True)


def _settled(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, Mapping):
        return {str(name): _settled(one) for name, one in value.items()}
    return [_settled(one) for one in value] if isinstance(value, list | tuple) else value


# --- rows -------------------------------------------------------------------------------------------------------


def _cells(source: Source, column: str) -> list[Any]:
    return [row.get(column) for row in source.rows]


def _answers(source: Source, column: str, asked: Asked) -> Read:
    choices = asked.choices if asked.choices is not None else source.choices.get(column)
    kind = asked.answer_type or ("choice" if asked.choices is not None else None)
    found = read_column(_cells(source, column), kind=kind, textual=source.textual, choices=choices)
    if found.kind == "mapping" and found.values:
        raise TaskError(f"the answers in {column!r} are mappings", mend="a column of texts, numbers or lists")
    return found


def _sound_rows(
    source: Source, plan: Plan, inputs: Mapping[str, Read], answer: Read | None
) -> tuple[list[_Row], list[Flaw]]:
    """The rows in which nothing is wrong by itself, and what is wrong with the others."""
    columns = [(plan.inputs[name], read) for name, read in inputs.items()]
    columns += [(plan.answer, answer)] if plan.answer is not None and answer is not None else []
    flaws = [Flaw(row, column, reason) for column, read in columns for row, reason in read.wrong.items()]
    ids, seen = ([None] * len(source.rows) if plan.id is None else _cells(source, plan.id)), dict[str, int]()
    splits = [None] * len(source.rows) if plan.split is None else _cells(source, plan.split)
    rows = []
    for number, (id, split) in enumerate(zip(ids, splits, strict=True)):
        found = [] if plan.id is None else _id_flaws(number, plan.id, id, seen)
        if plan.split is not None and str(split).strip().lower() not in ALIASES:
            found.append(Flaw(number, plan.split, f"{split!r:.40} is none of train, dev and test"))
        flaws += found
        if not found and all(number in read.values for _, read in columns):
            values = {name: read.values[number] for name, read in inputs.items()}
            row = _Row(number, values, None if answer is None else answer.values[number])
            row.id = None if id is None else str(id)
            row.split = None if split is None else ALIASES[str(split).strip().lower()]
            rows.append(row)
    return rows, flaws


def _id_flaws(number: int, column: str, id: Any, seen: dict[str, int]) -> list[Flaw]:
    if id is None or isinstance(id, bool) or not isinstance(id, int | str) or not str(id).strip():
        return [Flaw(number, column, "nothing is there" if id is None else f"{id!r:.40} names no row")]
    first = seen.setdefault(str(id), number)
    return [] if first == number else [Flaw(number, column, f"{id!r:.40} again, as in row {first}")]


def _compared(rows: Sequence[_Row], comparer: Comparer, plan: Plan) -> tuple[list[_Row], list[Flaw], list[Flaw]]:
    """Rows that ask different things; what is wrong between those that ask the same; and those that merely repeat."""
    groups = defaultdict[str, list[_Row]](list)
    for row in rows:
        groups[row.key].append(row)
    kept, flaws, repeated = [], [], []
    where = next(iter(plan.inputs.values()))
    for first, *others in groups.values():
        against = [row for row in others if not _agree(first.answer, row.answer, comparer)]
        if against:
            told = f"the same question in rows {first.number} and {against[0].number}, with different answers"
            flaws += [Flaw(row.number, plan.answer or where, told) for row in (first, *others)]
            continue
        kept.append(first)
        for row in others:
            if row.split != first.split:
                told = f"what row {first.number} asks, which is in {first.split}"
                flaws.append(Flaw(row.number, plan.split or where, told))
            else:
                repeated.append(Flaw(row.number, where, f"what row {first.number} asks, with the same answer"))
    return kept, flaws, repeated


def _agree(a: Any, b: Any, comparer: Comparer) -> bool:
    return a == b if callable(comparer) else equal(a, b, comparer)


# --- splits -----------------------------------------------------------------------------------------------------


def _split(rows: Sequence[_Row], asked: Asked) -> dict[str, list[_Row]]:
    """The rows of each split, as many as are wanted."""
    found: dict[str, list[_Row]] = {split: [] for split in SPLITS}
    for row in rows:
        found[row.split or split_of(row.key)].append(row)
    if asked.size is not None:
        found = {split: _sized(split, found[split], asked) for split in SPLITS}
    if not found["test"]:
        had = f"{len(rows)} sound row{'s' * (len(rows) != 1)}, none of them in the test split"
        raise TaskError(f"nothing is left to test on: {had}", mend='frame.assign(split="test"), and split="split"')
    return found


def _sized(split: str, rows: list[_Row], asked: Asked) -> list[_Row]:
    """As many rows as are wanted, drawn by the seed: a larger size keeps those of a smaller one."""
    size = asked.size
    if isinstance(size, Mapping):
        wanted, least = size.get(split, len(rows)), size.get(split, 0)
        unknown = [name for name in size if name not in SPLITS]
    else:
        wanted = {"train": TRAIN_SIZE, "dev": max(LEAST_DEV_SIZE, int(size or 0) // 2), "test": size}[split] or 0
        least, unknown = (wanted if split == "test" else 0), []
    if unknown or isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < (split == "test"):
        raise TaskError(f"size={size!r}", mend="a number of test questions from 1 on, or {'train': 40, 'test': 100}")
    if len(rows) < least:
        raise TaskError(
            f"there are {len(rows)} different {split} questions, {least} are wanted",
            mend=f"pass {len(rows)} or fewer, or a column split= that puts more rows there",
        )
    return sorted(rows, key=lambda row: hashlib.sha256(f"{asked.seed}/{row.key}".encode()).digest())[:wanted]


def _example(row: _Row, plan: Plan, name: str) -> dspy.Example:
    """A row as an example; without an id of its own it is called after what it asks."""
    id = row.id or f"{name}/{hashlib.sha256(row.key.encode()).hexdigest()[:ID_DIGITS]}"
    fields = {**row.inputs, plan.answer_field: row.answer, "id": id}
    return dspy.Example(**fields).with_inputs(*row.inputs)
