"""The arms of a sweep: every combination of programs, models and settings, each a program of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from math import prod
from typing import Any

import dspy

from rtk.budget import Budget
from rtk.errors import StrategyError
from rtk.experiments.records.records import Arm
from rtk.experiments.sweeps.axes import axes, column
from rtk.experiments.sweeps.naming import name_of
from rtk.models import LM
from rtk.samples import outside_a_request
from rtk.strategies import Setting, Strategy, check_whole

SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "presence_penalty", "frequency_penalty", "seed",
    "reasoning_effort", "thinking", "stop_sequences",
)  # fmt: skip
"""Parameters of the model that may be swept by their names alone; others as `lm.name`."""


@dataclass(frozen=True)
class Runner:
    """An arm with what runs it.

    Attributes:
        arm: what it is called.
        program: a copy, with the arm's settings.
        lm: its model; None for that of DSPy's settings.
        limits: of a budget of each call.
        place: of the arm among all.
        family: the place of its program; arms of one family on one model may share attempts.
        group: the place of its model.
    """

    arm: Arm
    program: dspy.Module
    lm: dspy.BaseLM | None
    limits: Mapping[str, Any] | None
    place: int
    family: int
    group: int

    @property
    def size(self) -> tuple[int, bool]:
        """How much it asks for, as far as its settings say: what asks for more comes first, and others find theirs."""
        values = self.arm.values.values()
        amount = prod(value for value in values if isinstance(value, int) and not isinstance(value, bool))
        return (-amount, self.arm.values.get("stop") is not None)


def runners(program: Any, over: Mapping[str, Sequence[Any]] | None, models: Any) -> list[Runner]:
    """All arms, in order: programs, then settings, then models, the last of each fastest.

    Args:
        program: a module, or names to modules.
        over: path of a setting to its values; see `rtk.sweep`.
        models: LMs or model strings; None for that of DSPy's settings.

    Raises:
        StrategyError: for what is no program, a setting that no program has, or values that are none.
    """
    programs, swept, lms = _programs(program), axes(over or {}), _models(models)
    _check_axes(programs, swept)
    _check_models(programs, swept, lms)
    programs = {name: one.deepcopy() for name, one in programs.items()}  # the caller's stay as they are
    called, made = _called(lms), list[Runner]()
    for family, (name, one) in enumerate(programs.items()):
        own = {axis: values for axis, values in swept.items() if takes_setting(one, axis)}
        for values in product(*own.values()):
            chosen = dict(zip(own, values, strict=True))
            said = {column(axis): chosen[axis].said if axis in chosen else None for axis in swept}
            for group, lm in enumerate(lms):
                made_of, model, limits = _set(one, lm, {axis: value.value for axis, value in chosen.items()})
                arm = Arm("", name, called[group], said)
                made.append(Runner(arm, made_of, model, limits, len(made), family, group))
    return _labelled(made, len(programs) > 1, len(lms) > 1)


# --- what was given ---


def _programs(given: Any) -> dict[str, dspy.Module]:
    found = dict(given) if isinstance(given, Mapping) else {name_of(given): given}
    for name, one in found.items():
        if not isinstance(one, dspy.Module) or not isinstance(name, str):
            raise StrategyError(f"sweep({one!r:.60}): no program", mend="a dspy.Module, or a dict of names to modules")
    if not found:
        raise StrategyError("a sweep over no program", mend='{"vote": rtk.SelfConsistency(signature)}')
    return found


def _models(given: Any) -> list[dspy.BaseLM | None]:
    if given is None:
        return [None]
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    found: list[Any] = [LM(one) if isinstance(one, str) else one for one in listed]
    if wrong := next((one for one in found if not isinstance(one, dspy.BaseLM)), None):
        raise StrategyError(f"model={wrong!r:.60} is no model", mend='rtk.LM("embedded"), or a model string')
    if not found:
        raise StrategyError("model=[]: no model", mend="leave it out for that of dspy.configure(lm=…)")
    return found


def _called(lms: Sequence[Any]) -> list[str]:
    """What models are called: by their model strings, and where two have one, by the parameters that tell them apart.

    Raises:
        StrategyError: for two that nothing tells apart: their samples are the same ones.
    """
    used = [lm or dspy.settings.lm for lm in lms]
    names = [getattr(lm, "model", "") or "" for lm in used]
    told = [_parameters(lm) for lm in used]
    found = []
    for name, mine in zip(names, told, strict=True):
        others = [other for other_name, other in zip(names, told, strict=True) if other_name == name]
        if others.count(mine) > 1:
            raise StrategyError(
                f"two models are called {name!r} and asked alike, so their samples are the same ones",
                mend='tell them apart: rtk.LM(…, revision="b")',
            )
        apart = [key for key in mine if any(other.get(key) != mine[key] for other in others)]
        found.append(f"{name} ({', '.join(f'{key}={mine[key]}' for key in apart)})" if apart else name)
    return found


def _parameters(lm: Any) -> dict[str, Any]:
    given = {**getattr(lm, "kwargs", {}), "revision": getattr(lm, "revision", None)}
    return {key: value for key, value in given.items() if value is not None and not outside_a_request(key)}


# --- settings ---


def _check_models(programs: Mapping[str, dspy.Module], swept: Mapping[str, Any], lms: Sequence[Any]) -> None:
    """Refuse an axis that would change nothing, and a sweep without a model."""
    sampling = [axis for axis in swept if axis in SAMPLING or axis.startswith("lm.")]
    for name, program in programs.items():
        for where, predictor in program.named_predictors():
            lm = getattr(predictor, "lm", None)
            if lm is not None and (sampling or lms != [None]):
                raise StrategyError(
                    f"{name}: {where} has a model of its own, which {(sampling or ['model'])[0]}= does not reach",
                    mend="program.set_lm(None), and model=[…] or dspy.configure(lm=…)",
                )
            config = getattr(predictor, "config", None) or {}
            if twice := next((axis for axis in sampling if axis.rpartition(".")[2] in config), None):
                raise StrategyError(
                    f"{name}: {where} sets {twice} itself, so sweeping it changes nothing",
                    mend=f"take it out of the predictor's config: predictor.config.pop({twice!r})",
                )
            if lm is None and lms == [None] and dspy.settings.lm is None:
                raise StrategyError("no model", mend='dspy.configure(lm=rtk.LM("embedded")), or model=[…]')


def _check_axes(programs: Mapping[str, dspy.Module], swept: Mapping[str, Any]) -> None:
    for axis in swept:
        if not any(takes_setting(program, axis) for program in programs.values()):
            known = sorted({path for program in programs.values() for path in paths(program)})
            near = get_close_matches(axis, known, n=1, cutoff=0.4)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise StrategyError(
                f"no program has a setting {axis!r}",
                mend=f"{guess}there are {', '.join(known) or 'none'}, budget, and those of the model: "
                f"{', '.join(SAMPLING[:5])}, … or lm.<name>",
            )


def paths(program: dspy.Module) -> list[str]:
    """The settings of a program and of the strategies in it, by their paths: `"samples"`, `"draft.samples"`."""
    found = []
    for where, module in _strategies(program):
        prefix = f"{where}." if where else ""
        found += [f"{prefix}{name}" for name in _settings(module)]
    return found


def _strategies(program: dspy.Module) -> Iterator[tuple[str, Strategy]]:
    found: Any = program.named_sub_modules(Strategy)
    for where, module in found:
        yield where.removeprefix("self").removeprefix("."), module


def _settings(module: Strategy) -> list[str]:
    declared = getattr(module, "settings", None)
    return (
        []
        if declared is None
        else [name for name in declared.values if isinstance(getattr(type(module), name), Setting)]
    )


def takes_setting(program: dspy.Module, axis: str) -> bool:
    """Whether an axis changes anything of a program: a setting of it, the model's sampling, or its budget."""
    return axis in paths(program) or axis in SAMPLING or axis == "budget" or axis.startswith("lm.")


