"""Self-refine as a program: budgets that end anywhere, optimizers, saving and loading, settings that are swept."""

import json

import dspy
import pytest
from scripted import asks, chain, chat, field_of, serving
from sums_compiled import TRAINSET, mipro, right

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError

SIGNATURE = "question -> answer"


def large(inputs, prediction):
    return Check(int(prediction.answer) >= 9, f"{prediction.answer} is too small")


def rounds_of(received):
    """A model whose drafts and revisions grow by one, whose critic wants more, and which explains."""
    if asks(received, "explanation"):
        return chat(explanation="As the trail says.")
    if asks(received, "passes"):
        return chat(finding="more", passes=False)
    attempt = field_of(received, "attempt").rpartition("answer: ")[2]
    return chain(int(attempt) + 1 if attempt else 1)


# --- budgets ---


@pytest.mark.parametrize("unit", ["samples", "calls"])
@pytest.mark.parametrize("admitted", range(1, 8))
def test_a_budget_may_end_in_every_ask(admitted, unit):
    """In the draft, a critique, a revision or the explanation: the best so far is the answer, and it says so."""
    with serving(rounds_of):
        program = rtk.SelfRefine(SIGNATURE, "critique", 2, explain=True)
        whole = program(question="?")
        assert (whole.spent.samples, whole.stopped, whole.explanation) == (7, None, "As the trail says.")
        cut = program(question="?", budget=rtk.Budget(**{unit: admitted}))
    assert getattr(cut.spent, unit) == admitted
    assert cut.stopped == (None if admitted == 7 else unit)
    assert cut.answer == "1"  # nothing was found better
    assert cut.explanation.startswith("The draft answered 1." if admitted < 7 else "As the trail says.")
    if admitted < 6:
        assert cut.explanation.endswith("a budget ran out.")


def test_an_attempt_that_a_budget_left_unverified_is_behind():
    """A revision whose critique did not come is not taken for better than its draft; one that passed more is."""
    with serving(rounds_of):
        unverified = rtk.SelfRefine(SIGNATURE, "critique", 2)(question="?", budget=rtk.Budget(samples=3))
        checked = lambda inputs, pred: int(pred.answer) > 1  # noqa: E731
        passed_more = rtk.SelfRefine(SIGNATURE, [checked, "critique"], 2)(question="?", budget=rtk.Budget(samples=2))
    assert (unverified.answer, unverified.stopped) == ("1", "samples")
    assert (passed_more.answer, passed_more.stopped) == ("2", "samples")


def test_a_budget_that_admits_nothing_gives_no_answer():
    """In the fields of the draft alone."""
    with serving(rounds_of), rtk.Budget(samples=1):
        rtk.ChainOfThought(SIGNATURE)(question="else")
        found = rtk.SelfRefine(SIGNATURE, "critique", explain=True)(question="?")
    assert (found.toDict(), found.stopped) == ({"reasoning": None, "answer": None}, "samples")


@pytest.mark.parametrize("samples", range(1, 10))
def test_a_budget_may_end_in_a_nested_one(samples):
    """A vote as draft, a strategy as judge: there is an answer at every end."""
    judge = rtk.SelfConsistency("question, answer -> good: bool", 2)

    def script(received):
        return chat(reasoning="r", good=False) if asks(received, "good") else rounds_of(received)

    with serving(script):
        program = rtk.SelfRefine(rtk.SelfConsistency(SIGNATURE, 2), judge, 2)
        found = program(question="?", budget=rtk.Budget(samples=samples))
    assert found.answer is not None
    assert found.spent.samples == samples
    assert found.stopped == "samples"


# --- optimizers ---


def learning(received):
    """A model that drafts even questions rightly and mends the others, and criticises well."""
    number = int(field_of(received, "question").split()[0])
    if asks(received, "passes"):
        good = field_of(received, "attempt").endswith(f"answer: {2 * number}")
        return chat(finding="fine" if good else f"{number} + {number} is {2 * number}", passes=good)
    if asks(received, "finding") or number % 2 == 0:
        return chain(2 * number, "right")
    return chain(7, "wrong")


def test_right_runs_become_demonstrations_of_all_that_took_part():
    """Drafts that stood teach the draft, findings and verdicts the critic, revisions that were kept the reviser."""
    with serving(learning):
        optimizer = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=4, max_labeled_demos=0)
        compiled = optimizer.compile(rtk.SelfRefine(SIGNATURE, "critique"), trainset=TRAINSET)
    demos = {name: predictor.demos for name, predictor in compiled.named_predictors()}
    assert [one.question for one in demos["draft.predict"]] == ["2 + 2", "4 + 4"]
    assert [one.question for one in demos["revise"]] == ["1 + 1", "3 + 3"]
    assert {one.finding for one in demos["revise"]} == {"1 + 1 is 2", "3 + 3 is 6"}
    assert [one.question for one in demos["critic"]] == [one.question for one in TRAINSET]  # DSPy takes one of each run
    assert all(one.passes is (one.finding == "fine") for one in demos["critic"])
    assert {one.reasoning for name in ("draft.predict", "revise") for one in demos[name]} == {"right"}


