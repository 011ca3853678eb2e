"""Files: each opens with its subject, stays short, and keeps away from what the house forbids."""

import ast
import re
from collections import Counter

import house

MAX_LINES = 450
PRINTS = "cli"
# What would run a stranger's bytes, or a second event loop inside a running one.
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "nest_asyncio", "nest_asyncio2"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}

LIBRARY = house.sources()
TESTS = house.sources(house.ROOT / "tests")
EVERY = [*LIBRARY, *TESTS, *house.sources(house.ROOT / "benchmarks")]
TEST_FILES = [path for path in TESTS if path.name.startswith("test_")]


def _name(path):
    return path.relative_to(house.ROOT).as_posix()


def _parsed(path):
    return ast.parse(path.read_text("utf-8"))


def _where(path, node):
    return f"{_name(path)}:{node.lineno}"


def test_a_file_says_what_it_is_about():
    """Every file opens with a docstring."""
    assert [_name(path) for path in EVERY if not (ast.get_docstring(_parsed(path)) or "").strip()] == []


def test_a_file_is_short():
    """A file has at most 450 lines; a longer one has two subjects."""
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in EVERY}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_room_without_a_subject():
    """No file or folder is called after nothing in particular."""
    vague = {"utils", "util", "common", "helpers", "misc"}
    assert [_name(path) for path in LIBRARY if vague & {part.strip("_") for part in path.with_suffix("").parts}] == []


def test_the_library_prints_nothing():
    """Only the command line prints."""
    calls = _calls(path for path in LIBRARY if house.room_of(house.module_of(path)) != PRINTS)
    assert [where for where, name in calls if name == "print"] == []


def test_the_library_runs_no_strings():
    """Nothing is evaluated, and nothing is unpickled."""
    assert [where for where, name in _calls(LIBRARY) if name in FORBIDDEN_CALLS] == []
    found = [found for path in LIBRARY for found in house.imports(path)]
    assert [str(each) for each in found if each.imported.split(".")[0] in FORBIDDEN_MODULES] == []


def test_the_library_starts_no_second_loop():
    """No `asyncio.run`, which fails where a loop runs already, as in every notebook cell."""
    starts = {"asyncio.run", "loop.run_until_complete"}
    assert [where for where, name in _calls(LIBRARY) if name in starts] == []


def test_the_library_asserts_nothing():
    """A mistake of the user's is an error with its mend; `assert` disappears under `python -O`."""
    asserts = [
        _where(path, node) for path in LIBRARY for node in ast.walk(_parsed(path)) if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_no_error_is_swallowed_unseen():
    """A handler for every exception raises it again, or says on its own line why not."""
    assert [where for path in LIBRARY for where in _broad(path)] == []


def _broad(path):
    lines = path.read_text("utf-8").splitlines()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node.type):
            again = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            reason = re.search(r"# (?:noqa: BLE001 - )?(?!noqa)\S", lines[node.lineno - 1])
            if not again and not reason:
                yield _where(path, node)


def _catches_all(caught):
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or getattr(kind, "id", None) in ("Exception", "BaseException") for kind in kinds)


def _calls(paths):
    for path in paths:
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Call):
                yield _where(path, node), ast.unparse(node.func)


def _test_functions(path):
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def test_a_test_states_a_behaviour():
    """Every test has a docstring of one paragraph that ends as a sentence does."""
    tests = [
        (_where(path, node), ast.get_docstring(node) or "") for path in TEST_FILES for node in _test_functions(path)
    ]
    assert [where for where, text in tests if not text.endswith(".") or "\n\n" in text] == []


def test_test_files_have_names_of_their_own():
    """No two test files share a name, each begins with its room's, and their folders are no packages."""
    assert [name for name, count in Counter(path.name for path in TEST_FILES).items() if count > 1] == []
    assert [_name(path) for path in TEST_FILES if not path.name.startswith(f"test_{path.parent.name}_")] == []
    assert [_name(path) for path in TESTS if path.name == "__init__.py"] == []


def test_no_test_is_shadowed_by_its_twin():
    """No file defines the same test twice, which would run one of them only."""
    twice = []
    for path in TESTS:
        names = Counter(node.name for node in ast.iter_child_nodes(_parsed(path)) if isinstance(node, ast.FunctionDef))
        twice += [f"{_name(path)}: {name}" for name, count in names.items() if count > 1]
    assert twice == []
