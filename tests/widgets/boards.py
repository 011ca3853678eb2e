"""What the tests of the playground share: a model to draw from, controls to turn, and what is then to be seen."""

import html
import re
import time
from unittest.mock import patch
from weakref import WeakKeyDictionary

import dspy

import rtk
from rtk.widgets import VoteView

PATIENCE = 180  # seconds until a state that should come counts as lost; nothing is ever waited out
SECRET = "sk-this-is-a-secret"
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
    """The server's model, which is asked for one sample after the other."""
    settings = {"num_retries": 0, "server_n": False, "concurrency": 1, **settings}
    return rtk.LM("openai/scripted", api_base=server.url, api_key=SECRET, **settings)


def crowd(server, **settings):
    """The same model, asked for all samples at once."""
    return model(server, concurrency=32, **settings)


def at(playground, **controls):
    """Turn controls, each by its name: an input's by the name of its field, `pick` for the list of questions."""
    shown = playground.controls
    for name, value in controls.items():
        control = shown.question if name == "pick" else shown.numbers.get(name) or shown.inputs.get(name)
        (control or getattr(shown, name)).value = value
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


_shown = WeakKeyDictionary()


class _Handle:
    """What IPython gives for something shown that may change."""

    def __init__(self, data):
        self.now = data

    def update(self, data, raw):
        self.now = data


def copy_of(playground):
    """Its static copy as it is now, as HTML; it is shown for that on first use."""
    if playground not in _shown:
        handles = []
        with patch("IPython.display.display", lambda data, **how: handles.append(_Handle(data)) or handles[-1]):
            playground._ipython_display_()
        _shown[playground] = handles[-1]
    return _shown[playground].now["text/html"]


def until(state):
    """Wait until something holds; for what no server tells."""
    deadline = time.monotonic() + PATIENCE
    while not state():
        assert time.monotonic() < deadline, "the state did not come"
        time.sleep(0.002)


def any_step(received):
    fields = {name: "sure" for name in ("thought", "verdict") if f"[[ ## {name} ## ]]" in received.prompt}
    return chat(reasoning="r", **fields) if fields else chain("42")


class Twice(rtk.Strategy):
    """A user's strategy with settings, some of which controls turn."""

    samples = rtk.Setting(2)
    depth = rtk.Setting(0)
    breadth = rtk.Setting(None)
    tone = rtk.Setting("calm")

    def __init__(self):
        super().__init__()
        self.draft = dspy.ChainOfThought(SIGNATURE)
        self.final = dspy.ChainOfThought("question, draft -> answer")

    def flow(self, question):
        drafts = yield rtk.ask(self.draft, {"question": question}, samples=self.samples)
        last = yield rtk.ask(self.final, {"question": question, "draft": str(drafts[0].answer("answer"))})
        return last[0]