def test_a_compiled_program_is_a_draft():
    """As a copy that optimizers see; the program itself is not touched."""
    with serving(learning):
        optimizer = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=2, max_labeled_demos=0)
        compiled = optimizer.compile(dspy.ChainOfThought(SIGNATURE), trainset=TRAINSET)
        program = rtk.SelfRefine(compiled, large)
        assert program(question="4 + 4").answer == "8"
    assert compiled._compiled
    assert [name for name, _ in program.named_predictors()] == ["draft.predict", "revise"]
    assert len(program.draft.predict.demos) == 2


def gepa(program):
    def judged(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return dspy.Prediction(score=float(right(gold, pred)), feedback="Add the two numbers.")

    def writer(candidate, reflective_dataset, components_to_update):
        return dict.fromkeys(components_to_update, "Add.")

    optimizer = dspy.GEPA(
        metric=judged, max_metric_calls=12, instruction_proposer=writer, reflection_lm=dspy.settings.lm
    )
    return optimizer.compile(program, trainset=TRAINSET, valset=TRAINSET)


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [mipro, gepa])
def test_optimizers_that_write_prompts_compile_it(optimize, tmp_path):
    """With its critic and its explainer; compiled it answers, and is saved and loaded."""

    def script(received):
        if not field_of(received, "question") and not asks(received, "explanation"):  # what the optimizer asks
            return chat(proposed_instruction="Add.", observations="o", summary="s", program_description="p", tip="t",
                        module_description="m", basic_instruction="b", task_demos="d")  # fmt: skip
        return chat(explanation="As the trail says.") if asks(received, "explanation") else learning(received)

    fresh = lambda: rtk.SelfRefine(SIGNATURE, "critique", 1, explain=True)  # noqa: E731
    with serving(script):
        compiled = optimize(fresh())
        assert compiled(question="5 + 5").answer == "10"
        compiled.save(tmp_path / "program.json")
        loaded = fresh()
        loaded.load(tmp_path / "program.json")
        assert loaded(question="5 + 5").spent.drawn == 0


# --- saving, loading, sweeping ---


def test_it_is_saved_with_its_settings_and_predictors(tmp_path):
    """And loaded into a program that was built without some of them."""
    program = rtk.SelfRefine(SIGNATURE, ["arithmetic", "critique"], 5, threshold=0.5, explain=True, comparer="numeric")
    program.critic.demos = [dspy.Example(question="?", attempt="a", finding="f", passes=True)]
    program.save(tmp_path / "refine.json")
    for other in (rtk.SelfRefine(SIGNATURE), rtk.SelfRefine(SIGNATURE, "critique", explain=True)):
        other.load(tmp_path / "refine.json")
        assert (other.verify, other.rounds, other.threshold) == (["arithmetic", "critique"], 5, 0.5)
        assert (other.explain, other.comparer, len(other.critic.demos)) == (True, "numeric", 1)
        assert repr(other) == repr(program)


def test_checkers_and_judges_come_with_the_program_it_is_loaded_into(tmp_path):
    """A function is code; a judge's demonstrations are saved, itself is not."""
    judge = dspy.Predict("answer -> good: bool")
    program = rtk.SelfRefine(SIGNATURE, [large, judge], 1)
    program.judges[0].demos = [dspy.Example(answer="1", good=True)]
    program.save(tmp_path / "refine.json")
    loaded = rtk.SelfRefine(SIGNATURE, [large, dspy.Predict("answer -> good: bool")])
    loaded.load(tmp_path / "refine.json")
    assert (loaded.rounds, loaded.verify, len(loaded.judges[0].demos)) == (1, [large, "judge 1"], 1)
    with pytest.raises(StrategyError):
        rtk.SelfRefine(SIGNATURE).load(tmp_path / "refine.json")
    assert json.loads((tmp_path / "refine.json").read_text())["settings"]["verify"] == {"not saved": "a list"}


def test_a_state_of_another_program_is_refused(tmp_path):
    """With what to load it into."""
    rtk.SelfConsistency(SIGNATURE).save(tmp_path / "vote.json")
    with pytest.raises(StrategyError) as caught:
        rtk.SelfRefine(SIGNATURE).load(tmp_path / "vote.json")
    assert caught.value.mend


def test_who_verifies_may_be_swept():
    """Names and functions; what a setting needs the program then has."""
    with serving(rounds_of):
        results = rtk.sweep(
            rtk.SelfRefine(SIGNATURE, rounds=1), TRAINSET[:2], {"verify": ["arithmetic", "critique", large]},
            metric=right, progress=None,
        )  # fmt: skip
    found = results.rows().groupby("verify")["consulted"].max().to_dict()
    assert found == {"arithmetic": 1, "critique": 4, "large": 2}


def test_copies_keep_settings_and_verifiers():
    """A deep copy and a reset one ask the same."""
    program = rtk.SelfRefine(SIGNATURE, [large, dspy.Predict("answer -> good: bool")], 2, explain="plain")
    for copy in (program.deepcopy(), program.reset_copy()):
        assert repr(copy) == repr(program)
        assert copy.judges[0] is not program.judges[0]


def test_a_judge_given_again_is_the_same_one():
    """A setting that is set anew takes a module as the constructor does."""
    judge = dspy.Predict("answer -> good: bool")
    program = rtk.SelfRefine(SIGNATURE, judge)
    program.verify = ["arithmetic", judge]
    assert (program.verify, len(program.judges)) == (["arithmetic", "judge 1"], 1)
    program.verify = "guess"
    with pytest.raises(StrategyError):
        program.check_settings()
