"""Optimizing: every optimizer on training questions, measured on held-out ones, silent, and paid for once."""

import asyncio
import sys
import threading

import dspy
import pytest
from sums_optimized import OPTIONS, SUM, asked, clever, optimized, serving, task

import rtk
from rtk.errors import EndpointError, MissingExtra, StrategyError, TaskError
from rtk.experiments import OPTIMIZERS
from rtk.testing import Reply

WITH_SCORES = [name for name in OPTIMIZERS if name not in ("labeled", "bootstrap")]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_improves_what_can_be_improved(name):
    """A model that calculates once it is shown how is shown how; the difference on held-out questions is told."""
    with serving():
        found = optimized(name, size=30)
    assert found.improved, repr(found)
    assert found.difference.low > 0
    assert found.verdict.startswith("Improved: +")
    assert found.p_value < 0.05
    assert found.stopped is None
    assert found.diff().changed
    assert bool(found.candidates) == (name in WITH_SCORES)
    assert not found.candidates or any(one.chosen for one in found.candidates)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_held_out_questions_are_asked_when_all_else_is_over(name):
    """No optimizer sees a test question, and none is asked before the optimizer is done."""
    asks = task()
    test = {example.question for example in asks.test}
    with serving() as server:
        optimized(name)
        calculations = [asked(received) is not None and received.last for received in server.requests]
    held_out = [bool(text) and any(question in text for question in test) for text in calculations]
    first = held_out.index(True)
    assert all(held_out[first:])
    assert not any(held_out[:first])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_call_again_draws_nothing_and_finds_the_same(name):
    """All an optimizer asks for is stored, its choices are seeded, and so is what it prints."""
    with serving() as server:
        first = optimized(name)
        drawn = server.choices_served
        second = optimized(name)
        assert server.choices_served == drawn
    assert repr(second) == repr(first)
    assert second.diff() == first.diff()
    assert (second.spent.drawn, second.spent.samples) == (0, first.spent.samples)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_outside_is_changed_and_nothing_is_printed(name, capfd):
    """The program, DSPy's settings and the streams are as before; what the optimizer said is in the log."""
    with serving():
        program = rtk.ChainOfThought(task().signature)
        state, before = program.dump_state(), {key: id(value) for key, value in dspy.settings.copy().items()}
        streams, kwargs = (sys.stdout, sys.stderr), dict(dspy.settings.lm.kwargs)
        found = optimized(name, program=program)
        assert {key: id(value) for key, value in dspy.settings.copy().items()} == before
        assert (sys.stdout, sys.stderr) == streams
        assert dspy.settings.lm.kwargs == kwargs
    assert program.dump_state() == state
    assert found.program is not program
    assert capfd.readouterr() == ("", "")
    assert found.log or name == "labeled"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_the_optimizer_took_is_counted_apart(name):
    """Samples of the optimizer and those of measuring together are those that were drawn."""
    with serving() as server:
        found = optimized(name)
        measured = found.results.rows("drawn")["drawn"].sum()
        assert found.spent.drawn + measured == server.choices_served
    assert found.spent.calls >= found.runs
    assert (name == "labeled") == (found.runs == 0)


def test_nothing_is_claimed_where_nothing_was_found():
    """Where demonstrations do not help, the verdict says so, and `improved` is False."""
    with serving(lambda received: "reasoning: hm\nanswer: 1"):
        found = optimized("labeled")
    assert not found.improved
    assert found.verdict.startswith("No improvement was found: 0.00 on 12 questions")
    assert "No improvement was found" in repr(found)
    assert "No improvement was found" in found._repr_html_()


def test_prompts_that_are_as_they_were_are_measured_once():
    """Where bootstrapping finds no right run, and adds no labels, both measurements are one."""
    with serving(lambda received: "reasoning: hm\nanswer: 1"):
        found = optimized("bootstrap", max_labeled_demos=0)
    assert found.verdict == "No improvement was found: the prompts are as they were."
    assert [arm.label for arm in found.results.settings] == ["before"]
    assert found.before == found.after
    assert (found.difference.value, found.p_value, found.difference.size) == (0.0, 1.0, 12)
    assert [row["setting"] for row in found.rows()] == ["before", "after"]
    assert not found.diff().changed


def test_what_got_worse_is_said_to_be_worse():
    """An interval below 0 is no improvement and no draw."""

    def spoilt(received):
        a, b, c = map(int, SUM.search(received.last).groups())
        return f"reasoning: r\nanswer: {1 if len(received.messages) > 2 else (a + b) * c}"

    with serving(spoilt):
        found = optimized("labeled")
    assert found.verdict.startswith("It got worse: −1.00")
    assert not found.improved


