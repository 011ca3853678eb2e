"""Calibrating adaptive effort: what is learned on questions with known answers, and what it is worth."""

import asyncio
import json
import random
import re
from itertools import pairwise

import dspy
import pytest
from scripted import Seen, TwoSteps, asks, chain, chat, serving

import rtk
from rtk.errors import StrategyError
from rtk.testing import Reply

SIGNATURE = "question -> answer"


def questions(size=45, first=0):
    """Questions whose answer is 1; by their number easy, hard and hopeless in turn."""
    return [dspy.Example(question=f"q{n}", answer="1").with_inputs("question") for n in range(first, first + size)]


def number_of(received):
    return int(re.findall(r"q(\d+)", received.prompt)[-1])


def model_of(received):
    """Easy: right. Hard: right for a little more than half, so that more votes help. Hopeless: all over the place."""
    number = number_of(received)
    chance = random.Random(f"{number} {received.body['seed']}")
    if number % 3 == 0:
        return chain("1")
    if number % 3 == 1:
        return chain("1" if chance.random() < 0.56 else "2")
    return chain(str(chance.randint(2, 30)))


def worthless(received):
    """Always of one mind, and right for half of the questions."""
    return chain("1" if random.Random(number_of(received)).random() < 0.5 else "2")


def effort(probe=3, ladder=(9, 15), **settings):
    return rtk.AdaptiveEffort(SIGNATURE, probe, ladder, **settings)


def test_effort_goes_where_more_samples_help():
    """Easy and hopeless questions stop early, hard ones go on; what is saved is told on questions kept aside."""
    program = effort()
    with serving(model_of, seed=1) as server:
        found = program.calibrate(questions(60), within=0.02, progress=None)
        assert server.choices_served == 60 * 15
        assert found.informative
        assert found.cost < 0.7 * found.full_cost == 0.7 * 15
        assert found.difference.low < 0.0 < found.difference.high + 0.02
        drawn = server.choices_served
        routes = [program(question=f"q{n}").route for n in range(60)]
        assert server.choices_served == drawn
    samples = [sum(sum(one.samples for one in route) for route in routes[kind::3]) / 20 for kind in range(3)]
    assert samples[0] < samples[1]
    assert found.learned["policy"].to_dict() == program.policy
    assert found.size == 60
    assert "effort by lead costs" in found.why


def test_the_calibrated_program_follows_its_plan():
    """Every rung of a route is the one that the plan names for the measure's value there."""
    program = effort()
    with serving(model_of, seed=1):
        program.calibrate(questions(60), within=0.02, progress=None)
        plan = program.plan
        for number in range(100, 130):
            route = program(question=f"q{number}").route
            for one, after in zip(route, [*route[1:], None], strict=True):
                assert plan.decide(one.name, one.value).then == (after and after.name)


def test_what_is_learned_holds_on_other_questions():
    """Fewer samples than all, and nearly as many right, on questions that nobody has seen."""
    program, full = effort(), rtk.SelfConsistency(SIGNATURE, 15)
    with serving(model_of, seed=1):
        program.calibrate(questions(60), within=0.02, progress=None)
        new = questions(60, first=900)
        got = [(program(**one.inputs()), full(**one.inputs())) for one in new]
    right = [sum(pair[side].answer == "1" for pair in got) / 60 for side in (0, 1)]
    assert right[0] >= right[1] - 0.1
    assert sum(one.spent.samples for one, _ in got) < 0.7 * 60 * 15


def test_a_measure_that_is_worth_nothing_is_said_so_and_effort_is_fixed():
    """A model that is always of one mind: every question gets the cheapest rung that is as good as all of them."""
    program = effort()
    with serving(worthless, seed=1):
        found = program.calibrate(questions(), progress=None)
        routes = [program(question=f"q{n}").route for n in (0, 1, 2)]
    assert not found.informative
    assert "does not tell right answers from wrong ones" in found.why
    assert program.plan.fixed == "3"
    assert [[one.name for one in route] for route in routes] == [["3"]] * 3
    assert (found.cost, found.difference.value) == (3.0, 0.0)


def test_token_probabilities_that_are_worth_nothing_are_told_from_those_that_are_worth_something():
    """The same answers: log-probabilities at random, then high where the answer is right."""

    def replies(honest):
        def reply(received):
            chance = random.Random(f"{number_of(received)} {received.body['seed']}")
            right = chance.random() < (0.9 if number_of(received) % 2 else 0.1)
            told = -0.1 if right else -2.0
            logprob = told if honest else -chance.random()
            return Reply(chain("1" if right else "2"), logprobs=[{"token": "1", "logprob": logprob}])

        return reply

    informative = {}
    for honest in (True, False):
        with serving(replies(honest), seed=4):
            program = effort(2, (5,), measure="confidence")
            asked = questions(first=0 if honest else 300)  # others, for those of the first are stored
            informative[honest] = program.calibrate(asked, progress=None).informative
    assert informative == {True: True, False: False}


