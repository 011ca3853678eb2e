"""What the tests of optimizing share: a model that calculates well once it is shown how, and a task to show it on."""

import re
from contextlib import contextmanager

import dspy

import rtk
from rtk.testing import ScriptedServer

SUM = re.compile(r"What is \((\d+) \+ (\d+)\) × (\d+)")
WRITTEN = ("proposed_instruction", "proposed_prefix_for_output_field", "new_instruction", "observations", "summary",
           "program_description", "module_description", "discussion")  # fmt: skip
OPTIONS = {
    "labeled": {"k": 3},
    "bootstrap": {"max_bootstrapped_demos": 2, "max_labeled_demos": 2},
    "random-search": {"num_candidate_programs": 2, "max_bootstrapped_demos": 2},
    "mipro": {"num_candidates": 3, "num_trials": 3, "max_bootstrapped_demos": 2},
    "gepa": {"max_metric_calls": 40},
    "copro": {"breadth": 2, "depth": 1},
    "simba": {"bsize": 4, "max_steps": 1, "num_candidates": 3},
}
SIZES = {"train": 8, "dev": 6}


def task(size=12):
    """Calculations of level 1."""
    return rtk.tasks.load("arithmetic", size=size, seed=3)


def shown(received):
    """Whether a prompt shows how: by a demonstration, or by an instruction that a model has written."""
    return len(received.messages) > 2 or "Add first." in received.messages[0]["content"]


def asked(received):
    """The calculation that a prompt asks for; None where it asks for something else, such as an instruction."""
    lines = received.messages[0]["content"].splitlines()
    found = SUM.search(received.last)
    asks = any(line.startswith("answer: ") for line in lines) and not any(
        word in line for word in WRITTEN for line in lines
    )
    return found if asks and found else None


def written(received):
    """What optimizers ask a model to write, in the form that they ask for."""
    if "new_instruction" in received.prompt:  # GEPA asks in JSON, whatever the adapter
        return '{"new_instruction": "Add first."}'
    lines = received.messages[0]["content"].splitlines()
    wanted = [name for name in WRITTEN if any(line.startswith(f"{name}: ") for line in lines)]
    advice = ['module_advice: {"predict": "Add first."}'] if "module_advice" in received.prompt else []
    return "\n".join([*(f"{name}: Add first." for name in wanted), *advice])


def clever(received):
    """Right once it is shown how; else, and by luck of a rollout, for every third question."""
    found = asked(received)
    if found is None:
        return written(received)
    a, b, c = map(int, found.groups())
    rollout = received.body["seed"] if received.body["temperature"] == 1.0 else 0
    lucky = (a + b + c + rollout) % 3 == 0
    return f"reasoning: step by step\nanswer: {(a + b) * c if lucky or shown(received) else 1}"


@contextmanager
def serving(script=clever, **kwargs):
    """A scripted server, with DSPy's LM over it."""
    with ScriptedServer(script) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="x", num_retries=0, seed=1, **kwargs)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            yield server


def optimized(name, size=12, program=None, **options):
    """A chain of thought on calculations, optimized in a small way."""
    asks = task(size)
    made = rtk.ChainOfThought(asks.signature) if program is None else program
    return rtk.optimize(made, asks, name, **{**SIZES, **OPTIONS.get(name, {}), "progress": None, **options})
