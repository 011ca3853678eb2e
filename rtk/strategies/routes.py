"""Routes: what each level of a cascade answered, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rtk._html import Markup, element, lines, visible
from rtk.budget import Cost, Spent
from rtk.retrieval import Passage

SHORT = 80  # characters of an answer in a table
IN_PLACE = ("retrieval", "function")
"""Levels that take real time, which is another in each run: a cell that is run again must show the same."""


@dataclass(frozen=True, repr=False)
class Level:
    """What one level of a cascade came to.

    Attributes:
        name: what the cascade calls it.
        kind: `"retrieval"` (also of a module that asks no model and found passages), `"function"`, or the class of its
            module, such as `"SelfConsistency"`.
        answer: its answer; None where it has none.
        confidence: how sure it is, as far as that is known; of a vote that a budget cut short, the low end of its
            interval.
        threshold: the confidence that its answer needs; True where any answer is accepted, False where none is.
        accepted: whether its answer is the cascade's.
        reason: why it was accepted, or why not.
        sources: the passages that its answer cites; where it cites none, those that it was shown.
        cited: whether the sources are cited.
        passages: what the level itself found, best first.
        notes: what is odd, such as citations of passages that were not shown.
        fields: all output fields that it gave.
        spent: what it cost; what an earlier level had drawn already costs nothing more.
        seconds: what its samples took when they were drawn; of retrieval and functions, what they took.
        costs: by address, what each sample costs that it rests on, also where an earlier level had drawn it.
        votes: of a vote, how many attempts say the same, and of how many.
        asked: whether it was asked.
        unknown: whether its answer says in so many words that there is none.
        failed: whether it, or what measures its confidence, did not work.
        cut: the unit of a budget that ended in it or before it; None otherwise.
    """

    name: str
    kind: str = ""
    answer: Any = None
    confidence: float | None = None
    threshold: float | bool | None = None
    accepted: bool = False
    reason: str = ""
    sources: tuple[Passage, ...] = ()
    cited: bool = False
    passages: tuple[Passage, ...] = ()
    notes: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent, compare=False)
    seconds: float = field(default=0.0, compare=False)
    costs: Mapping[str, Cost] = field(default_factory=dict, compare=False)
    votes: tuple[int, int] | None = None
    asked: bool = True
    unknown: bool = False
    failed: bool = False
    cut: str | None = None

    @property
    def samples(self) -> int:
        """Samples it consulted, without those that an earlier level had."""
        return self.spent.samples

    @property
    def tokens(self) -> int:
        """Tokens read and written, likewise."""
        return self.spent.tokens

    @property
    def dollars(self) -> float | None:
        """What that cost; None where the price is unknown."""
        return self.spent.dollars

    @property
    def answered(self) -> bool:
        """Whether it has an answer, other than that there is none."""
        return self.answer is not None and not self.unknown

    @property
    def outcome(self) -> str:
        """What became of it, in two words at most."""
        if self.accepted:
            return "accepted"
        if not self.asked:
            return "not asked"
        return "not accepted" if self.answered else "no answer"

    def __repr__(self) -> str:
        sure = "" if self.confidence is None else f", confidence={self.confidence:.2f}"
        return f"Level({self.name!r}, {_short(self.answer)!r}{sure}, {self.outcome}: {_short(self.reason)})"


class Route(tuple[Level, ...]):
    """The levels of a cascade in their order, as far as they were tried; printed as a table, with the sources."""

    __slots__ = ()

    @property
    def accepted(self) -> Level | None:
        """The level whose answer was given; None where there is none."""
        return next((one for one in self if one.accepted), None)

    @property
    def sources(self) -> dict[int, Passage]:
        """The sources of the answer that was given, by the numbers under which its level was shown them."""
        one = self.accepted
        if one is None:
            return {}
        found = one.passages or tuple({each.text: each for level in self for each in level.passages}.values())
        return {number: each for number, each in enumerate(found, 1) if each in one.sources}

    @property
    def _told(self) -> tuple[str, list[str]]:
        """The sources for a reader, with what they are."""
        title = "sources" if self.accepted is not None and self.accepted.cited else "shown, and none of it cited"
        found = self.sources.items()
        return title, [f"[{n}] {_short(one.question or one.text)} ({_short(one.source or one.id)})" for n, one in found]

    def __repr__(self) -> str:
        rows = [COLUMNS, *(_row(one) for one in self)]
        wide = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS) - 1)]
        told = ["  ".join([*(f"{one:<{w}}" for one, w in zip(row, wide, strict=False)), row[-1]]) for row in rows]
        title, sources = self._told
        return "\n".join(line.rstrip() for line in [*told, *([f"{title}: {'; '.join(sources)}"] if sources else [])])

    def _repr_html_(self) -> str:
        head = element("tr", *(_cell("th", name) for name in COLUMNS))
        body = [element("tr", *_cells(one)) for one in self]
        table = element("table", element("thead", head), element("tbody", *body), style="margin:.4em 0")
        title, sources = self._told
        items = (element("li", element("bdi", one)) for one in sources)
        listed = (element("small", title), element("ul", *items, style="margin:.1em 0 .4em;list-style:none"))
        return str(element("div", table, *(listed if sources else ())))


COLUMNS = ("level", "answer", "sure", "needed", "", "tokens", "seconds", "why")


def _row(one: Level) -> tuple[str, ...]:
    return (
        _short(one.name),
        "–" if one.answer is None else _short(one.answer),
        "–" if one.confidence is None else f"{one.confidence:.2f}",
        _needed(one),
        one.outcome,
        f"{one.tokens:,}",
        "–" if one.kind in IN_PLACE else f"{one.seconds:.1f}",
        _short(one.reason, 120),
    )


def _cells(one: Level) -> list[Markup]:
    cells = list(_row(one))
    said: list[object] = [*cells]
    said[1] = element("bdi", lines(str(one.answer).strip(), SHORT)) if one.answer is not None else "–"
    if one.accepted:
        said[0] = element("strong", cells[0])
    right = (2, 3, 5, 6)
    return [_cell("td", text, "right" if place in right else "left") for place, text in enumerate(said)]


def _cell(kind: str, said: object, side: str = "left") -> Markup:
    return element(kind, said, style=f"text-align:{side};padding:.1em .7em .1em 0;vertical-align:top")


def _needed(one: Level) -> str:
    if isinstance(one.threshold, bool):
        return "any" if one.threshold else "–"
    return "–" if one.threshold is None else f"{one.threshold:.2f}"


def _short(value: Any, most: int = SHORT) -> str:
    said = " ".join(visible(value).split())
    return said if len(said) <= most else said[: most - 1] + "…"


def less(after: Spent, before: Spent) -> Spent:
    """What was spent in between."""
    pairs = {one.name: (getattr(after, one.name), getattr(before, one.name)) for one in fields(Spent)}
    rest: dict[str, Any] = {name: None if None in pair else pair[0] - pair[1] for name, pair in pairs.items()}
    return Spent(**rest)
