"""What stands in a report above its answers: what was measured, what came out, what is worth reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtk._html import Markup, element, fragment
from rtk.errors import RTKError
from rtk.experiments.analysis.calibrating import calibration
from rtk.experiments.analysis.contrasts import Contrasts, contrast
from rtk.experiments.analysis.difficulty import by_difficulty
from rtk.experiments.analysis.failures import Failures
from rtk.experiments.analysis.frontiers import frontier
from rtk.experiments.analysis.grids import grid
from rtk.experiments.analysis.matching import matched
from rtk.experiments.analysis.outcomes import SIGNS
from rtk.experiments.analysis.replicates import replicated
from rtk.experiments.analysis.summarising import summarise
from rtk.experiments.analysis.telling import counted
from rtk.experiments.records.records import Records
from rtk.experiments.replays.resampled import curve_of
from rtk.experiments.reports.report_page import Section
from rtk.experiments.tables import html_table

FEW = 8  # settings that are all compared with each other; of more, each with the first
LISTED, QUESTIONS = 200, 30  # settings in the table of settings, questions in the grid
VERSIONS = ("rtk", "dspy", "litellm", "python")


def standard(records: Records) -> list[Section]:
    """The sections that every report has; what should be there and cannot be shown says why."""
    arms = records.settings
    several, models = len(arms) > 1, len({arm.model for arm in arms}) > 1
    found = [Section("Summary", [_attempt(summarise, records)])]
    if several:
        costs = [_attempt(frontier, records, unit) for unit in ("tokens", *(("flops",) if models else ()))]
        found.append(Section("Accuracy against cost", costs))
    if models:
        found.append(Section("Models at equal compute", [_attempt(matched, records)]))
    if len(records.candidates("index")):
        found.append(Section("Accuracy against attempts", [_attempt(curve_of, records)]))
    if several:
        how = {} if len(arms) <= FEW else {"baseline": arms[0].label}
        compared = _attempt(contrast, records, **how)
        found.append(Section("Comparisons", [compared, _warnings(compared)]))
    return [*found, *_looked_into(records, several)]


def _looked_into(records: Records, several: bool) -> list[Section]:
    """What not every study can tell."""
    found = []
    if records.replicates > 1:
        found.append(Section("From run to run", [_attempt(replicated, records)]))
    if len(records.candidates("index")):
        found.append(Section("Accuracy by difficulty", [_attempt(by_difficulty, records)]))
    if records.rows("confidence")["confidence"].notna().any():
        found.append(Section("Confidence against accuracy", [_attempt(calibration, records)]))
    if several:
        found.append(Section("Questions by settings", [_attempt(grid, records, QUESTIONS)]))
    return found


def _attempt(analyse: Callable[..., Any], records: Records, *arguments: Any, **how: Any) -> Any:
    """An analysis, or why there is none."""
    try:
        return analyse(records, *arguments, **how)
    except RTKError as error:
        return f"Not shown: {error}. {error.mend or ''}".strip()


def _warnings(compared: Any) -> Markup | None:
    """What the comparisons say of themselves, each in a sentence; folded, since most say the same."""
    told = compared.warnings[:LISTED] if isinstance(compared, Contrasts) else []
    if not told:
        return None
    items = element("ul", *(element("li", one) for one in told))
    left = len(compared.warnings) - len(told)
    more = element("p", f"{counted(left, 'warning')} more.") if left else None
    return element("details", element("summary", f"All warnings in words ({len(compared.warnings):,})"), items, more)


def measured(records: Records) -> Section:
    """What was measured, on what, with what."""
    return Section("What was measured", [_card(records), _settings(records)])


def _card(records: Records) -> Markup:
    task, about = records.task, dict(records.about)
    answers = len(records.rows("correct"))
    versions = ", ".join(f"{name} {about.pop(name)}" for name in VERSIONS if name in about)
    facts = {
        "task": task.name,
        "split": task.split,
        "level": task.level,
        "seed of the questions": task.seed,
        "questions": f"{task.size:,}",
        "fingerprint (SHA-256)": task.fingerprint,
        "metric": task.metric,
        "models": ", ".join(dict.fromkeys(arm.model or "(unnamed)" for arm in records.settings)),
        "programs": ", ".join(dict.fromkeys(arm.program for arm in records.settings)),
        "settings": f"{len(records.settings):,}",
        "replicates": f"{records.replicates:,}",
        "answers": f"{answers:,} of {records.asked:,}",
        "ended early": f"{records.stopped}: the study is not complete" if records.interrupted else None,
        "versions": versions,
        **{str(name): value for name, value in about.items()},
    }
    known = [(name, value) for name, value in facts.items() if value not in (None, "")]
    return element("dl", *(piece for name, value in known for piece in _fact(name, value)), class_="facts")


def _fact(name: str, value: Any) -> tuple[Markup, Markup]:
    said = f"{value!s:.500}"
    return element("dt", name), element("dd", element("bdi", said))


def _settings(records: Records) -> Markup:
    rows = [
        {"setting": arm.label, "program": arm.program, "model": arm.model,
         **{name: _text(arm.values.get(name)) for name in records.axes}}
        for arm in records.settings[:LISTED]
    ]  # fmt: skip
    left = len(records.settings) - len(rows)
    note = f"{counted(left, 'setting')} more {'is' if left == 1 else 'are'} not listed." if left else ""
    return html_table("the settings", rows, note)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value!s:.100}"


def worth_reading(found: Failures) -> list[Markup]:
    """The failures with their reasons, each with a link to its answer below."""
    parts = [element("p", found._told())]
    for kind, many in found.counts.items():
        rows = [one for one in found.rows if one.kind == kind]
        said = f"{found.kinds[kind][:1].upper()}{found.kinds[kind][1:]}"
        items = (
            element("li", element("a", f"row {one.row:,}", href=f"#row-{one.row}"), " · ", one.setting, " · ",
                    element("bdi", _glimpse(one.question)), element("br"),
                    element("small", element("bdi", _glimpse(one.reason, 300))))
            for one in rows
        )  # fmt: skip
        sign = element("span", SIGNS.get(kind, SIGNS["wrong"]), aria_hidden="true")
        shown = f" ({many:,}{f', {len(rows):,} shown' if len(rows) < many else ''})"
        parts.append(fragment(element("h3", sign, " ", said, shown), element("ul", *items, class_="worth")))
    return parts


def _glimpse(text: str, most: int = 90) -> str:
    one = " ".join(str(text)[: 4 * most].split())
    return one if len(one) <= most else f"{one[: most - 1].rstrip()}…"
