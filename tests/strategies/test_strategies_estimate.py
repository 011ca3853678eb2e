"""Estimates: what a call would ask and cost is said before it is made, and what it then asks lies within that."""

from contextlib import contextmanager

import dspy
import pytest
from dspy.clients import base_lm
from dspy.utils.callback import BaseCallback
from peeks import SIGNATURE, numbers, searching, vote
from scripted import Seen, asks, chain, chat, choices, field_of, serving, tree

import rtk
from rtk.testing import Reply

PRICE = (1.0, 2.0)  # dollars per million tokens


@contextmanager
def drawing(script, **kwargs):
    """A server whose samples are a function of their addresses, with a price, and at most 40 tokens each."""
    with serving(script, **{"seed": 1, "max_tokens": 40, "price": PRICE, **kwargs}) as server:
        yield server


class Debate(rtk.Strategy):
    """The strategy of the README: views, and a judge of them."""

    def __init__(self, speakers=2, on=SIGNATURE):
        super().__init__()
        self.speakers = speakers
        self.speak = on if isinstance(on, dspy.Module) else dspy.ChainOfThought(on)
        self.judge = dspy.ChainOfThought(dspy.Signature(SIGNATURE).append("views", dspy.InputField()))

    def flow(self, **inputs):
        views = yield rtk.ask(self.speak, inputs, samples=self.speakers)
        yield views[0]
        verdict = yield rtk.ask(self.judge, {**inputs, "views": str(views.answers("answer"))})
        return verdict[0]


class Persistent(rtk.Strategy):
    """Asks until it is told that it is sure, at most so often."""

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.step = dspy.Predict("question, attempt: int -> answer, sure: bool")

    def flow(self, question):
        for attempt in range(self.most):
            got = yield rtk.ask(self.step, {"question": question, "attempt": attempt})
            if got[0].answer("sure") is True:
                break
        return got[0]


def reward(inputs, prediction):
    """A user's reward: longer answers are better."""
    return float(len(prediction.answer))


def judging(received):
    """Chains, thoughts, verdicts, scores and certainties that differ, each the same for the same sample."""
    seed = received.body["seed"]
    if asks(received, "score"):
        return chat(score=seed % 10 / 10)
    if asks(received, "sure"):
        return chat(answer="a", sure=seed % 3 == 0)
    return tree(numbers, ("sure", "maybe", "impossible")[seed % 3], answer=seed % 4)(received)


def never(received):
    """The same, where nothing is ever good enough: whatever is whole is impossible."""
    late = field_of(received, "partial").count("\n") >= 1
    if asks(received, "score") or asks(received, "sure"):
        return chat(score=-1.0) if asks(received, "score") else chat(answer="a", sure=False)
    return tree(numbers, "impossible" if late else "sure", answer=received.body["seed"])(received)


def always(received):
    """The same, where all agree and everything is good."""
    if asks(received, "score"):
        return chat(score=1.0)
    return chat(answer="a", sure=True) if asks(received, "sure") else tree("1", "sure", answer=1)(received)


def cut(received):
    """Every completion is cut off."""
    return Reply("[[ ## reasoning ## ]]\nlong", finish_reason="length")


def wrong(received):
    """Every chain holds a sum that is wrong."""
    return chain(received.body["seed"] % 2, "1. 2 + 2 = 5\n2. So it is.")


LONG = pytest.mark.slow  # of many alike, one is run each time
SCRIPTS = {"judging": judging, "never": never, "always": always, "silent": lambda received: "no idea", "cut": cut,
           "wrong": wrong}  # fmt: skip
scorer = lambda: dspy.Predict("question, answer -> score: float")  # noqa: E731
PROGRAMS = {
    "chain": lambda: rtk.ChainOfThought(SIGNATURE),
    "steps": lambda: rtk.ChainOfThought(SIGNATURE, steps=3, repair=2),
    "vote": lambda: vote(6),
    "finish": lambda: vote(4, finish_cut=True),
    "beta": lambda: vote(12, stop="beta"),
    "window": lambda: vote(12, stop="window", window=3),
    "horizon": lambda: vote(12, stop="horizon"),
    "until": lambda: vote(12, stop=lambda found: found.margin > 0.6),
    "best": lambda: rtk.BestOfN(SIGNATURE, 4, reward, threshold=2),
    "judge": lambda: rtk.BestOfN(SIGNATURE, 4, scorer()),
    "judge until": lambda: rtk.BestOfN(SIGNATURE, 5, scorer(), threshold=0.8, wave=2),
    "bfs": lambda: searching(),
    "dfs": lambda: searching(search="dfs"),
    "checked": lambda: searching(check=lambda inputs, partial: rtk.answers.Check(len(partial) % 2 == 1)),
    "nested": lambda: vote(2, rtk.BestOfN(vote(3, stop="beta"), 2, scorer(), threshold=0.5)),
    "deep": lambda: rtk.BestOfN(vote(2, searching(branching=2)), 2, reward),
    "debate": Debate,
    "debates": lambda: vote(3, Debate(2, vote(2)), stop="beta"),
    "persistent": lambda: Persistent(4),
}


