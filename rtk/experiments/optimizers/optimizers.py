"""The table of optimizers: DSPy's by their short names, what each is given, and what it needs to be installed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Literal, get_args

import dspy
from dspy.teleprompt import BootstrapFewShotWithOptuna, Teleprompter

from rtk.errors import MissingExtra, StrategyError
from rtk.experiments.optimizers.feedback import Feedback, Judged
from rtk.tasks import Task

OptimizerName = Literal["labeled", "bootstrap", "random-search", "mipro", "gepa", "copro", "simba"]
GEPA: Any = dspy.GEPA  # a class, behind a decorator that hides it from type checkers
KINDS: dict[str, type[Teleprompter]] = {
    "labeled": dspy.LabeledFewShot,
    "bootstrap": dspy.BootstrapFewShot,
    "random-search": dspy.BootstrapFewShotWithRandomSearch,
    "mipro": dspy.MIPROv2,
    "gepa": GEPA,
    "copro": dspy.COPRO,
    "simba": dspy.SIMBA,
}
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
"""From the cheapest on: the first asks no model at all, the last three write prompts and want a strong one."""

SEARCHED_WITH_OPTUNA = (dspy.MIPROv2, BootstrapFewShotWithOptuna)
WHOLE = 50  # dev questions up to which MIPRO evaluates on all of them, as its `auto` does
OURS = ("student", "trainset", "valset", "metric")


@dataclass(frozen=True)
class Sets:
    """The questions an optimizer sees, and how an answer is scored."""

    task: Task
    train: list[dspy.Example]
    dev: list[dspy.Example]
    seed: int


@dataclass(frozen=True)
class Chosen:
    """An optimizer that is not made yet.

    Attributes:
        kind: its class.
        instance: where the user made it.
        options: what the user gave.
    """

    kind: type[Teleprompter]
    instance: Teleprompter | None
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The class, as DSPy calls it."""
        return self.kind.__name__

    @property
    def chooses_on_dev(self) -> bool:
        """Whether it takes questions apart to choose on."""
        return "valset" in _named(self.kind.compile)

    def make(self, sets: Sets, prompt_model: Any) -> Teleprompter:
        """The optimizer; that of a user is copied, so that his is not changed."""
        if self.instance is not None:
            return copy.copy(self.instance)
        takes = _named(self.kind.__init__)
        given = {name: value for name, value in self.options.items() if name in takes}
        usual = _usual(self.kind, sets, prompt_model, self.options)
        return self.kind(**{name: value for name, value in {**usual, **given}.items() if name in takes})

    def compiling(self, made: Teleprompter, sets: Sets) -> Callable[[dspy.Module], dspy.Module]:
        """The optimizer's `compile`, with everything but the student."""
        takes, made_with = _named(self.kind.compile), _named(self.kind.__init__) if self.instance is None else {}
        usual: dict[str, Any] = {"trainset": sets.train, "valset": sets.dev, "seed": sets.seed}
        if issubclass(self.kind, dspy.MIPROv2):
            usual = {**usual, "seed": None, "minibatch": len(sets.dev) > WHOLE}
        given = {name: value for name, value in self.options.items() if name not in made_with}
        options = {name: value for name, value in {**usual, **given}.items() if name in takes}
        return lambda student: made.compile(student, **options)


def choose(optimizer: Any, options: Mapping[str, Any]) -> Chosen:
    """The optimizer that is meant, once it is known that it can be made and run.

    Args:
        optimizer: one of `OPTIMIZERS`, a DSPy optimizer, or the class of one.
        options: for its constructor or its `compile`; to one that is made already, for `compile` alone.

    Raises:
        StrategyError: no such optimizer, or an option that it does not take.
        MissingExtra: it needs a package that is not installed.
    """
    instance = optimizer if isinstance(optimizer, Teleprompter) else None
    chosen = Chosen(_kind(optimizer) if instance is None else type(instance), instance, dict(options))
    takes = {**_named(chosen.kind.compile), **({} if instance is not None else _named(chosen.kind.__init__))}
    known = [name for name in takes if name not in OURS]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise StrategyError(
                f"{chosen.name} takes no {name}=" + ("" if instance is None else " once it is made"),
                mend=(f"did you mean {near[0]}=? " if near else "") + f"it takes {', '.join(known) or 'no option'}",
            )
    for kind in (chosen.kind, *_inside(instance)):
        _check_installed(kind)
    return chosen


def _kind(optimizer: Any) -> type[Teleprompter]:
    if isinstance(optimizer, type) and issubclass(optimizer, Teleprompter):
        return optimizer
    if isinstance(optimizer, str) and optimizer in KINDS:
        return KINDS[optimizer]
    raise StrategyError(
        f"{optimizer!r:.60} is no optimizer",
        mend=f"one of {', '.join(OPTIMIZERS)}, or an optimizer of DSPy's, such as dspy.BootstrapFewShot(metric=…)",
    )


def _check_installed(kind: type) -> None:
    """Before anything is asked: DSPy finds out when a part of the requests is paid for."""
    if issubclass(kind, SEARCHED_WITH_OPTUNA) and find_spec("optuna") is None:
        raise MissingExtra(
            f"{kind.__name__} searches with optuna, which is not installed",
            mend="pip install 'rtk-inference[optimize]'",
        )


def _inside(value: Any) -> Iterator[type]:
    """The kinds of the optimizers that an optimizer holds, such as those of `dspy.BetterTogether`."""
    for held in vars(value).values() if isinstance(value, Teleprompter) else ():
        several: Iterable[Any] = held.values() if isinstance(held, dict) else held if isinstance(held, list) else [held]
        for one in several:
            if isinstance(one, Teleprompter) and one is not value:
                yield type(one)
                yield from _inside(one)


def _named(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function that have names, less `self`."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(function).parameters
    return {name: one for name, one in found.items() if one.kind in kinds and name not in ("self", "student")}


def _usual(kind: type, sets: Sets, prompt_model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a constructor is given where the user says nothing else."""
    metric = Feedback(sets.task) if issubclass(kind, GEPA) else Judged(sets.task, "metric_threshold" not in options)
    usual: dict[str, Any] = {"metric": metric, "prompt_model": prompt_model, "seed": sets.seed}
    if issubclass(kind, GEPA):
        usual["reflection_lm"] = prompt_model
        if not {"max_full_evals", "max_metric_calls"} & options.keys():
            usual["auto"] = "light"
    if issubclass(kind, dspy.MIPROv2):
        usual["auto"] = None if {"num_candidates", "num_trials"} & options.keys() else "light"
    if issubclass(kind, dspy.SIMBA):
        usual["bsize"] = min(32, len(sets.train))
    return usual
