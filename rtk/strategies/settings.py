"""A strategy's settings: plain attributes that survive DSPy's save, load, deepcopy, reset_copy and compilation."""

from __future__ import annotations

import copy
import json
import math
import re
from typing import Any

import dspy
from dspy.predict.parameter import Parameter

from rtk.errors import StrategyError

UNSAVED = "not saved"


class Settings(Parameter):
    """The values of a strategy's `Setting`s, as the DSPy parameter that carries them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        return Settings({name: _copied(value, memo) for name, value in self.values.items()})

    def reset(self) -> None:
        """Nothing to reset: settings are no demonstrations."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """The settings as JSON; of one that JSON cannot hold, such as a function, what it was."""
        return {name: value if _is_json(value) else {UNSAVED: _name(value)} for name, value in self.values.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over saved settings. One that JSON could not hold is that of the program it is loaded into.

        Raises:
            StrategyError: for a setting that this strategy does not have, or that was a function when it was saved
                and is none here.
        """
        unknown = state.keys() - self.values.keys()
        if unknown:
            raise StrategyError(
                f"a saved program has settings this strategy does not know: {', '.join(sorted(unknown))}",
                mend="load it into the strategy it was saved from",
            )
        for name, value in state.items():
            if not (isinstance(value, dict) and UNSAVED in value):
                self.values[name] = copy.deepcopy(value)
            elif _is_json(self.values[name]):
                raise StrategyError(
                    f"{name}= of the saved program was {value[UNSAVED]}, which JSON cannot hold",
                    mend=f"build the program with {name}= as it was, then load",
                )

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={shown(value)}' for name, value in self.values.items())})"


def shown(value: Any) -> str:
    """A value's repr without the place in memory that Python adds for a function, so that it is the same every time."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _name(value: Any) -> str:
    """A value for a reader: a function by its name, without the place in memory that a repr may show."""
    name = getattr(value, "__qualname__", None)
    return f"the function {name}" if name and callable(value) else f"a {type(value).__name__}"


def _copied(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A copy, or the thing itself where it cannot be copied, such as what holds a lock or a connection."""
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - whatever a stranger's object raises on copying
        return value


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


class Setting:
    """One setting, declared in the class body with its default: `samples = Setting(8)`."""

    def __init__(self, default: Any = None) -> None:
        self.default = default

    def __repr__(self) -> str:
        return f"Setting({shown(self.default)})"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, program: Any, owner: type | None = None) -> Any:
        if program is None:
            return self
        settings = object.__getattribute__(program, "settings")  # past DSPy, which looks at every name in Python
        return settings.values[self.name]

    def __set__(self, program: Any, value: Any) -> None:
        program.settings.values[self.name] = value


def check_whole(name: str, number: Any, least: int = 1) -> None:
    """Refuse a setting that is no whole number from `least` on.

    Raises:
        StrategyError: naming the setting.
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise StrategyError(f"{name}={number!r}", mend=f"a whole number from {least} on")


def check_temperature(temperature: Any, chain: Any) -> None:
    """Refuse a temperature that is no number from 0 on, and one for chains that it does not reach.

    Args:
        temperature: of the chains; None for the model's own.
        chain: the program that is sampled.

    Raises:
        StrategyError: saying which.
    """
    if temperature is None:
        return
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 <= temperature < math.inf:
        raise StrategyError(f"temperature={temperature!r:.40}", mend="a number from 0 on")
    if not isinstance(chain, dspy.ChainOfThought | dspy.Predict):
        raise StrategyError("temperature= reaches a predictor's chains", mend="set it on the module's predictors")


def check_share(name: str, number: Any) -> None:
    """Refuse a setting that is no share from 0 on and below 1.

    Raises:
        StrategyError: naming the setting.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1:
        raise StrategyError(
            f"{name}={number!r:.40}", mend=f"a share from 0 on and below 1: {name}=0.01 is one point of a hundred"
        )


def declared(owner: type) -> Settings:
    """The settings that a class and its bases declare, at their defaults."""
    found = {
        name: _copied(value.default)
        for base in reversed(owner.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Setting)
    }
    return Settings(found)
