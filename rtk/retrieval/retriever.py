"""The retriever: passages for a question, best first, with a confidence; no model is asked."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

import dspy

from rtk.errors import RetrievalError
from rtk.retrieval.embedding import Embed
from rtk.retrieval.page import drawn
from rtk.retrieval.passages import Dropped, Passage
from rtk.retrieval.searching import Search
from rtk.retrieval.sources import read
from rtk.retrieval.words import Words


class Retriever(dspy.Module):
    """Passages that answer a question, found in a list, a table, or a folder of texts.

    It is a `dspy.Module` that asks no language model: the same question finds the same passages in every process, and
    many threads may search at once. It has no parameters, so optimizers and saved programs pass it by.

    A passage's `confidence` says whether it is the right one, and compares between questions as a `score` does not. It
    is `match · (½ + ½ · margin)`, where the margin is how far its score is ahead of the best other one, as a share of
    it. Of a search by words the match is `agreement · (1 − exp(−met / (2 · ln(1 + passages))))`. Here `met` is the
    information, in nats, of the question's words that the passage has, a word's being BM25's inverse document
    frequency `ln(1 + (passages − having + ½) / (having + ½))`: some common words are little evidence, however well they
    fit. And `agreement` is the mean of two shares, by that information: of the question's words, those the passage
    has; and of the words in its own question or heading, those the question has. (Of a passage without one it is the
    first share.) Of a search by embeddings the match is `(cosine − usual) / (1 − usual)`, at least 0, where `usual` is
    the median cosine between passages. A hybrid's confidence is the mean of both. A passage whose own question is asked
    word for word has 1, or 1/n where n of them have that question; its score is the best plus 1. How well this tells
    right passages from wrong ones differs with the texts: measure it with `rtk.statistics.auroc` before you set a
    threshold on it.

    Args:
        source: pairs of a question and its answer (a list of tuples, of mappings, of `dspy.Example`s), a list of texts,
            a pandas frame, the path of a table (`.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`), or of a text (`.md`,
            `.txt`, …) or a folder of texts, which are cut into passages at headings and blank lines.
        k: how many passages to find.
        search: `"bm25"`, by words (Robertson and Walker, 1994); `"embeddings"`, by meaning; or `"hybrid"`, both, put
            together by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009). By default `"hybrid"` where there
            is `embed=`, else `"bm25"`.
        embed: a function from a list of texts to a matrix with a row for each, such as a `dspy.Embedder`; or the name
            or folder of a sentence-transformers model (`pip install 'rtk-inference[embeddings]'`). The passages are
            embedded once, here. With `search="bm25"` it is never called.
        question: the column of the questions; guessed where it is obvious, as the next two.
        answer: the column of the answers.
        text: the column of the texts, of a table that holds no pairs.
        words: how long a passage of a file of text may be.
        language: whose word endings and stop words are left aside: a name of Snowball's such as `"german"`; None for
            none of that.

    Attributes:
        dropped: what of the source is no passage, and why: a list of `Dropped`.

    Raises:
        RetrievalError: for a source that cannot be read or holds no passage, an argument that cannot be, or an `embed`
            that fails.
        MissingExtra: a model is named and sentence-transformers is not installed.
    """

    def __init__(
        self,
        source: Any,
        *,
        k: int = 3,
        search: str | None = None,
        embed: Embed | str | None = None,
        question: str | None = None,
        answer: str | None = None,
        text: str | None = None,
        words: int = 150,
        language: str | None = "english",
    ) -> None:
        super().__init__()
        self.k = _whole("k", k)
        found = read(source, words=_whole("words", words), question=question, answer=answer, text=text)
        self._dropped = found.dropped
        self._name = found.name
        self._searched = Search(found.entries, Words(language), search, embed)

    def search(self, question: str, k: int | None = None, *, history: Any = None) -> list[Passage]:
        """The passages that a question finds, best first; equal ones in the order of the source.

        Args:
            question: what somebody asks; any text.
            k: how many at most, in place of the retriever's own; fewer where fewer have anything in common with it.
            history: what was said before, as a `dspy.History`, its messages, or a list of the user's texts. It helps a
                question with fewer than 2 terms that the passages know, or fewer than 4 where it goes on ("and …") or
                points back ("it"): the terms of the user's last 3 turns count, too, by 1/2, 1/4 and 1/8. Any other
                question is searched for alone.

        Raises:
            RetrievalError: the question is no text, `k` no whole number from 1 on, or `history` no conversation.
        """
        if not isinstance(question, str):
            raise RetrievalError(f"question={question!r:.60}: no text", mend='retriever.search("…")')
        return self._searched.search(question, self.k if k is None else _whole("k", k), history)

    def forward(
        self, question: str | None = None, query: str | None = None, *, history: Any = None, k: int | None = None
    ) -> dspy.Prediction:
        """As DSPy's retrievers: `passages`, the texts found, best first; and `answer`, of the first of them.

        The answer is a pair's answer, or the passage's text; None where nothing was found.

        Args:
            question: what somebody asks.
            query: the same, as DSPy's retrievers call it.
            history: what was said before; see `search`.
            k: how many at most.

        Raises:
            RetrievalError: neither or both of `question` and `query` are given; and as `search`.
        """
        return self._predicted(question, query, history, k)

    async def aforward(
        self, question: str | None = None, query: str | None = None, *, history: Any = None, k: int | None = None
    ) -> dspy.Prediction:
        """As `forward`; embeddings are waited for on a thread of their own."""
        if self._searched.kind == "bm25":
            return self._predicted(question, query, history, k)
        return await to_thread(self._predicted, question, query, history, k)

    def _predicted(self, question: str | None, query: str | None, history: Any, k: int | None) -> dspy.Prediction:
        if (question is None) == (query is None):
            raise RetrievalError("a question is needed, once", mend="retriever(question=…), or retriever(query=…)")
        found = self.search(query if question is None else question, k, history=history)  # pyright: ignore
        first = found[0] if found else None
        answer = first and (first.text if first.answer is None else first.answer)
        return dspy.Prediction(passages=[passage.text for passage in found], answer=answer)

    @property
    def dropped(self) -> list[Dropped]:
        """What of the source is no passage, and why."""
        return list(self._dropped)

    def __len__(self) -> int:
        return len(self._searched.entries)

    def __repr__(self) -> str:
        return f"Retriever({self._summary()})"

    def _repr_html_(self) -> str:
        return drawn(self._summary(), self._dropped)

    def _summary(self) -> str:
        size = len(self)
        source = f" of {self._name}" if self._name else ""
        return f"{size:,} passage{'s' * (size != 1)}{source}, search={self._searched.kind!r}, k={self.k}"


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RetrievalError(f"{name}={value!r:.60}", mend="a whole number from 1 on")
    return value
