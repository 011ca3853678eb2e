"""Prompts as DSPy's adapters write them, and completions as they read them: what follows from the signature alone is
worked out once for many of them.
"""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

import dspy

KNOWN = (dspy.ChatAdapter, dspy.JSONAdapter)
"""The adapters whose ways are known here: exactly these, since a subclass may do what it likes."""

_MOST = 8  # system messages kept of one signature
_written: WeakKeyDictionary[type, dict[Any, str]] = WeakKeyDictionary()


def formatted(adapter: Any, signature: Any, demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """What `adapter.format` makes of these, in a third of the time: most of it goes into the system message."""
    if type(adapter) not in KNOWN or vars(adapter).get("callbacks") or dspy.settings.get("callbacks"):
        return adapter.format(signature, demos, inputs)
    quick: Any = copy.copy(adapter)
    quick.format_system_message = lambda asked: _system_message(adapter, asked)
    return quick.format(signature, demos, inputs)


def _system_message(adapter: Any, signature: Any) -> str:
    known, key = _written.setdefault(signature, {}), (type(adapter), looks(signature))
    if key not in known:
        if len(known) >= _MOST:
            known.clear()
        known[key] = adapter.format_system_message(signature)
    return known[key]


def looks(signature: Any) -> Any:
    """All that a prompt says of a signature; its instructions and descriptions may be written over."""
    fields = signature.fields.items()
    return signature.instructions, tuple((name, id(one.annotation), str(one.json_schema_extra)) for name, one in fields)


class _OutputsOnce:
    """A signature as a parser looks at it. It puts its output fields together anew at every look; here once."""

    def __init__(self, signature: Any) -> None:
        self._signature, self.output_fields = signature, signature.output_fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signature, name)


def to_parse(adapter: Any, signature: Any) -> Any:
    """A signature to parse with: for an adapter that is known here one that is quick to look at, else itself."""
    return _OutputsOnce(signature) if type(adapter) in KNOWN else signature
