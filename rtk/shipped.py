"""Files that come with rtk and are no Python: browser files of the controls, recordings, notebooks.

Ground: imports errors only.
Knows no control, recording or notebook: a name becomes a path, nothing more.
"""

from __future__ import annotations

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