def test_the_policy_survives_saving():
    """As JSON, read back into a program of the same ladder."""
    program, other = effort(), effort()
    with serving(model_of, seed=1):
        program.calibrate(questions(), within=0.05, progress=None)
        other.load_state(json.loads(json.dumps(program.dump_state())))
        assert (other.policy, str(other.plan)) == (program.policy, str(program.plan))
        assert other(question="q1").route == program(question="q1").route
    other.probe = 2
    with pytest.raises(StrategyError, match="calibrate again, or policy=None"):
        other.check_settings()


def test_the_same_questions_teach_the_same():
    """Awaited too; another seed deals other folds."""
    programs = [effort() for _ in range(3)]
    with serving(model_of, seed=1):
        found = [program.calibrate(questions(), progress=None) for program in programs[:2]]
        found.append(asyncio.run(programs[2].acalibrate(questions(), progress=None)))
    assert repr(found[0]) == repr(found[1]) == repr(found[2])
    assert programs[0].policy == programs[1].policy == programs[2].policy


@pytest.mark.parametrize(("unit", "most"), [("samples", 8), ("seconds", 1e9), ("tokens", 1e9), ("dollars", 1e9)])
def test_cost_may_be_in_any_unit(unit, most):
    """The report is in it, and what is learned costs no more than full effort."""
    with serving(model_of, seed=1, price=(1, 1)):
        found = effort(2, (8,)).calibrate(questions(30), cost=unit, progress=None)
    assert found.unit == unit
    assert 0 < found.cost - 1e-9 <= found.full_cost <= most


def test_dollars_need_a_price():
    """And other units have names."""
    with serving(model_of, seed=1):
        with pytest.raises(StrategyError, match="unknown price"):
            effort(2, (3,)).calibrate(questions(10), cost="dollars", progress=None)
        with pytest.raises(StrategyError, match="one of samples, tokens"):
            effort(2, (3,)).calibrate(questions(10), cost="euros", progress=None)


def test_programs_are_rungs_that_are_learned_too():
    """A program that is right on all but the easy ones is gone to where the probe is torn, and only there."""
    deep = dspy.Predict("question -> deep, answer")
    program = effort(4, [deep])
    script = lambda one: chat(deep="x", answer="1") if asks(one, "deep") else model_of(one)  # noqa: E731
    with serving(script, seed=1):
        found = program.calibrate(questions(), within=0.04, progress=None)
        easy, hopeless = program(question="q300"), program(question="q302")
    assert [one.name for one in easy.route] == ["4"]
    assert [one.name for one in hopeless.route] == ["4", "Predict"]
    assert 4.0 < found.cost < found.full_cost == 5.0
    assert found.full.value == 1.0
    assert found.accuracy.value > 0.9


def test_what_calibrating_draws_is_what_calls_draw():
    """Climbing every rung of a ladder of votes, predictors, strategies and modules, a later call draws nothing."""
    deep = [dspy.Predict("question -> deep, answer"), rtk.SelfConsistency("question -> deep, answer", 3), TwoSteps()]
    program = effort(2, (4, *deep))
    with serving(lambda one: chat(reasoning="r", deep="x", answer="1"), seed=1) as server:
        program.calibrate(questions(10), progress=None)
        drawn = server.choices_served
        climb = {one: [{"then": after}] for one, after in pairwise(program.rungs)}
        program.policy = {"after": climb}
        found = program(question="q3")
        assert server.choices_served == drawn
    assert [one.name for one in found.route] == ["2", "4", "Predict", "SelfConsistency", "TwoSteps"]
    assert drawn == 10 * found.spent.samples


def test_a_vote_over_the_same_chains_costs_those_that_were_passed_over_too():
    """The costs of the report are those of calls, whichever rungs a policy passes over; fixed full effort is itself."""
    program = effort(2, (4, 8, {"samples": 12}))
    with serving(worthless, seed=1):
        found = program.calibrate(questions(), within=0.0, metric=lambda example, pred: 1.0, progress=None)
        program.policy = {"after": {2: [{"then": "SelfConsistency"}]}}
        assert program(question="q1").spent.samples == 12 == found.full_cost


def test_where_full_effort_is_what_is_done_the_report_is_of_it():
    """And not of what the folds would have done: nothing is lost, nothing is saved."""
    program = effort(2, (4, 16))
    with serving(model_of, seed=2):
        found = program.calibrate(questions(20), progress=None)
    assert program.plan.fixed == "16"
    assert (found.difference.value, found.cost) == (0.0, found.full_cost)


