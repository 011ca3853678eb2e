"""What is swept: settings and their values, with what each is called in a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rtk.budget import Budget
from rtk.errors import StrategyError
from rtk.experiments.records.records import OF_ARM, OF_EXAMPLE, PLACE
from rtk.experiments.records.spool import ROWS

TAKEN = {*OF_ARM, *OF_EXAMPLE, *PLACE, *ROWS.types}


class Value(NamedTuple):
    """A value of a setting, and what it is called: itself where JSON can hold it."""

    said: Any
    value: Any


def axes(over: Mapping[str, Any]) -> dict[str, list[Value]]:
    """A setting to its values: a list, or names to values.

    Functions of one name are told apart by numbers; numbers of numpy's are Python's.

    Raises:
        StrategyError: for no values, or one value twice.
    """
    found = {}
    for name, values in over.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
            raise StrategyError(
                f"over={{{name!r}: {values!r:.40}}}", mend=f'a list, such as {{"{name}": [{values!r}]}}'
            )
        named = values if isinstance(values, Mapping) else None
        listed = [_plain(value) for value in (values if named is None else named.values())]
        if not listed:
            raise StrategyError(f"over={{{name!r}: []}}: no value", mend="one value at least")
        said = list(map(str, named)) if named is not None else [told(value) for value in listed]
        _refuse_twins(name, said, listed)
        found[name] = [Value(*pair) for pair in zip(_apart(said), listed, strict=True)]
    return found


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _refuse_twins(name: str, said: list[Any], values: list[Any]) -> None:
    for place, value in enumerate(values):
        if any(value is one or (said[place] == said[at] and _is_json(value)) for at, one in enumerate(values[:place])):
            raise StrategyError(
                f"over={{{name!r}: …}} has {said[place]!r} twice", mend="each value once; replicates= repeats"
            )


def _apart(said: list[Any]) -> list[Any]:
    """Names that differ."""
    keys = [json.dumps(one, sort_keys=True) for one in said]
    return [
        f"{one} ({keys[: place + 1].count(key)})" if isinstance(one, str) and key in keys[:place] else one
        for place, (one, key) in enumerate(zip(said, keys, strict=True))
    ]


def column(axis: str) -> str:
    """The column of an axis; one that is called like a column there is has another name."""
    return f"{axis}_setting" if axis in TAKEN else axis


def told(value: Any) -> Any:
    """A setting as a JSON value: itself where it is one, else what it is called."""
    if _is_json(value):
        return json.loads(json.dumps(value))
    called = getattr(getattr(value, "func", value), "__qualname__", None)  # of a partial its function's
    return called or (repr(value) if isinstance(value, Budget) else type(value).__name__)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
