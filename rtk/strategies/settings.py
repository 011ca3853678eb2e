"""A strategy's settings: plain attributes that survive DSPy's save, load, deepcopy, reset_copy and compilation."""

from __future__ import annotations

import copy
import json
from typing import Any

from dspy.predict.parameter import Parameter

from rtk.errors import StrategyError


class Settings(Parameter):
    """The values of a strategy's `Setting`s, as the DSPy parameter that carries them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def reset(self) -> None:
        """Nothing to reset: settings are no demonstrations."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """The settings that JSON can hold; a function must be given again where the program is rebuilt."""
        return {name: value for name, value in self.values.items() if _is_json(value)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over saved settings; those not saved keep their value.

        Raises:
            StrategyError: for a setting that this strategy does not have.
        """
        unknown = state.keys() - self.values.keys()
        if unknown:
            raise StrategyError(
                f"a saved program has settings this strategy does not know: {', '.join(sorted(unknown))}",
                mend="load it into the strategy it was saved from",
            )
        self.values.update(copy.deepcopy(state))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


class Setting:
    """One setting, declared in the class body with its default: `samples = Setting(8)`."""

    def __init__(self, default: Any = None) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, program: Any, owner: type | None = None) -> Any:
        return self if program is None else program.settings.values[self.name]

    def __set__(self, program: Any, value: Any) -> None:
        program.settings.values[self.name] = value


def declared(owner: type) -> Settings:
    """The settings that a class and its bases declare, at their defaults."""
    found = {
        name: copy.deepcopy(value.default)
        for base in reversed(owner.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Setting)
    }
    return Settings(found)
