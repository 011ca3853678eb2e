"""What a replay found: a point for each policy, the frontier among them, and each answer in the order as drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rtk.errors import RTKError
from rtk.experiments.analysis.lines import framed, marked, told_apart
from rtk.experiments.analysis.telling import share
from rtk.experiments.figures import Figure
from rtk.experiments.records.records import Card
from rtk.experiments.replays.orders import Array
from rtk.experiments.replays.policies import Policy
from rtk.experiments.replays.pools import COSTS, Source
from rtk.experiments.tables import text_table
from rtk.statistics import Estimate, mean, on_frontier, pareto

COST_OF = {"samples": "consulted", "tokens": "tokens_out", "dollars": "dollars", "flops": "flops"}
SAID = {"samples": "samples consulted", "tokens": "tokens written", "dollars": "dollars", "flops": "FLOPs"}
SETTINGS = ("samples", "vote", "stop", "certainty", "window", "threshold", "weight", "extract", "trim")
FOLDS = 5
SHOWN = 12  # policies in the text


@dataclass(frozen=True, eq=False)
class Point:
    """One policy on the attempts of one source.

    Attributes:
        policy: what was done.
        source: with which attempts.
        samples: how many of each question at most.
        columns: of each pool of the source: means over the random orders (`score`, `answered`, `consulted`, and costs),
            and, with `drawn_` before the name, what the order as drawn came to.
    """

    policy: Policy
    source: Source
    samples: int
    columns: Mapping[str, Array]

    def estimate(self, name: str = "score") -> Estimate:
        """The mean over questions, with its interval; replicates of a question are no further questions."""
        return mean(self.columns[name].clip(0.0, 1.0).tolist(), self.source.examples)

    @property
    def label(self) -> str:
        """The policy and, where there are several, the source."""
        said = {"samples": self.samples, **{k: v for k, v in self.policy.row().items() if v is not None}}
        named = ", ".join(f"{name}={value}" for name, value in said.items())
        return f"{self.source.label}: {named}" if self.source.label else named

    def by_question(self, name: str, examples: Mapping[str, int]) -> Array:
        """The mean of each question; NaN where it was not asked."""
        places = np.array([examples[one] for one in self.source.examples])
        many = np.bincount(places, minlength=len(examples))
        with np.errstate(invalid="ignore"):
            return np.bincount(places, self.columns[name], len(examples)) / np.where(many, many, np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class Replayed(Figure):
    """Every policy on the attempts that were drawn.

    In a notebook it shows itself as a chart; `print` gives the policies that no other beats. The best of many policies
    looks better than it is, since it was chosen on the questions it is shown with: see `chosen`.

    Attributes:
        points: one for each policy and source.
        sources: settings that chose from the same attempts.
        task: which questions.
        orders: random orders of each question's attempts.
        notes: what a reader must know of the attempts.
        gold: the right answer to each question.
    """

    points: tuple[Point, ...]
    sources: tuple[Source, ...]
    task: Card
    orders: int
    notes: tuple[str, ...]
    gold: Mapping[str, str | None]

    @property
    def policies(self) -> list[Policy]:
        """What was evaluated, without what is twice."""
        return list(dict.fromkeys(point.policy for point in self.points))

    # --- tables ---

    def to_frame(self) -> Any:
        """A row for each policy and source, as a pandas frame.

        Columns: `source` where there are several, the settings of the policy, the metric's name (mean over questions,
        each averaged over the random orders) with `low` and `high` (95 %, over questions), `as_drawn` (in the order in
        which the attempts were drawn), `answered` (share of answers that it did not abstain from), `when_answered` (the
        mean score of those), and, of a question, `consulted` (samples), `tokens_in`, `tokens_out`, `dollars`, `flops`.
        """
        return framed([self._row(point) for point in self.points])

    def _row(self, point: Point) -> dict[str, Any]:
        found, score = point.policy.row(), point.estimate()
        answered = point.estimate("answered").value or 0.0
        row = {"source": point.source.label} if len(self.sources) > 1 else {}
        row |= {name: point.samples if name == "samples" else found[name] for name in SETTINGS}
        row |= {self.task.metric: score.value, "low": score.low, "high": score.high}
        row |= {"as_drawn": point.estimate("drawn_score").value, "answered": answered}
        row |= {"when_answered": (score.value or 0.0) / answered if answered else float("nan")}
        row |= {name: float(self._mean(point, name)) for name in ("consulted", *COSTS)}
        return row | {"orders": int(point.columns["orders"].max())}

    @cached_property
    def _scores(self) -> list[float]:
        """The mean score of each point."""
        return [point.estimate().value or 0.0 for point in self.points]

    @cached_property
    def _consulted(self) -> list[float]:
        """The samples that each point consults at a question."""
        return [self._mean(point, "consulted") for point in self.points]

    def _mean(self, point: Point, name: str) -> float:
        """The mean over questions, each the mean of its replicates."""
        values = point.by_question(name, self._examples)
        return float("nan") if np.isnan(point.columns[name]).any() else float(values[~np.isnan(values)].mean())

    @cached_property
    def _examples(self) -> dict[str, int]:
        listed = dict.fromkeys(one for source in self.sources for one in source.examples)
        return {one: place for place, one in enumerate(listed)}

    def rows(self, policy: Policy | int = 0, source: str | None = None) -> Any:
        """What a policy answers in the order in which the attempts were drawn, as a pandas frame.

        A run of the strategy with these settings on the same store gives the same, sample by sample.

        Args:
            policy: one of them, or the number of its row in `to_frame()`.
            source: its label, where there are several.

        Returns:
            For each question and replicate `example`, `replicate`, `answer`, `gold`, `score`, `correct`, `abstained`,
            `confidence`, `consulted`, the costs, and `addresses`, of the samples consulted, in their order.

        Raises:
            RTKError: for a policy or a source that was not evaluated.
        """
        point = self._found(policy, source)
        columns, found = point.columns, []
        for at, pool in enumerate(point.source.pools):
            addresses = pool.columns.get("address", [])[: int(columns["drawn_seen"][at])]
            score, answer = float(columns["drawn_score"][at]), columns["drawn_answer"][at]
            row = {"example": pool.example, "replicate": pool.replicate, "answer": answer}
            row |= {"gold": self.gold.get(pool.example), "score": score, "correct": score >= 1}
            row |= {"abstained": answer is None, "confidence": float(columns["drawn_confidence"][at])}
            row |= {name: columns[f"drawn_{name}"][at] for name in ("consulted", *COSTS)}
            found.append({**row, "addresses": list(dict.fromkeys(addresses))})
        return framed(found)

    def _found(self, policy: Policy | int, source: str | None) -> Point:
        if isinstance(policy, int):
            if not 0 <= policy < len(self.points):
                raise RTKError(f"policy {policy} of {len(self.points)}", mend="the number of a row of to_frame()")
            return self.points[policy]
        own = [one for one in self.points if one.policy == policy and source in (None, one.source.label)]
        if not own:
            raise RTKError(f"{policy} was not evaluated", mend="a policy of replayed.policies, or pass it to replay")
        if len(own) > 1:
            labels = ", ".join(repr(one.source.label) for one in own)
            raise RTKError(f"{policy} was evaluated on several sources", mend=f"source=, one of {labels}")
        return own[0]

    # --- the best ---

    def frontier(self, cost: str = "samples", draws: int = 500) -> Any:
        """The policies that no other beats, the cheapest first, as a pandas frame.

        As `to_frame`, with `on_frontier`: how often the policy is one of them when the questions are drawn again.

        Args:
            cost: `"samples"`, `"tokens"`, `"dollars"` or `"flops"`.
            draws: of the questions, with replacement.

        Raises:
            RTKError: for a cost that is none, or of which nothing is known.
        """
        kept, frame = self._frontier(cost), self.to_frame()
        costs, scores = self._matrix(COST_OF[cost]), self._matrix("score")
        frame["on_frontier"] = on_frontier(costs, scores, draws=draws)
        return frame.iloc[kept]

    def _frontier(self, cost: str) -> list[int]:
        if cost not in COST_OF:
            raise RTKError(f"cost={cost!r} is none", mend=f"one of {', '.join(COST_OF)}")
        known = self._consulted if cost == "samples" else [self._mean(one, COST_OF[cost]) for one in self.points]
        found = pareto(known, self._scores)
        if not found:
            raise RTKError(f"of these attempts no {cost} are known", mend='cost="samples" or cost="tokens"')
        return found

    def _alike(self) -> dict[int, list[int]]:
        """The frontier without what comes to the same: of such policies that with the fewest settings."""
        together: dict[tuple[float, float], list[int]] = {}
        for number in self._frontier("samples"):
            key = round(self._consulted[number], 9), round(self._scores[number], 9)
            together.setdefault(key, []).append(number)
        simple = [sorted(of, key=lambda one: self.points[one].policy.set) for of in together.values()]
        return {of[0]: of for of in simple}

    def _matrix(self, name: str) -> Array:
        return np.array([point.by_question(name, self._examples) for point in self.points])

    def chosen(self, folds: int = FOLDS, seed: int = 0) -> Estimate:
        """How good the best policy is on questions that it was not chosen on.

        The questions are split in so many parts; for each part the policy that is best on the others is taken, of equal
        ones the cheapest, and scored on it.

        Args:
            folds: parts; with fewer questions than these, each is a part.
            seed: other parts.
        """
        scores, costs = self._matrix("score"), self._matrix("consulted")
        part = np.random.default_rng(seed).permutation(scores.shape[1]) % folds
        found = np.full(scores.shape[1], np.nan)
        for fold in range(folds):
            others, own = part != fold, part == fold
            if not own.any() or not others.any():
                continue
            best = np.nanmean(scores[:, others], axis=1).round(12)
            cheap = np.nanmean(costs[:, others], axis=1)
            found[own] = scores[np.lexsort((cheap, -best))[0], own]
        return mean(found[~np.isnan(found)].clip(0.0, 1.0).tolist())

    # --- what it shows ---

    def chart(self) -> Any:
        """The altair chart: the mean score against samples consulted, each policy a point, the frontier a line."""
        several = len(self.sources) > 1
        kept = set(self._frontier("samples"))
        rows = []
        for number, point in enumerate(self.points):
            score, line = point.estimate(), point.source.label if several else str(point.policy.row()["vote"])
            rows.append({"line": line, "policy": point.label, "x": self._consulted[number], "y": score.value,
                         "low": score.low, "high": score.high, "best": number in kept})  # fmt: skip
        return marked(
            rows,
            told_apart(row["line"] for row in rows),
            x="samples consulted for a question (log scale)",
            y=self.task.metric,
            title=f"{len(self.points)} policies on attempts already drawn",
            subtitle=[
                f"{self._asked()}, means over {self.orders} random orders",
                "line: not beaten by another, with 95 % intervals",
            ],
            legend="source" if several else "vote",
            description=f"{self._heading()} Not beaten: {self._unbeaten()}.",
        )

    def _asked(self) -> str:
        size = len(self._examples)
        return "1 question" if size == 1 else f"{size} questions"

    def _heading(self) -> str:
        said = "1 policy" if len(self.points) == 1 else f"{len(self.points)} policies"
        return (
            f"{said} on attempts already drawn: {self.task.name}, {self._asked()}, mean "
            f"{self.task.metric.removeprefix('mean ')} over {self.orders} random orders, 95 % intervals over questions."
        )

    def _unbeaten(self) -> str:
        said = []
        for number in self._alike():
            point = self.points[number]
            score = point.estimate()
            said.append(f"{point.label}: {share(score.value)} ({score.low:.2f} to {score.high:.2f}) with "
                        f"{self._consulted[number]:.1f} samples")  # fmt: skip
        return "; ".join(said)

    def __repr__(self) -> str:
        alike = self._alike()
        more = len(self.points) > SHOWN
        shown = {number: len(of) for number, of in alike.items()} if more else dict.fromkeys(range(len(self.points)), 1)
        rows = [{**self._row(self.points[number]), "alike": many} for number, many in shown.items()]
        table = text_table([{name: _cell(row[name]) for name in _told(rows, self.task.metric)} for row in rows])
        told = (
            [f"Not beaten by another in {self.task.metric} at as few samples, of {len(self.points)}:"] if more else []
        )
        return "\n".join([self._heading(), *told, table, *self._remarks()])

    def _remarks(self) -> list[str]:
        """What a reader must know."""
        found = [f"Note: {note}." for note in self.notes]
        if len(self.points) > 1 and len(self._examples) >= FOLDS:
            found.append(f"The best of them, chosen on other questions than it is scored on ({FOLDS} parts): "
                         f"{self.chosen()}.")  # fmt: skip
        return found


def _told(rows: list[dict[str, Any]], metric: str) -> list[str]:
    """The columns that say something: settings that are not the default everywhere, and the figures."""
    names = ["source"] * ("source" in rows[0]) + [
        name for name in SETTINGS if name in ("samples", "vote") or any(row[name] is not None for row in rows)
    ]
    answered = ["answered", "when_answered"] if any(row["answered"] < 1 for row in rows) else []
    alike = ["alike"] if any(row["alike"] > 1 for row in rows) else []
    return [*names, metric, "low", "high", "as_drawn", *answered, "consulted", "tokens_out", *alike]


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
