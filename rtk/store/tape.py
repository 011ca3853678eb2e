"""The file of a recording: JSON Lines, sorted, self-describing, the same bytes for the same content.

The first line names the format, the versions and the adapters. Then, for every request in order of its key: the
request, and at their addresses its samples, what did not come, and where a deadline stopped.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from rtk.errors import NewerStore, RecordingError, RTKError, StoreError
from rtk.samples import Address, Missing, Request, Sample, canonical
from rtk.shipped import DISTRIBUTION
from rtk.store.keys import refuse_keys
from rtk.store.layout import LONGEST, sample_row

if sys.platform != "win32":
    import fcntl

FORMAT = 1
"""Version of the file; a reader refuses any other."""

UNPACKED_FREELY, RATIO = 2**28, 100
"""Bytes that a packed file may unpack to in any case; and beyond that, how many times its size it may.

Checksums do not shrink: of what rtk writes, only thousands of long texts that are all alike come near.
"""

MOST_VALUES = 2**23
"""In one line. As Python's objects they take up to thirty times the room that they take in the file."""

_NEWER = "it was recorded with a newer rtk: pip install -U rtk-inference"
_AGAIN = "take the file from where it was written, or remove it and record again"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a deadline stopped an ask.

    Attributes:
        address: the first that was not given.
        seconds: the limit of the budget.
        called: whether the ask counted as a call.
        beyond: indices of samples that had come behind that first one: paid, not given.
        turn: how many asks under such a limit had come to this address before.
    """

    address: Address
    seconds: float
    called: bool = True
    beyond: tuple[int, ...] = ()
    turn: int = 0

    @property
    def place(self) -> tuple[Address, float, int]:
        """What tells it from others."""
        return self.address, self.seconds, self.turn


Entry = Sample | Missing | Stop


@dataclass(eq=False)
class Tape:
    """What a recording holds.

    Attributes:
        requests: by key.
        samples: by address.
        missing: what did not come, by address; of the reason only the kind.
        stops: where a deadline stopped an ask, by `Stop.place`.
        served: the name under which a request's first sample was served, by key.
        adapters: names of the DSPy adapters that wrote the prompts.
        dspy: the version of DSPy that wrote them.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    samples: dict[Address, Sample] = field(default_factory=dict)
    missing: dict[Address, Missing] = field(default_factory=dict)
    stops: dict[tuple[Address, float, int], Stop] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)
    adapters: set[str] = field(default_factory=set)
    dspy: str = field(default_factory=lambda: version("dspy"))

    def add(self, request: Request, entry: Entry) -> bool:
        """Add an entry; whether that was news.

        The first sample at an address stays. One that comes after all takes the place of a failure.
        """
        self.requests.setdefault(entry.address.key, request)
        if isinstance(entry, Stop):
            news = self.stops.get(entry.place) != entry
            self.stops[entry.place] = entry
            return news
        if entry.address in self.samples:
            return False
        if isinstance(entry, Missing):
            bare = Missing(entry.address, entry.kind)
            news = self.missing.get(entry.address) != bare
            self.missing[entry.address] = bare
            return news
        self.samples[entry.address] = entry
        self.missing.pop(entry.address, None)
        if entry.served_model is not None:
            self.served.setdefault(entry.address.key, entry.served_model)
        return True

    def holds(self, entry: Entry) -> bool:
        """Whether there is something in an entry's place."""
        if isinstance(entry, Stop):
            return entry.place in self.stops
        return entry.address in self.samples or entry.address in self.missing

    def take_in(self, other: Tape) -> None:
        """Add all that another one holds; where both have something, this one's stays, unless it is a failure."""
        for entry in other._entries():
            if isinstance(entry, Sample) or not self.holds(entry):
                self.add(other.requests[entry.address.key], entry)
        self.adapters |= other.adapters

    def copy(self) -> Tape:
        """A copy to write while the tape goes on growing."""
        return Tape(
            dict(self.requests), dict(self.samples), dict(self.missing), dict(self.stops), dict(self.served),
            set(self.adapters), self.dspy,
        )  # fmt: skip

    def _entries(self) -> Iterator[Entry]:
        yield from self.samples.values()
        yield from self.missing.values()
        yield from self.stops.values()

    def lines(self) -> Iterator[str]:
        """The file's lines, in order."""
        yield head(self.adapters)
        by_key: dict[str, list[tuple[str, str]]] = {}
        for entry in self._entries():
            by_key.setdefault(entry.address.key, []).append((sample_row(entry.address), entry_line(entry)))
        for key in sorted(by_key):
            yield request_line(self.requests[key])
            yield from (line for _, line in sorted(by_key[key]))