def test_a_vote_keeps_its_settings_and_a_users_module_is_optimized():
    """What is optimized is prompts: the number of samples is as before, also within a module of a user's own."""

    class Holder(dspy.Module):
        def __init__(self):
            super().__init__()
            self.vote = rtk.SelfConsistency(task().signature, samples=3)

        def forward(self, question):
            return dspy.Prediction(answer=self.vote(question=question).answer)

    with serving():
        found = optimized("bootstrap", program=Holder())
    assert found.program.vote.samples == 3
    assert found.improved
    assert [one.name for one in found.diff().predictors] == ["vote.chain.predict"]


def test_a_compiled_program_is_optimized_further():
    """What an optimizer froze is thawed in a copy."""
    with serving():
        first = optimized("bootstrap").program
        assert first._compiled
        second = optimized("copro", program=first)
    assert first._compiled
    assert len(second.program.predict.demos) == len(first.predict.demos)


def test_an_optimizer_of_dspys_is_taken_as_it_is():
    """An instance with a metric of its own compiles, and is itself left as it was; options go to its `compile`."""
    seen = []

    def metric(example, pred, trace=None):
        seen.append(example.id)
        return task().metric(example, pred)

    mine = dspy.BootstrapFewShot(metric=metric, max_bootstrapped_demos=1, max_labeled_demos=0)
    with serving():
        teacher = dspy.LabeledFewShot(k=2).compile(rtk.ChainOfThought(task().signature), trainset=task().train)
        found = optimized(mine, teacher=teacher)
        by_class = optimized(dspy.BootstrapFewShot, max_bootstrapped_demos=1, max_labeled_demos=0, teacher=teacher)
    assert seen
    assert not hasattr(mine, "student")
    assert found.optimizer == "BootstrapFewShot"
    assert found.diff() == by_class.diff()
    assert found.settings["teacher"] == "a ChainOfThought"


def test_a_seed_is_another_order_of_the_training_questions():
    """Each seed chooses by itself, the same every time."""
    with serving():
        zero, one, again = (optimized("labeled", seed=seed).diff() for seed in (0, 1, 1))
    assert one == again != zero


def test_a_prompt_model_writes_and_the_program_s_own_answers():
    """Instructions are asked of the prompt model alone."""
    with serving() as server, serving() as writer:
        lm = rtk.LM("openai/scripted", api_base=writer.url, api_key="x")
        with dspy.context(lm=rtk.LM("openai/scripted", api_base=server.url, api_key="x", seed=1, revision="2")):
            found = optimized("copro", prompt_model=lm)
        assert all(asked(received) is None for received in writer.requests)
        assert all(asked(received) is not None for received in server.requests)
    assert writer.count > 0
    assert found.improved


def test_a_plain_lm_of_dspys_is_counted():
    """A model that is not rtk's own is asked as ever, and a budget holds for it too."""
    with serving() as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="x", cache=False, seed=1, temperature=0.7)
        with dspy.context(lm=plain):
            found = optimized("random-search", budget=rtk.Budget(samples=9))
    assert found.spent.samples == 9
    assert found.stopped == "samples"


def test_simbas_teacher_is_as_it_was():
    """SIMBA writes a rollout into its teacher's settings; they are put back."""
    with serving():
        teacher = dspy.settings.lm.copy(temperature=0.9)
        before = dict(teacher.kwargs)
        optimized("simba", teacher_settings={"lm": teacher})
        assert teacher.kwargs == before


async def test_it_works_where_an_event_loop_runs():
    """As in a notebook's cell, while the loop is busy with this very call."""
    assert asyncio.get_running_loop().is_running()
    with serving():
        assert optimized("random-search").improved


def test_others_print_while_an_optimizer_is_silent(capfd):
    """What another thread says meanwhile is not taken away."""
    told = threading.Event()

    def other():
        print("from elsewhere")
        told.set()

    def tick():
        if not told.is_set():
            threading.Thread(target=other).start()
            told.wait(60)

    with serving():
        found = optimized("bootstrap", progress=tick)
    assert capfd.readouterr().out == "from elsewhere\n"
    assert any("Bootstrapped" in line for line in found.log)


def test_progress_is_told_after_each_run():
    """A function hears of every run of the optimizer, and then of the held-out questions."""
    ticks = []
    with serving():
        found = optimized("random-search", progress=lambda: ticks.append(1))
    assert len(ticks) == found.runs + 24


# --- what cannot be done is said before anything is asked ---


