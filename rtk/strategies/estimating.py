"""Estimating: what a strategy's call would ask and cost, from rehearsals in worlds that are opposites."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dspy
from rich.console import Console
from rich.progress import Progress

from rtk.budget import current_budgets
from rtk.errors import StrategyError
from rtk.models import Expected, Outlook
from rtk.samples import Address
from rtk.strategies.forecast import Forecast, Span
from rtk.strategies.questions import inputs_of
from rtk.strategies.rehearsing import Stage, Tally
from rtk.strategies.stand_ins import World, worlds
from rtk.strategies.unheard import asks_once
from rtk.tasks import Task

MOST_QUESTIONS = 50
"""Questions that are rehearsed; of more, as many that are evenly apart."""
LONG = 2.0  # seconds after which a bar is shown

Amount = Callable[[Tally], "float | None"]


def estimate(strategy: Any, questions: Any, inputs: dict[str, Any]) -> Forecast:
    """What a call with these inputs, or calls with all these questions, would ask and cost; see `Strategy.estimate`.

    Args:
        strategy: an `rtk.Strategy`.
        questions: a task, one question, or several; None for the inputs alone.
        inputs: the call's inputs; with questions, what each of the calls is given besides.

    Raises:
        StrategyError: for questions that are none.
    """
    asked = [{**one, **inputs} for one in _questions(questions)]
    step = max(1.0, len(asked) / MOST_QUESTIONS)
    chosen = [asked[int(number * step)] for number in range(min(len(asked), MOST_QUESTIONS))]
    outlook = Outlook()
    stages = _rehearsed(strategy, chosen, outlook)
    return _summed(strategy, stages, len(asked), len(chosen), outlook)


def wanted(strategy: dspy.Module, inputs: Sequence[dict[str, Any]]) -> list[dict[Address, Expected | None]]:
    """The samples that calls with these inputs would consult at most, and what each costs that is not stored.

    Args:
        strategy: whose calls.
        inputs: of each call.

    Raises:
        RTKError: as the call would, for a mistake that shows before anything comes.
    """
    stages = _rehearsed(strategy, list(inputs), Outlook())
    fullest = max((tallies for _, tallies in stages), key=lambda row: sum(map(_samples, row)))
    return [one.wanted for one in fullest]


def _questions(given: Any) -> list[dict[str, Any]]:
    """Questions as inputs of calls."""
    if given is None:
        return [{}]
    if isinstance(given, Task):
        return [inputs_of(one) for one in given.test]
    if isinstance(given, (Mapping, dspy.Example)):
        return [inputs_of(given)]
    found = [inputs_of(one) for one in given] if isinstance(given, Iterable) and not isinstance(given, str) else []
    if not found:
        raise StrategyError(
            f"estimate({given!r:.60}): no question",
            mend="estimate(question=…), estimate(task), or a list of dicts or dspy.Examples",
        )
    return found


# --- rehearsals ---

_Rehearsed = list[tuple[Stage, list[Tally]]]


def _rehearsed(strategy: Any, chosen: list[dict[str, Any]], outlook: Outlook) -> _Rehearsed:
    """All questions in the first world, and in as many others as what was met with there calls for."""
    done: dict[World, tuple[Stage, list[Tally]]] = {}
    budgets = current_budgets()
    with _bar() as tick:

        def go(world: World) -> Stage:
            stage = Stage(world, outlook)
            tallies = []
            for number, question in enumerate(chosen):
                tallies.append(stage.run(strategy, question, budgets))
                tick(len(done), number, len(chosen))
            done[world] = (stage, tallies)
            return stage

        first = go(World())
        priced = bool(first.limits & {"tokens", "dollars"})  # what a stand-in costs decides where such a budget ends
        if not first.stand_ins.made or (asks_once(strategy) and not priced):
            return list(done.values())
        while new := [one for one in worlds([stage.stand_ins for stage, _ in done.values()]) if one not in done]:
            for world in new:
                go(world)
        for world in list(done) if priced else ():
            for cost in ("least", "most"):
                go(replace(world, cost=cost))
    return list(done.values())


@contextmanager
def _bar() -> Iterator[Callable[[int, int, int], None]]:
    """A bar on a terminal where it takes long."""
    began = time.monotonic()
    bars: list[tuple[Progress, Any]] = []

    def tick(world: int, number: int, size: int) -> None:
        if not bars and sys.stderr.isatty() and time.monotonic() - began > LONG:
            bar = Progress(console=Console(stderr=True), transient=True)
            bars.append((bar, bar.add_task("rehearsing", total=size)))
            bar.start()
        for bar, task in bars:
            bar.update(task, completed=number + 1, description=f"rehearsal {world + 1}")

    try:
        yield tick
    finally:
        for bar, _ in bars:
            bar.stop()


# --- sums ---


def _summed(strategy: Any, rehearsed: _Rehearsed, asked: int, chosen: int, outlook: Outlook) -> Forecast:
    tallies, limits = [tallies for _, tallies in rehearsed], set().union(*(stage.limits for stage, _ in rehearsed))
    made = any(stage.stand_ins.made for stage, _ in rehearsed)
    if any(stage.stand_ins.endless for stage, _ in rehearsed):
        outlook.notes["a list that a model writes is taken to be no longer than 12 items"] = None
    hurried = made and "seconds" in limits
    if hurried:
        outlook.notes["a budget of seconds may end it sooner, anywhere"] = None
    if chosen < asked:
        outlook.notes[f"{chosen:,} of {asked:,} questions were rehearsed, and the sums scaled"] = None
    span = lambda amount: _span(tallies, amount, asked / chosen, bool(limits), hurried)  # noqa: E731
    calls, samples, to_draw = (span(one) for one in (_calls, _samples, _drawn))
    bounded = not any(one.open for row in tallies for one in row)
    bounded = bounded and not any(stage.stand_ins.endless for stage, _ in rehearsed)
    sure = not made or (asks_once(strategy) and not limits & {"tokens", "dollars", "seconds"})
    fullest = max(tallies, key=lambda row: sum(map(_samples, row)))
    return Forecast(
        calls=calls,
        samples=samples,
        stored=round(sum(len(one.there) for one in fullest) * asked / chosen),
        to_draw=to_draw,
        prompt_tokens=span(lambda one: sum(cost.prompt_tokens for cost in one.to_draw)) or Span(0, 0),
        completion_tokens=span(lambda one: _total([cost.completion_tokens for cost in one.to_draw])),
        dollars=span(lambda one: _total([cost.dollars for cost in one.to_draw], whole=False)),
        seconds=span(lambda one: one.seconds),
        exact=sure and bounded and chosen == asked,
        bounded=bounded,
        stopped=next((one.stopped for row in tallies for one in row if one.stopped), None),
        questions=asked,
        rehearsed=chosen,
        notes=tuple(outlook.notes),
    )


def _calls(tally: Tally) -> int:
    return tally.calls


def _samples(tally: Tally) -> int:
    return len(tally.wanted)


def _drawn(tally: Tally) -> int:
    return len(tally.wanted) - len(tally.there)


def _total(amounts: list[float | None], whole: bool = True) -> float | None:
    found = [one for one in amounts if one is not None]
    if len(found) < len(amounts):
        return None
    return round(sum(found)) if whole else sum(found)


def _span(rows: list[list[Tally]], amount: Amount, scale: float, together: bool, hurried: bool) -> Any:
    """The least and the most over all worlds: of each question, or, where budgets are shared, of all together."""
    table = [[amount(one) for one in row] for row in rows]
    if any(one is None for row in table for one in row):
        return None
    known: Any = table
    sums: list[list[Any]] = [[sum(row)] for row in known] if together else known
    columns = list(zip(*sums, strict=True))
    least, most = sum(map(min, columns)) * scale, sum(map(max, columns)) * scale
    whole = all(isinstance(one, int) for row in table for one in row)
    least = 0 if hurried else least
    return Span(round(least), round(most)) if whole else Span(least, most)
