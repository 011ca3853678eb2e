"""The answers worth reading: what failed, what was not answered, what was wrong and should not have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Literal

from rtk._html import Markup, element, fragment, lines
from rtk.deliberation import Deliberation
from rtk.experiments.analysis.outcomes import ABSTAINED, FAILED, RIGHT, SCORED, SIGNS, ended, known_labels, stories
from rtk.experiments.analysis.telling import counted, share
from rtk.experiments.records.records import Records
from rtk.experiments.tables import text_table

Kind = Literal["failed", "abstained", "confident", "overruled", "doubtful", "beaten", "wrong"]
KINDS: Mapping[str, str] = {
    "failed": "failed: an error came instead of an answer",
    "abstained": "abstained: no answer could be read",
    "confident": "wrong, and sure of it",
    "overruled": "wrong, though an attempt was right",
    "doubtful": "every setting gives the same answer, which is not the gold answer",
    "beaten": "wrong, where other settings were right",
    "wrong": "wrong, as the other settings were",
}
"""Why an answer is worth reading, in the order in which they are shown; one that fits several is under the first."""
SCORED_KINDS: Mapping[str, str] = {
    **KINDS,
    "confident": "scored less than 1, and sure of it",
    "overruled": "scored less than 1, though an attempt scored 1",
    "beaten": "scored less than 1, where other settings scored 1",
    "wrong": "scored less than 1, the lowest first",
}
"""The same of a task whose metric is a score."""
NONE = "Nothing failed: every answer was right."
ALONE = 2  # attempts from which on agreement says anything: one always agrees with itself
ELSEWHERE = 2  # settings that must give one answer before the gold answer is doubted
LONG = 100  # characters of a text in a table


@dataclass(frozen=True, repr=False)
class Failure:
    """One answer that is worth reading.

    Attributes:
        row: its row number in `results.rows()`.
        kind: `"failed"`, `"abstained"`, `"confident"`, `"overruled"`, `"doubtful"`, `"beaten"` or `"wrong"`.
        reason: why it is worth reading, in words.
        setting: the label.
        replicate: from 0.
        example: the question's id.
        question: its text.
        answer: what was answered; None where nothing was.
        gold: the right answer; None where there is none.
        error: what was raised.
        confidence: NaN where none was told.
        right: how many of the attempts that it was chosen from were right; None where they are not known.
        attempts: how many there were.
    """

    row: int
    kind: Kind
    reason: str
    setting: str
    replicate: int
    example: str
    question: str
    answer: str | None
    gold: str | None
    error: str | None
    confidence: float
    right: int | None
    attempts: int | None
    _records: Records = field(compare=False)

    @property
    def deliberation(self) -> Deliberation | None:
        """How the answer came about; None where nothing was told."""
        return stories(self._records, [self.row])[self.row]

    def __repr__(self) -> str:
        return f"<Failure: row {self.row}, {self.setting}, {self.example}: {self.reason}>"

    def _repr_html_(self) -> str:
        return str(drawn(self, self.deliberation))


@dataclass(frozen=True, repr=False)
class Failures(Sequence[Failure]):
    """The answers worth reading, the most telling kinds first; a sequence.

    Attributes:
        rows: those that are shown, at most so many of a kind.
        counts: how many there are of each kind, also of those that are not shown.
        answers: how many answers there are, right ones included.
        metric: what the sweep reports; of another than accuracy an answer is worth reading that scored less than 1.
    """

    rows: list[Failure]
    counts: dict[str, int]
    answers: int
    metric: str = "accuracy"

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each kind is called."""
        return KINDS if self.metric == "accuracy" else SCORED_KINDS

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> Any:
        """A pandas frame with a row for each answer that is shown: what `Failure` has, without the deliberation."""
        import pandas as pd

        names = [name for name in Failure.__dataclass_fields__ if not name.startswith("_")]
        return pd.DataFrame([{name: getattr(one, name) for name in names} for one in self.rows], columns=names)

    def _told(self) -> str:
        """How many there are of each kind, in a sentence."""
        if not self.counts:
            none = NONE if self.metric == "accuracy" else "Nothing failed: every answer scored 1."
            return none if self.answers else "No question was asked, so nothing failed."
        total = sum(self.counts.values())
        left = total - len(self.rows)
        more = f" {counted(len(self.rows), 'answer')} of them {'is' if len(self.rows) == 1 else 'are'} shown." * (
            left > 0
        )
        said = "was not right" if total == 1 else "were not right"
        said = said if self.metric == "accuracy" else "scored less than 1"
        return f"{total:,} of {counted(self.answers, 'answer')} {said}.{more}"

    def __repr__(self) -> str:
        rows = [
            {"row": f"{one.row:,}", "setting": one.setting, "question": _glimpse(one.question, 40),
             "answer": _glimpse(one.answer, 20), "gold": _glimpse(one.gold, 20), "why": _glimpse(one.reason, LONG)}
            for one in self.rows
        ]  # fmt: skip
        return "\n".join([self._told(), *([text_table(rows)] if rows else [])])

    def _repr_html_(self) -> str:
        parts: list[Markup] = []
        for kind, many in self.counts.items():
            shown = [one for one in self.rows if one.kind == kind]
            parts.append(element("p", element("b", _heading(self.kinds[kind], many, len(shown)))))
            parts += [drawn(one, one.deliberation) for one in shown]
        return element("div", element("p", self._told()), *parts, class_="rtk-failures")


