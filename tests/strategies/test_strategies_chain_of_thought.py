"""Chain of thought: steps parsed and checked before the answer is returned, and one bounded repair."""

import json

import dspy
import numpy as np
import pytest
from scripted import asks, chain, chat, field_of, serving
from test_strategies_optimizers import TRAINSET, bootstrap

import rtk
from rtk.answers import Check
from rtk.errors import StrategyError
from rtk.events import CheckFailed
from rtk.testing import Reply, play

SIGNATURE = "question -> answer"
WRONG = {"reasoning": "1. 2 + 2 = 5.\n2. So it is 5.", "answer": "5"}
RIGHT = {"reasoning": "1. 2 + 2 = 4.", "answer": "4"}


def kinds(pred):
    """The deliberation's first two levels: kind, state, and how many steps of a chain are marked."""
    root = pred.deliberation.root
    marked = lambda step: sum(bool(one.children) for one in step.children)  # noqa: E731
    return [(one.kind, one.state, marked(one)) for one in ([root] if root.kind != "route" else root.children)]


# --- what is asked ---


def test_a_plain_chain_asks_what_dspys_asks():
    """Without `steps=` the request is `dspy.ChainOfThought`'s, checks and repairs or not, so samples are shared."""
    with serving(chain("4", "2 + 2 = 4")) as server:
        dspy.ChainOfThought(SIGNATURE)(question="?")
        rtk.ChainOfThought(SIGNATURE)(question="?")
        rtk.ChainOfThought(SIGNATURE, checks="arithmetic", repair=3)(question="?")
        assert len(server.requests) == 1


@pytest.mark.parametrize(("steps", "said"), [(3, "at most 3 of them"), (True, "one for each inference")])
def test_numbered_steps_are_asked_for(steps, said):
    """`steps=` asks for them in the call, for a revision too; the predictors and their state stay as they are."""
    program, seen = rtk.ChainOfThought(SIGNATURE, steps=steps), []
    play(program, lambda one: seen.append(one) or (WRONG if len(seen) == 1 else RIGHT), question="?")
    assert len(seen) == 2
    assert all("numbered steps" in one.prompt and said in one.prompt for one in seen)
    assert program.predict.signature.equals(dspy.ChainOfThought(SIGNATURE).predict.signature)


