"""The playground without a browser: its controls are turned, and what it then says, shows and draws is read."""

import re
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from boards import (
    PATIENCE,
    answers,
    at,
    bars,
    board,
    chain,
    chat,
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


@pytest.fixture
def server():
    with ScriptedServer(answers("a", "b", "b")) as running:
        yield running


# --- the dial ---


def test_each_setting_says_what_it_needs(server):
    """Before anything is drawn; turning controls asks nothing."""
    playground = board(server, strategy="self-consistency", samples=5)
    assert said(playground) == "Needs 5 samples: 0 stored, Run draws 5."
    at(playground, samples=1)
    assert said(playground) == "Needs 1 sample: 0 stored, Run draws 1."
    at(playground, strategy="chain of thought")
    assert said(playground) == "Needs 1 sample: 0 stored, Run draws 1."
    at(playground, strategy="tree of thoughts", branching=3)
    assert said(playground).startswith("Needs at least 3 samples: 0 stored")
    assert (server.count, status(playground), playground.prediction) == (0, "idle", None)


def test_the_dial_up_and_down(server):
    """From 2 to 8 it draws 6, and back at 2 answers without drawing, with the votes of those two."""
    playground = ran(board(server, strategy="self-consistency", samples=2))
    assert (server.count, bars(playground)) == (2, {"a": 1, "b": 1})
    at(playground, samples=8)
    assert said(playground) == "Needs 8 samples: 2 stored, Run draws 6."
    assert (status(playground), headline(playground)) == ("idle", "so far, with 2 of 8 samples: a")
    assert (bars(playground), playground.prediction) == ({"a": 1, "b": 1}, None)
    ran(playground)
    assert (server.count, bars(playground), status(playground)) == (8, {"b": 5, "a": 3}, "done")
    assert said(playground).startswith("Done. 1 call, 8 samples (6 drawn, 2 reused)")
    at(playground, samples=2)
    assert said(playground) == "Both samples are stored: answered without drawing."
    assert (server.count, bars(playground), status(playground)) == (8, {"a": 1, "b": 1}, "done")
    assert (playground.prediction.answer, headline(playground)) == ("a", "Answer: a")


def test_what_it_runs_is_the_program_as_its_controls_stand(server):
    """`playground.program` is that program, built anew each time, and draws nothing more."""
    playground = ran(board(server, strategy="self-consistency", samples=3, instructions="Sing it."))
    made = playground.program
    assert (type(made), made.samples, made is playground.program) == (rtk.SelfConsistency, 3, False)
    with dspy.context(lm=model(server)):
        found = made(question="What?")
    assert (server.count, found.answer) == (3, playground.prediction.answer)
    assert all("Sing it." in received.prompt for received in server.requests)
    at(playground, samples=4, strategy="direct")
    assert playground.program.samples == 4
    assert isinstance(playground.program.chain, dspy.Predict)


def test_temperature_is_of_every_sample(server):
    """Another one needs others, and 0 needs one."""
    playground = ran(board(server, strategy="self-consistency", samples=2, temperature=1.25))
    assert [received.body["temperature"] for received in server.requests] == [1.25, 1.25]
    at(playground, temperature=0.7)
    assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."
    at(playground, temperature=0.0)
    assert said(playground) == "Needs 1 sample: 0 stored, Run draws 1."
    ran(playground)
    assert (server.count, bars(playground)) == (3, {"b": 1})
    at(playground, samples=7)
    assert said(playground) == "The one sample is stored: answered without drawing."


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_without_a_question_nothing_is_asked(server, text):
    """It says what is missing, and Run does nothing more."""
    playground = board(server, strategy="self-consistency", question=text)
    assert said(playground) == "Type a question."
    ran(playground)
    assert (said(playground), server.count, status(playground)) == ("Type a question.", 0, "idle")
    at(playground, question="What?")
    assert said(playground).startswith("Needs 8 samples")


def test_an_input_among_several_may_be_empty(server):
    """Only where nothing at all is asked is there no question."""
    playground = board(server, "context, question -> answer", strategy="self-consistency", samples=2)
    assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."
    assert ran(playground).prediction.answer == "a"
    assert server.count == 2


def test_inputs_of_any_name_reach_the_program(server):
    """A field called budget, or strategy, is an input like any other."""
    playground = rtk.Playground("strategy, budget, samples -> answer", model=model(server))
    for name, text in {"strategy": "s1", "budget": "b2", "samples": "n3"}.items():
        playground.controls.inputs[name].value = text
    assert "Needs" in said(playground)
    ran(playground)
    assert status(playground) == "done"
    assert all(text in server.requests[0].last for text in ("s1", "b2", "n3"))


# --- runs ---


def test_stop_keeps_what_came_and_counts_it_truly(server):
    """Three of eight come, then Stop: three are kept and said to be, and Run goes on with the other five."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=8)
    store = model(server).store
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 8)
        server.release(3)
        until(lambda: said(playground) == "Drawing: 3 of 8 samples are here.")
        assert status(playground) == "running"
        assert headline(playground).startswith("so far, with 3 of 8 samples: ")
        playground.stop()
        ended(playground)
        assert said(playground).startswith("Stopped; 3 samples drawn in this run are kept.")
        assert (store.count(), status(playground)) == (3, "stopped")
    at(playground, samples=7)
    assert said(playground) == "Needs 7 samples: 3 stored, Run draws 4."
    ran(at(playground, samples=8))
    assert store.count() == 8
    assert "8 samples (5 drawn, 3 reused)" in said(playground)


def test_stop_before_anything_came(server):
    """Nothing is kept and nothing is said to be, and the controls work again."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=4)
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 4)
        playground.stop()
        ended(playground)
        assert said(playground).startswith("Stopped; 0 samples drawn in this run are kept.")
        assert (status(playground), headline(playground), bars(playground)) == ("stopped", "No answer", {})
    assert ran(playground).prediction.vote.votes == 4