def within(forecast, found):
    """Whether a run lies within what was said of it."""
    spent = found.spent
    pairs = (forecast.samples, spent.samples), (forecast.calls, spent.calls)
    return all(span.least <= number <= span.most for span, number in pairs)


# --- what is said and what is then asked ---


@pytest.mark.parametrize("script", ["judging", *(pytest.param(one, marks=LONG) for one in SCRIPTS if one != "judging")])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_lies_between_the_least_and_the_most(name, script):
    """Whatever the model says; where the estimate is exact, it is met; and after the run nothing is left to draw."""
    with drawing(SCRIPTS[script]) as server:
        said = PROGRAMS[name]().estimate(question="?")
        assert server.count == 0
        assert (said.stored, said.to_draw, said.bounded) == (0, said.samples, True)
        found = PROGRAMS[name]()(question="?")
        assert within(said, found)
        assert said.exact == (name in ("chain", "vote"))
        assert not said.exact or said.samples == (found.spent.samples,) * 2
        after = PROGRAMS[name]().estimate(question="?")
    assert (after.to_draw, after.exact, after.samples) == ((0, 0), True, (found.spent.samples,) * 2)
    assert (after.stored, after.calls, after.dollars) == (found.spent.samples, (found.spent.calls,) * 2, (0, 0))


@pytest.mark.parametrize("there", [2, *(pytest.param(one, marks=LONG) for one in (1, 3, 5, 7))])
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in ("chain", "steps")])
def test_what_is_stored_narrows_it(name, there):
    """Wherever an earlier run ended: so many are stored, the next run draws so many, and lies within."""
    with drawing(judging) as server:
        PROGRAMS[name]()(question="?", budget=rtk.Budget(samples=there))
        before = server.choices_served
        said = PROGRAMS[name]().estimate(question="?")
        assert server.choices_served == before
        found = PROGRAMS[name]()(question="?")
    assert within(said, found)
    assert said.to_draw.least <= found.spent.drawn <= said.to_draw.most
    assert said.stored <= before


def test_the_bounds_are_met():
    """The least and the most of a stopping vote, a search and a judged choice are what some model needs."""
    found = {}
    for name in ("beta", "judge until", "dfs"):
        for script in (always, never):
            with drawing(script):
                said = PROGRAMS[name]().estimate(question=script.__name__).samples
                found[name, script.__name__] = said, PROGRAMS[name]()(question=script.__name__).spent.samples
    assert found["beta", "always"] == ((4, 12), 4)
    assert found["beta", "never"] == ((4, 12), 12)
    said, drawn = found["judge until", "always"]
    assert said.least <= drawn <= 4
    assert found["judge until", "never"][0].most == found["judge until", "never"][1] == 10
    assert found["dfs", "never"][0].most == found["dfs", "never"][1]


def test_half_of_a_vote_is_stored():
    """Three of six are there, three would be drawn, and that is exact."""
    with drawing(judging):
        vote(3)(question="?")
        said = vote(6).estimate(question="?")
    assert (said.samples, said.stored, said.to_draw, said.exact) == ((6, 6), 3, (3, 3), True)


def test_a_vote_that_is_nearly_settled_needs_few():
    """With four of five alike, the least is what those that are there still need, not what a vote from nothing does."""
    with drawing(choices(["a", "b", "a", "a", "a"])):
        vote(5)(question="?")
        said = vote(12, stop="beta").estimate(question="?")
        assert said.samples.least < 9
        assert within(said, vote(12, stop="beta")(question="?"))


# --- what it costs ---


def words(count):
    """A script of chains of so many words each."""
    return lambda received: chain("a", "word " * count)


@pytest.mark.parametrize("name", ["vote", "debate", "nested", "judge"])
def test_tokens_and_dollars_are_near_what_a_run_spends(name):
    """Learnt from another question's samples, with the price given; both prompts and completions within a fifth."""
    script = lambda received: chat(score=0.4) if asks(received, "score") else words(25)(received)  # noqa: E731
    with drawing(script, max_tokens=400) as server:
        PROGRAMS[name]()(question="What is it?")
        before = server.choices_served
        said = PROGRAMS[name]().estimate(question="What is that?")
        spent = PROGRAMS[name]()(question="What is that?").spent
    assert spent.drawn == server.choices_served - before
    for span, amount in (
        (said.prompt_tokens, spent.prompt_tokens),
        (said.completion_tokens, spent.completion_tokens),
        (said.tokens, spent.tokens),
        (said.dollars, spent.dollars),
    ):
        assert 0.8 * span.least <= amount <= 1.2 * span.most
    assert said.dollars.most <= 3 * spent.dollars