def test_more_steps_than_were_asked_for_are_told():
    """The chain is used, and its deliberation says how many there are."""
    pred = play(rtk.ChainOfThought(SIGNATURE, steps=1), [{"reasoning": "1. a\n2. b", "answer": "4"}], question="?")
    assert (pred.answer, pred.deliberation.root.reason) == ("4", "2 steps, at most 1 were asked for")


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": False}, {"repair": -1}, {"repair": True}, {"checks": "algebra"}, {"checks": [3]}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    """Each names itself."""
    with pytest.raises(StrategyError, match=next(iter(wrong))):
        rtk.ChainOfThought(SIGNATURE, **wrong)


# --- checks ---


def test_a_plain_chain_is_one_sample_with_its_mistakes_shown():
    """What is wrong is told, and costs nothing."""
    pred = play(rtk.ChainOfThought(SIGNATURE), [WRONG], question="?")
    assert (pred.answer, kinds(pred)) == ("5", [("chain", "chosen", 1)])
    (check,) = pred.deliberation.root.children[0].children
    assert (check.kind, check.state, check.text, check.reason) == ("check", "dead end", "2 + 2 = 5", "2 + 2 is 4")


def test_checks_run_in_order_on_each_step():
    """A checker sees the inputs, the step and those before it, and nothing of a gold answer that came along."""
    seen = []

    def check(inputs, step, so_far):
        seen.append((dict(inputs), step, list(so_far)))
        return None

    program = rtk.ChainOfThought(SIGNATURE, checks=[check])
    play(program, [{"reasoning": "1. a\n2. b\n3. c", "answer": "4"}], question="?", answer="gold")
    assert [(step, before) for _, step, before in seen] == [
        ("1. a", []), ("2. b", ["1. a"]), ("3. c", ["1. a", "2. b"]),
    ]  # fmt: skip
    assert all(inputs == {"question": "?"} for inputs, _, _ in seen)


def test_a_gold_answer_cannot_be_read():
    """Reaching for it says why it is not there."""
    program = rtk.ChainOfThought(SIGNATURE, checks=lambda inputs, step, so_far: inputs["answer"] in step)
    with pytest.raises(StrategyError, match="not shown 'answer'"):
        play(program, [RIGHT], question="?", answer="gold")


@pytest.mark.parametrize("verdict", [False, Check(False, "no units"), Check(False, "no units", 0.2)])
def test_a_checkers_verdict(verdict):
    """False and a failed check are one; the reason is told to the model and the reader."""
    program = rtk.ChainOfThought(SIGNATURE, checks=lambda inputs, step, so_far: verdict if "5" in step else True)
    pred = play(program, [WRONG, RIGHT], question="?")
    assert (pred.answer, kinds(pred)) == ("4", [("chain", "pruned", 2), ("revision", "chosen", 0)])


def test_a_tasks_checker_checks_the_answer():
    """A function of two arguments, such as `task.check`, is given the inputs and the answer."""
    task = rtk.tasks.load("hidden_sequence", size=1, level=1)
    example = task.test[0]
    assert task.check is not None
    wrong = next(f"{a}, {a}, {a}" for a in range(1, 10) if not task.check(example.inputs(), f"{a}, {a}, {a}"))
    replies = [{"reasoning": "a guess", "answer": wrong}, {"reasoning": "the clues", "answer": example.answer}]
    pred = play(rtk.ChainOfThought(task.signature, checks=task.check), replies, **example.inputs())
    assert str(pred.answer) == str(example.answer)
    assert pred.deliberation.root.children[0].children[-1].kind == "check"


@pytest.mark.parametrize(
    ("check", "match"),
    [(lambda inputs, step, so_far: 1 / 0, "<lambda> raised ZeroDivisionError"),
     (lambda inputs, step, so_far: "fine", "<lambda> returned 'fine'")],
)  # fmt: skip
def test_a_check_that_fails_itself_is_named(check, match):
    """It is a mistake in the program, and no verdict."""
    with pytest.raises(StrategyError, match=match) as caught:
        play(rtk.ChainOfThought(SIGNATURE, checks=["arithmetic", check]), [WRONG], question="?")
    assert "steps_so_far" in str(caught.value.mend) or "Check" in str(caught.value.mend)


def test_who_watches_hears_of_failed_checks():
    """One event for each, with the step and the reason."""
    with rtk.watch(only=CheckFailed) as events:
        play(rtk.ChainOfThought(SIGNATURE), [WRONG], question="?")
    assert [(one.text, one.reason) for one in events] == [("1. 2 + 2 = 5.", "2 + 2 = 5: 2 + 2 is 4")]


# --- repair ---


def test_a_failed_check_is_mended():
    """One more ask shows the attempt and the failed step; both chains are kept, and the better one answers."""
    seen = []
    pred = play(
        rtk.ChainOfThought(SIGNATURE, checks="arithmetic"),
        lambda one: seen.append(one) or (WRONG if len(seen) == 1 else RIGHT),
        question="2 + 2?",
    )
    assert (pred.answer, kinds(pred)) == ("4", [("chain", "pruned", 1), ("revision", "chosen", 0)])
    assert pred.deliberation.root.children[1].reason == "asked to mend: 1. 2 + 2 = 5."
    assert (pred.completions.answer, pred.spent.samples) == (["4", "5"], 2)
    assert field_of(seen[1], "attempt") == "1. 2 + 2 = 5.\n2. So it is 5.\nanswer: 5"
    assert field_of(seen[1], "mistake") == "1. 2 + 2 = 5.\nThis is wrong: 2 + 2 = 5: 2 + 2 is 4"
    assert json.loads(json.dumps(pred.deliberation.to_dict())) == pred.deliberation.to_dict()


@pytest.mark.parametrize(
    ("second", "answer", "states"),
    [
        ({"reasoning": "3 + 3 = 7", "answer": "7"}, "5", ["chosen", "pruned"]),
        ({"reasoning": "3 + 3 = 7 and 1 + 1 = 3", "answer": "7"}, "5", ["chosen", "pruned"]),
        ("no form at all", "5", ["chosen", "dead end"]),
        ("", "5", ["chosen", "dead end"]),
    ],
)
def test_a_repair_that_is_no_better_loses(second, answer, states):
    """Even failures leave the first chain, as does a revision that cannot be read; a repair is bounded."""
    pred = play(rtk.ChainOfThought(SIGNATURE, checks="arithmetic"), [WRONG, second], question="?")
    assert (pred.answer, [state for _, state, _ in kinds(pred)]) == (answer, states)


@pytest.mark.parametrize(("repair", "asked"), [(0, 1), (1, 2), (3, 4)])
def test_no_more_repairs_than_admitted(repair, asked):
    """However often it fails; a chain that nothing is wrong with is not mended."""
    program = rtk.ChainOfThought(SIGNATURE, repair=repair)
    assert play(program, lambda one: WRONG, question="?").spent.samples == asked
    assert play(program, lambda one: RIGHT, question="?").spent.samples == 1


def test_each_repair_is_a_sample_of_its_own():
    """Where a revision was no better, the same is asked again, and the next sample of it comes."""
    revisions = iter(["2 + 2 = 6", "2 + 2 = 4"])
    replies = lambda one: {"reasoning": next(revisions), "answer": "x"} if asks(one, "mistake") else WRONG  # noqa: E731
    pred = play(rtk.ChainOfThought(SIGNATURE, repair=2), replies, question="?")
    assert (pred.reasoning, [state for _, state, _ in kinds(pred)]) == ("2 + 2 = 4", ["pruned", "pruned", "chosen"])


def test_a_budget_that_ends_before_the_repair_leaves_the_first_chain():
    """It is the best so far, and the prediction says what ended."""
    pred = play(rtk.ChainOfThought(SIGNATURE, checks="arithmetic"), [WRONG], question="?", budget=rtk.Budget(samples=1))
    assert (pred.answer, pred.stopped, kinds(pred)) == ("5", "samples", [("chain", "chosen", 1)])


def test_a_field_of_the_programs_own_may_be_called_attempt():
    """The repair's fields then have other names."""
    program = rtk.ChainOfThought("attempt, mistake -> answer", checks="arithmetic")
    assert list(program.revise.signature.input_fields) == ["attempt", "mistake", "attempt_", "mistake_"]
    assert play(program, [WRONG, RIGHT], attempt="a", mistake="b").answer == "4"


