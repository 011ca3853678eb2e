"""`rtk.Results`: what a sweep found, and all that can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, overload

from rtk.answers import Comparer
from rtk.experiments.analysis.calibrating import Reliability, calibration
from rtk.experiments.analysis.contrasts import Contrast, Contrasts, contrast
from rtk.experiments.analysis.difficulty import Difficulty, by_difficulty
from rtk.experiments.analysis.failures import Failures, failures
from rtk.experiments.analysis.frontiers import Frontier, frontier
from rtk.experiments.analysis.grades import Unit
from rtk.experiments.analysis.grids import Grid, Order, grid
from rtk.experiments.analysis.latencies import Latency, latency
from rtk.experiments.analysis.matching import By, Matched, matched
from rtk.experiments.analysis.picking import Wanted
from rtk.experiments.analysis.replicates import Replicated, replicated
from rtk.experiments.analysis.routing import Routes, routes
from rtk.experiments.analysis.summarising import Summary, summarise
from rtk.experiments.records.records import Records
from rtk.experiments.records.saving import load, save
from rtk.experiments.replays.policies import Policy
from rtk.experiments.replays.replayed import Replayed
from rtk.experiments.replays.replaying import ORDERS, replay
from rtk.experiments.replays.resampled import Curve, curve_of
from rtk.experiments.reports.report import report
from rtk.experiments.reports.report_page import Section


class Results(Records):
    """What a sweep found: rows, and what they say. Nothing here asks a model.

    `print` gives the summary, a notebook shows it; `rows()` (or `to_frame()`) are the answers and `candidates()` the
    attempts behind them, as pandas frames.
    """

    def to_frame(self) -> Any:
        """Every answer as a row of a pandas frame; see `rows`."""
        return self.rows()

    # --- how well, at what cost ---

    def summary(self, level: float = 0.95) -> Summary:
        """Each setting's accuracy with its interval over questions, what failed and abstained, and what it cost.

        Args:
            level: of the intervals, in (0, 1).
        """
        return summarise(self, level)

    @overload
    def compare(self, a: Wanted, b: Wanted, *, level: float = 0.95) -> Contrast: ...
    @overload
    def compare(self, *, baseline: Wanted | None = None, level: float = 0.95) -> Contrasts: ...
    def compare(self, a: Any = None, b: Any = None, *, baseline: Any = None, level: float = 0.95) -> Any:
        """Two settings on the same questions; or all with a baseline; or, given neither, each with every other.

        The paired difference `b − a` with its interval and exact p-value, Holm's over several. Arms that failed at
        different rates, were asked different questions or cost different amounts are named in what it says.

        Args:
            a: a label, or values that one setting alone has, such as `{"samples": 8}`.
            b: another.
            baseline: that with which all others are compared.
            level: of the intervals, in (0, 1).

        Raises:
            RTKError: a setting that there is not or that is not the only one; one compared with itself.
        """
        pair: Any = {"baseline": baseline} if a is None and b is None else {"a": a, "b": b}
        return contrast(self, **pair, level=level)

    def frontier(self, cost: Unit = "tokens", *, level: float = 0.95) -> Frontier:
        """The settings that no other beats at less cost, with how sure that is.

        Args:
            cost: `"tokens"`, `"dollars"`, `"seconds"` or `"flops"` of an answer.
            level: of the intervals, in (0, 1).

        Raises:
            RTKError: for a cost that is not known.
        """
        return frontier(self, cost, level=level)

    def matched(
        self,
        cost: Unit = "flops",
        *,
        a: str | None = None,
        b: str | None = None,
        by: By | None = None,
        tolerance: float = 0.1,
        margin: float = 0.05,
        level: float = 0.95,
    ) -> Matched:
        """Which settings of a small model equal which of a larger one at equal compute, as a table and a figure.

        Args:
            cost: what is held equal: `"flops"`, `"tokens"`, `"dollars"` or `"seconds"` of an answer.
            a: the model (or program) whose settings are looked at; without it all pairs, the cheaper one first.
            b: that which they are held against.
            by: `"model"` or `"program"`; without it models where there are several, else programs.
            tolerance: costs that are as much apart, as a share, count as equal.
            margin: a difference that matters to nobody: settings within it are called equal.
            level: of the intervals, in (0, 1).

        Raises:
            RTKError: for a cost that is not known, or fewer than two groups.
        """
        return matched(self, cost, a=a, b=b, by=by, tolerance=tolerance, margin=margin, level=level)

    def replicated(self, level: float = 0.95) -> Replicated:
        """How much runs deviate from each other, and how often the better setting really wins one.

        Args:
            level: of the intervals, in (0, 1).
        """
        return replicated(self, level)

    def latency(self, parallel: int | None = None) -> Latency:
        """How long an answer takes: measured, along its critical path, and with so many requests side by side.

        Args:
            parallel: requests at once; None for no limit.
        """
        return latency(self, parallel)

    def routes(self, by_kind: bool = True) -> Routes:
        """Of each level of a cascade or an effort ladder: how many answers, how good, how slow, and what they cost.

        Args:
            by_kind: also for the questions of each `kind`, where examples say what they are.

        Raises:
            RTKError: where no program had levels.
        """
        return routes(self, by_kind)

    # --- from the attempts already drawn ---

    def curve(self, axis: str = "samples", *, comparer: Comparer = "auto") -> Curve:
        """majority@k, pass@k and best-of-k for every k, averaged over all subsets of the attempts, with coverage.

        Args:
            axis: `"samples"`, or `"tokens"` that k attempts take on average.
            comparer: which answers are the same; see `rtk.answers.equal`.

        Raises:
            RTKError: for another axis, or where no attempts were kept.
        """
        return curve_of(self, axis, comparer=comparer)

    def replay(
        self,
        policies: Sequence[Policy] = (),
        *,
        samples: Sequence[int | None] | None = None,
        stop: Sequence[Any] | None = None,
        vote: Sequence[Any] | None = None,
        threshold: Sequence[float | None] | None = None,
        weight: Sequence[Any] | None = None,
        extract: Sequence[Any] | None = None,
        comparer: Comparer = "auto",
        orders: int = ORDERS,
        seed: int = 0,
    ) -> Replayed:
        """Evaluate every combination of settings on the attempts already drawn, with no call.

        Args:
            policies, samples, stop, vote, threshold, weight, extract, comparer, orders, seed: see
                `rtk.experiments.replay`.

        Raises:
            RTKError: for settings that cannot be, or that these attempts cannot answer.
        """
        return replay(
            self, policies, samples=samples, stop=stop, vote=vote, threshold=threshold, weight=weight, extract=extract,
            comparer=comparer, orders=orders, seed=seed,
        )  # fmt: skip

    def by_difficulty(self, bins: int = 5) -> Difficulty:
        """Accuracy of each setting on questions of each difficulty, which is estimated on runs of its own.

        Args:
            bins: at most.

        Raises:
            RTKError: where there is nothing to estimate it on apart from what is scored.
        """
        return by_difficulty(self, bins)

    def calibration(self, bins: int = 10) -> Reliability:
        """Confidence against accuracy, with the expected calibration error and its interval.

        Args:
            bins: of equal width on [0, 1].

        Raises:
            RTKError: where no answer has a confidence.
        """
        return calibration(self, bins)

    # --- to read ---

    def failures(
        self, each: int | None = 5, settings: Sequence[str] | None = None, *, confident: float = 0.8
    ) -> Failures:
        """The rows worth reading, the reason for each, and how it came about.

        Args:
            each: at most so many of a kind; None for all.
            settings: labels of those looked at; all without.
            confident: the confidence from which on a wrong answer is worth reading.
        """
        return failures(self, each, settings, confident=confident)

    def grid(
        self,
        questions: int | Sequence[str] | None = 50,
        settings: Sequence[str] | None = None,
        *,
        order: Order = "disagreement",
        cost: Unit = "tokens",
    ) -> Grid:
        """Questions down, settings across: right, wrong, abstained or failed, and what it cost.

        Args:
            questions: how many at most, or their ids; None for all.
            settings: labels of those shown; all without.
            order: `"disagreement"` between settings first, `"hardest"` first, or that of the `"task"`.
            cost: shown in each cell.

        Raises:
            RTKError: for a question or a setting that there is not.
        """
        return grid(self, questions, settings, order=order, cost=cost)

    def report(
        self,
        path: str | Path,
        rows: int | None = 2000,
        *,
        sections: Sequence[Section] = (),
        title: str | None = None,
    ) -> None:
        """Write the study as one page that loads nothing: figures, comparisons, and every answer with its story.

        Args:
            path: of the file, in `.html`.
            rows: how many answers at most, those worth reading first; None for all.
            sections: further ones, behind the standard ones.
            title: of the page.

        Raises:
            RTKError: for another ending, a folder that is not there, or a number of rows below 0.
        """
        report(self, path, rows, sections=sections, title=title)

    # --- to keep ---

    def save(self, folder: str | Path) -> None:
        """Keep the results in a folder: Parquet and JSON, which run nothing when they are read.

        Args:
            folder: a new one, an empty one, or one that results were saved in, which are replaced.

        Raises:
            RTKError: for a folder that holds something else.
        """
        save(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Results that were saved, also by somebody else: nothing of them is run, and what is damaged is refused.

        Checksums find damage, and what contradicts itself is refused; but who can write the folder can write in it what
        he likes.

        Args:
            folder: that they were saved in.

        Raises:
            RTKError: for what is missing, damaged, or of a newer rtk.
        """
        return load(folder, cls)

    def __repr__(self) -> str:
        return repr(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
