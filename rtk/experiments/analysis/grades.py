"""What every answer of a sweep was worth and what it cost, as rows and as tables of settings by questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.telling import some
from rtk.experiments.records.records import Arm, Records

Floats = np.ndarray[Any, np.dtype[np.float64]]
Unit = Literal["tokens", "dollars", "seconds", "flops"]

UNITS: Mapping[str, str] = {
    "tokens": "tokens read and written",
    "dollars": "dollars",
    "seconds": "seconds on the longest path",
    "flops": "FLOPs",
}
"""What a cost is called in a sentence."""
NOUNS: Mapping[str, str] = {"tokens": "tokens", "dollars": "dollars", "seconds": "seconds", "flops": "FLOPs"}
MENDS: Mapping[str, str] = {
    "dollars": "rtk.LM(…, price=(dollars per million tokens read, written)) and sweep again: what is stored costs "
    "nothing to read; or cost='tokens'",
    "flops": "rtk.LM(…, params=parameters of the model) and sweep again: what is stored costs nothing to read; "
    "or cost='tokens'",
}
NEEDED = ("setting", "example", "replicate", "correct", "score", "error")


def metric_column(metric: str) -> str:
    """The column that a task's metric has in a table: `accuracy`, `mean_judged_score`."""
    return metric.replace(" ", "_")


def graded(records: Records, *columns: str) -> Any:
    """The rows as a pandas frame, with `value`: 1 or 0 where accuracy is reported, else the score.

    Errors and abstentions are rows of value 0. `tokens` is a column too: those read and those written.

    Args:
        records: of a sweep.
        *columns: those wanted besides the setting, the example, the replicate and the error.
    """
    wanted = [name for name in columns if name != "tokens"] + ["tokens_in", "tokens_out"] * ("tokens" in columns)
    frame = records.rows(*dict.fromkeys([*NEEDED, *wanted]))
    right = frame["correct"].astype(float)
    reported = right if records.task.metric == "accuracy" else frame["score"].where(frame["error"].isna(), 0.0)
    frame["value"] = reported.fillna(right)
    if "tokens" in columns:
        frame["tokens"] = (frame["tokens_in"] + frame["tokens_out"]).astype(float)
    return frame


def by_question(frame: Any, column: str, labels: Sequence[str], questions: Sequence[str]) -> Floats:
    """A matrix of settings × questions: the mean over replicates, NaN where there is nothing known."""
    means = frame.groupby(["setting", "example"], sort=False, observed=True)[column].mean().unstack("example")
    return means.reindex(index=list(labels), columns=list(questions)).to_numpy(dtype=np.float64)


@dataclass(frozen=True)
class Grades:
    """Every setting on every question.

    Attributes:
        settings: those that were asked anything, in order.
        questions: ids of the examples, in order.
        values: settings × questions, the mean over replicates; NaN where a question was not asked.
        costs: the same of what an answer cost.
        failures: the same of the share of answers that failed.
        unit: of the costs.
        metric: what the values are.
        unknown: how many answers that failed have no known cost, and are left out of the costs.
    """

    settings: list[Arm]
    questions: list[str]
    values: Floats
    costs: Floats
    failures: Floats
    unit: Unit
    metric: str
    unknown: int

    @property
    def labels(self) -> list[str]:
        """Of the settings."""
        return [arm.label for arm in self.settings]

    @property
    def cost(self) -> Floats:
        """Of an answer of each setting, on average."""
        return np.array([float(np.nanmean(row)) for row in self.costs])

    @property
    def value(self) -> Floats:
        """Of each setting, on average over its questions."""
        return np.array([float(np.nanmean(row)) for row in self.values])

    @property
    def asked(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many questions each setting was asked."""
        return (~np.isnan(self.values)).sum(axis=1)

    def uneven(self) -> list[str]:
        """What is to be said where not all were asked the same, or a cost is left out."""
        told, known = [], ~np.isnan(self.values)
        if known.size and not (known == known[0]).all():
            said = [f"{label} {count}" for label, count in zip(self.labels, self.asked.tolist(), strict=True)]
            told.append(f"Not all settings were asked the same questions: {some(said, 8)}.")
        if self.unknown:
            told.append(
                f"What {self.unknown} of the answers that failed cost is not known; the {NOUNS[self.unit]} of their "
                "settings are those of the others."
            )
        return told


def grades(records: Records, cost: Unit) -> Grades:
    """What every setting was worth and cost on every question.

    Raises:
        RTKError: a unit that there is not, no row at all, or a cost that is not known; names what makes it known.
    """
    if cost not in get_args(Unit):
        raise RTKError(f"there is no cost {cost!r}", mend=f"one of {', '.join(get_args(Unit))}")
    frame = graded(records, cost)
    if frame.empty:
        raise RTKError("the sweep has no row, so nothing can be set against its cost", mend="run it again: it resumes")
    there = set(frame["setting"])
    arms = [arm for arm in records.settings if arm.label in there]
    _check_known(frame, cost, arms)
    frame["failure"] = frame["error"].notna().astype(float)
    labels, questions = [arm.label for arm in arms], list(dict.fromkeys(frame["example"]))
    values, costs, failures = (by_question(frame, name, labels, questions) for name in ("value", cost, "failure"))
    return Grades(arms, questions, values, costs, failures, cost, records.task.metric, int(frame[cost].isna().sum()))


def _check_known(frame: Any, cost: Unit, arms: Sequence[Arm]) -> None:
    """Refuse a cost that some setting does not have; an answer that failed may lack it, unless all of them do."""
    lacks = frame[cost].isna()
    bad = set(frame.loc[lacks & frame["error"].isna(), "setting"])
    bad |= {label for label, all_lack in lacks.groupby(frame["setting"]).all().items() if all_lack}
    if bad:
        labels = [arm.label for arm in arms if arm.label in bad]
        which = "any setting" if len(bad) == len(arms) else some(labels)
        raise RTKError(f"the {NOUNS[cost]} of {which} are not known", mend=MENDS.get(cost, "cost='tokens'"))
