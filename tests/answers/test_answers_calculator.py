"""A calculator: questions that are nothing but a calculation, and those that only look like one."""

import pytest

from rtk.answers import calculate


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("12 * 12", "144"),
        ("What is 15% of 80?", "12"),
        ("Please calculate 7 / 4.", "1.75"),
        ("7 / 3 =", "2.333333333"),
        ("How much is 2 + 2?", "4"),
        ("What is the sum of 3 and 4?", "7"),
        ("half of 12", "6"),
        ("What's 3 - 5", "-2"),
        ("What does 12 * 12 equal?", "144"),
        ("2^10", "1024"),
        ("2 ** 10", "1024"),
        ("sqrt(2)", "1.414213562"),
        ("0.1 + 0.2", "0.3"),
        ("calculate 24/7", "3.428571429"),
        ("10! / 8!", "90"),
        ("2^200", str(2**200)),
        ("What is 1 / 2^1100?", "7.362151829e-332"),
        ("calculate 5!", "120"),
    ],
)
def test_a_calculation_is_answered(question, answer):
    """Exactly, or with ten digits."""
    assert calculate(question) == answer


@pytest.mark.parametrize(
    "question",
    ["", "What is 5?", "What is 24/7?", "555-1234", "2024-05-01", "$3 + $4", "3 apples + 4 apples", "6/2(1+2)", "1/0",
     "2**99999", "What is the capital of France?", "How do I reset my 2 factor login?", "Is 7 prime?", "9" * 500,
     "__import__('os').getcwd()", "(" * 99 + "1" + ")" * 99, "3 + 4 people came, why?", "150% - 3", "What is 3 + 4!",
     None],
)  # fmt: skip
def test_what_is_none_is_left_to_others(question):
    """Also what could be read in two ways, or mean something else."""
    assert calculate(question) is None
