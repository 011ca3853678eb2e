"""`rtk.LinesAdapter`: short prompts, and completions read leniently."""

from typing import Literal

import dspy
import pydantic
import pytest
from dspy.utils.exceptions import AdapterParseError

import rtk
from rtk.testing import ScriptedServer

ADAPTER = rtk.LinesAdapter()
CHAIN = dspy.Signature("question -> reasoning, answer")


class Place(pydantic.BaseModel):
    """A place."""

    name: str
    size: int


def typed(kind):
    return dspy.Signature({"q": (str, dspy.InputField()), "answer": (kind, dspy.OutputField())}, "Answer.")


def read(text, kind):
    return ADAPTER.parse(typed(kind), text)["answer"]


def test_a_prompt_is_the_instructions_the_fields_and_the_lines():
    """Nothing else is in it: demonstrations are pairs of messages, and descriptions are said where there are some."""
    signature = dspy.Signature(
        {
            "question": (str, dspy.InputField()),
            "partial": (str, dspy.InputField(desc="what is found so far.")),
            "answer": (int, dspy.OutputField()),
        },
        "Calculate.",
    )
    demo = dspy.Example(question="1 + 1?", partial="", answer=2)
    messages = ADAPTER.format(signature, [demo], {"question": "2 + 2?", "partial": "2 +"})
    assert [(one["role"], one["content"]) for one in messages] == [
        ("system", "Calculate.\npartial is what is found so far.\nReply in these lines:\nanswer: (int) ..."),
        ("user", "question: 1 + 1?\npartial: "),
        ("assistant", "answer: 2"),
        ("user", "question: 2 + 2?\npartial: 2 +"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "reasoning: six times seven\nanswer: 42",
        "Reasoning: six times seven\n\nANSWER: 42\n",
        "**reasoning:** six times seven\n**answer:** 42",
        "six times seven\nanswer: 42",
        "reasoning: six times seven\nanswer: 42\nquestion: What is 2 + 2?\nreasoning: 4\nanswer: 4",
    ],
)
def test_labels_are_read_however_they_are_written(text):
    """Case, emphasis, a missing first label and a question of the model's own change nothing."""
    assert ADAPTER.parse(CHAIN, text) == {"reasoning": "six times seven", "answer": "42"}


@pytest.mark.parametrize("text", ["reasoning: and so on", "", "answer:1\n"])
def test_a_missing_output_is_an_error(text):
    """A completion without one of the outputs is malformed."""
    with pytest.raises(AdapterParseError):
        ADAPTER.parse(CHAIN, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "answer: 42.", 42),
        (int, "answer: 1,234\nand more", 1234),
        (int, "answer: -5", -5),
        (int, "answer: 42 km", 42),
        (float, "answer: 0.5", 0.5),
        (bool, "answer: True.", True),
        (Literal["sure", "maybe"], "answer: maybe.", "maybe"),
        (list[int], "answer: [1, 2]", [1, 2]),
        (Place, 'answer: {"name": "Oslo", "size": 7}', Place(name="Oslo", size=7)),
        (int, "42", 42),
    ],
)
def test_values_are_read_as_their_types(kind, text, value):
    """Numbers, choices, lists and objects are read from a line."""
    assert read(text, kind) == value


@pytest.mark.parametrize(
    ("kind", "text"), [(int, "answer: many"), (int, "answer: 4.5"), (Literal["a"], "answer: b"), (Place, "answer: x")]
)
def test_a_value_of_another_type_is_an_error_that_names_it(kind, text):
    """What is no value of the type is malformed, and the message says which field."""
    with pytest.raises(AdapterParseError, match="answer"):
        read(text, kind)


@pytest.mark.parametrize("value", [Place(name="Oslo", size=7), [1, 2], "two words", 3, "sure", None])
def test_a_demonstration_reads_back(value):
    """What the adapter writes as a demonstration, it reads as the same value."""
    kind = list[int] if isinstance(value, list) else type(value) if value is not None else str | None
    written = ADAPTER.format_assistant_message_content(typed(kind), {"answer": value})
    assert read(written, kind) in (value, str(value))


def test_a_malformed_completion_is_never_asked_for_again():
    """A plain `dspy.Predict` raises, and the server saw one request."""
    with ScriptedServer("no such thing") as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()), pytest.raises(AdapterParseError):
            dspy.Predict("question -> answer: int")(question="?")
        assert server.count == 1


def test_strategies_and_plain_modules_share_samples_under_it():
    """The adapter splits: a vote of four over it reuses what a plain chain drew."""
    with ScriptedServer([f"reasoning: r\nanswer: {n}" for n in (1, 2, 2, 2)]) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="x")
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            assert dspy.ChainOfThought("question -> answer: int")(question="?").answer == 1
            pred = rtk.SelfConsistency("question -> answer: int", samples=4)(question="?")
        assert (pred.answer, pred.spent.drawn, pred.spent.reused) == (2, 3, 1)
