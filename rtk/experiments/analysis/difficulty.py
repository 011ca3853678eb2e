"""Accuracy by difficulty, where what bins a question is not what it is scored on.

Who bins questions by how often they were answered, and scores the same answers, sees the mean come back: the hard bin
holds the unlucky answers and the easy one the lucky ones. So difficulty is estimated on other samples than those an
answer was made of: on the other replicates, or, where there is one, on a half of each question's attempts that the
setting did not look at. Where neither can be, it is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.grades import graded
from rtk.experiments.analysis.lines import drawn, framed, panel, told_apart
from rtk.experiments.figures import Figure
from rtk.experiments.records.records import Card, Records
from rtk.experiments.replays.orders import Array
from rtk.experiments.replays.pools import Pool, Source, sources_of, unscored
from rtk.experiments.tables import text_table
from rtk.statistics import Estimate, mean

TWO_LINES = "split(datum.label, ': ')"
Place = tuple[int, str]
"""A replicate and a question's id."""


@dataclass(frozen=True)
class Level:
    """Questions of like difficulty.

    Attributes:
        number: from 1, the hardest.
        low, high: the share of right held-out attempts, from and to.
        questions: how many.
    """

    number: int
    low: float
    high: float
    questions: int

    def __str__(self) -> str:
        return f"{self.number}: {self.low:.2f}–{self.high:.2f}"


@dataclass(frozen=True, eq=False, repr=False)
class Difficulty(Figure):
    """Each setting's accuracy on questions of like difficulty.

    In a notebook it shows itself as a chart; `print` gives its table.

    Attributes:
        levels: the bins, the hardest first.
        accuracy: by setting, one estimate for each bin.
        left_out: settings that could not be scored apart from what bins them.
        held_out: what difficulty was estimated on, in words.
        unbinned: answers to questions at which nothing was held out, as those asked in no other replicate; in no bin.
        task: which questions.
    """

    levels: tuple[Level, ...]
    accuracy: dict[str, tuple[Estimate, ...]]
    left_out: tuple[str, ...]
    held_out: str
    unbinned: int
    task: Card

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting and bin: `setting`, `bin` (1 is the hardest), `easiest` and `hardest` (right ones
        among the held-out attempts, as shares), `questions`, the metric's `value` with `low` and `high` (95 %).
        """
        return [
            {"setting": setting, "bin": level.number, "hardest": level.low, "easiest": level.high,
             "questions": found.size, "value": found.value, "low": found.low, "high": found.high}
            for setting, estimates in self.accuracy.items()
            for level, found in zip(self.levels, estimates, strict=True)
        ]  # fmt: skip

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        return framed(self.rows())

    def chart(self) -> Any:
        """The altair chart: a line for each setting over the bins."""
        import altair as alt

        names = {level.number: str(level) for level in self.levels}
        rows = [
            {"line": row["setting"], "x": names[row["bin"]], "y": row["value"], "low": row["low"], "high": row["high"],
             "said": f"{row['setting']}: {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}], "
             f"{row['questions']} questions"}
            for row in self.rows() if row["value"] is not None
        ]  # fmt: skip
        axis = alt.Axis(labelAngle=0, labelOverlap=False, labelFontSize=10, labelExpr=TWO_LINES)
        across = alt.X(
            "x:O",
            title="bin, hardest first: share of right held-out attempts",
            sort=list(names.values()),
            axis=axis,
            scale=alt.Scale(padding=0.3),
        )
        made = panel(rows, told_apart(row["line"] for row in rows), x=across, y=self.task.metric, legend="setting",
                     bands=False)  # fmt: skip
        subtitle = [f"{self._asked()}, 95 % intervals over questions", f"binned on {self.held_out}"]
        return drawn({"": made}, f"{self.task.name}: {self.task.metric} by difficulty", subtitle, self._described())

    def _asked(self) -> str:
        return f"{self.task.size} questions" if self.task.size != 1 else "1 question"

    def _heading(self) -> str:
        return (
            f"{self.task.name}: {self.task.metric} by difficulty, {self._asked()}, 95 % intervals over questions. "
            f"Binned on {self.held_out}, so that no answer is scored on what put it into its bin."
        )

    def _described(self) -> str:
        said = []
        for setting, estimates in self.accuracy.items():
            pairs = zip(self.levels, estimates, strict=True)
            told = ", ".join(f"bin {level}: {_cell(found)}" for level, found in pairs)
            said.append(f"{setting}: {told}.")
        return " ".join([self._heading(), *said])

    def __repr__(self) -> str:
        head = [{"setting": "questions", **{str(level): str(level.questions) for level in self.levels}}]
        cells = [
            {"setting": setting, **dict(zip(map(str, self.levels), map(_cell, estimates), strict=True))}
            for setting, estimates in self.accuracy.items()
        ]
        told = [f"Left out, since it looked at the held-out attempts: {one}." for one in self.left_out]
        if self.unbinned:
            told.append(f"In no bin, since nothing was held out at the question: {self.unbinned} answers.")
        return "\n".join([self._heading(), text_table([*head, *cells]), *told])


def by_difficulty(records: Records, bins: int = 5) -> Difficulty:
    """Each setting's accuracy on questions of like difficulty; see the head of this file for what is held out.

    A question's difficulty is the share of right ones among its held-out attempts, the mean over programs and models.
    The bins are of about equally many questions, as in Snell et al. (2024, arXiv:2408.03314); questions of one
    difficulty stay together, so there may be fewer bins, and uneven ones. Of a program with one attempt no half can be
    held out, so that it says nothing of difficulty.

    Args:
        records: of a sweep, with `replicates=2` or more, or with more attempts than the settings looked at.
        bins: at most.

    Raises:
        RTKError: for no bins, where no setting can be scored apart from what bins it, and for attempts without scores.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise RTKError(f"bins={bins!r}", mend="a whole number from 1 on, such as bins=5")
    sources = sources_of(records)
    apart = records.replicates > 1
    ease, used = _other_replicates(sources) if apart else _held_out_half(sources)
    rows = graded(records, "addresses")
    places = list(zip(rows["replicate"], rows["example"], strict=True))
    rows["ease"] = [ease.get(place, np.nan) for place in places]
    seen = [bool(used[place] & set(own)) for place, own in zip(places, rows["addresses"], strict=True)]
    settings = [arm.label for arm in records.settings]
    shared = set(rows["setting"][seen])
    kept = [one for one in settings if one not in shared]
    if not kept:
        why = "replicates share their samples" if apart else "every setting looked at all attempts"
        raise RTKError(
            f"difficulty cannot be told apart from the answers that are scored: {why}",
            mend="sweep with replicates=2 at a temperature above 0, or with a setting of more samples= than the others",
        )
    rows = rows[rows["setting"].isin(kept)]
    unbinned = int(rows["ease"].isna().sum())
    rows = rows[rows["ease"].notna()]
    if rows.empty:
        where = "in two replicates" if apart else "with two attempts or more"
        raise RTKError(f"no question was asked {where}, so none is known to be hard", mend="sweep again: it resumes")
    levels, number = _levels(rows, bins)
    found = {one: tuple(_accuracies(rows, number, one, len(levels))) for one in kept}
    held_out = "the other replicates' attempts" if apart else "a held-out half of each question's attempts"
    return Difficulty(levels, found, tuple(one for one in settings if one in shared), held_out, unbinned, records.task)


