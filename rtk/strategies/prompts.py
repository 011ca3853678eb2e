"""Prompts that differ in the text of their inputs alone: worked out once for a program, filled in for each question.

What DSPy and its adapters do before they call a model follows from the program, the model and the adapter, where all
inputs are text. An experiment that puts a hundred thousand questions to one program does it once so; prompts and
requests are, letter by letter, those that they would have made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import dspy

from rtk._json import escaped
from rtk.strategies.flow import AskFor
from rtk.strategies.formatting import KNOWN, looks
from rtk.strategies.sampling import Sampling, splits

_MOST = 64  # prompts that are kept
_TYPED = "<<CUSTOM-TYPE"  # what DSPy reads images, files and the like from, wherever it stands in a text
_MARKS, _IN_JSON = re.compile("\0([0-9]+)\0"), re.compile(r"\\u0000([0-9]+)\\u0000")


@dataclass(frozen=True)
class _Template:
    """A text in which each of some values stands once.

    Attributes:
        around: what stands before, between and behind them.
        order: the places of the values, as they come.
    """

    around: list[str]
    order: list[int]

    @classmethod
    def of(cls, marked: str, marks: re.Pattern[str], count: int) -> _Template | None:
        """The template of a text with marks; None where one of them is missing, or stands there twice."""
        found = marks.split(marked)
        around, order = found[::2], list(map(int, found[1::2]))
        return cls(around, order) if sorted(order) == list(range(count)) else None

    def filled(self, values: Sequence[str]) -> str:
        """With values."""
        pairs = zip_longest(self.around, [values[place] for place in self.order], fillvalue="")
        return "".join(chain.from_iterable(pairs))


@dataclass(frozen=True)
class _Prompt:
    """A prompt with marks in place of the inputs.

    Attributes:
        program: what is asked; held, since it is known by its place in the memory.
        made_of: all else that the prompt follows from, as it was then.
        sampling: of the program with the marks as inputs; None where a prompt follows from more than their text.
        message: its last message.
        body: its request.
    """

    program: dspy.Module
    made_of: Any
    sampling: Sampling | None = None
    message: _Template | None = None
    body: _Template | None = None

    def filled(self, inputs: dict[str, Any]) -> Sampling | None:
        """With inputs, where that is all they do."""
        values = list(inputs.values())
        if self.sampling is None or self.message is None or self.body is None or not all(map(_is_plain, values)):
            return None
        try:
            request = self.sampling.request.saying(self.body.filled(list(map(escaped, values))))
        except UnicodeEncodeError:  # which a request refuses in its own words
            return None
        return self.sampling.filled(inputs, self.message.filled(values), request)


def _is_plain(value: Any) -> bool:
    return type(value) is str and _TYPED not in value


class Prompts:
    """The prompts of some programs, as an experiment puts them together."""

    def __init__(self) -> None:
        self._known: dict[Any, _Prompt] = {}

    def __repr__(self) -> str:
        return f"Prompts({len(self._known)} kept)"

    def sampling(self, wanted: AskFor, predictor: dspy.Predict) -> Sampling | None:
        """What is asked of a program with one predictor, ready to be drawn from; None where its adapter makes calls of
        its own.

        Raises:
            Exception: as `Sampling` does.
        """
        found = self._prompt(wanted, predictor).filled(wanted.inputs)
        if found is not None or not splits(predictor):
            return found
        found = Sampling(wanted.program, predictor, wanted.inputs, wanted.config)
        found.key()
        return found

    def _prompt(self, wanted: AskFor, predictor: Any) -> _Prompt:
        lm, adapter = predictor.lm or dspy.settings.lm, dspy.settings.adapter
        key = (id(wanted.program), id(lm), id(adapter), repr(wanted.config), *wanted.inputs)
        fixed = (lm, adapter, predictor.signature, looks(predictor.signature))
        written_over = (predictor.demos, predictor.config, predictor.fields, getattr(lm, "kwargs", None))
        known = self._known.get(key)
        if known is None or known.made_of != (fixed, written_over):
            if len(self._known) >= _MOST:
                self._known.clear()
            made_of = (fixed, deepcopy(written_over))
            known = self._known[key] = _made(_Prompt(wanted.program, made_of), wanted, predictor)
        return known


def _made(nothing: _Prompt, wanted: AskFor, predictor: Any) -> _Prompt:
    """The prompt of a program; nothing where one follows from more than the text of its inputs."""
    fields, adapter = predictor.signature.input_fields, dspy.settings.adapter or dspy.ChatAdapter()
    text = wanted.inputs.keys() == fields.keys() and all(one.annotation is str for one in fields.values())
    if type(adapter) not in KNOWN or not text or not splits(predictor):
        return nothing
    marked = {name: f"\0{place}\0" for place, name in enumerate(wanted.inputs)}
    try:
        sampling = Sampling(wanted.program, predictor, marked, wanted.config)
        sampling.key()
    except Exception:  # noqa: BLE001 - what is wrong shows where the question is asked
        return nothing
    last = sampling.messages[-1]["content"]
    message = _Template.of(last, _MARKS, len(marked)) if isinstance(last, str) else None
    body = _Template.of(sampling.request.body, _IN_JSON, len(marked))
    if message is None or body is None or not (message.around[0].strip() and message.around[-1].strip()):
        return nothing  # blanks at the end of a message are cut off, also those of a value
    return _Prompt(nothing.program, nothing.made_of, sampling, message, body)
