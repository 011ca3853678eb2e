"""Texts in files and folders of them, read as passages that name their file and line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rtk.retrieval.passages import Dropped, Entry
from rtk.retrieval.splitting import split

TEXT_FILES = (".md", ".markdown", ".rst", ".txt")
MOST_MEBIBYTES = 32


def read_folder(folder: Path, words: int) -> tuple[list[Entry], list[Dropped]]:
    """The passages of all text files in a folder and below it, in the order of their names.

    Hidden files and folders, links to folders, and files that are no text are left out and named.

    Args:
        folder: the folder.
        words: how long a passage may be.
    """
    entries: list[Entry] = []
    dropped: list[Dropped] = []
    for found in _below(folder, folder):
        if isinstance(found, Dropped):
            dropped.append(found)
        else:
            further, without = read_file(found, _name(found, folder), words)
            entries += further
            dropped += without
    return entries, dropped


def read_file(path: Path, name: str, words: int) -> tuple[list[Entry], list[Dropped]]:
    """The passages of a text file, whose source is `name` and their line; or why there are none."""
    text = _text(path, name)
    if isinstance(text, Dropped):
        return [], [text]
    entries: list[Entry] = []
    begun: Counter[int] = Counter()
    for piece in split(text, words):
        begun[piece.line] += 1
        place = f"{name}:{piece.line}"
        own = place if begun[piece.line] == 1 else f"{place}.{begun[piece.line]}"  # a long line holds several
        entries.append(Entry(own, piece.heading, piece.text, place, False))
    return entries, [] if entries else [Dropped(name, "holds no text")]


def _below(folder: Path, root: Path) -> Iterator[Path | Dropped]:
    try:
        inside = sorted(os.scandir(folder), key=lambda one: one.name)
    except OSError as error:
        yield Dropped(f"{_name(folder, root)}/", f"cannot be read: {error.strerror}")
        return
    for one in inside:
        path = folder / one.name
        name = _name(path, root)
        if one.name.startswith("."):
            yield Dropped(name, "hidden")
        elif one.is_dir(follow_symlinks=False):
            yield from _below(path, root)
        elif one.is_dir():
            yield Dropped(name, "a link to a folder")
        elif path.suffix.lower() not in TEXT_FILES:
            yield Dropped(name, f"no text by its name ({', '.join(TEXT_FILES)})")
        else:
            yield path


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix().encode("utf-8", "replace").decode()  # names of files need be no text


def _text(path: Path, name: str) -> str | Dropped:
    """What a file says, or why it says nothing."""
    if not path.is_file():
        return Dropped(name, "no file")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_MEBIBYTES * 2**20 + 1)
    except OSError as error:
        return Dropped(name, f"cannot be read: {error.strerror}")
    if len(data) > MOST_MEBIBYTES * 2**20:
        return Dropped(name, f"larger than {MOST_MEBIBYTES} MiB")
    if b"\0" in data:
        return Dropped(name, "binary")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Dropped(name, f"not UTF-8 (byte {error.start})")
