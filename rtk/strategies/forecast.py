"""A forecast: what a call would ask and cost, before it is made; as data, as a line and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtk._html import Markup, element


class Span(NamedTuple):
    """The least and the most that something can come to."""

    least: float
    most: float

    def __str__(self) -> str:
        return self.written("{:,.0f}")

    def written(self, form: str) -> str:
        """As one number where there is one, else as two."""
        ends = form.format(self.least), form.format(self.most)
        return ends[0] if ends[0] == ends[1] else "–".join(ends)


@dataclass(frozen=True)
class Forecast:
    """What a call would ask and cost; nothing was asked and nothing is spent. See `Strategy.estimate`.

    Tokens, dollars and seconds are those of the samples that would be drawn: what is stored costs nothing again.

    Attributes:
        calls: asks of a predictor, however many samples each.
        samples: samples consulted, those that are stored included.
        stored: how many of them are stored, where the most are consulted.
        to_draw: samples that would be drawn.
        prompt_tokens: tokens read.
        completion_tokens: tokens written; None where nothing tells how many.
        dollars: None where a price is unknown, never 0 for that.
        seconds: along the longest path of asks, and no shorter than the model's `concurrency` allows; of several
            questions, one after the other. None where nothing is stored that took time.
        exact: whether calls and samples are known, so that least and most are one.
        bounded: whether the most was found; False where more may be asked than is counted, since
            a module asks by itself, or a flow that was rehearsed did not come to its end.
        stopped: the unit of a budget that would end it; None where none would.
        questions: how many it is about.
        rehearsed: how many of them were looked at; the sums are scaled where that is fewer.
        notes: what is not known, or assumed, each in a sentence.
    """

    calls: Span
    samples: Span
    stored: int
    to_draw: Span
    prompt_tokens: Span
    completion_tokens: Span | None
    dollars: Span | None
    seconds: Span | None
    exact: bool
    bounded: bool
    stopped: str | None = None
    questions: int = 1
    rehearsed: int = 1
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> Span | None:
        """Tokens read and written."""
        read, written = self.prompt_tokens, self.completion_tokens
        return None if written is None else Span(read.least + written.least, read.most + written.most)

    def __str__(self) -> str:
        about = "" if self.bounded else "at least "
        said = [f"{about}{_counted(self.samples, 'sample')} ({self.stored:,} stored, {self.to_draw} to draw)"]
        said[0] += f" in {_counted(self.calls, 'call')}"
        said += [self._tokens(), self._dollars(), self._seconds()]
        if self.stopped:
            said.append(f"a budget of {self.stopped} ends it")
        if self.questions != 1:
            said.append(f"{self.questions:,} questions")
        if self.rehearsed < self.questions:
            said[-1] += f", of which {self.rehearsed:,} were rehearsed"
        return ", ".join(said)

    def _tokens(self) -> str:
        return "tokens unknown" if self.tokens is None else f"about {self.tokens} tokens"

    def _dollars(self) -> str:
        return "price unknown (price=)" if self.dollars is None else f"${self.dollars.written('{:,.4f}')}"

    def _seconds(self) -> str:
        return "time unknown" if self.seconds is None else f"{self.seconds.written('{:,.1f}')} s"

    def _repr_html_(self) -> str:
        rows = [
            ("samples", f"{'' if self.bounded else 'at least '}{self.samples}"),
            ("stored", f"{self.stored:,}"),
            ("to draw", self.to_draw),
            ("calls", self.calls),
            ("tokens read", self.prompt_tokens),
            ("tokens written", "unknown" if self.completion_tokens is None else self.completion_tokens),
            ("dollars", self._dollars()),
            ("time", self._seconds()),
            ("ended by", None if self.stopped is None else f"a budget of {self.stopped}"),
            ("questions", None if self.questions == 1 else f"{self.questions:,} ({self.rehearsed:,} rehearsed)"),
        ]
        table = element("table", element("tbody", *(_row(*row) for row in rows if row[1] is not None)))
        notes = element("ul", *(element("li", element("small", note)) for note in self.notes)) if self.notes else None
        return element("div", table, notes)


def _counted(span: Span, what: str) -> str:
    return f"{span} {what}" if span == (1, 1) else f"{span} {what}s"


def _row(name: str, value: object) -> Markup:
    style = "text-align:left;padding:.1em .7em .1em 0"
    return element("tr", element("th", name, scope="row", style=style), element("td", value, style=style))
