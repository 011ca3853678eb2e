"""A model server that proposes, values and answers as a tree of thoughts asks it to, in a process of its own.

What it writes, and how long it takes, is a function of the request's content and of how often the same content came
before (its choices): whoever asks for the same gets the same, equally late. It reads DSPy's chat format: the fields
that are asked for, and the partial solution.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections import Counter
from typing import Any

import model_server

PARTIAL = re.compile(r"\[\[ ## partial ## \]\]\n(.*?)\n\n(?=\[\[ ## |Respond with)", re.DOTALL)
BRANCHING = re.compile(r"\[\[ ## branching ## \]\]\n(\d+)")


class TreeServer(model_server.ModelServer):
    """The server's handle; besides `ModelServer`'s settings it has `sigma` (of the latency's logarithm, whose median is
    `latency`; 0 for a constant one) and `seed` (another one, other latencies and values). `control` also returns
    `kinds`, the requests for a `list` of thoughts, a `thought`, a `value` and an `answer`.
    """

    file = __file__


class Thinker(model_server.Model):
    """Writes thoughts that are all different, values that are sure or likely, and an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.settings |= {"sigma": 0.0, "seed": 0}
        self._delay = 0.0

    def reset(self) -> None:
        """Start counting anew."""
        super().reset()
        self.kinds: Counter[str] = Counter()
        self._came: Counter[str] = Counter()

    def control(self, settings: dict[str, Any]) -> dict[str, Any]:
        """See `TreeServer`."""
        kinds = dict(self.kinds)
        return super().control(settings) | {"kinds": kinds}

    def written(self, body: dict[str, Any], count: int) -> list[str]:
        """See `Model.written`."""
        last = body["messages"][-1]["content"]
        content = "\n".join(message["content"] for message in body["messages"])
        texts, delays = [], []
        for _ in range(count):
            number = self._came[content]
            self._came[content] += 1
            chance = random.Random(f"{self.settings['seed']}|{number}|{content}")
            delays.append(self.settings["latency"] * math.exp(self.settings["sigma"] * chance.gauss(0, 1)))
            kind, fields = _said(last, number, chance)
            texts.append("\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()))
        self.kinds[kind] += 1
        self._delay = max(delays)
        return texts

    def delay(self) -> float:
        """As long as the slowest of the choices takes."""
        return self._delay


def _said(last: str, number: int, chance: random.Random) -> tuple[str, dict[str, str]]:
    """What kind of request it is, and the fields of its reply."""
    asked = last.partition("Respond with")[2]
    found = PARTIAL.search(last)
    partial = found[1] if found else ""
    level = len(partial.splitlines()) + 1
    name = f"{random.Random(partial).getrandbits(32):08x}"
    because = {"reasoning": "What is there so far leaves this open."}
    if "[[ ## thoughts ## ]]" in asked:
        size = int(BRANCHING.search(last)[1])
        thoughts = [f"step {level}: {name} goes on as {one}" for one in range(size)]
        return "list", {**because, "thoughts": json.dumps(thoughts)}
    if "[[ ## thought ## ]]" in asked:
        return "thought", {**because, "thought": f"step {level}: {name} goes on as {number}"}
    if "[[ ## verdict ## ]]" in asked:
        return "value", {**because, "verdict": chance.choice(["sure", "likely"])}
    return "answer", {**because, "answer": "all of it"}


if __name__ == "__main__":
    asyncio.run(model_server.serve(Thinker()))
