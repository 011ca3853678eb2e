"""Hidden sequences whose sentences can be read in several ways: one choice of readings, one sequence."""

import itertools
import re
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk.tasks
from rtk.errors import TaskError
from rtk.experiments import program

PLACES = ("first", "second", "third", "fourth")
TASK = rtk.tasks.load("hidden_sequence", level=6, size=12)
examples = st.builds(lambda split, i: getattr(TASK, split)[i], st.sampled_from(["train", "test"]), st.integers(0, 11))


def formula_value(formula, numbers):
    """A formula of the question, valued by Python's own arithmetic on fractions."""
    text = re.sub("|".join(PLACES), lambda m: str(numbers[PLACES.index(m[0])]), formula).replace("×", "*")
    return eval(re.sub(r"\d+", lambda m: f"Fraction({m[0]})", text), {"Fraction": Fraction})


def parts(question):
    """An independent reading of a question: clear clues as functions, and for each letter its formulas and place."""
    clear, vague = question.split(" Each sentence with a letter can be read in several ways. ")
    low, high = map(int, re.search(r"from (\d+) to (\d+)", clear).groups())
    tests = []
    for sentence in clear.split(". ")[1:]:
        k = int(found[0]) if (found := re.findall(r"\d+", sentence)) else 0
        place = PLACES.index(named[0]) if (named := re.findall("|".join(PLACES), sentence)) else None
        for words, test in (
            ("add up", lambda n, p, k: sum(n) == k),
            ("greater", lambda n, p, k: n[p] > k),
            ("less", lambda n, p, k: n[p] < k),
            ("even", lambda n, p, k: n[p] % 2 == 0),
            ("odd", lambda n, p, k: n[p] % 2 == 1),
            (" is ", lambda n, p, k: n[p] == k),
        ):
            if words in sentence:
                tests.append((test, place, k))
                break
        else:
            raise AssertionError(sentence)
    letters = {}
    for letter, place, ways in re.findall(r"([A-C]): The (\w+) number .*? \(([A-C]1: .*?)\)\.(?= |$)", vague):
        letters[letter] = (PLACES.index(place), [way.split(": ")[1] for way in ways.split("; ")])
    return range(low, high + 1), tests, letters


def blindly(question):
    """For each choice of readings all sequences that fit, found by trying every tuple within bounds."""
    bounds, tests, letters = parts(question)
    tuples = [n for n in itertools.product(bounds, repeat=4) if all(test(n, p, k) for test, p, k in tests)]
    fits = {
        f"{letter}{i}": {n for n in tuples if formula_value(formula, n) == n[place]}
        for letter, (place, ways) in letters.items()
        for i, formula in enumerate(ways, 1)
    }
    choices = itertools.product(*([f"{letter}{i + 1}" for i in range(len(letters[letter][1]))] for letter in letters))
    return {choice: set.intersection(*(fits[label] for label in choice)) for choice in choices}, fits


@pytest.fixture(scope="module")
def searched():
    """The first questions, each with what a blind search finds."""
    return [(example, *blindly(example.question)) for example in TASK.test[:3]]


def test_exactly_one_choice_of_readings_leaves_exactly_one_sequence(searched):
    """Trying all readings and all sequences finds one choice with a single sequence, which is the gold answer."""
    for example, found, _ in searched:
        lone = [numbers for numbers in found.values() if len(numbers) == 1]
        assert [", ".join(map(str, next(iter(numbers)))) for numbers in lone] == [example.answer]


def test_the_checker_prunes_what_a_blind_search_prunes(searched):
    """A reading stands by itself if and only if some sequence fits it, and a whole choice if exactly one does."""
    for example, found, fits in searched:
        for label, numbers in fits.items():
            assert TASK.check(example.inputs(), label).ok is bool(numbers)
        for choice, numbers in found.items():
            assert TASK.check(example.inputs(), "\n".join(choice)).ok is (len(numbers) == 1)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_questions_of_any_seed_are_unique(seed):
    """Whatever the seed, a blind search over readings and sequences finds the gold answer and no other."""
    example = rtk.tasks.load("hidden_sequence", level=6, seed=seed, size=1).test[0]
    lone = [numbers for numbers in blindly(example.question)[0].values() if len(numbers) == 1]
    assert [", ".join(map(str, next(iter(numbers)))) for numbers in lone] == [example.answer]


@settings(deadline=None)
@given(examples)
def test_the_right_readings_and_every_beginning_stand(example):
    """Readings of the solution are accepted one after the other, and so are the gold numbers and their beginnings."""
    readings = [demo.thought for demo in _steps(example)]
    for end in range(1, len(readings) + 1):
        assert TASK.check(example.inputs(), "\n".join(readings[:end])).ok is True
    numbers = example.answer.split(", ")
    for end in range(1, len(numbers) + 1):
        assert TASK.check(example.inputs(), ", ".join(numbers[:end])).ok is True


