"""Hidden sequences: unique answers, a checker that knows the clues alone, solutions written out."""

import itertools
import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk.tasks
from rtk.errors import TaskError

LEVELS = (1, 2, 3, 4, 5)
PLACES = ("first", "second", "third", "fourth", "fifth")
NAMED = re.compile(r"\b(" + "|".join(PLACES) + r")\b")
LEVEL_TASKS = {level: rtk.tasks.load("hidden_sequence", level=level, size=20) for level in LEVELS}
examples = st.builds(
    lambda level, split, i: (LEVEL_TASKS[level], getattr(LEVEL_TASKS[level], split)[i]),
    st.sampled_from(LEVELS),
    st.sampled_from(["train", "test"]),
    st.integers(0, 19),
)


def true_of(sentence, numbers):
    """An independent reading of a clue, sharing nothing with the library."""
    spoken = [numbers[PLACES.index(word)] for word in NAMED.findall(sentence)]
    k = int(found[0]) if (found := re.findall(r"\d+", sentence)) else None
    for words, meaning in (
        ("add up to", lambda: sum(numbers) == k),
        (" plus the ", lambda: spoken[0] == spoken[1] + spoken[2]),
        (" plus ", lambda: spoken[0] == spoken[1] + k),
        (" minus ", lambda: spoken[0] == spoken[1] - k),
        (" times ", lambda: spoken[0] == spoken[1] * k),
        ("greater than", lambda: spoken[0] > k),
        ("less than", lambda: spoken[0] < k),
        ("even", lambda: not spoken[0] & 1),
        ("odd", lambda: bool(spoken[0] & 1)),
        ("number is", lambda: spoken[0] == k),
    ):
        if words in sentence:
            return meaning()
    raise AssertionError(sentence)


def solve_blindly(question):
    """All solutions, by trying every tuple; numbers that one clue alone rules out are left out beforehand."""
    opening, *clues = question[:-1].split(". ")
    length, low, high = map(int, re.findall(r"\d+", opening))
    alone = [clue for clue in clues if "add up" not in clue and len(set(NAMED.findall(clue))) == 1]
    choices = []
    for place in range(length):
        own = [clue for clue in alone if NAMED.findall(clue) == [PLACES[place]]]
        fits = [n for n in range(low, high + 1) if all(true_of(clue, [n] * length) for clue in own)]
        choices.append(fits)
    rest = [clue for clue in clues if clue not in alone]
    return [numbers for numbers in itertools.product(*choices) if all(true_of(clue, numbers) for clue in rest)]


@pytest.mark.parametrize("level", LEVELS)
def test_every_puzzle_has_exactly_the_gold_solution(level):
    """Trying all sequences within the stated bounds finds the gold one and no other."""
    for example in LEVEL_TASKS[level].test[:3]:
        assert [", ".join(map(str, numbers)) for numbers in solve_blindly(example.question)] == [example.answer]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**9), level=st.sampled_from([1, 2, 3]))
def test_puzzles_of_any_seed_are_unique(seed, level):
    """Whatever the seed, a blind search finds the gold sequence and no other."""
    example = rtk.tasks.load("hidden_sequence", level=level, seed=seed, size=1).test[0]
    assert [", ".join(map(str, numbers)) for numbers in solve_blindly(example.question)] == [example.answer]


@given(examples)
def test_the_checker_accepts_the_gold_and_every_prefix(case):
    """A right sequence and every beginning of it stand."""
    task, example = case
    numbers = example.answer.split(", ")
    for end in range(1, len(numbers) + 1):
        assert task.check(example.inputs(), ", ".join(numbers[:end])).ok is True


@given(examples, st.integers(0, 4), st.integers(1, 20))
def test_the_checker_rejects_another_whole_sequence(case, place, number):
    """A whole sequence other than the gold is rejected, and the reason quotes a clue of the question."""
    task, example = case
    numbers = example.answer.split(", ")
    wrong = [*numbers]
    wrong[place % len(numbers)] = str(number)
    verdict = task.check(example.inputs(), ", ".join(wrong))
    if wrong == numbers:
        assert verdict.ok is True
    else:
        assert verdict.ok is False
        assert verdict.reason.split("against: ")[1] in example.question


def test_the_checker_does_not_look_ahead():
    """A beginning that violates nothing yet stands, though it has no completion."""
    question = (
        "Find the 2 hidden numbers, each from 1 to 20. The second number is 5. The first number is the second times 3."
    )
    check = LEVEL_TASKS[1].check
    assert check({"question": question}, "2").ok is True
    assert check({"question": question}, "2, 5").ok is False
    assert check({"question": question}, "15, 5").ok is True


