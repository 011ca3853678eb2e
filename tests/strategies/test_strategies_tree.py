"""Tree of thoughts: propose, check, value, search, answer; and the tree that shows it."""

import dspy
import pytest
from scripted import asks, chain, chat, field_of, serving, tree

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError


def states(prediction):
    """The thoughts of a deliberation, in order: text and state."""
    return [(step.text, step.state) for _, step in prediction.deliberation.walk() if step.kind == "thought"]


def by_choice(options):
    """Thoughts by what is found so far and which choice is asked for; what is not listed goes on with `x`."""
    return lambda received: options.get(field_of(received, "partial"), "xxxx")[received.choice]


def digits(**kwargs):
    """A tree over digits written one after the other."""
    kwargs = {"breadth": 2, "branching": 2, "depth": 2, "values": 0, "separator": "", **kwargs}
    return rtk.TreeOfThoughts("question -> answer", **kwargs)


# --- beam search ---


@pytest.mark.parametrize(
    ("settings", "requests"),
    [
        ({"breadth": 1, "depth": 1}, [("thought", 2), ("verdict", 1), ("verdict", 1), ("thoughts", 1)]),
        ({"breadth": 1, "depth": 1, "values": 3}, [("thought", 2), ("verdict", 3), ("verdict", 3), ("thoughts", 1)]),
        ({"breadth": 1, "depth": 1, "values": 0}, [("thought", 2), ("thoughts", 1)]),
        ({"breadth": 2, "depth": 2, "values": 0}, [("thought", 2)] * 3 + [("thoughts", 1)]),
        ({"breadth": 1, "depth": 3, "values": 0, "branching": 4}, [("thought", 4)] * 3 + [("thoughts", 1)]),
    ],
)
def test_settings_say_what_is_asked(settings, requests):
    """Breadth partial solutions go on, branching proposals of each, values judgements of each thought, depth levels."""
    with serving(tree(thought=lambda received: f"t{received.choice}", answer="yes")) as server:
        found = rtk.TreeOfThoughts("question -> answer", **{"branching": 2, **settings})(question="?")
        asked = [(next(f for f in ("thoughts", "verdict", "thought") if asks(r, f)), r.n) for r in server.requests]
    assert sorted(asked) == sorted(requests)
    assert found.answer == "yes"


def test_the_best_valued_thoughts_go_on():
    """Sure before likely before impossible, which is pruned; the mean of several judgements counts."""
    mixed = ["sure", "sure", "likely", "sure"]
    verdicts = {"a": ["likely"] * 4, "b": mixed, "c": ["impossible"] * 4, "d": ["likely"] * 4}
    script = tree(
        thought=by_choice({"": "abcd"}),
        verdict=lambda received: verdicts[field_of(received, "partial")][received.choice],
        answer=lambda received: field_of(received, "thoughts"),
    )
    with serving(script):
        found = rtk.TreeOfThoughts("question -> answer", 2, 4, 1, values=4)(question="?")
    assert found.answer == "b"
    assert states(found) == [("a", "kept"), ("b", "chosen"), ("b", "chosen"), ("c", "pruned"), ("d", "open")]
    scores = {step.text: step.score for _, step in found.deliberation.walk() if step.score is not None}
    assert scores == {"a": 0.5, "b": 0.875, "c": 0.0, "d": 0.5}


def test_a_judgement_that_cannot_be_read_does_not_count():
    """A malformed verdict is an abstention; without any the thought is a maybe."""
    script = tree(thought=by_choice({"": "ab"}), verdict=lambda _: "perhaps", answer="yes")
    with serving(script):
        found = rtk.TreeOfThoughts("question -> answer", 1, 2, 1)(question="?")
    assert [step.score for _, step in found.deliberation.walk() if step.score is not None] == [0.5, 0.5]
    assert found.abstentions == {"malformed": 2}


def test_thoughts_that_say_the_same_are_merged_and_their_number_breaks_ties():
    """Two of three say `b` in one way or another: it is judged once, and goes first."""
    thoughts = {"": ["a", "B", " b "]}
    with serving(tree(thought=by_choice(thoughts), answer=lambda received: field_of(received, "thoughts"))) as server:
        found = rtk.TreeOfThoughts("question -> answer", 1, 3, 1, values=0)(question="?")
        assert server.count == 2
    assert found.answer == "B"
    assert [step.reason for _, step in found.deliberation.walk() if step.state == "pruned"] == [
        "the same as one before"
    ]


def test_what_is_proposed_sees_the_inputs_and_the_solution_so_far():
    """So do judgements; the answer sees the thoughts, one on each line."""
    with serving(tree(thought=by_choice({"": "a", "a": "b"}), answer="yes")) as server:
        rtk.TreeOfThoughts("question, clue -> answer", 1, 1, 2)(question="why?", clue="because")
        seen = [(field_of(r, "clue"), field_of(r, "partial") or field_of(r, "thoughts")) for r in server.requests]
    assert seen == [("because", text) for text in ("", "a", "a", "a\nb", "a\nb")]


