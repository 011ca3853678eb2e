"""rtk: better answers from the same language model, by letting it think longer.

The map of the house, from the ground up; a room imports lower floors only.

    errors, samples, events     what can go wrong; requests, addresses and samples; what happens while it happens
    answers, statistics         text to answer to vote; numbers to estimates with intervals
    budget, store, deliberation what may be spent; samples on disk and in recordings; what happened on the way
    models, tasks               `LM` and the ways to a model; questions with metrics and checkers
    strategies                  chain of thought, self-consistency, best of N, tree of thoughts, and your own
    experiments                 programs measured on tasks, compared and drawn
    widgets, cli, testing       controls in a notebook; the command line; a scripted model server and `play`

The names below load on first use, so that `import rtk` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtk import answers, errors, events, experiments, statistics, tasks, testing
    from rtk.budget import Budget, Spent
    from rtk.deliberation import Deliberation
    from rtk.errors import BudgetSpent, NotRecorded, RTKError, SampleError
    from rtk.events import watch
    from rtk.models import LM, Endpoint, LinesAdapter, TextAdapter
    from rtk.samples import replicate
    from rtk.store import Recording, SampleStore, recording
    from rtk.strategies import (
        BestOfN,
        ChainOfThought,
        Inputs,
        Outcome,
        Prediction,
        SelfConsistency,
        Setting,
        Strategy,
        TreeOfThoughts,
        ask,
    )
    from rtk.widgets import Playground

__version__ = "0.1.0"

__all__ = [
    "LM",
    "BestOfN",
    "Budget",
    "BudgetSpent",
    "ChainOfThought",
    "Deliberation",
    "Endpoint",
    "Inputs",
    "LinesAdapter",
    "NotRecorded",
    "Outcome",
    "Playground",
    "Prediction",
    "RTKError",
    "Recording",
    "SampleError",
    "SampleStore",
    "SelfConsistency",
    "Setting",
    "Spent",
    "Strategy",
    "TextAdapter",
    "TreeOfThoughts",
    "answers",
    "ask",
    "errors",
    "events",
    "experiments",
    "recording",
    "replicate",
    "statistics",
    "tasks",
    "testing",
    "watch",
]

_ROOMS = {
    "answers": "rtk.answers",
    "errors": "rtk.errors",
    "events": "rtk.events",
    "experiments": "rtk.experiments",
    "statistics": "rtk.statistics",
    "tasks": "rtk.tasks",
    "testing": "rtk.testing",
}
_NAMES = {
    "rtk.budget": ("Budget", "Spent"),
    "rtk.deliberation": ("Deliberation",),
    "rtk.errors": ("BudgetSpent", "NotRecorded", "RTKError", "SampleError"),
    "rtk.events": ("watch",),
    "rtk.models": ("LM", "Endpoint", "LinesAdapter", "TextAdapter"),
    "rtk.samples": ("replicate",),
    "rtk.store": ("Recording", "SampleStore", "recording"),
    "rtk.strategies": (
        "BestOfN",
        "ChainOfThought",
        "Inputs",
        "Outcome",
        "Prediction",
        "SelfConsistency",
        "Setting",
        "Strategy",
        "TreeOfThoughts",
        "ask",
    ),
    "rtk.widgets": ("Playground",),
}
_WHERE = {name: room for room, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rtk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
