"""The file of a recording: JSON Lines, sorted, self-describing, the same bytes for the same content.

The first line names the format, the versions and the adapters. Then, for every request in order of its key: the
request, and at their addresses its samples, what did not come, and where a deadline stopped.
"""

from __future__ import annotations

import gzip
import json
import math
import operator
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rtk.errors import RecordingError, RTKError
from rtk.samples import Address, Request, Sample, canonical
from rtk.shipped import DISTRIBUTION
from rtk.store.layout import LONGEST, sample_row

FORMAT = 1
"""Version of the file; a reader refuses any other."""


@dataclass(eq=False)
class Tape:
    """What a recording holds.

    Attributes:
        requests: by key.
        samples: by address.
        missing: the kind of failure, by the address of what did not come.
        stops: where a deadline stopped an ask: the first address that was not given, and the budget's seconds.
        adapters: names of the DSPy adapters that wrote the prompts.
        dspy: the version of DSPy that wrote them.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    samples: dict[Address, Sample] = field(default_factory=dict)
    missing: dict[Address, str] = field(default_factory=dict)
    stops: set[tuple[Address, float]] = field(default_factory=set)
    adapters: set[str] = field(default_factory=set)
    dspy: str = field(default_factory=lambda: version("dspy"))

    def add(self, request: Request, address: Address, content: Sample | str | float) -> bool:
        """Add a sample, the kind of a failure or the seconds of a deadline; whether that was news.

        The first sample at an address stays. One that comes after all takes the place of a failure.
        """
        self.requests.setdefault(address.key, request)
        if isinstance(content, Sample):
            news = address not in self.samples
            self.samples.setdefault(address, content)
            self.missing.pop(address, None)
        elif isinstance(content, str):
            news = address not in self.samples and self.missing.get(address) != content
            if address not in self.samples:
                self.missing[address] = content
        else:
            news = (address, content) not in self.stops
            self.stops.add((address, content))
        return news

    def take_in(self, other: Tape) -> None:
        """Add all that another one holds; where both have something, this one's stays."""
        for address, sample in other.samples.items():
            self.add(other.requests[address.key], address, sample)
        for address, kind in other.missing.items():
            if address not in self.missing:
                self.add(other.requests[address.key], address, kind)
        for address, seconds in other.stops:
            self.add(other.requests[address.key], address, seconds)
        self.adapters |= other.adapters

    def copy(self) -> Tape:
        """A copy to write while the tape goes on growing."""
        return Tape(
            dict(self.requests), dict(self.samples), dict(self.missing), set(self.stops), set(self.adapters), self.dspy
        )

    def lines(self) -> Iterator[str]:
        """The file's lines, in order."""
        made_by = {"dspy": version("dspy"), "rtk": version(DISTRIBUTION)}
        yield canonical({"rtk_recording": FORMAT, "adapters": sorted(self.adapters), **made_by})
        by_key: dict[str, list[tuple[Any, str]]] = {key: [] for key in self.requests}
        for address, text in self._entries():
            by_key[address.key].append((sample_row(address), text))
        for key in sorted(by_key):
            if by_key[key]:  # a request of which nothing is held explains nothing
                yield f'{{"request":{self.requests[key].body}}}'
                yield from (text for _, text in sorted(by_key[key]))

    def _entries(self) -> Iterator[tuple[Address, str]]:
        for address, sample in self.samples.items():
            yield address, f'{{"sample":{sample.to_json()}}}'
        for address, kind in self.missing.items():
            yield address, canonical({"missing": kind, "address": _written(address)})
        for address, seconds in self.stops:
            yield address, canonical({"stopped": seconds, "address": _written(address)})

    def save(self, path: Path) -> None:
        """Write the file in one step: whoever reads it finds the old one or the new one.

        Raises:
            RecordingError: where it cannot be written; the old file is as it was.
        """
        whole = "".join(f"{line}\n" for line in self.lines()).encode("utf-8")
        whole = gzip.compress(whole, mtime=0) if path.suffix == ".gz" else whole
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise RecordingError(
                f"cannot write the recording {path}: {error}",
                mend="free some space or name another path; the samples are in the store, so a second run draws none",
            ) from error


def load(path: Path) -> Tape:
    """Read a recording.

    Raises:
        RecordingError: for a file that is none, naming the line.
    """
    tape, head = Tape(), True
    try:
        for number, line in enumerate(_lines(path), 1):
            reader = _read_head if head else _read_line
            _checked(path, number, reader, tape, line)
            head = False
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"cannot read the recording {path}: {error}", mend="name another file") from error
    if head:
        raise RecordingError(f"{path} is empty, and so no recording", mend="remove it, and record again")
    return tape


def _lines(path: Path) -> Iterator[bytes]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        while line := file.readline(LONGEST + 1):
            yield line


def _checked(path: Path, number: int, reader: Callable[[Tape, Any], None], tape: Tape, line: bytes) -> None:
    try:
        if len(line) > LONGEST:
            raise RecordingError(f"longer than {LONGEST // 2**20} MiB")
        value = json.loads(line)
        if not isinstance(value, dict):
            raise RecordingError("no JSON object")
        reader(tape, value)
    except (RTKError, ValueError, TypeError, KeyError, RecursionError) as error:
        wrong = f"{type(error).__name__}: {error}" if not isinstance(error, RTKError) else str(error)
        mend = getattr(error, "mend", None) or "take the file from where it was written, or record again"
        raise RecordingError(f"{path}, line {number}: {wrong}", mend=mend) from error


def _read_head(tape: Tape, value: dict[str, Any]) -> None:
    if "rtk_recording" not in value:
        raise RecordingError("this is no recording of rtk", mend="name a file that rtk.recording wrote")
    if value["rtk_recording"] != FORMAT:
        raise RecordingError(
            f"a recording of format {value['rtk_recording']!r:.20}; this rtk reads {FORMAT}", mend="use a newer rtk"
        )
    adapters = value["adapters"]
    if not isinstance(adapters, list) or not all(isinstance(name, str) for name in [*adapters, value["dspy"]]):
        raise RecordingError("its adapters and its DSPy version are no texts")
    tape.adapters, tape.dspy = set(adapters), value["dspy"]


def _read_line(tape: Tape, value: dict[str, Any]) -> None:
    if "request" in value:
        request = Request.parse(canonical(value["request"]))
        tape.requests[request.key] = request
        return
    if "sample" in value:
        content: Sample | str | float = Sample.from_json(canonical(value["sample"]))
        address = content.address
    else:
        key, stream, index = value["address"]
        address = Address(key, stream, operator.index(index))
        content = value["missing"] if "missing" in value else float(value["stopped"])
    sample_row(address)  # raises for what is no address
    if not isinstance(content, Sample | str | float) or (isinstance(content, float) and not math.isfinite(content)):
        raise RecordingError("an entry of another kind")
    if address.key not in tape.requests:
        raise RecordingError("an entry of no request above it")
    if not tape.add(tape.requests[address.key], address, content):
        raise RecordingError(f"a second entry for {address}")


def _written(address: Address) -> list[Any]:
    return [address.key, address.stream, address.index]
