"""Two settings on the questions that both were asked, and what would make a comparison of them unfair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtk.experiments.analysis.telling import amount, chance, counted, ratio, signed
from rtk.experiments.records.records import Arm
from rtk.statistics import p_value

PAIRED = ("value", "failure", "abstained", "cut", "lost", "tokens", "flops")
MATCHED = 1.1  # costs at most so many times each other are alike
RARE = 0.05
KINDS = {
    "failure": ("failures", "failed"),
    "abstained": ("abstentions", "abstained"),
    "cut": ("stops", "stopped early"),
}


@dataclass(frozen=True)
class Caution:
    """Something that a comparison must say of itself.

    Attributes:
        kind: in a word or two, for a table.
        told: in a sentence.
    """

    kind: str
    told: str


@dataclass(frozen=True)
class Paired:
    """Two settings, question by question and replicate by replicate.

    Attributes:
        before: the one.
        after: the other.
        frame: a row for each question and replicate that both were asked; columns `value_before`, `value_after`, ….
        asked: how many rows each of the two has.
    """

    before: Arm
    after: Arm
    frame: Any
    asked: tuple[int, int]

    @property
    def questions(self) -> list[Any]:
        """The question of each row."""
        return self.frame["example"].tolist()

    def both(self, column: str) -> tuple[Any, Any]:
        """A column of the one and of the other, as arrays of floats."""
        return tuple(self.frame[f"{column}_{side}"].to_numpy(dtype=float) for side in ("before", "after"))  # type: ignore[return-value]

    def means(self, column: str) -> tuple[float, float]:
        """The mean of each; NaN where one is not known."""
        before, after = self.both(column)
        return (float(before.mean()), float(after.mean())) if len(before) else (float("nan"), float("nan"))


def prepared(frame: Any) -> dict[str, Any]:
    """Rows of `graded`, a table for each setting, with the columns that `paired` needs.

    Args:
        frame: with `abstained`, `stopped`, `failed`, `consulted`, `tokens` and `flops`.
    """
    frame["failure"] = frame["error"].notna()
    frame["cut"] = frame["stopped"].notna()
    lost = (frame["failed"] / (frame["failed"] + frame["consulted"]).clip(lower=1)).fillna(0.0)
    frame["lost"] = lost.where(~frame["failure"], 0.0)  # an answer that failed is counted once, as that
    kept = frame[["setting", "example", "replicate", *PAIRED]]
    return {label: part.drop(columns="setting") for label, part in kept.groupby("setting", sort=False)}


def paired(parts: dict[str, Any], before: Arm, after: Arm) -> Paired:
    """Two settings on what both were asked; a setting without a row has been asked nothing."""
    empty = next(iter(parts.values())).head(0) if parts else _nothing()
    one, other = parts.get(before.label, empty), parts.get(after.label, empty)
    both = one.merge(other, on=["example", "replicate"], suffixes=("_before", "_after"))
    return Paired(before, after, both, (len(one), len(other)))


def _nothing() -> Any:
    import pandas as pd

    return pd.DataFrame({name: [] for name in ("example", "replicate", *PAIRED)})


def cautions(pair: Paired) -> list[Caution]:
    """All that the two differ in besides the setting: questions, failures, abstentions, stops, lost samples, cost."""
    found = [_questions(pair)]
    if len(pair.frame):
        rates = [_rates(pair, column, *words) for column, words in KINDS.items()]
        found += [*rates, None if rates[0] else _lost(pair), _cost(pair)]
    return [one for one in found if one is not None]


def _questions(pair: Paired) -> Caution | None:
    both, (one, other) = len(pair.frame), pair.asked
    if both == one == other:
        return None
    count = counted(len(set(pair.questions)), "question")
    return Caution(
        "questions",
        f"Not asked the same: {pair.before.label} has {counted(one, 'answer')}, {pair.after.label} {other:,}; the "
        f"difference rests on what both were asked: {counted(both, 'answer')} each, to {count}.",
    )


def _rates(pair: Paired, column: str, kind: str, verb: str) -> Caution | None:
    """Whether the two ended in this way at different rates, or often enough to explain the difference."""
    before, after = pair.both(column)
    one, other, size = int(before.sum()), int(after.sum()), len(before)
    if one == other:
        return None
    p, moved = p_value(before, after, pair.questions), pair.means("value")
    enough = column == "failure" and 0 < abs(moved[1] - moved[0]) <= abs(other - one) / size + 1e-9
    if p >= RARE and not enough:
        return None
    said = f"p = {chance(p)}" if p >= 0.001 else "p < 0.001"
    told = f"{pair.before.label} {verb} on {one:,} of {size:,} answers, {pair.after.label} on {other:,} ({said})"
    end = f", enough to account for the whole difference of {signed(moved[1] - moved[0])}." if enough else "."
    start = "Different rates" if p < RARE else "Unequal counts"
    return Caution(kind, f"{start} of {kind}: {told}{end}")


def _lost(pair: Paired) -> Caution | None:
    """Whether samples failed at different rates, on questions that were answered all the same."""
    before, after = pair.both("lost")
    p = p_value(before, after, pair.questions)
    if p >= RARE:
        return None
    said = f"p = {chance(p)}" if p >= 0.001 else "p < 0.001"
    return Caution(
        "failed samples",
        f"Different rates of failed samples: {before.mean():.1%} of those of {pair.before.label}, {after.mean():.1%} "
        f"of those of {pair.after.label} ({said}).",
    )


def _cost(pair: Paired) -> Caution | None:
    """Whether the one took more than the other."""
    tokens, flops = (_dearer(pair, unit) for unit in ("tokens", "flops"))
    told = []
    if tokens and tokens == flops:
        told = [f"{tokens} the tokens and FLOPs {_against(pair, 'tokens', 'tokens')}"]
    else:
        told += [f"{tokens} the tokens {_against(pair, 'tokens', 'tokens')}"] if tokens else []
        told += [f"{flops} the FLOPs {_against(pair, 'flops', 'FLOPs')}"] if flops else []
    blind = any(map(_unknown, pair.means("flops"))) and pair.before.model != pair.after.model
    said = list(told)
    if blind:
        said.append("the two are different models whose FLOPs are not known (rtk.LM(…, params=…) makes them known)")
    if not said:
        return None
    return Caution("cost" if told else "unknown FLOPs", f"Unmatched cost: {'; '.join(said)}.")


def _dearer(pair: Paired, unit: str) -> str:
    """Which took how many times as much; empty where the costs are alike or unknown."""
    before, after = pair.means(unit)
    less, more = sorted((before, after))
    if _unknown(before) or _unknown(after) or more <= less * MATCHED:
        return ""
    return f"{(pair.after if after > before else pair.before).label} took {ratio(more, less)}"


def _against(pair: Paired, unit: str, noun: str) -> str:
    """Of what, and the two amounts."""
    before, after = pair.means(unit)
    cheaper = pair.before if after > before else pair.after
    return f"of {cheaper.label} ({amount(max(before, after))} against {amount(min(before, after))} {noun} a question)"


def _unknown(value: float) -> bool:
    return value != value
