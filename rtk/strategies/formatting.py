"""Prompts as DSPy's adapters write them; what follows from the signature alone is written once for many of them."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

import dspy

_KNOWN = (dspy.ChatAdapter, dspy.JSONAdapter)  # exactly these: a subclass may write what it likes
_MOST = 8  # system messages kept of one signature
_written: WeakKeyDictionary[type, dict[Any, str]] = WeakKeyDictionary()


def formatted(adapter: Any, signature: Any, demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """What `adapter.format` makes of these, in a third of the time: most of it goes into the system message."""
    if type(adapter) not in _KNOWN or vars(adapter).get("callbacks") or dspy.settings.get("callbacks"):
        return adapter.format(signature, demos, inputs)
    quick: Any = copy.copy(adapter)
    quick.format_system_message = lambda asked: _system_message(adapter, asked)
    return quick.format(signature, demos, inputs)


def _system_message(adapter: Any, signature: Any) -> str:
    known, key = _written.setdefault(signature, {}), _looks(adapter, signature)
    if key not in known:
        if len(known) >= _MOST:
            known.clear()
        known[key] = adapter.format_system_message(signature)
    return known[key]


def _looks(adapter: Any, signature: Any) -> Any:
    """All that a system message is made of; a signature's instructions and descriptions may be written over."""
    fields = [(name, one.annotation, one.json_schema_extra or {}) for name, one in signature.fields.items()]
    told = tuple((name, id(kind), str(sorted(extra.items(), key=str))) for name, kind, extra in fields)
    return type(adapter), signature.instructions, told