# --- what may go wrong ---


def test_a_metric_that_fails_is_found_out_before_anything_is_drawn():
    """With what it is to take."""
    with serving(model_of) as server:
        with pytest.raises(StrategyError, match="the metric failed"):
            effort().calibrate(questions(12), metric=lambda example: True, progress=None)
        assert server.count == 0


def test_a_budget_ends_it_and_what_is_whole_counts():
    """Learned from the questions that were answered; with too few, an error that says so, and nothing is changed."""
    program = effort(2, (4,))
    with serving(model_of, seed=1):
        found = program.calibrate(questions(), budget=rtk.Budget(samples=4 * 20 + 1), progress=None)
        assert (found.size, found.stopped) == (20, "samples")
        assert "20 questions are few" in found.why
        other = effort(2, (4,))
        with pytest.raises(StrategyError, match="9 questions whole, for the budget of samples ended first"):
            other.calibrate(questions(), budget=rtk.Budget(samples=4 * 9), progress=None)
    assert other.policy is None


def test_an_interrupt_changes_nothing_and_loses_nothing():
    """What was drawn is there when it is calibrated again."""
    program, ticks, came, again = effort(2, (4,)), [], Seen(), Seen()

    def tick():
        ticks.append(1)
        if len(ticks) == 5:
            raise KeyboardInterrupt

    with serving(model_of, seed=1):
        with rtk.watch(came), pytest.raises(KeyboardInterrupt):
            program.calibrate(questions(12), progress=tick)
        there = set(came.addresses)
        assert program.policy is None
        with rtk.watch(again):
            program.calibrate(questions(12), progress=None)
    assert len(there) >= 5 * 4
    assert all(event.reused for event in again if event.sample.address in there)
    assert len(set(again.addresses)) == 12 * 4
    assert program.policy is not None


def test_questions_of_which_nothing_came_are_left_out():
    """And told; where that is most of them, it is an error."""

    def reply(received):
        return Reply("", status=500) if number_of(received) % 4 == 0 else model_of(received)

    with serving(reply, seed=1):
        found = effort(2, (4,)).calibrate(questions(40), progress=None)
        assert found.size == 30
        assert "of 10 more no sample came" in found.why
        with pytest.raises(StrategyError, match="9 questions whole; of 3 more no sample came"):
            effort(2, (4,)).calibrate(questions(12), progress=None)


def test_where_all_abstain_every_question_gets_the_least():
    """No rung is better than another."""
    with serving(lambda received: "no idea", seed=1):
        program = effort(2, (4,))
        found = program.calibrate(questions(12), progress=None)
    assert (found.full.value, program.plan.fixed) == (0.0, "2")
    assert not found.informative


def test_at_temperature_0_nothing_is_gained_by_votes():
    """One sample each, and the ladder ends there."""
    with serving(model_of, seed=1) as server:
        program = effort(2, (4,), temperature=0)
        program.calibrate(questions(12), progress=None)
        assert server.choices_served == 12
    assert program.plan.fixed == "2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((questions(9),), "9 questions whole"), (([],), "no questions"), (("task",), "no questions"),
        (([dspy.Example(question="q1", answer="1")] * 12,), "which fields are inputs"),
    ],
)  # fmt: skip
def test_questions_that_cannot_be_are_refused(given, said):
    """Before anything is asked."""
    with serving(model_of) as server:
        with pytest.raises(StrategyError, match=said):
            effort().calibrate(*given, progress=None)
        assert server.count == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"within": 1}, "within=1"),
        ({"folds": 1}, "folds=1"),
        ({"seed": -1}, "seed=-1"),
        ({"metric": "exact"}, "metric"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, said):
    """By name."""
    with pytest.raises(StrategyError, match=said):
        effort().calibrate(questions(12), **arguments)


def test_a_ladder_of_one_rung_has_nothing_to_learn():
    """It says what to write instead."""
    with pytest.raises(StrategyError, match="one rung"):
        effort(4, ()).calibrate(questions(12))


def test_a_task_brings_its_dev_questions_and_its_metric():
    """And a metric of one's own goes before."""
    rows = [{"question": f"q{3 * n}", "answer": "1"} for n in range(40)]
    task = rtk.tasks.Task.from_frame(rows, size=10)
    with serving(model_of, seed=1):
        found = effort(2, (4,)).calibrate(task, progress=None)
        assert (found.size, found.full.value) == (len(task.dev), 1.0)
        never = effort(2, (4,)).calibrate(task, metric=lambda example, pred: 0.0, progress=None)
    assert never.full.value == 0.0