def _accuracies(rows: Any, number: Array, setting: str, levels: int) -> Iterator[Estimate]:
    for level in range(levels):
        own = rows[(rows["setting"] == setting).to_numpy() & (number == level)]
        yield mean(own["value"].tolist(), own["example"].tolist())


def _levels(rows: Any, bins: int) -> tuple[tuple[Level, ...], Array]:
    """The bins, and that of each row."""
    unique = rows.drop_duplicates(["replicate", "example"])
    ease = unique["ease"].to_numpy().round(9)
    edges = np.unique(np.quantile(ease, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
    own = np.searchsorted(edges, ease, side="left")
    number = np.searchsorted(edges, rows["ease"].to_numpy().round(9), side="left")
    kept = np.unique(own)
    levels = tuple(
        Level(at + 1, float(ease[own == one].min()), float(ease[own == one].max()),
              int(unique["example"][own == one].nunique()))
        for at, one in enumerate(kept)
    )  # fmt: skip
    return levels, np.searchsorted(kept, number)


# --- what is held out ---


def _other_replicates(sources: Sequence[Source]) -> tuple[dict[Place, float], dict[Place, set[str]]]:
    """The share of right attempts in the other replicates, and which samples that rests on."""
    pools: dict[str, dict[int, list[Pool]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        for pool in source.pools:
            pools[pool.example][pool.replicate].append(pool)
    ease: dict[Place, float] = {}
    used: dict[Place, set[str]] = defaultdict(set)
    for example, replicates in pools.items():
        for replicate in replicates:
            others = [one for other, many in replicates.items() if other != replicate for one in many]
            if others:
                ease[replicate, example] = float(np.mean([_share(one, range(one.size)) for one in others]))
                used[replicate, example] = {place for one in others for place in one.columns.get("address", ())}
    return ease, used


def _held_out_half(sources: Sequence[Source]) -> tuple[dict[Place, float], dict[Place, set[str]]]:
    """The share of right attempts in the second half of each pool, and which samples these are."""
    shares: dict[Place, list[float]] = defaultdict(list)
    used: dict[Place, set[str]] = defaultdict(set)
    for source in (one for one in sources if one.size > 1):
        for pool in source.pools:
            place = pool.replicate, pool.example
            half = range(source.size - source.size // 2, source.size)
            shares[place].append(_share(pool, half if pool.size else half[:0]))
            used[place] |= {pool.columns["address"][one] for one in half} if pool.size else set()
    return {place: float(np.mean(many)) for place, many in shares.items()}, used


def _share(pool: Pool, places: range) -> float:
    """How right some attempts of a pool are; a question without attempts is one that nobody answers."""
    found = [pool.scores[one] for one in places]
    if any(one != one for one in found):
        raise unscored()
    return float(np.mean(found)) if found else 0.0


def _cell(found: Estimate) -> str:
    if found.value is None:
        return "–"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
