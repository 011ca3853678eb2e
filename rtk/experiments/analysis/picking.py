"""One setting of many, by its label or by the values that no other setting has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from rtk.errors import RTKError
from rtk.experiments.analysis.telling import some
from rtk.experiments.records.records import OF_ARM, Arm, Records

Wanted = str | Arm | Mapping[str, Any]


def pick(records: Records, wanted: Wanted) -> Arm:
    """The setting that is meant.

    Args:
        records: of a sweep.
        wanted: a label such as `"samples=8"`, or values of columns (`{"samples": 8, "model": "openai/small"}`) that
            one setting alone has; a function is meant by its name.

    Raises:
        RTKError: for none, naming near labels, and for several, naming them.
    """
    if isinstance(wanted, Arm):
        return pick(records, wanted.label)
    if isinstance(wanted, str):
        return _labelled(records.settings, wanted)
    if not isinstance(wanted, Mapping) or not wanted:
        raise RTKError(f"{wanted!r:.60} names no setting", mend=_mend(records.settings))
    known = [*OF_ARM, *records.axes]
    if foreign := [name for name in wanted if name not in known]:
        raise RTKError(f"no setting has a column {foreign[0]!r}", mend=f"one of {', '.join(known)}")
    found = [arm for arm in records.settings if all(_has(arm, name, value) for name, value in wanted.items())]
    if len(found) == 1:
        return found[0]
    said = ", ".join(f"{name}={value!r:.40}" for name, value in wanted.items())
    if not found:
        raise RTKError(f"no setting has {said}", mend=_mend(records.settings))
    raise RTKError(
        f"{len(found)} settings have {said}: {some([arm.label for arm in found], 6)}",
        mend="add the values that tell them apart, or pass a label",
    )


def _labelled(settings: Sequence[Arm], label: str) -> Arm:
    found = [arm for arm in settings if arm.label == label]
    if not found:
        raise RTKError(f"there is no setting {label!r:.80}", mend=_mend(settings, label))
    return found[0]


def _mend(settings: Sequence[Arm], label: str = "") -> str:
    labels = [arm.label for arm in settings]
    near = get_close_matches(label, labels, n=3, cutoff=0.5) or [one for one in labels if label and label in one][:3]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"there are {some([repr(one) for one in labels], 8)}"


def _has(arm: Arm, name: str, value: Any) -> bool:
    own = {"setting": arm.label, "program": arm.program, "model": arm.model}.get(name, arm.values.get(name))
    if callable(value):
        return own == getattr(value, "__qualname__", type(value).__name__)
    listed = list(value) if isinstance(value, tuple) else value
    return own == listed and isinstance(own, bool) == isinstance(listed, bool)
