"""Handing over: what a person is told who takes over a question that no level of a cascade may answer.

It is composed from the route, by code: nothing in it is made up, and what a model wrote stands in quotation marks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from rtk._html import Markup, element, lines, visible
from rtk.retrieval import Passage
from rtk.strategies.routes import Level, Route
from rtk.strategies.unmentioned import unmentioned

QUESTION = 800  # characters of the question
TURN = 400  # of one turn of the conversation
TURNS = 8  # turns that are shown, the last ones
ANSWER = 300  # of an answer that was not given
PASSAGE = 240  # of a passage
PASSAGES = 3
NEAR = 0.1  # confidence of a passage that may help

LIMITS = {
    "seconds": "the time allowed for it was over",
    "dollars": "the money allowed for it was spent",
    "tokens": "what the model may read and write for it was used up",
    "samples": "the number of attempts allowed for it was used up",
    "calls": "the number of requests allowed for it was used up",
    "closed": "the work on it was called off",
}
WAYS = {
    "Predict": "answered at once",
    "ChainOfThought": "reasoned step by step",
    "SelfConsistency": "reasoned several times and voted",
    "BestOfN": "made several attempts and took the best",
    "TreeOfThoughts": "searched through several lines of reasoning",
    "SelfRefine": "drafted and revised",
    "AdaptiveEffort": "reasoned as long as it seemed hard",
}
OTHER = "was asked"


@dataclass(frozen=True, repr=False)
class HandOver:
    """A question for a person: what was asked, what was tried and why it was not given, and what may help.

    Attributes:
        question: as it was asked.
        conversation: what was said before, each turn with who said it, the oldest first.
        details: the other inputs of the call, by name.
        why: why it is handed over, in a sentence.
        route: what each level came to.
        untried: the levels that it did not come to.
        passages: the nearest ones that were found.
        missing: words of the question that none of them has.
        seconds: how long whoever asked has waited: the replies of models, as long as they took when they were drawn,
            and whole seconds of tools, level after level; looking up takes no time to speak of.
        dollars: what it cost; None where that is unknown.
        replies: how many replies of a model were read.
    """

    question: str
    conversation: tuple[tuple[str, str], ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    why: str = ""
    route: Route = field(default_factory=Route)
    untried: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float = 0.0
    dollars: float | None = 0.0
    replies: int = 0

    @property
    def message(self) -> str:
        """All of it as plain text, for a ticket, a mail or a terminal."""
        parts = [f"A question for a person. {self.why}", _titled("The question", _quoted(self.question, QUESTION))]
        if self.details:
            parts.append(_titled("Given with it", "\n".join(f"- {_line(n)}: {_line(v)}" for n, v in self.details)))
        if self.conversation:
            parts.append(_titled("Said before", _conversation(self.conversation)))
        tried = "\n".join(f"{number}. {one}" for number, one in enumerate(self.tried, 1))
        parts.append(_titled("What was tried", tried or "Nothing."))
        if self.untried:
            parts.append(f"Not tried any more: {', '.join(map(_line, self.untried))}.")
        if self.nearest:
            found = "\n".join(_passage(number, one) for number, one in self.nearest.items())
            parts.append(_titled(self._heading, found))
        if self.missing:
            parts.append(self._unmentioned)
        return "\n\n".join([*parts, self.cost])

    @property
    def nearest(self) -> dict[int, Passage]:
        """The passages that are worth a look, by the number under which levels were shown them.

        Where none is near, these are the nearest one and those that an answer cites.
        """
        near = bool(self.passages) and self._is_near
        cited = [one for level in self.route if level.kind != "retrieval" and level.cited for one in level.sources]
        shown = enumerate(self.passages, 1)
        return {n: one for n, one in shown if n == 1 or one in cited or (near and n <= PASSAGES)}

    @property
    def _is_near(self) -> bool:
        """Whether the first passage is worth a look: one that nobody rated may be."""
        first = self.passages[0]
        return first.confidence >= NEAR or first.score == first.confidence == 0

    @property
    def _unmentioned(self) -> str:
        who = "None of these entries" if len(self.nearest) > 1 else "This entry does not"
        return f"{who} {'mentions' if len(self.nearest) > 1 else 'mention'}: {', '.join(self.missing)}."

    @property
    def _heading(self) -> str:
        if not self._is_near:
            return (
                "The nearest entries, though none is close"
                if len(self.nearest) > 1
                else "The nearest entry, though not close"
            )
        return "Nearest entries, which may help" if len(self.nearest) > 1 else "Nearest entry, which may help"

    @property
    def tried(self) -> tuple[str, ...]:
        """What each level came to, a sentence or two each; those that were not asked are left out."""
        return tuple(_tried(one, self.nearest) for one in self.route if one.asked)

    @property
    def cost(self) -> str:
        """How long whoever asked has waited, and what it cost, in two sentences."""
        waited = "less than a second" if self.seconds < 1 else _amount(round(self.seconds), "second")
        if self.seconds >= 90:
            waited = _amount(round(self.seconds / 60), "minute")
        money = f"${self.dollars:.4f} for " if self.dollars else ""
        replies = _amount(self.replies, "model reply", "model replies") if self.replies else "no model reply"
        return f"Waiting time so far: {waited}. Cost: {money}{replies}."

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"HandOver({_short(self.question, 60)!r}, {len(self.tried)} levels tried)"

    def _repr_html_(self) -> str:
        return str(_page(self))


def handed_over(
    question: str, inputs: Mapping[str, Any], route: Route, untried: Sequence[str], history: Any, asked_by: str
) -> HandOver:
    """The record for whoever takes over.

    Args:
        question: what was asked.
        inputs: of the call.
        route: what each level came to.
        untried: the levels that it did not come to.
        history: the conversation before; None for none.
        asked_by: the input field that holds the question.
    """
    found = [passage for one in route for passage in one.passages]
    nearest = tuple({passage.text: passage for passage in reversed(found)}.values())[::-1]
    stopped = next((one.cut for one in route if one.cut is not None), None)
    money = [one.spent.dollars for one in route]
    rest = {name: value for name, value in inputs.items() if name != asked_by and not isinstance(value, dspy.History)}
    return HandOver(
        question,
        tuple(_turns(history, asked_by)),
        tuple((name, str(value)) for name, value in rest.items() if str(value).strip()),
        _why(question, route, stopped),
        route,
        tuple(untried),
        nearest,
        tuple(unmentioned(question[:QUESTION], [one.text for one in nearest[:PASSAGES]])),
        sum(_waited(one) for one in route),
        None if None in money else sum(one or 0.0 for one in money),
        sum(one.samples for one in route),
    )


def _waited(one: Level) -> float:
    """Seconds of a level that count as waiting; in a replay they are the same."""
    if one.kind == "retrieval":
        return 0.0
    return float(int(one.seconds)) if one.kind == "function" else one.seconds


def _why(question: str, route: Sequence[Level], stopped: str | None) -> str:
    """Why it is handed over, in a sentence."""
    if not question.strip():
        return "There is nothing in it to answer."
    if stopped is not None:
        return f"It could not be finished: {LIMITS.get(stopped, f'the limit of {stopped} was reached')}."
    asked = [one for one in route if one.asked]
    if not asked:
        return "So far such questions are answered by persons only."
    if all(one.failed for one in asked):
        return "Nothing that could have answered it is working at the moment."
    looked, others = (
        [one for one in asked if one.kind == "retrieval"],
        [one for one in asked if one.kind != "retrieval"],
    )
    said = ["the collected answers have nothing that is near enough"] if any(not one.failed for one in looked) else []
    unsure = [one for one in others if one.answered]
    if unsure:
        said.append("no other answer is sure enough to be given" if said else "no answer is sure enough to be given")
    elif any(one.unknown for one in others):
        said.append("the model says that it does not know")
    broken = [_line(one.name) for one in asked if one.failed]
    said += [f"{' and '.join(broken)} did not work"] if broken else []
    return f"{_capital(_joined(said))}." if said else "No answer was found."


def _joined(said: Sequence[str]) -> str:
    return ", and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0] if said else ""


# --- what was tried ---


def _tried(one: Level, passages: Mapping[int, Passage]) -> str:
    """What a level came to, for a reader."""
    what = {"retrieval": "a look-up in the collected answers", "function": "a tool"}.get(one.kind)
    who = f"{_line(one.name)} ({what or f'the model {WAYS.get(one.kind, OTHER)}'})"
    if one.unknown:
        return f"{who}: it says that it cannot answer: {_inline(one.answer, ANSWER)}."
    if one.answer is None:
        return f"{who}: {_no_answer(one)}."
    if one.kind == "retrieval":
        best = one.passages[0].text
        place = next((number for number, passage in passages.items() if passage.text == best), None)
        if place is None:
            return f"{who}: the nearest is {_inline(one.passages[0].question or best, ANSWER)}. {_not_given(one)}"
        return f"{who}: the nearest is entry {place} below. {_not_given(one)}"
    notes = "".join(f" {_capital(_line(note))}." for note in one.notes)
    places = [str(number) for number, passage in passages.items() if passage in one.sources]
    cites = f" It cites {_listed(places, 'entry', 'entries')} below." if one.cited and places else ""
    return f"{who}: it says {_inline(one.answer, ANSWER)}. {_not_given(one)}{cites}{notes}"


def _not_given(one: Level) -> str:
    agreed = one.votes
    if one.cut:
        told = "" if agreed is None else f", when {_agreed(*agreed)}"
        return f"It was stopped before it was done{told}."
    if one.confidence is None:
        reliable = not isinstance(one.threshold, bool)
        return f"Not given: {_line(one.reason) if reliable else 'its answers have turned out not to be reliable'}."
    sure = _sure(one) if agreed is None else f"{_agreed(*agreed)} ({_percent(one.confidence, one.threshold)})"
    if isinstance(one.threshold, bool) or one.threshold is None:
        return f"Not given: {sure}, and its answers have turned out not to be reliable."
    return f"Not given: {sure}, and {_percent(one.threshold, one.confidence)} is needed."


def _agreed(voters: int, votes: int) -> str:
    if voters == votes:
        return f"all {votes} attempts agreed" if votes > 1 else "a single attempt had said so"
    return f"its {votes} attempts all differ" if voters == 1 else f"{voters} of {votes} attempts agree"


def _no_answer(one: Level) -> str:
    kind, _, detail = one.reason.partition(": ")
    if one.cut:
        return "it was stopped before it had an answer"
    if one.failed and one.kind in ("retrieval", "function"):
        return f"it did not work ({_short(one.reason, 120)})"
    if one.failed:
        return f"it did not reply ({_short(_cause(one.reason), 120)})"
    known = {
        "malformed": "its reply could not be read",
        "length": "its reply broke off before the answer",
        "refused": "it refused to answer",
        "empty": "it gave no answer",
    }
    return known.get(kind) or _line(detail or one.reason)


def _cause(reason: str) -> str:
    """What a failure comes from, without the names of what it passed through."""
    return reason.rpartition(": ")[2].strip("() ")


def _sure(one: Level) -> str:
    sure: Any = one.confidence
    if one.kind == "retrieval":
        return f"the match is {_percent(sure, one.threshold)}"
    return f"it is {_percent(sure, one.threshold)} sure" if 0 <= sure <= 1 else f"it is rated {sure:.3g}"


def _percent(value: Any, beside: Any) -> str:
    """A share as a percentage, as exact as it must be to be told from another; any other number as it is."""
    if not 0 <= value <= 1:
        return f"{value:.3g}"
    number = isinstance(beside, (int, float)) and not isinstance(beside, bool)
    digits = 1 if number and value != beside and round(100 * value) == round(100 * beside) else 0
    return f"{100 * value:.{digits}f} %"


# --- what was said ---


def _turns(history: Any, asked_by: str) -> list[tuple[str, str]]:
    messages = getattr(history, "messages", history) or ()
    found: list[tuple[str, str]] = []
    for message in messages if isinstance(messages, Sequence) and not isinstance(messages, str) else ():
        if isinstance(message, str):
            found.append(("asked", message))
        elif isinstance(message, Mapping) and "role" in message:
            found.append(("asked" if message["role"] == "user" else "answered", str(message.get("content", ""))))
        elif isinstance(message, Mapping):
            told = [(name, value) for name, value in message.items() if name != "reasoning" and value is not None]
            found += [("asked" if name == asked_by else "answered" if name != "question" else "asked", str(value))
                      for name, value in told]  # fmt: skip
    return [(who, said) for who, said in found if said.strip()]


def _conversation(turns: Sequence[tuple[str, str]]) -> str:
    left = len(turns) - TURNS
    before = [f"({_amount(left, 'earlier turn')} left out)"] if left > 0 else []
    return "\n".join([*before, *(f"- {who}: {_inline(said, TURN)}" for who, said in turns[-TURNS:])])


def _passage(number: int, one: Passage) -> str:
    asked = f"{_inline(one.question, PASSAGE)} → " if one.question else ""
    said = _inline(one.text if one.answer is None else one.answer, PASSAGE)
    return f"[{number}] {asked}{said} ({_line(one.source or one.id)})"


# --- words ---


def _titled(title: str, said: str) -> str:
    return f"{title}\n{said}"


def _quoted(text: str, most: int) -> str:
    """A text of somebody else's with a mark before each line, so that none of it reads as a part of the message."""
    if not text.strip():
        return "> (it is empty)"
    return "\n".join(f"> {line}" for line in _cut(visible(text).strip(), most).split("\n"))


