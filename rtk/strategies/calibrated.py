"""What calibrating came to: what a strategy does from now on, and how that did on questions kept aside from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtk._html import Markup, element
from rtk.statistics import Discrimination, Estimate


@dataclass(frozen=True, repr=False)
class Calibrated:
    """What was learned from dev questions, with what it is worth.

    `accuracy`, `difference` and `cost` are cross-fitted: each question is answered with what was learned from the
    other folds. What the strategy is left with is learned from all questions, and may differ from what the folds
    taught; where it is full effort, which nobody learned, the three are full effort's own.

    Attributes:
        learned: the settings that the strategy has now.
        informative: whether the confidence tells right answers from wrong ones, beyond chance; where it does not,
            `learned` is fixed effort, the same for every question.
        why: what was decided, and on what ground, in a sentence.
        size: questions that it rests on.
        full: accuracy with all effort on every question.
        accuracy: accuracy with what was learned.
        difference: the latter less the former, question by question.
        cost: what a question costs with what was learned, on average.
        full_cost: what it costs with all effort.
        unit: of both costs, such as `"samples"` or `"tokens"`.
        discrimination: by level or rung, how well its confidence tells right from wrong.
        stopped: the unit of the budget that ended it before all questions were asked; None otherwise.
        rates: further shares of the questions by name, cross-fitted likewise, such as those handed over.
    """

    learned: Mapping[str, Any]
    informative: bool
    why: str
    size: int
    full: Estimate
    accuracy: Estimate
    difference: Estimate
    cost: float
    full_cost: float
    unit: str
    discrimination: Mapping[str, Discrimination]
    stopped: str | None = None
    rates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """The cost as a share of that of all effort; None where that is nothing."""
        return self.cost / self.full_cost if self.full_cost else None

    def _rows(self) -> dict[str, str]:
        share = "" if self.share is None else f", {self.share:.2f} of all effort's {self.full_cost:,.1f}"
        learned = {name: str(value) for name, value in self.learned.items()}
        told = {f"confidence of {name}": str(one) for name, one in self.discrimination.items()}
        told |= {name: str(one) for name, one in self.rates.items()}
        ended = {} if self.stopped is None else {"stopped": f"the budget of {self.stopped} ended first"}
        return {
            **learned,
            "why": self.why,
            "accuracy": f"{self.accuracy}, on questions it was not learned from",
            "with all effort": str(self.full),
            "difference": _signed(self.difference),
            f"{self.unit} a question": f"{self.cost:,.1f}{share}",
            **told,
            **ended,
        }

    def __repr__(self) -> str:
        rows = self._rows()
        wide = max(map(len, rows))
        return "\n".join(f"{name:<{wide}}  {said}" for name, said in rows.items())

    def _repr_html_(self) -> str:
        left = "text-align:left"
        body = [
            element("tr", element("th", name, scope="row", style=left), element("td", said, style=left))
            for name, said in self._rows().items()
        ]
        return str(Markup(element("table", element("caption", "calibrated", style=left), element("tbody", *body))))


def _signed(one: Estimate) -> str:
    value = "–" if one.value is None else f"{one.value:+.3f}"
    return f"{value} [{one.low:+.3f}, {one.high:+.3f}] n={one.size}"
