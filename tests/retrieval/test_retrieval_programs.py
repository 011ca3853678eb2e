"""A retriever as a DSPy module: called, copied, nested, optimized, and shown."""

import copy
import re

import dspy
import pytest

import rtk
from rtk.errors import RetrievalError

FAQ = [("How do I reset my password?", "Open Settings and press Reset."), ("Can I get a refund?", "Within 30 days.")]


class Answering(rtk.Strategy):
    """Answers from the passages that are found; asks a model where there are none."""

    def __init__(self):
        super().__init__()
        self.retriever = rtk.Retriever(FAQ)
        self.chain = dspy.ChainOfThought("question -> answer")

    def flow(self, **inputs):
        """The answer of the best passage, else a chain's."""
        found = (yield rtk.ask(self.retriever, inputs))[0]
        if found.prediction.answer is not None:
            return found
        return (yield rtk.ask(self.chain, inputs))[0]


def test_it_is_called_as_a_retriever_of_dspy():
    """A call gives the texts of the passages and the best one's answer, for `question=` as for `query=`."""
    retriever = rtk.Retriever(FAQ, k=1)
    pred = retriever(question="reset a password")
    assert pred.passages == ["How do I reset my password?\nOpen Settings and press Reset."]
    assert pred.answer == "Open Settings and press Reset."
    assert retriever(query="reset a password").toDict() == pred.toDict()
    assert rtk.Retriever(["a red kite"])(query="kites").answer == "a red kite"
    assert retriever(question="bread", k=2).toDict() == {"passages": [], "answer": None}


@pytest.mark.parametrize("inputs", [{}, {"question": "a", "query": "b"}, {"question": None}])
def test_a_call_needs_a_question_once(inputs):
    """Neither and both are refused, with what to type."""
    with pytest.raises(RetrievalError, match="once") as refused:
        rtk.Retriever(FAQ)(**inputs)
    assert "question=" in refused.value.mend


async def test_it_is_awaited():
    """The async twin finds the same."""
    retriever = rtk.Retriever(FAQ)
    assert (await retriever.acall(question="refunds")).toDict() == retriever(question="refunds").toDict()


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda one: one.deepcopy(), lambda one: one.reset_copy()])
def test_a_copy_finds_the_same(copied):
    """A copy searches the same passages, and has a `k` of its own."""
    retriever = rtk.Retriever(FAQ)
    twin = copied(retriever)
    twin.k = 1
    assert retriever.k == 3
    assert twin.search("password")[0] == retriever.search("password")[0]


def test_it_has_no_parameters():
    """Optimizers find nothing to change in it, and a saved program holds nothing of it."""
    retriever = rtk.Retriever(FAQ)
    assert retriever.named_parameters() == []
    assert retriever.dump_state() == {}


def test_a_strategy_asks_it():
    """Inside a strategy it answers without a model, and where it finds nothing the strategy goes on."""
    chains = [{"reasoning": "none", "answer": "I do not know."}]
    assert rtk.testing.play(Answering(), [], question="my password").answer == "Open Settings and press Reset."
    assert rtk.testing.play(Answering(), chains, question="bread").answer == "I do not know."


async def test_a_strategy_asks_it_asynchronously():
    """The same holds where the strategy is awaited."""
    with dspy.context(lm=dspy.utils.DummyLM([{"reasoning": "none", "answer": "none"}])):
        assert (await Answering().acall(question="refund")).answer == "Within 30 days."


def test_a_program_with_it_is_compiled_and_saved(tmp_path):
    """A program that holds one is bootstrapped, saved as JSON, and loaded."""
    examples = [dspy.Example(question=asked, answer="yes").with_inputs("question") for asked in ("bread", "butter")]
    with dspy.context(lm=dspy.utils.DummyLM([{"reasoning": "so", "answer": "yes"}] * 9)):
        optimizer = dspy.BootstrapFewShot(metric=lambda example, pred, trace=None: pred.answer == "yes")
        compiled = optimizer.compile(Answering(), trainset=examples)
    compiled.save(tmp_path / "program.json")
    assert "password" not in (tmp_path / "program.json").read_text("utf-8")
    again = Answering()
    again.load(tmp_path / "program.json")
    assert rtk.testing.play(again, [], question="my password").answer == "Open Settings and press Reset."
    assert len(again.chain.predict.demos) == len(compiled.chain.predict.demos) > 0


def test_it_shows_how_many_from_where_and_how():
    """Text and page say how many passages there are, how they are searched, and what was left out, all escaped."""
    retriever = rtk.Retriever([*FAQ, ("<script>", ""), ("Can I get a refund?", "Within 30 days.")], k=2)
    assert repr(retriever) == "Retriever(2 passages, search='bm25', k=2)"
    page = retriever._repr_html_()
    assert "2 passages" in page
    assert "2 left out" in page
    assert "says the same as row 2" in page
    hostile = rtk.Retriever(
        [{"id": "<b>x", "question": "q", "answer": "a"}, {"id": "1", "question": "q", "answer": "a"}]
    )
    assert "&lt;b&gt;x" in hostile._repr_html_()
    assert not re.search("<b>x", hostile._repr_html_())
