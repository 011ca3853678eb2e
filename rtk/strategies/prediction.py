"""`rtk.Prediction`: a `dspy.Prediction` that also says how it came about, outside its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dspy
from dspy.primitives.prediction import Completions

from rtk.budget import Spent
from rtk.deliberation import Deliberation
from rtk.strategies.page import page

ABOUT = (
    "deliberation", "spent", "stopped", "confidence", "vote", "seconds", "abstentions", "route", "hand_over",
    "explanation",
)  # fmt: skip
INSIDE = ("cut", "trace", "attempts")  # between strategies, and for experiments; no attributes


class _Evidence(dict[str, Any]):
    """What was found out about a prediction: a record, which copies share."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Evidence:
        return self


def evidence(prediction: dspy.Prediction, name: str) -> Any:
    """A prediction's evidence, also where one of its fields has that name; None where it has none."""
    return prediction.__dict__.get("_about", {}).get(name)


class Prediction(dspy.Prediction):
    """A prediction and its evidence, which a notebook shows together. A signature's own field of such a name wins.

    Attributes:
        deliberation: the `Deliberation`: chains, votes, tree, checks.
        spent: the `Spent`: calls, samples drawn and reused, tokens, dollars.
        stopped: the unit of the budget that ran out before the strategy was done; None otherwise.
        confidence: an `Estimate` of agreement, where the strategy votes; None otherwise.
        vote: the `rtk.answers.Vote`, with its clusters and margin, where the strategy votes; None otherwise.
        seconds: what the samples took when they were drawn, along the longest path of asks.
        abstentions: kinds of candidates that gave no answer, counted.
        route: what each level of a cascade, or rung of an effort ladder, answered, and what became of it; None where
            there is none.
        hand_over: what a person is told who takes over, where a cascade found no answer that it may give.
        explanation: of the answer, for its reader, where one was asked for.
    """

    def __repr__(self) -> str:
        fields = ", ".join(f"{key}={value!r}" for key, value in self._store.items())
        stopped = evidence(self, "stopped")
        return f"Prediction({fields})" + (f"  # stopped: {stopped}" if stopped else "")

    def _repr_html_(self) -> str:
        return page(self._store, self.__dict__.get("_about", {}))

    def _evidence(self, name: str) -> Any:
        if name in self._store:
            return self._store[name]
        return evidence(self, name)

    @property
    def deliberation(self) -> Deliberation | None:
        """What happened on the way."""
        return self._evidence("deliberation")

    @property
    def spent(self) -> Spent | None:
        """What it cost."""
        return self._evidence("spent")

    @property
    def stopped(self) -> str | None:
        """The unit that ran out."""
        return self._evidence("stopped")

    @property
    def confidence(self) -> Any:
        """Agreement, with its interval."""
        return self._evidence("confidence")

    @property
    def vote(self) -> Any:
        """The vote, with all that was voted for."""
        return self._evidence("vote")

    @property
    def seconds(self) -> float | None:
        """The longest path of asks, as long as it took when drawn."""
        return self._evidence("seconds")

    @property
    def abstentions(self) -> dict[str, int] | None:
        """Kinds of candidates that gave no answer, counted."""
        return self._evidence("abstentions")

    @property
    def route(self) -> Any:
        """What each level answered, in the order in which they were tried."""
        return self._evidence("route")

    @property
    def hand_over(self) -> Any:
        """What a person is told who takes over."""
        return self._evidence("hand_over")

    @property
    def explanation(self) -> str | None:
        """The answer explained to its reader."""
        return self._evidence("explanation")


_BLANK = vars(dspy.Prediction())


def holding(kind: type[Any], fields: Mapping[str, Any], completions: Any) -> Any:
    """A prediction of a kind with fields and `dspy.primitives.prediction.Completions`.

    By hand: every sample is read as one, and DSPy's own way takes four times as long.
    """
    made = object.__new__(kind)
    made.__dict__.update(_BLANK, _store=dict(fields), _completions=completions)
    return made


def predicted(fields: Mapping[str, Any], *, completions: Sequence[dspy.Prediction] = (), **about: Any) -> Prediction:
    """A prediction with these fields, completions and evidence.

    A function and no method: whatever a prediction has by itself, a field of that name could not be read.
    """
    keys = list(fields)
    rows = [{key: one.get(key, None) for key in keys} for one in completions] if keys else []
    made = holding(Prediction, fields, Completions(rows or [dict(fields)]))
    unknown = about.keys() - {*ABOUT, *INSIDE}
    if unknown:
        raise TypeError(f"no evidence is called {sorted(unknown)}")
    made._about = _Evidence(about)
    return made
