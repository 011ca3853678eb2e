"""Prompts: what rtk writes quickly is what DSPy's adapter writes, whatever becomes of the signature."""

from typing import Literal

import dspy
import pydantic
import pytest

from rtk.strategies.formatting import formatted


class Place(pydantic.BaseModel):
    """A type of a user's."""

    city: str
    size: int


class Loud(dspy.ChatAdapter):
    """An adapter of a user's."""

    def format_system_message(self, signature):
        """In capitals."""
        return super().format_system_message(signature).upper()


SIGNATURES = [
    dspy.Signature("question -> answer"),
    dspy.Signature("question, hints: list[str] -> reasoning, answer: int", "Count."),
    dspy.Signature("question -> verdict: Literal['yes', 'no']", "Decide.", custom_types={"Literal": Literal}),
    dspy.Signature("question -> place: Place", custom_types={"Place": Place}),
    dspy.Signature("question, history: dspy.History -> answer"),
]
INPUTS = {
    "question": "how many?",
    "hints": ["one", "two"],
    "history": dspy.History(messages=[{"question": "q", "answer": "a"}]),
}
DEMOS = [dspy.Example(question="q", answer="a", reasoning="r")]


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), Loud()])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_prompt_is_what_the_adapter_writes(adapter, signature):
    """The first time and the second, with demonstrations and without."""
    given = {name: INPUTS[name] for name in signature.input_fields}
    for demos in ([], DEMOS, []):
        assert formatted(adapter, signature, demos, dict(given)) == adapter.format(signature, demos, dict(given))


def test_a_signature_that_is_written_over_is_read_again():
    """Its instructions and its fields' descriptions, also where they are changed in place."""
    adapter, signature = dspy.ChatAdapter(), dspy.Signature("question -> answer", "Before.")
    before = formatted(adapter, signature, [], {"question": "?"})
    signature.instructions = "After."
    after = formatted(adapter, signature, [], {"question": "?"})
    signature.output_fields["answer"].json_schema_extra["desc"] = "a number"
    described = formatted(adapter, signature, [], {"question": "?"})
    assert "After." in after[0]["content"]
    assert "a number" in described[0]["content"]
    assert len({each[0]["content"] for each in (before, after, described)}) == 3
    assert described == adapter.format(signature, [], {"question": "?"})
