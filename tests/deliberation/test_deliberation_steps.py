"""The tree as data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.deliberation import Deliberation, Step
from rtk.errors import RTKError

STATES = st.sampled_from(["open", "kept", "pruned", "dead end", "backtracked", "chosen"])
KINDS = st.sampled_from(["step", "chain", "vote", "thought", "check", "revision", "route", "ask"])
SCORES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


def steps(children):
    return st.builds(
        Step, KINDS, st.text(max_size=40), SCORES, STATES, st.text(max_size=8), st.integers(0, 9999),
        st.none() | st.text(max_size=5), st.text(max_size=9), children,
    )  # fmt: skip


TREES = st.recursive(steps(st.just([])), lambda inner: steps(st.lists(inner, max_size=4)), max_leaves=12)


def tree():
    kept = Step("thought", "a", state="kept", children=[Step("thought", "b", state="pruned")])
    best = Step("thought", "c", state="chosen", children=[Step("thought", "d", state="chosen")])
    return Deliberation(Step("route", "r", state="chosen", children=[kept, best]))


@given(TREES)
def test_round_trip(root):
    """A tree comes back from JSON as it was."""
    told = Deliberation(root)
    assert Deliberation.from_dict(json.loads(json.dumps(told.to_dict()))) == told


def test_what_is_long_deep_or_no_text_comes_back():
    """A text of 100 kB, 200 levels, a lone surrogate and a control character; the same page before and after."""
    odd = Step("chain", "word " * 20_000, -1.5, "chosen", "\ud800\x00\u202e", 3, "a/0/1", "\x1b[31m")
    deep = odd
    for level in range(199):
        deep = Step("step", str(level), level / 7, "chosen", children=[deep, Step("check", state="dead end")])
    told = Deliberation(Step("route", state="chosen", children=[deep, odd]))
    again = Deliberation.from_dict(json.loads(json.dumps(told.to_dict())))
    assert again == told
    assert (again.text(), again.html()) == (told.text(), told.html())
    assert len(again.chosen) == 202


def test_walk_and_chosen():
    """Walking gives parents before children with their depth; the chosen path runs from the root down."""
    told = tree()
    assert [(depth, step.text) for depth, step in told.walk()] == [(0, "r"), (1, "a"), (2, "b"), (1, "c"), (2, "d")]
    assert [step.text for step in told.chosen] == ["r", "c", "d"]


def test_no_score_is_no_number_in_json():
    """A score that JSON cannot hold is left out; a score of 0 is kept."""
    told = Deliberation(Step("vote", score=float("nan"), children=[Step("chain", score=0.0)]))
    assert told.to_dict()["root"] == {
        "kind": "vote", "state": "open", "children": [{"kind": "chain", "state": "open", "score": 0.0}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        None, {}, {"schema": 2, "root": {"kind": "step"}}, {"schema": 1}, {"schema": 1, "root": []},
        {"schema": 1, "root": {"text": "x"}}, {"schema": 1, "root": {"kind": "dance"}},
        {"schema": 1, "root": {"kind": "step", "state": "happy"}},
        {"schema": 1, "root": {"kind": "step", "tokens": "3"}},
        {"schema": 1, "root": {"kind": "step", "tokens": True}},
        {"schema": 1, "root": {"kind": "step", "colour": "red"}},
        {"schema": 1, "root": {"kind": "step", "children": [3]}}, {"schema": 1, "root": {"kind": ["step"]}},
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(data):
    """Data of another shape is an error that says what is wrong and what is right."""
    with pytest.raises(RTKError) as caught:
        Deliberation.from_dict(data)
    assert caught.value.mend


def test_endless_trees_are_refused():
    """A step within itself, and data nested without end, are errors and no endless loop."""
    loop = Step("step", "again")
    loop.children += [loop, loop]
    for use in (Deliberation.to_dict, Deliberation.text, lambda told: list(told.walk())):
        with pytest.raises(RTKError, match="nested"):
            use(Deliberation(loop))
    data = {"kind": "step"}
    for _ in range(500):
        data = {"kind": "step", "children": [data]}
    with pytest.raises(RTKError, match="nested"):
        Deliberation.from_dict({"schema": 1, "root": data})


@pytest.mark.parametrize("arguments", [{"kind": "dance"}, {"kind": "step", "state": "happy"}])
def test_steps_are_of_known_kinds_and_states(arguments):
    """An unknown kind or state is refused where the step is made."""
    with pytest.raises(RTKError, match=r"dance|happy"):
        Step(**arguments)


def test_repr_is_stable():
    """What a notebook or a test prints holds no address and no memory location."""
    told = Deliberation(Step("vote", "42", children=[Step("chain", "x", address="secret/0/1")]))
    assert repr(told) == "<Deliberation: vote, 2 steps, 1 deep>"
    assert repr(told.root) == "Step('vote', '42', state='open', 1 children)"