def test_a_repaired_chain_votes():
    """It nests: every rollout of a vote mends its own."""
    program = rtk.SelfConsistency(rtk.ChainOfThought(SIGNATURE, repair=1), samples=3)
    pred = play(program, lambda one: RIGHT if asks(one, "mistake") else WRONG, question="?")
    assert (pred.answer, pred.confidence.value, pred.spent.samples) == ("4", 1.0, 6)


# --- what models really write ---


def test_the_thoughts_of_a_reasoning_model_are_steps():
    """They are told as thinking, and marked; beside a reasoning of its own they count for nothing."""
    thought = Reply(chain("4", "2 + 2 = 4"), reasoning="First 2 + 2 = 5. Wait, that is off.")
    pred = play(rtk.ChainOfThought(SIGNATURE, checks="arithmetic"), [thought], question="?")
    told = [(one.label, one.text, len(one.children)) for one in pred.deliberation.root.children]
    assert told == [("thinking", "First 2 + 2 = 5.", 1), ("thinking", "Wait, that is off.", 0), ("", "2 + 2 = 4", 0)]


@pytest.mark.parametrize("text", [
    "<think>2 + 2 = 4. So it is.</think>\n" + chain("4", "It is 4."),
    chain("4", "<think>2 + 2 = 4. So it is.</think>It is 4."),
])  # fmt: skip
def test_think_blocks_are_steps(text):
    """Before the fields or in the reasoning."""
    pred = play(rtk.ChainOfThought(SIGNATURE), [text], question="?")
    told = [(one.label, one.text) for one in pred.deliberation.root.children]
    assert told == [("thinking", "2 + 2 = 4."), ("thinking", "So it is."), ("", "It is 4.")]


def test_thinking_counts_where_there_is_nothing_else():
    """A field of DSPy's reasoning type is the thinking itself: its mistakes are mended."""
    program = rtk.ChainOfThought(SIGNATURE, checks="arithmetic", rationale_field_type=dspy.Reasoning)
    pred = play(program, [WRONG, RIGHT], question="?")
    assert (pred.answer, [kind for kind, _, _ in kinds(pred)]) == ("4", ["chain", "revision"])