def test_stop_without_a_run_does_nothing(server):
    """Before the first and after the last."""
    playground = board(server, strategy="chain of thought")
    playground.stop()
    assert playground.wait() is True
    ran(playground)
    playground.stop()
    assert status(ran(playground)) == "done"


def test_of_a_model_that_keeps_nothing_nothing_is_said_to_be_kept(server):
    """While it runs its samples are counted all the same."""
    playground = board(server, strategy="self-consistency", samples=4, lm=crowd(server, cache=False))
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 4)
        server.release(2)
        until(lambda: said(playground) == "Drawing: 2 of 4 samples are here.")
        playground.stop()
        ended(playground)
    assert said(playground).startswith("Stopped; 2 samples drawn in this run, which nothing keeps.")
    ran(playground)
    assert said(playground).startswith("Done. 1 call, 4 samples (4 drawn, 0 reused)")
    at(playground, samples=2)
    assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."


def test_run_twice_quickly_is_one_run(server):
    """However often it is pressed while it runs."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=4)
    with server.hold():
        for _ in range(5):
            playground.run()
        server.wait_for(lambda s: s.held == 4)
        playground.controls.run.click()
    ended(playground)
    assert (server.count, status(playground)) == (4, "done")


def test_a_run_again_draws_nothing(server):
    """It is answered from the store, and says so."""
    playground = ran(ran(board(server, strategy="self-consistency", samples=4)))
    assert server.count == 4
    assert said(playground).startswith("Nothing had to be drawn. 1 call, 4 samples (0 drawn, 4 reused)")


def test_a_control_turned_during_a_run_is_seen_to_after_it(server):
    """The run goes on as it was started; then what is shown belongs to where the controls stand."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=4)
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 4)
        before = said(playground)
        at(playground, samples=6)
        assert (said(playground), server.held) == (before, 4)
    ended(playground)
    assert said(playground) == "Needs 6 samples: 4 stored, Run draws 2."
    assert (status(playground), playground.prediction) == ("idle", None)
    assert headline(playground).startswith("so far, with 4 of 6 samples")
    ran(playground)
    assert (server.count, status(playground)) == (6, "done")


