"""Compiled: every strategy by the three optimizers that its users reach for, and what its demonstrations then say."""

import logging

import dspy
import pytest
from scripted import asks, chain, chat, field_of, serving
from sums_compiled import TRAINSET, mipro, right

import rtk


def fine(inputs, prediction):
    """A verifier: the chain says of itself that it is right."""
    return float(prediction.reasoning.startswith("right"))


def model(received):
    """A model whose first chain is wrong, which judges well, thinks in two steps and writes prompts."""
    number = int((field_of(received, "question").split() or ["0"])[0]) if asks(received, "question") else 0
    if asks(received, "proposed_instruction") or asks(received, "module_description"):
        return chat(proposed_instruction="Add.", observations="o", summary="s", program_description="p", tip="t",
                    module_description="m", basic_instruction="b", task_demos="d")  # fmt: skip
    if asks(received, "thought"):
        found = field_of(received, "partial")
        return chat(reasoning="next", thought=("bad", "twice")[received.choice % 2] if not found else "done")
    if asks(received, "verdict"):
        return chat(reasoning="hm", verdict="impossible" if "bad" in field_of(received, "partial") else "sure")
    if asks(received, "score"):
        return chat(score=float(field_of(received, "answer") == str(2 * number)))
    if asks(received, "thoughts"):
        return chain(2 * number, "right by thoughts")
    wrong = received.choice == 0
    return chain(2 * number + wrong, "a wrong chain" if wrong else f"right chain {received.choice}")


PROGRAMS = {
    "vote": lambda: rtk.SelfConsistency("question -> answer", samples=4),
    "vote that stops": lambda: rtk.SelfConsistency("question -> answer", samples=6, stop="beta"),
    "weighted vote": lambda: rtk.SelfConsistency("question -> answer", 4, "weighted", weight=fine),
    "judged choice": lambda: rtk.BestOfN("question -> answer", 3, dspy.Predict("question, answer -> score: float")),
    "choice": lambda: rtk.BestOfN("question -> answer", 3, fine, 1.0, wave=3),
    "beam": lambda: rtk.TreeOfThoughts("question -> answer", 1, 2, 2),
    "depth first": lambda: rtk.TreeOfThoughts("question -> answer", 2, 2, 2, "dfs"),
    "best first": lambda: rtk.TreeOfThoughts("question -> answer", 1, 2, 2, "best_first"),
    "vote of choices": lambda: rtk.SelfConsistency(rtk.BestOfN("question -> answer", 3, fine), samples=2),
}


def bootstrap(program):
    return dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=4, max_labeled_demos=0).compile(
        program, trainset=TRAINSET
    )


def gepa(program):
    def judged(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return dspy.Prediction(score=float(pred.answer == gold.answer), feedback="Add the two numbers.")

    def writer(candidate, reflective_dataset, components_to_update):
        assert all(reflective_dataset[name] for name in components_to_update)
        return dict.fromkeys(components_to_update, "Add.")

    optimizer = dspy.GEPA(
        metric=judged, max_metric_calls=12, instruction_proposer=writer, reflection_lm=dspy.settings.lm
    )
    return optimizer.compile(program, trainset=TRAINSET, valset=TRAINSET)


@pytest.fixture(autouse=True)
def quiet():
    """Optimizers narrate at length."""
    logging.getLogger("dspy").setLevel(logging.ERROR)
    yield
    logging.getLogger("dspy").setLevel(logging.INFO)


@pytest.mark.parametrize("optimize", [bootstrap, *(pytest.param(one, marks=pytest.mark.slow) for one in (mipro, gepa))])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_strategy_is_compiled_and_answers(name, optimize, tmp_path):
    """It keeps its settings, answers, is saved and loaded, and compiled again it draws nothing."""
    with serving(model) as server:
        compiled = optimize(PROGRAMS[name]())
        assert compiled(question="5 + 5").answer == "10"
        compiled.save(tmp_path / "program.json")
        loaded = PROGRAMS[name]()
        loaded.load(tmp_path / "program.json")
        assert loaded(question="6 + 6").answer == "12"
        assert demos_of(loaded) == demos_of(compiled)
        if optimize is bootstrap:
            drawn = server.choices_served
            optimize(PROGRAMS[name]())
            assert server.choices_served == drawn
    assert compiled.settings.values == PROGRAMS[name]().settings.values


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_demonstrations_are_what_led_to_right_answers(name):
    """No chain of another answer, no thought of another branch; what carried the answer, and fields alone."""
    with serving(model):
        compiled = bootstrap(PROGRAMS[name]())
    found = {where: one.demos for where, one in compiled.named_predictors()}
    assert all(found.values())
    for where, demos in found.items():
        fields = {*compiled_signature(compiled, where), "augmented"}
        for demo in demos:
            said = {key: str(value) for key, value in demo.items()}
            assert set(said) <= fields
            number = int(said["question"].split()[0])
            assert said.get("answer", str(2 * number)) == str(2 * number)
            assert "wrong" not in said.get("reasoning", "")
            assert said.get("thought") != "bad"
            assert said.get("verdict") != "impossible"


def demos_of(program):
    """The demonstrations of each predictor; loaded ones are plain mappings."""
    return [[dict(demo) for demo in predictor.demos] for predictor in program.predictors()]


def compiled_signature(program, where):
    """The fields of the predictor of that name."""
    signature = dict(program.named_predictors())[where].signature
    return {*signature.input_fields, *signature.output_fields}
