"""Programs as JSON files: prompts, demonstrations and settings, with what made them; loading one runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.predict.parameter import Parameter

from rtk.errors import NewerStore, StrategyError
from rtk.experiments.sweeps.naming import name_of

SCHEMA = "rtk-program"
FORMAT = 1
LARGEST = 64_000_000  # bytes; a prompt of that size fits no model
OF_PREDICTOR = frozenset({"signature", "demos", "traces", "train", "lm", "fields"})
OF_FIELD = frozenset({"prefix", "description"})


@dataclass(frozen=True, repr=False)
class SavedProgram:
    """What a file holds: a program's state, and how it came about.

    Attributes:
        path: where it was read from.
        program: the program's name, with its settings.
        predictors: the signature of each, by its place in the program.
        about: `rtk` and `dspy` (versions), `task`, `optimizer`, and whatever else was saved with it.
    """

    path: Path
    program: str
    predictors: Mapping[str, str]
    about: Mapping[str, Any]
    _state: Mapping[str, Any]

    def into(self, program: dspy.Module) -> dspy.Module:
        """A copy of a program with the saved prompts, demonstrations and settings; the given one is not changed.

        Models are no part of it: the copy asks whatever model the given one would.

        Args:
            program: built as the saved one was: the same predictors with the same fields.

        Raises:
            StrategyError: for one that was built otherwise, or a state that is none.
        """
        made = program.deepcopy()
        made._compiled = False
        parameters: dict[str, Any] = dict(made.named_parameters())
        self._match(parameters)
        for name, parameter in parameters.items():
            _load(parameter, self._state[name], f"{self.path.name}: {name}")
        return made

    def _match(self, parameters: Mapping[str, Any]) -> None:
        here, there = set(parameters), set(self._state)
        if here != there:
            more = [f"without {', '.join(sorted(there - here))}"] if there - here else []
            more += [f"with {', '.join(sorted(here - there))}"] if here - there else []
            raise self._unlike(f"the program given here is one {' and '.join(more)}")
        for name, parameter in parameters.items():
            given = _signature(parameter)
            if given != self.predictors.get(name):
                raise self._unlike(f"{name} asks {given!r} here, and {self.predictors.get(name)!r} there")

    def _unlike(self, what: str) -> StrategyError:
        return StrategyError(
            f"{self.path.name} holds another program, {self.program}: {what}",
            mend="build the program as the saved one was, with the same signatures and the settings that decide which "
            "predictors it has, then load",
        )

    def __repr__(self) -> str:
        about = self.about
        made = f"by rtk {about.get('rtk')} and DSPy {about.get('dspy')}"
        by = f", {about['optimizer']['name']}" if isinstance(about.get("optimizer"), dict) else ""
        return f"SavedProgram({self.program}{by}, {made})"


def save_program(program: dspy.Module, path: str | Path, about: Mapping[str, Any]) -> Path:
    """Write a program as JSON: what its predictors say and its settings, never its models and their keys.

    Args:
        program: any DSPy module.
        path: of the file, which ends in `.json`; one that is there is written over, whole or not at all.
        about: what is said of it; JSON values.

    Raises:
        StrategyError: for another ending, or a demonstration that JSON cannot hold.
    """
    place = Path(path)
    if place.suffix != ".json":
        raise StrategyError(f"{place.name} is no name of a saved program", mend="a name that ends in .json")
    parameters: dict[str, Any] = dict(program.named_parameters())
    state = {name: _state(parameter) for name, parameter in parameters.items()}
    signatures = {name: found for name, one in parameters.items() if (found := _signature(one)) is not None}
    whole = {
        "schema": SCHEMA, "format": FORMAT, "about": dict(about), "program": name_of(program),
        "predictors": signatures, "state": state,
    }  # fmt: skip
    try:
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise StrategyError(
            f"the program holds something that JSON cannot: {error}",
            mend="its demonstrations may hold text, numbers, lists, dicts and pydantic models",
        ) from error
    beside = place.with_name(f".{place.name}.part")
    beside.write_text(text, "utf-8")
    beside.replace(place)
    return place


def read_program(path: str | Path) -> SavedProgram:
    """What a saved program is and how it came about, before it is loaded anywhere.

    Raises:
        StrategyError: no such file, or one that rtk did not write.
        NewerStore: one that a newer rtk wrote.
    """
    place = Path(path)
    whole = _parsed(place)
    if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
        raise _refused(place, "it does not say that it is one")
    if isinstance(whole.get("format"), int) and whole["format"] > FORMAT:
        raise NewerStore(f"{place.name} was written by a newer rtk, in format {whole['format']}", mend="update rtk")
    kinds = {"format": int, "about": dict, "program": str, "predictors": dict, "state": dict}
    for name, kind in kinds.items():
        if not isinstance(whole.get(name), kind):
            raise _refused(place, f"its {name!r} is no {kind.__name__}")
    if whole["format"] != FORMAT or not all(isinstance(one, dict) for one in whole["state"].values()):
        raise _refused(place, "its state is none")
    return SavedProgram(place, whole["program"], whole["predictors"], whole["about"], whole["state"])


def load_program(path: str | Path, program: dspy.Module) -> dspy.Module:
    """A copy of a program with what was saved: instructions, demonstrations, settings. No code of the file is run.

    >>> found = load_program("better.json", rtk.ChainOfThought(task.signature))  # doctest: +SKIP

    Args:
        path: of a file that `Optimized.save` wrote.
        program: built as the saved one was; it is not changed.

    Raises:
        StrategyError: no such file, one that rtk did not write, or of a program that was built otherwise.
        NewerStore: one that a newer rtk wrote.
    """
    return read_program(path).into(program)


def _parsed(place: Path) -> Any:
    try:
        if place.stat().st_size > LARGEST:
            raise _refused(place, f"it has more than {LARGEST:,} bytes")
        return json.loads(place.read_text("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except OSError as error:
        raise StrategyError(f"{place} cannot be read: {error}", mend="the path of a file that .save wrote") from error
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are both ValueErrors
        raise _refused(place, str(error)[:200]) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it says something twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _refused(place: Path, why: str) -> StrategyError:
    return StrategyError(f"{place.name} is no program that rtk saved: {why}", mend="a file that .save wrote")


def _signature(parameter: Any) -> str | None:
    """A predictor's fields, inputs and outputs; None of what is no predictor, such as settings."""
    if not isinstance(parameter, dspy.Predict):
        return None
    signature: Any = parameter.signature
    return signature.signature


