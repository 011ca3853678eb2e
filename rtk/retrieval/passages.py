"""A passage: what a retriever finds; and what of a source is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as it was found for a question.

    Attributes:
        id: of its row, or made of its place in the source; no two passages of a retriever share one.
        text: what a model is shown: a pair's question and answer, or the passage under its heading.
        question: of a pair; else None.
        answer: of a pair; else None.
        source: the file, row or id that a citation names.
        score: the engine's; only passages found for the same question compare by it.
        confidence: from 0 to 1, whether this passage is the right one; comparable between questions.
    """

    id: str
    text: str
    question: str | None = None
    answer: str | None = None
    source: str = ""
    score: float = 0.0
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of a source that is no passage.

    Attributes:
        source: which file or row.
        reason: why.
    """

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage as it was read, before anybody asked.

    Attributes:
        id: as `Passage` has it.
        title: a pair's question, or the heading that a text stands under; may be empty.
        body: a pair's answer, or the text.
        source: as `Passage` has it.
        pair: whether it is a question and its answer.
    """

    id: str
    title: str
    body: str
    source: str
    pair: bool

    @property
    def text(self) -> str:
        """What a model is shown."""
        return f"{self.title}\n{self.body}" if self.title else self.body

    def found(self, score: float, confidence: float) -> Passage:
        """It as a passage that was found."""
        question, answer = (self.title, self.body) if self.pair else (None, None)
        return Passage(self.id, self.text, question, answer, self.source, score, confidence)
