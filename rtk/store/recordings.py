"""`rtk.recording`: what a program asked for and got, in one file that replays it without a model."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import dspy

from rtk.errors import NotRecorded, RecordingError
from rtk.samples import Address, Missing, Request, Sample
from rtk.shipped import checkout, shipped
from rtk.store.nearest import explanation
from rtk.store.tape import Tape, load

logger = logging.getLogger("rtk")

Mode = Literal["auto", "replay", "record"]
SOON = 1.0  # seconds from the first unsaved sample to the next saving, at least
_SUFFIXES = (".jsonl", ".jsonl.gz")

_standing: list[Recording] = []  # those that hold for the whole process; the last one is in force


def current_recording() -> Recording | None:
    """The recording in force: of the innermost `with`, else the last one that was called for the whole process."""
    return dspy.settings.get("rtk_recording") or (_standing[-1] if _standing else None)


def recording(path_or_stem: str | os.PathLike[str], mode: Mode = "auto") -> Recording:
    """Record what is asked for and what comes of it, or replay it with no model and no key.

    As a plain call, in a notebook's first cell, it holds for the whole process, in every thread, until `.stop()`; as
    a context manager, for what runs inside. The file is sorted JSON Lines and holds no key, header or endpoint. It is
    written a second after something new came, and at the end, always in one step. Of what was asked for and did not
    come it keeps the kind of failure, and where a deadline stopped, so that a replay is the run.

    Which samples come from where:

    * `"auto"`: from the file, then the store, then the model; what is new is added to the file. What failed when it was
      recorded is asked for again.
    * `"replay"`: from the file alone. What failed fails again, a deadline stops where it stopped, and a sample that is
      not in it raises `NotRecorded`. The environment's `RTK_RECORDING=replay` makes `"auto"` mean this.
    * `"record"`: as `"auto"`, into a new file that holds only what was asked for since.

    >>> rtk.recording("my-study")  # doctest: +SKIP
    >>> with rtk.recording("my-study", mode="replay"):  # doctest: +SKIP
    ...     program(question="…")

    Args:
        path_or_stem: a path (with a folder in it, or ending in `.jsonl` or `.jsonl.gz`), or a stem: then `STEM.jsonl`
            in the working folder, or the recording of that name that comes with rtk. What comes with an installed rtk
            is not changed: a recording that grows is written whole into the working folder.
        mode: see above.

    Raises:
        RecordingError: for a file that cannot be read, or, in `"replay"`, is not there.
    """
    return Recording(path_or_stem, mode)


class Recording:
    """A recording in force; made by `recording`, which says all about it.

    Attributes:
        mode: `"auto"`, `"replay"` or `"record"`.
    """

    def __init__(self, path_or_stem: str | os.PathLike[str], mode: Mode = "auto") -> None:
        if mode not in get_args(Mode):
            raise RecordingError(f"mode={mode!r}", mend=f"one of {', '.join(get_args(Mode))}")
        if mode == "auto" and os.environ.get("RTK_RECORDING") == "replay":
            mode = "replay"
        self._name, self.mode = os.fspath(path_or_stem), mode
        source, self._path = _places(path_or_stem)
        _relieve(self._path)
        if mode == "replay" and source is None:
            raise RecordingError(f"there is no recording {self._path}", mend="record one first: mode='auto'")
        self._known = load(source) if source is not None else Tape()
        self._kept = Tape() if mode == "record" else self._known
        self._lock, self._saving, self._pid = threading.Lock(), threading.Lock(), os.getpid()
        self._unsaved, self._took, self._stamp = False, 0.0, _stamp(self._path)
        self._timer: threading.Timer | None = None
        self._missed = 0
        self._context: Any = None
        _standing.append(self)

    # --- what a user reads and calls ---

    @property
    def path(self) -> Path:
        """The file that is written; in `"replay"`, that would be."""
        return self._path

    @property
    def missed(self) -> int:
        """In `"replay"`: how many asks it could not answer."""
        return self._missed

    def __len__(self) -> int:
        """How many samples it holds."""
        return len(self._kept.samples)

    def __bool__(self) -> bool:
        return True

    def stop(self) -> None:
        """End it, and write what is new.

        Raises:
            RecordingError: where the file cannot be written.
        """
        if self in _standing:
            _standing.remove(self)
        self.save()

    def __enter__(self) -> Self:
        if self in _standing:
            _standing.remove(self)
        self._context = dspy.context(rtk_recording=self)
        self._context.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._context.__exit__(kind, error, traceback)
        self.stop()
        if self._missed and error is None:
            logger.warning("%r lacked samples %d times, and something between went on without them", self, self._missed)

    def __repr__(self) -> str:
        return f"rtk.recording({self._name!r}, mode={self.mode!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        return self

    def save(self) -> None:
        """Write what is new now; a forked child leaves the file to its parent.

        Raises:
            RecordingError: where the file cannot be written.
        """
        with self._saving:
            with self._lock:
                timer, self._timer = self._timer, None
                due = self._unsaved and self._pid == os.getpid()
                self._unsaved = False
            if timer is not None:
                timer.cancel()
            if due:
                self._write()

    # --- what the layers that draw use ---

    @property
    def replays(self) -> bool:
        """Whether nothing but the file is asked."""
        return self.mode == "replay"

    def find(self, addresses: Iterable[Address]) -> dict[Address, Sample | Missing]:
        """What the file holds of some addresses; failures only in a replay."""
        with self._lock:
            found: dict[Address, Sample | Missing] = {}
            for address in addresses:
                if address in self._known.samples:
                    found[address] = self._known.samples[address]
                elif self.replays and address in self._known.missing:
                    found[address] = Missing(address, self._known.missing[address])
            return found

    def stopped(self, address: Address, seconds: Sequence[float]) -> float | None:
        """In a replay: which of these deadlines stopped an ask before this address when it was recorded."""
        stops = self._known.stops if self.replays else ()
        return next((limit for limit in seconds if (address, limit) in stops), None)

    def note(self, request: Request, content: Sample | Missing, adapter: str) -> None:
        """Keep a sample, or the kind of a failure."""
        self._note(request, content.address, content if isinstance(content, Sample) else content.kind, adapter)

    def note_stop(self, request: Request, address: Address, seconds: float, adapter: str) -> None:
        """Keep that a deadline stopped an ask before this address."""
        self._note(request, address, float(seconds), adapter)

    def lacks(self, request: Request, address: Address, adapter: str) -> NotRecorded:
        """The error for a replay that asks for more than the file holds."""
        self._missed += 1
        return NotRecorded(
            f"{self!r}: {self._explained(request, address, adapter)}",
            mend=f"mode='auto' draws it and adds it: rtk.recording({self._name!r})",
        )

    def remark(self, error: BaseException, request: Request, address: Address, adapter: str) -> None:
        """Say on an error of a model's why the model was asked at all."""
        told = f"{self!r} does not hold it either: {self._explained(request, address, adapter)}"
        if not any(note.startswith(f"{self!r}") for note in getattr(error, "__notes__", ())):
            error.add_note(told)

    # --- inside ---

    def _explained(self, request: Request, address: Address, adapter: str) -> str:
        with self._lock:
            return explanation(self._known, request, address, adapter)

    def _note(self, request: Request, address: Address, content: Sample | str | float, adapter: str) -> None:
        if self.replays:
            return
        with self._lock:
            news = self._kept.add(request, address, content) or adapter not in self._kept.adapters
            self._kept.adapters.add(adapter)
            if self._kept is not self._known:
                self._known.add(request, address, content)
            self._unsaved = self._unsaved or news
            if news and self._timer is None:
                self._timer = threading.Timer(max(SOON, 20 * self._took), self._save_in_time)
                self._timer.daemon = True
                self._timer.start()

    def _save_in_time(self) -> None:
        try:
            self.save()
        except RecordingError as error:
            logger.warning("%s", error)
            self._unsaved = True  # and so tried again, at the end at the latest

    def _write(self) -> None:
        started = time.perf_counter()
        other = load(self._path) if self.mode == "auto" and _stamp(self._path) not in (None, self._stamp) else None
        with self._lock:
            if other is not None:  # another process has written meanwhile: lose nothing of it
                self._kept.take_in(other)
            snapshot = self._kept.copy()
        snapshot.save(self._path)
        self._stamp, self._took = _stamp(self._path), time.perf_counter() - started


def _places(path_or_stem: str | os.PathLike[str]) -> tuple[Path | None, Path]:
    """The file to read, None where there is none, and the file to write."""
    given = os.fspath(path_or_stem)
    if not isinstance(path_or_stem, str) or given.endswith(_SUFFIXES) or os.path.basename(given) != given:
        path = Path(given).expanduser().absolute()
        path = path if path.name.endswith(_SUFFIXES) else path.with_name(f"{path.name}.jsonl")
        return (path if path.exists() else None), path
    here = [Path.cwd() / f"{given}{suffix}" for suffix in _SUFFIXES]
    ours = [shipped("cache") / f"{given}{suffix}" for suffix in _SUFFIXES]
    found = next((path for path in [*here, *ours] if path.is_file()), None)
    if found is not None and (found in here or checkout() is not None):
        return found, found
    working = checkout()
    inside = working is not None and Path.cwd().is_relative_to(working)
    return found, (ours if inside else here)[0]


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when somebody else writes the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _relieve(path: Path) -> None:
    """End a standing recording of the same file, as when a notebook's first cell is run again."""
    for other in [one for one in _standing if one.path == path]:
        other.stop()


@atexit.register
def _save_all() -> None:
    for standing in list(_standing):
        standing._save_in_time()