def test_a_control_turned_away_and_back_during_a_run_changes_nothing(server):
    """The answer is the one asked for."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=4)
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 4)
        at(playground, samples=6)
        at(playground, samples=4)
    ended(playground)
    assert (status(playground), playground.prediction.vote.votes) == ("done", 4)


def test_many_turns_during_a_run_neither_hang_nor_lose_it(server):
    """Callbacks come on other threads than the run's news."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=32)
    with ThreadPoolExecutor(4) as pool:
        playground.run()
        turns = [pool.submit(at, playground, samples=n, temperature=t) for n in range(1, 9) for t in (0.5, 0.7, 0.9)]
        for turn in turns:
            turn.result(PATIENCE)
    ended(playground)
    at(playground, samples=32, temperature=0.7)
    assert said(playground) == "All 32 samples are stored: answered without drawing."
    assert server.count == 32


def test_run_and_stop_in_any_order_and_from_any_thread_end_well(server):
    """Nothing hangs, nothing is lost, and what is said to be drawn is what was."""
    playground = board(server, lm=crowd(server), strategy="self-consistency", samples=24)
    drawn = 0
    with ThreadPoolExecutor(3) as pool:
        for _ in range(15):
            presses = [pool.submit(press) for press in (playground.run, playground.stop, playground.run)]
            for one in presses:
                one.result(PATIENCE)
            ended(playground)
            last = re.search(r"(\d+) drawn, (\d+) reused", said(playground))
            drawn = max(drawn, sum(map(int, last.groups())) if last else 0)
            assert status(playground) in ("stopped", "done")
    assert status(ran(playground)) == "done"
    assert bars(playground)["a"] + bars(playground)["b"] == 24
    assert drawn <= model(server).store.count() == 24


def test_a_tree_fills_in_and_then_is_there():
    """A search says at least how many while it runs, and afterwards answers at once."""

    def script(received):
        if "[[ ## thought ## ]]" in received.prompt:
            return chat(reasoning="r", thought=f"step {received.index}")
        if "[[ ## verdict ## ]]" in received.prompt:
            return chat(reasoning="r", verdict="sure")
        return chain("42")

    with ScriptedServer(script) as server:
        playground = board(server, lm=crowd(server), strategy="tree of thoughts", branching=2, breadth=1, depth=2)
        assert said(playground) == "Needs at least 2 samples: 0 stored, Run draws 2 and what follows from them."
        with server.hold():
            playground.run()
            server.wait_for(lambda s: s.held == 2)
            server.release(1)
            until(lambda: said(playground) == "Drawing: 1 of at least 3 samples are here.")  # it is valued at once
        ended(playground)
        assert (status(playground), headline(playground), bars(playground)) == ("done", "Answer: 42", {})
        assert "step" in story(playground)
        drawn = server.count
        at(playground, depth=1)
        at(playground, depth=2)
        assert said(playground) == f"All {drawn} samples are stored: answered without drawing."
        assert server.count == drawn


def test_samples_that_do_not_come_are_counted(server):
    """A run goes on without them and says how many, and the next asks for them again."""
    broken = lambda received: Reply("no", status=400) if received.index == 1 else Reply(chain("a"))  # noqa: E731
    with ScriptedServer(broken) as failing:
        playground = board(failing, lm=crowd(failing), strategy="self-consistency", samples=3)
        with failing.hold():
            playground.run()
            failing.wait_for(lambda s: s.held == 3)
            failing.release(2)
            until(lambda: said(playground) == "Drawing: 1 of 3 samples are here, 1 did not come.")
        ended(playground)
        assert "3 samples" not in said(playground)
        assert "(2 drawn, 0 reused, 1 failed)" in said(playground)
        assert "1 failed" in view(playground).state["foot"]
        assert ran(playground).prediction.vote.votes == 3
