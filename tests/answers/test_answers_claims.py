"""Arithmetic claims found and evaluated."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.answers import check_arithmetic


@pytest.mark.parametrize(
    ("text", "oks"),
    [
        ("3 + 4 = 7", [True]),
        ("12 × 3 = 36.", [True]),
        ("2*(3+4)=14", [True]),
        ("so 3+4=8, then 8*2 = 16", [False, True]),
        ("- 3 + 4 = 7", [True]),
        ("1. 3 + 4 = 7", [True]),
        ("Price: -3 + 4 = 1", [True]),
        ("10 / 3 = 3.33", [True]),
        ("10 / 3 = 3.3 and 10/3 = 3", [True, False]),
        ("3 + 4 = 7 + 2 = 9", [True, True]),
        ("$3 + $4 = $7", [True]),
        (r"$3 \times 4 = 12$", [True]),
        ("**3 + 4 = 7**", [True]),
        ("We have 3, 3 + 4 = 7", [True]),
        ("1,000 + 234 = 1,234", [True]),
        ("3 − 5 = −2", [True]),
        ("6 x 7 = 41 apples", [False]),
        ("12 - 4*2 = 4 (since 4*2 = 8)", [True, True]),
        ("48/2 = 24\n- 24 + 48 = 72", [True, True]),
    ],
)
def test_claims(text, oks):
    """Claims are found where they begin and end, and judged exactly, rounding of decimals aside."""
    assert [claim.ok for claim in check_arithmetic(text)] == oks


@pytest.mark.parametrize(
    "text",
    ["2x + 3 = 7", "2x = 6", "y + 3 = 7", "x - 3 = 4", "3 + 4 = 7x", "2**3 = 8", "2^3 + 1 = 9", "5% of 20 = 1",
     "3 + 4 == 7", "1/0 = 5", "f(3) + 1 = 10", "n(n+1)/2 = 5(6)/2 = 15", "10/3 = 3 remainder 1", "3 + 4=7%",
     "3 apples + 4 apples = 7 apples", "= 3", "3 + 4 =", "3 + 4 = ___", "3:4 = 6:8", "a*3 = 9"],
)  # fmt: skip
def test_what_cannot_be_read_is_no_claim(text):
    """Variables, powers, units and remainders are left alone, so that no right step is called wrong."""
    assert check_arithmetic(text) == []


def test_a_claim_says_what_is_right():
    """A claim holds its text, its exact value and a sentence for the reader."""
    (claim,) = check_arithmetic("so 3 × 14 = 41 apples")
    assert (claim.text, claim.ok, claim.value) == ("3 × 14 = 41", False, Fraction(42))
    assert claim.reason == "3 × 14 is 42"


@given(st.integers(0, 9999), st.integers(0, 9999), st.sampled_from("+-*"), st.integers(-3, 3))
def test_claims_of_every_size(a, b, operator, off):
    """A claim holds exactly when it is true."""
    value = {"+": a + b, "-": a - b, "*": a * b}[operator]
    (claim,) = check_arithmetic(f"Then {a} {operator} {b} = {value + off}, as said.")
    assert (claim.ok, claim.value) == (off == 0, value)


@given(st.text(alphabet="0123456789.,()+-*/=x ab\n$", max_size=80))
def test_any_text_can_be_checked(text):
    """No text raises."""
    check_arithmetic(text)
