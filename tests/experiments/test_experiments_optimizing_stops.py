"""Optimizers that are stopped: by a budget, by a person, or killed; the best so far comes out, and nothing is lost."""

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from sums_optimized import clever, optimized, serving, task

import rtk
from rtk.experiments import OPTIMIZERS
from rtk.experiments.optimizers.compiling import prompts

SEARCHING = [name for name in OPTIMIZERS if name != "labeled"]


def whole(name):
    """An optimizer that nobody stops."""
    with serving():
        return optimized(name)


@pytest.mark.parametrize("name", SEARCHING)
def test_a_budget_may_end_it_at_any_moment(name):
    """At most what it allows is spent, the best so far comes out, and both are measured and told of."""
    end = whole(name).spent.samples
    for samples in sorted({0, 1, end - 1, *Random(name).sample(range(1, end), min(4, end - 1))}):
        with serving():
            found = optimized(name, budget=rtk.Budget(samples=samples))
        assert found.stopped == "samples", samples
        assert found.spent.samples <= samples
        assert found.after["questions"] == 12
        assert "budget of samples" in found.verdict
        best_so_far(name, found)


def best_so_far(name, found):
    """What came out is the best of those scored on the most questions, and what was given where there are none."""
    if found.candidates:
        most = max(one.questions for one in found.candidates)
        best = max(one.score for one in found.candidates if one.questions == most)
        assert any(one.chosen and one.score == best and one.questions == most for one in found.candidates)
    elif name != "bootstrap":
        assert not found.diff().changed
        assert "before it had anything to show" in found.verdict


@pytest.mark.parametrize("name", SEARCHING)
def test_a_budget_that_suffices_changes_nothing(name):
    """With exactly what it needs, an optimizer comes to its own end, and to the same one."""
    free = whole(name)
    with serving():
        found = optimized(name, budget=rtk.Budget(samples=free.spent.samples))
    assert found.stopped is None
    assert found.diff() == free.diff()


@pytest.mark.parametrize("unit", ["calls", "tokens", "seconds"])
def test_every_unit_of_a_budget_ends_it(unit):
    """Calls, tokens and seconds stop it as samples do."""
    amount = {"calls": 9, "tokens": 3000, "seconds": 0}[unit]
    with serving(max_tokens=40):
        found = optimized("random-search", budget=rtk.Budget(**{unit: amount}))
    assert found.stopped == unit
    assert getattr(found.spent, unit, 0) <= amount


def test_bootstrapping_keeps_the_demonstrations_it_has():
    """A budget that ends it after some right runs gives these, and labels of other questions as ever."""
    with serving():
        found = optimized("bootstrap", budget=rtk.Budget(samples=2), max_bootstrapped_demos=4, max_labeled_demos=6)
    demos = found.program.predict.demos
    assert found.stopped == "samples"
    assert any("reasoning" in demo for demo in demos)
    assert len(demos) == 6
    assert len({demo.question for demo in demos}) == 6


def test_what_was_answered_under_a_spent_budget_scores_no_candidate():
    """A candidate that the budget cut short has no score, though its other runs have."""
    with serving():
        found = optimized("random-search", budget=rtk.Budget(samples=6 + 6 + 3))
    assert [one.questions for one in found.candidates] == [6, 6]
    assert found.runs > 12


def test_a_vote_that_a_budget_cuts_short_scores_nothing_either():
    """A strategy gives its best so far where a budget ends it; that is no answer of the candidate's."""
    with serving():
        vote = rtk.SelfConsistency(task().signature, samples=4)
        found = optimized("random-search", program=vote, budget=rtk.Budget(samples=6 * 4 + 3))
    assert found.stopped == "samples"
    assert [one.questions for one in found.candidates] == [6]


def test_a_budget_of_the_programs_own_ends_nothing_else():
    """A module that keeps its votes within a budget of its own goes on being optimized."""

    class Thrifty(rtk.Strategy):
        def __init__(self):
            super().__init__()
            self.vote = rtk.SelfConsistency(task().signature, samples=4)

        def forward(self, question):
            return self.vote(question=question, budget=rtk.Budget(samples=2))

    with serving():
        found = optimized("bootstrap", program=Thrifty(), budget=rtk.Budget(samples=1000))
    assert found.stopped is None
    assert found.improved


def test_a_budget_around_the_call_ends_it_too():
    """What stands around counts as well; where it leaves nothing to measure with, nothing is measured."""
    with serving(), rtk.Budget(samples=7):
        found = optimized("random-search")
    assert found.stopped == "samples"
    assert found.comparison is None or found.after["questions"] == 12


def interrupting(after):
    """A progress that interrupts after so many runs, as Ctrl-C would."""
    left = [after]

    def tick():
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    return tick


@pytest.mark.parametrize("name", SEARCHING)
def test_an_interruption_keeps_everything(name, tmp_path):
    """The best so far comes out unmeasured; the same call again goes on from what was drawn, to the same end."""
    with serving() as server:
        free = optimized(name)
        drawn = server.choices_served
    for after in sorted({1, *Random(name).sample(range(1, free.runs), min(2, free.runs - 1))}):
        with serving(store=tmp_path / str(after)) as server:
            found = optimized(name, progress=interrupting(after))
            assert found.stopped == "interrupted"
            assert found.comparison is None
            assert not found.improved
            assert "was interrupted" in repr(found)
            assert "was interrupted" in found._repr_html_()
            with pytest.raises(rtk.errors.TaskError) as caught:
                _ = found.difference
            assert "same call again" in caught.value.mend
            again = optimized(name)
            assert drawn <= server.choices_served <= drawn + 16  # what was under way is drawn again
        assert again.diff() == free.diff()
        assert again.difference == free.difference


def test_an_interruption_while_measuring_keeps_the_program():
    """What was compiled comes out, unmeasured."""
    with serving():
        free = optimized("bootstrap")
        found = optimized("bootstrap", progress=interrupting(free.runs + 3))
    assert found.stopped == "interrupted"
    assert found.comparison is None
    assert prompts(found.program) == prompts(free.program)
    assert found.verdict == "The new prompts were not measured. It was interrupted early; this is the best so far."


RUN = """
import sys
sys.path[:0] = [{folder!r}]
import dspy, rtk
from sums_optimized import optimized
lm = rtk.LM("openai/scripted", api_base={url!r}, api_key="x", num_retries=0, seed=1, store={store!r})
with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
    optimized({name!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random-search", "mipro", "simba"])
def test_a_killed_optimizer_goes_on_where_it_was(name, tmp_path):
    """After kill -9 the same call draws what is missing, and at most what was on its way again."""
    with serving() as server:
        optimized(name, concurrency=2)
        needed = server.choices_served
    moments = Random(name)
    with serving(clever, store=tmp_path / "samples") as server:
        for _ in range(3):
            code = RUN.format(folder=str(Path(__file__).parent), url=server.url, store=str(tmp_path / "samples"),
                              name=name)  # fmt: skip
            running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
            enough, deadline = server.choices_served + moments.randrange(1, needed // 3), time.monotonic() + 120
            while server.choices_served < enough and time.monotonic() < deadline and running.poll() is None:
                time.sleep(0.005)
            running.kill()
            running.wait()
        found = optimized(name, concurrency=2)
        assert found.stopped is None
        assert needed <= server.choices_served <= needed + 3 * 16
        drawn = server.choices_served
        optimized(name, concurrency=2)
        assert server.choices_served == drawn
