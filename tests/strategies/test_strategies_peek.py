"""Peeking: what a call would need and what is there of it, with nothing drawn, recorded, charged or told."""

import dspy
import pytest
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback
from scripted import Flowing, Seen, TwoSteps, by_seed, chain, chat, choices, field_of, model, serving, tree

import rtk
from rtk.budget import current_budgets
from rtk.errors import StrategyError
from rtk.strategies import peek
from rtk.testing import Reply

SIGNATURE = "question -> answer"


def counts(seen):
    """What a peek says in numbers."""
    return seen.wanted, seen.there, seen.exact, seen.whole


def told(prediction):
    """All that a prediction says, but what was drawn and what reused."""
    spent = prediction.spent
    return (
        prediction.toDict(),
        prediction.completions.toDict() if hasattr(prediction.completions, "toDict") else list(prediction.completions),
        prediction.deliberation.to_dict(),
        prediction.vote,
        prediction.confidence,
        prediction.stopped,
        prediction.abstentions,
        prediction.seconds,
        (spent.calls, spent.samples, spent.tokens, spent.failed),
    )


def same_as_the_call(server, program, **inputs):
    """A peek that finds all there says what the call then says, which draws nothing; the peek."""
    seen, before = peek(program, **inputs), server.count
    assert seen.whole
    found = program(**inputs)
    assert (found.spent.drawn, server.count) == (0, before)
    assert told(seen.prediction) == told(found)
    return seen


def drop(server, program, *indices, **inputs):
    """Remove samples of a flat program's one request from the store."""
    raise NotImplementedError


class Listening(BaseCallback):
    """Notes every event of DSPy's."""

    def __init__(self):
        self.heard = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda **event: self.heard.append(name)
        return super().__getattribute__(name)


# --- it leaves no trace ---


@pytest.mark.parametrize("stored", [0, 2, 4])
def test_it_is_heard_by_nobody(stored, own_store):
    """No draw, no event, no history, no usage, no trace and no callback, whatever is there of the call."""
    listening, program = Listening(), rtk.SelfConsistency(SIGNATURE, samples=4)
    program.callbacks = [listening]
    seen, adapter = Seen(), dspy.ChatAdapter(callbacks=[listening])
    with serving(choices(["a", "b"]), callbacks=[listening]) as server:
        if stored:
            rtk.SelfConsistency(SIGNATURE, samples=stored)(question="?")
        lm, count, listening.heard[:] = dspy.settings.lm, server.count, []
        before = len(lm.history), len(program.history), len(dspy.clients.base_lm.GLOBAL_HISTORY), lm.store.count()
        with dspy.context(callbacks=[listening], adapter=adapter, trace=[]), dspy.track_usage() as usage:
            with rtk.watching(seen):
                assert counts(peek(program, question="?")) == (4, stored, True, stored == 4)
            assert (dspy.settings.trace, usage.get_total_tokens()) == ([], {})
        after = len(lm.history), len(program.history), len(dspy.clients.base_lm.GLOBAL_HISTORY), lm.store.count()
        assert (seen, listening.heard, after, server.count) == ([], [], before, count)
