"""Which column of a table is which field of a question, and the signature that these fields make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import dspy

from rtk.errors import TaskError
from rtk.tasks.kinds import Read

Columns = str | Sequence[str] | Mapping[str, str]
"""One column; several, each an input field of its own name; or input fields to columns."""

QUESTION, ANSWER = "question", "answer"
RESERVED = frozenset(dir(dspy.Example)) | {"id", "reasoning"}
TYPES: Mapping[str, Any] = {
    "int": int, "float": float, "text": str, "bool": bool, "list": list[Any], "mapping": dict[str, Any]
}  # fmt: skip
OPEN = "Answer the question."


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read from where.

    Attributes:
        inputs: input fields to columns.
        answer: the column of the gold answers; None where there are none.
        answer_field: the output field.
        id: the column of names of rows, where there is one.
        split: the column that says which split a row belongs to, where there is one.
    """

    inputs: Mapping[str, str]
    answer: str | None
    answer_field: str = ANSWER
    id: str | None = None
    split: str | None = None


def planned(
    columns: Sequence[str], question: Columns, answer: str | None, id: str | None, split: str | None, signature: Any
) -> Plan:
    """A plan for a table with such columns.

    Raises:
        TaskError: a column that is not there or is wanted twice, or a field that cannot be one.
    """
    inputs = _inputs(question, signature)
    wanted = [*inputs.values(), *(name for name in (answer, id, split) if name is not None)]
    for name in wanted:
        if name not in columns:
            raise _missing(name, columns)
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise TaskError(f"the column {twice!r} is wanted for two things", mend="name a column of its own for each")
    field = ANSWER if signature is None else list(signature.output_fields)[-1]
    _check_fields([*inputs, field], signature)
    return Plan(inputs, answer, field, id, split)


def _inputs(question: Columns, signature: Any) -> dict[str, str]:
    if isinstance(question, Mapping):
        found = {str(field): str(column) for field, column in question.items()}
    elif isinstance(question, str) or not isinstance(question, Sequence):
        fields = [] if signature is None else list(signature.input_fields)
        found = {fields[0] if len(fields) == 1 else QUESTION: str(question)}
    else:
        found = {str(column): str(column) for column in question}
        if len(found) < len(question):
            raise TaskError(f"question={question!r:.80} names a column twice", mend="name each column once")
    if not found:
        raise TaskError("no column holds the question", mend='name one: question="…", or several in a list')
    return found


def _missing(name: str, columns: Sequence[str]) -> TaskError:
    near = get_close_matches(name, columns, n=2, cutoff=0.6)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return TaskError(
        f"the table has no column {name!r}, but {', '.join(map(repr, columns)) or 'none'}",
        mend=f"{guess}say which it is: question=, answer=, id= and split= take the name of a column",
    )


def _check_fields(fields: Sequence[str], signature: Any) -> None:
    for name in fields:
        if not name.isidentifier() or name in RESERVED or name.startswith("_"):
            raise TaskError(
                f"a field cannot be called {name!r}",
                mend=f"name it: question={{'field': {name!r}}}, or rename the column",
            )
    twice = len(set(fields)) < len(fields)
    if twice:
        raise TaskError(
            f"{fields[-1]!r} is an input and the answer", mend=f"question={{'given': {fields[-1]!r}}} renames the input"
        )
    if signature is not None and set(fields[:-1]) != set(signature.input_fields):
        raise TaskError(
            f"the signature asks with {', '.join(signature.input_fields)}, the table with {', '.join(fields[:-1])}",
            mend="question={'field of the signature': 'column', …}",
        )


def signature_of(plan: Plan, inputs: Mapping[str, Read], answer: Read | None, instructions: str | None) -> Any:
    """The signature that the fields make, each of the type of its column."""
    fields: dict[str, Any] = {name: (_type(read), dspy.InputField()) for name, read in inputs.items()}
    fields[plan.answer_field] = (str if answer is None else _type(answer), dspy.OutputField())
    made: Any = dspy.Signature  # its metaclass takes fields
    return made(fields, OPEN if instructions is None else instructions)


def _type(read: Read) -> Any:
    if read.kind == "choice" and read.choices:
        return Literal[tuple(read.choices)]
    if read.kind == "list":
        inside = {type(one) for value in read.values.values() for one in value}
        return list[inside.pop()] if len(inside) == 1 else list[Any]
    return TYPES.get(read.kind, str)