@pytest.mark.parametrize(
    ("candidate", "ok"),
    [
        ("4, 7", True),
        ("4 7", True),
        ("[4, 7]", True),
        ("(4,7).", True),
        ([4, 7], True),
        ((4, "7"), True),
        (4, True),
        ("4", True),
        ("", None),
        ([], None),
        ("4, 8", False),
        ("4, 7, 14", False),
        ("0", False),
        ("-4", False),
        ("4, 99999999999999", False),
        ("4.0, 7", False),
        ("four, seven", False),
        ("The numbers are 4, 7.", False),
        (None, False),
        (True, False),
        ({"a": 1}, False),
    ],
)
def test_what_the_checker_reads(candidate, ok):
    """Lists of whole numbers are read in any usual spelling; anything else is rejected with a reason."""
    clues = "The first number is 4. The second number is the first plus 3."
    question = f"Find the 2 hidden numbers, each from 1 to 20. {clues}"
    verdict = LEVEL_TASKS[1].check({"question": question}, candidate)
    assert verdict.ok is ok
    assert verdict.reason


@pytest.mark.parametrize(
    "question",
    [
        "",
        "What is 7 × 12?",
        "Find the 2 hidden numbers, each from 1 to 20. The third number is 4.",
        "Find the 2 hidden numbers, each from 1 to 20. The first number is prime.",
        "Find the 99 hidden numbers, each from 1 to 20.",
    ],
)
def test_a_question_of_another_kind_is_refused(question):
    """A checker asked about a question that is not its own says so, with a mend."""
    with pytest.raises(TaskError) as caught:
        LEVEL_TASKS[1].check({"question": question}, "4, 7")
    assert caught.value.mend


def test_white_space_in_a_question_does_not_matter():
    """A question broken over lines is the same question."""
    example = LEVEL_TASKS[2].test[0]
    assert LEVEL_TASKS[2].check({"question": example.question.replace(" ", "\n ")}, example.answer).ok is True


@pytest.mark.parametrize("level", LEVELS)
def test_depth_is_the_number_of_numbers(level):
    """As many thoughts complete a solution as there are numbers to find."""
    task = LEVEL_TASKS[level]
    for example in task.test:
        assert task.depth(example.inputs()) == len(example.answer.split(", "))


def test_random_proposals_are_uniform_over_the_bounds():
    """Over many draws every number within the bounds comes equally often, and nothing else comes."""
    task, rng = LEVEL_TASKS[2], Random(0)
    counts = Counter(task.random_proposal(task.test[0].inputs(), "4", rng) for _ in range(20_000))
    assert set(counts) == {str(n) for n in range(1, 21)}
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi_square < 43.8  # the 0.1 % point with 19 degrees of freedom; the seed is fixed


@pytest.mark.parametrize("level", LEVELS)
def test_demonstrations_arrive_at_the_gold(level):
    """Worked solutions, written from the question alone, end in the gold answer."""
    task = LEVEL_TASKS[level]
    for demo, example in zip(task.demos(20), task.train, strict=False):
        assert demo.question == example.question
        assert demo.answer == example.answer
        said = set(re.findall(r"[0-9]+", demo.reasoning))
        assert said >= set(example.answer.split(", "))


@pytest.mark.parametrize("level", LEVELS)
def test_every_equation_in_a_demonstration_is_true(level):
    """The arithmetic in worked solutions is right."""
    for demo in LEVEL_TASKS[level].demos(20):
        for left, op, right, result in re.findall(r"(?<![\d-] )\b(\d+) ([-+×/]) (\d+) = (\d+)", demo.reasoning):
            a, b = int(left), int(right)
            assert {"+": a + b, "-": a - b, "×": a * b, "/": a / b}[op] == int(result)


@pytest.mark.parametrize("level", LEVELS)
def test_partial_demonstrations_give_the_next_number(level):
    """Each shows a right beginning and the number after it, at positions that go round."""
    task = LEVEL_TASKS[level]
    for i, (demo, example) in enumerate(zip(task.partial_demos(12), task.train, strict=False)):
        numbers = example.answer.split(", ")
        at = i % len(numbers)
        assert demo.partial == ", ".join(numbers[:at])
        assert demo.thought == numbers[at]
        assert demo.reasoning


def test_partial_demonstrations_take_field_names():
    """The names of the two fields are the caller's."""
    demo = LEVEL_TASKS[2].partial_demos(1, partial="so_far", thought="next_number")[0]
    assert (demo.so_far, demo.next_number) == ("", LEVEL_TASKS[2].train[0].answer.split(", ")[0])
    assert set(demo.inputs().keys()) == {"question", "so_far"}


def test_partial_demonstrations_may_stay_at_one_position():
    """With `found` all of them have as many numbers already, and one that no solution has is refused."""
    task = LEVEL_TASKS[2]
    for demo, example in zip(task.partial_demos(5, found=2), task.train, strict=False):
        assert f"{demo.partial}, {demo.thought}" == example.answer
    with pytest.raises(TaskError):
        task.partial_demos(1, found=3)
