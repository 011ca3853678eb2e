"""The metric, in the shape that DSPy calls it, and the demonstrations of arithmetic."""

import re

import dspy
import pytest

import rtk.tasks
from rtk.errors import TaskError


@pytest.fixture(scope="module")
def sequences():
    return rtk.tasks.load("hidden_sequence", size=5)


@pytest.fixture(scope="module")
def products():
    return rtk.tasks.load("arithmetic", size=5)


def test_the_gold_answer_is_right(sequences, products):
    """A prediction of the gold answer is right, in whatever wrapping it comes."""
    for task in (sequences, products):
        example = task.test[0]
        for pred in (dspy.Prediction(answer=example.answer), {"answer": example.answer}, example.answer):
            assert task.metric(example, pred) is True


def test_spelling_of_a_sequence_does_not_matter(sequences):
    """Brackets and spacing make no difference, another order does."""
    example = sequences.test[0]
    numbers = example.answer.split(", ")
    assert sequences.metric(example, dspy.Prediction(answer=f"[{','.join(numbers)}]"))
    swapped = [*numbers[1:], numbers[0]]
    assert sequences.metric(example, dspy.Prediction(answer=", ".join(swapped))) is (swapped == numbers)


def test_a_partial_sequence_is_wrong(sequences):
    """A beginning of the answer is not the answer."""
    example = sequences.test[0]
    assert sequences.metric(example, dspy.Prediction(answer=example.answer.rsplit(", ", 1)[0])) is False


def test_a_number_is_right_as_text(products):
    """The text of a number counts as the number, and its neighbour does not."""
    example = products.test[0]
    assert products.metric(example, dspy.Prediction(answer=str(example.answer)))
    assert not products.metric(example, dspy.Prediction(answer=str(example.answer + 1)))


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_no_answer_is_wrong(sequences, answer):
    """An abstention is wrong and never an error."""
    assert sequences.metric(sequences.test[0], dspy.Prediction(answer=answer)) is False
    assert sequences.metric(sequences.test[0], dspy.Prediction()) is False


def test_it_takes_dspys_further_arguments(sequences):
    """Optimizers pass a trace, a predictor's name and its trace; they change nothing."""
    example = sequences.test[0]
    pred = dspy.Prediction(answer=example.answer)
    assert sequences.metric(example, pred, [], "self", [])
    assert dspy.Evaluate(devset=sequences.test, metric=sequences.metric, num_threads=1, display_progress=False)(
        lambda question: {ex.question: dspy.Prediction(answer=ex.answer) for ex in sequences.test}[question]
    ).score == pytest.approx(100)


def test_a_missing_field_says_which(sequences):
    """A program whose output has another name is told which name is wanted."""
    with pytest.raises(TaskError, match="numbers but no 'answer'") as caught:
        sequences.metric(sequences.test[0], dspy.Prediction(numbers="4, 7"))
    assert "answer" in caught.value.mend


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_arithmetic_demonstrations_are_true(level):
    """Each worked calculation ends in the gold answer, and both sides of every equals sign are equal."""
    task = rtk.tasks.load("arithmetic", size=5, level=level)
    for demo, example in zip(task.demos(30), task.train, strict=False):
        assert demo.answer == str(example.answer)
        for sentence in re.split(r"\.\s*", demo.reasoning):
            assert len({_value(side) for side in sentence.split(" = ")}) == 1


def _value(side):
    """Products first, then sums from the left; no brackets come in worked calculations."""
    total, sign = 0, 1
    for token in re.findall(r"\d+(?: × \d+)*|[+-]|^$", side):
        if token in "+-":
            sign = -1 if token == "-" else 1
        else:
            product = 1
            for factor in token.split(" × "):
                product *= int(factor)
            total += sign * product
    return total


def test_demonstrations_have_a_limit(sequences):
    """More demonstrations than training questions are refused with the number there is."""
    with pytest.raises(TaskError) as caught:
        sequences.demos(41)
    assert "40" in caught.value.mend


def test_what_a_task_does_not_have_is_none(products):
    """Arithmetic has no checker and is not solved in parts, and says so when asked for partial demonstrations."""
    assert products.check is products.depth is products.random_proposal is None
    with pytest.raises(TaskError):
        products.partial_demos(1)


def test_a_task_shows_what_it_is(sequences):
    """Its representation has name, level, seed, sizes and how it is scored, and no questions."""
    assert repr(sequences) == (
        "Task('hidden_sequence', level=2, seed=0, train=40, dev=10, test=5, answer_type='list', "
        "comparer='sequence', check=check, reports='accuracy')"
    )


def test_an_example_without_a_gold_answer_is_no_wrong_one(products):
    """Where there is nothing to compare with the metric says so, and does not count the answer as wrong."""
    with pytest.raises(TaskError, match="no gold 'answer'") as caught:
        products.metric(dspy.Example(question="?").with_inputs("question"), {"answer": 4})
    assert "answer=None" in caught.value.mend
