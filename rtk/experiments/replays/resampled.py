"""Curves from attempts already drawn: what one attempt, a vote, a verifier and a perfect chooser make of k of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.answers import Abstention, Comparer, equal, vote
from rtk.errors import RTKError
from rtk.experiments.analysis.grades import graded
from rtk.experiments.analysis.lines import drawn, framed, panel, span, told_apart
from rtk.experiments.analysis.telling import share, signed
from rtk.experiments.analysis.telling import span as interval
from rtk.experiments.figures import Figure
from rtk.experiments.records.records import Card, Records
from rtk.experiments.replays.orders import Array
from rtk.experiments.replays.pools import Pool, Source, check_scored, sources_of
from rtk.experiments.tables import text_table
from rtk.statistics import Estimate, best_of_k, difference, majority_at_k, mean, pass_at_k

AXES = {"samples": "attempts at a question, k (log scale)", "tokens": "tokens written for a question (log scale)"}
COVERAGE, MAJORITY, SINGLE = "coverage, pass@k", "majority@k", "one attempt"
BEST = {"reward": "best-of-k by reward", "logprob": "best-of-k by log-probability"}
SAID = {
    COVERAGE: "some attempt of k is right: what a perfect chooser would make of them",
    MAJORITY: "the largest cluster of k answers",
    SINGLE: "the mean of single attempts",
    **dict.fromkeys(BEST.values(), "the attempt of k with the highest score"),
}
FEW = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # rows of the text


@dataclass(frozen=True, eq=False)
class Drawn:
    """What each estimator makes of every k attempts of one source.

    Attributes:
        source: whose attempts.
        size: the largest k.
        values: by estimator, of pools × k: means over all choices of k attempts in all orders.
        tokens: written for the first k attempts of a question on average, by k.
    """

    source: Source
    size: int
    values: dict[str, Array]
    tokens: Array

    def estimate(self, estimator: str, k: int) -> Estimate:
        """The mean over questions, with its interval; replicates of a question are no further questions."""
        return mean(self.values[estimator][:, k - 1].tolist(), self.source.examples)

    @property
    def gap(self) -> Estimate:
        """Coverage less the majority at the largest k, paired by question: what a better chooser could win."""
        most, majority = (self.values[name][:, -1].tolist() for name in (COVERAGE, MAJORITY))
        return difference(majority, most, self.source.examples)


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Figure):
    """How the answer gets better with more attempts, from attempts that were drawn once.

    For every k up to the number drawn, exactly averaged over all choices of k attempts in all orders, and not of the
    first k alone. Coverage stands beside what was selected: the gap is what a better chooser could win. The rings are
    the sweep's own settings, in the one order that was drawn. In a notebook it shows itself as a chart; `print` gives
    its table.

    Attributes:
        drawn: one for each source: a program on a model, sampled in one way.
        axis: `"samples"` or `"tokens"`.
        task: which questions.
        settings: the sweep's own rows: `source`, `setting`, `samples`, `tokens`, `value`, `low`, `high`.
        notes: what a reader must know.
    """

    drawn: tuple[Drawn, ...]
    axis: str
    task: Card
    settings: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each source, estimator and k: `source`, `estimator`, `samples` (k), `tokens` (written for k
        attempts on average), the metric's `value` with `low` and `high` (95 %, over questions), `questions`.
        """
        return [row for one in self.drawn for row in _rows(one)]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        return framed(self.rows())

    def chart(self) -> Any:
        """The altair chart: a line for each estimator, a panel for each source; it may be changed as any."""
        import altair as alt

        rows = self.rows()
        apart, domain = told_apart(row["estimator"] for row in rows), span([*rows, *self.settings])
        panels = {}
        for one in [one for one in self.drawn if one.size > 1] or self.drawn:  # one attempt is no curve
            own = [_shown(row, self.axis) for row in rows if row["source"] == one.source.label]
            rings = [_shown(row, self.axis) for row in self.settings if row["source"] == one.source.label]
            ticks = [k for k in FEW if k <= one.size] if self.axis == "samples" else None
            axis = alt.Axis(values=ticks, grid=False, format="d") if ticks else alt.Axis(grid=False, format="~s")
            scale = alt.Scale(type="log", base=2, nice=False, padding=10)
            across = alt.X("x:Q", title=AXES[self.axis], scale=scale, axis=axis)
            panels[one.source.label] = panel(
                own, apart, x=across, y=self.task.metric, legend="estimated from all choices of k attempts",
                over=rings, domain=domain,
            )  # fmt: skip
        subtitle = [f"{self._asked()}, 95 % intervals over questions", "rings: the sweep's own settings, as drawn"]
        return drawn(panels, f"{self.task.name}: what k attempts come to", subtitle, self._described())

    def _asked(self) -> str:
        size = len({one for part in self.drawn for one in part.source.examples})
        return "1 question" if size == 1 else f"{size} questions"

    def _described(self) -> str:
        """The chart for somebody who does not see it."""
        said = []
        for one in self.drawn:
            name = f"{one.source.label}: " if one.source.label else ""
            for estimator in one.values:
                points = [one.estimate(estimator, k) for k in FEW if k <= one.size]
                pairs = zip(FEW, points, strict=False)
                told = ", ".join(f"{k}: {p.value or 0:.2f} ({p.low:.2f} to {p.high:.2f})" for k, p in pairs)
                said.append(f"{name}{estimator} ({SAID[estimator]}). k: {self.task.metric} (interval). {told}.")
        return " ".join([self._heading(), *said])

    def _heading(self) -> str:
        return (
            f"{self.task.name}: {self.task.metric} of k attempts, {self._asked()}, means over all choices of k of "
            "those drawn, 95 % intervals over questions."
        )

    def __repr__(self) -> str:
        parts = []
        for one in self.drawn:
            cells = [
                {"k": str(k), **{name: _cell(one.estimate(name, k)) for name in one.values}}
                for k in sorted({*(k for k in FEW if k <= one.size), one.size})
            ]
            gap = one.gap
            parts += [*([one.source.label] if one.source.label else []), text_table(cells)]
            if gap.value is not None:
                parts.append(f"Of {one.size} attempts a perfect chooser would win {signed(gap.value)} "
                             f"[{signed(gap.low)}, {signed(gap.high)}] over the majority.")  # fmt: skip
        return "\n".join([self._heading(), *parts, *(f"Note: {note}." for note in self.notes)])


