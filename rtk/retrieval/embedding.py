"""Search by meaning: cosines between the embeddings of a question and of the passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rtk.errors import MissingExtra, RetrievalError
from rtk.retrieval.confidence import Ranking

Embed = Callable[[list[str]], Any]

_PAIRS = 512  # passages that the background is taken from; all pairs of them


class Dense:
    """Passages by their embeddings, which are made once.

    Args:
        texts: what is embedded of each passage.
        embed: a function from a list of texts to a matrix, or the name of a sentence-transformers model.

    Raises:
        RetrievalError: the function fails or gives no matrix of finite numbers, or the model cannot be had.
        MissingExtra: a model is named and sentence-transformers is not installed.
    """

    def __init__(self, texts: Sequence[str], embed: Embed | str) -> None:
        self._embed = sentence_transformer(embed) if isinstance(embed, str) else embed
        self._vectors = embedded(list(texts), self._embed)
        self._background = _background(self._vectors)

    def ranking(self, question: str) -> Ranking:
        """What the embeddings say of a question: how much closer a passage is to it than passages to one another.

        The score of a passage is `(cosine - background) / (1 - background)`, where that is above 0; so is its match.

        Raises:
            RetrievalError: as for the passages, or the question's vector is of another length.
        """
        vector = embedded([question], self._embed)[0]
        if len(vector) != self._vectors.shape[1]:
            raise RetrievalError(
                f"embed= gave {len(vector)} numbers for a question and {self._vectors.shape[1]} for passages",
                mend="embed= must give vectors of one length",
            )
        if not question.strip():
            return Ranking(np.zeros(len(self._vectors)), lambda index: 0.0)
        cosines = np.clip(self._vectors @ vector, -1.0, 1.0)
        scores = np.clip((cosines - self._background) / (1.0 - self._background), 0.0, 1.0)
        return Ranking(scores, lambda index: float(scores[index]))


def embedded(texts: list[str], embed: Embed) -> np.ndarray:
    """The embeddings of texts, each of length 1 (or 0 where it is nought): shape (texts, dimensions)."""
    try:
        given = np.asarray(embed(texts), dtype=np.float64)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise RetrievalError(
            f"embed= failed on {len(texts)} texts: {said:.300}", mend="try it alone: embed(['a text'])"
        ) from error
    if given.ndim != 2 or len(given) != len(texts) or not given.shape[1] or not np.isfinite(given).all():
        numbers = "" if np.isfinite(given).all() else ", and not all are finite"
        raise RetrievalError(
            f"embed= gave numbers of shape {given.shape} for {len(texts)} texts{numbers}",
            mend="a matrix of finite numbers with a row for each text, such as dspy.Embedder gives",
        )
    scale = np.abs(given).max(axis=1, keepdims=True)
    given = given / np.where(scale > 0, scale, 1.0)  # squares of the largest and smallest numbers stay numbers
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return given / np.where(lengths > 0, lengths, 1.0)


def sentence_transformer(name: str) -> Embed:
    """The function of a sentence-transformers model.

    Args:
        name: as that library takes it: a name of the Hugging Face hub, or a folder.

    Raises:
        MissingExtra: the library is not installed.
        RetrievalError: the model cannot be had, for instance offline.
    """
    try:
        import sentence_transformers  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise MissingExtra(
            f"embed={name!r:.80} needs sentence-transformers", mend="pip install 'rtk-inference[embeddings]'"
        ) from error
    try:
        model: Any = sentence_transformers.SentenceTransformer(name)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RetrievalError(
            f"the embedding model {name!r:.80} cannot be had: {said:.300}",
            mend="offline, pass a folder that holds it: embed='path/of/it'; or a function from texts to a matrix",
        ) from error
    return lambda texts: model.encode(texts, show_progress_bar=False, convert_to_numpy=True)


def _background(vectors: np.ndarray) -> float:
    """The cosine that passages have with one another as a rule: the median over pairs of them, evenly taken."""
    some = vectors[np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _PAIRS)).astype(int))]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    return min(float(np.median(cosines)), 0.99) if len(cosines) else 0.0
