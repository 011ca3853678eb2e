"""A sweep at a glance: what every setting was worth, how sure that is, how it ended, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtk.experiments.analysis.fairness import RARE, paired, prepared
from rtk.experiments.analysis.grades import NOUNS, graded, metric_column
from rtk.experiments.analysis.telling import amount, counted, noted, percent, share, some, span, unknown, with_notes
from rtk.experiments.records.records import Arm, Card, Records
from rtk.experiments.tables import html_table, text_table
from rtk.statistics import Estimate, holm, mean, p_value

AMOUNTS = ("consulted", "drawn", "reused", "tokens_in", "tokens_out", "dollars", "seconds", "flops")
ENDS = ("failed", "abstained", "stopped")
SHOWN = {"consulted": "samples", "tokens_in": "tokens in", "tokens_out": "tokens out", "dollars": "dollars",
         "seconds": "seconds", "flops": "FLOPs"}  # fmt: skip
COUNTED = 200_000  # samples of all answers that are looked at to see which of them are the same
KINDS = 4  # of errors that are named
MENDS = {"dollars": "rtk.LM(…, price=…)", "flops": "rtk.LM(…, params=…)"}


@dataclass(frozen=True, repr=False)
class Summary:
    """Every setting of a sweep in a line.

    Attributes:
        task: which questions.
        level: of the intervals.
        estimates: setting to the metric with its interval.
        notes: in what the settings are not comparable, and what is not known of them.
    """

    task: Card
    level: float
    estimates: dict[str, Estimate]
    notes: list[str]
    _lines: tuple[Mapping[str, Any], ...]
    _different: int | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting.

        `setting`, `program`, `model`, the swept values; the metric (`accuracy`) with `low` and `high`; `questions`,
        `replicates`, `answers` (questions × replicates); of the answers `failed` (the program raised), `abstained` and
        `stopped` (a budget ran out), `failed_samples`; then `consulted`, `drawn` and `reused` samples, `tokens_in`,
        `tokens_out`, `dollars`, `seconds` (longest path) and `flops` of an answer on average, and of all answers
        together as `total_…`. What is not known of one answer is None for the setting.
        """
        return [dict(line) for line in self._lines]

    def to_frame(self) -> Any:
        """The rows as a pandas frame; what is not known is NaN."""
        import pandas as pd

        frame = pd.DataFrame(self.rows())
        known = {f"{part}{name}" for part in ("", "total_") for name in AMOUNTS}
        floats = [name for name in frame.columns if name in {*known, "low", "high", metric_column(self.task.metric)}]
        return frame.astype(dict.fromkeys(floats, float))

    def _cells(self) -> list[dict[str, str]]:
        lines = self._lines
        ends = [name for name in (*ENDS, "failed_samples") if name in ENDS[:2] or any(line[name] for line in lines)]
        known = [name for name in SHOWN if not all(unknown(line[name]) for line in lines)]
        several = any(line["replicates"] > 1 for line in lines)
        return [
            {
                "setting": line["setting"],
                self.task.metric: share(self.estimates[line["setting"]].value),
                f"{percent(self.level)} interval": span(self.estimates[line["setting"]]),
                "questions": f"{line['questions']:,}",
                **({"replicates": f"{line['replicates']:,}"} if several else {}),
                **{name.replace("_", " "): f"{line[name]:,}" for name in ends},
                **{SHOWN[name]: amount(line[name]) for name in known},
            }
            for line in lines
        ]

    def _total(self) -> str:
        """What it all took, where nothing of it is counted twice: what settings share was drawn and paid for once.

        How much of it was drawn now is in the rows: it differs from run to run.
        """
        about = "Costs are those of an answer, on average"
        if self._different is None:
            return f"{about}; settings share samples, so that they do not add up to what was drawn."
        if self._different < sum(line["total_consulted"] or 0 for line in self._lines):
            return f"{about}; settings share samples: all together rest on {counted(self._different, 'sample')}."
        said = [f"{sum(line['total_consulted'] or 0 for line in self._lines):,.0f} samples"]
        tokens = sum((line["total_tokens_in"] or 0) + (line["total_tokens_out"] or 0) for line in self._lines)
        dollars = [line["total_dollars"] for line in self._lines]
        said.append(f"{tokens:,.0f} tokens")
        if not any(map(unknown, dollars)):
            said.append(f"{amount(float(sum(dollars)))} dollars")
        return f"{about}. All settings together: {', '.join(said)}."

    def __repr__(self) -> str:
        return f"{self.task}\n{text_table(self._cells())}\n{self._total()}{noted(self.notes, 'Notes')}"

    def _repr_html_(self) -> str:
        return str(with_notes(html_table(str(self.task), self._cells(), self._total()), self.notes, "Notes"))


