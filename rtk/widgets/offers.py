"""What a playground can run: the usual programs, and the one it was given, each with the controls that turn it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dspy
from dspy.signatures.signature import ensure_signature, make_signature

from rtk.errors import StrategyError, TaskError
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
        temperature: likewise.
    """

    name: str
    turned: frozenset[str]
    prompts: Mapping[str, str]
    build: Callable[[Dial], dspy.Module]
    numbers: Mapping[str, int] = field(default_factory=dict)
    temperature: float | None = None


def offers(program: Any, task: Task | None, signature: Any) -> dict[str, Offer]:
    """All offers, by name; the program that was given comes first."""
    found = [_given(program)] if isinstance(program, dspy.Module) else []
    found += [_usual(name, task if task is not None else signature, signature, task) for name in STRATEGIES]
    return {offer.name: offer for offer in found}


def signature_of(program: Any, task: Task | None) -> Any:
    """What is asked and answered: the task's, else the one given, else what the program's predictors make together.

    Raises:
        StrategyError: for what is neither a program nor a signature.
    """
    if isinstance(program, Task):
        raise StrategyError("a task is no program", mend="rtk.Playground(task=task)")
    if program is not None and not isinstance(program, dspy.Module):
        given: Any = usual("direct", program)  # refuses what is no signature
        if task is not None:
            raise StrategyError("the task has a signature of its own", mend="leave out the task, or the signature")
        return given.chain.signature
    if task is not None:
        return task.signature
    signatures = [_signature(predictor) for predictor in program.predictors()] if program is not None else []
    return _together(program, signatures) if signatures else ensure_signature("question -> answer")


def _together(program: Any, signatures: Sequence[Any]) -> Any:
    """From what a program takes to what its last predictor gives."""
    last, known = signatures[-1], {name: one for each in signatures for name, one in each.input_fields.items()}
    asked = _taken(program, signatures, known)
    outputs = {name: one for name, one in last.output_fields.items() if name != "reasoning"} or last.output_fields
    inputs = {name: known.get(name, dspy.InputField()) for name in asked}
    within = any(f"`{name}`" in last.instructions for name in last.input_fields.keys() - set(asked))
    fields = {name: (one.annotation or str, one) for name, one in {**inputs, **outputs}.items()}
    return make_signature(fields, None if within else last.instructions)


def _taken(program: Any, signatures: Sequence[Any], known: Mapping[str, Any]) -> list[str]:
    """The inputs of a program: those its code names, else those that all of its predictors take."""
    code = type(program).flow if isinstance(program, Strategy) else getattr(type(program), "forward", None)
    parameters = list(inspect.signature(code).parameters.values())[1:] if code is not None else []
    named = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
             and (one.default is one.empty or one.name in known)]  # fmt: skip
    first = list(signatures[0].input_fields)
    return named or [name for name in first if all(name in one.input_fields for one in signatures)] or first


def _usual(name: Thinking, on: Any, signature: Any, task: Task | None) -> Offer:
    known = {"depth"} if task is not None and task.depth is not None else set()
    known |= set() if _shows(name, task) else {"shots"}
    return Offer(name, TURNED[name] - known, {WHOLE: signature.instructions}, partial(_build_usual, name, on))


def _shows(name: Thinking, task: Task | None) -> bool:
    """Whether a usual program has worked examples in its prompts."""
    if task is None or name == "tree of thoughts":
        return task is not None and task.depth is not None
    try:
        return bool(task.demos(1))
    except TaskError:
        return False


def _build_usual(name: Thinking, on: Any, dial: Dial) -> dspy.Module:
    return usual(name, on, instructions=dial.prompts[WHOLE], **dial.numbers)


def _given(program: dspy.Module) -> Offer:
    prompts = {name: _signature(predictor).instructions for name, predictor in program.named_predictors()}
    numbers, name = _numbers(program), f"{type(program).__name__} (given)"
    build = partial(_turned, program)
    return Offer(name, frozenset(numbers), prompts, build, numbers, _settings(program).get("temperature"))


def _turned(program: dspy.Module, dial: Dial) -> dspy.Module:
    """A copy of the given program, turned as the controls say; the one that was given stays as it is."""
    made = program.deepcopy()
    for name, predictor in made.named_predictors():
        signature = _signature(predictor)
        if dial.prompts.get(name, signature.instructions) != signature.instructions:
            predictor.signature = signature.with_instructions(dial.prompts[name])
    own = {name: dial.numbers[name] for name in _numbers(made)}
    own |= {"temperature": dial.temperature} if _settings(made).get("temperature") is not None else {}
    for name, value in own.items():
        setattr(made, name, value)
    return made


def _signature(predictor: Any) -> Any:
    return predictor.signature


def _numbers(program: dspy.Module) -> dict[str, int]:
    """The settings of a program that controls turn."""
    values = _settings(program)
    return {name: values[name] for name in DIALS if type(values.get(name)) is int}


def _settings(program: dspy.Module) -> dict[str, Any]:
    return program.settings.values if isinstance(program, Strategy) and hasattr(program, "settings") else {}