def test_depth_may_follow_from_the_inputs():
    """A function of the inputs says how many thoughts a whole solution has."""
    program = digits(depth=lambda inputs: len(inputs["question"]), breadth=1, branching=1)
    with serving(tree(thought="1")):
        assert program(question="??").answer == "11"
        assert program(question="????").answer == "1111"


def test_a_separator_makes_the_thoughts_the_answer():
    """Nothing more is asked: the last partial solution is the answer."""
    thoughts = by_choice({"": "1", "1": "2", "1, 2": "3"})
    with serving(tree(thought=thoughts)) as server:
        found = digits(breadth=1, branching=1, depth=3, separator=", ")(question="?")
        assert server.count == 3
    assert found.answer == "1, 2, 3"
    assert [step.text for step in found.deliberation.chosen] == ["", "1", "2", "3"]


# --- the checker ---


def rising(inputs, partial):
    """A checker: digits must rise."""
    good = list(partial) == sorted(partial)
    return Check(good, "" if good else f"{partial} falls")


@pytest.mark.parametrize("search", ["bfs", "dfs"])
def test_a_checker_prunes_before_anything_is_judged(search):
    """What it refuses goes no further, is never judged, and has its reason."""
    script = tree(thought=by_choice({"": "52", "5": "41", "2": "13"}))
    with serving(script) as server:
        found = digits(check=rising, values=1, search=search)(question="?")
        judged = {field_of(r, "partial") for r in server.requests if asks(r, "verdict")}
    assert found.answer == "23"
    assert judged == {"5", "2", "23"}
    pruned = [step.reason for _, step in found.deliberation.walk() if step.state == "pruned"]
    assert pruned == ["54 falls", "51 falls", "21 falls"]


def test_where_a_checker_refuses_everything_there_is_no_answer():
    """A search that came to nothing asks for no answer."""
    with serving(tree(thought="1", answer="?")) as server:
        found = rtk.TreeOfThoughts("question -> answer", check=lambda inputs, partial: Check(False))(question="?")
        assert server.count == 1
    assert (found.answer, found.deliberation.chosen) == (None, ())
    assert found.deliberation.root.state == "dead end"


def test_a_checker_sees_the_inputs_and_the_candidate_and_never_the_gold_answer():
    """It is called with what the program was called with, also by `dspy.Evaluate`."""
    seen = []

    def check(inputs, partial):
        seen.append((dict(inputs), partial))
        return Check(True)

    example = dspy.Example(question="?", answer="gold").with_inputs("question")
    evaluate = dspy.Evaluate(devset=[example], metric=lambda example, pred, trace=None: True, num_threads=1)
    with serving(tree(thought="1")):
        evaluate(digits(check=check, breadth=1, branching=1))
        digits(check=check, breadth=1, branching=1)(question="?", budget=rtk.Budget(calls=9))
    assert seen == [({"question": "?"}, "1"), ({"question": "?"}, "11")] * 2


@pytest.mark.parametrize("verdict", [True, None, Check(True), Check(None)])
def test_a_checker_may_say_no_more_than_yes_or_nothing(verdict):
    """A plain truth value is a verdict, and what it cannot tell may stand."""
    with serving(tree(thought="1")):
        assert digits(check=lambda inputs, partial: verdict)(question="?").answer == "11"


@pytest.mark.parametrize("wrong", [lambda inputs, partial: 1 / 0, lambda inputs, partial: "fine", lambda inputs: True])
def test_a_checker_that_fails_is_a_clear_error(wrong):
    """It names the checker, and what a checker is."""
    with serving(tree(thought="1")), pytest.raises(StrategyError, match="the checker") as caught:
        digits(check=wrong)(question="?")
    assert "Check" in caught.value.mend


def test_a_checker_that_fails_is_no_abstention_of_a_vote():
    """Nor is it hidden where trees vote."""
    with serving(tree(thought="1")), pytest.raises(StrategyError, match="ZeroDivisionError"):
        rtk.SelfConsistency(digits(check=lambda inputs, partial: 1 / 0), samples=3)(question="?")


# --- depth first ---


def test_depth_first_backtracks_from_dead_ends():
    """The first branch ends, the search goes back, and the tree shows where it had been."""
    script = tree(thought=by_choice({"": "52", "5": "41", "2": "13", "23": "14"}))
    with serving(script) as server:
        found = digits(check=rising, search="dfs", depth=3)(question="?")
        tried = [field_of(r, "partial") for r in server.requests]
    assert found.answer == "234"
    assert tried == ["", "5", "2", "23"]
    assert states(found) == [
        ("5", "backtracked"), ("4", "pruned"), ("1", "pruned"),
        ("2", "chosen"), ("1", "pruned"), ("3", "chosen"), ("1", "pruned"), ("4", "chosen"),
    ]  # fmt: skip


def test_depth_first_marks_a_branch_whose_children_all_failed():
    """A thought is left behind when the last of its children is."""
    script = tree(thought=by_choice({"": "13", "1": "22", "12": "11", "3": "45", "34": "67"}))
    with serving(script):
        found = digits(check=rising, search="dfs", depth=3)(question="?")
    assert found.answer == "346"
    assert states(found)[:3] == [("1", "backtracked"), ("2", "backtracked"), ("1", "pruned")]


