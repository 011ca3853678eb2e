"""What a replay misses, said so that one sees why: the nearest recorded request, and the fields that differ."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from importlib.metadata import version
from typing import Any

from rtk.samples import Address, Request
from rtk.store.tape import Tape

_SHOWN = 60  # characters of each side of a difference
_COMPARED = 8  # requests compared letter by letter, of those that agree in most fields
_ABSENT = object()
_ONLY = "nothing but empty fields, or their order"


def explanation(tape: Tape, request: Request, address: Address, adapter: str) -> str:
    """Why a tape does not hold an address: in a sentence or a few."""
    asked = f"sample {address.index} of stream {address.stream} of a request to {request.model!r} ({request.key[:12]})"
    return f"{asked} is not recorded. {_why(tape, request, address, adapter)}"


def _why(tape: Tape, request: Request, address: Address, adapter: str) -> str:
    if address.key in tape.requests:
        return _of_this_request(tape, address)
    if not tape.requests:
        return "Nothing is recorded."
    here = f"DSPy {version('dspy')} and {adapter}"
    there = f"DSPy {tape.dspy} and {', '.join(sorted(tape.adapters)) or 'no adapter'}"
    if tape.dspy != version("dspy") or adapter not in tape.adapters:
        return f"It was recorded with {there}, and this is {here}: they write other prompts. {_nearest(tape, request)}"
    return _nearest(tape, request)


def _of_this_request(tape: Tape, address: Address) -> str:
    held = [one.index for one in tape.samples if (one.key, one.stream) == (address.key, address.stream)]
    if held:
        count = "1 sample" if len(held) == 1 else f"{len(held)} samples"
        return f"Of this request and stream it holds {count}, the last at index {max(held)}."
    streams = sorted({one.stream for one in tape.samples if one.key == address.key})
    if not streams:
        return "Of this request it holds no sample, only what did not come."
    named = f"streams {', '.join(streams[:8])}" if len(streams) > 1 else f"stream {streams[0]}"
    more = f" and {len(streams) - 8} more" if len(streams) > 8 else ""
    return f"Of this request it holds samples of {named}{more}."


def _nearest(tape: Tape, request: Request) -> str:
    asked = dict(_leaves(request.value))
    ranked = sorted(tape.requests.values(), key=lambda one: (-_agreement(one, asked), one.key))[:_COMPARED]
    nearest = max(ranked, key=lambda one: SequenceMatcher(None, one.body, request.body, autojunk=False).quick_ratio())
    recorded = dict(_leaves(nearest.value))
    names = [name for name in {**recorded, **asked} if _differ(recorded, asked, name)]
    told = "; ".join(_difference(name, recorded.get(name, _ABSENT), asked.get(name, _ABSENT)) for name in names[:3])
    more = f"; and {len(names) - 3} more" if len(names) > 3 else ""
    return f"The nearest recorded request ({nearest.key[:12]}) differs in {told or _ONLY}{more}."


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values in a nested one, each with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}[{index}]")
    else:
        yield name, value


def _differ(recorded: dict[str, Any], asked: dict[str, Any], name: str) -> bool:
    pair = recorded.get(name, _ABSENT), asked.get(name, _ABSENT)
    return pair[0] != pair[1] or type(pair[0]) is not type(pair[1])  # True is no 1


def _agreement(request: Request, asked: dict[str, Any]) -> int:
    return sum(asked.get(name, _ABSENT) == value for name, value in _leaves(request.value))


def _difference(name: str, recorded: Any, asked: Any) -> str:
    """Both sides of a field; of texts, from a little before the place where they part."""
    if not (isinstance(recorded, str) and isinstance(asked, str)):
        return f"{name}: recorded {_shown(recorded)}, asked {_shown(asked)}"
    pairs = zip(recorded, asked, strict=False)
    parting = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(recorded), len(asked)))
    start = max(0, parting - 20)
    before = "…" if start else ""
    sides = [f"{before}{text[start : start + _SHOWN]}" for text in (recorded, asked)]
    return f"{name}: recorded {sides[0]!r}, asked {sides[1]!r}"


def _shown(value: Any) -> str:
    said = repr(value)
    return "nothing" if value is _ABSENT else said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
