"""Search by words: what is found, in which order, and what no question can break."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtk
from rtk.retrieval import Passage

FAQ = [
    ("How do I reset my password?", "Open Settings, choose Security and press Reset. A link is mailed to you."),
    ("Can I get my money back?", "Within 30 days of the purchase we refund the whole price."),
    ("Which devices does the app run on?", "On phones and tablets made in 2019 or later."),
    ("How do I cancel my subscription?", "Under Billing, press Cancel. It ends with the month."),
    ("Where are my invoices?", "Under Billing, in the list of payments."),
]
TEXT = st.text(alphabet=st.characters(codec=None), max_size=40)
WORD = st.sampled_from(
    [
        "battery",
        "charger",
        "cable",
        "invoice",
        "refund",
        "Wi-Fi",
        "naïve",
        "密码重置",
        "пароль",
        "straße",
        "🔋",
        "the",
        "of",
        "don't",
    ]
)
SENTENCE = st.lists(WORD, min_size=1, max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=8, unique_by=lambda pair: pair[0].casefold())


def ids(found):
    return [passage.id for passage in found]


def test_a_pair_is_found_by_its_question_and_by_its_answer():
    """Words of the question find a pair, and so do words that only its answer has."""
    retriever = rtk.Retriever(FAQ)
    assert ids(retriever.search("forgotten password"))[0] == "1"
    assert ids(retriever.search("does it run on tablets"))[0] == "3"
    assert ids(retriever.search("refund please"))[0] == "2"


def test_a_passage_says_what_it_is():
    """A passage of a pair holds its question, its answer, both as text, and where it is from."""
    found = rtk.Retriever(FAQ).search("cancelling a subscription")[0]
    assert isinstance(found, Passage)
    assert (found.id, found.source) == ("4", "row 4")
    assert (found.question, found.answer) == FAQ[3]
    assert found.text == "\n".join(FAQ[3])
    assert found.score > 0
    assert 0 < found.confidence < 1


def test_endings_and_accents_do_not_matter():
    """Words are found in another form, without their accents, and with or without a hyphen."""
    retriever = rtk.Retriever(["The cafés were closing early", "A Wi-Fi router", "sign in by e-mail", "bread"])
    assert ids(retriever.search("cafe closes")) == ["1"]
    assert ids(retriever.search("CAFÉ")) == ["1"]
    assert ids(retriever.search("wifi")) == ["2"]
    assert ids(retriever.search("email")) == ["3"]


def test_another_language_has_its_own_endings():
    """`language=` stems in that language; None takes words as they stand."""
    texts = ["Die Rechnungen finden Sie im Kundenkonto", "Der Vertrag endet nach zwei Jahren"]
    assert ids(rtk.Retriever(texts, language="german").search("Wo ist meine Rechnung?")) == ["1"]
    assert rtk.Retriever(texts, language=None).search("Rechnung") == []
    assert ids(rtk.Retriever(texts, language=None).search("VERTRAG")) == ["2"]


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("如何重置密码", "1"),
        ("كيف أعيد كلمة المرور", "2"),
        ("パスワードを忘れた", "3"),
        ("забыл пароль", "4"),
        ("🔋", "5"),
    ],
)
def test_other_scripts_are_searched(question, place):
    """Chinese, Arabic, Japanese, Cyrillic and emoji find what has the same words."""
    texts = [
        "在设置里可以重置密码",
        "كلمة المرور في الإعدادات",
        "パスワードの再設定",
        "пароль меняют в настройках",
        "low 🔋",
    ]
    assert ids(rtk.Retriever([*texts, "something else"], language=None).search(question)) == [place]


@pytest.mark.parametrize("question", ["", "   ", "\0\x1b[2J", "???", "what is it that they do", "\ud800", "‮‏"])
def test_what_says_nothing_finds_nothing(question):
    """A question without a word of its own finds no passage, and is no error."""
    assert rtk.Retriever(FAQ).search(question) == []


def test_what_is_nowhere_finds_nothing():
    """A question none of whose words any passage has finds none, with no confidence in any."""
    assert rtk.Retriever(FAQ).search("quantum chromodynamics") == []


def test_a_question_may_be_enormous():
    """A hundred thousand characters are searched for as any other question."""
    retriever = rtk.Retriever(FAQ)
    assert ids(retriever.search("password " * 12_000)) == ids(retriever.search("password"))
    assert retriever.search("x" * 100_000) == []
    assert ids(retriever.search("".join(map(chr, range(0x4E00, 0x9FFF))) + " invoices")) == ["5"]


def test_ties_are_in_the_order_of_the_source():
    """Passages that match equally come as they stand in the source."""
    retriever = rtk.Retriever([("red kite", "a"), ("red wine", "b"), ("red book", "c"), ("blue", "d")], language=None)
    assert ids(retriever.search("red")) == ["1", "2", "3"]


def test_k_is_how_many():
    """`k` of the retriever holds where the search names none."""
    retriever = rtk.Retriever(["red kite", "red wine", "red book"], k=2)
    assert ids(retriever.search("red")) == ["1", "2"]
    assert ids(retriever.search("red", k=1)) == ["1"]
    assert ids(retriever.search("red", 9)) == ["1", "2", "3"]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None, "3"])
def test_a_wrong_k_is_an_error(wrong):
    """`k` is a whole number from 1 on."""
    with pytest.raises(rtk.errors.RetrievalError, match="k="):
        rtk.Retriever(FAQ, k=wrong)
    if wrong is not None:
        with pytest.raises(rtk.errors.RetrievalError, match="k="):
            rtk.Retriever(FAQ).search("password", k=wrong)


@pytest.mark.parametrize("wrong", [None, 3, ["a"], b"a"])
def test_a_question_is_text(wrong):
    """What is no text is refused with what to type."""
    with pytest.raises(rtk.errors.RetrievalError, match="no text") as refused:
        rtk.Retriever(FAQ).search(wrong)
    assert "retriever.search" in refused.value.mend


@pytest.mark.parametrize("wrong", [{"language": "klingon"}, {"words": 0}, {"search": "grep"}, {"embed": 3}])
def test_arguments_that_cannot_be_are_errors(wrong):
    """A wrong argument is named, with what it may be."""
    with pytest.raises(rtk.errors.RetrievalError, match=next(iter(wrong))) as refused:
        rtk.Retriever(FAQ, **wrong)
    assert refused.value.mend


@given(TEXT, st.lists(TEXT, min_size=1, max_size=5))
def test_no_text_breaks_a_search(question, texts):
    """Whatever the texts and the question are, what is found is at most k passages with confidence in [0, 1]."""
    if not any(text.strip() for text in texts):
        return
    found = rtk.Retriever(texts, k=2).search(question)
    assert len(found) <= 2
    assert all(0.0 <= passage.confidence <= 1.0 and passage.score > 0 for passage in found)


@given(PAIRS, SENTENCE, st.integers(1, 4))
def test_the_best_is_first(pairs, question, k):
    """Scores fall, at most k passages are found, each once, and the first is the most confident."""
    found = rtk.Retriever(pairs).search(question, k)
    scores = [passage.score for passage in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids(found))) == len(found) <= k


@given(PAIRS, st.data())
def test_the_question_of_a_pair_finds_that_pair(pairs, data):
    """A pair's own question, in any case and spacing, finds that pair first, with full confidence."""
    place = data.draw(st.integers(0, len(pairs) - 1))
    question = f"  {pairs[place][0].upper().replace(' ', '   ')} "
    found = rtk.Retriever(pairs).search(question)[0]
    assert (found.id, found.confidence) == (str(place + 1), 1.0)


