"""Search by meaning: an embedding function, or a model by its name; alone and beside words."""

import zlib

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtk
from rtk.errors import MissingExtra, RetrievalError

FAQ = [
    ("How do I reset my password?", "Open Settings and press Reset."),
    ("Can I get a refund?", "Within 30 days we pay all of it back."),
    ("Which phones does the app run on?", "On those made in 2019 or later."),
    ("How do I cancel my subscription?", "Under Billing, press Cancel."),
]


def trigrams(texts):
    """Texts as hashed counts of their runs of three characters: alike where words share parts. shape (texts, 512)."""
    found = np.zeros((len(texts), 512))
    for row, text in zip(found, texts, strict=True):
        padded = f"  {text.lower()} "
        for at in range(len(padded) - 2):
            row[zlib.crc32(padded[at : at + 3].encode("utf-8", "replace")) % 512] += 1
    return found


def test_embeddings_find_what_no_word_shares():
    """A misspelt word is found by the likeness of its vector, where a search by words finds nothing."""
    retriever = rtk.Retriever(FAQ, search="embeddings", embed=trigrams)
    assert rtk.Retriever(FAQ).search("passwrd resett") == []
    assert retriever.search("passwrd resett")[0].id == "1"
    assert retriever.search("subscripton cancelation")[0].id == "4"


def test_an_embedder_of_dspy_fits():
    """`embed=` takes a `dspy.Embedder`, and the passages are embedded once."""
    asked = []

    def counted(texts):
        asked.append(len(texts))
        return trigrams(texts)

    retriever = rtk.Retriever(FAQ, embed=dspy.Embedder(counted, batch_size=100, caching=False))
    assert retriever.search("refunds")[0].id == "2"
    assert retriever.search("refunds")[0].id == "2"
    assert asked == [4, 1, 1]


def test_both_are_put_together_by_reciprocal_ranks():
    """A hybrid's score is the sum of 1 / (60 + rank) over the two rankings."""
    words = [passage.id for passage in rtk.Retriever(FAQ).search("the app on my phone", 9)]
    near = [
        passage.id
        for passage in rtk.Retriever(FAQ, search="embeddings", embed=trigrams).search("the app on my phone", 9)
    ]
    both = rtk.Retriever(FAQ, embed=trigrams).search("the app on my phone", 9)
    expected = {
        one: sum(1 / (60 + ranks.index(one) + 1) for ranks in (words, near) if one in ranks) for one in {*words, *near}
    }
    assert {passage.id: passage.score for passage in both} == pytest.approx(expected)
    assert [passage.score for passage in both] == sorted(expected.values(), reverse=True)


def test_a_search_by_words_never_embeds():
    """`search="bm25"` beside `embed=` asks for no embedding."""
    retriever = rtk.Retriever(FAQ, search="bm25", embed=lambda texts: 1 / 0)
    assert retriever.search("refund")[0].id == "2"


def test_confidence_is_above_what_is_usual():
    """A passage no nearer to a question than passages are to one another is not found; one asked for is certain."""
    retriever = rtk.Retriever(FAQ, search="embeddings", embed=trigrams)
    assert retriever.search("zzzzzz qqqqqq") == []
    near, own = retriever.search("reset passwords")[0], retriever.search(FAQ[0][0])[0]
    assert 0 < near.confidence < own.confidence == 1.0


@pytest.mark.parametrize("search", ["embeddings", "hybrid"])
@given(question=st.text(max_size=30))
def test_no_question_breaks_it(search, question):
    """Any text is searched for, with confidence in [0, 1]."""
    found = rtk.Retriever(FAQ, search=search, embed=trigrams).search(question)
    assert all(0.0 <= passage.confidence <= 1.0 and passage.score > 0 for passage in found)


@pytest.mark.parametrize(
    "vectors",
    [
        lambda texts: np.zeros((len(texts), 3)),
        lambda texts: np.ones((len(texts), 3)),
        lambda texts: np.full((len(texts), 2), 1e308),
        lambda texts: [[1e-320, 0.0] for _ in texts],
        lambda texts: [[1] for _ in texts],
    ],
)
def test_vectors_that_say_nothing_break_nothing(vectors):
    """Vectors that are nought, all alike, enormous or tiny give confidences that are numbers."""
    found = rtk.Retriever(FAQ, search="embeddings", embed=vectors).search("anything")
    assert all(0.0 <= passage.confidence <= 1.0 for passage in found)


@pytest.mark.parametrize(
    "vectors",
    [
        lambda texts: np.ones((1, 3)),
        lambda texts: np.ones(len(texts)),
        lambda texts: np.full((len(texts), 3), np.nan),
        lambda texts: np.ones((len(texts), 0)),
        lambda texts: [["a"] for _ in texts],
        lambda texts: [[1.0] * (n + 1) for n in range(len(texts))],
        lambda texts: None,
        lambda texts: 1 / 0,
    ],
)
def test_what_is_no_matrix_is_an_error(vectors):
    """An embedding function that fails, or gives no matrix of finite numbers, is named, with what it should give."""
    with pytest.raises(RetrievalError, match="embed=") as refused:
        rtk.Retriever(FAQ, embed=vectors)
    assert refused.value.mend


def test_vectors_of_another_length_are_an_error():
    """A question's vector has as many numbers as those of the passages."""
    retriever = rtk.Retriever(FAQ, embed=lambda texts: np.ones((len(texts), len(texts))))
    with pytest.raises(RetrievalError, match="1 numbers for a question and 4 for passages"):
        retriever.search("refund")


@pytest.mark.parametrize("search", ["embeddings", "hybrid"])
def test_a_search_that_needs_embeddings_says_so(search):
    """Without `embed=` it is refused, with what to pass."""
    with pytest.raises(RetrievalError, match="needs embeddings") as refused:
        rtk.Retriever(FAQ, search=search)
    assert "embed=" in refused.value.mend


async def test_embeddings_do_not_hold_the_loop():
    """Awaited, an embedding function runs on a thread other than the loop's."""
    import threading

    threads = []

    def noted(texts):
        threads.append(threading.current_thread())
        return trigrams(texts)

    retriever = rtk.Retriever(FAQ, embed=noted)
    assert (await retriever.acall(question="refund")).answer == FAQ[1][1]
    assert threads[0] is threading.current_thread() is not threads[1]


def test_a_model_by_name_needs_the_extra(monkeypatch):
    """Where sentence-transformers is not installed, the error names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match="sentence-transformers") as refused:
        rtk.Retriever(FAQ, embed="sentence-transformers/all-MiniLM-L6-v2")
    assert refused.value.mend == "pip install 'rtk-inference[embeddings]'"


def test_a_model_that_cannot_be_had_is_named(monkeypatch):
    """A model that is neither here nor to be fetched is an error that says what else to pass."""
    pytest.importorskip("sentence_transformers", reason="the extra 'embeddings' is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RetrievalError, match="no/such-model") as refused:
        rtk.Retriever(FAQ, embed="no/such-model")
    assert "folder" in refused.value.mend
