"""rtk: better answers from the same language model, by letting it think longer.

The map of the house, from the ground up; a room imports lower floors only.

    errors, samples, events     what can go wrong; requests, addresses and samples; what happens while it happens
    answers, statistics         text to answer to vote; numbers to estimates with intervals
    budget, store, deliberation what may be spent; samples on disk and in recordings; what happened on the way
    models, tasks               `LM` and the ways to a model; questions with metrics and checkers
    retrieval                   passages for a question, of a list, a table or a folder of texts
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
    from rtk.experiments import Results, asweep, optimize, sweep
    from rtk.models import LM, Endpoint, LinesAdapter, TextAdapter
    from rtk.retrieval import Retriever
    from rtk.samples import replicate
    from rtk.statistics import power
    from rtk.store import Recording, SampleStore, recording
    from rtk.strategies import (
        AdaptiveEffort,
        BestOfN,
        Cascade,
        ChainOfThought,
        Inputs,
        Outcome,
        Prediction,
        SelfConsistency,
        SelfRefine,
        Setting,
        Strategy,
        TreeOfThoughts,
        aallocate,
        allocate,
        ask,
    )
    from rtk.tasks import Task
    from rtk.widgets import Playground

__version__ = "0.1.0"

__all__ = [
    "LM",
    "AdaptiveEffort",
    "BestOfN",
    "Budget",
    "BudgetSpent",
    "Cascade",
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
    "Results",
    "Retriever",
    "SampleError",
    "SampleStore",
    "SelfConsistency",
    "SelfRefine",
    "Setting",
    "Spent",
    "Strategy",
    "Task",
    "TextAdapter",
    "TreeOfThoughts",
    "aallocate",
    "allocate",
    "answers",
    "ask",
    "asweep",
    "errors",
    "events",
    "experiments",
    "optimize",
    "power",
    "recording",
    "replicate",
    "statistics",
    "sweep",
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
    "rtk.experiments": ("Results", "asweep", "optimize", "sweep"),
    "rtk.models": ("LM", "Endpoint", "LinesAdapter", "TextAdapter"),
    "rtk.retrieval": ("Retriever",),
    "rtk.samples": ("replicate",),
    "rtk.statistics": ("power",),
    "rtk.store": ("Recording", "SampleStore", "recording"),
    "rtk.strategies": (
        "AdaptiveEffort",
        "BestOfN",
        "Cascade",
        "ChainOfThought",
        "Inputs",
        "Outcome",
        "Prediction",
        "SelfConsistency",
        "SelfRefine",
        "Setting",
        "Strategy",
        "TreeOfThoughts",
        "aallocate",
        "allocate",
        "ask",
    ),
    "rtk.tasks": ("Task",),
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