@given(PAIRS, SENTENCE, st.randoms(use_true_random=False))
def test_the_order_of_the_source_does_not_matter(pairs, question, chance):
    """A reshuffled source gives every passage the same score and confidence."""
    rows = [{"id": str(n), "question": asked, "answer": said} for n, (asked, said) in enumerate(pairs)]
    before = rtk.Retriever(rows).search(question, len(rows))
    chance.shuffle(rows)
    after = rtk.Retriever(rows).search(question, len(rows))
    assert {one.id: (one.score, one.confidence) for one in before} == {
        one.id: (one.score, one.confidence) for one in after
    }


@settings(max_examples=20)
@given(PAIRS, SENTENCE)
def test_a_search_is_a_function_of_its_question(pairs, question):
    """The same question finds the same, however often it is asked."""
    retriever = rtk.Retriever(pairs)
    assert retriever.search(question) == retriever.search(question) == rtk.Retriever(pairs).search(question)


def test_threads_find_the_same():
    """Many threads searching at once find what one finds."""
    retriever = rtk.Retriever(FAQ)
    questions = [f"{word} {n}" for n in range(30) for word in ("password", "billing", "refunds", "phone tablets")]
    alone = [retriever.search(question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(retriever.search, questions)) == alone


def test_another_process_finds_the_same():
    """Nothing depends on the order of a set, which is another one in each process."""
    code = (
        "import rtk; r = rtk.Retriever([('red kite flies', 'over red hills'), ('red wine', 'from hills'), ('kites', "
        "'of paper')]); print([(p.id, p.score, p.confidence) for p in r.search('kites over the red hills of wine')])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "kite" not in said.pop()
