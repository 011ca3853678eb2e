"""Calibration: whether a setting is right as often as its confidence says, and surer where it is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtk.errors import RTKError
from rtk.experiments.analysis.grades import graded
from rtk.experiments.analysis.lines import RING, drawn, framed, panel, told_apart
from rtk.experiments.analysis.telling import chance, share, some
from rtk.experiments.analysis.telling import span as interval
from rtk.experiments.figures import Figure
from rtk.experiments.records.records import Card, Records
from rtk.experiments.tables import text_table
from rtk.statistics import Calibration, Discrimination, auroc
from rtk.statistics import calibration as calibrated


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Figure):
    """Confidence against accuracy, of each setting that is confident of its answers.

    In a notebook it shows itself as a reliability diagram; `print` gives the calibration errors.

    Attributes:
        calibrations: by setting; see `rtk.statistics.calibration`.
        discriminations: by setting, whether confidence tells right answers from wrong ones; see `rtk.statistics.auroc`.
        without: settings none of whose answers has a confidence.
        task: which questions.
    """

    calibrations: dict[str, Calibration]
    discriminations: dict[str, Discrimination]
    without: tuple[str, ...]
    task: Card

    def rows(self) -> list[dict[str, Any]]:
        """A tidy row for each setting and bin with answers: `setting`, `from_confidence` and `to_confidence`, how
        many `answers`, their mean `confidence`, and their accuracy as `value` with `low` and `high` (95 %).
        """
        return [
            {"setting": setting, "from_confidence": one.low, "to_confidence": one.high, "answers": one.size,
             "confidence": one.confidence, "value": one.accuracy.value, "low": one.accuracy.low,
             "high": one.accuracy.high}
            for setting, found in self.calibrations.items()
            for one in found.bins
            if one.size
        ]  # fmt: skip

    def to_frame(self) -> Any:
        """The rows as a pandas frame."""
        return framed(self.rows())

    def errors(self) -> Any:
        """The calibration errors as a pandas frame.

        For each setting `ece` (expected calibration error, as everybody reports it) with `low` and `high`, `debiased`
        (less what chance adds to it), `chance` (what perfect confidence would show), `auroc` (how often the better of
        two answers is the surer one) with `auroc_p`, `answers`, and `unsaid`: answers without a confidence, such as
        abstentions and errors, which are in no bin.
        """
        return framed([
            {"setting": setting, "ece": found.ece.value, "low": found.ece.low, "high": found.ece.high,
             "debiased": found.debiased, "chance": found.chance, "auroc": self.discriminations[setting].area.value,
             "auroc_p": self.discriminations[setting].p, "answers": sum(one.size for one in found.bins),
             "unsaid": found.unsaid}
            for setting, found in self.calibrations.items()
        ])  # fmt: skip

    def chart(self) -> Any:
        """The altair chart: accuracy against confidence, on the dashed line where the two agree."""
        import altair as alt

        rows = [
            {"line": row["setting"], "x": row["confidence"], "y": row["value"], "low": row["low"], "high": row["high"],
             "said": f"{row['setting']}, confidence {row['confidence']:.2f}: accuracy {row['value']:.2f} "
             f"[{row['low']:.2f}, {row['high']:.2f}], {row['answers']} answers"}
            for row in self.rows()
        ]  # fmt: skip
        across = alt.X(
            "x:Q", title="confidence", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(grid=False, tickCount=5)
        )
        ends = alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        agreed = ends.mark_line(strokeDash=[4, 4], color=RING).encode(x=across, y="y:Q")
        made = panel(rows, told_apart(row["line"] for row in rows), x=across, y=self.task.metric, legend="setting",
                     bands=False, below=[agreed], domain=(0, 1))  # fmt: skip
        subtitle = ["dashed: right as often as confident", "95 % intervals over questions"]
        return drawn({"": made}, f"{self.task.name}: confidence and {self.task.metric}", subtitle, self._described())

    def _heading(self) -> str:
        asked = "1 question" if self.task.size == 1 else f"{self.task.size} questions"
        return f"{self.task.name}: confidence against {self.task.metric}, {asked}, 95 % intervals over questions."

    def _described(self) -> str:
        """The chart for somebody who does not see it."""
        said = []
        for setting, found in self.calibrations.items():
            told = ", ".join(
                f"{one.confidence or 0:.2f}: {one.accuracy.value or 0:.2f} ({one.size})"
                for one in found.bins
                if one.size
            )
            said.append(f"{setting}, error {_cell(found)}. Confidence: {self.task.metric} (answers). {told}.")
        return " ".join([self._heading(), *said])

    def __repr__(self) -> str:
        cells = [
            {
                "setting": setting,
                "calibration error": _cell(found),
                "by chance alone": share(found.chance),
                "AUROC": _area(self.discriminations[setting]),
                "p": chance(self.discriminations[setting].p),
                "answers": f"{sum(one.size for one in found.bins):,}",
                "without confidence": f"{found.unsaid:,}",
            }
            for setting, found in self.calibrations.items()
        ]
        told = "An error near that of chance alone is none that these questions could tell from noise."
        blind = [setting for setting, one in self.discriminations.items() if not one.informative]
        if blind:
            told += f"\nNo surer where it is right, beyond chance: {some(blind)}. Nothing should be decided by that."
        more = [f"No answer has a confidence: {', '.join(self.without)}."] if self.without else []
        return "\n".join([self._heading(), text_table(cells), told, *more])


def calibration(records: Records, bins: int = 10) -> Reliability:
    """Confidence against accuracy for each setting, with the expected calibration error and its interval.

    Answers without a confidence (abstentions, errors, programs that tell none) are in no bin, and counted.

    Args:
        records: of a sweep.
        bins: of equal width on [0, 1].

    Raises:
        RTKError: for no bins, and where no answer has a confidence.
    """
    rows = graded(records, "confidence")
    known = rows.loc[rows["confidence"].notna(), "setting"].unique()
    settings = [arm.label for arm in records.settings]
    if not len(known):
        raise RTKError(
            "no answer of this sweep has a confidence", mend="sweep a program that votes, such as rtk.SelfConsistency"
        )
    found, sorts = {}, {}
    for setting in (one for one in settings if one in set(known)):
        own = rows[rows["setting"] == setting]
        found[setting] = calibrated(own["confidence"], own["value"], bins, clusters=own["example"])
        means = own.groupby("example", sort=False)[["confidence", "value"]].mean()  # replicates are one question
        sorts[setting] = auroc(means["confidence"], means["value"])
    return Reliability(found, sorts, tuple(one for one in settings if one not in found), records.task)


def _area(found: Discrimination) -> str:
    return f"{share(found.area.value)} {interval(found.area)}"


def _cell(found: Calibration) -> str:
    return f"{share(found.ece.value)} {interval(found.ece)}"
