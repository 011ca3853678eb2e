"""How long an answer takes to come: as it was measured, and as it would be with so much in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.telling import amount, noted, with_notes
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import html_table, text_table

SLACK = 1e-6  # seconds, of sums that were added in another order


@dataclass(frozen=True)
class Times:
    """Seconds of an answer.

    Attributes:
        median: half of the answers are there by then.
        p95: 95 of 100 are, interpolated between answers.
        mean: on average.
        size: of how many answers.
    """

    median: float | None
    p95: float | None
    mean: float | None
    size: int


@dataclass(frozen=True)
class Waiting:
    """One setting.

    Attributes:
        setting: its label.
        measured: the time from question to answer in the sweep, of the answers that drew a sample then.
        partly: how many of those found some of their samples in the store, which took no time.
        unlimited: the longest path of samples, each as long as it took when drawn, with everything in parallel.
        limited: the same with so many samples at a time; None where no number was given.
        bounded: how many of these are upper bounds, since how their samples wait for each other is not known.
    """

    setting: str
    measured: Times
    partly: int
    unlimited: Times
    limited: Times | None
    bounded: int


@dataclass(frozen=True, repr=False)
class Latency:
    """How long the answers of each setting take.

    Attributes:
        task: which questions.
        parallel: how many samples at a time; None where only everything at once was looked at.
        settings: each setting's times.
        notes: what the figures are, and are not.
    """

    task: Card
    parallel: int | None
    settings: tuple[Waiting, ...]
    notes: list[str]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting: `measured_…`, `unlimited_…` and, for c in parallel, `parallel_…`, in seconds."""
        return [_row(one, self.parallel) for one in self.settings]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _heading(self) -> str:
        limited = "" if self.parallel is None else f", and {self.parallel:,} samples at a time"
        return f"seconds of an answer: measured, and the longest path with everything at once{limited}"

    def _cells(self) -> list[dict[str, str]]:
        shown = {"measured": "measured", "unlimited": "at once"}
        shown |= {} if self.parallel is None else {"limited": f"{self.parallel:,} at a time"}
        lines = []
        for one in self.settings:
            line = {"setting": one.setting}
            for name, heading in shown.items():
                times = getattr(one, name)
                bound = "≤ " if name == "limited" and one.bounded else ""
                for part in ("median", "p95", "mean"):
                    value = getattr(times, part)
                    line[f"{heading}: {part}"] = "–" if value is None else bound + amount(value)
            line["answers measured"] = f"{one.measured.size:,}"
            lines.append(line)
        return lines

    def __repr__(self) -> str:
        return f"{self._heading()}\n{text_table(self._cells())}{noted(self.notes, 'Notes')}"

    def _repr_html_(self) -> str:
        return str(with_notes(html_table(self._heading(), self._cells()), self.notes, "Notes"))


def latency(records: Records, parallel: int | None = None) -> Latency:
    """How long a user waits for an answer of each setting.

    Measured are the answers that drew a sample in this sweep: what is only read from the store comes at once. A sweep
    asks many questions at a time, so that a server under load may have made them wait. The longest path is free of
    that as far as the samples' own seconds are: each lasts as long as when it was drawn, and what does not wait for
    another runs beside it.

    With c in parallel: where an answer was chosen from attempts that wait for nothing, they are given to c workers in
    the order of their index, each to the first that is free. Elsewhere (a tree, a repair, attempts in waves) the order
    is not known, and `work / c + seconds · (1 − 1 / c)` is an upper bound for any order that leaves no worker idle; it
    is marked by ≤. Source: R. L. Graham, "Bounds for certain multiprocessing anomalies", Bell System Technical Journal
    45 (1966), 1563–1581; R. P. Brent, Journal of the ACM 21 (1974), 201–206.

    * c = 1: all samples one after the other. c at least as many as there are attempts: the longest path.
    * no answer that drew a sample: nothing was measured, and it says so.

    Args:
        records: of a sweep.
        parallel: how many samples at a time.

    Raises:
        RTKError: fewer than one at a time.
    """
    if parallel is not None and (isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1):
        raise RTKError(f"parallel={parallel!r}", mend="a whole number from 1 on, or None for everything at once")
    frame = records.rows("setting", "drawn", "reused", "wall", "seconds", "work", "pool", "attempts")
    if parallel is not None:
        frame["limited"], frame["bound"] = _limited(records, frame, parallel)
    parts = dict(list(frame.groupby("setting", sort=False)))
    found = [_waiting(arm.label, parts.get(arm.label, frame.head(0)), parallel) for arm in records.settings]
    return Latency(records.task, parallel, tuple(found), _told(found))


