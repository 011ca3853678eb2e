"""Chain of thought: reason step by step, then answer (Wei et al., 2022, arXiv:2201.11903)."""

from __future__ import annotations

import re
from typing import Any

import dspy

from rtk.answers import check_arithmetic
from rtk.deliberation import Step
from rtk.strategies.flow import Candidate, Flow, Outcome, ask
from rtk.strategies.strategy import Strategy, step_of

_BREAK = re.compile(r"\n+|(?<=[.!?])\s+(?=[A-Z(])")


class ChainOfThought(Strategy):
    """One chain of reasoning, then the answer, and the chain's steps as its deliberation.

    Unlike `dspy.ChainOfThought` it is a strategy: it takes `budget=`, a malformed completion is an abstention (its
    outputs are None) instead of an error, and arithmetic claims in the reasoning are checked and shown. Its
    predictor is `.predict` and its field `reasoning`, as DSPy's, so saved DSPy chains load.

    Args:
        signature: a DSPy signature, or its text.
        **config: sampling parameters of the predictor.
    """

    asks_once = True

    def __init__(self, signature: Any, **config: Any) -> None:
        super().__init__()
        self.predict = dspy.ChainOfThought(signature, **config).predict

    def flow(self, **inputs: Any) -> Flow:
        """One candidate."""
        chain = (yield ask(self.predict, inputs))[0]
        prediction = chain.prediction if chain.prediction is not None else self._nothing()
        return Outcome(prediction, used=[chain], deliberation=told(chain))


def told(chain: Candidate) -> Step:
    """A chain as a step whose children are the steps of its reasoning, each with the claims found wrong in it."""
    told = step_of(chain, "chosen" if chain.abstention is None else "dead end")
    fields = dict(chain.prediction.items()) if chain.prediction is not None else {}
    reasoning = fields.pop("reasoning", None)
    if isinstance(reasoning, str):
        told.text = "; ".join(f"{name}: {value}" for name, value in fields.items())
        told.children = [_step(text) for text in _BREAK.split(reasoning.strip()) if text.strip()]
    return told


def _step(text: str) -> Step:
    wrong = [claim for claim in check_arithmetic(text) if not claim.ok]
    checks = [Step("check", claim.text, state="dead end", reason=f"it is {claim.value}") for claim in wrong]
    return Step("step", text.strip(), state="kept", children=checks)
