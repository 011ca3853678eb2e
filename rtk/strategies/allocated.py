"""What an allocation came to: an answer to every question, and where the samples went."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk._html import Markup, element
from rtk.answers import answer_fields
from rtk.budget import Spent
from rtk.errors import StrategyError
from rtk.statistics import Estimate, mean
from rtk.strategies.prediction import Prediction, evidence

SHOWN = 10  # questions in a table: those that were given most
SHORT = 60  # characters of a question or an answer there


@dataclass(frozen=True, repr=False, eq=False)
class Allocated:
    """The answers to a batch of questions that shared one budget; see `rtk.allocate`.

    Attributes:
        questions: as they were given, a task's as `dspy.Example`s.
        predictions: one for each, in their order: what the program's own call says with as many samples.
        samples: how many each has; questions that ask the same have the same ones, and each counts them.
        changes: for each, the probability that the second answer led if it were given all that it may have.
        spent: on all of them; what several share is counted once.
        stopped: the unit of the budget that ran out; None where no further sample could change a vote, or every
            question has its most.
        least: samples that each was to have before others had more.
        most: samples that one could have.
        metric: the task's; None for questions of no task.
    """

    questions: tuple[Any, ...]
    predictions: list[Prediction]
    samples: list[int]
    changes: list[float]
    spent: Spent
    stopped: str | None
    least: int
    most: int
    metric: Callable[..., Any] | None = None

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    @property
    def short(self) -> list[int]:
        """The questions, by their place from 0, that the budget did not give their least."""
        return [place for place, count in enumerate(self.samples) if count < self.least and self.stopped is not None]

    @property
    def unanswered(self) -> list[int]:
        """The questions, by their place from 0, without an answer."""
        return [place for place, one in enumerate(self.predictions) if all(value is None for value in one.values())]

    def accuracy(self, metric: Callable[..., Any] | None = None) -> Estimate:
        """The mean score over the questions, with its interval; no answer counts as the metric counts it.

        Args:
            metric: `(example, prediction) -> score` from 0 to 1, as DSPy's; a task's own by default.

        Raises:
            StrategyError: where there is none, or the questions are no `dspy.Example`s.
        """
        metric = metric or self.metric
        if metric is None or not all(isinstance(one, dspy.Example) for one in self.questions):
            raise StrategyError(
                "accuracy() of questions that come without answers",
                mend="allocate over a task; or dspy.Examples with answers, and metric=(example, prediction) -> score",
            )
        return mean([metric(one, pred) for one, pred in zip(self.questions, self.predictions, strict=True)])

    def rows(self) -> list[dict[str, Any]]:
        """A row for each question, in their order.

        `question`, `answer` (None where there is none), `samples`, `confidence` (the answer's share of the votes, in
        [0, 1]), `change` (see `changes`), `tokens` (read and written), `dollars`, and `abstentions` (samples without
        an answer).
        """
        return [self._row(place) for place in range(len(self))]

    def _row(self, place: int) -> dict[str, Any]:
        pred = self.predictions[place]
        spent, sure = evidence(pred, "spent"), evidence(pred, "confidence")
        names = answer_fields(list(pred.keys()))
        return {
            "question": _asked(self.questions[place]),
            "answer": pred[names[-1]] if names else None,
            "samples": self.samples[place],
            "confidence": None if sure is None else sure.value,
            "change": self.changes[place],
            "tokens": spent.tokens,
            "dollars": spent.dollars,
            "abstentions": sum((evidence(pred, "abstentions") or {}).values()),
        }

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    # --- what is shown ---

    def _facts(self) -> list[tuple[str, str]]:
        """What there is to say of all of them together."""
        counts = sorted(self.samples) or [0]
        middle = statistics.median(counts)
        facts = [
            ("questions", f"{len(self):,}"),
            ("samples", f"{self.spent.samples:,}, a question {counts[0]:,}–{counts[-1]:,} (median {middle:g})"),
            ("without an answer", f"{len(self.unanswered):,}" if self.unanswered else ""),
            ("below their least", f"{len(self.short):,} of fewer than {self.least} samples" if self.short else ""),
            ("ended by", f"a budget of {self.stopped}" if self.stopped else ""),
            ("spent", self.spent.amounts()),
        ]
        return [(name, said) for name, said in facts if said]

    def __repr__(self) -> str:
        return "Allocated: " + "; ".join(f"{name} {said}" for name, said in self._facts())

    def _repr_html_(self) -> str:
        facts = element("table", element("tbody", *(_fact(*one) for one in self._facts())))
        most = sorted(range(len(self)), key=lambda place: (-self.samples[place], place))[:SHOWN]
        rows = [self._row(place) for place in most]
        told = "all questions" if len(self) <= SHOWN else f"the {SHOWN} that were given most"
        return str(element("div", facts, _table(told, rows), class_="rtk-table"))


def _asked(question: Any) -> str:
    """A question in words: its inputs, one behind the other."""
    inputs: Mapping[str, Any] = question.inputs().toDict() if isinstance(question, dspy.Example) else question
    return " · ".join(str(value) for value in inputs.values())


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def _fact(name: str, said: str) -> Markup:
    style = "text-align:left;padding:.1em .7em .1em 0"
    return element("tr", element("th", name, scope="row", style=style), element("td", said, style=style))


def _table(caption: str, rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Questions as a table."""
    if not rows:
        return None
    columns, left = ("question", "answer", "samples", "confidence", "change"), "text-align:left"
    head = element("tr", *(element("th", name, scope="col", style=left) for name in columns))
    cells = ([element("td", _cell(row[name]), style=left) for name in columns] for row in rows)
    body = element("tbody", *(element("tr", *line) for line in cells))
    table = element("table", element("caption", caption, style=left), element("thead", head), body)
    scrolled = "overflow-x:auto;max-width:100%"
    return element("div", table, style=scrolled, tabindex="0", role="region", aria_label=caption)


def _cell(value: Any) -> object:
    if value is None:
        return element("em", "none")
    return f"{value:.2f}" if isinstance(value, float) else element("bdi", _cut(str(value)))
