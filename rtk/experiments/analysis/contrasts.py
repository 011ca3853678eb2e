"""Settings against each other on the same questions: how far apart they are, how sure that is, and how fair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, overload

from rtk.errors import RTKError
from rtk.experiments.analysis.fairness import Caution, Paired, cautions, paired, prepared
from rtk.experiments.analysis.grades import graded
from rtk.experiments.analysis.picking import Wanted, pick
from rtk.experiments.analysis.telling import (
    amount,
    chance,
    counted,
    noted,
    percent,
    share,
    signed,
    some,
    span,
    unknown,
    with_notes,
)
from rtk.experiments.records.records import Arm, Records
from rtk.experiments.tables import html_table, text_table
from rtk.statistics import Estimate, difference, holm, mean, p_value

NEEDED = ("abstained", "stopped", "failed", "consulted", "tokens", "flops")
SHOWN = 30  # pairs that a notebook shows by itself; to_frame() has all


@dataclass(frozen=True)
class Side:
    """One of two settings, on the questions that both were asked.

    Attributes:
        setting: its label.
        value: the metric with its interval.
        failed: how many answers failed.
        abstained: how many said nothing.
        tokens: of an answer on average, read and written.
        flops: of an answer on average; None where they are not known.
    """

    setting: str
    value: Estimate
    failed: int
    abstained: int
    tokens: float | None
    flops: float | None


@dataclass(frozen=True, repr=False)
class Contrast:
    """Two settings on the questions that both were asked, paired by question and replicate.

    Attributes:
        before: the one.
        after: the other.
        difference: its metric less that of the one, with the interval of `rtk.statistics.difference`.
        p_value: exact and two-sided; see `rtk.statistics.p_value`.
        adjusted: the same by Holm's method, where this is one comparison of several; else as `p_value`.
        metric: what is compared.
        cautions: what the two differ in besides the setting.
    """

    before: Side
    after: Side
    difference: Estimate
    p_value: float
    adjusted: float
    metric: str
    cautions: tuple[Caution, ...]

    @property
    def warnings(self) -> list[str]:
        """Why the difference may not be the setting's doing: failures, other questions, unmatched cost."""
        return [one.told for one in self.cautions]

    @property
    def told_apart(self) -> bool:
        """Whether the adjusted p-value is at most what the level leaves: 0.05 at 95 %."""
        return self.adjusted <= 1 - self.difference.level + 1e-12

    @property
    def verdict(self) -> str:
        """`"told apart"` or not, by the adjusted p-value; where the interval says otherwise, in so many words.

        The p-value is exact and the interval is not, nor is it adjusted, so that near the level the two may differ.
        """
        apart, clear = self.told_apart, self.difference.low > 0 or self.difference.high < 0
        if apart and not clear:
            return "told apart, though the interval includes 0"
        if clear and self.p_value > 1 - self.difference.level + 1e-12:
            return "not told apart, though the interval leaves 0 out"
        return "told apart" if apart else "not told apart"

    def rows(self) -> list[dict[str, Any]]:
        """One tidy row: the two settings, their difference with its interval, its p-values, and what both cost."""
        sides = {"before": self.before, "after": self.after}
        return [
            {
                "before": self.before.setting,
                "after": self.after.setting,
                "difference": self.difference.value,
                "low": self.difference.low,
                "high": self.difference.high,
                "p_value": self.p_value,
                "adjusted": self.adjusted,
                "questions": self.difference.size,
                **{f"value_{name}": side.value.value for name, side in sides.items()},
                **{f"failed_{name}": side.failed for name, side in sides.items()},
                **{f"tokens_{name}": side.tokens for name, side in sides.items()},
                **{f"flops_{name}": side.flops for name, side in sides.items()},
                "warnings": " ".join(self.warnings),
            }
        ]

    def to_frame(self) -> Any:
        """The row as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _verdict(self) -> str:
        found, asked = self.difference, counted(self.difference.size, "question")
        if found.value is None:
            return "No question was asked of both, so nothing is known of the difference."
        said = f"p = {chance(self.p_value)}" if self.p_value >= 0.001 else "p < 0.001"
        verdict, _, though = self.verdict.partition(",")
        though = f",{though}" if though else ""
        return (
            f"{self.after.setting} less {self.before.setting}: {signed(found.value)}, {percent(found.level)} interval "
            f"{span(found, sign=True)} ({found.method}), exact {said}: {verdict} by {asked}{though}."
        )

    def cells(self) -> list[dict[str, str]]:
        """The two settings as lines of a table, in words."""
        sides = (self.before, self.after)
        flops = not any(unknown(side.flops) for side in sides)
        return [
            {
                "setting": side.setting,
                self.metric: share(side.value.value),
                f"{percent(side.value.level)} interval": span(side.value),
                "failed": f"{side.failed:,}",
                "abstained": f"{side.abstained:,}",
                "tokens": amount(side.tokens),
                **({"FLOPs": amount(side.flops)} if flops else {}),
            }
            for side in sides
        ]

    def __repr__(self) -> str:
        return f"{text_table(self.cells())}\n{self._verdict()}{noted(self.warnings)}"

    def _repr_html_(self) -> str:
        table = html_table(f"{self.metric} on the same questions", self.cells(), self._verdict())
        return str(with_notes(table, self.warnings))


@dataclass(frozen=True, repr=False)
class Contrasts:
    """Several comparisons, whose p-values are adjusted by Holm's method.

    Attributes:
        pairs: each a `Contrast`.
        baseline: the setting that all others are compared with; None where every one is with every other.
    """

    pairs: tuple[Contrast, ...]
    baseline: str | None

    @property
    def warnings(self) -> list[str]:
        """The warnings of all pairs, each with the pair that it is about."""
        return [f"{p.after.setting} less {p.before.setting}: {told}" for p in self.pairs for told in p.warnings]

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each pair; see `Contrast.rows`."""
        return [row for pair in self.pairs for row in pair.rows()]

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _cells(self) -> list[dict[str, str]]:
        interval = percent(self.pairs[0].difference.level) + " interval" if self.pairs else ""
        return [
            {
                "setting": pair.after.setting,
                "less": pair.before.setting,
                "difference": signed(pair.difference.value),
                interval: span(pair.difference, sign=True),
                "p": chance(pair.p_value),
                "p (Holm)": chance(pair.adjusted),
                "told apart": _told_apart(pair),
                "questions": f"{pair.difference.size:,}",
                "unequal": ", ".join(one.kind for one in pair.cautions) or "–",
            }
            for pair in self.pairs[:SHOWN]
        ]

    def _heading(self) -> str:
        against = "each with every other" if self.baseline is None else f"all with {self.baseline}"
        what = self.pairs[0].metric if self.pairs else "accuracy"
        return f"{what}: {against}, {counted(len(self.pairs), 'comparison')}, p-values adjusted by Holm's method"

    def _notes(self) -> list[str]:
        kinds = Counter(one.kind for pair in self.pairs for one in pair.cautions)
        found = [
            f"Unequal {kind}: {many:,} of {counted(len(self.pairs), 'comparison')}." for kind, many in kinds.items()
        ]
        found += ["Each in a sentence: .warnings."] * bool(found)
        more = len(self.pairs) - SHOWN
        return found + [f"{more:,} more comparisons: to_frame()."] * (more > 0)

    def __repr__(self) -> str:
        return f"{self._heading()}\n{text_table(self._cells())}{noted(self._notes())}"

    def _repr_html_(self) -> str:
        return str(with_notes(html_table(self._heading(), self._cells()), self._notes()))


