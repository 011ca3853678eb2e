"""The usual programs: those of the demo, with other instructions, other numbers, and nothing in common."""

import copy

import dspy
import pytest

import rtk
from rtk.errors import StrategyError, TaskError
from rtk.experiments import SHOTS, STRATEGIES, demo, program
from rtk.testing import ScriptedServer

SEQUENCES = "hidden_sequence"
REPLY = "reasoning: r\nanswer: 5\nthought: 5\nverdict: sure"
SETTINGS = {"samples": 2, "breadth": 2, "branching": 2, "depth": 2, "shots": 2}


@pytest.fixture
def server():
    with ScriptedServer(REPLY) as running:
        yield running


def model(server):
    return rtk.LM("openai/scripted", api_base=server.url, api_key="x")


@pytest.fixture
def asked(server):
    """The texts of all prompts that a call sends."""

    def run(made, example):
        first = server.count
        with dspy.context(lm=model(server), adapter=rtk.LinesAdapter()):
            made(**example.inputs().toDict())
        return ["\n".join(one["content"] for one in received.messages) for received in server.requests[first:]]

    return run


def task(name="arithmetic"):
    return rtk.tasks.load(name, size=2)


def without_a_solver():
    """A task whose demonstrations nobody can write."""
    return task("leg_counting")


# --- the demo's programs ---


@pytest.mark.parametrize(
    ("strategy", "name", "settings"),
    [
        ("direct", "arithmetic", {"samples": 1}),
        ("chain of thought", "arithmetic", {}),
        ("self-consistency", "arithmetic", {"samples": 4}),
        ("self-consistency", SEQUENCES, {}),
        ("tree of thoughts", SEQUENCES, {"branching": 2}),
        ("tree of thoughts", SEQUENCES, {}),
    ],
)
def test_they_ask_what_the_demo_asks(server, strategy, name, settings):
    """After `rtk demo` a program with its numbers draws nothing: its requests have the same keys."""
    lm = model(server)
    demo(lm, size=1)
    before = server.count
    questions = rtk.tasks.load(name, size=2 if name == "arithmetic" else 1).test
    made = program(strategy, rtk.tasks.load(name, size=1), **settings)
    with dspy.context(lm=lm.copy(max_tokens=120), adapter=rtk.LinesAdapter()):
        found = [made(**example.inputs().toDict()) for example in questions]
    assert server.count == before
    assert all(one.spent.samples for one in found)


def test_they_are_named_from_the_cheapest_on():
    """In the field's words."""
    assert STRATEGIES == ("direct", "chain of thought", "self-consistency", "tree of thoughts")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_they_are_strategies_that_can_be_saved_and_compiled(strategy, tmp_path):
    """Each has settings and predictors, and comes back from a file as it was."""
    made, other = program(strategy, task(SEQUENCES), samples=3), program(strategy, task(SEQUENCES), shots=0)
    assert isinstance(made, rtk.Strategy)
    made.save(tmp_path / "made.json")
    other.load(tmp_path / "made.json")
    assert other.dump_state() == made.dump_state()


# --- what goes into the prompts ---


