"""Optimizers: DSPy's compile every strategy, learn from the chains that won, and draw nothing twice."""

import dspy
import pytest
from scripted import TwoSteps, asks, chain, chat, field_of, serving, tree

import rtk
from rtk.testing import Reply

TRAINSET = [dspy.Example(question=f"{i} + {i}", answer=str(2 * i)).with_inputs("question") for i in range(1, 5)]


def right(example, pred, trace=None):
    return pred.answer == example.answer


def first_wrong(received):
    """The first chain of each question is wrong, the others are right."""
    number = int(field_of(received, "question").split()[0])
    if received.choice == 0:
        return chain(2 * number + 1, "a wrong chain")
    return chain(2 * number, f"right chain {received.choice}")


def demos(program):
    return [demo for _, predictor in program.named_predictors() for demo in predictor.demos]


def bootstrap(**kwargs):
    return dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=4, max_labeled_demos=0, **kwargs)


class Holder(dspy.Module):
    """A user's module around a vote."""

    def __init__(self):
        super().__init__()
        self.vote = rtk.SelfConsistency("question -> answer", samples=4)

    def forward(self, question):
        return self.vote(question=question)


def is_right(inputs, prediction):
    return prediction.reasoning.startswith("right")


@pytest.mark.parametrize(
    "program",
    [
        lambda: rtk.SelfConsistency("question -> answer", samples=4),
        lambda: rtk.SelfConsistency("question -> answer", samples=4, stop="beta"),
        lambda: rtk.BestOfN("question -> answer", 4, is_right, 1, wave=4),
        Holder,
    ],
)
def test_bootstrapping_collects_right_chains_only(program):
    """The first chain is wrong and the vote right: every demonstration is the winner's."""
    with serving(first_wrong):
        compiled = bootstrap().compile(program(), trainset=TRAINSET)
    assert len(demos(compiled)) == 4
    assert {demo.reasoning for demo in demos(compiled)} == {"right chain 1"}
    assert all(demo.answer == example.answer for demo, example in zip(demos(compiled), TRAINSET, strict=True))


def test_a_second_identical_compile_draws_nothing():
    """Samples are data: compiling again reads what the first compile drew."""
    with serving(first_wrong) as server:
        for _ in range(2):
            compiled = bootstrap().compile(rtk.SelfConsistency("question -> answer", samples=4), trainset=TRAINSET)
            assert compiled(question="3 + 3").answer == "6"
            drawn = server.choices_served
            server.reset()
        assert drawn == 0


def test_demonstrations_hold_fields_and_nothing_else():
    """No evidence of a prediction gets into a prompt."""
    with serving(first_wrong):
        compiled = bootstrap().compile(rtk.SelfConsistency("question -> answer", samples=4), trainset=TRAINSET)
    assert {tuple(sorted(demo.keys())) for demo in demos(compiled)} == {
        ("answer", "augmented", "question", "reasoning")
    }


def test_later_rounds_of_bootstrapping_are_new_samples():
    """DSPy's second round asks with a `rollout_id`: other samples, that may be right where the first were wrong."""
    script = lambda received: chain("2" if received.body["temperature"] == 1.0 else "wrong")  # noqa: E731
    with serving(script):
        program = rtk.SelfConsistency("question -> answer", samples=2)
        compiled = bootstrap(max_rounds=2).compile(program, trainset=TRAINSET[:1])
    assert [demo.answer for demo in demos(compiled)] == ["2"]


def test_random_search_compiles_a_vote_and_draws_nothing_the_second_time():
    """Bootstrapping with random search evaluates candidates in threads; all of it is repeatable."""
    search = {"metric": right, "num_candidate_programs": 2, "max_bootstrapped_demos": 2, "num_threads": 4}
    with serving(first_wrong) as server:
        for _ in range(2):
            optimizer = dspy.BootstrapFewShotWithRandomSearch(**search)
            compiled = optimizer.compile(rtk.SelfConsistency("question -> answer", samples=3), trainset=TRAINSET)
            drawn = server.choices_served
            server.reset()
        assert drawn == 0
    assert compiled.samples == 3
    assert len(compiled.candidate_programs) >= 2


