"""What `results.json` says: what was measured, with what, and which files hold the rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import msgspec

from rtk.errors import NewerStore, RTKError
from rtk.experiments.records.records import Arm, Card
from rtk.experiments.records.spool import EXAMPLES, ROWS, TABLES
from rtk.samples import of_connection

SCHEMA = 1
DEEPEST = 20  # values within values
FILE = re.compile(r"[a-z]+-[0-9a-f]{8}\.parquet")
_HIDDEN = "…"
_SECRETS = re.compile(
    r"\b[a-z][a-z0-9+.-]*://\S+"  # endpoints
    r"|\b(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{2,5}\b\S*"
    r"|\b(?:sk|pk|rk|xai|glpat)-[\w-]{6,}|\b(?:hf|gsk|ghp|r8)_\w{8,}|\bAIza[\w-]{20,}|\bAKIA[A-Z0-9]{12,}"  # keys
    r"|\bbearer\s+[\w.~+/=-]{6,}"
    r"|\b(?:x-)?(?:api[_-]?key|authorization|password|secret|access[_-]?token)\s*[:=]\s*\S+(?:\s+\S+)?",
    re.IGNORECASE,
)


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a save.

    Attributes:
        name: in the folder.
        size: in bytes.
        sha256: of its bytes, in hex.
        rows: how many it holds.
    """

    name: str
    size: int
    sha256: str
    rows: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured, as `rtk.experiments.Records` has it, and the files by the names of their tables."""

    task: Card
    settings: list[Arm]
    asked: int
    stopped: str | None
    replicates: int
    about: dict[str, Any]
    tables: dict[str, Part]
    schema: int = SCHEMA
    axes: list[str] = []


class _Schema(msgspec.Struct):
    schema: int


def written(manifest: Manifest) -> bytes:
    """The text of results.json: no key, header or endpoint is in it."""
    arms = _told_apart([_arm(arm) for arm in manifest.settings])
    task = replace(manifest.task, **{one.name: plain(getattr(manifest.task, one.name)) for one in fields(Card)})
    axes = list(dict.fromkeys(name for arm in arms for name in arm.values))
    clean = msgspec.structs.replace(
        manifest, task=task, settings=arms, about=plain(manifest.about), stopped=plain(manifest.stopped), axes=axes
    )
    ordered = {"schema": SCHEMA, **msgspec.to_builtins(clean)}
    return (json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")


def read_manifest(text: bytes, name: str) -> Manifest:
    """What a stranger's results.json says.

    Args:
        text: its bytes.
        name: what errors call it.

    Raises:
        NewerStore: where a newer rtk wrote it.
        RTKError: where it says something else.
    """
    try:
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema > SCHEMA:
            raise NewerStore(
                f"{name} is of version {schema}, which a newer rtk wrote; this one reads {SCHEMA}",
                mend="update rtk-inference",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(name, str(error)) from error
    if problem := _problem(manifest):
        raise _refused(name, problem)
    return manifest


def check_counts(found: Manifest, name: str) -> None:
    """Whether what it says fits the tables, once they are known to be as long as it says.

    Raises:
        RTKError: for another number of questions, or more answers than were asked for.
    """
    questions, answers = (found.tables[table.file].rows for table in (EXAMPLES, ROWS))
    if found.task.size != questions:
        raise _refused(name, f"it tells of {found.task.size:,} questions, and {questions:,} are there")
    if found.asked < answers:
        raise _refused(name, f"{found.asked:,} answers were asked for, and {answers:,} are there")


def _refused(name: str, why: str) -> RTKError:
    return RTKError(f"{name} is not read: {why:.300}", mend="save the results again, or copy the folder again, whole")


def _problem(found: Manifest) -> str | None:
    """Why it cannot be so; None where it can."""
    labels = [arm.label for arm in found.settings]
    if found.schema < 1 or min(found.asked, found.replicates, found.task.size) < 0:
        return "one of its numbers is negative"
    if len(set(labels)) < len(labels):
        return "two of its settings have one label"
    if sorted(found.tables) != sorted(table.file for table in TABLES):
        return f"its tables are not {', '.join(table.file for table in TABLES)}"
    for part in found.tables.values():
        if not FILE.fullmatch(part.name):
            return f"{part.name!r:.100} is no name of a table of results"
        if min(part.size, part.rows) < 0:
            return f"the size of {part.name} is negative"
    return None


# --- what may be in it ---


def _arm(arm: Arm) -> Arm:
    return Arm(plain(arm.label), plain(arm.program), plain(arm.model), plain(dict(arm.values)))


def _told_apart(arms: list[Arm]) -> list[Arm]:
    """Arms whose labels became the same where something was hidden, numbered."""
    found: dict[str, Arm] = {}
    for arm in arms:
        label, number = arm.label, 1
        while label in found:
            number += 1
            label = f"{arm.label} ({number})"
        found[label] = replace(arm, label=label)
    return list(found.values())


def plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it, without what belongs to a connection: by its name, or by its look."""
    if isinstance(value, Mapping) and depth < DEEPEST:
        items = ((str(name), one) for name, one in value.items())
        return {name: plain(one, depth + 1) for name, one in items if not _of_connection(name)}
    if isinstance(value, (list, tuple)) and depth < DEEPEST:
        return [plain(one, depth + 1) for one in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _SECRETS.sub(_HIDDEN, str(value))


def _of_connection(name: str) -> bool:
    """Whether a setting says where a model is or who asks; how long was waited for it is no secret."""
    return of_connection(name) and not name.endswith("timeout")