# --- writing ----------------------------------------------------------------------------------------------------


def save(path: Path, lines: Iterable[str]) -> None:
    """Write a file in one step: whoever reads it finds the old one or the new one.

    Raises:
        RecordingError: where it cannot be written, or a line holds what looks like a key; the old file is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            _write(file, lines, zipped=path.suffix == ".gz")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise RecordingError(
            f"cannot write the recording {path}: {error}",
            mend="free some space or name another path; the samples are in the store, so a second run draws none",
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _write(file: IO[bytes], lines: Iterable[str], *, zipped: bool) -> None:
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) if zipped else nullcontext(file) as out:
        for number, line in enumerate(lines, 1):
            refuse_keys(line, number)
            out.write(f"{line}\n".encode())


def head(adapters: Iterable[str]) -> str:
    """The first line."""
    made_by = {"dspy": version("dspy"), "rtk": version(DISTRIBUTION)}
    return canonical({"rtk_recording": FORMAT, "adapters": sorted(adapters), **made_by})


def request_line(request: Request) -> str:
    """The line of a request, before its entries."""
    return f'{{"request":{request.body}}}'


def entry_line(entry: Entry) -> str:
    """The line of an entry."""
    if isinstance(entry, Sample):
        return f'{{"sample":{entry.to_json()}}}'
    where = [entry.address.key, entry.address.stream, entry.address.index]
    if isinstance(entry, Missing):
        return canonical({"missing": entry.kind, "address": where})
    more = {"called": entry.called, "beyond": entry.beyond, "turn": entry.turn}
    return canonical({"stopped": entry.seconds, "address": where, **more})


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Between reading a file and writing it: no other recording writes in its folder meanwhile.

    A file system without locks cannot promise that, and Windows cannot lock a folder; there, nothing is locked.
    """
    folder = None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if sys.platform != "win32":
            folder = os.open(path.parent, os.O_RDONLY)
            fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if folder is not None and sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_UN)  # said, since a child forked meanwhile has the folder open too
            os.close(folder)


# --- reading ----------------------------------------------------------------------------------------------------


def load(path: Path) -> Tape:
    """Read a recording.

    Raises:
        RecordingError: for a file that is none, naming the line.
    """
    tape, number = Tape(), 0
    try:
        for number, line in enumerate(_lines(path), 1):
            _checked(path, number, _read_line if number > 1 else _read_head, tape, line)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"cannot read the recording {path} after line {number}: {error}", mend=_AGAIN) from error
    if number == 0:
        raise RecordingError(f"{path} is empty, and so no recording", mend="remove it, and record again")
    return tape


