"""What a verifier is shown of a call: the program's own inputs, and never a gold answer that came along with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import dspy

from rtk.errors import StrategyError
from rtk.strategies.questions import predictors_of

_GOLD = ("example", "gold", "gold_example")


class Inputs(Mapping[str, Any]):
    """The inputs of a program's run, for those who judge what it came to: a mapping that cannot be changed.

    It holds the fields that are inputs of the program and nothing else, so that a verifier cannot see the gold answer,
    though `program(**example)` was given it. Reading what was given and is withheld raises a `StrategyError`, and no
    `KeyError`, which `get` would pass over.

    >>> shown = Inputs({"question": "2 + 2?"}, withheld={"answer"})
    >>> shown["question"], "answer" in shown, dict(shown)
    ('2 + 2?', False, {'question': '2 + 2?'})

    Args:
        fields: what is shown.
        withheld: names that were given and are not shown; their values are not held.
    """

    __slots__ = ("_fields", "_withheld")

    def __init__(self, fields: Mapping[str, Any], withheld: Collection[str] = ()) -> None:
        object.__setattr__(self, "_fields", dict(fields))
        object.__setattr__(self, "_withheld", frozenset(withheld) - fields.keys())

    @classmethod
    def of(cls, program: dspy.Module, given: Mapping[str, Any], outputs: Collection[str] = ()) -> Inputs:
        """What a verifier of a program is shown of what it was called with.

        Shown are the input fields of its predictors and what its `forward` (of a strategy: its `flow`) cannot run
        without, less every output field. Of a program that names no inputs, all is shown but what it puts out.

        Args:
            program: the program that was run.
            given: what it was called with.
            outputs: further names that are outputs, such as the fields of its prediction.
        """
        declared, put_out = _declared(program)
        hidden = put_out | set(outputs)
        shown = {name: one for name, one in given.items() if name not in hidden and (not declared or name in declared)}
        return cls(shown, given.keys() - shown.keys())

    @property
    def withheld(self) -> frozenset[str]:
        """The names that were given and are not shown."""
        return self._withheld

    def __getitem__(self, name: str) -> Any:
        if name in self._withheld:
            raise StrategyError(
                f"a verifier is not shown {name!r}: it is no input of the program, and may be the gold answer",
                mend="judge by the program's inputs and its prediction; measure against gold answers with a metric "
                "(rtk.sweep); what the program reads must be an input field of its signature",
            )
        return self._fields[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a verifier's inputs cannot be changed")

    def __reduce__(self) -> Any:
        return type(self), (self._fields, self._withheld)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Inputs({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"


def _declared(program: dspy.Module) -> tuple[set[str], set[str]]:
    """The names that a program takes, as far as it says so, and those that it puts out."""
    signatures: list[Any] = [predictor.signature for predictor in predictors_of(program)]
    taken = {name for signature in signatures for name in signature.input_fields}
    put_out = {name for signature in signatures for name in signature.output_fields}
    return taken | _needed(program), put_out


def _needed(program: dspy.Module) -> set[str]:
    """The parameters without which a program cannot run; those of DSPy's and rtk's own classes are `**inputs`."""
    run = inspect.getattr_static(type(program), "flow", None) or inspect.getattr_static(type(program), "forward", None)
    if not inspect.isfunction(run):
        return set()
    found = list(inspect.signature(run).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {one.name for one in found if one.kind in named and one.default is one.empty}


def refuse_metric(name: str, verifier: Callable[..., Any], most: int = 2) -> None:
    """Refuse a function that by its parameters is a DSPy metric, which is shown the gold answer.

    Args:
        name: of the setting.
        verifier: the function.
        most: parameters that one of its kind may need.

    Raises:
        StrategyError: where its first parameter is `gold` or `example`, one is called `trace`, or it needs more.
    """
    try:
        found = list(inspect.signature(verifier).parameters.values())
    except (TypeError, ValueError):  # written in C: it does not say
        return
    placed = [one for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in placed if one.default is one.empty]
    first = placed[0].name if placed else ""
    if first in _GOLD or len(needed) > most or any(one.name == "trace" for one in found):
        told = ", ".join(one.name for one in found)
        raise StrategyError(
            f"{name}= is a metric by its parameters ({told}): a verifier never sees the gold answer",
            mend=f"{name}=a function (inputs, prediction) -> float, which judges without it; the metric is for "
            "rtk.sweep and dspy.Evaluate",
        )