def failures(
    records: Records,
    each: int | None = 5,
    settings: Sequence[str] | None = None,
    *,
    confident: float = 0.8,
) -> Failures:
    """The answers worth reading, each with the reason why.

    Errors come first, then abstentions, confident wrong answers, wrong answers though an attempt was right (what a
    better chooser could win), answers that every setting agrees on against the gold answer (which may be wrong
    itself), wrong answers where another setting was right, and the rest. Within a kind different errors and different
    questions come before more of the same. Of a task whose metric is a score, every answer below 1 is "wrong", the
    worst first.

    Args:
        records: what a sweep found.
        each: at most so many of each kind; None for all.
        settings: labels of those whose answers are looked at; all without. Others still count as other settings.
        confident: the confidence, in [0, 1], from which on a wrong answer is called sure of itself; one chosen from a
            single attempt, which always agrees with itself, is not.

    Raises:
        RTKError: for a setting that there is not.
    """
    labels = known_labels(records, settings)
    frame = ended(records, *COLUMNS)
    frame["row"] = range(len(frame))
    _know_attempts(records, frame)
    _know_others(frame)
    frame = frame[frame["setting"].isin(labels)]
    bad = frame[~((frame["outcome"] == RIGHT) | ((frame["outcome"] == SCORED) & (frame["score"] >= 1)))].copy()
    bad["sure"] = (bad["confidence"] >= confident) & ~(bad["attempts"] < ALONE)
    bad["kind"] = _kinds(bad)
    counts = {kind: int((bad["kind"] == kind).sum()) for kind in KINDS if (bad["kind"] == kind).any()}
    chosen = [one for kind in counts for one in _picked(bad[bad["kind"] == kind], kind, each)]
    return Failures([_failure(one, records) for one in chosen], counts, len(frame), records.task.metric)


COLUMNS = ("setting", "replicate", "example", "question", "answer", "gold", "score", "confidence", "stopped", "pool",
           "attempts")  # fmt: skip


def _know_attempts(records: Records, frame: Any) -> None:
    """How many of the attempts that an answer was chosen from were right, as `right`; NaN where there were none."""
    tried = records.candidates("pool", "index", "correct").sort_values(["pool", "index"], kind="stable")
    tried["right"] = tried["correct"].eq(True).astype(float)
    tried["right"] = tried.groupby("pool", sort=False)["right"].cumsum()
    tried["attempts"] = tried.groupby("pool", sort=False).cumcount() + 1.0
    tried["pool"] = tried["pool"].astype(float)
    places = frame[["pool", "attempts"]].astype(float)
    frame["right"] = places.merge(tried, on=["pool", "attempts"], how="left")["right"].to_numpy()


def _know_others(frame: Any) -> None:
    """Of each question: how many settings there are, how many were right in some replicate, and the one answer."""
    frame["good"] = (frame["outcome"] == RIGHT).astype(int)
    best = frame.groupby(["example", "setting"], sort=False)["good"].max().groupby(level="example")
    frame["others"] = frame["example"].map(best.size()) - 1
    frame["others_right"] = frame["example"].map(best.sum())
    answers = frame.groupby("example", sort=False)["answer"]
    alone = answers.nunique(dropna=False).eq(1) & answers.count().gt(0)
    frame["same"] = frame["example"].map(alone) & (frame["others"] + 1 >= ELSEWHERE)


