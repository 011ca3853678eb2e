"""The playground where something ends early or goes wrong, and where a text is hostile."""

import asyncio
import html

import dspy
import pytest
from boards import (
    SECRET,
    SIGNATURE,
    answers,
    at,
    bars,
    board,
    chain,
    copy_of,
    crowd,
    ended,
    headline,
    model,
    ran,
    said,
    status,
    story,
    until,
    view,
)

import rtk
from rtk.testing import Reply, ScriptedServer

HOSTILE = "<script>alert('&amp;')</script><img src=x onerror=alert(1)>"


@pytest.fixture
def server():
    with ScriptedServer(answers("a", "b", "b")) as running:
        yield running


# --- budgets ---


def test_a_budget_of_tokens_ends_a_run_with_the_best_so_far(server):
    """It says so, and so does the setting when it is looked at again."""
    playground = board(server, strategy="self-consistency", samples=12, lm=model(server, max_tokens=20), tokens=900)
    assert said(playground).startswith("Needs at least ")
    ran(playground)
    assert said(playground).startswith("The budget of tokens is spent: the best so far.")
    assert status(playground) == "stopped"
    drawn = server.count
    assert 0 < drawn < 12
    at(playground, temperature=0.6)
    at(playground, temperature=0.7)
    assert said(playground) == (
        f"All {drawn} samples are stored: answered without drawing. The budget of tokens is spent: the best so far."
    )
    assert (status(playground), playground.prediction.vote.votes, server.count) == ("stopped", drawn, drawn)
    at(playground, samples=2)
    assert (said(playground), status(playground)) == ("Both samples are stored: answered without drawing.", "done")
    at(playground, samples=12, tokens=0)
    assert said(playground) == f"Needs 12 samples: {drawn} stored, Run draws {12 - drawn}."


def test_a_budget_that_admits_nothing_says_so(server):
    """Before a run and after it, without an answer and without a draw."""
    playground = board(server, strategy="self-consistency", samples=8, lm=model(server, max_tokens=20), tokens=1)
    assert said(playground) == "The budget of tokens admits no sample: the most one may cost does not fit."
    assert (status(playground), headline(playground)) == ("stopped", "No answer")
    ran(playground)
    assert said(playground).startswith("The budget of tokens is spent")
    assert (status(playground), headline(playground), server.count) == ("stopped", "No answer", 0)


def test_a_budget_that_a_plain_module_spends_leaves_no_answer(server):
    """There is no best so far in a program that is not ours."""
    lm = model(server, max_tokens=20)
    playground = ran(board(server, dspy.ChainOfThought(SIGNATURE), lm=lm, tokens=1))
    assert said(playground) == "The budget of tokens is spent before there was an answer."
    assert (status(playground), headline(playground), server.count) == ("stopped", "No answer", 0)


def test_a_budget_around_the_cell_is_not_charged_for_looking(server):
    """Only what runs costs."""
    with rtk.Budget(samples=3) as budget:
        playground = board(server, strategy="self-consistency", samples=3)
        at(playground, temperature=0.5)
        assert budget.spent == rtk.Spent()
        ran(playground)
        assert budget.spent.samples == 3
        at(playground, temperature=0.6)
        assert said(playground) == "The budget of samples admits no sample: the most one may cost does not fit."


# --- errors ---


@pytest.mark.parametrize(
    ("script", "mend"),
    [(Reply("bad key", status=401), "api_key="), (Reply(f"no {HOSTILE}", status=404), "model")],
    ids=["key", "model"],
)
def test_an_error_of_the_model_is_shown_with_its_mend(script, mend):
    """In place, escaped, with the key and the endpoint nowhere, and the controls work again."""
    with ScriptedServer(script) as server:
        playground = board(server, strategy="self-consistency")
        copy_of(playground)
        ran(playground)
        shown = playground.controls.message.value, story(playground), copy_of(playground), str(view(playground).state)
        assert (status(playground), playground.prediction, bars(playground)) == ("failed", None, {})
        assert "EndpointError" in said(playground)
        assert 'role="alert"' in shown[0]
        for text in (said(playground), copy_of(playground)):
            assert mend in text.partition("EndpointError")[2]
        for text in shown:
            assert SECRET not in text
            assert server.url not in text
            assert server.url.split("/")[2] not in text
            assert "<script" not in text
        assert ran(playground).controls.run.disabled is False


def test_a_server_that_is_gone_is_shown_without_its_address():
    """Nobody listens: the message says which model, not where."""
    with ScriptedServer("-") as gone:
        playground = board(gone, strategy="chain of thought")
        url = gone.url
    ran(playground)
    assert "nobody is listening" in said(playground)
    assert url.split("/")[2] not in playground.controls.message.value
    assert SECRET not in playground.controls.message.value


def test_an_error_goes_with_the_setting_it_came_from(server):
    """After a failed run another setting is looked at as ever."""
    with ScriptedServer(Reply("no", status=401)) as failing:
        playground = rtk.Playground(SIGNATURE, model=[model(failing), model(server)])
        ran(at(playground, question="What?", strategy="chain of thought"))
        assert status(playground) == "failed"
        at(playground, model=1)
        assert (said(playground), status(playground)) == ("Needs 1 sample: 0 stored, Run draws 1.", "idle")
        assert status(ran(playground)) == "done"


