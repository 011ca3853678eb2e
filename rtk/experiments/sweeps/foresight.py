"""What a sweep will take, said before it begins: its programs are rehearsed on some of the questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import dspy

from rtk.experiments.sweeps.arms import Runner
from rtk.models import Expected
from rtk.samples import Address, Stream
from rtk.strategies import Flow, Strategy, ask, wanted

LOOKED_AT = 10
"""Questions on which every arm is rehearsed."""
PATIENCE = 2.0  # seconds after which no further one is looked at

Wanted = dict[Address, Expected | None]


def foreseen(runners: Sequence[Runner], examples: Sequence[dspy.Example], replicates: int, concurrency: int) -> str:
    """One line: samples wanted, those that are stored, and tokens, dollars and minutes of the others.

    Samples that arms share are counted once. Nothing is drawn.

    Args:
        runners: the arms.
        examples: the questions, of which up to `LOOKED_AT` that are evenly apart are looked at.
        replicates: of the whole.
        concurrency: questions under way at once.
    """
    step = max(1.0, len(examples) / LOOKED_AT)
    chosen = [examples[int(number * step)] for number in range(min(len(examples), LOOKED_AT))]
    pairs = [(example, number) for example in chosen for number in range(replicates)]
    found, looked, end = Wanted(), 0, time.monotonic() + PATIENCE
    for example, number in pairs:
        for runner in runners:
            found |= _rehearsed(runner, example, number if replicates > 1 else None)
        looked += 1
        if time.monotonic() > end:
            break
    return _line(found, len(examples) * replicates / looked, len(examples), concurrency)


def _rehearsed(runner: Runner, example: dspy.Example, number: int | None) -> Wanted:
    program = runner.program if isinstance(runner.program, Strategy) else _Alone(runner.program)
    settings: dict[str, Any] = {} if runner.lm is None else {"lm": runner.lm}
    if number is not None:
        settings["rtk_stream"] = Stream(number)
    with dspy.context(**settings):
        return wanted(program, [example.inputs().toDict()])[0]


class _Alone(Strategy):
    """A module as a strategy that asks it once."""

    def __init__(self, program: dspy.Module) -> None:
        super().__init__()
        self.program = program

    def flow(self, **inputs: Any) -> Flow:
        return (yield ask(self.program, inputs))[0]


def _line(found: Wanted, scale: float, size: int, concurrency: int) -> str:
    missing = [cost for cost in found.values() if cost is not None]
    samples, stored = len(found) * scale, (len(found) - len(missing)) * scale
    about = "" if scale == 1 else "about "
    said = f"{about}{samples:,.0f} samples wanted, {stored:,.0f} stored"
    if not missing:
        return f"{said}: nothing to draw"
    return f"{said}; to draw the others: {_tokens(missing, scale)}, {_dollars(missing, scale)}, " + _minutes(
        missing, scale, min(size, concurrency)
    )


def _tokens(missing: Sequence[Expected], scale: float) -> str:
    amounts = [None if one.completion_tokens is None else one.prompt_tokens + one.completion_tokens for one in missing]
    total = _total(amounts, scale)
    return "tokens unknown" if total is None else f"about {total:,.0f} tokens"


def _dollars(missing: Sequence[Expected], scale: float) -> str:
    total = _total([one.dollars for one in missing], scale)
    return "price unknown" if total is None else f"${total:,.2f}"


def _minutes(missing: Sequence[Expected], scale: float, together: int) -> str:
    """As long as samples of their like took, so many at once as questions are."""
    total = _total([one.seconds for one in missing], scale)
    if total is None:
        return "time unknown"
    seconds = total / max(1, together)
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:,.0f} min"


def _total(amounts: Sequence[float | None], scale: float) -> float | None:
    known = [one for one in amounts if one is not None]
    return None if len(known) < len(amounts) else sum(known) * scale
