"""The answers of a report, each with all that is known of it and how it came about; written as they are read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from tempfile import TemporaryFile
from typing import IO, Any

from rtk._html import Markup, element, fragment, lines
from rtk.deliberation import Deliberation
from rtk.errors import RTKError
from rtk.experiments.analysis.outcomes import SIGNS, counts, ended
from rtk.experiments.analysis.telling import amount, counted, share
from rtk.experiments.records.records import PLACE, Records
from rtk.experiments.records.spool import STORIES

LONG, GLIMPSE = 2000, 90  # characters of a text, and of one on the line that folds
STEPS = 30_000  # of all deliberations on a page together, so that a phone can hold it
FEWEST, MOST = 12, 200  # steps of one deliberation
FACTS = ("setting", "replicate", "example", "question", "answer", "gold", "score", "confidence", "stopped", "consulted",
         "drawn", "reused", "failed", "tokens_in", "tokens_out", "dollars", "seconds")  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """The answers that a page holds.

    Attributes:
        groups: row numbers by how they ended, the worst first.
        left_out: how many others there are, by how they ended.
    """

    groups: Mapping[str, list[int]]
    left_out: Mapping[str, int]

    @property
    def many(self) -> int:
        """How many there are."""
        return sum(map(len, self.groups.values()))


def choose(records: Records, most: int | None, first: Collection[int]) -> Chosen:
    """The worst first; of an outcome for which there is no room, some from everywhere.

    Args:
        records: what a sweep found.
        most: how many at most; None for all.
        first: rows that come before others of their kind.
    """
    outcome = ended(records)["outcome"].reset_index(drop=True)
    room = len(outcome) if most is None else max(0, most)
    groups: dict[str, list[int]] = {}
    for name in counts(outcome):
        rows = outcome.index[outcome == name].tolist()
        groups[name] = _some(rows, room, first)
        room -= len(groups[name])
    left = {name: many - len(groups[name]) for name, many in counts(outcome).items()}
    return Chosen({name: rows for name, rows in groups.items() if rows}, {n: m for n, m in left.items() if m})


def _some(rows: list[int], room: int, first: Collection[int]) -> list[int]:
    if len(rows) <= room:
        return rows
    wanted = [row for row in rows if row in first][:room]
    others, rest = [row for row in rows if row not in first], room - len(wanted)
    return sorted([*wanted, *(others[at * len(others) // rest] for at in range(rest))])


def write(records: Records, chosen: Chosen, out: IO[str]) -> None:
    """Write the answers, grouped by how they ended, to a page; one deliberation is in memory at a time."""
    facts = _facts(records, chosen)
    places = {arm.label: at for at, arm in enumerate(records.settings)}
    with TemporaryFile("w+b") as kept:
        told = _keep_stories(records, set(facts), _steps(chosen.many), kept)
        for outcome, rows in chosen.groups.items():
            out.write(f'<div class="group"><h3>{_sign(outcome)} {fragment(_capital(outcome))} ({len(rows):,})</h3>\n')
            for row in sorted(rows, key=lambda row: (facts[row]["at"], row)):
                out.write(_entry(row, facts[row], outcome, places, _kept(kept, told.get(row))))
            out.write("</div>\n")


def _facts(records: Records, chosen: Chosen) -> dict[int, dict[str, Any]]:
    """What is said of each answer, by row number; `at` is the place of its question."""
    frame = records.rows(*FACTS, "error")
    order = {name: at for at, name in enumerate(dict.fromkeys(frame["example"]))}
    frame["at"] = frame["example"].map(order)
    rows = [row for group in chosen.groups.values() for row in group]
    return dict(zip(rows, frame.iloc[rows].to_dict("records"), strict=True))


def _steps(many: int) -> int:
    return min(MOST, max(FEWEST, STEPS // max(1, many)))


# --- deliberations ---


def _keep_stories(records: Records, wanted: Collection[int], steps: int, kept: IO[bytes]) -> dict[int, tuple[int, int]]:
    """Draw the deliberations as they come from the disk; where in the file each of them stands."""
    found: dict[int, tuple[int, int]] = {}
    for row, text in _stories(records, wanted):
        drawn = _drawn(text, steps).encode("utf-8")
        found[row] = (kept.seek(0, 2), len(drawn))
        kept.write(drawn)
    return found


def _stories(records: Records, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
    places = records._places()
    number = {tuple(map(int, places[row])): row for row in wanted}
    for batch in STORIES.batches(records._folder) if wanted else ():
        for one in batch:
            row = number.get(tuple(one[name] for name in PLACE))
            if row is not None:
                yield row, one["story"]


def _drawn(story: str, steps: int) -> Markup:
    try:
        return Markup(Deliberation.from_dict(json.loads(story)).html(steps))
    except (RTKError, TypeError, ValueError, RecursionError):  # a stranger's: the answer is worth reading still
        return element("p", "Its deliberation cannot be read.", class_="note")


def _kept(kept: IO[bytes], place: tuple[int, int] | None) -> Markup:
    if place is None:
        return element("p", "No deliberation was told.", class_="note")
    kept.seek(place[0])
    return Markup(kept.read(place[1]).decode("utf-8"))


# --- one answer ---


def _entry(row: int, facts: dict[str, Any], outcome: str, places: Mapping[str, int], story: Markup) -> str:
    """An answer that folds: how it ended, at which setting, the question; then all of it."""
    head = fragment(
        element("span", _sign(outcome), " ", outcome, class_=f"outcome {outcome}"),
        element("span", facts["setting"], class_="setting"),
        element("span", element("bdi", _glimpse(facts["question"], GLIMPSE)), class_="question"),
        element("span", *_short(facts), class_="answer"),
    )
    body = fragment(element("dl", *_texts(facts)), element("p", _numbers(facts), class_="numbers"), story)
    return (
        f'<details class="row" id="row-{row:d}" data-outcome="{outcome}" data-setting="{places[facts["setting"]]:d}">'
        f"<summary>{head}</summary>{body}</details>\n"
    )


def _short(facts: Mapping[str, Any]) -> list[Any]:
    """The answer and the gold answer, or the error, in a few words."""
    if facts["error"] is not None:
        return [element("bdi", _glimpse(facts["error"], GLIMPSE))]
    answer = "no answer" if facts["answer"] is None else element("bdi", _glimpse(facts["answer"], 40))
    wrong = facts["gold"] is not None and facts["gold"] != facts["answer"]
    return ["→ ", answer, *([" (gold: ", element("bdi", _glimpse(facts["gold"], 40)), ")"] if wrong else [])]


def _texts(facts: Mapping[str, Any]) -> Iterator[Markup]:
    for name in ("question", "answer", "gold", "error"):
        if facts[name] is not None:
            yield element("dt", name)
            yield element("dd", element("bdi", lines(facts[name], LONG)))


def _numbers(facts: Mapping[str, Any]) -> str:
    samples = f"{counted(facts['consulted'], 'sample')} ({facts['drawn']:,} drawn, {facts['reused']:,} reused)"
    told = [
        f"question {facts['example']}",
        f"replicate {facts['replicate']}",
        samples if _known(facts["consulted"], facts["drawn"], facts["reused"]) else "",
        f"{counted(facts['failed'], 'sample')} failed" if facts["failed"] and _known(facts["failed"]) else "",
        f"{facts['tokens_in']:,} tokens read, {facts['tokens_out']:,} written" if _known(facts["tokens_in"]) else "",
        f"${amount(float(facts['dollars']))}" if _known(facts["dollars"]) else "",
        f"{amount(float(facts['seconds']))} s" if _known(facts["seconds"]) else "",
        f"confidence {share(facts['confidence'])}" if _known(facts["confidence"]) else "",
        f"score {share(facts['score'])}" if _known(facts["score"]) else "",
        f"stopped early: {facts['stopped']}" if facts["stopped"] else "",
    ]
    return " · ".join(filter(None, told))


def _known(*values: Any) -> bool:
    return all(value is not None and not isnan(value) for value in values)


def _glimpse(text: str | None, most: int) -> str:
    one = " ".join(str(text or "")[: 4 * most].split())
    return one if len(one) <= most else f"{one[: most - 1].rstrip()}…"


def _sign(outcome: str) -> Markup:
    return element("span", SIGNS[outcome], aria_hidden="true")


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