class Breaking(dspy.Module):
    """A program that ends as it is told to."""

    def __init__(self, error):
        super().__init__()
        self.step = dspy.Predict(SIGNATURE)
        self._error = error

    def forward(self, question):
        raise self._error


@pytest.mark.parametrize(
    "error",
    [ValueError(f"no {HOSTILE}"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("left"), RuntimeError()],
    ids=repr,
)
def test_whatever_a_program_raises_is_shown_and_ends_its_run(server, error):
    """Also what is no `Exception`; it is never taken for an answer."""
    playground = ran(board(server, Breaking(error)))
    assert said(playground).startswith(f"{type(error).__name__}:")
    assert "<script" not in playground.controls.message.value
    assert (status(playground), playground.prediction) == ("failed", None)


def test_an_error_replaces_the_answer_before_it(server):
    """What the last run said is not left standing under an error."""
    replies = iter([chain("a"), Reply("no", status=401)])
    with ScriptedServer(lambda received: next(replies)) as failing:
        playground = board(failing, dspy.ChainOfThought(SIGNATURE), lm=model(failing, cache=False))
        copy_of(playground)
        ran(playground)
        assert (headline(playground), playground.prediction.answer) == ("Answer: a", "a")
        ran(playground)
    assert (headline(playground), playground.prediction, story(playground)) == ("", None, "")
    assert "EndpointError" in copy_of(playground)
    assert "Not run yet" not in copy_of(playground)


def test_what_a_strategy_makes_of_a_part_of_its_samples_harms_no_run(server):
    """A flow that fails on fewer answers than it asked for is looked at in vain, and runs."""

    def all_four(answers):
        if len(answers) < 4:
            raise ZeroDivisionError("too few")
        return rtk.answers.vote(answers)

    playground = board(server, rtk.SelfConsistency(SIGNATURE, samples=4, vote=all_four), lm=crowd(server))
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 4)
        server.release(2)
        until(lambda: said(playground) == "Drawing: 2 samples are here.")
    ended(playground)
    assert (status(playground), playground.prediction.vote.votes) == ("done", 4)


def test_a_setting_that_cannot_be_is_shown_where_it_is_turned(server):
    """A program that refuses it keeps working at another."""

    class Even(rtk.SelfConsistency):
        def flow(self, **inputs):
            if self.samples % 2:
                raise rtk.errors.StrategyError("samples are odd", mend="turn them to an even number")
            return super().flow(**inputs)

    playground = board(server, Even(SIGNATURE, samples=2))
    at(playground, samples=3)
    assert "samples are odd turn them to an even number" in " ".join(said(playground).split())
    ran(playground)
    assert (status(playground), server.count) == ("failed", 0)
    assert status(ran(at(playground, samples=2))) == "done"


# --- what a model writes, and what a user does, is text ---


def everything(playground):
    """All HTML that a playground shows."""
    return playground.controls.message.value, story(playground), copy_of(playground)


def test_hostile_texts_are_escaped_wherever_html_is():
    """Question, instructions, answers, reasoning and the model's name; the live view gets them as they are."""
    name = "openai/<b>scripted</b>"
    with ScriptedServer(chain(f"a {HOSTILE}", f"r {HOSTILE}"), models=None) as server:
        lm = rtk.LM(name, api_base=server.url, api_key=SECRET, num_retries=0)
        playground = board(server, strategy="self-consistency", samples=2, lm=lm, question=f"q {HOSTILE}")
        at(playground, instructions=f"i {HOSTILE}")
        copy_of(playground)
        ran(playground)
        asked = server.requests[0].prompt
    assert (status(playground), HOSTILE in asked) == ("done", True)
    whole = everything(playground)
    for text in whole:
        assert "<script" not in text
        assert "<img" not in text
        assert "<b>" not in text
    copy = html.unescape(copy_of(playground))
    for word in ("q", "i", "a", "r"):
        assert f"{word} {HOSTILE}" in copy
    assert f">{html.escape(name)}<" in copy_of(playground)
    assert view(playground).state["votes"][0]["answer"] == f"a {HOSTILE}"
    assert headline(playground) == f"Answer: a {HOSTILE}"


def test_a_hostile_error_is_escaped_wherever_html_is(server):
    """Its message, its notes and its name."""
    error = type("Bad<b>", (ValueError,), {})(f"m {HOSTILE}")
    error.add_note(f"n {HOSTILE}")
    playground = board(server, Breaking(error))
    copy_of(playground)
    ran(playground)
    for text in everything(playground):
        assert "<script" not in text
        assert "<img" not in text
        assert "<b>" not in text
    for shown in (playground.controls.message.value, copy_of(playground)):
        assert f"m {HOSTILE}" in html.unescape(shown)
        assert f"n {HOSTILE}" in html.unescape(shown)


def test_a_hostile_predictor_name_and_class_name_are_text(server):
    """Names of a user's program stand in controls and in the copy."""
    program = dspy.Module()
    setattr(program, "<i>one</i>", dspy.Predict(SIGNATURE))
    setattr(program, "<i>two</i>", dspy.Predict(SIGNATURE))
    shown = copy_of(board(server, program))
    assert "<i>" not in shown
    assert "instructions of &lt;i&gt;one&lt;/i&gt;" in shown
