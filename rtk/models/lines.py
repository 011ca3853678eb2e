"""`rtk.LinesAdapter`: signatures as lines of `name: value`, which a very small model can follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import dspy
from dspy.adapters.utils import (
    apply_output_field_defaults,
    format_field_value,
    get_annotation_name,
    parse_value,
)
from dspy.utils.exceptions import AdapterParseError

from rtk.answers import canonical

Signature = type[dspy.Signature]


class LinesAdapter(dspy.ChatAdapter):
    """A DSPy adapter with short prompts: the instructions, the names of the outputs, and lines of `name: value`.

    `dspy.ChatAdapter` spends some 200 tokens on headers in double brackets, which a small model copies wrongly. Here a
    prompt is the instructions and what is asked, and a completion is read leniently: labels in any case or emphasis,
    a text before the first label as the first output, the first line of a value that has no room for more, the number
    in `42.` for an `int`. A malformed completion is an error and never a second call in another format.

    >>> dspy.configure(lm=rtk.LM("embedded"), adapter=rtk.LinesAdapter())  # doctest: +SKIP

    Args:
        callbacks: as of `dspy.Adapter`.
    """

    def __init__(self, callbacks: list[Any] | None = None) -> None:
        super().__init__(callbacks, use_json_adapter_fallback=False)

    def __repr__(self) -> str:
        return "LinesAdapter()"

    def format_system_message(self, signature: Signature) -> str:
        """The instructions, what an input's name does not say, and the lines to reply in."""
        told = [f"{name} is {desc}." for name, field in signature.input_fields.items() if (desc := _description(field))]
        lines = [f"{name}: {_form(field)}" for name, field in signature.output_fields.items()]
        return "\n".join([signature.instructions, *told, "Reply in these lines:", *lines])

    def format_user_message_content(
        self,
        signature: Signature,
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> str:
        """The inputs, a line each."""
        return "\n".join(part for part in (prefix, self._asked(signature, inputs), suffix) if part)

    def _asked(self, signature: Signature, inputs: dict[str, Any]) -> str:
        return _lines(signature.input_fields, inputs)

    def format_assistant_message_content(
        self, signature: Signature, outputs: dict[str, Any], missing_field_message: str | None = None
    ) -> str:
        """The outputs, a line each."""
        told = {name: outputs.get(name, missing_field_message) for name in signature.output_fields}
        return _lines(signature.output_fields, told)

    def parse(self, signature: Signature, completion: str) -> dict[str, Any]:
        """The outputs in a completion.

        Raises:
            AdapterParseError: where one is missing, or its value is none of its type.
        """
        found: dict[str, Any] = {}
        for name, text in _labelled(signature, completion):
            if name in signature.output_fields and name not in found:
                found[name] = self._value(signature, name, text, completion)
        found = apply_output_field_defaults(signature, found)
        if found.keys() != signature.output_fields.keys():
            raise unreadable(self, signature, completion, f"found {', '.join(found) or 'no field'}")
        return found

    def _value(self, signature: Signature, name: str, text: str, completion: str) -> Any:
        annotation = signature.output_fields[name].annotation
        try:
            return _read(text, annotation)
        except ValueError as error:
            said = f"{name}: {text[:80]!r} is no {get_annotation_name(annotation)}"
            raise unreadable(self, signature, completion, said) from error


def unreadable(adapter: dspy.Adapter, signature: Any, completion: str, said: str) -> AdapterParseError:
    """The error of an adapter that cannot read a completion."""
    return AdapterParseError(type(adapter).__name__, signature, completion, message=said)


def _form(field: Any) -> str:
    """What stands in place of a value."""
    annotation, told = field.annotation, _description(field) or "..."
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    return told if annotation is str else f"({get_annotation_name(annotation)}) {told}"


def _description(field: Any) -> str:
    """A field's description, where somebody wrote one; DSPy fills in the name."""
    described = str((field.json_schema_extra or {}).get("desc") or "")
    return "" if described.startswith("${") else described.rstrip(".")


def _lines(fields: dict[str, Any], values: dict[str, Any]) -> str:
    return "\n".join(
        f"{name}: {format_field_value(field_info=field, value=values[name])}"
        for name, field in fields.items()
        if name in values
    )


def _labelled(signature: Signature, completion: str) -> Iterator[tuple[str, str]]:
    """Pairs of label and text, in order; what stands before the first label belongs to the first output.

    The names of inputs are labels too: a small model likes to go on with a question of its own.
    """
    names = {name.casefold(): name for name in signature.fields}
    label = re.compile(rf"^[ \t#>*_`-]*({'|'.join(map(re.escape, names))})[ \t*_`]*:[ \t*_`]*", re.I | re.M)
    marks = list(label.finditer(completion))
    starts = [*(mark.start() for mark in marks), len(completion)]
    if before := completion[: starts[0]].strip():
        yield next(iter(signature.output_fields)), before
    for mark, end in zip(marks, starts[1:], strict=True):
        yield names[mark[1].casefold()], completion[mark.end() : end].strip()


def _read(text: str, annotation: Any) -> Any:
    """A value of a type; of a value that is one line, the first line alone.

    Raises:
        ValueError: where the text is none.
    """
    if annotation is str:
        return text
    line = text.partition("\n")[0].strip().strip("*`").strip()
    if annotation in (int, float):
        return _number(line, annotation)
    if get_origin(annotation) is Literal or annotation is bool:
        return parse_value(line.rstrip("."), annotation)
    return parse_value(text, annotation)


def _number(line: str, annotation: Any) -> int | float:
    kind, *number = canonical(line, "numeric") or ("",)  # type: ignore[misc]
    if kind != "number" or (annotation is int and number[0].denominator != 1):
        raise ValueError(f"{line!r} is no {annotation.__name__}")
    return annotation(number[0])
