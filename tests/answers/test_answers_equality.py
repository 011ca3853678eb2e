"""Which answers are the same."""

import enum
import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rtk.answers import canonical, equal
from rtk.errors import AnswerError

SAME = [
    ("-5", "−5"),
    ("-$5", "-5"),
    ("1,234", "1234"),
    ("1,234.50", "1234.5"),
    (r"1{,}234", 1234),
    ("[2, 4, 6]", "2,4,6"),
    ([2, 4, 6], "2, 4, 6"),
    ((2, 4), "[2, 4]"),
    ("42.", "42"),
    ("**42**", "42"),
    (r"\boxed{42}", 42),
    ("0.50", "1/2"),
    ("½", "0.5"),
    ("1½", "1.5"),
    (r"\frac12", "0.5"),
    (r"$-\frac{1}{2}$", "-0.5"),
    ("$5.00", "5"),
    (r"$\$5$", "5"),
    ("50%", "0.5"),
    (r"50\%", "1/2"),
    ("1e-3", "0.001"),
    ("1.5 × 10^3", "1500"),
    ("１２", "12"),
    (0.1 + 0.2, "0.3"),
    (None, None),
    (float("nan"), float("nan")),
    ("{1, 2}", {2, 1}),
    ("(A)", "a"),
    ("Paris.", '"paris"'),
    ('{"a": 1}', {"a": "1.0"}),
]
DIFFERENT = [
    ("-5", "5"),
    ("3.14", "314"),
    ("1/2", "12"),
    ("1,234", "1, 234"),
    ("[1,234]", "1234"),
    ("50%", "50"),
    ("1e999999999", "1e999999998"),
    ("5²", "52"),
    ("5!", "5"),
    ("[5]", "5"),
    (True, 1),
    (float("inf"), float("-inf")),
    ("2,4", "4,2"),
    ("1/0", "1"),
    ("a-b", "ab"),
    ("", "0"),
    (None, "0"),
]
VALUES = st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.none(), st.lists(st.integers(), max_size=4))


class City(BaseModel):
    name: str
    people: int


class Letter(enum.Enum):
    A = "a"


@pytest.mark.parametrize(("a", "b"), SAME, ids=repr)
def test_the_same_said_otherwise(a, b):
    """Answers that say the same are equal in both orders, and share their key."""
    assert equal(a, b)
    assert equal(b, a)
    assert canonical(a) == canonical(b)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_near_misses_differ(a, b):
    """A sign, a point, a bar or a comma that matters is never dropped."""
    assert not equal(a, b)
    assert not equal(b, a)


@pytest.mark.parametrize(
    ("comparer", "a", "b", "same"),
    [
        ("exact", "42", "42.", False),
        ("exact", 42, "42", True),
        ("text", "The  Answer.", "the answer", True),
        ("text", "0.5", "1/2", False),
        ("numeric", "about 42 km", "42", True),
        ("numeric", "from 4 to 42", "42", False),
        ("numeric", "none", "NONE", True),
        ("sequence", "2, 3 and 4", "[2, 3, 4]", True),
        ("sequence", "2 4 6", [2, 4, 6], True),
        ("sequence", "100,200", [100, 200], True),
        ("sequence", "2, 4", "4, 2", False),
        ("set", "4; 2", "2, 4", True),
        ("math", r"\sqrt8", r"2\sqrt{2}", True),
        ("math", "(x+1)^2", "x^2+2x+1", True),
        ("math", "[0,1)", "[0,1]", False),
        ("math", "Paris", "Spair", False),
        ("math", "1/2", "12", False),
    ],
)
def test_comparers(comparer, a, b, same):
    """Each comparer reads answers its own way, in both orders alike."""
    assert equal(a, b, comparer) is same
    assert equal(b, a, comparer) is same


def test_structured_answers():
    """Pydantic objects are compared by their fields, enumerations by their values."""
    assert equal(City(name="Bern", people=1000), {"people": "1,000", "name": "bern"})
    assert not equal(City(name="Bern", people=1000), City(name="Bern", people=999))
    assert equal(Letter.A, "A")


def test_whole_numbers_of_any_length():
    """Whole numbers longer than Python prints are compared all the same."""
    assert equal(10**5000, 10**5000)
    assert not equal(10**5000, 10**5000 + 1, "numeric")
    assert not equal(10**5000, 10**5001, "exact")


def test_a_function_decides():
    """A function as comparer is asked, and there is no key then."""
    assert equal("abc", "xyz", lambda a, b: len(a) == len(b))
    assert canonical("abc", lambda a, b: True) is None
    assert canonical("abc", "math") is None


def test_an_unknown_comparer_is_refused():
    """An unknown comparer is an error that lists the known ones."""
    with pytest.raises(AnswerError, match="fuzzy") as caught:
        equal("a", "b", "fuzzy")  # type: ignore[arg-type]
    assert "numeric" in str(caught.value.mend)


@pytest.mark.parametrize("comparer", ["auto", "numeric", "sequence", "set", "math", "text", "exact"])
@pytest.mark.parametrize(
    "hostile",
    ["1e999999999", "-1e-999999999", "9**9**9**9", "10^{10^{10}}", "[" * 5000, "(" * 3000 + ")" * 3000, "9" * 10_000,
     r"\frac" * 1000, r"\sum_{i=1}^{10^9} i", "99999!", "{" * 100, "\x00", "\ud800", "NaN", "inf"],
    ids=lambda text: ascii(text[:8]),
)  # fmt: skip
def test_hostile_answers_are_answers(comparer, hostile):
    """No answer raises or runs away, whatever it holds; it is itself and not 5."""
    assert equal(hostile, hostile, comparer)
    assert not equal(hostile, "5", comparer)


def test_mathematics_in_threads():
    """Symbolic comparison works on threads other than the main one, where time limits by signal cannot."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(equal(r"\sqrt{18}", r"3\sqrt2", "math"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


@given(VALUES)
def test_every_answer_is_itself(value):
    """Equality is reflexive for every value under every comparer that has keys."""
    assert all(equal(value, value, comparer) for comparer in ("auto", "exact", "text", "numeric", "sequence", "set"))


@given(VALUES, VALUES)
def test_order_does_not_matter(a, b):
    """Equality is symmetric."""
    assert equal(a, b) == equal(b, a)


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_numbers_are_exact(a, b):
    """Two numbers written out are equal exactly when they are the same number."""
    assert equal(str(a), str(b)) == (a == b)
    assert equal(str(a), a)


@given(st.integers(-(10**30), 10**30), st.integers(0, 6))
def test_spellings_of_a_number(number, zeros):
    """Thousands, a decimal point with zeros, and powers of ten do not change a number."""
    assert equal(f"{number:,}", number)
    assert equal(f"{number}.{'0' * zeros}", number)
    assert equal(f"{number}e-{zeros}", Fraction(number, 10**zeros))