def _state(parameter: Parameter) -> dict[str, Any]:
    dumped: Any = parameter  # every DSPy parameter has a state
    state = dumped.dump_state()
    return {**state, "lm": None, "traces": [], "train": []} if isinstance(parameter, dspy.Predict) else state


def _load(parameter: Any, state: dict[str, Any], where: str) -> None:
    """One parameter's state; DSPy's own loading takes over whatever a file says, so it is looked through first."""
    if not isinstance(parameter, dspy.Predict):
        parameter.load_state(state)
        return
    _check_predictor(parameter, state, where)
    kept = parameter.lm
    parameter.load_state({**state, "lm": None})
    parameter.lm = kept


def _check_predictor(parameter: Any, state: dict[str, Any], where: str) -> None:
    said = state.get("signature")
    fields = said.get("fields") if isinstance(said, dict) else None
    right = (
        {"signature", "demos"} <= state.keys() <= OF_PREDICTOR
        and all(not state.get(name) for name in ("lm", "traces", "train"))
        and isinstance(state["demos"], list)
        and all(isinstance(demo, dict) for demo in state["demos"])
        and isinstance(said, dict)
        and isinstance(said.get("instructions"), str)
        and isinstance(fields, list)
        and len(fields) == len(parameter.signature.fields)
        and all(_is_field(one) for one in fields)
        and isinstance(state.get("fields", {}), dict)
    )
    if not right:
        raise StrategyError(f"{where} is no state of a predictor", mend="a file that .save wrote, as it wrote it")


def _is_field(one: Any) -> bool:
    return isinstance(one, dict) and one.keys() == OF_FIELD and all(isinstance(text, str) for text in one.values())
