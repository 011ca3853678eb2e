"""The playground without a browser: its controls are turned, and what it then says, shows and draws is read."""

import html
import re

import dspy
import pytest
from dspy.utils import DummyLM

import rtk
from rtk.errors import ModelError
from rtk.samples import Stream
from rtk.store import current_recording
from rtk.testing import Reply, ScriptedServer
from rtk.widgets import VoteView

PATIENCE = 60
SECRET = "sk-this-is-a-secret"
HOSTILE = "<script>alert('&amp;')</script><img src=x onerror=alert(1)>"
SIGNATURE = "question -> answer"


def chat(**fields):
    """A completion as `dspy.ChatAdapter` reads it."""
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**fields, "completed": ""}.items())


def chain(answer, reasoning="because"):
    return chat(reasoning=reasoning, answer=answer)


def answers(*them):
    """A script: one answer a choice, over and over; give the LM `server_n=False`."""
    return lambda received: chain(them[received.index % len(them)], f"chain {received.index}")


def model(server, **settings):
    settings = {"num_retries": 0, "server_n": False, "concurrency": 32, **settings}
    return rtk.LM("openai/scripted", api_base=server.url, api_key=SECRET, **settings)


def at(playground, **controls):
    """Turn controls, each by its name; a question's by the name of its field."""
    for name, value in controls.items():
        shown = playground.controls
        control = shown.numbers.get(name) or shown.inputs.get(name) or getattr(shown, name)
        control.value = value
    return playground


def board(server, program=None, task=None, lm=None, **controls):
    """A playground over a server's model, with its controls turned."""
    made = rtk.Playground(program, task, model=lm or model(server))
    return at(made, **({"question": "What?", **controls} if task is None else controls))


def ran(playground):
    """Press Run, and wait for the end."""
    playground.run()
    return ended(playground)


def ended(playground):
    assert playground.wait(PATIENCE)
    assert not playground.controls.run.disabled
    assert playground.controls.stop.disabled
    return playground


def said(playground):
    """The line under the buttons, as one reads it."""
    return html.unescape(re.sub(r"<[^>]*>", " ", playground.controls.message.value)).strip()


def view(playground):
    return next(one for one in playground.widget.children if isinstance(one, VoteView))


def headline(playground):
    return view(playground).state["headline"]


def status(playground):
    return view(playground).state["status"]


def bars(playground):
    """The answers with their counts, the first number of each being votes."""
    return {vote["answer"]: int(vote["count"].split()[0]) for vote in view(playground).state["votes"]}


def story(playground):
    return playground.widget.children[2].value


@pytest.fixture
def copies(monkeypatch):
    """Show a playground, and get its static copy as it is now."""
    shown = {}

    class Handle:
        def __init__(self):
            self.now = None

        def update(self, data, raw):
            self.now = data

    def display(data, raw, display_id=False):
        handle = Handle()
        handle.update(data, raw)
        return handle

    monkeypatch.setattr("IPython.display.display", display)

    def copy(playground):
        if id(playground) not in shown:
            playground._ipython_display_()
            shown[id(playground)] = playground
        return playground._twin.now["text/html"]

    return copy


@pytest.fixture(autouse=True)
def nothing_in_force(tmp_path, monkeypatch):
    """Each test works in a folder of its own, and leaves no recording in force."""
    monkeypatch.delenv("RTK_RECORDING", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    while (standing := current_recording()) is not None:
        standing.stop()


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
    playground = board(server, "strategy, budget, samples -> answer", lm=model(server))
    controls = playground.controls.inputs
    for name, text in {"strategy": "s1", "budget": "b2", "samples": "n3"}.items():
        controls[name].value = text
    assert "Needs" in said(playground)
    ran(playground)
    assert status(playground) == "done"
    assert all(text in server.requests[0].last for text in ("s1", "b2", "n3"))