def test_labeled_few_shot_gives_every_predictor_its_demos():
    """Labels need no run at all."""
    compiled = dspy.LabeledFewShot(k=2).compile(rtk.SelfConsistency("question -> answer", samples=4), trainset=TRAINSET)
    assert len(demos(compiled)) == 2
    assert compiled.samples == 4


def counting(received):
    """A tree that counts in two steps."""
    steps = {"": "one", "one": "two"}
    number = int(field_of(received, "question").split()[0])
    return tree(thought=lambda one: steps[field_of(one, "partial")], answer=2 * number)(received)


def test_a_tree_is_compiled_from_its_best_branch():
    """The proposals on the way to the answer, what carried them, and the answer; nothing of other branches."""
    program = rtk.TreeOfThoughts("question -> answer", breadth=1, branching=2, depth=2)
    with serving(counting):
        compiled = bootstrap().compile(program, trainset=TRAINSET)
    assert {demo.thought for demo in compiled.propose.predict.demos} == {"one", "two"}
    assert [demo.answer for demo in compiled.answer.predict.demos] == ["2", "4", "6", "8"]
    assert {(demo.partial, demo.verdict) for demo in compiled.value.predict.demos} == {
        ("one", "sure"), ("one\ntwo", "sure")
    }  # fmt: skip
    assert (compiled.breadth, compiled.branching, compiled.depth) == (1, 2, 2)


def test_a_vote_of_trees_is_compiled():
    """Predictors of a strategy within a strategy learn from the winning rollout."""
    program = rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", 1, 2, 2), samples=2)
    with serving(counting):
        compiled = bootstrap().compile(program, trainset=TRAINSET)
    assert [demo.answer for demo in compiled.chain.answer.predict.demos] == ["2", "4", "6", "8"]


def test_a_compiled_program_inside_a_strategy_is_compiled_again():
    """Wrapping thaws a copy, whose predictors the next optimizer finds."""
    with serving(first_wrong):
        first = dspy.LabeledFewShot(k=1).compile(dspy.ChainOfThought("question -> answer"), trainset=TRAINSET)
        second = bootstrap().compile(rtk.SelfConsistency(first, samples=4), trainset=TRAINSET)
    assert len(demos(first)) == 1
    assert {demo.reasoning for demo in demos(second)} == {"right chain 1"}


def test_a_compiled_vote_is_saved_and_loaded(tmp_path):
    """Demonstrations and settings come back, and the loaded program asks the very same requests."""
    with serving(first_wrong) as server:
        compiled = bootstrap().compile(rtk.SelfConsistency("question -> answer", samples=4), trainset=TRAINSET)
        answer = compiled(question="7 + 7").answer
        drawn = server.choices_served
        compiled.save(tmp_path / "vote.json")
        loaded = rtk.SelfConsistency("question -> answer")
        loaded.load(tmp_path / "vote.json")
        assert loaded(question="7 + 7").answer == answer == "14"
        assert server.choices_served == drawn


# --- the trace ---


def traced(program, **inputs):
    """A program's prediction, and what it leaves on DSPy's trace."""
    with dspy.context(trace=[]):
        found = program(**inputs)
        return found, list(dspy.settings.trace)


def test_only_the_winning_chain_goes_on_the_trace():
    """One entry: the predictor itself, its inputs, and the winner's prediction."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with serving(first_wrong):
        found, trace = traced(program, question="1 + 1")
    ((predictor, inputs, outputs),) = trace
    assert predictor is program.chain.predict
    assert inputs == {"question": "1 + 1"}
    assert outputs.toDict() == found.toDict() == {"reasoning": "right chain 1", "answer": "2"}


def test_the_winning_run_of_a_module_goes_on_the_trace_whole():
    """All calls of the rollout that won, and none of the others'."""
    replies = {0: "a", 1: "b", 2: "b"}

    def script(received):
        return chain(field_of(received, "draft") or replies[received.body["seed"] % 3])

    program = TwoSteps()
    with serving(script, seed=4):
        found, trace = traced(rtk.SelfConsistency(program, samples=5), question="?")
    assert [entry[0] for entry in trace] == [program.draft.predict, program.final.predict]
    assert trace[0][2].answer == trace[1][1]["draft"] == found.answer


