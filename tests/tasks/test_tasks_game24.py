"""The game of 24: solvable, scored exactly, never run; held against an independent search."""

import itertools
import operator
import re
from fractions import Fraction
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk.tasks
from rtk.errors import TaskError

LEVELS = (1, 2, 3)
TASKS = {level: rtk.tasks.load("game24", level=level, size=40) for level in LEVELS}
EASY = {"question": "Use each of the numbers 3, 4, 6 and 8 exactly once, with + - * / and brackets, to make 24."}
FAMOUS = {"question": "Use each of the numbers 3, 3, 8 and 8 exactly once, with + - * / and brackets, to make 24."}
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
examples = st.builds(
    lambda level, split, i: (TASKS[level], getattr(TASKS[level], split)[i]),
    st.sampled_from(LEVELS),
    st.sampled_from(["train", "test"]),
    st.integers(0, 39),
)


@cache
def reaches(numbers):
    """An independent search: any two of the numbers become one, in all ways, until one is left."""
    if len(numbers) == 1:
        return numbers[0] == 24
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        for operation in OPERATIONS.values():
            if operation is operator.truediv and numbers[j] == 0:
                continue
            if reaches(tuple(sorted([*rest, operation(numbers[i], numbers[j])]))):
                return True
    return False


def given_numbers(question):
    return [Fraction(number) for number in re.findall(r"\d+", question)[:4]]


def test_every_question_can_be_solved():
    """An independent search reaches 24 from the numbers of every question."""
    for task in TASKS.values():
        for example in [*task.train, *task.dev, *task.test]:
            assert reaches(tuple(sorted(given_numbers(example.question))))


def test_all_solvable_quadruples_are_asked():
    """The levels together hold each of the 1,362 solvable quadruples of 1 to 13 once, which the search confirms."""
    from rtk.tasks.game24 import _of_level

    asked = [numbers for level in LEVELS for numbers in _of_level(level)]
    every = itertools.combinations_with_replacement(range(1, 14), 4)
    assert len(asked) == len(set(asked)) == 1362
    assert set(asked) == {numbers for numbers in every if reaches(tuple(map(Fraction, numbers)))}


def test_harder_levels_have_fewer_ways():
    """Every question of a level has fewer ways to be solved than any of an easier one."""
    from rtk.tasks.game24 import ways

    counts = [
        {ways(tuple(sorted(map(int, given_numbers(one.question))))) for one in TASKS[level].test} for level in LEVELS
    ]
    assert min(counts[0]) > max(counts[1])
    assert min(counts[1]) > max(counts[2])
    assert min(counts[2]) >= 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(8 - 6) * 3 * 4", True),
        ("(8 - 6) × 3 × 4 = 24", True),
        ("24 = (8-6)*3*4", True),
        (r"$(8 - 6) \times 3 \cdot 4$", True),
        ("((8 − 6) · 3) * 4.", True),
        ("8 - 6 = 2 (left: 2 3 4)\n2 * 3 = 6 (left: 4 6)\n4 * 6 = 24 (left: 24)", True),
        ("8 - 6 = 2\n2 * 3 = 6\n6 * 4 = 24", True),
        ("1. 8 - 6 = 2\n2. 2 * 3 = 6\n3. 6 * 4 = 24", True),
        ("8 - 6 = 2\n2 * 3 = 6", False),
        ("8 - 6 = 2\n2 * 3 = 7\n7 * 4 = 24", False),
        ("8 - 6 = 2 (left: 2 3 5)\n2 * 3 = 6\n6 * 4 = 24", False),
        ("8 * 3", False),
        ("(8 - 6) * 3 * 4 * 1", False),
        ("8 + 6 + 4 + 3", False),
        ("(8 - 6) * 3 * 4 = 25", False),
        ("24", False),
        ("4 * 6", False),
        ("4 / (8 - 8) + 3 * 6", False),
        ("84 - 63", False),
        ("(8 - 6) ** 3 * 4", False),
        ("__import__('os').system('true')", False),
        ("(" * 500 + "8", False),
        ("9**9**9**9", False),
        ("", False),
        (None, False),
        ([3, 4], False),
    ],
)
def test_which_answers_are_right(answer, right):
    """Formulas and steps in any usual spelling that use each number once and make 24, and nothing else."""
    example = rtk.tasks.load("game24", size=1).test[0].copy(**EASY).with_inputs("question")
    assert TASKS[1].metric(example, {"answer": answer}) is right


def test_thirds_are_exact():
    """8 / (3 - 8 / 3) is 24 exactly, as a formula and in steps."""
    example = TASKS[1].test[0].copy(**FAMOUS).with_inputs("question")
    assert TASKS[1].metric(example, {"answer": "8 / (3 - 8 / 3)"}) is True
    steps = "8 / 3 = 8/3 (left: 8/3 3 8)\n3 - 8/3 = 1/3 (left: 1/3 8)\n8 / 1/3 = 24 (left: 24)"
    assert TASKS[1].metric(example, {"answer": steps}) is True
    assert TASKS[1].check(FAMOUS, "8 / 3 = 2.6667").ok is False