def test_without_samples_the_bound_is_taken_and_said():
    """As much as `max_tokens` admits; without it, tokens and dollars are unknown and not made up."""
    with drawing(judging):
        said = vote(3).estimate(question="?")
        assert said.completion_tokens == (120, 120)
        assert said.dollars == pytest.approx(((said.prompt_tokens[0] + 2 * 120) / 1e6,) * 2)
        assert "max_tokens" in said.notes[0]
    with drawing(judging, max_tokens=None):
        said = vote(3).estimate(question="?")
        assert (said.completion_tokens, said.tokens, said.dollars, said.seconds) == (None, None, None, None)
        assert "tokens unknown" in str(said)


def test_an_unknown_price_is_none_and_names_its_mend():
    """Never zero."""
    with drawing(judging, price=None):
        said = vote(3).estimate(question="?")
    assert said.dollars is None
    assert any("price=" in note for note in said.notes)
    assert "price unknown (price=)" in str(said)


def test_what_other_prompts_of_a_model_took_is_second_best():
    """A predictor without samples is expected to write as much as others of the model; the estimate says so."""
    with drawing(words(30), max_tokens=400):
        vote(4)(question="?")
        said = rtk.ChainOfThought("claim -> answer").estimate(claim="?")
    assert 30 <= said.completion_tokens.least < 60
    assert any("other prompts" in note for note in said.notes)


def test_seconds_are_those_of_the_longest_path():
    """Side by side they take one sample's time, one after the other the sum; and no less than concurrency allows."""
    slow = lambda received: Reply(chain("a"), delay=0.2)  # noqa: E731
    with drawing(slow, server={"honours_n": False}, server_n=False, concurrency=4):
        vote(4)(question="one")
        wide = vote(4).estimate(question="two").seconds
        assert wide.least == wide.most
        assert 0.2 <= wide.most < 0.5
        assert 1.9 * wide.most < vote(8).estimate(question="two").seconds.most < 2.1 * wide.most
        assert 1.9 * wide.most < Debate(4).estimate(question="two").seconds.most < 2.1 * wide.most


# --- budgets ---


@pytest.mark.parametrize("limits", [{"samples": 5}, {"calls": 2}, {"tokens": 700}, {"dollars": 0.001}], ids=str)
@pytest.mark.parametrize("name", ["vote", "beta", "judge", "bfs", "nested", "debates"])
def test_a_budget_ends_it_where_it_ends_the_run(name, limits):
    """The run lies within, the estimate names the unit, and no budget is charged, within the inputs or outside."""
    with drawing(judging):
        own, outer = rtk.Budget(**limits), rtk.Budget(**limits)
        said = PROGRAMS[name]().estimate(question="?", budget=own)
        with outer:
            assert PROGRAMS[name]().estimate(question="?") == said
        assert (own.spent, outer.spent, own.left) == (rtk.Spent(), rtk.Spent(), rtk.Budget(**limits).left)
        found = PROGRAMS[name]()(question="?", budget=own)
    assert within(said, found)
    assert found.stopped is None or said.stopped == found.stopped
    assert "samples" not in limits or said.samples.most <= 5
    assert "calls" not in limits or said.calls.most <= 2


def test_an_overdrawn_sample_is_not_counted_twice():
    """What a wave brings beyond its stop stays off the budgets of the call."""
    with drawing(always), rtk.Budget() as budget:
        vote(12, stop="beta", wave=8)(question="?")
        before = budget.spent
        vote(12, stop="beta", wave=8).estimate(question="?", budget=rtk.Budget(samples=20))
        assert budget.spent == before


def test_a_budget_of_seconds_is_no_promise():
    """It may end the run anywhere, so the least is nothing."""
    with drawing(judging):
        said = vote(3).estimate(question="?", budget=rtk.Budget(seconds=60))
    assert (said.samples, said.exact) == ((0, 3), False)


# --- it leaves no trace ---


class Listening(BaseCallback):
    """Notes every event of DSPy's by its name."""

    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        return (lambda **event: self.heard.append(name)) if name.startswith("on_") else super().__getattribute__(name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_nobody_hears_of_it(name, tmp_path):
    """No draw, sample, record, history, trace, usage, event or callback; the program is what it was."""
    listening, seen, program = Listening(), Seen(), PROGRAMS[name]()
    with drawing(lambda received: Reply("no", status=500)) as server:
        lm, before = dspy.settings.lm, program.dump_state()
        history = len(lm.history), len(base_lm.GLOBAL_HISTORY), len(program.history)
        with dspy.context(callbacks=[listening], trace=[]), dspy.track_usage() as usage, rtk.watch(seen):
            with rtk.recording(tmp_path / "study") as recording:
                program.estimate(question="?")
                assert (len(recording), recording.missed) == (0, 0)
            assert (dspy.settings.trace, usage.get_total_tokens()) == ([], {})
        assert (server.count, lm.store.count(), seen, listening.heard) == (0, 0, [], [])
        assert history == (len(lm.history), len(base_lm.GLOBAL_HISTORY), len(program.history))
        assert program.dump_state() == before
