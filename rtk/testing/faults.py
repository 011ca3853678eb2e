"""A script that fails now and then, the same way in every run."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from rtk.errors import ModelError
from rtk.testing.replies import Answering, Received, Reply, Script, Wrapper, answering

Kind = Literal["500", "429", "timeout", "reset", "truncated", "empty", "malformed"]
"""How a reply fails: two HTTP statuses; a hang until the client leaves; a connection reset before the reply; one broken
off within it; a completion without text; a body that is no JSON."""

_REPLIES: dict[str, Reply] = {
    "500": Reply("a scripted fault", status=500),
    "429": Reply("a scripted limit on requests", status=429, headers={"Retry-After": "0"}),
    "timeout": Reply(delay=math.inf),
    "reset": Reply(cut="start"),
    "truncated": Reply("This reply will never be read to its end.", cut=True),
    "empty": Reply(""),
    "malformed": Reply(body=b"<html><body>502 Bad Gateway</body></html>"),
}


class Faults(Wrapper):
    """What `faults` returns.

    Attributes:
        given: how many faults of each kind the server has sent since its start or last reset.
    """

    def __init__(self, script: Script, rate: float, kinds: Sequence[Kind], seed: int, permanent: float) -> None:
        self._script, self._rate, self._kinds = script, rate, tuple(kinds)
        self._seed, self._permanent = seed, permanent
        self.given: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"Faults(rate={self._rate}, kinds={self._kinds}, seed={self._seed}, permanent={self._permanent})"

    def answering(self) -> Answering:
        """Start from the beginning."""
        inner = answering(self._script)
        self.given = Counter()

        def answer(received: Received, count: int) -> list[Reply]:
            kind = self.kind(received)
            if kind is None:
                return inner(received, count)
            self.given[kind] += 1
            return [_REPLIES[kind]] * count

        return answer

    def kind(self, received: Received) -> Kind | None:
        """The fault a request meets, from the seed, its prompt, its body and its occurrence alone."""
        lot = random.Random(f"{self._seed}|{_text(received.messages)}")
        if lot.random() < self._permanent:
            return lot.choice(self._kinds)
        lot = random.Random(f"{self._seed}|{_text(received.body)}|{received.occurrence}")
        return lot.choice(self._kinds) if lot.random() < self._rate else None


def faults(
    script: Script,
    rate: float,
    kinds: Sequence[Kind] = get_args(Kind),
    seed: int = 0,
    permanent: float = 0.0,
) -> Faults:
    """A script that fails now and then; what it does not fail, `script` answers, no reply of which is lost.

    Which requests fail follows from the seed and the request alone: the body, and how often the same body came
    before. Arrival order across different requests changes nothing, so runs can be repeated at any concurrency.

    Args:
        script: what answers the rest.
        rate: the probability, in [0, 1], that a request fails, anew each time it is asked.
        kinds: drawn from with equal probability; `"timeout"` hangs for as long as the client waits.
        seed: another seed, other failures.
        permanent: the share of prompts, in [0, 1], that fail however often they are asked, each in one way.

    Raises:
        ModelError: for a rate or share outside [0, 1], or an unknown kind.

    >>> script = faults({"capital of France": "Paris"}, rate=0.2, kinds=("500", "429"))
    """
    if not (0 <= rate <= 1 and 0 <= permanent <= 1):
        raise ModelError(f"faults(rate={rate!r}, permanent={permanent!r})", mend="both are shares in [0, 1]")
    unknown = [kind for kind in kinds if kind not in _REPLIES]
    if unknown or not kinds:
        raise ModelError(f"unknown kinds of fault: {unknown}", mend=f"choose from {', '.join(_REPLIES)}")
    answering(script)  # a mistake in it is said here, not when the server starts
    return Faults(script, rate, kinds, seed, permanent)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