def _kinds(frame: Any) -> Any:
    """The first kind that each row fits."""
    kind = frame["outcome"].map({FAILED: "failed", ABSTAINED: "abstained", SCORED: "wrong"}).astype(object)
    for name, fits in (
        ("confident", frame["sure"]),
        ("overruled", frame["right"] > 0),
        ("doubtful", frame["same"] & frame["gold"].notna()),
        ("beaten", frame["others_right"] > 0),
        ("wrong", frame["row"] >= 0),
    ):
        kind[kind.isna() & fits] = name
    return kind


def _picked(frame: Any, kind: str, each: int | None) -> list[dict[str, Any]]:
    """The most telling rows of a kind, each error and each question once before any comes again."""
    by = {"confident": "confidence", "overruled": "right", "beaten": "others_right"}.get(kind)
    if by:
        frame = frame.sort_values(by, ascending=False, kind="stable")
    elif kind == "wrong":
        frame = frame.sort_values("score", kind="stable")
    key = frame["error"].str.slice(0, 60) if kind == "failed" else frame["example"]
    again = frame.assign(again=frame.groupby(key, sort=False).cumcount()).sort_values("again", kind="stable")
    return (again if each is None else again.head(max(0, each))).to_dict("records")


def _failure(one: dict[str, Any], records: Records) -> Failure:
    return Failure(
        row=one["row"],
        kind=one["kind"],
        reason=_reason(one),
        **{name: one[name] for name in ("setting", "replicate", "example", "question", "answer", "gold", "error")},
        confidence=one["confidence"],
        right=_whole(one["right"]),
        attempts=_whole(one["attempts"]),
        _records=records,
    )


def _whole(value: Any) -> int | None:
    return None if value is None or isnan(value) else int(value)


def _reason(one: dict[str, Any]) -> str:
    """All that makes a row worth reading, in words."""
    if one["kind"] == "failed":
        return f"an error instead of an answer: {one['error']}"
    answered = one["outcome"] not in (ABSTAINED, SCORED)
    tried = _whole(one["attempts"])
    others = f"{one['others_right']:,} of {counted(one['others'], 'other setting')}"
    right = f"{_whole(one['right']) or 0:,} of {counted(tried or 0, 'attempt')} right, and not chosen"
    told = [
        "no answer could be read" if one["outcome"] == ABSTAINED else "",
        f"scored {share(one['score'])}" if one["outcome"] == SCORED else "",
        f"wrong with confidence {share(one['confidence'])}" if answered and one["sure"] else "",
        right if one["right"] > 0 else "",
        f"every setting answers {_glimpse(one['answer'], 20)!r}: is the gold answer right?"
        if answered and one["same"] and one["gold"] is not None else "",
        f"right in {others}" if one["others_right"] > 0 and one["others"] else "",
        f"stopped early: {one['stopped']}" if one["stopped"] else "",
    ]  # fmt: skip
    said = [text for text in told if text]
    return "; ".join(said) if said else "wrong, as the other settings were" if one["others"] else "wrong"


# --- how it looks ---


def _glimpse(text: str | None, most: int) -> str:
    one = " ".join(str("–" if text is None else text)[: 4 * most].split())
    return one if len(one) <= most else f"{one[: most - 1].rstrip()}…"


def _heading(said: str, many: int, shown: int) -> str:
    return f"{said[:1].upper()}{said[1:]} ({many:,}{f', {shown:,} shown' if shown < many else ''})"


def drawn(one: Failure, told: Deliberation | None) -> Markup:
    """An answer that folds: why it is worth reading, then all that is known of it, then how it came about."""
    sign = element("span", SIGNS.get(one.kind, "✗"), aria_hidden="true")
    head = fragment(sign, " ", element("b", element("bdi", _glimpse(one.question, 60))), " · ", one.setting, " · ",
                    element("bdi", _glimpse(one.reason, 160)))  # fmt: skip
    facts = [("question", one.question), ("answer", one.answer), ("gold", one.gold), ("error", one.error)]
    body = element("table", element("tbody", *(_fact(name, text) for name, text in facts if text is not None)))
    story = Markup(told.html(60)) if told is not None else element("p", "No deliberation was told.")
    return element("details", element("summary", head), body, story)


def _fact(name: str, text: str) -> Markup:
    left = "text-align:left;vertical-align:top"
    return element("tr", element("th", name, scope="row", style=left),
                   element("td", element("bdi", lines(text, 2000)), style=f"{left};white-space:pre-wrap"))  # fmt: skip
