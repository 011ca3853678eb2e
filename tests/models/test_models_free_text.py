"""`rtk.TextAdapter`: a question as it stands, and the answer found in free text."""

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError
from serving import over

import rtk
from rtk.errors import AnswerError
from rtk.testing import ScriptedServer

ADAPTER = rtk.TextAdapter()
PLAIN = dspy.Signature("question -> answer")


def chain(signature="question -> answer"):
    return dspy.ChainOfThought(signature)


def sent(program, adapter=ADAPTER, **inputs):
    """The messages of a program's one request, and its prediction."""
    with ScriptedServer("I add them.\n#### 4") as server:
        with dspy.context(lm=over(server), adapter=adapter):
            pred = program(**inputs)
        (request,) = server.requests
    return request.messages, pred


@pytest.mark.parametrize("program", [dspy.Predict(PLAIN), chain(), rtk.ChainOfThought("question -> answer")])
def test_a_question_is_sent_as_it_stands(program):
    """No system message, no name of a field, no format: what `lm(question)` sends."""
    messages, pred = sent(program, question="Q: 2 + 2?\nA: Let's think step by step.")
    assert messages == [{"role": "user", "content": "Q: 2 + 2?\nA: Let's think step by step."}]
    assert pred.answer == "4"


def test_a_chain_is_the_whole_text():
    """What leads to the answer stands in the same text."""
    _, pred = sent(chain(), question="2 + 2?")
    assert pred.reasoning == "I add them.\n#### 4"


def test_instructions_that_somebody_wrote_are_sent():
    """And those of an optimizer, which writes them into the signature."""
    messages, _ = sent(chain(dspy.Signature("question -> answer", "Reckon.")), question="2 + 2?")
    assert messages == [{"role": "system", "content": "Reckon."}, {"role": "user", "content": "2 + 2?"}]


def test_several_inputs_have_names():
    """A line each; and so has what is no text."""
    messages, _ = sent(dspy.Predict("context, question -> answer"), context="two apples", question="how many?")
    assert messages == [{"role": "user", "content": "context: two apples\nquestion: how many?"}]
    messages, _ = sent(dspy.Predict("number: int -> answer"), number=4)
    assert messages == [{"role": "user", "content": "number: 4"}]


def test_demonstrations_end_in_an_answer_that_is_found_again():
    """The model sees how to write it, and what it sees can be read."""
    program = chain()
    program.predict.demos = [
        dspy.Example(question="1 + 1?", reasoning="One and one.", answer="2").with_inputs("question")
    ]
    messages, _ = sent(program, question="2 + 2?")
    assert [message["content"] for message in messages] == ["1 + 1?", "One and one.\nAnswer: 2", "2 + 2?"]
    assert ADAPTER.parse(PLAIN, messages[1]["content"]) == {"answer": "2"}


@pytest.mark.parametrize(
    ("how", "text", "answer"),
    [
        ("auto", "so \\boxed{7} it is", "7"),
        ("auto", "The answer is 8.", "8"),
        ("auto", "first\nlast", "last"),
        ("boxed", "The answer is 8.", None),
        ("field", "**Answer:** 9", "9"),
        ("last_line", "Answer: 1\n2", "2"),
    ],
)
def test_the_answer_is_found_as_rtk_extracts_it(how, text, answer):
    """By the rule that is asked for; where that finds none, the completion is malformed."""
    adapter = rtk.TextAdapter(how)
    if answer is not None:
        assert adapter.parse(PLAIN, text) == {"answer": answer}
        return
    with pytest.raises(AdapterParseError, match="no answer was found") as caught:
        adapter.parse(PLAIN, text)
    assert "TextAdapter" in str(caught.value)


def test_an_answer_has_its_type():
    """A number is read as one; what is none is malformed."""
    signature = dspy.Signature("question -> answer: int")
    assert ADAPTER.parse(signature, "That makes 42.\nAnswer: 42.") == {"answer": 42}
    with pytest.raises(AdapterParseError, match="no int"):
        ADAPTER.parse(signature, "Answer: many")


def test_a_signature_with_several_answers_is_refused():
    """A text has one; the error comes before anything is asked, and so does that for an unknown rule."""
    with ScriptedServer("4") as server, dspy.context(lm=over(server), adapter=ADAPTER):
        for program in (dspy.Predict("question -> answer, unit"), rtk.SelfConsistency("question -> answer, unit")):
            with pytest.raises(AnswerError, match="answer and unit"):
                program(question="how long?")
        assert server.count == 0
    with pytest.raises(AnswerError, match="unknown"):
        rtk.TextAdapter("somewhere")