def curve_of(records: Records, axis: str = "samples", *, comparer: Comparer = "auto") -> Curve:
    """Accuracy against attempts, from those a sweep has drawn, for every number of them. No model is called.

    Of each question's n attempts, `majority@k` is the mean of the vote over all choices of k in all orders (exact;
    `rtk.statistics.majority_at_k`), `pass@k` the unbiased estimate that some attempt of k is right (Chen et al., 2021),
    `best-of-k` the mean score of the attempt with the highest reward or log-probability, where the sweep has such.
    Where scores are no rights and wrongs, coverage is the mean of the best score of k. A sample that is drawn again at
    temperature 0 is no further attempt.

    Args:
        records: of a sweep.
        axis: `"samples"`, or `"tokens"` that k attempts take on average.
        comparer: which answers are the same; see `rtk.answers.equal`.

    Raises:
        RTKError: for another axis, and where no attempts were kept, or such as have no scores of their own.
    """
    if axis not in AXES:
        raise RTKError(f"axis={axis!r} is none", mend=f"one of {', '.join(AXES)}")
    sources = sources_of(records)
    gold = dict(records.examples()[["example", "gold"]].itertuples(index=False))
    check_scored(sources, gold, records.task.metric)
    parts = tuple(_drawn(source, comparer, gold) for source in sources)
    return Curve(parts, axis, records.task, tuple(_settings(records, sources)), tuple(_notes(parts)))


