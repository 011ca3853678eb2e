"""What stands at the head of a GGUF file: facts about the model, and how many parameters it has.

Form: ggml `docs/gguf.md`. A damaged header is read as far as it goes; llama.cpp says what is wrong in its own time.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_NUMBERS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_MOST = 10_000_000  # entries of a list, and bytes of a text: more is damage


@dataclass(frozen=True, slots=True)
class Header:
    """A GGUF's head.

    Attributes:
        facts: by name; lists (vocabularies, mostly) are left out.
        parameters: those that take part in each token; None where the file does not say. Of experts, of which a token
            passes a few, those few count.
    """

    facts: dict[str, Any]
    parameters: int | None


def header(path: Path) -> Header:
    """The head of a file; read again only when its size or modification time has changed."""
    status = path.stat()
    return _header(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _header(path: Path, size: int, modified: int) -> Header:
    facts: dict[str, Any] = {}
    parameters = None
    with path.open("rb") as file, suppress(struct.error, KeyError, TypeError, ValueError, RecursionError):
        _, _, tensors, count = struct.unpack("<4sIQQ", file.read(24))
        for _ in range(count):
            key = _string(file)
            value = _value(file, *struct.unpack("<I", file.read(4)))
            if value is not None:
                facts[key] = value
        parameters = sum(_active(facts, name, size) for name, size in _tensors(file, tensors))
    return Header(facts, parameters or None)


def _tensors(file: IO[bytes], count: int) -> Iterator[tuple[str, int]]:
    """The tensors' names and numbers of elements."""
    for _ in range(count):
        name = _string(file)
        (dimensions,) = struct.unpack("<I", file.read(4))
        sizes = struct.unpack(f"<{min(dimensions, 8)}Q", file.read(8 * dimensions))
        file.seek(12, 1)  # its type and its place
        yield name, math.prod(sizes)


def _active(facts: dict[str, Any], name: str, size: int) -> int:
    """Of a tensor of all experts, the share of those that a token passes."""
    kind = facts.get("general.architecture")
    there, used = facts.get(f"{kind}.expert_count"), facts.get(f"{kind}.expert_used_count")
    return size * used // there if there and used and "_exps." in name else size


def _value(file: IO[bytes], form: int) -> Any:
    """A value; None for a list, which is passed over."""
    if form == 8:
        return _string(file)
    if form != 9:
        return _number(file, _NUMBERS[form])
    kind, count = struct.unpack("<IQ", file.read(12))
    if count > _MOST:
        raise ValueError("a list beyond reason")
    if kind in _NUMBERS:
        file.seek(count * struct.calcsize(_NUMBERS[kind]), 1)
        return None
    for _ in range(count):
        _value(file, kind)
    return None


def _string(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST:
        raise ValueError("a text beyond reason")
    return file.read(length).decode(errors="replace")


def _number(file: IO[bytes], form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
