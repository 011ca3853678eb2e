"""What a tree of thoughts does where little is left: few steps, or only thoughts that were valued impossible."""

import pytest
from scripted import asks, field_of, serving, tree

import rtk


def digits(**kwargs):
    """A tree over digits written one after the other."""
    kwargs = {"breadth": 2, "branching": 2, "depth": 2, "values": 1, "separator": "", **kwargs}
    return rtk.TreeOfThoughts("question -> answer", **kwargs)


def thinking(thoughts, impossible="", likely=""):
    """A script: what follows from a partial solution, choice by choice; how it is valued by its last digit."""

    def verdict(received):
        last = field_of(received, "partial")[-1]
        return "impossible" if last in impossible else "likely" if last in likely else "sure"

    return tree(thought=lambda received: thoughts[field_of(received, "partial")][received.choice], verdict=verdict)


def asked(server):
    """The partial solutions that were gone on from, in that order."""
    return [field_of(received, "partial") for received in server.requests if asks(received, "thought")]


def searched(script, **settings):
    """The prediction of a tree over a script, and what it had gone on from."""
    with serving(script) as server:
        return digits(**settings)(question="?"), asked(server)


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first"])
def test_what_was_valued_impossible_is_gone_on_from_where_nothing_else_is_left(search):
    """A value is no proof: everything was called impossible at first, and there is a whole solution."""
    script = thinking({"": "67", "6": "12", "7": "12"}, impossible="67")
    found, tried = searched(script, search=search)
    assert found.answer == "61"
    assert tried == (["", "6"] if search == "dfs" else ["", "6", "7"])


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first"])
def test_a_threshold_makes_impossible_final(search):
    """Then nothing stands, and nothing is answered."""
    found, tried = searched(thinking({"": "67"}, impossible="67"), search=search, threshold=0.1)
    assert (found.answer, tried) == (None, [""])


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first"])
def test_what_was_valued_impossible_waits_while_anything_else_stands(search):
    """The second thought goes on and the first one does not, which stays pruned."""
    found, tried = searched(thinking({"": "61", "1": "26"}, impossible="6"), search=search)
    assert (found.answer, tried) == ("12", ["", "1"])
    pruned = [step.text for _, step in found.deliberation.walk() if step.state == "pruned"]
    assert pruned == ["6", "6"]


def test_what_a_checker_refused_is_never_gone_on_from():
    """A checker's refusal is final."""
    script = thinking({"": "61", "6": "12", "1": "22"}, impossible="61")
    found, tried = searched(script, check=lambda inputs, partial: partial[0] != "6")
    assert (found.answer, tried) == ("12", ["", "1"])


def test_particles_may_go_on_from_what_was_valued_impossible():
    """Its odds are small; where all have the same, all go on."""
    found, tried = searched(thinking({"": "67", "6": "12", "7": "12"}, impossible="67"), search="particle")
    assert tried == ["", "6", "7"]
    assert found.answer == "61"


@pytest.mark.parametrize("search", ["dfs", "best_first"])
def test_the_last_steps_go_where_a_solution_can_still_become_whole(search):
    """With two steps left only what is on the second level can become whole: the impossible one there goes on, and
    not the better one on the first."""
    script = thinking({"": "12", "1": "66", "16": "66", "166": "34", "2": "11"}, impossible="6")
    found, tried = searched(script, search=search, breadth=2 if search == "dfs" else 1, depth=4, steps=4)
    assert tried == ["", "1", "16", "166"]
    assert found.answer == "1663"


@pytest.mark.parametrize("search", ["bfs", "best_first"])
def test_steps_are_shared_out_among_the_levels(search):
    """Five steps for three levels at a breadth of three: one, two and two, rather than one, three and one."""
    script = thinking({"": "123", **dict.fromkeys("123", "123"), **{a + b: "123" for a in "123" for b in "123"}})
    _, tried = searched(script, search=search, breadth=3, branching=3, depth=3, steps=5)
    assert [len(partial) for partial in tried] == [0, 1, 1, 2, 2]
