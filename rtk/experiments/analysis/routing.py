"""Where answers came from: of each level of a cascade, how many, how good, how long they took and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.grades import graded
from rtk.experiments.analysis.latencies import times
from rtk.experiments.analysis.telling import amount, share, span
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import html_table, text_table
from rtk.statistics import Estimate, mean

ALL, NOBODY = "all", "no level"


@dataclass(frozen=True)
class Route:
    """The answers of one setting that came from one level, perhaps to questions of one kind.

    Attributes:
        setting: its label.
        kind: of the questions; None for all of them.
        level: the level's name, `"handed over"`, `"no level"` (of a program without levels, and of errors and answers
            that a budget cut short), or `"all"` of them together.
        answers: how many.
        share: of the answers to such questions, with its interval over questions.
        accuracy: of these answers, or their mean score, with its interval over questions.
        median: seconds on the longest path of an answer's asks, as long as they took when drawn; the half is faster.
        p95: likewise; 95 of 100 are faster. Both are None where no time is known.
        tokens: of an answer, read and written, on average.
        dollars: of an answer on average; None where a price is unknown.
    """

    setting: str
    kind: str | None
    level: str
    answers: int
    share: Estimate
    accuracy: Estimate
    median: float | None
    p95: float | None
    tokens: float
    dollars: float | None


@dataclass(frozen=True, repr=False)
class Routes:
    """Where the answers of a sweep came from.

    Attributes:
        routes: by setting, kind and level, in the order in which levels are met.
        task: which questions.
    """

    routes: tuple[Route, ...]
    task: Card

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes)

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each: estimates as a value with `_low` and `_high` (95 %), times in seconds."""
        return [
            {"setting": one.setting, "kind": one.kind, "level": one.level, "answers": one.answers,
             **_spread("share", one.share), **_spread("accuracy", one.accuracy), "median_seconds": one.median,
             "p95_seconds": one.p95, "tokens": one.tokens, "dollars": one.dollars}
            for one in self.routes
        ]  # fmt: skip

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _cells(self) -> list[dict[str, str]]:
        several = len({one.setting for one in self.routes}) > 1
        kinds = any(one.kind is not None for one in self.routes)
        return [
            {
                **({"setting": one.setting} if several else {}),
                **({"questions": one.kind or ALL} if kinds else {}),
                "level": one.level,
                "answers": f"{one.answers:,}",
                "share": f"{share(one.share.value)} {span(one.share)}",
                self.task.metric or "score": f"{share(one.accuracy.value)} {span(one.accuracy)}",
                "median s": amount(one.median),
                "p95 s": amount(one.p95),
                "tokens": amount(one.tokens),
                **({} if one.dollars is None else {"dollars": amount(one.dollars)}),
            }
            for one in self.routes
        ]

    def _heading(self) -> str:
        return f"{self.task.name}: where answers came from, 95 % intervals over questions"

    def __repr__(self) -> str:
        return f"{self._heading()}\n{text_table(self._cells())}"

    def _repr_html_(self) -> str:
        return str(html_table(self._heading(), self._cells()))


def routes(records: Records, by_kind: bool = True) -> Routes:
    """How many answers each level gave, how good they are, and how long they took; for each kind of question too.

    Seconds are of the longest path of an answer's asks, each as long as when it was drawn: an answer for which no model
    was asked takes 0. Replicates of a question count as one question.

    Args:
        records: of a sweep.
        by_kind: also for the questions of each `kind`, where examples say what they are.

    Raises:
        RTKError: where no program had levels.
    """
    frame = graded(records, "level", "kind", "seconds", "tokens", "dollars")
    if frame["level"].isna().all():
        raise RTKError(
            "no answer of this sweep came from a level", mend="sweep an rtk.Cascade or an rtk.AdaptiveEffort"
        )
    frame["level"] = frame["level"].fillna(NOBODY)
    found = []
    for arm in records.settings:
        part = frame[frame["setting"] == arm.label]
        kinds = [kind for kind in dict.fromkeys(part["kind"]) if kind is not None] if by_kind else []
        for kind in [None, *kinds]:
            found += _of(arm.label, kind, part if kind is None else part[part["kind"] == kind])
    return Routes(tuple(found), records.task)


def _of(setting: str, kind: str | None, part: Any) -> list[Route]:
    """A route for each level, the one that gives most answers first; then all of them, which is all where none has."""
    if part.empty:
        return []
    levels = list(part["level"].value_counts(sort=True).index)
    levels = [] if levels == [NOBODY] else levels
    return [_route(setting, kind, level, part, part[part["level"] == level]) for level in levels] + [
        _route(setting, kind, ALL, part, part)
    ]


def _route(setting: str, kind: str | None, level: str, whole: Any, part: Any) -> Route:
    inside = whole.index.isin(part.index)
    seconds = times(part["seconds"])
    dollars = part["dollars"].to_numpy(dtype=np.float64)
    return Route(
        setting, kind, level, len(part),
        mean(inside.astype(float), whole["example"]), mean(part["value"], part["example"]),
        seconds.median, seconds.p95, float(part["tokens"].mean()),
        None if np.isnan(dollars).any() or not dollars.any() else float(dollars.mean()),
    )  # fmt: skip


def _spread(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