@pytest.mark.parametrize("optimizer", ["mipro", "instance", dspy.BootstrapFewShot])
def test_a_missing_package_is_named_before_anything_is_asked(optimizer, monkeypatch):
    """Without optuna, MIPRO is refused with what to install, whoever made it; others do without."""
    with serving() as server:
        made = dspy.MIPROv2(metric=task().metric) if optimizer == "instance" else optimizer
        monkeypatch.setitem(sys.modules, "optuna", None)
        if optimizer is dspy.BootstrapFewShot:
            assert optimized(optimizer).improved
            return
        with pytest.raises(MissingExtra) as caught:
            optimized(made)
        assert server.count == 0
    assert caught.value.mend == "pip install 'rtk-inference[optimize]'"


WRONG = [
    ({"name": "bootstraps"}, StrategyError, "is no optimizer"),
    ({"name": None}, StrategyError, "is no optimizer"),
    ({"name": "bootstrap", "max_bootstraped_demos": 2}, StrategyError, "takes no max_bootstraped_demos="),
    ({"name": "labeled", "trainset": []}, StrategyError, "takes no trainset="),
    ({"name": dspy.LabeledFewShot(k=2), "k": 3}, StrategyError, "once it is made"),
    ({"name": "labeled", "program": "question -> answer"}, StrategyError, "is no program"),
    ({"name": "labeled", "program": dspy.Module()}, StrategyError, "no predictor"),
    ({"name": "labeled", "train": 0}, StrategyError, "train=0"),
    ({"name": "labeled", "dev": 1000}, TaskError, "dev questions, 1000 were asked for"),
    ({"name": "labeled", "concurrency": 0}, StrategyError, "concurrency=0"),
]


@pytest.mark.parametrize(("given", "kind", "said"), WRONG)
def test_a_mistake_is_named_with_its_mend(given, kind, said):
    """Whatever cannot work is refused, with what to type, and nothing is asked."""
    with serving() as server:
        with pytest.raises(kind, match=said) as caught:
            optimized(**given)
        assert server.count == 0
    assert caught.value.mend


def test_questions_in_two_splits_are_refused():
    """What is reported on may not be learnt from."""
    asks = task()
    asks.train[0] = asks.test[3]
    with serving(), pytest.raises(TaskError, match="held-out questions are train questions too"):
        rtk.optimize(rtk.ChainOfThought(asks.signature), asks, "labeled")


def test_a_judged_task_is_refused_before_anything_is_asked():
    """Before and after are compared by right and wrong; where answers are graded, that is said at once."""
    ideas = rtk.tasks.load("brainstorm", size=2).judged_by(lambda *given, **named: 7)
    with serving() as server:
        with pytest.raises(TaskError, match="mean judged score"):
            rtk.optimize(rtk.ChainOfThought(ideas.signature), ideas, "labeled")
        assert server.count == 0


def test_without_a_model_nothing_begins():
    """The error says how to name one."""
    with dspy.context(lm=None), pytest.raises(StrategyError, match="no model") as caught:
        optimized("labeled")
    assert "rtk.LM" in caught.value.mend


# --- what goes wrong on the way ---


def test_runs_that_raise_are_counted_and_stop_nothing():
    """A question that never comes is wrong in every candidate, and is told of."""
    first = task().dev[0].question

    def script(received):
        return Reply("no", status=400) if first in received.last else clever(received)

    with serving(script):
        found = optimized("random-search")
    assert len(found.errors) == len(found.candidates) == 5
    assert "5 of " in found.verdict
    assert max(one.score for one in found.candidates) == pytest.approx(5 / 6)


def test_where_nobody_listens_there_is_one_error():
    """An endpoint that is gone ends the optimizer at once, and no candidate is scored 0."""
    with serving() as server:
        url = server.url
    gone = rtk.LM("openai/scripted", api_base=url, api_key="x", num_retries=0)
    with dspy.context(lm=gone), pytest.raises(EndpointError):
        optimized("random-search")


@pytest.mark.parametrize("name", ["bootstrap", "random-search", "gepa", "simba"])
def test_a_program_without_the_tasks_answer_ends_it(name):
    """The metric's refusal is an error and no score of 0 for everything."""
    with serving(lambda received: "verdict: 4"), pytest.raises(TaskError, match="no 'answer'"):
        optimized(name, program=dspy.Predict("question -> verdict"))


def test_an_optimizer_that_fails_says_what_to_do():
    """A model that cannot write what COPRO wants is named as the likely cause."""

    def script(received):
        return clever(received) if asked(received) else Reply("no", status=400)

    with serving(script), pytest.raises((StrategyError, rtk.SampleError)) as caught:
        optimized("copro")
    assert caught.value.mend


def test_every_optimizer_is_tried_here():
    """The options above name every optimizer there is."""
    assert sorted(OPTIONS) == sorted(OPTIMIZERS)
