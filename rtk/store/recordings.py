"""`rtk.recording`: what a program asked for and got, in one file that replays it without a model."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from itertools import product
from pathlib import Path
from typing import Any, Literal, Self, get_args

from rtk._context import in_context, of_context
from rtk.errors import NotRecorded, RecordingError, ServedModelChanged
from rtk.samples import Address, Missing, Request, Sample
from rtk.shipped import checkout, shipped
from rtk.store.nearest import explanation
from rtk.store.tape import Entry, Stop, Tape, alone, load, save

logger = logging.getLogger("rtk")

Mode = Literal["auto", "replay", "record"]
SOON = 1.0  # seconds from the first unsaved sample to the next saving, at least
_SUFFIXES = (".jsonl", ".jsonl.gz")

_standing: list[Recording] = []  # those that hold for the whole process; the last one is in force
_made: weakref.WeakSet[Recording] = weakref.WeakSet()


def current_recording() -> Recording | None:
    """The recording in force: of the innermost `with`, else the last one that was called for the whole process."""
    return of_context("rtk_recording") or (_standing[-1] if _standing else None)


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
      not in it raises `NotRecorded`.
    * `"record"`: as `"auto"`, into a new file that holds only what was asked for since.

    `RTK_RECORDING=replay` (or `record`) in the environment makes `"auto"` mean that, so that a notebook can be checked,
    or recorded anew, without an edit.

    In a recording, an address holds one sample, also for an LM with `cache=False`. A plain call for a file that a
    standing recording writes takes its place, as when a notebook's first cell is run again.

    >>> rtk.recording("my-study")  # doctest: +SKIP
    >>> with rtk.recording("my-study", mode="replay"):  # doctest: +SKIP
    ...     program(question="…")

    Args:
        path_or_stem: a path (with a folder in it, or ending in `.jsonl` or `.jsonl.gz`), or a stem: then `STEM.jsonl`
            in the working folder, or the recording of that name that comes with rtk. What comes with an installed rtk
            is not changed: a recording that grows is written whole into the working folder.
        mode: see above.

    Raises:
        RecordingError: for a name that names none, and a file that cannot be read or, in `"replay"`, is not there.
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
        self._relieved = _saved(_places(path_or_stem)[1])
        source, self._path = _places(path_or_stem)
        self._name, self.mode = os.fspath(path_or_stem), _wanted() or mode if mode == "auto" else mode
        if self.replays and source is None:
            raise RecordingError(f"there is no recording {self._path}", mend=_drawn_with(self._name))
        self._stamp = _stamp(self._path)  # before reading: what is written meanwhile is seen later
        self._known = load(source) if source is not None else Tape()
        self._kept = Tape() if self.mode == "record" else self._known
        self._turns = Counter[tuple[Address, float]]()
        self._pid, self._unsaved, self._took, self._missed = os.getpid(), False, 0.0, 0
        self._timer: threading.Timer | None = None
        self._contexts: list[AbstractContextManager[Any]] = []
        self._renew()
        _made.add(self)
        for other in self._relieved:
            _standing.remove(other)
            other._relieved = []
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
        self._stand_back([])
        self.save()

    def __enter__(self) -> Self:
        self._stand_back(self._relieved)
        context = in_context(rtk_recording=self)
        context.__enter__()
        self._contexts.append(context)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._contexts.pop().__exit__(kind, error, traceback)
        self.save()
        if self._missed and error is None:
            often = "once" if self._missed == 1 else f"{self._missed} times"
            logger.warning("%r lacked samples %s, and something between went on without them", self, often)

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
                due, self._unsaved = self._unsaved and self._pid == os.getpid(), False
            if timer is not None:
                timer.cancel()
            try:
                if due:
                    self._write()
            except RecordingError:
                self._unsaved = True  # and so tried again, at the end at the latest
                raise

    # --- what the layers that draw use ---

    @property
    def replays(self) -> bool:
        """Whether nothing but the file is asked."""
        return self.mode == "replay"

    def find(self, addresses: Iterable[Address]) -> dict[Address, Sample | Missing]:
        """What the file holds of some addresses; failures only in a replay."""
        missing = self._known.missing if self.replays else {}
        with self._lock:
            found = {address: self._known.samples.get(address) or missing.get(address) for address in addresses}
        return {address: entry for address, entry in found.items() if entry is not None}

    def stopped(self, address: Address, limits: Iterable[float]) -> Stop | None:
        """In a replay: where one of these deadlines stopped an ask at this address, the ask being as it was then."""
        if not self.replays:
            return None
        with self._lock:
            places = [(address, limit, self._turns[address, limit]) for limit in limits]
            return next((self._known.stops[place] for place in places if place in self._known.stops), None)

    def note(self, request: Request, content: Sample | Missing, adapter: str) -> Sample | Missing:
        """Keep a sample, or the kind of a failure; what is at that address from now on: the first sample stays.

        Raises:
            ServedModelChanged: for a sample of another model than the request's first one; it is not kept.
            UnsupportedParameter: for one that no file can carry.
        """
        if self.replays:
            return content
        with self._lock:
            if isinstance(content, Sample) and content.address not in self._known.samples:
                self._refuse_another_model(request, content.served_model)
                content.to_json()
            self._add(request, content, adapter)
            return self._kept.samples.get(content.address, content)

    def note_given(self, addresses: Collection[Address], limits: Collection[float]) -> None:
        """Note that an ask under such deadlines was given these: none of them stopped it there, as perhaps before."""
        with self._lock:
            for address, limit in product(addresses, limits):
                place = (address, limit, self._turn(address, limit))
                if not self.replays and self._kept.stops.pop(place, None) is not None:
                    self._changed()

    def note_stop(
        self, request: Request, address: Address, seconds: float, called: bool, beyond: Iterable[int], adapter: str
    ) -> None:
        """Keep that a deadline stopped an ask at this address; see `Stop`."""
        with self._lock:
            stop = Stop(address, seconds, called, tuple(sorted(beyond)), self._turn(address, seconds))
            if not self.replays:
                self._add(request, stop, adapter)

    def lacks(self, request: Request, address: Address, adapter: str) -> NotRecorded:
        """The error for a replay that asks for more than the file holds."""
        with self._lock:
            self._missed += 1
        return NotRecorded(f"{self!r}: {self._explained(request, address, adapter)}", mend=_drawn_with(self._name))

    def remark(self, error: BaseException, request: Request, address: Address, adapter: str) -> None:
        """Say on an error of a model's why the model was asked at all."""
        told = f"{self!r} does not hold it either: {self._explained(request, address, adapter)}"
        if not any(note.startswith(f"{self!r}") for note in getattr(error, "__notes__", ())):
            error.add_note(told)

    # --- inside ---

    def _stand_back(self, others: list[Recording]) -> None:
        """Hold for the process no longer; others do in its place."""
        if self in _standing:
            at = _standing.index(self)
            _standing[at : at + 1] = others
        self._relieved = []

    def _explained(self, request: Request, address: Address, adapter: str) -> str:
        with self._lock:
            return explanation(self._known, request, address, adapter)

    def _refuse_another_model(self, request: Request, name: str | None) -> None:
        known = self._known.served.get(request.key)
        if known is not None and name is not None and name != known:
            raise ServedModelChanged(
                f"{request!r} was answered by {known!r} in {self!r} and now by {name!r}: samples of two models would "
                "be mixed",
                mend=f'give the new one addresses of its own: rtk.LM({request.model!r}, revision="{name}")',
            )

    def _turn(self, address: Address, limit: float) -> int:
        """How many asks under such a limit came to this address before; one more has."""
        self._turns[address, limit] += 1
        return self._turns[address, limit] - 1

    def _add(self, request: Request, entry: Entry, adapter: str) -> None:
        news = self._kept.add(request, entry) or adapter not in self._kept.adapters
        self._kept.adapters.add(adapter)
        if self._kept is not self._known:
            self._known.add(request, entry)
        if news:
            self._changed()

    def _changed(self) -> None:
        self._unsaved = True
        if self._timer is None and self._pid == os.getpid():
            self._timer = threading.Timer(max(SOON, 20 * self._took), self._save_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _save_in_time(self) -> None:
        try:
            self.save()
        except RecordingError as error:
            logger.warning("%s", error)

    def _write(self) -> None:
        started = time.perf_counter()
        with alone(self._path):
            new = self.mode == "auto" and _stamp(self._path) not in (None, self._stamp)
            other = load(self._path) if new else Tape()
            with self._lock:
                self._kept.take_in(other)  # another process has written meanwhile: lose nothing of it
                snapshot = self._kept.copy()
            save(self._path, snapshot.lines())
            self._stamp = _stamp(self._path)
        self._took = time.perf_counter() - started

    def _renew(self) -> None:
        """Locks, at the start and again in a forked child, for which its parent's may stay locked."""
        self._lock, self._saving = threading.Lock(), threading.Lock()


def _places(path_or_stem: str | os.PathLike[str]) -> tuple[Path | None, Path]:
    """The file to read, None where there is none, and the file to write.

    Raises:
        RecordingError: for what names no file.
    """
    try:
        given = os.fspath(path_or_stem)
        if not isinstance(path_or_stem, str) or given.endswith(_SUFFIXES) or os.path.basename(given) != given:
            return _at(Path(given))
        return _of_stem(given)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path_or_stem!r:.200} names no recording: {error}", mend="for example rtk.recording('my-study')"
        ) from error