def _waiting(label: str, part: Any, parallel: int | None) -> Waiting:
    now = part[part["drawn"] > 0]
    limited = None if parallel is None else times(part["limited"])
    bounded = 0 if parallel is None else int(part["bound"].sum())
    partly = int((now["reused"] > 0).sum())
    return Waiting(label, times(now["wall"]), partly, times(part["seconds"]), limited, bounded)


def times(values: Any) -> Times:
    """Median, 95th percentile and mean of a column of seconds, of those that are known."""
    known = values.to_numpy(dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return Times(None, None, None, 0)
    median, late = (float(one) for one in np.quantile(known, (0.5, 0.95)))
    return Times(median, late, float(known.mean()), known.size)


def _limited(records: Records, frame: Any, parallel: int) -> tuple[Any, Any]:
    """The seconds of each row with so many at a time, and which of them are bounds."""
    work, seconds = (frame[name].to_numpy(dtype=np.float64) for name in ("work", "seconds"))
    found = work / parallel + seconds * (1 - 1 / parallel)
    bound = np.full(len(frame), parallel > 1)
    known = _schedules(records, parallel)
    pools, attempts = frame["pool"].to_numpy(dtype=np.float64), frame["attempts"].to_numpy(dtype=np.float64)
    for row in np.flatnonzero(~np.isnan(pools) & ~np.isnan(attempts) & (attempts > 0)).tolist():
        steps = known.get(int(pools[row]), [])
        if attempts[row] <= len(steps):
            end, longest, total = steps[int(attempts[row]) - 1]
            if abs(longest - seconds[row]) <= SLACK and abs(total - work[row]) <= SLACK * attempts[row]:
                found[row], bound[row] = end, False
    bound &= work > seconds + SLACK  # one after the other is no bound, but how it is
    return found, bound


def _schedules(records: Records, parallel: int) -> dict[int, list[tuple[float, float, float]]]:
    """For each pool what its first 1, 2, … attempts take on so many workers, at once, and one after the other."""
    frame = records.candidates("pool", "seconds")  # in the order of pools, then of index
    return {
        int(pool): list(listed(part.tolist(), parallel)) for pool, part in frame.groupby("pool", sort=False)["seconds"]
    }


def listed(seconds: Sequence[float], parallel: int) -> Iterable[tuple[float, float, float]]:
    """List scheduling, in order: when the first 1, 2, … are done, the longest of them, and their sum."""
    free = [0.0] * min(parallel, max(1, len(seconds)))
    heapify(free)
    end = longest = total = 0.0
    for one in seconds:
        done = free[0] + one
        heapreplace(free, done)
        end, longest, total = max(end, done), max(longest, one), total + one
        yield end, longest, total


def _row(one: Waiting, parallel: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"setting": one.setting}
    kinds = {"measured": one.measured, "unlimited": one.unlimited, "parallel": one.limited}
    for name, times in kinds.items():
        if times is not None:
            row |= {f"{name}_median": times.median, f"{name}_p95": times.p95, f"{name}_mean": times.mean}
    row |= {"measured_answers": one.measured.size, "partly_reused": one.partly}
    return row if parallel is None else {**row, "parallel": parallel, "bounded": one.bounded}


def _told(found: Sequence[Waiting]) -> list[str]:
    told = []
    if not any(one.measured.size for one in found):
        told.append("Nothing was drawn in this sweep, so no time was measured: all samples were there.")
    elif lacking := [one.setting for one in found if not one.measured.size]:
        told.append(
            f"Nothing was drawn now by {', '.join(lacking)}: their samples were there, so no time was measured."
        )
    partly = [f"{one.setting} ({one.partly:,} of {one.measured.size:,})" for one in found if one.partly]
    if partly:
        told.append(f"Some samples were there already, whose time is not in what was measured: {', '.join(partly)}.")
    if any(one.measured.size for one in found):
        told.append("Measured while other questions of the sweep were under way; concurrency=1 measures one alone.")
    bounded = [one.setting for one in found if one.bounded]
    if bounded:
        told.append(f"Upper bounds (≤), since what waits for what is not known: {', '.join(bounded)}.")
    return told