def _told_apart(pair: Contrast) -> str:
    if "," not in pair.verdict:
        return "yes" if pair.told_apart else "no"
    return "yes, but the interval includes 0" if pair.told_apart else "no, but the interval leaves 0 out"


@overload
def contrast(records: Records, a: Wanted, b: Wanted, *, level: float = 0.95) -> Contrast: ...
@overload
def contrast(records: Records, *, baseline: Wanted | None = None, level: float = 0.95) -> Contrasts: ...
def contrast(
    records: Records, a: Any = None, b: Any = None, *, baseline: Any = None, level: float = 0.95
) -> Contrast | Contrasts:
    """Two settings on the same questions; or all with a baseline; or, given neither, each with every other.

    The difference is `b − a`. It rests on the questions and replicates that both were asked; where their answers
    failed, abstained or were stopped at different rates, where they were not asked the same, or where their tokens or
    FLOPs differ by more than a tenth, the result says so. Failures and abstentions count as wrong.

    * no question of both: no value, the interval [−1, 1], and p = 1.
    * settings that answer alike: 0 with an interval around it, and p = 1.

    Args:
        records: of a sweep.
        a: a label, or values that one setting alone has.
        b: another.
        baseline: that with which all others are compared.
        level: of the intervals, in (0, 1).

    Raises:
        RTKError: a setting that there is not or that is not the only one; one compared with itself; fewer than two.
    """
    pairs = _pairs(records, a, b, baseline)
    parts = prepared(graded(records, *NEEDED))
    found = [_contrast(paired(parts, one, other), records.task.metric, level) for one, other in pairs]
    if a is not None:
        return found[0]
    adjusted = holm([one.p_value for one in found])
    told = tuple(replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True))
    return Contrasts(told, None if baseline is None else pick(records, baseline).label)


def _pairs(records: Records, a: Any, b: Any, baseline: Any) -> Sequence[tuple[Arm, Arm]]:
    labels = [arm.label for arm in records.settings]
    if (a is None) != (b is None) or (a is not None and baseline is not None):
        raise RTKError("one setting is compared with nothing", mend="compare(a, b), compare(baseline=a), or compare()")
    if len(labels) < 2:
        raise RTKError(f"there is nothing to compare: one setting, {some(labels)}", mend="sweep two settings or more")
    if baseline is not None:
        least = pick(records, baseline)
        return [(least, arm) for arm in records.settings if arm is not least]
    if a is None or b is None:
        return list(combinations(records.settings, 2))
    one, other = pick(records, a), pick(records, b)
    if one is other:
        raise RTKError(f"{one.label} is compared with itself", mend=f"another one of {some(labels, 8)}")
    return [(one, other)]


def _contrast(pair: Paired, metric: str, level: float) -> Contrast:
    before, after = pair.both("value")
    p = p_value(before, after, pair.questions)
    sides = [_side(pair, at, level) for at in range(2)]
    found = difference(before, after, pair.questions, level)
    return Contrast(sides[0], sides[1], found, p, p, metric, tuple(cautions(pair)))


def with_itself(records: Records, level: float = 0.95) -> Contrast:
    """The only setting of a sweep against itself, as before and after of what did not change: measured once, no
    difference, with the interval that so many questions give.

    Args:
        records: of a sweep of one setting.
        level: of the interval, in (0, 1).
    """
    (arm,) = records.settings
    return _contrast(paired(prepared(graded(records, *NEEDED)), arm, arm), records.task.metric, level)


def _side(pair: Paired, at: int, level: float) -> Side:
    tokens, flops = pair.means("tokens")[at], pair.means("flops")[at]
    return Side(
        (pair.before, pair.after)[at].label,
        mean(pair.both("value")[at], pair.questions, level),
        int(pair.both("failure")[at].sum()),
        int(pair.both("abstained")[at].sum()),
        None if unknown(tokens) else tokens,
        None if unknown(flops) else flops,
    )
