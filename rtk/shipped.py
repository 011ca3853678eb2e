"""Files that come with rtk and are no Python: browser files of the controls, recordings, notebooks.

Ground: imports errors only.
Knows no control, and nothing of what is in a recording or a notebook: a name becomes a path, a file a copy.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path, PurePosixPath

from rtk.errors import RTKError

FOLDERS = ("widgets", "cache", "notebooks")
_HERE = Path(__file__).resolve().parent
DISTRIBUTION = "rtk-inference"


def shipped(name: str) -> Path:
    """The path of a file or folder that comes with rtk, such as `"widgets/votes.js"` or `"notebooks"`.

    Looked for beside the package first (an installed wheel), then in the checkout (an editable install, whose
    site-packages may hold an older copy).

    Raises:
        RTKError: where there is none, or the name leaves the folders that are shipped.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in FOLDERS or ".." in parts:
        raise RTKError(
            f"{name!r} names no file that comes with rtk", mend=f"begin with one of {', '.join(FOLDERS)}; no '..'"
        )
    for root in _roots():
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise RTKError(
        f"{name!r} is missing from this installation of rtk ({_HERE})",
        mend="install rtk again, from its checkout or its wheel",
    )


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy the notebooks and their recordings side by side into a folder; what is there already stays as it is.

    Returns:
        The files that were copied now.

    Raises:
        RTKError: where the folder cannot be written.
    """
    notebooks = sorted(shipped("notebooks").glob("*.ipynb"))
    recordings = [shipped("cache") / f"{notebook.stem}.jsonl" for notebook in notebooks]
    there = [path for path in (*notebooks, *recordings) if path.is_file()]
    new = [path for path in there if not os.path.lexists(folder / path.name)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in new:
            shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise RTKError(
            f"cannot copy the notebooks to {folder}: {error}", mend="name another: rtk lab FOLDER"
        ) from error
    return [folder / path.name for path in new]


def checkout() -> Path | None:
    """The root of the working copy this package is imported from; None where it is installed."""
    root = _HERE.parent
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project")
    except (OSError, ValueError):
        return None
    named = isinstance(project, dict) and project.get("name") == DISTRIBUTION
    return root if named else None


def _roots() -> list[Path]:
    working_copy = checkout()
    return [_HERE / "_shipped"] + ([working_copy] if working_copy else [])
