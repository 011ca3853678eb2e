"""`rtk.TextAdapter`: a question as it stands, and the answer found in free text."""

from __future__ import annotations

import re
from typing import Any, Literal

from rtk.answers import answer_fields, extract
from rtk.errors import AnswerError
from rtk.models.lines import LinesAdapter, Signature, unreadable

How = Literal["auto", "last_line", "boxed", "field"]

_DSPYS = re.compile(r"Given the fields .*, produce the fields .*\.", re.DOTALL)


class TextAdapter(LinesAdapter):
    """A DSPy adapter that adds nothing to a prompt, and looks for the answer in whatever the model writes.

    The one input is the user's message, as it stands; several are lines of `name: value`. Instructions that somebody
    wrote come first, as the system's message; DSPy's own are left out. In the completion the answer is found as
    `rtk.answers.extract` finds it, and the other outputs, such as `reasoning`, are the whole text. A text without an
    answer is malformed, and abstains from a vote.

    With it a program asks what a paper asked, and reads what others drew (`SampleStore.ingest`).

    >>> dspy.configure(lm=rtk.LM("openai/gpt-4o"), adapter=rtk.TextAdapter("boxed"))  # doctest: +SKIP

    Args:
        how: where the answer stands: `"auto"`, `"boxed"`, `"field"` or `"last_line"`; see `rtk.answers.extract`.
        callbacks: as of `dspy.Adapter`.

    Raises:
        AnswerError: for an unknown `how`; when called, for a signature that has not one answer.
    """

    def __init__(self, how: How = "auto", callbacks: list[Any] | None = None) -> None:
        super().__init__(callbacks)
        extract("", how)  # raises for what is no way to look
        self.how: How = how

    def __repr__(self) -> str:
        return f"TextAdapter({self.how!r})"

    def format(self, signature: Signature, demos: list[Any], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages; without a system message where nobody wrote instructions."""
        _answer_field(signature)
        return [message for message in super().format(signature, demos, inputs) if message["content"]]

    def format_system_message(self, signature: Signature) -> str:
        """The instructions, if they are not DSPy's own."""
        return "" if _DSPYS.fullmatch(signature.instructions) else signature.instructions

    def _asked(self, signature: Signature, inputs: dict[str, Any]) -> str:
        """The input; several are lines, as ever."""
        given = [inputs[name] for name in signature.input_fields if name in inputs]
        one = len(given) == 1 and isinstance(given[0], str)
        return given[0] if one else super()._asked(signature, inputs)

    def format_assistant_message_content(
        self, signature: Signature, outputs: dict[str, Any], missing_field_message: str | None = None
    ) -> str:
        """A demonstration's text, its answer in a line of its own at the end."""
        name = _answer_field(signature)
        told = [str(outputs[one]) for one in signature.output_fields if one != name and one in outputs]
        return "\n".join([*told, f"Answer: {outputs.get(name, missing_field_message)}"])

    def parse(self, signature: Signature, completion: str) -> dict[str, Any]:
        """The answer in a completion, and the completion.

        Raises:
            AdapterParseError: where there is no answer, or it is none of its type.
        """
        name = _answer_field(signature)
        found = extract(completion, self.how)
        if found is None:
            raise unreadable(self, signature, completion, "no answer was found")
        value = self._value(signature, name, found, completion)
        return {one: value if one == name else completion for one in signature.output_fields}


def _answer_field(signature: Signature) -> str:
    """The output that holds the answer."""
    names = answer_fields(signature.output_fields)
    if len(names) != 1:
        raise AnswerError(
            f"rtk.TextAdapter finds one answer in a text, not {' and '.join(names) or 'none'}",
            mend="ask for one, such as 'question -> answer', or use another adapter",
        )
    return names[0]
