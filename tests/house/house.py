"""The house as data: which room stands on which floor, and what may be loaded late. Read by the house's tests.

A file imports the rooms on the floors below its own, and itself. In the ground, whose rooms are single files, it
imports those named before it. `rtk` itself, the public names, is the roof: only floor 5 may use it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rtk"

FLOORS: dict[str, tuple[str, ...]] = {
    "ground": ("errors", "shipped", "_json", "_context", "samples", "events", "_html", "_progress"),
    "floor 1": ("answers", "statistics", "budget", "store", "deliberation"),
    "floor 2": ("models", "tasks", "retrieval"),
    "floor 3": ("strategies",),
    "floor 4": ("experiments",),
    "floor 5": ("widgets", "cli", "testing"),
}
ROOF = "rtk"
NOT_YET_BUILT: set[str] = set()

# Third-party packages that may be imported inside a function, and why. Nothing else is: neither the standard
# library nor a room of ours.
LOADED_LATE = {
    "IPython": "half a second to import; only a notebook needs it",
    "altair": "half a second to import; only figures need it",
    "bm25s": "a third of a second to import; only searches need it",
    "datasets": "the extra 'hub'",
    "litellm": "a second to import; only some models need it",
    "math_verify": "brings sympy; only answers in LaTeX need it",
    "pandas": "a second to import; only frames need it",
    "pyarrow": "a fifth of a second to import; only results on disk need it",
    "reasoning_gym": "brings a hundred generators; only its own tasks need it",
    "scipy": "half a second to import; only intervals need it",
    "sentence_transformers": "the extra 'embeddings'",
    "vl_convert": "the extra 'notebook'",
    "xllamacpp": "the extra 'local'",
}
# Rooms that load DSPy where they use it: it takes seconds, and `rtk cache`, which only looks at samples, does without.
LOADS_DSPY_LATE = {"_context"}
# A command loads the rooms that it needs when it runs, so that `rtk --version` and `--help` answer at once.
LOADS_ROOMS_LATE = {"cli"}


def rank(room: str) -> tuple[int, int]:
    """How high a room stands; in the ground also its place."""
    if room == ROOF:
        return (len(FLOORS), 0)
    for height, (floor, rooms) in enumerate(FLOORS.items()):
        if room in rooms:
            return (height, rooms.index(room) if floor == "ground" else 0)
    raise KeyError(f"{room!r} stands on no floor: add it to FLOORS in {__file__}")


def room_of(module: str) -> str:
    """The room of a dotted module name; that of `rtk` is the roof."""
    return module.split(".")[1] if "." in module else ROOF


def sources(folder: Path = PACKAGE) -> list[Path]:
    """All Python files below a folder."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rooms() -> list[str]:
    """The rooms that are there: folders with a contract, and files directly in the package."""
    found = {room_of(module_of(path)) for path in sources()} - {ROOF}
    return sorted(found)


@dataclass(frozen=True)
class Import:
    """One import: the module it stands in, what it imports, and where."""

    importer: str
    imported: str
    path: Path
    line: int
    late: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.importer} imports {self.imported}"


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, also those inside functions and those behind TYPE_CHECKING."""
    yield from imports_in(ast.parse(path.read_text("utf-8")), module_of(path), path)


def imports_in(tree: ast.AST, module: str, path: Path) -> Iterator[Import]:
    """All imports of a parsed file."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node, late in _walk(tree, late=False):
        for name in _imported(node, package):
            yield Import(module, name, path, node.lineno, late)


def _walk(tree: ast.AST, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        yield node, late
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(node, late or inside)


def _imported(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=source, names=names, level=level):
            base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            start = ".".join([*base, *([source] if source else [])])
            return [f"{start}.{name.name}" for name in names]
        case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
            return [name]
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
            return [name]
    return []


def room_imported(name: str) -> str | None:
    """The room an imported name belongs to; the roof for a public name of rtk; None for another package."""
    parts = name.split(".")
    if parts[0] != "rtk":
        return None
    every = {room for floor in FLOORS.values() for room in floor}
    return parts[1] if len(parts) > 1 and parts[1] in every else ROOF