def test_nothing_is_traced_where_nothing_won():
    """An optimizer never learns from an abstention."""
    with serving("no idea"):
        assert traced(rtk.SelfConsistency("question -> answer"), question="?")[1] == []
        assert traced(rtk.ChainOfThought("question -> answer"), question="?")[1] == []


def test_dspys_own_trace_is_left_alone():
    """Outside a context that asks for one nobody reads it, and it would fill the memory."""
    with serving(first_wrong):
        before = len(dspy.settings.trace)
        rtk.SelfConsistency("question -> answer", samples=2)(question="1 + 1")
        assert len(dspy.settings.trace) == before


def test_the_trace_of_an_outer_program_is_added_to():
    """What was there stays, and its limit is kept."""
    with serving(first_wrong), dspy.context(trace=["before"], max_trace_size=2):
        for number in (1, 2):
            rtk.SelfConsistency("question -> answer", samples=2)(question=f"{number} + 1")
        assert [one if one == "before" else one[1]["question"] for one in dspy.settings.trace] == ["1 + 1", "2 + 1"]


# --- DSPy's own search around a strategy ---


@pytest.mark.parametrize("around", [dspy.BestOfN, dspy.Refine])
def test_dspys_best_of_n_and_refine_run_a_strategy(around):
    """Each attempt is a vote of its own samples; the first that is good enough is returned."""

    def script(received):
        if "advice" in received.prompt:
            return chat(discussion="d", advice="{}")
        return chain("good" if received.body["temperature"] == 1.0 and received.index > 0 else "bad")

    program = rtk.SelfConsistency("question -> answer", samples=2)
    with serving(script) as server:
        best = around(module=program, N=3, reward_fn=lambda args, pred: float(pred.answer == "good"), threshold=1.0)
        found = best(question="?")
        assert server.choices_served >= 4
    assert (found.answer, found.confidence.size) == ("good", 2)


def test_a_failing_example_is_counted_by_evaluate_and_no_other_is_lost():
    """`dspy.Evaluate` scores what a strategy answers; where no sample came it counts an error."""

    def script(received):
        return Reply("broken", status=500) if "1 + 1" in received.last else chain(4)

    evaluate = dspy.Evaluate(devset=TRAINSET, metric=right, num_threads=4, failure_score=0.0)
    with serving(script):
        result = evaluate(rtk.SelfConsistency("question -> answer", samples=2))
    assert [score for _, _, score in result.results] == [0.0, True, False, False]
    assert result.results[1][1].confidence.value == 1.0


def proposed(received):
    """A script for optimizers that write prompts: whatever they ask for, and `first_wrong` for the question itself."""
    if asks(received, "answer") and not asks(received, "proposed_instruction"):
        return first_wrong(received)
    return chat(proposed_instruction="Add.", proposed_prefix_for_output_field="A:", discussion="d", module_advice="{}")


def copro(program):
    return dspy.COPRO(metric=right, breadth=2, depth=1).compile(
        program, trainset=TRAINSET, eval_kwargs={"num_threads": 2, "display_progress": False}
    )


def gepa(program):
    def judged(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return float(pred.answer == gold.answer)

    def writer(candidate, reflective_dataset, components_to_update):
        return dict.fromkeys(components_to_update, "Add.")

    optimizer = dspy.GEPA(
        metric=judged, max_metric_calls=12, instruction_proposer=writer, reflection_lm=dspy.settings.lm
    )
    return optimizer.compile(program, trainset=TRAINSET, valset=TRAINSET)


def simba(program):
    return dspy.SIMBA(metric=right, bsize=4, num_candidates=2, max_steps=1, max_demos=1).compile(
        program, trainset=TRAINSET, seed=0
    )


@pytest.mark.parametrize("optimize", [copro, gepa, simba])
def test_optimizers_that_write_prompts_run_a_vote(optimize):
    """Each returns a program with the settings of its student, which answers."""
    with serving(proposed):
        compiled = optimize(rtk.SelfConsistency("question -> answer", samples=3))
        assert compiled(question="5 + 5").answer == "10"
    assert compiled.samples == 3