def _steps(example):
    """The thoughts of a solution, as the family's own solver writes them."""
    one = rtk.tasks.Task(**{**vars(TASK), "train": [example]})
    return [one.partial_demos(1, found=found)[0] for found in range(TASK.depth(example.inputs()))]


@settings(deadline=None)
@given(examples, st.tuples(*[st.integers(1, 20)] * 4))
def test_other_numbers_are_refused(example, numbers):
    """Of whole sequences only the gold one is accepted."""
    text = ", ".join(map(str, numbers))
    assert TASK.check(example.inputs(), text).ok is (text == example.answer)


@pytest.mark.parametrize(
    ("candidate", "ok"),
    [("", None), (None, None), ([], None), ("D1", False), ("A9", False), ("A1, A1", False), ("A", False),
     ("whatever", False), ("1, 2, 3, 4, 5", False), ("0", False)],
)  # fmt: skip
def test_what_the_checker_cannot_take(candidate, ok):
    """Nothing yet is undecided; labels that are not there, repeated ones and other texts are refused in words."""
    verdict = TASK.check(TASK.test[0].inputs(), candidate)
    assert verdict.ok is ok
    assert verdict.reason


def test_labels_are_read_however_they_are_written():
    """Readings stand in lines, between commas or blanks, in any order, with their formulas or without."""
    example = TASK.test[0]
    right = [demo.thought for demo in _steps(example)]
    for text in (", ".join(right), " ".join(reversed(right)), "\n".join(f"{one}: read so" for one in right), right):
        assert TASK.check(example.inputs(), text).ok is True


@pytest.mark.parametrize("question", ["", "What is 7 × 12?", TASK.test[0].question.replace("A1:", "A3:")])
def test_a_question_of_another_kind_is_refused(question):
    """A checker asked about a question that is not its own says so, with a mend."""
    with pytest.raises(TaskError) as caught:
        TASK.check({"question": question}, "A1")
    assert "level=6" in caught.value.mend or "hidden_sequence" in caught.value.mend


def test_random_proposals_are_readings_of_the_next_sentence():
    """A random thought settles the first sentence that is open, and every reading of it comes."""
    example, rng = TASK.test[0], Random(0)
    first = TASK.check(example.inputs(), "A1").ok is not None
    drawn = {TASK.random_proposal(example.inputs(), "", rng) for _ in range(100)}
    assert first
    assert drawn == {f"A{i}" for i in range(1, len(drawn) + 1)}
    assert len(drawn) > 1
    assert {TASK.random_proposal(example.inputs(), "A1", rng)[0] for _ in range(20)} == {"B"}


def test_demonstrations_arrive_at_the_gold():
    """Worked solutions end in the gold numbers, and every equation in them is true."""
    for demo, example in zip(TASK.demos(12), TASK.train, strict=False):
        assert demo.answer == example.answer
        for left, right in re.findall(r"([\d ()+×/-]*\d[\d ()+×/-]*) = (\d+),", demo.reasoning):
            assert formula_value(left, ()) == int(right)


def test_partial_demonstrations_settle_one_reading_each():
    """Each goes on from right readings with the next one, and the last concludes with the numbers."""
    for i, demo in enumerate(TASK.partial_demos(9)):
        said = "\n".join(filter(None, [demo.partial, demo.thought]))
        assert len(said.split("\n")) == i % 3 + 1
        assert TASK.check({"question": demo.question}, said).ok is True
    for demo, example in zip(TASK.concluding_demos(3), TASK.train, strict=False):
        assert TASK.check({"question": demo.question}, demo.thoughts).ok is True
        assert demo.answer == example.answer
        assert set(demo.inputs().keys()) == {"question", "thoughts"}


def test_a_wrong_beginning_has_no_next_reading():
    """A demonstration is asked for right readings only."""
    example = TASK.test[0]
    wrong = next(label for label in ("A1", "A2") if label != _steps(example)[0].thought)
    for partial in (wrong, "A1\nB1\nC1\nD1", "nonsense"):
        with pytest.raises(TaskError):
            TASK._family.explain_next(example.inputs(), partial)


def test_the_usual_tree_has_demonstrations_for_each_of_its_predictors():
    """A tree proposes readings, one predictor for each place, and a last one concludes with the numbers."""
    tree = program("tree of thoughts", TASK, shots=2)
    assert [len(predictor.demos) for _, predictor in tree.named_predictors()] == [2, 2, 2, 2]
    assert tree.separator is None
