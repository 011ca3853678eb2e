"""Loading a task: names, levels, splits, addresses, fingerprints."""

import hashlib
import json
import os
import subprocess
import sys
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk.tasks
from rtk.errors import TaskError

OWN = ("arithmetic", "brainstorm", "game24", "hidden_sequence", "support")
DRAWN = OWN[:-1]  # without end; the questions of "support" are fixed
# SHA-256 of ten test, ten dev and forty training questions at seed 3, as they have been since there are tasks.
ITEMS = {
    ("arithmetic", 1): "172160a99fe2338f",
    ("arithmetic", 2): "8b3aef6fc7f4b183",
    ("arithmetic", 3): "777b7cff370407b0",
    ("arithmetic", 4): "eb91a0bd8c0ac316",
    ("hidden_sequence", 1): "ee1f886b9155d647",
    ("hidden_sequence", 2): "c0b2738d4724e58b",
    ("hidden_sequence", 3): "b6e04a4756079d67",
    ("hidden_sequence", 4): "2a161fd7b6c1ce0b",
    ("hidden_sequence", 5): "afb8b148b5b98ca5",
}


def test_names_lists_own_tasks_first():
    """rtk's own tasks come first, then over a hundred of reasoning-gym's, each once and sorted."""
    names = rtk.tasks.names()
    assert tuple(names[: len(OWN)]) == OWN
    assert names[len(OWN) :] == sorted(names[len(OWN) :])
    assert len(names) == len(set(names)) > 100
    assert {"chain_sum", "countdown", "sudoku", "composite"} <= set(names)


@pytest.mark.parametrize("name", DRAWN)
def test_sizes_of_the_splits(name):
    """`size` test questions, half as many for dev but ten at least, and forty for training."""
    task = rtk.tasks.load(name, size=50)
    assert (len(task.train), len(task.dev), len(task.test)) == (40, 25, 50)
    assert len(rtk.tasks.load(name, size=1).dev) == 10


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(OWN), seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)), size=st.integers(1, 40))
def test_splits_never_share_a_question(name, seeds, size):
    """No question of a training split is in a dev or test split, even of another seed."""
    one, other = (rtk.tasks.load(name, size=size, seed=seed) for seed in seeds)
    asked = [{example.question for example in split} for split in (one.train, other.dev, one.test)]
    assert all(a.isdisjoint(b) for a, b in combinations(asked, 2))


@pytest.mark.parametrize("name", OWN)
def test_a_larger_size_keeps_the_items_of_a_smaller(name):
    """Growing a task adds questions at the end and changes none."""
    small, large = rtk.tasks.load(name, size=30), rtk.tasks.load(name, size=60)
    for split in ("train", "dev", "test"):
        few, many = getattr(small, split), getattr(large, split)
        assert [example.toDict() for example in few] == [example.toDict() for example in many[: len(few)]]


@pytest.mark.parametrize(
    ("name", "level", "size"),
    [("hidden_sequence", level, 100) for level in (1, 2, 3, 4, 5, 6)]
    + [("arithmetic", 1, 150), ("game24", 1, 200), ("game24", 2, 200), ("game24", 3, 200), ("brainstorm", 3, 300)],
)
def test_there_are_questions_enough(name, level, size):
    """Every level has enough different questions for a study."""
    task = rtk.tasks.load(name, level=level, size=size)
    assert len({example.question for example in task.test}) == size


def test_too_few_questions_say_how_many_there_are():
    """A size beyond a small space of questions is an error that names what there is."""
    with pytest.raises(TaskError, match="too few different questions") as caught:
        rtk.tasks.load("arithmetic", level=1, size=1000)
    assert "size=" in caught.value.mend


@pytest.mark.parametrize(
    ("arguments", "message", "mend"),
    [
        ({"name": "hiden_sequence"}, "no task is named", "'hidden_sequence'"),
        ({"name": "hidden_sequence", "level": 9}, "no level 9", "1, 2, 3, 4, 5, 6"),
        ({"name": "hidden_sequence", "size": 0}, "asks nothing", "1 or more"),
    ],
)
def test_errors_have_mends(arguments, message, mend):
    """What cannot be loaded is refused in words, with what to type instead."""
    with pytest.raises(TaskError, match=message) as caught:
        rtk.tasks.load(**arguments)
    assert mend in caught.value.mend


def test_an_example_carries_its_address():
    """An example's id is name, level, seed and index, and is no input."""
    example = rtk.tasks.load("hidden_sequence", size=1, seed=7).test[0]
    name, level, seed, index = example.id.split("/")
    assert (name, level, seed) == ("hidden_sequence", "2", "7")
    assert index.isdigit()
    assert list(example.inputs().keys()) == ["question"]


def test_the_seed_draws_other_questions():
    """Two seeds give different tasks, and the same seed the same."""
    a, b, c = (rtk.tasks.load("hidden_sequence", size=5, seed=seed) for seed in (0, 1, 0))
    assert a.fingerprint == c.fingerprint != b.fingerprint


@pytest.mark.parametrize(("name", "level"), ITEMS)
def test_the_questions_of_a_level_never_change(name, level):
    """What a study asked stays what a colleague asks: the items of an address are the same in every version."""
    task, digest = rtk.tasks.load(name, level=level, size=10, seed=3), hashlib.sha256()
    for split in ("train", "dev", "test"):
        for one in getattr(task, split):
            row = [split, one.id, one.inputs().toDict(), one.answer]
            digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True, default=str).encode() + b"\n")
    assert digest.hexdigest()[:16] == ITEMS[name, level]


@pytest.mark.parametrize("name", [*OWN, "chain_sum"])
def test_a_fingerprint_is_the_same_in_another_process(name):
    """Questions do not depend on the process, whatever its hash seed."""
    code = f"import rtk.tasks; print(rtk.tasks.load({name!r}, size=5, seed=3).fingerprint)"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert run.stdout.strip() == rtk.tasks.load(name, size=5, seed=3).fingerprint


def _environment():
    return {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
