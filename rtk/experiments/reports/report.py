"""A study as one page that needs nothing else: what was measured, what came out, and every answer to read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from rtk._html import Markup, element, fragment
from rtk.errors import RTKError
from rtk.experiments.analysis.failures import failures
from rtk.experiments.analysis.outcomes import said
from rtk.experiments.analysis.telling import counted
from rtk.experiments.records.records import Records
from rtk.experiments.reports.report_page import Section, contents, head, opened, shown, slug, tail
from rtk.experiments.reports.report_rows import Chosen, choose, write
from rtk.experiments.reports.report_sections import measured, standard, worth_reading

WORTH, ANSWERS = "Worth reading", "Answers"


def report(
    records: Records,
    path: str | Path,
    rows: int | None = 2000,
    *,
    sections: Sequence[Section] = (),
    title: str | None = None,
) -> None:
    """Write a study as one HTML file, which loads nothing, on a desk or a phone, in light or dark.

    It says what was measured, with the summary, the figures, the comparisons with their warnings, and the answers worth
    reading; then come the answers themselves, those that failed first, each with how it came about. They fold, and
    without JavaScript, too; with it, they can be filtered by setting, by how they ended, and by words. What a model
    wrote is escaped, and the page's own policy lets nothing of it run. Figures need vl-convert, and are tables without.

    Args:
        records: what a sweep found.
        path: of the file, in `.html`; written at once or not at all.
        rows: how many answers at most; the page says how many it leaves out. Those that failed, abstained and were
            wrong come first. The more there are, the fewer steps of each deliberation are shown. None for all.
        sections: more of them, each a title with figures, tables or texts; they stand after the standard ones.
        title: of the page; the task's name without.

    Raises:
        RTKError: for another ending, a folder that is not there, or a number of rows below 0.
    """
    path = Path(path)
    if path.suffix.casefold() not in (".html", ".htm"):
        raise RTKError(f"a report is a page, and {path.name!r} is no name of one", mend='report("study.html")')
    if rows is not None and rows < 0:
        raise RTKError(f"rows={rows}", mend="how many answers the page holds, from 0 on, or None for all")
    if not path.parent.is_dir():
        raise RTKError(f"there is no folder {path.parent}", mend="make it, or name another")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as out:
            _write(records, out, rows, sections, title or f"A study of {records.task.name}")
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _write(records: Records, out: IO[str], rows: int | None, more: Sequence[Section], title: str) -> None:
    """The page, a piece after the other; no more of it is in memory than a section, or an answer."""
    found = failures(records)
    chosen = choose(records, rows, frozenset(one.row for one in found))
    first = [measured(records), *standard(records), *more, Section(WORTH, worth_reading(found))]
    names = _named([*(section.title for section in first), ANSWERS])
    out.write(head(title))
    out.write(fragment(element("p", str(records.task), class_="lead"), contents(names)))
    for section, (name, _) in zip(first, names, strict=False):
        out.write(shown(section, name))
    out.write(opened("answers", ANSWERS))
    out.write(_about(records, chosen))
    out.write(f'<div id="rows" data-settings="{len(records.settings)}">\n')
    write(records, chosen, out)
    out.write("</div></section>\n")
    out.write(tail())


def _named(titles: Sequence[str]) -> list[tuple[str, str]]:
    """Each title with an id that no other has."""
    found: dict[str, str] = {}
    for title in titles:
        name, number = slug(title), 1
        while name in found:
            number += 1
            name = f"{slug(title)}-{number}"
        found[name] = title
    return list(found.items())


def _about(records: Records, chosen: Chosen) -> Markup:
    """How many answers the page holds and leaves out, and the labels of the settings, for the script."""
    left = sum(chosen.left_out.values())
    if left:
        told = (
            f"This page holds {counted(chosen.many, 'answer')} of {chosen.many + left:,}. Left out: "
            f"{said(dict(chosen.left_out))}; results.report(path, rows=None) shows all."
        )
    else:
        told = f"This page holds all {counted(chosen.many, 'answer')}." if chosen.many else "There is no answer."
    labels = element("ul", *(element("li", arm.label) for arm in records.settings), class_="labels")
    hidden = Markup(f'<div hidden id="labels">{labels}</div>\n')
    return fragment(element("p", told), Markup('<div id="filters"></div>\n'), hidden)
