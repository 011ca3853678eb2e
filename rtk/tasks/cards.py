"""A task at a glance: one line, a small card for a notebook, and the digest of what it asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from rtk._html import Markup, element
from rtk.samples import readable
from rtk.tasks.flaws import told
from rtk.tasks.items import SPLITS
from rtk.tasks.judging import name_of

Task = Any  # the `rtk.Task`, which is built on this file
LONGEST = 300  # characters of a question on a card


def digest(scoring: Mapping[str, Any], items: Iterable[Any]) -> str:
    """SHA-256 of how items are scored and of the items, in order, as 64 hexadecimal digits."""
    found = hashlib.sha256()
    for row in (scoring, *items):
        found.update(readable(json.dumps(row, ensure_ascii=False, sort_keys=True, default=str)).encode() + b"\n")
    return found.hexdigest()


def said(task: Task) -> str:
    """One line: which questions, how many, how they are scored."""
    level = "" if task.level is None else f"level={task.level}, "
    sizes = ", ".join(f"{split}={len(getattr(task, split))}" for split in SPLITS)
    left = f", dropped={len({flaw.row for flaw in task.dropped})}" if task.dropped else ""
    left += f", repeated={len(task.repeated)}" if task.repeated else ""
    return f"Task({task.name!r}, {level}seed={task.seed}, {sizes}, {_scored(task)}{left})"


def _scored(task: Task) -> str:
    parts = [f"answer_type={task.answer_type!r}", f"comparer={_comparer(task)!r}"]
    if task.judge is not None:
        parts[1:] = [f"judge={task.judge!r}"]
    check = "None" if task.check is None else name_of(task.check).rpartition(".")[2]
    return ", ".join([*parts, f"check={check}", f"reports={task.reports!r}"])


def _comparer(task: Task) -> str:
    return task.comparer if isinstance(task.comparer, str) else name_of(task.comparer).rpartition(".")[2]


def card(task: Task) -> Markup:
    """A small table for a notebook: what is asked, how many, how it is scored, and the first test question."""
    sizes = ", ".join(f"{len(getattr(task, split)):,} {split}" for split in SPLITS)
    rows = {
        "questions": f"{sizes}; seed {task.seed}" + ("" if task.level is None else f", level {task.level}"),
        "answer": f"{task.answer_field}: {task.answer_type}",
        "scored by": repr(task.judge) if task.judge is not None else _scorer(task),
        "checker": "none" if task.check is None else name_of(task.check),
        "passages": f"{len(task.passages):,}" if task.passages else "",
        "reports": task.reports,
        "fingerprint": task.fingerprint[:16],
        "left out": told(task.dropped),
        "repeated": told(task.repeated),
        "for example": _first(task),
    }
    body = [element("tr", element("th", name, scope="row"), element("td", text)) for name, text in rows.items() if text]
    return element("table", element("caption", task.name), element("tbody", *body))


def _scorer(task: Task) -> str:
    family = task._family
    if family is not None and family.agrees is not None:
        return "a scorer of the task's own: a question has many right answers"
    return f"equality with the gold answer, compared as {_comparer(task)}"


def _first(task: Task) -> str:
    if not task.test:
        return ""
    text = "; ".join(map(str, task.test[0].inputs().toDict().values()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
