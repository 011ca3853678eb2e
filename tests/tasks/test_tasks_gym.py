"""reasoning-gym's data sets as tasks, and answers that try to run as code."""

import pytest

import rtk.tasks
from rtk.errors import TaskError

SAMPLE = ("chain_sum", "countdown", "spell_backward", "number_sorting", "n_queens", "syllogism", "spiral_matrix")


@pytest.mark.parametrize("name", SAMPLE)
def test_gold_answers_are_right(name):
    """A data set loads, and its own scorer gives its gold answers full marks."""
    task = rtk.tasks.load(name, size=3)
    assert len(task.test) == 3
    for example in task.test:
        assert task.metric(example, {"answer": example.answer})
        assert not task.metric(example, {"answer": "certainly not this"})


@pytest.mark.parametrize("name", ["chain_sum", "spell_backward"])
def test_containing_the_gold_answer_is_not_enough(name):
    """Where the scorer pays in part for an answer inside a longer text, the metric pays nothing."""
    example = (task := rtk.tasks.load(name, size=1)).test[0]
    assert not task.metric(example, {"answer": f"maybe {example.answer} or so"})


def test_another_right_answer_is_right():
    """Where a question has several right answers the scorer decides, not equality with the gold."""
    task = rtk.tasks.load("countdown", size=5)
    for example in task.test:
        assert task.metric(example, {"answer": f"({example.answer}) * 1"}) is False  # uses a number it was not given
        assert task.metric(example, {"answer": f"({example.answer})"})


@pytest.mark.parametrize("name", ["graph_color", "rubiks_cube", "rush_hour"])
def test_questions_without_one_gold_answer_load(name):
    """A data set that has a scorer and no gold answer is still a task, and a wrong answer is wrong."""
    task = rtk.tasks.load(name, size=2)
    assert task.test[0].answer is None
    assert task.metric(task.test[0], {"answer": "nonsense"}) is False


def test_levels_follow_the_curriculum():
    """Level 0 is the data set's default and higher levels are harder settings of it."""
    easy, hard = (rtk.tasks.load("chain_sum", size=5, level=level).test for level in (1, 8))
    assert sum(len(example.question) for example in easy) < sum(len(example.question) for example in hard)
    with pytest.raises(TaskError, match="no level 99"):
        rtk.tasks.load("chain_sum", level=99)


@pytest.mark.parametrize("name", ["composite", "knight_swap", "list_functions", "word_ladder"])
def test_data_sets_without_addresses_are_refused(name):
    """A data set whose questions cannot be drawn again is refused with the cause and a mend."""
    with pytest.raises(TaskError, match=name) as caught:
        rtk.tasks.load(name, size=1)
    assert "rtk.tasks.names()" in caught.value.mend


def test_a_level_that_the_data_set_refuses_is_an_error_with_a_mend():
    """Some curricula reach settings that their own data set will not take."""
    with pytest.raises(TaskError, match="caesar_cipher") as caught:
        rtk.tasks.load("caesar_cipher", size=1, level=3)
    assert "level 0" in caught.value.mend


EVALUATING = (
    "binary_matrix",
    "n_queens",
    "spiral_matrix",
    "string_insertion",
    "countdown",
    "puzzle24",
    "simple_integration",
    "intermediate_integration",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVALUATING)
def test_an_answer_is_never_run(name, tmp_path):
    """An answer that is code is wrong and has no effect, though the scorer would evaluate it."""
    task = rtk.tasks.load(name, size=1)
    mark = tmp_path / "ran"
    for code in (f"open({str(mark)!r}, 'w')", f"[open({str(mark)!r}, 'w')]", "oracle_answer", "9**9**9**9", "9!!!!"):
        assert task.metric(task.test[0], {"answer": code}) is False
    assert not mark.exists()
    assert task.metric(task.test[0], {"answer": task.test[0].answer})


def test_a_text_that_its_scorer_takes_for_true_is_wrong():
    """Where the scorer pays for any text or for no number at all, the metric does not."""
    halting = rtk.tasks.load("game_of_life_halting", size=4)
    assert not any(halting.metric(example, {"answer": "junk"}) for example in halting.test)
    assert all(halting.metric(example, {"answer": str(example.answer)}) for example in halting.test)
    numbers = rtk.tasks.load("complex_arithmetic", size=1)
    assert not numbers.metric(numbers.test[0], {"answer": "nan"})
