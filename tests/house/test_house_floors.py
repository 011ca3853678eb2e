"""Floors: imports point down, never up, never sideways, and none hides inside a function."""

import ast
import subprocess
import sys

import house
import pytest


def _wrong(found: house.Import) -> str | None:
    room, target = house.room_of(found.importer), house.room_imported(found.imported)
    if target is None or target == room:
        return None
    if target == house.ROOF:  # the public names load every room
        return None if house.rank(room)[0] == len(house.FLOORS) - 1 else f"{found} (the roof)"
    return None if house.rank(target) < house.rank(room) else f"{found} (not below {room})"


def _hidden(found: house.Import) -> str | None:
    root, room = found.imported.split(".")[0], house.room_of(found.importer)
    if not found.late or root in house.LOADED_LATE or room == house.ROOF:
        return None
    if (root == "rtk" and room in house.LOADS_ROOMS_LATE) or (root == "dspy" and room in house.LOADS_DSPY_LATE):
        return None
    return f"{found} inside a function"


def _parsed(source: str, module: str) -> list[house.Import]:
    path = house.ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return list(house.imports_in(ast.parse(source), module, path))


def test_every_room_stands_on_a_floor():
    """The table of floors names the rooms that are there, no more and no fewer."""
    named = {room for floor in house.FLOORS.values() for room in floor}
    assert set(house.rooms()) == named - house.NOT_YET_BUILT


def test_no_import_points_up_or_sideways():
    """A file imports rooms on lower floors and its own."""
    wrong = [text for path in house.sources() for found in house.imports(path) if (text := _wrong(found))]
    assert wrong == []


def test_no_import_hides_inside_a_function():
    """Only the heavy and optional packages of one table are imported inside functions."""
    hidden = [text for path in house.sources() for found in house.imports(path) if (text := _hidden(found))]
    assert hidden == []


def test_what_may_be_loaded_late_is_loaded_late():
    """The table of late imports holds no package that a file imports at its top, and none of the standard library."""
    early = {
        found.imported.split(".")[0] for path in house.sources() for found in house.imports(path) if not found.late
    }
    assert sorted(early & house.LOADED_LATE.keys()) == []
    assert sorted(sys.stdlib_module_names & house.LOADED_LATE.keys()) == []


def test_what_only_looks_at_samples_loads_no_dspy():
    """No file of those rooms imports it at its top, and nothing else that they import brings it."""
    code = "import sys, rtk.store, rtk.events; print('dspy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_rooms_enter_each_other_by_the_door():
    """A room is imported by its contract, not from a file inside it."""
    inside = []
    for path in house.sources():
        for found in house.imports(path):
            room, target = house.room_of(found.importer), house.room_imported(found.imported)
            if target in (None, room, house.ROOF) or room == house.ROOF:
                continue
            past_the_door = found.imported.split(".")[3:]  # rtk, room, file, name
            if past_the_door:
                inside.append(str(found))
    assert inside == []


def test_no_cycle_inside_a_room():
    """The files of a room import each other in one direction."""
    modules = {house.module_of(path): path for path in house.sources()}
    graph = {
        module: {target for found in house.imports(path) if (target := _file(found.imported, modules))} - {module}
        for module, path in modules.items()
        if house.room_of(module) != house.ROOF
    }
    assert sorted(_in_a_circle(graph)) == []


def _in_a_circle(graph):
    """What is left when files that import nothing more, or that nobody imports, are taken away again and again."""
    left = dict(graph)
    while True:
        imported = {target for targets in left.values() for target in targets}
        free = [module for module, targets in left.items() if not targets & left.keys() or module not in imported]
        if not free:
            return left
        for module in free:
            del left[module]


def _file(imported, modules):
    parts = imported.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 1, -1))
    return next((name for name in names if name in modules), None)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rtk.answers.votes", "from rtk.statistics import proportion"),
        ("rtk.answers.votes", "from rtk import statistics"),
        ("rtk.answers.votes", "from ..models import LM"),
        ("rtk.answers.votes", "from .. import models"),
        ("rtk.store.store", "def f():\n    import rtk.models.lm"),
        ("rtk.store.store", "if TYPE_CHECKING:\n    from rtk.models import LM"),
        ("rtk.store.store", "import importlib\nimportlib.import_module('rtk.models')"),
        ("rtk.strategies.flow", "from rtk import LM"),
        ("rtk.strategies.flow", "import rtk"),
        ("rtk.samples", "from rtk.events import watch"),
    ],
)
def test_an_import_up_or_sideways_is_seen(module, source):
    """However an import up or sideways is written, it is found."""
    assert any(_wrong(found) for found in _parsed(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rtk.strategies.flow", "from rtk.models import LM"),
        ("rtk.strategies.flow", "from .machine import Machine"),
        ("rtk.models.lm", "from rtk import budget as ledger"),
        ("rtk.events", "from rtk.samples import Sample"),
        ("rtk.testing.server", "import rtk"),
        ("rtk.answers.votes", "import dspy"),
    ],
)
def test_an_import_down_is_allowed(module, source):
    """Lower floors, the own room and other packages may be imported."""
    assert not any(_wrong(found) for found in _parsed(source, module))


def test_an_import_inside_a_function_is_seen():
    """An import in a function or method is found, unless its package may be loaded late."""
    source = "class A:\n  def f(self):\n    import json\n    from rtk.errors import RTKError\n    import scipy\n"
    hidden = [found.imported for found in _parsed(source, "rtk.store.store") if _hidden(found)]
    assert hidden == ["json", "rtk.errors.RTKError"]