@st.composite
def formulas(draw, numbers):
    """A random formula of some numbers, with its value by Python's own arithmetic; None where it divides by zero."""
    if len(numbers) == 1:
        return str(numbers[0]), Fraction(numbers[0])
    cut = draw(st.integers(1, len(numbers) - 1))
    (left, a), (right, b) = draw(formulas(numbers[:cut])), draw(formulas(numbers[cut:]))
    sign = draw(st.sampled_from(sorted(OPERATIONS)))
    broken = a is None or b is None or (sign == "/" and b == 0)
    return f"({left} {sign} {right})", None if broken else OPERATIONS[sign](a, b)


@settings(max_examples=300)
@given(st.data())
def test_a_formula_is_right_if_and_only_if_it_makes_24(data):
    """Random formulas of the four numbers are scored as Python's fractions value them."""
    numbers = data.draw(st.permutations([1, 2, 3, 4]))
    text, made = data.draw(formulas(numbers))
    question = {"question": EASY["question"].replace("3, 4, 6 and 8", "1, 2, 3 and 4")}
    assert TASKS[1].check(question, text).ok is (made == 24)


@settings(max_examples=100, deadline=None)
@given(examples, st.integers(0, 10**6), st.integers(1, 3))
def test_the_checker_prunes_exactly_what_cannot_reach_24(case, seed, count):
    """After random steps the checker says what an independent search says, of the steps and of the numbers left."""
    task, example = case
    rng, lines = Random(seed), []
    for _ in range(count):
        lines.append(task.random_proposal(example.inputs(), "\n".join(lines), rng))
    left = [Fraction(number) for number in re.search(r"left: (.*)\)", lines[-1])[1].split()]
    can = reaches(tuple(sorted(left)))
    assert task.check(example.inputs(), "\n".join(lines)).ok is can
    assert task.check(example.inputs(), " ".join(map(str, left))).ok is can
    assert task.metric(example, {"answer": "\n".join(lines)}) is (can and count == 3)


@pytest.mark.parametrize(
    ("candidate", "ok"),
    [
        ("", None),
        ([], None),
        ("6 12 3", True),  # 4 + 8
        ([2, 3, 4], True),
        ("left: 2, 3, 4", True),
        ("24", True),
        ("3 4 6 8", True),
        ("5 5 5", False),
        ("4 + 8 = 12 (left: 6 12 3)", True),
        ("4 + 8 = 12", True),
        ("4 + 8 = 13", False),
        ("4 + 9 = 13", False),
        ("4 + 8 = 12 (left: 6 12)", False),
        ("4 / 0 = 4", False),
        ("no idea", False),
        (3.5, False),
    ],
)
def test_what_the_checker_reads(candidate, ok):
    """Numbers left and steps in any usual spelling; whatever else is refused with a reason."""
    verdict = TASKS[1].check(EASY, candidate)
    assert verdict.ok is ok
    assert verdict.reason


def test_random_steps_are_uniform_over_what_can_be_done():
    """From two different numbers six steps can be taken, and each comes equally often."""
    partial = "8 - 6 = 2 (left: 2 3 4)\n2 * 3 = 6 (left: 4 6)"
    rng = Random(0)
    drawn = [TASKS[1].random_proposal(EASY, partial, rng) for _ in range(6000)]
    counts = {step: drawn.count(step) for step in set(drawn)}
    assert len(counts) == 6
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5  # the 0.1 % point, 5 degrees of freedom


@pytest.mark.parametrize("level", LEVELS)
def test_demonstrations_are_right(level):
    """Worked solutions and steps written by the solver are right, whole and in part."""
    task = TASKS[level]
    for demo, example in zip(task.demos(20), task.train, strict=False):
        assert task.metric(example, {"answer": demo.answer}) is True
        assert task.metric(example, {"answer": example.answer}) is True
        for left, sign, right, made in re.findall(r"(\S+) ([-+*/]) (\S+) = (\S+?)\.", demo.reasoning):
            assert OPERATIONS[sign](Fraction(left), Fraction(right)) == Fraction(made)
    for demo, example in zip(task.partial_demos(12), task.train, strict=False):
        steps = "\n".join(filter(None, [demo.partial, demo.thought]))
        assert task.check(example.inputs(), steps).ok is True
    assert task.depth(task.test[0].inputs()) == 3


def test_wrong_steps_have_no_next_one():
    """A demonstration is asked for right steps that lead somewhere."""
    for partial in ("4 + 8 = 13", "8 - 6 = 2\n2 * 3 = 6\n6 * 4 = 24", "nonsense"):
        with pytest.raises(TaskError):
            TASKS[1]._family.explain_next(EASY, partial)


def test_a_question_of_another_kind_is_refused():
    """A checker asked about a question that is not its own says so, with a mend."""
    with pytest.raises(TaskError) as caught:
        TASKS[1].check({"question": "What is 7 × 12?"}, "24")
    assert "game24" in caught.value.mend


def test_the_same_formula_counts_once_in_a_vote():
    """Spelling, needless brackets and the order of a sum do not make another answer."""
    same = TASKS[1].comparer
    assert same("(8 - 6) * 3 * 4", "3*(8−6)×4 = 24")
    assert not same("(8 - 6) * 3 * 4", "(8 - 6) * (3 + 4)")
    assert same("no idea", "No  idea.")
