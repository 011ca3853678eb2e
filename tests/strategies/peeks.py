"""What the tests of peeking share: programs to look at, and what a look says."""

from dataclasses import replace

from scripted import field_of

import rtk
from rtk.strategies import peek

SIGNATURE = "question -> answer"


def vote(samples=4, on=SIGNATURE, **settings):
    return rtk.SelfConsistency(on, samples=samples, **settings)


def votes(outer, inner):
    """A vote of votes."""
    return vote(outer, vote(inner))


def counts(seen):
    """What a peek says in numbers."""
    return seen.wanted, seen.there, seen.exact, seen.whole


def told(pred):
    """All that a prediction says, with no difference between drawn and reused."""
    spent = replace(pred.spent, drawn=0, reused=pred.spent.drawn + pred.spent.reused)
    evidence = pred.vote, pred.confidence, pred.seconds, pred.stopped, pred.abstentions, spent
    return pred.toDict(), pred.completions.items(), pred.deliberation.to_dict(), evidence


def stored(server, program, **inputs):
    """A peek at a call that is all there; it says what the call does, which then draws nothing."""
    seen, before = peek(program, **inputs), server.choices_served
    found = program(**inputs)
    assert seen.whole
    assert (found.spent.drawn, server.choices_served) == (0, before)
    assert told(seen.prediction) == told(found)
    return seen


def numbers(received):
    """Proposals that differ, under what they continue."""
    return f"{field_of(received, 'partial')[-1:]}{received.body['seed'] % 7}"


def searching(**settings):
    """A tree of thoughts in which every level is asked for, valued and answered."""
    return rtk.TreeOfThoughts(SIGNATURE, **{"breadth": 2, "branching": 3, "depth": 2, **settings})