def _inline(text: Any, most: int) -> str:
    """A text of somebody else's in quotation marks, on one line."""
    return f"“{_short(text, most).rstrip('. ')}”"


def _short(text: Any, most: int) -> str:
    return _cut(" ".join(visible(text).split()), most)


def _line(text: Any) -> str:
    return _short(text, 160)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} … ({len(text) - most:,} more characters)"


def _amount(number: int, what: str, several: str | None = None) -> str:
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"


def _listed(numbers: Sequence[str], one: str, several: str) -> str:
    return f"{one if len(numbers) == 1 else several} {' and '.join(numbers)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- as HTML ---


def _page(one: HandOver) -> Markup:
    question = one.question.strip() or "(it is empty)"
    said = [*one.details, *one.conversation[-TURNS:]]
    found = [_passage(number, passage) for number, passage in one.nearest.items()]
    return element(
        "div",
        element("div", element("strong", "A question for a person. "), one.why),
        element("blockquote", element("bdi", lines(question, QUESTION)), style="margin:.4em 0 .4em 1em"),
        *(element("div", element("small", who), " ", element("bdi", lines(text, TURN))) for who, text in said),
        *_items("ol", "What was tried", one.tried),
        element("div", f"Not tried any more: {', '.join(one.untried)}.") if one.untried else None,
        *(_items("ul", one._heading, found) if found else ()),
        element("div", one._unmentioned) if one.missing else None,
        element("small", one.cost),
        class_="rtk-hand-over",
        style="border-left:.2em solid #d68910;padding-left:.8em;margin:.4em 0",
    )


def _items(kind: str, title: str, said: Sequence[str]) -> tuple[Markup, Markup]:
    rows = [element("li", element("bdi", one)) for one in said]
    return element("small", title), element(kind, *rows, style="margin:.1em 0 .4em")
