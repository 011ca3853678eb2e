"""What the tests of strategies share: a scripted model to draw from, and its replies in DSPy's chat form."""

import threading
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context

import dspy

import rtk
from rtk.events import SampleArrived
from rtk.testing import ScriptedServer

PATIENCE = 300  # seconds after which something hangs; a busy machine is given its time


def started(work):
    """Start something in a thread of its own, in this thread's context; a future of what it comes to."""
    future, context = Future(), copy_context()

    def run():
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def chat(**fields):
    """A whole completion as `dspy.ChatAdapter` reads it."""
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**fields, "completed": ""}.items())


def chain(answer, reasoning="because"):
    """A chain of thought that ends in an answer."""
    return chat(reasoning=reasoning, answer=answer)


def model(server, **kwargs):
    """An `rtk.LM` over a scripted server; what fails is not asked again unless told to."""
    kwargs = {"num_retries": 0, **kwargs}
    return rtk.LM("openai/scripted", api_base=server.url, api_key="x", **kwargs)


@contextmanager
def serving(script, *, server=None, **kwargs):
    """A scripted server, with DSPy's LM being an `rtk.LM` over it; `server` holds the server's own settings."""
    with ScriptedServer(script, **(server or {})) as made, dspy.context(lm=model(made, **kwargs)):
        yield made


def choices(answers):
    """A script of chains, the i-th choice of each request having the i-th answer, over and over."""
    return lambda received: chain(answers[received.choice % len(answers)], f"chain {received.choice}")


def by_seed(answers=5):
    """A script that knows which sample it is asked for, by its seed: give the LM a `seed=`."""
    return lambda received: chain(received.body["seed"] % answers, f"seed {received.body['seed']}")


class TwoSteps(dspy.Module):
    """A user's module of two calls, the second of which depends on the first."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.ChainOfThought("question -> answer")
        self.final = dspy.ChainOfThought("question, draft -> answer")

    def forward(self, question):
        return self.final(question=question, draft=self.draft(question=question).answer)


class Seen(list):
    """What samples arrived, as a watcher: `with rtk.watch(seen):`."""

    def __call__(self, event):
        if isinstance(event, SampleArrived):
            self.append(event)

    @property
    def addresses(self):
        """The address of every sample consulted, in order of arrival."""
        return [event.sample.address for event in self]

    @property
    def streams(self):
        """The streams drawn from, sorted."""
        return sorted({address.stream for address in self.addresses})


def asks(received, field):
    """Whether a prompt asks for an output field, or shows one."""
    return f"[[ ## {field} ## ]]" in received.prompt


def tree(thought="step", verdict="sure", **outputs):
    """A script for a tree of thoughts: what is proposed, how it is judged, what is answered; values or functions."""
    value = lambda one, received: str(one(received) if callable(one) else one)  # noqa: E731

    def reply(received):
        if asks(received, "thought"):
            return chat(reasoning="next", thought=value(thought, received))
        if asks(received, "verdict"):
            return chat(reasoning="hm", verdict=value(verdict, received))
        return chat(reasoning="so", **{name: value(one, received) for name, one in outputs.items()})

    return reply


def field_of(received, name):
    """The value of an input field in the last message of a prompt."""
    return received.last.partition(f"[[ ## {name} ## ]]\n")[2].partition("\n\n[[ ##")[0].partition("\n\nRespond")[0]


class Flowing(rtk.Strategy):
    """A strategy whose flow is given, for tests of one thing."""

    def __init__(self, flow):
        super().__init__()
        self.step = dspy.ChainOfThought("question -> answer")
        self.given = flow

    def flow(self, **inputs):
        """As given."""
        return self.given(self, inputs)


def run(flow, script="[[ ## reasoning ## ]]\nr\n\n[[ ## answer ## ]]\na", **kwargs):
    with serving(script, cache=False):
        return Flowing(flow)(question="?", **kwargs)
