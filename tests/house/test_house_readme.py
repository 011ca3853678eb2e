"""README and CI: one set of commands, a map that is true, and no word of another project's distribution."""

import ast
import inspect
import re
import sys
import tomllib

import house
import pytest

import rtk

README = (house.ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (house.ROOT / "CONTRIBUTING.md").read_text("utf-8")
CI = (house.ROOT / ".ci" / "run").read_text("utf-8")
PROJECT = tomllib.loads((house.ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def _commands():
    return re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)


SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _texts():
    return [README, CONTRIBUTING, *(path.read_text("utf-8") for path in house.sources())]


def test_two_commands_do_all_set_up():
    """The README has two set-up commands: the first ends in the main job, the second in the tests."""
    assert [command.split("&& ")[-1] for command in _commands()] == [
        ".venv/bin/rtk demo",
        ".venv/bin/python -m pytest",
    ]


def test_the_first_command_installs_and_the_second_edits():
    """A user's install is packed, a developer's is editable; both fetch the weights."""
    first, second = _commands()
    assert 'pip install -q ".[local]"' in first
    assert 'pip install -q -e ".[test]"' in second
    assert all(".venv/bin/rtk model get" in command for command in (first, second))


def test_the_commands_install_extras_that_exist():
    """Every extra in the README, CONTRIBUTING and CI is declared."""
    named = {
        extra for text in (README, CONTRIBUTING, CI) for found in re.findall(r"(?:\.|wheel\})\[([a-z,]+)\]", text)
        for extra in found.split(",")
    }  # fmt: skip
    assert named
    assert named <= PROJECT["optional-dependencies"].keys()


def test_ci_runs_the_readme_s_commands():
    """CI takes both commands out of the README and runs them; it holds no copy that could differ."""
    runs = re.findall(r"^command=\$\(readme '(.*)'\)$", CI, re.MULTILINE)
    assert runs == ["python -m pytest", "rtk demo"]
    assert all(command.endswith(run) for run, command in zip(runs, reversed(_commands()), strict=True))
    assert len(re.findall(r"bash -euo pipefail -c \"\$command\"", CI)) == 2


def test_ci_checks_style_and_types():
    """CI lints, checks the format and the types, with pinned versions."""
    assert all(tool in CI for tool in ("ruff check", "ruff format --check", "pyright", "PIP_CONSTRAINT"))


def test_every_dependency_is_pinned_in_ci():
    """Each declared dependency has exactly one version in the constraints."""
    declared = [
        *PROJECT["dependencies"],
        *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in declared} - {PROJECT["name"]}
    pins = re.findall(r"^([a-z0-9-]+)==\S+$", (house.ROOT / ".ci/constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert sorted(names - set(pins)) == []
    assert len(pins) == len(set(pins))


def test_declared_dependencies_are_the_imported_ones():
    """rtk depends on what it imports, and imports what it depends on."""
    imported = {found.imported.split(".")[0] for path in house.sources() for found in house.imports(path)}
    modules = {"dspy-ai": "dspy", "ipython": "IPython", "pystemmer": "Stemmer", "vl-convert-python": "vl_convert"}
    extras = PROJECT["optional-dependencies"]
    named = ("embeddings", "hub", "local", "notebook")
    declared = [*PROJECT["dependencies"], *(each for extra in named for each in extras[extra])]
    names = {re.split(r"[^A-Za-z0-9-]", each)[0] for each in declared} - {"jupyterlab"}  # started, not imported
    expected = {modules.get(name, name).replace("-", "_") for name in names}
    assert imported - sys.stdlib_module_names - {"rtk"} == expected


def _named(node):
    """What a dotted name in a snippet stands for, where it begins with `rtk`; an AttributeError where nothing does."""
    if isinstance(node, ast.Name):
        return rtk if node.id == "rtk" else None
    owner = _named(node.value) if isinstance(node, ast.Attribute) else None
    return None if owner is None else getattr(owner, node.attr)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_snippets_use_names_that_exist(snippet):
    """Every Python snippet of the README parses, and its `rtk` names and their arguments are there."""
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.Attribute):
            _named(node)
        if isinstance(node, ast.Call) and callable(called := _named(node.func)):
            known = inspect.signature(called).parameters
            takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
            assert takes_any or {word.arg for word in node.keywords} <= known.keys()
            assert len(node.args) <= len(known)


def test_there_are_snippets():
    """The README shows how rtk is used, and the pattern above finds it."""
    assert README.count("```python") == len(SNIPPETS) > 0


def test_the_map_names_the_rooms_that_are_there():
    """The README's map and the house in CONTRIBUTING name every room, and every path they name exists."""
    for text in (README, CONTRIBUTING):
        named = set(re.findall(r"\b([a-z_]+)(?:/|\.py)?\b", text))
        assert sorted(set(house.rooms()) - named) == []
    for path in re.findall(r"^ {4}([\w./]+/)\s", README, re.MULTILINE):
        assert (house.ROOT / path).is_dir(), path


def test_the_house_in_contributing_is_the_table_of_floors():
    """CONTRIBUTING lists each floor's rooms as the table has them, less those not yet built."""
    for floor, rooms in house.FLOORS.items():
        line = next(line for line in CONTRIBUTING.splitlines() if line.strip().startswith(floor))
        built = [room for room in rooms if room not in house.NOT_YET_BUILT]
        assert [word.strip(",") for word in line.split("  ") if word.strip()][1].strip() == ", ".join(built)


def test_nobody_is_told_to_install_another_project():
    """The name rtk on the package index is not ours: no file says to install it."""
    pattern = re.compile(r"pip3? install (?:-\S+ )*['\"]?rtk(?![\w-])")
    assert [match for text in _texts() for match in pattern.findall(text)] == []


def test_prose_links_to_no_registry():
    """The README and CONTRIBUTING link to this machine and to papers only."""
    hosts = set(re.findall(r"https?://([^/\s:)\"'`]+)", README + CONTRIBUTING))
    assert sorted(hosts - {"localhost", "127.0.0.1", "arxiv.org", "gpu-box"}) == []
