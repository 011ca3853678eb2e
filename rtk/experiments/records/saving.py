"""Results in a folder: `results.json`, which says what was measured and which files belong to it, and Parquet tables.

`results.json` is written last and in one stroke, and the tables of a save have names of their own. So a folder holds
the results of one save or of another, whenever a save is killed, and never half of both. Nothing is pickled, and what
strangers wrote is read with care; see `rtk.experiments.records.saved_tables`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, BinaryIO

from rtk.errors import RTKError
from rtk.experiments.records.manifest import Manifest, Part, check_counts, read_manifest, written
from rtk.experiments.records.records import Records
from rtk.experiments.records.saved_tables import AGAIN, check, check_places, refused
from rtk.experiments.records.spool import TABLES

MANIFEST = "results.json"
CHUNK = 2**20
LARGEST = 2**24  # bytes of results.json
RETRIES = 3  # somebody may save into the folder while it is read


def save(records: Records, folder: str | Path) -> None:
    """Write results to a folder, from which `load` reads them on any machine.

    Keys, headers and endpoints are no part of results: a setting of such a name is left out of `results.json`, and
    what looks like one in another setting's value is replaced by `…`.

    Args:
        records: what a sweep found.
        folder: a new one, an empty one, or one that results were saved in, which are replaced; its other files stay.

    Raises:
        RTKError: for a folder that holds something else.
        NewerStore: for one that a newer rtk saved results in.
    """
    folder = Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise RTKError(f"{folder} leads nowhere", mend="name another folder")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        _save_new(records, folder)
    else:
        _replace(records, folder)


def _save_new(records: Records, folder: Path) -> None:
    """Write beside the folder, then give what is whole its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f".{folder.name}-{secrets.token_hex(4)}.saving"
    beside.mkdir()
    try:
        _write(records, beside)
        if folder.exists():
            folder.rmdir()
        os.rename(beside, folder)
    except BaseException:
        rmtree(beside, ignore_errors=True)
        raise


def _replace(records: Records, folder: Path) -> None:
    """Write the tables beside the old ones, then results.json over the old one, then remove the old ones."""
    mend = "name a new folder, or one that results were saved in"
    if not folder.is_dir() or not os.path.lexists(folder / MANIFEST):
        raise RTKError(f"{folder} is there and holds no results, so nothing is written over it", mend=mend)
    try:
        old = read_manifest(_read(folder / MANIFEST, LARGEST), str(folder / MANIFEST))
    except RTKError as error:
        error.add_note(mend)
        raise
    _write(records, folder)
    for part in old.tables.values():
        (folder / part.name).unlink(missing_ok=True)


def _write(records: Records, folder: Path) -> None:
    """All files of a save; none where one cannot be written."""
    token = secrets.token_hex(4)
    made = {table.file: folder / f"{Path(table.file).stem}-{token}.parquet" for table in TABLES}
    draft = folder / f".results-{token}.json"
    try:
        parts = {table.file: _copied(records._folder / table.file, made[table.file]) for table in TABLES}
        with draft.open("xb") as file:
            file.write(written(_manifest(records, parts)))
            _settle(file)
        os.replace(draft, folder / MANIFEST)
    except BaseException:
        for path in (draft, *made.values()):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _manifest(records: Records, parts: Mapping[str, Part]) -> Manifest:
    about = {
        "rtk": version("rtk-inference"),
        "dspy": version("dspy"),
        "python": platform.python_version(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Manifest(
        task=records.task,
        settings=records.settings,
        asked=records.asked,
        stopped=records.stopped,
        replicates=records.replicates,
        about={**about, **records.about},
        tables=dict(parts),
    )


def _copied(source: Path, target: Path) -> Part:
    """Copy a table, and note what it was."""
    with source.open("rb") as old, target.open("xb") as new:
        digest, size = _pour(old, new)
        _settle(new)
    return Part(target.name, size, digest, rows_in(target))


def rows_in(path: Path) -> int:
    """How many rows a Parquet file says that it has."""
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _pour(old: BinaryIO, new: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := old.read(CHUNK):
        digest.update(chunk)
        size += new.write(chunk)
    return digest.hexdigest(), size


def _settle(file: BinaryIO) -> None:
    """Have it on the disk before anything refers to it."""
    file.flush()
    os.fsync(file.fileno())


# --- reading ---


def load(folder: str | Path, cls: type[Any] = Records) -> Any:
    """Read results that `save` wrote, on this machine or another, by this rtk or an older one.

    They are copied to a temporary folder while they are checked, so that nothing that happens to the folder later
    changes what was read. Nothing in it is run, whoever wrote it. Checksums find damage, and what contradicts itself is
    refused; but who can write the folder can write in it what he likes, so that results are worth the trust in him.

    Args:
        folder: of the results.
        cls: what to make of them: `Records`, or a subclass.

    Raises:
        NewerStore: for results of a newer rtk.
        RTKError: where there are none; for a file that is missing, cut short, changed, no regular file, or holds what
            results do not hold. It is named.
    """
    folder = Path(folder)
    if not folder.is_dir() or not os.path.lexists(folder / MANIFEST):
        raise RTKError(f"there are no results in {folder}", mend="name a folder that results.save(folder) wrote")
    return _load(folder, cls, RETRIES)


def _load(folder: Path, cls: type[Any], retries: int) -> Any:
    """Read what results.json names; once more where somebody saves others meanwhile."""
    text = _read(folder / MANIFEST, LARGEST)
    try:
        return _loaded(folder, read_manifest(text, str(folder / MANIFEST)), cls)
    except RTKError:
        if not retries or text == _read(folder / MANIFEST, LARGEST):
            raise
    return _load(folder, cls, retries - 1)


def _loaded(folder: Path, manifest: Manifest, cls: type[Any]) -> Any:
    own = Path(mkdtemp(prefix="rtk-results-"))
    try:
        places, names = {}, {}
        for table in TABLES:
            part = manifest.tables[table.file]
            names[table.file] = str(folder / part.name)
            _fetch(folder / part.name, own / table.file, part)
            places[table.file] = check(own / table.file, names[table.file], table, part.rows)
        check_places(places, names, len(manifest.settings), manifest.replicates)
        check_counts(manifest, str(folder / MANIFEST))
        return cls(
            manifest.task,
            manifest.settings,
            own,
            asked=manifest.asked,
            stopped=manifest.stopped,
            replicates=manifest.replicates,
            about=manifest.about,
            owned=True,
        )
    except BaseException:
        rmtree(own, ignore_errors=True)
        raise


def _fetch(source: Path, target: Path, part: Part) -> None:
    """Copy a file that is as long as it should be and holds what it should."""
    with _opened(source) as old, target.open("xb") as new:
        size = os.fstat(old.fileno()).st_size
        if size != part.size:
            raise refused(str(source), f"it has {size:,} bytes and should have {part.size:,}")
        if _pour(old, new) != (part.sha256, part.size):
            raise refused(str(source), "it was changed after it was saved (its checksum is another)")


def _read(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise refused(str(path), f"it is longer than {most:,} bytes")
    return text


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading: no link to elsewhere, and nothing that waits for a writer."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_symlink():
            raise refused(str(path), "it is a link, and results are files")
        handle = os.open(path, flags)
    except FileNotFoundError as error:
        raise RTKError(f"{path} is missing", mend=AGAIN) from error
    except OSError as error:
        raise refused(str(path), str(error)) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refused(str(path), "it is no regular file")
        yield file
