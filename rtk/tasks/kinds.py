"""What kind of value a cell holds, what kind a column is of, and what cannot be either."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rtk.errors import TaskError

AnswerType = Literal["int", "float", "text", "bool", "list", "choice"]

LARGEST = 10**300  # whole numbers from here on are refused: they are compared and stored by nobody
SAFE = 2**53  # up to here a float is the whole number that it seems to be
CHOICE_ROWS, CHOICE_MOST, CHOICE_LONGEST = 20, 8, 40  # when repeated texts are taken for a choice among few
SAID = {
    "int": ("a whole number", "whole numbers"),
    "float": ("a number", "numbers"),
    "text": ("a text", "texts"),
    "bool": ("true or false", "true or false"),
    "list": ("a list", "lists"),
    "mapping": ("a mapping", "mappings"),
    "choice": ("one of the choices", "choices"),
}
_INT = re.compile(r"[+-]?(?:0|[1-9]\d{0,299})")
_FLOAT = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_BOOLS = {"true": True, "false": False}


class Wrong(Exception):
    """Why a cell cannot be read."""


@dataclass(frozen=True, slots=True)
class Read:
    """A column as it was read.

    Attributes:
        kind: `AnswerType`, or `"mapping"`.
        values: by row; rows that could not be read are missing.
        wrong: by row, why they could not.
        choices: of a choice, what can be chosen.
    """

    kind: str
    values: dict[int, Any]
    wrong: dict[int, str]
    choices: tuple[Any, ...] = ()


def read_column(
    cells: Sequence[Any],
    *,
    kind: str | None = None,
    textual: bool = False,
    choices: Sequence[Any] | None = None,
    nested: bool = False,
) -> Read:
    """The values of a column, all of one kind.

    Args:
        cells: by row, plain values.
        kind: what they should be; None takes what most of them are (on a tie, what the first one is).
        textual: whether they come from a file in which everything is text, so that `7` may mean the number.
        choices: what can be chosen.
        nested: whether lists and mappings may lie in each other.
    """
    wrong = {row: reason for row, cell in enumerate(cells) if (reason := _unsound(cell, nested))}
    sound = {row: cell for row, cell in enumerate(cells) if row not in wrong}
    told = kind is not None
    if kind is None:
        kind = _most([_kind(cell, textual) for cell in sound.values()])
        if kind == "text" and not nested and (choices is not None or _few(list(sound.values()))):
            kind = "choice"
    if kind == "choice" and choices is None:
        choices = sorted({cell for cell in sound.values() if isinstance(cell, str)})
    values: dict[int, Any] = {}
    for row, cell in sound.items():
        try:
            values[row] = _as(cell, kind, textual, told, choices or ())
        except Wrong as error:
            wrong[row] = str(error)
    return Read(kind, values, wrong, tuple(choices or ()))


def check_type(answer_type: Any) -> None:
    """Refuse what is no answer type."""
    if answer_type is not None and answer_type not in get_args(AnswerType):
        raise TaskError(f"answer_type={answer_type!r}", mend=f"one of {', '.join(get_args(AnswerType))}")


# --- one cell ---------------------------------------------------------------------------------------------------


def _kind(cell: Any, textual: bool = False) -> str:
    """What a cell holds; of a file that is all text, what its text says."""
    if textual and isinstance(cell, str):
        text = cell.strip()
        if _INT.fullmatch(text):
            return "int"
        return "float" if _FLOAT.fullmatch(text) else "bool" if text.lower() in _BOOLS else "text"
    match cell:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case Mapping():
            return "mapping"
    return type(cell).__name__


def _unsound(cell: Any, nested: bool, inside: bool = False) -> str:
    """What is wrong with a cell in any column; empty where nothing is."""
    match cell:
        case None:
            return "an item is missing" if inside else "nothing is there"
        case str():
            return _unsound_text(cell, inside)
        case float() if not math.isfinite(cell):
            return f"{cell} is no finite number"
        case bool() | float():
            return ""
        case int():
            return f"a whole number of {cell.bit_length()} bits is too large" if abs(cell) >= LARGEST else ""
        case list() | tuple() if not inside or nested:
            return next((found for one in cell if (found := _unsound(one, nested, True))), "")
        case Mapping() if nested:
            return next((found for one in cell.values() if (found := _unsound(one, nested, True))), "")
        case Mapping():
            return "a mapping is no answer"
    name = type(cell).__name__
    return f"a {name} is neither text, number, true or false nor a list; write it as text"


def _unsound_text(text: str, inside: bool) -> str:
    if not text.strip():
        return "" if inside else "the text is empty"
    found = next((one for one in text if unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\r\t"), None)
    return f"it holds the control character {found!r}" if found is not None else ""


def _as(cell: Any, kind: str, textual: bool, told: bool, choices: Sequence[Any]) -> Any:
    """A sound cell as a value of a kind.

    Raises:
        Wrong: it is of another kind.
    """
    if kind == "choice":
        if cell not in choices or isinstance(cell, bool):
            raise Wrong(f"{cell!r:.40} is none of the choices {', '.join(map(repr, choices))}"[:160])
        return cell
    text = cell.strip() if isinstance(cell, str) and (textual or told) else None
    match kind:
        case "int" if isinstance(cell, int) and not isinstance(cell, bool):
            return cell
        case "int" if told and isinstance(cell, float) and cell == int(cell) and abs(cell) <= SAFE:
            return int(cell)
        case "int" if text is not None and _INT.fullmatch(text):
            return int(text)
        case "float" if isinstance(cell, int | float) and not isinstance(cell, bool):
            return float(cell) if abs(cell) <= SAFE else cell
        case "float" if text is not None and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        case "bool" if isinstance(cell, bool):
            return cell
        case "bool" if text is not None and text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
        case "text" if isinstance(cell, str):
            return cell
        case "list" if isinstance(cell, list | tuple):
            return list(cell)
        case "list" if text is not None:
            return _json_list(text)
        case "mapping" if isinstance(cell, Mapping):
            return dict(cell)
    one, several = SAID.get(_kind(cell), (f"a {_kind(cell)}", ""))[0], SAID.get(kind, ("", f"of type {kind}"))[1]
    raise Wrong(f"{cell!r:.40} is {one}, where {'the answers are to be' if told else 'the others are'} {several}")


def _json_list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{text!r:.40} is no list in JSON") from error
    if not isinstance(found, list) or _unsound(found, False):
        raise Wrong(f"{text!r:.40} is no list in JSON of texts and numbers")
    return found


# --- a column ---------------------------------------------------------------------------------------------------


def _most(kinds: list[str]) -> str:
    """What most cells are; whole numbers and others together are numbers."""
    if not kinds:
        return "text"
    merged = ["float" if kind == "int" else kind for kind in kinds]
    most = Counter(merged).most_common(1)[0][0]  # on a tie the first one that came
    return "int" if most == "float" and "float" not in kinds else most


def _few(values: list[Any]) -> bool:
    """Whether texts are a choice among few: 20 rows or more, and each of at most 8 short texts comes twice or more."""
    counts = Counter(value for value in values if isinstance(value, str))
    short = all(len(value) <= CHOICE_LONGEST for value in counts)
    return (
        counts.total() >= CHOICE_ROWS
        and 2 <= len(counts) <= CHOICE_MOST
        and short
        and min(counts.values()) > 1
        and max(counts.values()) < counts.total()
    )