def _lines(path: Path) -> Iterator[bytes]:
    """The lines, none of them longer than the longest and one byte more; of a bomb, only the first few."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # which is no file either, and says so when opened
        raise RecordingError(f"{path} is no plain file, and so no recording", mend="name a file that rtk recorded")
    zipped = path.suffix == ".gz"
    with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) if zipped else nullcontext(packed) as file:
        unpacked, bearable = 0, UNPACKED_FREELY
        while line := file.readline(LONGEST + 1):
            unpacked += len(line)
            if zipped and unpacked > bearable:
                bearable = max(bearable, RATIO * packed.tell())
                if unpacked > bearable:
                    raise _bomb(path, unpacked)
            yield line


def _bomb(path: Path, unpacked: int) -> RecordingError:
    return RecordingError(
        f"{path} unpacks to more than {RATIO} times its size, as hardly a recording does; nothing of it was used "
        f"({unpacked / 2**20:,.0f} MiB were unpacked)",
        mend=f"if you trust whoever recorded it, unpack it yourself and name that file: gunzip -k {path.name}",
    )


def _checked(path: Path, number: int, reader: Callable[[Tape, bytes], None], tape: Tape, line: bytes) -> None:
    try:
        _refuse_vast(line)
        reader(tape, line)
    except (RTKError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        ours = isinstance(error, RTKError)
        wrong = str(error) if ours else f"{type(error).__name__}: {error}"
        mend = error.mend if isinstance(error, RecordingError) else _NEWER if isinstance(error, NewerStore) else None
        raise RecordingError(f"{path}, line {number}: {wrong:.300}", mend=mend or _AGAIN) from error


def _refuse_vast(line: bytes) -> None:
    if len(line) > LONGEST:
        raise RecordingError(f"longer than {LONGEST // 2**20} MiB")
    if len(line) > MOST_VALUES and line.count(b",") + line.count(b"[") + line.count(b"{") > MOST_VALUES:
        raise RecordingError(f"more than {MOST_VALUES:,} values")


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise RecordingError(f"no JSON: {error.msg} (character {error.pos})") from error
    if not isinstance(value, dict):
        raise RecordingError("no JSON object")
    return value


def _refused(constant: str) -> Any:
    raise RecordingError(f"no JSON: {constant}")


def _read_head(tape: Tape, line: bytes) -> None:
    value = _decoded(line)
    if "rtk_recording" not in value:
        raise RecordingError("this is no recording of rtk", mend="name a file that rtk.recording wrote")
    if value["rtk_recording"] != FORMAT:
        raise RecordingError(
            f"a recording of format {value['rtk_recording']!r:.20}; this rtk reads {FORMAT}", mend=_NEWER
        )
    tape.adapters = set(_texts(value, "adapters"))
    tape.dspy = _field(value, "dspy", str)


def _read_line(tape: Tape, line: bytes) -> None:
    entry = _sample_in(line)
    if entry is None:
        value = _decoded(line)
        if "request" in value:
            return _read_request(tape, value)
        entry = _entry(value)
    sample_row(entry.address)  # raises for what is no address
    if entry.address.key not in tape.requests:
        raise RecordingError("an entry of no request above it")
    if tape.holds(entry):
        raise RecordingError(f"a second entry for {entry.address}")
    tape.add(tape.requests[entry.address.key], entry)
    return None


def _sample_in(line: bytes) -> Sample | None:
    """The sample in a line that is as `entry_line` wrote it; None for any other line."""
    try:
        if line.startswith(b'{"sample":{') and line.endswith(b"}}\n"):
            return Sample.from_json(line[10:-2])
    except StoreError:  # said of the whole line, once it is read as JSON
        pass
    return None


def _read_request(tape: Tape, value: dict[str, Any]) -> None:
    request = Request.parse(canonical(value["request"]))
    if request.key in tape.requests:
        raise RecordingError(f"a second time the request {request.key[:12]}")
    tape.requests[request.key] = request


def _entry(value: dict[str, Any]) -> Entry:
    if "sample" in value:
        return Sample.from_json(canonical(value["sample"]))
    if "missing" in value:
        return Missing(_address(value), _field(value, "missing", str))
    if "stopped" not in value:
        raise RecordingError("neither a request nor a sample, a failure or a stop")
    seconds = float(_field(value, "stopped", int, float))
    if not 0 <= seconds < math.inf:
        raise RecordingError(f"stopped after {seconds} s")
    beyond = tuple(_numbers(value, "beyond"))
    return Stop(_address(value), seconds, _field(value, "called", bool), beyond, _field(value, "turn", int))


def _address(value: dict[str, Any]) -> Address:
    parts = _field(value, "address", list)
    if [type(part) for part in parts] != [str, str, int]:
        raise RecordingError(f"an address that is none: {parts!r:.80}")
    return Address(*parts)


def _field(value: dict[str, Any], name: str, *kinds: type) -> Any:
    """A field of exactly one of some types: `true` is no number."""
    found = value.get(name)
    if type(found) not in kinds:
        raise RecordingError(f"its {name!r} is {found!r:.40}")
    return found


def _texts(value: dict[str, Any], name: str) -> list[str]:
    return [_field({name: item}, name, str) for item in _field(value, name, list)]


def _numbers(value: dict[str, Any], name: str) -> list[int]:
    return [_field({name: item}, name, int) for item in _field(value, name, list)]
