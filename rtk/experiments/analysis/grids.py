"""Questions down, settings across: how each answer ended and what it cost, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal, get_args

from rtk._html import Markup, element, fragment
from rtk.errors import RTKError
from rtk.experiments.analysis.grades import NOUNS, UNITS, Unit, graded
from rtk.experiments.analysis.outcomes import ABSTAINED, FAILED, RIGHT, SCORED, SIGNS, WRONG, ended, known_labels
from rtk.experiments.analysis.telling import amount, counted, share
from rtk.experiments.records.records import Records
from rtk.experiments.tables import text_table

Order = Literal["disagreement", "hardest", "task"]
ORDERS = {
    "disagreement": "the questions on which the settings differ most come first",
    "hardest": "the questions that fewest settings got right come first",
    "task": "the questions stand in the order of the task",
}
WAYS = (RIGHT, WRONG, SCORED, ABSTAINED, FAILED)
LONG, ANSWER = 72, 24  # characters of a question and of an answer that are shown
MIXED, NOT_ASKED = "◐", "–"
_TINTS = {RIGHT: "46 134 193", WRONG: "230 126 34", ABSTAINED: "127 127 127", FAILED: "192 57 43"}
_STICKY = "position:sticky;background:var(--jp-layout-color0,Canvas);"
_LEFT = "text-align:left;vertical-align:top;"
_TOP, _SIDE = (
    f"{_STICKY}{_LEFT}top:0;z-index:1",
    f"{_STICKY}{_LEFT}left:0;min-width:min(16em,36vw);max-width:24em;white-space:normal",
)
_CORNER = f"{_STICKY}{_LEFT}top:0;left:0;z-index:2"


@dataclass(frozen=True)
class Cell:
    """A question at a setting.

    Attributes:
        ways: how its answers ended, in the words of `outcomes.py`, each with how many; one answer for each replicate.
        score: the mean of their scores; of errors 0.
        cost: the mean of an answer.
        answer: what was answered; the first where replicates differ.
    """

    ways: Mapping[str, int]
    score: float
    cost: float
    answer: str | None

    @property
    def sign(self) -> str:
        """Of how it ended."""
        return SIGNS[next(iter(self.ways))] if len(self.ways) == 1 else MIXED

    @property
    def said(self) -> str:
        """How it ended, in words: `right`, `right ×3`, `2 right, 1 wrong`, `0.70`."""
        if self.ways.keys() <= {SCORED}:
            return share(self.score)
        if len(self.ways) == 1:
            ((way, many),) = self.ways.items()
            return way if many == 1 else f"{way} ×{many}"
        return ", ".join(f"{many} {way}" for way, many in self.ways.items())


@dataclass(frozen=True, repr=False)
class Grid:
    """Questions down, settings across.

    Shows itself as a table that reads without a stylesheet, too: every cell says in a sign and in a word how the
    answer ended, then what it cost. A wrong answer is quoted.

    Attributes:
        title: of what it is.
        settings: the columns.
        frame: a row for each cell, questions in the order wanted, all of them; see `to_frame`.
        shown: how many questions are shown, the first ones.
        order: of the questions.
        cost: the unit of the costs.
    """

    title: str
    settings: list[str]
    frame: Any
    shown: int
    order: Order
    cost: Unit

    def to_frame(self) -> Any:
        """A pandas frame with a row for each question and setting, also of questions that are not shown.

        Columns: `example`, `question`, `gold`, `setting`, how many answers were `right`, `wrong`, `scored`, `abstained`
        and `failed`, the mean `score`, the mean cost under the name of its unit, and `answer`.
        """
        return self.frame.copy()

    @property
    def questions(self) -> int:
        """How many there are."""
        return int(self.frame["example"].nunique())

    def cells(self) -> list[tuple[tuple[str, str, str | None], list[Cell | None]]]:
        """The questions that are shown, as id, text and gold answer, each with its cell for each setting, or None."""
        places = {label: place for place, label in enumerate(self.settings)}
        found: dict[str, tuple[tuple[str, str, str | None], list[Cell | None]]] = {}
        ids = list(dict.fromkeys(self.frame["example"]))[: self.shown]
        for one in self.frame[self.frame["example"].isin(ids)].to_dict("records"):
            line = found.setdefault(
                one["example"], ((one["example"], one["question"], one["gold"]), [None] * len(self.settings))
            )
            ways = {way: int(one[way]) for way in WAYS if one[way]}
            line[1][places[one["setting"]]] = Cell(ways, one["score"], one[self.cost], one["answer"])
        return [found[name] for name in ids]

    def totals(self) -> list[str]:
        """How all questions together ended at each setting, and what an answer cost."""
        return [self._total(self.frame[self.frame["setting"] == label]) for label in self.settings]

    def _total(self, part: Any) -> str:
        many = int(part[list(WAYS)].to_numpy().sum())
        if not many:
            return "not asked"
        weights = part[list(WAYS)].sum(axis=1)
        score = f"mean score {share(float((part['score'] * weights).sum() / many))}"
        right = f"{int(part[RIGHT].sum()):,} of {many:,} right" if not part[SCORED].any() else score
        cost = part[self.cost].mean()
        return right if isnan(cost) else f"{right}, {_amount(cost)} {NOUNS[self.cost]} each"

    def _notes(self) -> list[str]:
        left = self.questions - self.shown
        more = [f"{counted(left, 'question')} more {'is' if left == 1 else 'are'} not shown (questions=None shows all)"]
        order = [ORDERS[self.order]] * (self.shown > 1)
        return [*order, f"the last figure of a cell is {UNITS[self.cost]} of an answer", *(more if left > 0 else [])]

    def __repr__(self) -> str:
        rows = [self._line(said, cells) for said, cells in self.cells()]
        notes = "; ".join(self._notes())
        return f"{self.title}\n{text_table(rows)}\n{notes[:1].upper()}{notes[1:]}."

    def _line(self, said: tuple[str, str, str | None], cells: list[Cell | None]) -> dict[str, str]:
        known = zip(self.settings, cells, strict=True)
        told = {label: NOT_ASKED if one is None else f"{one.sign} {one.said} {_cost(one)}" for label, one in known}
        return {"question": _glimpse(said[1], 40), **{label: text.strip() for label, text in told.items()}}

    def _repr_html_(self) -> str:
        heads = [
            element("th", label, *_below(total), scope="col", style=_TOP)
            for label, total in zip(self.settings, self.totals(), strict=True)
        ]
        head = element("tr", element("th", "question", scope="col", style=_CORNER), *heads)
        body = [element("tr", _head(*said), *map(_drawn, cells)) for said, cells in self.cells()]
        table = element("table", element("thead", head), element("tbody", *body), aria_label=self.title)
        around = "overflow:auto;max-height:44em;max-width:100%"
        label = f"{self.title}; scrolls"
        scrolled = element("div", table, style=around, tabindex="0", role="region", aria_label=label)
        notes = "; ".join(self._notes())
        title, note = element("p", element("b", self.title)), element("p", f"{notes[:1].upper()}{notes[1:]}.")
        return str(element("div", title, scrolled, note, class_="rtk-grid"))


def grid(
    records: Records,
    questions: int | Sequence[str] | None = 50,
    settings: Sequence[str] | None = None,
    *,
    order: Order = "disagreement",
    cost: Unit = "tokens",
) -> Grid:
    """Questions down, settings across; right, wrong, abstained or failed, and the cost, in each cell.

    Errors and abstentions have cells of their own kind, and count as wrong in the order.

    Args:
        records: what a sweep found.
        questions: how many to show, the ids of those wanted, or None for all.
        settings: labels of those wanted; all without.
        order: `"disagreement"` (where settings differ most, first), `"hardest"`, or `"task"`.
        cost: `"tokens"` (read and written), `"dollars"`, `"seconds"` or `"flops"`; a dash where it is not known.

    Raises:
        RTKError: for a setting, question, order or cost that there is not.
    """
    for name, value, known in (("order", order, get_args(Order)), ("cost", cost, get_args(Unit))):
        if value not in known:
            raise RTKError(f"there is no {name} {value!r:.60}", mend=f"one of {', '.join(known)}")
    labels = known_labels(records, settings)
    frame = _cells(records, labels, cost)
    if questions is not None and not isinstance(questions, int):
        frame = frame[frame["example"].isin(_known(frame, list(questions)))]
    frame = _ordered(frame, order).reset_index(drop=True)
    there = int(frame["example"].nunique())
    shown = min(there, max(0, questions)) if isinstance(questions, int) else there
    title = f"{records.task}, {counted(len(labels), 'setting')}"
    return Grid(title, labels, frame, shown, order, cost)


def _known(frame: Any, wanted: list[str]) -> list[str]:
    there = set(frame["example"])
    if missing := [name for name in wanted if name not in there]:
        raise RTKError(f"there is no question {missing[0]!r:.100}", mend="an id from results.examples()['example']")
    return wanted


def _cells(records: Records, labels: list[str], cost: Unit) -> Any:
    """A row for each question and setting, in the order of the sweep."""
    import pandas as pd

    frame = ended(records, "setting", "example", "question", "gold", "answer")
    costs = graded(records, cost)
    frame["score"], frame[cost] = costs["score"].fillna(0.0), costs[cost].astype(float)
    frame = frame[frame["setting"].isin(labels)].copy()
    for way in WAYS:
        frame[way] = (frame["outcome"] == way).astype(int)
    frame.loc[frame["outcome"] == FAILED, "score"] = 0.0
    keys = ["setting", "example"]
    kept = frame.drop_duplicates(keys)[["example", "question", "gold", "setting", "answer"]]
    sums = frame.groupby(keys, sort=False)[list(WAYS)].sum()
    means = frame.groupby(keys, sort=False)[["score", cost]].mean()
    answer = kept.pop("answer")
    joined = kept.join(pd.concat([sums, means], axis=1), on=keys)
    return joined.assign(answer=answer)


def _ordered(frame: Any, order: Order) -> Any:
    """The questions in an order, those that are alike in that of the task; the settings in theirs."""
    wanted = list(dict.fromkeys(frame["example"]))
    if order != "task":
        found = frame.groupby("example", sort=False)
        keys = found["score"].agg(["mean", "var"]).loc[wanted].fillna(0.0).round(9)
        keys["ways"] = (found[list(WAYS)].max() > 0).sum(axis=1)
        by, up = (["var", "ways", "mean"], [False, False, True]) if order == "disagreement" else (["mean"], [True])
        wanted = list(keys.sort_values(by, ascending=up, kind="stable").index)
    place = {name: at for at, name in enumerate(wanted)}
    return frame.assign(place=frame["example"].map(place)).sort_values("place", kind="stable").drop(columns="place")


# --- how it looks ---


def _glimpse(text: str | None, most: int) -> str:
    one = " ".join(str(text or "")[: 4 * most].split())
    return one if len(one) <= most else f"{one[: most - 1].rstrip()}…"


def _cost(cell: Cell) -> str:
    return "" if isnan(cell.cost) else _amount(cell.cost)


def _amount(cost: float) -> str:
    return amount(int(cost) if cost == int(cost) else float(cost))


def _below(total: str) -> list[Markup]:
    """What stands under a setting, each part on a line of its own."""
    parts = (element("small", part, style="font-weight:normal;white-space:nowrap") for part in total.split(", "))
    return [piece for part in parts for piece in (element("br"), part)]


def _head(name: str, question: str | None, gold: str | None) -> Markup:
    """The question at the left of its row, with its gold answer."""
    said = [element("bdi", _glimpse(question, LONG) or name)]
    if gold is not None:
        said += [element("br"), element("small", "gold: ", element("bdi", _glimpse(gold, ANSWER)))]
    return element("th", *said, scope="row", style=f"{_SIDE};font-weight:normal", title=name)


def _drawn(cell: Cell | None) -> Markup:
    if cell is None:
        return element("td", NOT_ASKED, element("small", " not asked"), style=_LEFT)
    told = [text for text in (_quoted(cell), _cost(cell)) if text]
    below = [element("br"), element("small", *_between(told))] if told else []
    sign = element("span", cell.sign, aria_hidden="true")
    return element("td", element("b", sign, " ", cell.said), *below, style=f"{_LEFT}white-space:nowrap;{_tint(cell)}")


def _between(parts: list[Any]) -> list[Any]:
    return [piece for at, part in enumerate(parts) for piece in ((" · ", part) if at else (part,))]


def _quoted(cell: Cell) -> Markup | None:
    """The answer, unless it was right."""
    if cell.answer is None or cell.ways.keys() <= {RIGHT}:
        return None
    return fragment("“", element("bdi", _glimpse(cell.answer, ANSWER)), "”")


def _tint(cell: Cell) -> str:
    """A colour behind it, which a reader can do without."""
    colour = _TINTS.get(next(iter(cell.ways))) if len(cell.ways) == 1 else None
    return f"background:rgb({colour} / 18%)" if colour else ""
