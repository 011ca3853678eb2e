"""The searches of a tree of thoughts beyond the beam: best first, particles, lists, votes, scorers, open-ended work."""

import itertools

import dspy
import pytest
from scripted import PATIENCE, asks, chain, chat, field_of, serving, started, tree

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError
from rtk.strategies.tree_searches import resampled
from rtk.strategies.tree_thoughts import Thought


def digits(**kwargs):
    """A tree over digits written one after the other, where nothing is valued."""
    kwargs = {"breadth": 2, "branching": 2, "depth": 2, "values": 0, "separator": "", **kwargs}
    return rtk.TreeOfThoughts("question -> answer", **kwargs)


def choice_of(options):
    """Thoughts by what is found so far and which choice is asked for."""
    return lambda received: options.get(field_of(received, "partial"), "xxxx")[received.choice]


def high(inputs, partial):
    """A scorer: the last digit, as tenths."""
    return int(partial[-1]) / 10


def thoughts(prediction):
    """The thoughts of a deliberation: text, state and score."""
    return [(s.text, s.state, s.score) for _, s in prediction.deliberation.walk() if s.kind == "thought"]


# --- best first ---


def test_best_first_goes_on_from_the_best_thought_on_whatever_level():
    """The second branch of the first level is better than what follows from the first one."""
    script = tree(thought=choice_of({"": "98", "9": "12", "8": "71"}))
    with serving(script) as server:
        found = digits(search="best_first", evaluate=high, breadth=1, steps=9)(question="?")
        tried = [field_of(received, "partial") for received in server.requests]
    assert tried == ["", "9", "8"]
    assert found.answer == "87"


def test_best_first_goes_on_from_no_more_thoughts_than_a_beam():
    """Unless `steps` says so: one for the root, and breadth for each further level."""
    script = tree(thought=lambda received: str(received.choice))
    with serving(script) as server:
        digits(search="best_first", evaluate=lambda inputs, partial: 1 / len(partial), breadth=2, depth=3)(question="?")
        assert server.count <= 1 + 2 * 2


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first", "particle"])
def test_steps_are_the_most_thoughts_that_are_gone_on_from(search):
    """The search ends there, and answers with what it has."""
    with serving(tree(thought=lambda received: str(received.choice))) as server:
        found = digits(search=search, steps=3, depth=5)(question="?")
        assert server.count == 3
    assert len(found.answer) == (3 if search == "dfs" else 2)


# --- depth first ---


def test_a_threshold_prunes_what_scores_less():
    """The search goes back from a thought all of whose children are below it."""
    script = tree(thought=choice_of({"": "98", "9": "12", "8": "61"}))
    with serving(script):
        found = digits(search="dfs", evaluate=high, threshold=0.5)(question="?")
    assert found.answer == "86"
    states = {text: (state, score) for text, state, score in thoughts(found)}
    assert states["9"] == ("backtracked", 0.9)
    assert states["1"] == ("pruned", 0.1)
    reasons = {step.reason for _, step in found.deliberation.walk() if step.state == "pruned"}
    assert reasons == {"below 0.5"}


def test_a_state_that_was_reached_before_is_not_searched_again():
    """Also on another branch, and by a state of one's own."""
    script = tree(thought=choice_of({"": "12", "1": "2x", "2": "1y"}))
    with serving(script) as server:
        found = digits(search="bfs", depth=3, state=lambda partial: "".join(sorted(partial)))(question="?")
        tried = [field_of(received, "partial") for received in server.requests]
    assert "21" not in tried
    assert [s.reason for _, s in found.deliberation.walk() if s.text == "1" and s.state == "pruned"] == [
        "the same as one before"
    ]


# --- particles ---


def test_particles_take_a_step_each_and_those_that_score_high_go_on():
    """As many as `breadth`, each with a sample of its own of the step; the low ones die out."""
    script = tree(thought=lambda received: "9" if received.choice == 1 else "0")
    with serving(script) as server:
        found = digits(search="particle", evaluate=high, breadth=4, depth=3)(question="?")
        asked = [(field_of(received, "partial"), received.n) for received in server.requests]
    assert asked[0] == ("", 4)
    assert ("9", 4) in asked or ("9", 3) in asked
    assert found.answer.startswith("9")