def _at(given: Path) -> tuple[Path | None, Path]:
    path = given.expanduser()
    path = path if path.name.endswith(_SUFFIXES) else path.with_name(f"{path.name}.jsonl")
    path = path.resolve()  # a link goes on pointing to its file
    return (path if path.exists() else None), path


def _of_stem(stem: str) -> tuple[Path | None, Path]:
    if stem in ("", ".", ".."):
        raise ValueError("it is no name")
    here = [Path.cwd() / f"{stem}{suffix}" for suffix in _SUFFIXES]
    ours = [shipped("cache") / f"{stem}{suffix}" for suffix in _SUFFIXES]
    found = next((path.resolve() for path in [*here, *ours] if path.exists()), None)
    working = checkout()
    if found is not None and (working is not None or found.parent == here[0].parent):
        return found, found
    inside = working is not None and Path.cwd().is_relative_to(working)
    return found, (ours if inside else here)[0].resolve()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when somebody else writes the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _saved(path: Path) -> list[Recording]:
    """The standing recordings of a file, which now holds all of theirs."""
    found = [one for one in _standing if one.path == path]
    for one in found:
        one.save()
    return found


def _wanted() -> Mode | None:
    """The mode that the environment asks for in place of `"auto"`."""
    named = os.environ.get("RTK_RECORDING")
    return next((mode for mode in get_args(Mode) if mode == named), None)


def _drawn_with(name: str) -> str:
    """The mend for what is not recorded."""
    first = "take RTK_RECORDING=replay out of the environment; then " if _wanted() == "replay" else ""
    return f"{first}mode='auto' draws it and adds it: rtk.recording({name!r})"


@atexit.register
def _save_all() -> None:
    for standing in list(_standing):
        standing._save_in_time()


def _renew_all() -> None:
    for one in list(_made):
        one._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