def test_depth_first_stops_at_the_first_whole_solution():
    """Nothing is asked after it; siblings that were not tried stay open."""
    with serving(tree(thought=by_choice({"": "12", "1": "34"}))) as server:
        found = digits(search="dfs")(question="?")
        assert server.count == 2
    assert found.answer == "13"
    assert states(found) == [("1", "chosen"), ("3", "chosen"), ("4", "open"), ("2", "open")]


def test_depth_first_tries_at_most_breadth_children_of_each():
    """A breadth of one goes back to nothing."""
    with serving(tree(thought=by_choice({"": "52", "5": "41"}))) as server:
        found = digits(check=rising, search="dfs", breadth=1)(question="?")
        assert server.count == 2
    assert found.answer == "5"  # the deepest thought that stood


# --- what is proposed, and what is answered ---


def test_a_proposer_of_ones_own_is_used():
    """Any module that gives a thought: its rollouts are the proposals."""

    class Proposer(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.Predict("question, partial -> answer")

        def forward(self, **inputs):
            return dspy.Prediction(thought=self.inner(**inputs).answer)

    with serving(lambda received: chat(answer=len(field_of(received, "partial")))) as server:
        program = digits(propose=Proposer(), branching=3)
        assert program(question="?").answer == "01"
        assert server.count == 3 + 3
    assert [name for name, _ in program.named_predictors()] == ["propose.inner"]


def test_proposers_serve_one_thought_each_and_the_last_one_the_rest():
    """Each has demonstrations of its own, which only its thought's prompt shows."""
    program = digits(proposers=2, depth=3, breadth=1, branching=1)
    for number, proposer in enumerate(program.propose):
        proposer.predict.demos = [dspy.Example(question="?", partial="", reasoning="r", thought=f"demo {number}")]
    with serving(tree(thought="1")) as server:
        assert program(question="?").answer == "111"
        shown = ["demo 0" if "demo 0" in received.prompt else "demo 1" for received in server.requests]
    assert shown == ["demo 0", "demo 1", "demo 1"]
    assert [name for name, _ in program.named_predictors()] == ["propose[0].predict", "propose[1].predict"]


def test_a_proposer_without_a_thought_is_a_clear_error():
    """It names the missing field."""
    with serving(chain("1")), pytest.raises(StrategyError, match="thought"):
        digits(propose=dspy.ChainOfThought("question, partial -> answer"))(question="?")


def test_an_answer_that_cannot_be_read_is_an_abstention():
    """The thoughts are no answer of the type that was asked for."""
    with serving(tree(thought="step", answer="many")):
        found = rtk.TreeOfThoughts("question -> answer: int", 1, 1, 1)(question="?")
    assert (found.answer, found.abstentions) == (None, {"malformed": 1})
    assert found.deliberation.root.kind == "route"


@pytest.mark.parametrize(
    "settings",
    [
        {"breadth": 0},
        {"branching": True},
        {"depth": 0},
        {"depth": "3"},
        {"values": -1},
        {"search": "astar"},
        {"signature": "question -> answer, unit", "separator": " "},
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings):
    """Each with what it may be."""
    with pytest.raises(StrategyError) as caught:
        rtk.TreeOfThoughts(**{"signature": "question -> answer", **settings})
    assert caught.value.mend


def test_a_depth_below_one_is_refused_when_the_inputs_are_known():
    """A function of the inputs is checked where it is called."""
    with serving("-"), pytest.raises(StrategyError, match="depth=0"):
        digits(depth=lambda inputs: 0)(question="?")


# --- the deliberation ---


def test_the_tree_prints_as_one():
    """States, scores and answer are on the page; the way to the answer is marked."""
    script = tree(
        thought=by_choice({"": "52"}),
        verdict=lambda received: "sure" if field_of(received, "partial") == "2" else "likely",
        answer="forty",
    )
    with serving(script):
        found = rtk.TreeOfThoughts("question -> answer", 1, 2, 1)(question="?")
    lines = str(found.deliberation).splitlines()
    assert lines[0].startswith("✓ route bfs, depth 1")
    assert lines[1].startswith("├─ · 5")
    assert "0.50" in lines[1]
    assert lines[2].startswith("└─ ✓ 2")
    assert lines[3].startswith("   └─ ✓ forty (answer)")
    assert [step.text for step in found.deliberation.chosen] == ["", "2", "forty"]


def test_every_thought_has_the_address_and_tokens_of_its_sample():
    """The tree is evidence: each step says where it is kept and what it took."""
    with serving(tree(thought=by_choice({"": "12", "1": "34"}))):
        found = digits(search="dfs")(question="?")
    thoughts = [step for _, step in found.deliberation.walk() if step.kind == "thought"]
    assert len({step.address for step in thoughts}) == 4
    assert all(step.tokens > 0 for step in thoughts)
    assert sum(step.tokens for step in thoughts) == found.spent.completion_tokens