def summarise(records: Records, level: float = 0.95) -> Summary:
    """Every setting in a line, in the order of the sweep.

    Errors, abstentions and what a budget stopped are answers and count; nothing is dropped. The interval is that of
    `rtk.statistics.mean` over questions: replicates of a question are no independent observations.

    * a setting without a row: no value, and the interval [0, 1].
    * one question: an interval nearly as wide as the scale.

    Args:
        records: of a sweep.
        level: of the intervals, in (0, 1).
    """
    frame = graded(records, "abstained", "stopped", "failed", "tokens", *AMOUNTS)
    parts = dict(list(frame.groupby("setting", sort=False)))
    lines, estimates = [], {}
    for arm in records.settings:
        part = parts.get(arm.label, frame.head(0))
        estimates[arm.label] = mean(part["value"].to_numpy(), part["example"], level)
        lines.append(_line(arm, part, estimates[arm.label], metric_column(records.task.metric)))
    notes, consulted = _notes(records, frame, lines), frame["consulted"].sum()
    different = _different(records) if consulted <= COUNTED else None
    return Summary(records.task, level, estimates, notes, tuple(lines), different)


def _different(records: Records) -> int:
    """How many samples all answers together rest on, each counted once."""
    found = set[str]()
    for addresses in records.rows("addresses")["addresses"]:
        found.update(addresses if addresses is not None else ())
    return len(found)


def _line(arm: Arm, part: Any, found: Estimate, column: str) -> dict[str, Any]:
    sums = {name: float(part[name].sum(skipna=False)) for name in AMOUNTS}
    size = len(part)
    return {
        "setting": arm.label, "program": arm.program, "model": arm.model, **arm.values,
        column: found.value, "low": found.low, "high": found.high,
        "questions": found.size, "replicates": int(part["replicate"].nunique()), "answers": size,
        "failed": int(part["error"].notna().sum()), "abstained": int(part["abstained"].sum()),
        "stopped": int(part["stopped"].notna().sum()), "failed_samples": int(part["failed"].sum()),
        **{name: None if unknown(total) or not size else total / size for name, total in sums.items()},
        **{f"total_{name}": None if unknown(total) else total for name, total in sums.items()},
    }  # fmt: skip


def _notes(records: Records, frame: Any, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    if records.interrupted:
        found.append(f"The sweep ended early ({records.stopped}): {len(frame):,} of {records.asked:,} answers.")
    most = max((line["answers"] for line in lines), default=0)
    fewer = [f"{line['setting']} {line['answers']:,}" for line in lines if line["answers"] < most]
    if fewer or _asked_apart(frame, len(lines)):
        said = f": {some(fewer, 6)} of {counted(most, 'answer')}" if fewer else ""
        found.append(f"Not all settings were asked the same{said}; compare(a, b) takes what both were asked.")
    return found + _failures(records, frame) + _costs(lines)


def _asked_apart(frame: Any, settings: int) -> bool:
    """Whether some question was not asked by every setting."""
    return bool(len(frame)) and bool((frame.groupby(["example", "replicate"])["setting"].nunique() < settings).any())


def _failures(records: Records, frame: Any) -> list[str]:
    """How many failed of which kind; and which settings failed more often than the one that failed least, by Holm's
    correction not by chance.
    """
    rates = frame["error"].notna().groupby(frame["setting"]).mean()
    if rates.empty or not rates.max():
        return []
    said = [f"{kind} {many:,}" for kind, many in _error_kinds(frame["error"].dropna()).most_common()]
    failed = f"{int(frame['error'].notna().sum()):,} of {counted(len(frame), 'answer')} failed: {some(said, KINDS)}."
    parts, arms = prepared(frame), [arm for arm in records.settings if arm.label in rates.index]
    least = min(arms, key=lambda arm: rates[arm.label])
    others = [arm for arm in arms if arm is not least]
    pairs = [paired(parts, least, arm) for arm in others]
    chances = holm([p_value(*pair.both("failure"), pair.questions) for pair in pairs])
    worse = [f"{arm.label} ({rates[arm.label]:.0%})" for arm, p in zip(others, chances, strict=True) if p < RARE]
    if not worse:
        return [failed]
    return [
        failed,
        f"Failed more often than {least.label} ({rates[least.label]:.0%}): {some(worse, 6)}; failures count as wrong.",
    ]


def _error_kinds(errors: Iterable[str]) -> Counter[str]:
    """How often each kind of error came: what stands before its message."""
    found = Counter[str]()
    for error in errors:
        first, _, rest = error.partition(": ")
        found[f"metric: {rest.partition(': ')[0]}" if first == "metric" else first] += 1
    return Counter({f"{kind:.60}": many for kind, many in found.items()})


def _costs(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for unit, mend in MENDS.items():
        lacking = [line["setting"] for line in lines if unknown(line[unit]) and line["answers"]]
        if lacking:
            which = "" if len(lacking) == len(lines) else f" of {some(lacking)}"
            noun = NOUNS[unit]
            found.append(f"{noun[:1].upper()}{noun[1:]}{which} are not known, and are not taken for 0: {mend}.")
    tokens = [line["tokens_in"] + line["tokens_out"] for line in lines if line["answers"]]
    if len(tokens) > 1 and max(tokens) > 1.1 * min(tokens):
        found.append(
            f"The settings took from {amount(min(tokens))} to {amount(max(tokens))} tokens an answer: frontier() and "
            f"matched() set the {counted(len(tokens), 'setting')} against their cost."
        )
    return found