@pytest.mark.parametrize("start", [0.0, 0.3, 0.99])
def test_resampling_gives_each_its_share(start):
    """Systematic: each as often as its share of the weight, or once more or less."""
    scores = [0.5, 0.0, 0.9, 0.5]
    found = resampled([Thought(str(i), None, score=score) for i, score in enumerate(scores)], 11, start)
    odds = [1, 1 / 19, 9, 1]
    for place, weight in enumerate(odds):
        assert abs(sum(one.text == str(place) for one in found) - 11 * weight / sum(odds)) < 1
    assert len(found) == 11


def test_particles_are_the_same_again():
    """Chance is seeded by the inputs: the same samples, the same answer, also from the store."""
    script = tree(thought=lambda received: str((received.choice * 7 + len(received.prompt)) % 10))
    with serving(script) as server:
        program = digits(search="particle", evaluate=high, breadth=5, depth=4)
        first = program(question="?")
        drawn = server.count
        assert program(question="?").deliberation.to_dict() == first.deliberation.to_dict()
        assert server.count == drawn


def test_particles_take_no_lists():
    """A list has no one step."""
    with pytest.raises(StrategyError, match="one step each"):
        digits(search="particle", proposals="list")


# --- proposals as one list ---


def listed(options, **more):
    """A script that proposes lists: by what is found so far."""

    def reply(received):
        if asks(received, "thoughts") and "branching" in received.prompt:
            return chat(reasoning="r", thoughts=options[field_of(received, "partial")])
        name = next(name for name in more if asks(received, name))
        value = more[name]
        return chat(reasoning="r", **{name: value(received) if callable(value) else value})

    return reply


def test_proposals_may_be_one_list():
    """One sample holds several thoughts, at most `branching` of them; the sample's tokens are counted once."""
    options = {"": '["5", "2", "7"]', "5": '["4"]', "2": '["3", "3", ""]'}
    with serving(listed(options)) as server:
        found = digits(proposals="list", check=lambda inputs, p: Check(list(p) == sorted(p)))(question="?")
        assert [(received.n, field_of(received, "branching")) for received in server.requests] == [(1, "2")] * 3
    assert found.answer == "23"
    assert [text for text, _, _ in thoughts(found)] == ["5", "4", "2", "3", "3"]
    steps = [step for _, step in found.deliberation.walk()]
    assert sum(step.tokens for step in steps) == found.spent.completion_tokens


def test_a_list_that_cannot_be_read_is_an_abstention():
    """As any malformed completion."""
    with serving(listed({"": "five and two"})):
        found = digits(proposals="list")(question="?")
    assert (found.answer, found.abstentions) == (None, {"malformed": 1})


# --- evaluation ---


def test_siblings_are_voted_on():
    """Votes name one of the numbered choices; its share is its score; what is no choice does not count."""

    def best(received):
        return {0: 2, 1: 2, 2: 3, 3: 9}[received.choice]

    script = lambda received: (  # noqa: E731
        chat(reasoning="r", thought="abc"[received.choice])
        if asks(received, "thought")
        else chat(reasoning="r", best=best(received))
    )
    with serving(script) as server:
        found = digits(evaluate="vote", values=4, branching=3, depth=1)(question="?")
        shown = field_of(server.requests[-1], "choices")
    assert shown == "Choice 1:\na\n\nChoice 2:\nb\n\nChoice 3:\nc"
    assert found.answer == "b"
    assert {text: round(score, 3) for text, _, score in thoughts(found)} == {"a": 0, "b": 0.667, "c": 0.333}


