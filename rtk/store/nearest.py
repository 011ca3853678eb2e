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
        return f"Of this request and stream it holds {len(held)} samples, the last at index {max(held)}."
    streams = sorted({one.stream for one in tape.samples if one.key == address.key})
    return f"Of this request it holds samples of the streams {', '.join(streams[:8]) or 'none'}."


def _nearest(tape: Tape, request: Request) -> str:
    asked = dict(_leaves(request.value))
    ranked = sorted(tape.requests.values(), key=lambda one: (-_agreement(one, asked), one.key))[:_COMPARED]
    nearest = max(ranked, key=lambda one: SequenceMatcher(None, one.body, request.body, autojunk=False).quick_ratio())
    recorded = dict(_leaves(nearest.value))
    differing = [name for name in {**recorded, **asked} if recorded.get(name) != asked.get(name)]
    told = "; ".join(_difference(name, recorded.get(name), asked.get(name)) for name in differing[:3])
    more = f"; and {len(differing) - 3} fields more" if len(differing) > 3 else ""
    return f"The nearest recorded request ({nearest.key[:12]}) differs in {told}{more}."


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


def _agreement(request: Request, asked: dict[str, Any]) -> int:
    return sum(asked.get(name, _leaves) == value for name, value in _leaves(request.value))


def _difference(name: str, recorded: Any, asked: Any) -> str:
    """Both sides of a field, from a little before the place where they part."""
    if not (isinstance(recorded, str) and isinstance(asked, str)):
        return f"{name}: recorded {recorded!r:.{_SHOWN}}, asked {asked!r:.{_SHOWN}}"
    pairs = zip(recorded, asked, strict=False)
    parting = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(recorded), len(asked)))
    start = max(0, parting - 20)
    before = "…" if start else ""
    sides = [f"{before}{text[start : start + _SHOWN]}" for text in (recorded, asked)]
    return f"{name}: recorded {sides[0]!r}, asked {sides[1]!r}"