def _set(program: dspy.Module, lm: Any, chosen: Mapping[str, Any]) -> tuple[dspy.Module, Any, Any]:
    """A copy of a program with settings, its model, and the limits of a call's budget."""
    made, options, limits = _variant(program, chosen), {}, None
    where = dict(_strategies(made))
    for axis, value in chosen.items():
        owner, _, setting = axis.rpartition(".")
        if axis in paths(made) and not _of_model(where[owner], setting):
            _check_value(where[owner], setting, value)
            setattr(where[owner], setting, value)
        elif axis == "budget":
            limits = _limits(value)
        else:
            options[setting] = value
    for strategy in where.values():
        strategy.check_settings()
    return made, _copied(lm, options), limits


def _variant(program: dspy.Module, chosen: Mapping[str, Any]) -> dspy.Module:
    """A program that can be given settings of its own: what is inside it is shared, where no setting is further in."""
    if not isinstance(program, Strategy) or any("." in axis and axis in paths(program) for axis in chosen):
        return program.deepcopy()
    variant: Any = copy.copy(program)
    if getattr(variant, "settings", None) is not None:
        variant.settings = copy.deepcopy(program.settings)
    return variant


def _of_model(strategy: Strategy, setting: str) -> bool:
    """Whether a setting says nothing here, but the model's of that name does: the temperature of a module's runs."""
    chain: Any = getattr(strategy, "chain", None)
    return setting == "temperature" and not isinstance(chain, dspy.Predict | dspy.ChainOfThought)


def _check_value(strategy: Strategy, setting: str, value: Any) -> None:
    """Refuse a number that cannot be, where the default says that it is an amount, and the strategy says no more."""
    default, says = getattr(type(strategy), setting).default, type(strategy).check_settings
    if says is Strategy.check_settings and isinstance(default, int) and not isinstance(default, bool):
        check_whole(setting, value)


def _copied(lm: Any, options: dict[str, Any]) -> Any:
    """The model with other parameters of sampling."""
    if not options:
        return lm
    used = lm or dspy.settings.lm
    if used is None:
        raise StrategyError(f"{next(iter(options))} of no model", mend="dspy.configure(lm=rtk.LM(…)), or model=[…]")
    return used.copy(**options)


def _limits(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Budget):
        raise StrategyError(f"a budget of {value!r:.40}", mend="for example rtk.Budget(samples=8), or None")
    return None if value is None else dict(value.limits)


# --- names ---


def _labelled(made: list[Runner], programs: bool, models: bool) -> list[Runner]:
    """Labels that tell the arms apart, and no more."""
    seen: dict[str, int] = {}
    found = []
    for runner in made:
        arm = runner.arm
        said = [f"{axis}={value}" for axis, value in arm.values.items() if value is not None]
        said = said or [f"{axis}=None" for axis in list(arm.values)[:1] if not programs]
        parts = ([arm.program] if programs or not said else []) + said + ([f"model={arm.model}"] if models else [])
        label = ", ".join(parts)
        seen[label] = seen.get(label, 0) + 1
        label = label if seen[label] == 1 else f"{label} ({seen[label]})"
        found.append(replace(runner, arm=replace(arm, label=label)))
    return found