def test_a_judge_may_score_thoughts():
    """A module asked with `partial`; its last output is the score, the mean where it is asked several times."""
    judge = dspy.Predict("question, partial -> score: float")
    script = lambda received: (  # noqa: E731
        chat(reasoning="r", thought="19"[received.choice])
        if asks(received, "thought")
        else chat(score=int(field_of(received, "partial")) / 10 + received.choice / 100)
    )
    with serving(script) as server:
        found = digits(evaluate=judge, values=2, depth=1)(question="?")
        assert server.count == 3
    assert [(text, round(score, 3)) for text, _, score in thoughts(found)] == [("1", 0.105), ("9", 0.905)]
    assert found.answer == "9"


def test_a_judge_that_says_anything_is_passed_over():
    """A model may say what is no number; the thought is neither good nor bad."""
    judge = dspy.Predict("question, partial -> score")
    script = lambda received: (  # noqa: E731
        chat(reasoning="r", thought="1") if asks(received, "thought") else chat(score="very good")
    )
    with serving(script):
        found = digits(evaluate=judge, values=1, depth=1, branching=1)(question="?")
    assert thoughts(found) == [("1", "chosen", 0.5)]


def test_the_checkers_own_score_ranks_where_nobody_is_asked():
    """A checker that grades needs no value prompt."""
    with serving(tree(thought=choice_of({"": "19"}))):
        found = digits(check=lambda inputs, p: Check(True, score=int(p) / 10), depth=1)(question="?")
    assert thoughts(found) == [("1", "kept", 0.1), ("9", "chosen", 0.9)]


def test_neither_a_checker_nor_a_scorer_sees_a_gold_answer_that_came_along():
    """What is no input of the question is withheld."""
    seen = []

    def score(inputs, partial):
        seen.append(dict(inputs))
        return 1.0

    def peeks(inputs, partial):
        return Check(inputs["answer"] == partial)

    with serving(tree(thought="1")):
        digits(evaluate=score, depth=1)(question="?", answer="1")
        with pytest.raises(StrategyError, match="not shown 'answer'"):
            digits(check=peeks, depth=1)(question="?", answer="1")
    assert seen
    assert all(one == {"question": "?"} for one in seen)


def test_a_metric_is_no_scorer():
    """By its parameters."""
    with pytest.raises(StrategyError, match="metric"):
        digits(evaluate=lambda gold, pred, trace=None: 1.0)


# --- which branch answers ---


def test_the_most_consistent_answer_wins():
    """Two of three branches come to the same, though the third scores higher."""
    script = tree(thought=choice_of({"": "123"}), answer=lambda received: {"3": "odd"}.get(
        field_of(received, "thoughts"), "same"))  # fmt: skip
    with serving(script):
        program = rtk.TreeOfThoughts("question -> answer", 3, 3, 1, values=1, answer="consistent", evaluate=high)
        found = program(question="?")
    assert found.answer == "same"
    assert found.confidence.value == pytest.approx(2 / 3)
    assert found.vote.distribution == {"same": pytest.approx(2 / 3), "odd": pytest.approx(1 / 3)}
    assert len(found.deliberation.chosen) == 3


def test_the_best_answer_is_a_whole_one_and_else_the_highest_score():
    """A search that ends early has no whole solution: the best thought is not the deepest one."""
    script = tree(thought=choice_of({"": "98", "9": "12"}))
    with serving(script):
        found = digits(search="bfs", evaluate=high, breadth=1, depth=3, steps=2, answer="best")(question="?")
        deep = digits(search="bfs", evaluate=high, breadth=1, depth=3, steps=2)(question="?")
    assert (found.answer, deep.answer) == ("9", "92")


def test_open_ended_work_returns_the_best_distinct_ideas():
    """Ideas that are too like another one are given up before anybody votes on them."""
    ideas = ["a solar kettle for hikers", "A solar kettle, for hikers!", "a map that smells", "bread that sings", "-"]
    script = lambda received: (  # noqa: E731
        chat(reasoning="r", thought=ideas[received.choice])
        if asks(received, "thought")
        else chat(reasoning="r", best=[2, 2, 3][received.choice])
    )
    with serving(script):
        found = rtk.TreeOfThoughts(
            "brief -> idea", 3, 5, 1, evaluate="vote", values=3, top=3, distinct=True, separator="\n"
        )(brief="?")
    assert found.idea == "a map that smells"
    assert found.completions.idea == ["a map that smells", "bread that sings", "a solar kettle for hikers"]
    pruned = [(s.text, s.reason) for _, s in found.deliberation.walk() if s.state == "pruned"]
    assert pruned == [("A solar kettle, for hikers!", "too like another: a solar kettle for hikers")]


