"""Search by words: BM25 (Robertson and Walker, 1994), as bm25s computes it, over titles and bodies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtk.retrieval.confidence import Ranking
from rtk.retrieval.passages import Entry
from rtk.retrieval.words import Words

TITLE_WEIGHT = 2.0
"""What a title counts beside its body, in the score."""
ENOUGH = 2.0
"""How often the information that tells the passages apart must be met until a match is worth 1 - 1/e."""


class Lexical:
    """Passages by their words. A title (a pair's question, a heading) and a body are indexed separately and both count.

    Args:
        entries: the passages.
        words: how text becomes terms.
    """

    def __init__(self, entries: Sequence[Entry], words: Words) -> None:
        titles = [words.terms(entry.title) for entry in entries]
        bodies = [words.terms(entry.body) for entry in entries]
        self._size = len(entries)
        self._titles = [frozenset(title) for title in titles]
        self._terms = [frozenset(title) | frozenset(body) for title, body in zip(titles, bodies, strict=True)]
        self._holding = Counter(term for terms in self._terms for term in terms)
        fields = ((TITLE_WEIGHT, titles), (1.0, bodies))
        self._fields = [(weight, _index(texts)) for weight, texts in fields if any(texts)]

    def ranking(self, asked: Mapping[str, float]) -> Ranking:
        """What the passages' words say of a question.

        Args:
            asked: its terms, and how much each counts, at most 1.
        """
        return Ranking(self._scores(asked), lambda index: self._match(asked, index))

    def _scores(self, asked: Mapping[str, float]) -> np.ndarray:
        """The score of each passage; 0 where it shares no word with what is asked."""
        found = np.zeros(self._size)
        for counts in sorted(set(asked.values()), reverse=True):
            terms = [term for term, weight in asked.items() if weight == counts]
            for weight, index in self._fields:
                known = index.get_tokens_ids(terms)
                if known:
                    found += counts * weight * index.get_scores_from_ids(known)
        return found

    def information(self, term: str) -> float:
        """What a term tells, in nats: its inverse document frequency, as BM25 has it; most for one that is nowhere."""
        holding = self._holding[term]
        return math.log1p((self._size - holding + 0.5) / (holding + 0.5))

    def holds(self, term: str) -> bool:
        """Whether any passage has a term."""
        return term in self._holding

    def _match(self, asked: Mapping[str, float], index: int) -> float:
        """How much of a question a passage meets, from 0 to 1; see `Retriever` for the formula."""
        told = {term: weight * self.information(term) for term, weight in asked.items()}
        met = sum(worth for term, worth in told.items() if term in self._terms[index])
        if not met:
            return 0.0
        share = met / sum(told.values()) * max(asked.values())  # less, where all of it is from earlier turns
        if title := self._titles[index]:
            share = (share + self._named(title, asked)) / 2
        return share * (1.0 - math.exp(-met / (ENOUGH * math.log1p(self._size))))

    def _named(self, title: frozenset[str], asked: Mapping[str, float]) -> float:
        """The share of a title, by its information, that a question names."""
        told = {term: self.information(term) for term in sorted(title)}
        return sum(worth * asked.get(term, 0.0) for term, worth in told.items()) / sum(told.values())


def _index(texts: list[list[str]]) -> Any:
    from bm25s import BM25

    index = BM25(method="lucene")
    index.index(texts, show_progress=False)
    return index
