"""A search over passages: ranked by words, by embeddings or by both; equal ones in the order of the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rtk.errors import RetrievalError
from rtk.retrieval.confidence import Ranking, confidence
from rtk.retrieval.conversation import Asked, asked
from rtk.retrieval.embedding import Dense, Embed
from rtk.retrieval.lexical import Lexical
from rtk.retrieval.passages import Entry, Passage
from rtk.retrieval.words import Words, spelled

SEARCHES = ("bm25", "embeddings", "hybrid")
FUSION = 60
"""The constant of reciprocal rank fusion, as Cormack, Clarke and Büttcher (2009) have it."""


class Search:
    """An index over passages that is built once and never changes, so that copies and threads share it.

    Args:
        entries: the passages.
        words: how text becomes terms.
        kind: one of `SEARCHES`; None is `"hybrid"` where there is `embed`, else `"bm25"`.
        embed: what makes embeddings; see `Dense`.

    Raises:
        RetrievalError: another kind, or one that needs `embed` without it; and as `Dense`.
    """

    def __init__(self, entries: Sequence[Entry], words: Words, kind: str | None, embed: Embed | str | None) -> None:
        self.kind = _kind(kind, embed)
        self.entries = tuple(entries)
        self._words = words
        self._lexical = Lexical(self.entries, words)
        self._dense = Dense([entry.text for entry in entries], embed) if embed and self.kind != "bm25" else None
        self._asked_so: dict[str, list[int]] = {}
        for index, entry in enumerate(self.entries):
            if entry.pair:
                self._asked_so.setdefault(spelled(entry.title), []).append(index)

    def __deepcopy__(self, memo: Any) -> Self:
        """Itself: nothing in it changes."""
        return self

    def search(self, question: str, k: int, history: Any = None) -> list[Passage]:
        """At most `k` passages, best first; see `Retriever.search`."""
        wanted = asked(question, history, self._words, self._lexical.holds)
        rankings = self._rankings(wanted)
        scores = rankings[0].scores.copy() if len(rankings) == 1 else fused(rankings)
        exact = self._asked_so.get(spelled(question), [])
        sure = {index: 1.0 / len(exact) for index in exact}
        scores[exact] = scores.max() + 1.0
        return [
            self.entries[place].found(float(scores[place]), sure.get(place) or confidence(rankings, place))
            for place in order(scores)[:k]
        ]

    def _rankings(self, wanted: Asked) -> list[Ranking]:
        ranked = []
        if self.kind != "embeddings":
            ranked.append(self._lexical.ranking(wanted.terms))
        if self._dense is not None:
            ranked.append(self._dense.ranking(wanted.text))
        return ranked


def _kind(kind: str | None, embed: Embed | str | None) -> str:
    found = kind or ("hybrid" if embed is not None else "bm25")
    if found not in SEARCHES:
        raise RetrievalError(f"search={kind!r:.60}", mend=f"one of {', '.join(map(repr, SEARCHES))}")
    if found != "bm25" and embed is None:
        raise RetrievalError(
            f"search={found!r} needs embeddings",
            mend="embed= a function from a list of texts to a matrix, such as dspy.Embedder, or the name of a "
            "sentence-transformers model",
        )
    if embed is not None and not isinstance(embed, str) and not callable(embed):
        raise RetrievalError(f"embed={embed!r:.60}", mend="a function, or the name of a sentence-transformers model")
    return found


def order(scores: np.ndarray) -> list[int]:
    """The places of the scores above 0, highest first, equal ones as they stand."""
    above = np.flatnonzero(scores > 0)
    return above[np.argsort(-scores[above], kind="stable")].tolist()


def fused(rankings: Sequence[Ranking]) -> np.ndarray:
    """Rankings put together by reciprocal ranks: of each passage the sum of 1 / (60 + its rank)."""
    found = np.zeros(len(rankings[0].scores))
    for ranking in rankings:
        places = order(ranking.scores)
        found[places] += 1.0 / (FUSION + np.arange(1, len(places) + 1))
    return found
