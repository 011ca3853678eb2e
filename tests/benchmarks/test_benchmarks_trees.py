"""The benchmarks of trees: the worlds they search are real, everybody gets the same samples, and they run small."""

import json
from fractions import Fraction

import pytest
from running import run

import rtk


@pytest.mark.parametrize(
    ("numbers", "can"), [("4 9 10 13", True), ("1 1 1 1", False), ("3 3 8 8", True), ("24", True), ("1 5 5 5", True)]
)
def test_24_is_made_with_whole_fractions(numbers, can):
    """`8 / (3 - 8 / 3)` is exact; what cannot be made is not."""
    import tree_worlds

    assert tree_worlds.makes_24(tree_worlds.read_numbers(numbers)) is can


def test_a_step_of_24_is_legal_or_refused():
    """The checker knows arithmetic and what is left, and no dead end; a whole solution has to end in 24."""
    import tree_worlds

    world = tree_worlds.Game24(1, 0, whole=True)
    inputs = {"question": "Use 4 9 10 13 to make 24."}
    steps = ["13 - 9 = 4 (left: 4 4 10)", "10 - 4 = 6 (left: 4 6)", "4 * 6 = 24 (left: 24)"]
    assert all(world.check(inputs, "\n".join(steps[:count])).ok for count in (1, 2, 3))
    assert world.check(inputs, "4 + 9 = 13 (left: 10 13 13)").ok
    assert not world.alive(inputs["question"], "4 * 9 = 36 (left: 10 13 36)\n10 + 13 = 23 (left: 23 36)")
    assert not world.check(inputs, "13 - 9 = 5 (left: 4 5 10)")
    assert not world.check(inputs, "\n".join([*steps[:2], "4 + 6 = 10 (left: 10)"]))
    assert tree_worlds.moves((Fraction(0), Fraction(3))).keys() >= {"0 / 3 = 0 (left: 0)"}


def test_the_hidden_worlds_solution_is_the_tasks():
    """A beginning of it is alive, anything else is not; wrong thoughts go against no clue."""
    import tree_worlds

    world = tree_worlds.Hidden(3, 0)
    for example in rtk.tasks.load("hidden_sequence", size=3, seed=0, level=5).test:
        first = example.answer.split(", ")[0]
        good, wrong = world.thoughts(example.question, "")
        assert good == [first]
        assert first not in wrong
        assert world.alive(example.question, first)
        assert not any(world.alive(example.question, one) for one in wrong)
        assert world.right({"question": example.question}, example.answer)


def test_the_simulated_model_is_as_accurate_as_is_said():
    """On the average over many partial solutions; a sample is the same whenever it is asked for."""
    import tree_worlds

    world = tree_worlds.Game24(150, 0, whole=False)
    model = tree_worlds.Model(world, 0.4, 0.7, 0.2)
    right = [world.alive(q, model.thought(q, "", number)) for q in world.questions for number in range(8)]
    assert abs(sum(right) / len(right) - 0.4) < 0.06
    verdicts = [model.verdict(q, "", number) for q in world.questions for number in range(8)]
    assert abs(verdicts.count("sure") / len(verdicts) - 0.7) < 0.04
    assert abs(verdicts.count("likely") / len(verdicts) - 0.2) < 0.04
    assert model.thought(world.questions[0], "", 3) == model.thought(world.questions[0], "", 3)


@pytest.mark.parametrize("breadth", [1, 3])
def test_the_reference_and_ours_get_the_same_samples(breadth):
    """Where nothing is called impossible, nor merged by its state, a beam of rtk's searches the very same tree."""
    import tree_search
    import tree_worlds

    world = tree_worlds.Hidden(4, 0)
    model = tree_worlds.Model(world, 0.5, 0.0, 1.0)
    for question in world.questions:
        answer, calls = tree_worlds.reference(model, question, breadth, 3)
        program = tree_search.program(f"bfs-{breadth}", world, 3)
        ours, cost = tree_search.played(program, model, question)
        assert cost == calls
        assert ours == answer if answer is not None else not tree_search.solved(world, question, ours)


def test_reference_figures_are_mixed_in_proportion():
    """Half way between two breadths, half the way below the first, and the last beyond it."""
    from tree_search import Point, against, mixed

    points = {
        "reference-1": Point([False, True], [10, 10]),
        "reference-2": Point([True, True], [20, 20]),
        "dfs-5-4": Point([True, True], [15, 15]),
    }
    assert mixed(points, 15) == [0.5, 1.0]
    assert mixed(points, 5) == [0.0, 0.5]
    assert mixed(points, 99) == [1.0, 1.0]
    assert against(points, "dfs-5-4")[0] == pytest.approx(0.25)


@pytest.mark.slow
def test_searches_are_compared_end_to_end(tmp_path):
    """A small run has every point of every world, with what each question took."""
    file = tmp_path / "figures.json"
    told = run("tree_search", "--quick", "--json", str(file))
    figures = json.loads(file.read_text())["figures"]
    assert set(figures) == {"24", "24-checked", "hidden"}
    for points in figures.values():
        assert points["chain"]["calls"] == [1] * 4
        assert points["vote-16"]["calls"] == [16] * 4
        assert sum(points["bfs-1"]["calls"]) <= sum(points["reference-1"]["calls"])
    assert "hidden sequences, level 5: particle less published bfs per call" in told


@pytest.mark.slow
def test_wall_clock_is_measured_end_to_end(tmp_path):
    """A small run: every search asked all there was to ask, and those of a group searched the same tree."""
    file = tmp_path / "figures.json"
    told = run("tree_wall_clock", "--quick", "--only", "published", "pipelined", "rtk", "rtk-one", "pipelined-one",
               "--json", str(file))  # fmt: skip
    figures = json.loads(file.read_text())["figures"]
    assert figures["constant published"]["requests"] == figures["constant rtk"]["requests"] == [9]
    assert figures["lognormal rtk-one"]["requests"] == [12]
    assert "✓ rtk.TreeOfThoughts, by a list: requests ≤ 9: 9" in told
