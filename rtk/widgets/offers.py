"""What a playground can run: the usual programs, and the one it was given, each with the controls that turn it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dspy
from dspy.signatures.signature import ensure_signature

from rtk.experiments import STRATEGIES, Thinking
from rtk.experiments import program as usual
from rtk.strategies import Strategy
from rtk.tasks import Task

WHOLE = "instructions"  # the one prompt of a program that is built from a signature
TURNED: dict[Thinking, frozenset[str]] = {
    "direct": frozenset({"samples", "shots"}),
    "chain of thought": frozenset({"shots"}),
    "self-consistency": frozenset({"samples", "shots"}),
    "tree of thoughts": frozenset({"branching", "breadth", "depth", "shots"}),
}
DIALS = ("samples", "branching", "breadth", "depth")


@dataclass(frozen=True)
class Dial:
    """Where all controls stand.

    Attributes:
        strategy: an offer's name.
        inputs: by input field.
        prompts: instructions, by predictor.
        numbers: `samples`, `branching`, `breadth`, `depth`, `shots`.
        temperature: of every sample.
        tokens: the budget; 0 for none.
        model: which of the models.
    """

    strategy: str
    inputs: Mapping[str, str]
    prompts: Mapping[str, str]
    numbers: Mapping[str, int]
    temperature: float
    tokens: int = 0
    model: int = 0


@dataclass(frozen=True)
class Offer:
    """A program that controls can turn.

    Attributes:
        name: as the control shows it.
        turned: the names of the numbers that have an effect.
        prompts: the instructions it begins with, by predictor.
        build: the program for where the controls stand.
        numbers: what its numbers begin with, where they are its own.
    """

    name: str
    turned: frozenset[str]
    prompts: Mapping[str, str]
    build: Callable[[Dial], dspy.Module]
    numbers: Mapping[str, int] = field(default_factory=dict)


def offers(program: Any, task: Task | None, signature: Any) -> dict[str, Offer]:
    """All offers, by name; the program that was given comes first."""
    found = [_given(program)] if isinstance(program, dspy.Module) else []
    found += [_usual(name, task if task is not None else signature, signature, task) for name in STRATEGIES]
    return {offer.name: offer for offer in found}


def signature_of(program: Any, task: Task | None) -> Any:
    """What is asked and answered: the task's, else the one given, else that of the program's first predictor."""
    if task is not None:
        return task.signature
    if not isinstance(program, dspy.Module):
        return ensure_signature("question -> answer" if program is None else program)
    predictors = program.predictors()
    signature: Any = predictors[0].signature if predictors else ensure_signature("question -> answer")
    return signature.delete("reasoning") if "reasoning" in signature.output_fields else signature


def _usual(name: Thinking, on: Any, signature: Any, task: Task | None) -> Offer:
    known = {"depth"} if task is not None and task.depth is not None else set()
    known |= {"shots"} if task is None else set()
    return Offer(name, TURNED[name] - known, {WHOLE: signature.instructions}, partial(_build_usual, name, on))


def _build_usual(name: Thinking, on: Any, dial: Dial) -> dspy.Module:
    return usual(name, on, instructions=dial.prompts[WHOLE], **dial.numbers)


def _given(program: dspy.Module) -> Offer:
    prompts = {name: _signature(predictor).instructions for name, predictor in program.named_predictors()}
    numbers = _numbers(program)
    return Offer(f"{type(program).__name__} (given)", frozenset(numbers), prompts, partial(_turned, program), numbers)


def _turned(program: dspy.Module, dial: Dial) -> dspy.Module:
    """A copy of the given program, turned as the controls say; the one that was given stays as it is."""
    made = program.deepcopy()
    for name, predictor in made.named_predictors():
        signature = _signature(predictor)
        if dial.prompts.get(name, signature.instructions) != signature.instructions:
            predictor.signature = signature.with_instructions(dial.prompts[name])
    for name in _numbers(made):
        setattr(made, name, dial.numbers[name])
    return made


def _signature(predictor: Any) -> Any:
    return predictor.signature


def _numbers(program: dspy.Module) -> dict[str, int]:
    """The settings of a program that controls turn."""
    values = program.settings.values if isinstance(program, Strategy) and hasattr(program, "settings") else {}
    return {name: values[name] for name in DIALS if isinstance(values.get(name), int)}