@pytest.mark.parametrize("on", [task, lambda: task(SEQUENCES), without_a_solver, lambda: "question -> answer"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_instructions_reach_every_prompt(asked, strategy, on):
    """In place of the signature's own, in each predictor and each level of a tree."""
    where, example = on(), dspy.Example(question="What?").with_inputs("question")
    example = example if isinstance(where, str) else where.test[0]
    own = dspy.Signature(where).instructions if isinstance(where, str) else where.signature.instructions
    prompts = asked(program(strategy, where, instructions="Sing it.", **SETTINGS), example)
    assert prompts
    assert all("Sing it." in prompt for prompt in prompts)
    assert not any(own in prompt for prompt in prompts)


def test_without_instructions_the_signatures_own_stand(asked):
    """An empty text is one of its own, and so another request."""
    where = task()
    own, empty = program("direct", where, samples=1), program("direct", where, samples=1, instructions="")
    assert all(where.signature.instructions in prompt for prompt in asked(own, where.test[0]))
    assert not any(where.signature.instructions in prompt for prompt in asked(empty, where.test[0]))


@pytest.mark.parametrize("shots", [0, 1, SHOTS, 7])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_prompt_has_so_many_demonstrations(strategy, shots):
    """In every predictor; a direct answer's come without reasoning."""
    for where in (task(SEQUENCES), task()):
        if where.depth is None and strategy == "tree of thoughts":
            continue
        made = program(strategy, where, shots=shots)
        for predictor in made.predictors():
            assert len(predictor.demos) == shots
            assert all(("reasoning" in demo) == (strategy != "direct") for demo in predictor.demos)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_nobody_writes_demonstrations_there_are_none(strategy):
    """A task without a solver, and a signature, have programs all the same."""
    for where in (without_a_solver(), "question -> answer", dspy.Signature("question -> answer")):
        assert [predictor.demos for predictor in program(strategy, where).predictors() if predictor.demos] == []


def test_a_task_brings_its_comparer_its_checker_and_its_depth():
    """A vote counts as the task does; a tree prunes by its checker, a part of the answer a thought."""
    puzzles = task(SEQUENCES)
    assert program("self-consistency", task()).comparer == task().comparer == "numeric"
    tree = program("tree of thoughts", puzzles, depth=9, breadth=3, branching=5)
    assert (tree.check, tree.depth, tree.breadth, tree.branching) == (puzzles.check, puzzles.depth, 3, 5)
    assert program("tree of thoughts", "question -> answer", depth=5).depth == 5


def test_numbers_turn_what_they_name():
    """Samples a vote's; breadth, proposals and depth a tree's; all are taken by all."""
    for strategy in ("direct", "self-consistency"):
        assert program(strategy, task(), **SETTINGS).samples == 2
    tree = program("tree of thoughts", task(), **SETTINGS)
    assert (tree.breadth, tree.branching, tree.depth) == (2, 2, 2)


# --- nothing in common ---


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_programs_of_one_task_share_nothing_that_changes(strategy):
    """Settings, demonstrations and instructions of one are no other's, nor the task's."""
    where = task(SEQUENCES)
    first, second = program(strategy, where), program(strategy, where)
    before = copy.deepcopy(second.dump_state())
    asks = where.signature.instructions
    for predictor in first.predictors():
        predictor.demos[0]["question"] = "changed"
        predictor.demos.append(dspy.Example(question="q", answer="a"))
        predictor.signature = predictor.signature.with_instructions("changed")
    for name in first.settings.values if hasattr(first, "settings") else ():
        setattr(first, name, 1)
    assert second.dump_state() == before == program(strategy, where).dump_state()
    assert where.signature.instructions == asks
    assert "changed" not in [example.question for example in where.train]


def test_predictors_of_one_tree_share_no_list_of_demonstrations():
    """Each place has its own, and adding to one adds to no other."""
    tree = program("tree of thoughts", task(SEQUENCES))
    assert len({id(predictor.demos) for predictor in tree.predictors()}) == len(tree.predictors()) > 1


# --- mistakes ---


@pytest.mark.parametrize("name", ["Direct", "direct ", "vote", "", None, 3, ["direct"]])
def test_another_strategy_is_refused_with_the_names_there_are(name):
    """Whatever it is."""
    with pytest.raises(StrategyError, match="none of the usual programs") as caught:
        program(name, task())
    assert "self-consistency" in caught.value.mend


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("on", ["arithmetic", "question", "", 5, None, dspy.Predict("question -> answer"), int, {}])
def test_what_is_neither_a_task_nor_a_signature_is_refused(strategy, on):
    """A task's name is not the task, and the mend says how to load it."""
    with pytest.raises(StrategyError, match="neither a task nor a signature") as caught:
        program(strategy, on)
    assert "rtk.tasks.load" in caught.value.mend


@pytest.mark.parametrize("shots", [-1, 2.5, "4", True, None])
@pytest.mark.parametrize("on", [task, lambda: "question -> answer"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_number_of_demonstrations_that_cannot_be_is_refused(strategy, on, shots):
    """Of every strategy, and also where there would be none."""
    with pytest.raises(StrategyError, match="shots=") as caught:
        program(strategy, on(), shots=shots)
    assert caught.value.mend


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_demonstrations_than_training_questions_are_refused(strategy):
    """The mend says how many there are."""
    with pytest.raises(TaskError, match="40 training questions") as caught:
        program(strategy, task(SEQUENCES), shots=41)
    assert "40 or fewer" in caught.value.mend


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("self-consistency", {"samples": 0}),
        ("direct", {"samples": 2.0}),
        ("tree of thoughts", {"breadth": 0}),
        ("tree of thoughts", {"branching": -1}),
        ("tree of thoughts", {"depth": 0}),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(strategy, settings):
    """Each with what it may be."""
    with pytest.raises(StrategyError, match=f"{next(iter(settings))}=") as caught:
        program(strategy, "question -> answer", **settings)
    assert caught.value.mend