@pytest.mark.parametrize("reply", [
    "", "   ", "no fields", Reply("[[ ## reasoning ## ]]\ncut", finish_reason="length"), chat(reasoning="", answer=""),
    chain("四", "二加二等于四。所以是四。"), chain("4", "2 + 2 = 5. " * 9_000), chain("4", "<think>" * 9_000),
    chain("4", "$(\\[{1+" * 9_000), chain("4", "```\n" * 20_001), chain("<script>", "<b>2 + 2 = 5</b>"),
], ids=range(11))  # fmt: skip
def test_hostile_replies(reply):
    """Empty, cut, in another language, 100 kB long or crafted: an answer or an abstention, and no markup."""
    pred = play(rtk.ChainOfThought(SIGNATURE, checks="arithmetic"), lambda one: reply, question="?")
    assert pred.answer is None or isinstance(pred.answer, str)
    assert "<script>" not in pred.deliberation.html()
    assert len(str(pred.deliberation)) < 20_000


def test_a_long_attempt_is_shown_in_part():
    """What the model is shown again is bounded."""
    seen = []
    long = {"reasoning": "2 + 2 = 5. " + "so on " * 20_000, "answer": "5"}
    play(rtk.ChainOfThought(SIGNATURE, repair=1), lambda one: seen.append(one) or (long if len(seen) == 1 else RIGHT),
         question="?")  # fmt: skip
    assert len(seen[1].prompt) < 20_000


# --- saving, optimizing, estimating ---


def test_settings_and_the_repairs_predictor_are_saved(tmp_path):
    """Into a plain chain too, which then does what was saved."""
    program = rtk.ChainOfThought(SIGNATURE, steps=4, checks="arithmetic", repair=2)
    program.revise.demos = [dspy.Example(question="1", attempt="a", mistake="m", reasoning="r", answer="2")]
    program.save(tmp_path / "chain.json")
    for loaded in (rtk.ChainOfThought(SIGNATURE), rtk.ChainOfThought(SIGNATURE, steps=2)):
        loaded.load(tmp_path / "chain.json")
        assert (loaded.steps, loaded.checks, loaded.repair) == (4, ["arithmetic"], 2)
        assert len(loaded.revise.demos) == 1


def test_a_saved_dspy_chain_loads_into_one_that_mends(tmp_path):
    """Its predictor is taken over; settings and the repair stay. And back."""
    theirs = dspy.ChainOfThought(SIGNATURE)
    theirs.predict.demos = [dspy.Example(question="1", reasoning="r", answer="2")]
    theirs.save(tmp_path / "theirs.json")
    ours = rtk.ChainOfThought(SIGNATURE, steps=3)
    ours.load(tmp_path / "theirs.json")
    assert (len(ours.predict.demos), ours.steps) == (1, 3)
    ours.save(tmp_path / "ours.json")
    back = dspy.ChainOfThought(SIGNATURE)
    back.load(tmp_path / "ours.json")
    assert len(back.predict.demos) == 1


def test_a_setting_turned_later_is_kept_by_copies():
    """A sweep may turn them on a plain chain, which then has the predictor that a repair needs."""
    program = rtk.ChainOfThought(SIGNATURE)
    assert [name for name, _ in program.named_parameters()] == ["predict"]
    program.repair = 1
    twin = program.deepcopy()
    assert [name for name, _ in twin.named_predictors()] == ["predict", "revise"]
    assert play(twin, [WRONG, RIGHT], question="?").answer == "4"


def test_a_check_may_say_numpys_true_and_false():
    """They are verdicts as any."""
    program = rtk.ChainOfThought(SIGNATURE, checks=[lambda inputs, step, so_far: np.bool_(step != "because")])
    found = play(program, [{"reasoning": one, "answer": one} for one in ("because", "so")], question="?")
    assert found.answer == "so"


def test_a_functions_check_is_taken_from_the_program(tmp_path):
    """JSON cannot hold it; a program without it is told so."""
    program = rtk.ChainOfThought(SIGNATURE, checks=[lambda inputs, step, so_far: True])
    program.save(tmp_path / "chain.json")
    with pytest.raises(StrategyError, match="checks="):
        rtk.ChainOfThought(SIGNATURE, steps=1).load(tmp_path / "chain.json")
    program.load(tmp_path / "chain.json")