# --- over modules ---


class Draft(dspy.Module):
    """A user's module."""

    def __init__(self):
        super().__init__()
        self.inner = dspy.Predict("question -> draft")

    def forward(self, question):
        return dspy.Prediction(draft=self.inner(question=question).draft)


def test_a_tree_over_a_module_runs_it_for_every_thought():
    """A module without `partial` gives whole solutions: its runs are scored, and the best is the answer."""
    drafts = itertools.count()
    with serving(lambda received: chat(draft=(next(drafts) * 3) % 7)) as server:
        program = rtk.TreeOfThoughts(Draft(), branching=4, depth=3, evaluate=high)
        found = program(question="?")
        assert server.count == 4
    assert found.draft == max(step.text for _, step in found.deliberation.walk() if step.kind == "thought")
    assert [name for name, _ in program.named_predictors()] == ["propose.inner"]


def test_a_tree_over_a_vote_and_over_a_chain():
    """A strategy gives its answers as thoughts; a chain of the user's own answers from the thoughts found."""
    own = dspy.ChainOfThought("question -> answer")
    own.predict.demos = [dspy.Example(question="q", reasoning="mine", answer="a")]
    script = tree(thought="step", answer=lambda received: f"after {field_of(received, 'thoughts')}")
    with serving(script) as server:
        assert rtk.TreeOfThoughts(own, 1, 1, 1, values=0)(question="?").answer == "after step"
        assert "mine" in server.requests[-1].prompt
    with serving(chain("yes")):
        found = rtk.TreeOfThoughts(rtk.SelfConsistency("question -> answer", 3), branching=2, values=0)(question="?")
    assert found.answer == "yes"
    assert found.spent.samples == 6


def test_a_module_without_predictors_has_no_thoughts():
    """Nobody knows what it answers."""
    with pytest.raises(StrategyError, match="no predictors"):
        rtk.TreeOfThoughts(dspy.Module())


# --- time changes nothing ---


@pytest.mark.parametrize("search", ["bfs", "dfs", "best_first", "particle"])
@pytest.mark.parametrize("concurrency", [1, 64])
def test_the_order_of_arrival_changes_nothing(search, concurrency):
    """Whichever comes first, what is found, told and spent is the same; thoughts are valued while others still come."""

    def thought(received):
        return (len(field_of(received, "partial")) * 5 + received.body["seed"] % 97) % 10

    def verdict(received):
        return ("sure", "likely", "sure", "impossible")[received.body["seed"] % 4]

    told = []
    for latency in ((0, 0), (0, 0.03)):
        served = {"latency": latency}
        script = tree(thought=thought, verdict=verdict)
        with serving(script, server=served, server_n=False, seed=3, concurrency=concurrency, cache=False) as server:
            found = digits(search=search, values=2, breadth=3, branching=4, depth=3)(question="?")
            told.append((found.answer, found.deliberation.to_dict(), found.spent.calls, found.spent.samples))
            assert server.choices_served == found.spent.samples
    assert told[0] == told[1]


def test_a_thought_is_valued_before_its_siblings_came():
    """The first proposal is valued while the second one is still held."""
    with serving(tree(thought=lambda r: str(r.body["seed"] % 10)), server_n=False, seed=5) as server:
        with server.hold():
            running = started(lambda: digits(values=1, depth=1)(question="?"))
            server.wait_for(lambda s: s.held == 2)
            server.release(count=1)
            server.wait_for(lambda s: any(asks(received, "verdict") for received in s.requests))
            assert server.choices_served == 1
        assert running.result(PATIENCE).answer
