"""The wheel holds the shipped files, and nobody's samples; an editable install copies none of them."""

import shutil
import subprocess
import sys
import zipfile

import house
import pytest

pytestmark = pytest.mark.slow
FOLDERS = ("widgets", "cache", "notebooks")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the working copy, with samples in its live store."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(house.ROOT / name, root)
    for name in ("rtk", *FOLDERS):
        shutil.copytree(house.ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "live"))
    live = root / "cache" / "live"
    live.mkdir(parents=True)
    (live / "cache.db").write_bytes(b"somebody's samples")
    (root / "artifacts").mkdir()
    (root / "artifacts" / "picture.png").write_bytes(b"")
    return root


def _build(checkout, target):
    folder = checkout / "dist" / target
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def packed(checkout):
    """The names of the files in the wheel."""
    with zipfile.ZipFile(_build(checkout, "wheel")) as wheel:
        return set(wheel.namelist())


@pytest.mark.parametrize("folder", FOLDERS)
def test_shipped_folders_lie_inside_the_package(checkout, packed, folder):
    """Every file of widgets/, cache/ and notebooks/ is in the wheel, below rtk/_shipped."""
    here = [path for path in (checkout / folder).rglob("*") if path.is_file() and "live" not in path.parts]
    assert here
    assert {f"rtk/_shipped/{path.relative_to(checkout).as_posix()}" for path in here} <= packed


def test_all_of_the_package_is_packed(checkout, packed):
    """Every module of rtk and the data beside it are in the wheel."""
    files = {path.relative_to(checkout).as_posix() for path in (checkout / "rtk").rglob("*") if path.is_file()}
    assert sorted(files - packed) == []
    assert any(name.endswith(".jsonl") for name in files)


def test_no_samples_are_packed(packed):
    """The live store, scratch files and tests stay out of the wheel."""
    assert [name for name in packed if "live/" in name or name.split("/")[0] in ("tests", "artifacts", "cache")] == []


def test_the_wheel_brings_one_package_and_one_command(packed):
    """At the wheel's top there are rtk and its metadata; the licence is inside."""
    tops = {name.split("/")[0] for name in packed}
    assert sorted(top.split("-")[0] for top in tops) == ["rtk", "rtk_inference"]
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    assert any(name.endswith("entry_points.txt") for name in packed)


def test_shipped_files_are_found_beside_an_installed_package(checkout, tmp_path):
    """From an unpacked wheel, files are found inside the package, and there is no checkout."""
    with zipfile.ZipFile(_build(checkout, "wheel")) as wheel:
        wheel.extractall(tmp_path)
    code = "from rtk.shipped import checkout, shipped; print(shipped('notebooks/README.md')); print(checkout())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    path = tmp_path / "rtk" / "_shipped" / "notebooks" / "README.md"
    assert done.stdout.split() == [str(path.resolve()), "None"], done.stderr
