"""Names: what is visible in a room is what it lists, sorted and documented."""

import ast
import importlib
import inspect
import subprocess
import sys
import types

import house
import pytest

ROOMS = [room for room in house.rooms() if (house.PACKAGE / room / "__init__.py").exists()]
HEAVY = {"dspy", "litellm", "pandas", "numpy", "scipy", "sympy", "math_verify", "reasoning_gym", "xllamacpp", "rich"}


def _visible(module):
    """What completion offers: public names, less the room's own files and `from __future__`."""
    names = set()
    for name in dir(module):
        value = getattr(module, name)
        own_file = isinstance(value, types.ModuleType) and value.__name__ == f"{module.__name__}.{name}"
        future = type(value).__module__ == "__future__"
        if not name.startswith("_") and not future and not (own_file and name not in module.__all__):
            names.add(name)
    return names


def _sorted(names):
    """CONSTANTS, then Classes, then functions: the order that ruff keeps."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_visible_names_are_the_listed_ones(room):
    """A room shows what `__all__` lists, and nothing else."""
    module = importlib.import_module(f"rtk.{room}".rstrip("."))
    assert _visible(module) == set(module.__all__)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_listed_names_are_sorted(room):
    """`__all__` is sorted and names nothing twice."""
    names = importlib.import_module(f"rtk.{room}".rstrip(".")).__all__
    assert list(names) == _sorted(set(names))


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_listed_names_say_what_they_are(room):
    """Every listed class, function and module has a docstring of its own."""
    module = importlib.import_module(f"rtk.{room}".rstrip("."))
    listed = {name: getattr(module, name) for name in module.__all__}
    documented = (type, types.FunctionType, types.ModuleType)
    assert [name for name, value in listed.items() if isinstance(value, documented) and not value.__doc__] == []


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_public_methods_say_what_they_do(room):
    """Every public method and property that a listed class defines itself has a docstring, or inherits one."""
    module = importlib.import_module(f"rtk.{room}".rstrip("."))
    silent = []
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type) and value.__module__.startswith("rtk"):
            silent += [f"{name}.{method}" for method in _methods(value) if not inspect.getdoc(getattr(value, method))]
    assert silent == []


def _methods(cls):
    kinds = (types.FunctionType, property, classmethod, staticmethod)
    return [name for name, value in vars(cls).items() if not name.startswith("_") and isinstance(value, kinds)]


@pytest.mark.parametrize("room", house.rooms())
def test_a_room_opens_with_its_contract(room):
    """A room's docstring says its subject in one line, its floor as the table has it, and what it does not know."""
    text = inspect.getdoc(importlib.import_module(f"rtk.{room}")) or ""
    floor = next(name for name, rooms in house.FLOORS.items() if room in rooms)
    assert text.splitlines()[0].endswith("."), "the subject, in one line"
    assert f"\n{floor.capitalize()}" in text, f"a line that begins with {floor.capitalize()!r}"
    if (house.PACKAGE / room).is_dir():
        assert "\nKnows no" in text, "a line that begins with 'Knows no'"


def test_every_room_is_on_the_map():
    """The docstring of rtk names every room that is built."""
    import rtk

    words = set((rtk.__doc__ or "").replace(",", " ").split())
    public = {room for room in house.rooms() if not room.startswith("_")}
    assert sorted(public - words - {"shipped"}) == []


def test_every_public_name_is_type_checked():
    """`tests/typing` writes every name of rtk, and of the rooms that it shows, at least once."""
    import rtk

    values = {name: getattr(rtk, name) for name in rtk.__all__}
    rooms = {name: value for name, value in values.items() if isinstance(value, types.ModuleType)}
    inside = {f"rtk.{room}.{name}" for room, module in rooms.items() for name in _listed(module)}
    public = {f"rtk.{name}" for name in values} | inside
    trees = [ast.parse(path.read_text("utf-8")) for path in house.sources(house.ROOT / "tests/typing")]
    written = {ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert sorted(public - written) == []


def _listed(module):
    """What a room lists; for a single file, the classes that it defines."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return getattr(module, "__all__", own)


def test_importing_rtk_loads_nothing_heavy():
    """`import rtk` brings neither DSPy nor an engine; they load on first use."""
    code = f"import rtk, sys; print(*sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=house.ROOT)
    assert done.stdout.split() == []


def test_an_unknown_name_is_an_attribute_error():
    """A name that rtk does not have is refused as Python has it, so that `hasattr` and completion work."""
    import rtk

    assert not hasattr(rtk, "no_such_name")
