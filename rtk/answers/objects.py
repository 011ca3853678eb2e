"""Structured answers: pydantic objects, mappings and JSON text, read as fields and put together again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from rtk.errors import AnswerError

DEEPEST = 12  # objects within objects; what lies deeper is compared as text


def simple(value: Any) -> Any:
    """An enumeration's value, a pydantic object's fields; everything else as it is."""
    if isinstance(value, Enum):
        return value.value
    return value.model_dump() if callable(getattr(type(value), "model_dump", None)) else value


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a text of JSON writes; None for any other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a structured answer with their own values; None where it has none."""
    if isinstance(value, str):
        return json_object(value)
    if isinstance(value, Mapping):
        return {str(name): one for name, one in value.items()}
    names = getattr(type(value), "model_fields", None)
    if not isinstance(names, Mapping):
        return None
    return {**{name: getattr(value, name) for name in names}, **(getattr(value, "model_extra", None) or {})}


def built(like: Any, fields: Mapping[str, Any]) -> Any:
    """An object of the type of another one, with these fields.

    Raises:
        Exception: whatever the type says against them.
    """
    if isinstance(like, str):
        return json.dumps(fields, ensure_ascii=False, default=str)
    if isinstance(like, Mapping):
        return dict(fields)
    return type(like).model_validate(dict(fields), by_name=True)


def without(value: Any, exclude: Sequence[str]) -> Any:
    """A structured answer as plain mappings and lists, without the values of some names, however deep they lie.

    A name with dots is the end of a path: `"args.seed"` is every `seed` within an `args`, `"seed"` every one. Items of
    lists have the path of their list.

    Raises:
        AnswerError: for what is no sequence of names.
    """
    if isinstance(exclude, str) or not all(isinstance(name, str) and name for name in exclude):
        raise AnswerError(f"exclude={exclude!r}", mend='a sequence of names, such as ("seed", "args.user")')
    if not exclude:
        return value
    whole = json_object(value) if isinstance(value, str) else None
    return _without(value if whole is None else whole, [tuple(name.split(".")) for name in exclude], (), 0)


def _without(value: Any, paths: list[tuple[str, ...]], at: tuple[str, ...], depth: int) -> Any:
    value = simple(value)
    if depth >= DEEPEST:
        return value
    if isinstance(value, Mapping):
        places = {name: (*at, str(name)) for name in value}
        kept = [name for name, place in places.items() if not any(place[-len(path) :] == path for path in paths)]
        return {name: _without(value[name], paths, places[name], depth + 1) for name in kept}
    if isinstance(value, list | tuple):
        return [_without(one, paths, at, depth + 1) for one in value]
    return value
