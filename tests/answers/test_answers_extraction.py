"""The answer in free text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import extract
from rtk.errors import AnswerError


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 42.", "42"),
        ("The answer is 3.5. I am sure.", "3.5"),
        ("The answer is\n\n42", "42"),
        ("The answer is 5? No: the answer is therefore 6.", "6"),
        (r"So \boxed{\frac{1}{2}}, as wanted", r"\frac{1}{2}"),
        (r"first \boxed{1}, then \boxed{2}, then \boxed{\text{a}", "2"),
        (r"\boxed 7.", "7"),
        ("**Answer:** 42", "42"),
        ("### Answer\n42", "42"),
        ("Final Answer: 2**10", "2**10"),
        ("some steps\n#### 1,234", "1,234"),
        ("[[ ## reasoning ## ]]\n1\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]", "42"),
        ('```json\n{"reasoning": "x", "answer": [1, 2]}\n```', "[1, 2]"),
        ("<answer> 9 </answer> done", "9"),
        ("Thinking.\n\n**42**\n", "42"),
        ("<think>The answer is 3</think>\nIt is 4", "It is 4"),
        ("<think>The answer is 3", None),
        (" \n", None),
    ],
)
def test_auto(text, answer):
    """A box, then a field or announcement, then the last line; never what was only thought."""
    assert extract(text) == answer


def test_one_way_only():
    """A way that is asked for does not fall back to another."""
    text = "The answer is 42.\nAs \\boxed{41} says"
    assert (extract(text, "field"), extract(text, "boxed")) == ("42", "41")
    assert extract(text, "last_line") == "As \\boxed{41} says"
    assert extract("just 42", "boxed") is None
    assert extract("just 42", "field") is None


def test_an_unknown_way_is_refused():
    """An unknown way is an error that lists the known ones."""
    with pytest.raises(AnswerError) as caught:
        extract("x", "regex")  # type: ignore[arg-type]
    assert "boxed" in str(caught.value.mend)


@given(st.text())
def test_any_text_can_be_read(text):
    """No text raises, and what is found is never blank."""
    found = extract(text)
    assert found is None or found.strip()


@given(st.integers(), st.text(alphabet="ab {}\n", max_size=20))
def test_a_closed_box_at_the_end_is_found(number, before):
    """Whatever comes before, a box that closes at the end is the answer."""
    assert extract(f"{before} \\boxed{{{number}}}") == str(number)