def _drawn(source: Source, comparer: Comparer, gold: dict[str, str | None]) -> Drawn:
    own = [_places(pool) for pool in source.pools]
    size = min(len(one) for one in own if one)
    names = [name for name in BEST if (source.has if name == "logprob" else source.told)(name)]
    estimators = [COVERAGE, *(BEST[name] for name in names), MAJORITY, SINGLE]
    values = {name: np.zeros((len(source.pools), size)) for name in estimators}
    tokens = []
    for at, (pool, places) in enumerate(zip(source.pools, own, strict=True)):
        if not places:
            continue
        places = places[:size]
        scores = [_score(pool, one, comparer, gold.get(pool.example)) for one in places]
        ks = list(range(1, size + 1))
        values[COVERAGE][at] = _coverage(scores, ks)
        values[MAJORITY][at] = majority_at_k(_labels([pool.answers[one] for one in places], comparer), scores, ks)
        values[SINGLE][at] = np.mean(scores)
        for name in names:
            ranked = [_ranked(pool, name, one) for one in places]
            values[BEST[name]][at] = best_of_k(ranked, scores, ks)
        tokens.append(np.mean([pool.costs("tokens_out")[one] for one in places]))
    mean_tokens = float(np.sum(tokens)) / len(source.pools)  # where nothing was drawn nothing was written
    return Drawn(source, size, values, mean_tokens * np.arange(1, size + 1))


def _places(pool: Pool) -> list[int]:
    """The attempts that are samples of their own."""
    return [place for place, first in enumerate(pool.twins) if place == first]


def _score(pool: Pool, place: int, comparer: Comparer, gold: str | None) -> float:
    """How right an attempt is: as the metric said, and where it was not asked, by the comparer."""
    score, answer = pool.scores[place], pool.answers[place]
    if score == score:
        return score
    return float(gold is not None and answer is not None and equal(answer, gold, comparer))


def _coverage(scores: list[float], ks: list[int]) -> Sequence[float | None]:
    if all(one in (0.0, 1.0) for one in scores):
        return [pass_at_k(len(scores), int(sum(scores)), k) for k in ks]
    return best_of_k(scores, scores, ks)


def _labels(answers: list[Any], comparer: Comparer) -> list[int | None]:
    found: list[int | None] = [None] * len(answers)
    for label, cluster in enumerate(vote(answers, comparer=comparer).clusters):
        for member in cluster.members:
            found[member] = label
    return found


def _ranked(pool: Pool, name: str, place: int) -> float | None:
    """What an attempt is chosen by; one without an answer is never better than one with."""
    return None if isinstance(pool.answers[place], Abstention) else pool.costs(name)[place]


def _settings(records: Records, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """The sweep's own settings, as they were drawn."""
    rows = graded(records, "attempts", "tokens_out")
    for source in sources:
        for setting in source.settings:
            own = rows[rows["setting"] == setting]
            found = mean(own["value"].tolist(), own["example"].tolist())
            yield {
                "source": source.label,
                "setting": setting,
                "estimator": setting,
                "samples": float(own["attempts"].mean()),
                "tokens": float(own["tokens_out"].mean()),
                "value": found.value,
                "low": found.low,
                "high": found.high,
            }


def _notes(parts: Sequence[Drawn]) -> Iterator[str]:
    for one in parts:
        source, name = one.source, f" of {one.source.label}" if one.source.label else ""
        if empty := len(source.pools) - len(source.drawn):
            yield f"{empty} of {len(source.pools)} questions{name} have no attempts, since the program raised: wrong"
        if source.largest > one.size:
            many = f"{one.size} to {source.largest}"
            yield f"the questions{name} have {many} attempts: the first {one.size} of each are used"


def _rows(one: Drawn) -> Iterator[dict[str, Any]]:
    for estimator in one.values:
        for k in range(1, one.size + 1):
            found = one.estimate(estimator, k)
            yield {
                "source": one.source.label,
                "estimator": estimator,
                "samples": k,
                "tokens": float(one.tokens[k - 1]),
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "questions": found.size,
            }


def _shown(row: dict[str, Any], axis: str) -> dict[str, Any]:
    """A row for the chart."""
    flat = row["estimator"] == SINGLE  # whose interval would lie under all others
    low, high = (row["value"],) * 2 if flat else (row["low"], row["high"])
    said = f"{row['estimator']}, {row[axis]:.4g} {axis}: {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return {"line": row["estimator"], "x": row[axis], "y": row["value"], "low": low, "high": high,
            "said": said}  # fmt: skip


def _cell(found: Estimate) -> str:
    return f"{share(found.value)} {interval(found)}"