def test_optimizers_learn_from_the_chain_that_was_kept():
    """A mended question teaches the repair; the chain with the mistake teaches nobody."""

    def reply(one):
        number = int(field_of(one, "question").split()[0])
        if asks(one, "mistake") or number % 2:
            return chain(2 * number, f"{number} + {number} = {2 * number}")
        return chain(2 * number + 1, f"{number} + {number} = {2 * number + 1}")

    with serving(reply):
        compiled = bootstrap().compile(rtk.ChainOfThought(SIGNATURE, checks="arithmetic"), trainset=TRAINSET)
    assert {demo.question for demo in compiled.predict.demos} == {"1 + 1", "3 + 3"}
    assert {demo.question for demo in compiled.revise.demos} == {"2 + 2", "4 + 4"}


def test_what_a_repair_may_cost_is_estimated():
    """One sample at least, and one for each repair at most."""
    with serving(chain("4")):
        found = rtk.ChainOfThought(SIGNATURE, repair=2).estimate(question="?")
        assert (found.samples.least, found.samples.most) == (1, 3)
        plain = rtk.ChainOfThought(SIGNATURE).estimate(question="?")
        assert (plain.samples.least, plain.samples.most) == (1, 1)


def test_a_repair_is_replayed(tmp_path):
    """Nothing is drawn again, and the same chain is kept."""
    program = rtk.ChainOfThought(SIGNATURE, checks="arithmetic")
    script = lambda one: chain("4", "2 + 2 = 4") if asks(one, "mistake") else chain("5", "2 + 2 = 5")  # noqa: E731
    with serving(script) as server:
        with rtk.recording(tmp_path / "study"):
            first = program(question="?")
        with rtk.recording(tmp_path / "study", mode="replay"):
            again = program(question="?")
        assert (first.answer, again.answer, server.choices_served) == ("4", "4", 2)
    assert again.deliberation.to_dict() == first.deliberation.to_dict()


@pytest.mark.slow
def test_a_real_model_is_asked_to_mend():
    """The embedded model's chains are steps, and where one is wrong it is asked once more, within the budget."""
    task = rtk.tasks.load("arithmetic", size=6)
    program = rtk.ChainOfThought(task.signature, checks="arithmetic")
    program.predict.demos = task.demos(4)
    with dspy.context(lm=rtk.LM("embedded", max_tokens=80), adapter=rtk.LinesAdapter()):
        preds = [program(**example.inputs()) for example in task.test]
    assert all(pred.spent.samples == (2 if pred.deliberation.root.kind == "route" else 1) for pred in preds)
    assert any(pred.spent.samples == 2 for pred in preds)
    assert all(one.children for pred in preds for one in [pred.deliberation.root] if pred.answer is not None)


# --- over modules ---


class Reasoned(dspy.Module):
    """A user's module whose reasoning is of two parts."""

    def __init__(self):
        super().__init__()
        self.think = dspy.Predict("question -> notes")
        self.tell = dspy.Predict("question, notes -> answer")

    def forward(self, question):
        """Notes, then the answer from them."""
        notes = self.think(question=question).notes
        return dspy.Prediction(reasoning=notes, answer=self.tell(question=question, notes=notes).answer)


def test_the_chain_of_a_module_is_checked_and_mended():
    """Any module that gives a reasoning: what is wrong in it is shown to a predictor that writes it anew."""

    def script(received):
        if asks(received, "notes") and not asks(received, "answer"):
            return chat(notes="2 + 2 = 5. So it is five.")
        if asks(received, "attempt"):
            return chain("4", "2 + 2 = 4.")
        return chat(answer="5")

    with serving(script):
        program = rtk.ChainOfThought(Reasoned(), checks="arithmetic")
        found = program(question="2 + 2?")
    assert found.answer == "4"
    assert [name for name, _ in program.named_predictors()] == ["predict.think", "predict.tell", "revise"]
    assert {step.kind for _, step in found.deliberation.walk()} >= {"chain", "step", "check", "revision"}


def test_a_predictor_of_the_users_own_is_the_chain():
    """Its demonstrations, instructions and samples stay its own."""
    own = dspy.ChainOfThought("question -> answer")
    own.predict.demos = [dspy.Example(question="q", reasoning="mine", answer="a")]
    with serving(chain("4")) as server:
        own(question="?")
        assert rtk.ChainOfThought(own)(question="?").answer == "4"
        assert server.count == 1


@pytest.mark.parametrize("settings", [{"steps": 3}, {"temperature": 0.5}])
def test_what_reaches_a_predictor_only_is_refused_for_a_module(settings):
    """It names the setting."""
    with pytest.raises(StrategyError, match=next(iter(settings))):
        rtk.ChainOfThought(Reasoned(), **settings)
