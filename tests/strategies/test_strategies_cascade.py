"""Cascades: levels in order, and the first answer that is sure enough."""

import asyncio

import dspy
import pytest
from cascades import EXACT, FAQ, FAR, NEAR, desk, replies, retriever
from scripted import TwoSteps, chain, chat, model, serving, tree

import rtk
from rtk.errors import StrategyError
from rtk.retrieval import Retriever
from rtk.testing import ScriptedServer, play

SIGNATURE = "question -> answer"


def fates(found):
    return [(one.name, one.outcome) for one in found.route]


# --- what is accepted ---


def test_a_sure_passage_answers_without_a_model_call():
    """Nothing is asked, and the route ends there."""
    found = play(desk(), [], question=EXACT)
    assert found.answer == "Use the link on the sign-in page."
    assert (found.spent.calls, found.spent.tokens, fates(found)) == (0, 0, [("faq", "accepted")])
    assert found.route[0].sources[0].question == EXACT
    assert found.route[0].cited


def test_what_is_not_sure_enough_goes_on():
    """To the next level, and the last one answers whatever it says."""
    with serving(replies(deep=["x", "y", "z", "x"])):
        found = desk()(question=NEAR)
    assert fates(found) == [("faq", "not accepted"), ("direct", "not accepted"), ("deep", "accepted")]
    assert (found.answer, found.confidence.value, found.vote.winner) == ("x", 0.5, "x")


def test_an_answer_without_a_confidence_goes_on_but_from_the_last_level():
    """A direct answer does not say how sure it is."""
    with serving(replies("guess")):
        assert desk()(question=FAR).answer == "deep"
        assert rtk.Cascade({"faq": retriever(), "direct": SIGNATURE})(question=FAR).answer == "guess"


@pytest.mark.parametrize(
    ("accept", "name"),
    [(None, "deep"), (0.2, "faq"), ({"faq": 0.2}, "faq"), ({"faq": True}, "faq"), ({"direct": True}, "direct"),
     ({"faq": False, "direct": 0}, "deep"), ({"direct": False}, "deep"), (1.0, "deep")],
)  # fmt: skip
def test_thresholds_say_which_level_answers(accept, name):
    """A number for all, or by level a number, any, or none."""
    with serving(replies()):
        assert desk(accept=accept)(question=NEAR).route.accepted.name == name


def test_a_level_of_which_nothing_is_given_is_not_asked():
    """It costs nothing; retrieval is searched all the same, for its passages."""
    with serving(replies()) as server:
        found = desk(accept={"faq": False, "direct": False})(question=EXACT)
        assert server.count == 1
    assert fates(found) == [("faq", "not accepted"), ("direct", "not asked"), ("deep", "accepted")]
    assert found.route[-1].sources[0].question == EXACT


def test_where_the_last_level_says_nothing_the_nearest_answer_is_given():
    """By how far it is from what it needed, and the route says so."""
    script = lambda received: chat(answer="guess") if "reasoning" not in received.prompt else "no idea"  # noqa: E731
    with serving(script):
        found = desk(accept={"direct": 2.0})(question=NEAR)
    assert found.answer == FAQ[2][1]
    assert fates(found)[0] == ("faq", "accepted")
    assert "came nearest" in found.route[0].reason


def test_an_answer_that_there_is_none_goes_on():
    """In so many words, however sure; from the last level it is given where nobody takes over."""
    levels = {"sure": lambda question: "I do not know.", "deep": rtk.SelfConsistency(SIGNATURE, 2)}
    with serving(chain("I don't know")):
        found = rtk.Cascade(levels)(question="?")
        assert fates(found) == [("sure", "no answer"), ("deep", "accepted")]
        assert found.answer == "I don't know"
        assert rtk.Cascade(levels, hand_over=True)(question="?").answer is None


def test_a_label_may_be_called_unknown():
    """Only where the answer is any text does it say that there is none."""
    signature = dspy.Signature("claim -> label: Literal['true', 'unknown']")
    cascade = rtk.Cascade({"direct": signature, "deep": dspy.ChainOfThought(signature)}, accept={"direct": True})
    assert play(cascade, [{"label": "unknown"}], claim="?").label == "unknown"


# --- what a level is ---


def test_levels_of_a_list_are_named_by_kind():
    """The second of a kind has a number."""

    def order_status(question):
        return None

    levels = [retriever(), "calculator", order_status, SIGNATURE, dspy.ChainOfThought(SIGNATURE),
              rtk.SelfConsistency(SIGNATURE), rtk.SelfConsistency(SIGNATURE, 16), TwoSteps()]  # fmt: skip
    assert rtk.Cascade(levels).names == (
        "retrieval", "calculator", "order_status", "direct", "chain_of_thought", "self_consistency",
        "self_consistency_2", "two_steps",
    )  # fmt: skip


def test_the_calculator_answers_calculations_and_nothing_else():
    """In place, with no model call."""
    cascade = rtk.Cascade(["calculator", SIGNATURE])
    assert play(cascade, [], question="What is 12 * 12?").answer == "144"
    assert play(cascade, [{"answer": "Paris"}], question="What is the capital of France?").answer == "Paris"


def test_a_function_is_given_the_inputs_that_it_has_parameters_for():
    """It says its answer, None, or fields with a confidence; it never sees what is no input."""
    seen = []

    def stock(question, product="none", answer="never given"):
        seen.append((question, product, answer))
        return {"Is it there?": {"answer": "yes", "confidence": 0.4}, "How many?": 3}.get(question)

    cascade = rtk.Cascade({"stock": stock, "direct": "question, product -> answer"})
    sure = {"question": "How many?", "product": "bolt", "answer": "the gold one"}
    assert play(cascade, [], **sure).answer == 3
    found = play(cascade, [{"answer": "no"}], question="Is it there?", product="nut")
    assert (found.answer, found.route[0].confidence, found.route[0].outcome) == ("no", 0.4, "not accepted")
    assert play(cascade, [{"answer": "no"}], question="Why?", product="nut").route[0].outcome == "no answer"
    assert seen[0] == ("How many?", "bolt", "never given")


def test_tools_and_async_functions_are_levels():
    """Also where the caller is sync, and where it is not."""

    async def slow(question):
        await asyncio.sleep(0)
        return question.upper()

    for one in (slow, dspy.Tool(slow), dspy.Tool(lambda question: question.upper(), name="loud")):
        cascade = rtk.Cascade([one])
        assert cascade(question="a").answer == "A"
        assert asyncio.run(cascade.acall(question="b")).answer == "B"


def test_any_module_is_a_level():
    """A user's own, a strategy, another cascade."""
    with serving(tree(answer="inner")):
        inner = rtk.Cascade({"faq": retriever(), "chain": rtk.SelfConsistency(SIGNATURE, 2)})
        for module in (TwoSteps(), inner, dspy.ChainOfThought(SIGNATURE), rtk.TreeOfThoughts(SIGNATURE, 1, 1, 1)):
            found = rtk.Cascade({"sums": "calculator", "deep": module})(question="Zymurgy?")
            assert found.answer == "inner"
            assert fates(found)[-1] == ("deep", "accepted")


def test_a_level_may_have_a_model_of_its_own():
    """Set as on any module; the others keep theirs."""
    cascade = rtk.Cascade({"direct": SIGNATURE, "deep": dspy.ChainOfThought(SIGNATURE)})
    with ScriptedServer(chain("large")) as larger, serving(replies("small")) as small:
        cascade.deep.set_lm(model(larger))
        found = cascade(question="?")
        assert (small.count, larger.count) == (1, 1)
    assert (found.answer, found.route[0].answer) == ("large", "small")


def test_fields_are_those_of_the_signature():
    """Of the last level by default; what a level does not give is None."""
    signature = "question -> kind, answer"
    cascade = rtk.Cascade({"faq": retriever(), "deep": dspy.ChainOfThought(signature)})
    assert dict(play(cascade, [], question=EXACT).items()) == {"kind": None, "answer": FAQ[0][1]}
    said = {"reasoning": "r", "kind": "k", "answer": "a"}
    assert dict(play(cascade, [said], question=FAR).items()) == {"kind": "k", "answer": "a"}
    other = rtk.Cascade({"deep": dspy.ChainOfThought(signature)}, signature=SIGNATURE)
    assert dict(play(other, [said], question=FAR).items()) == {"answer": "a"}


def test_the_one_output_of_a_level_fills_the_last_field():
    """Whatever it is called."""
    cascade = rtk.Cascade({"deep": dspy.Predict("question -> reply")}, signature=SIGNATURE)
    assert play(cascade, [{"reply": "a"}], question="?").answer == "a"


# --- what goes wrong ---


class Broken(Retriever):
    """A retriever whose source is gone."""

    def search(self, *_, **__):
        """As given."""
        raise OSError("no such file")


class Failing(dspy.Module):
    """A user's module that raises."""

    def forward(self, question):
        """As given."""
        raise KeyError("index")


def test_what_fails_passes_the_question_on():
    """A tool, a retriever, a module; the route says why."""

    def tool(question):
        raise TimeoutError("the shop is closed")

    levels = {"faq": Broken(FAQ), "tool": tool, "module": Failing(), "deep": dspy.ChainOfThought(SIGNATURE)}
    with serving(chain("a")):
        found = rtk.Cascade(levels)(question="?")
    assert found.answer == "a"
    assert [one.failed for one in found.route] == [True, True, True, False]
    assert [one.reason for one in found.route[:3]] == [
        "OSError: no such file", "TimeoutError: the shop is closed", "KeyError: 'index'",
    ]  # fmt: skip


def test_a_model_none_of_whose_replies_came_passes_the_question_on():
    """Where no level answers, that is an error, as in any strategy; with a person behind it is handed over."""
    levels = {"deep": rtk.SelfConsistency(SIGNATURE, 2), "direct": SIGNATURE}
    script = lambda received: chat(answer="a") if "reasoning" not in received.prompt else rtk.testing.Reply("", 500)  # noqa: E731
    with serving(script):
        found = rtk.Cascade(levels)(question="?")
        assert (found.answer, found.route[0].failed) == ("a", True)
    with serving(rtk.testing.Reply("", 500), cache=False):
        with pytest.raises(rtk.SampleError):
            rtk.Cascade(levels)(question="?")
        handed = rtk.Cascade(levels, hand_over=True)(question="?")
    assert handed.answer is None
    assert "working at the moment" in handed.hand_over.message


def test_where_all_that_was_asked_raised_the_first_error_is_raised():
    """An answer that says nothing would hide it; with a person behind it is handed over."""

    def tool(question):
        raise TimeoutError("the shop is closed")

    with pytest.raises(TimeoutError, match="closed"):
        rtk.Cascade([tool])(question="?")
    assert "the shop is closed" in rtk.Cascade([tool], hand_over=True)(question="?").hand_over.message


def test_a_mistake_of_the_callers_is_raised():
    """A wrong key is no reason to ask somebody else."""
    with serving(rtk.testing.Reply("", 401)), pytest.raises(rtk.errors.EndpointError):
        rtk.Cascade({"deep": rtk.SelfConsistency(SIGNATURE, 2), "direct": SIGNATURE})(question="?")


@pytest.mark.parametrize(
    ("levels", "settings", "match"),
    [
        ({}, {}, "no levels"),
        ("calculator", {}, "no levels"),
        ({"a": 3}, {}, "is no level"),
        ({"a": "no signature"}, {}, "neither a signature"),
        ({"deep one": SIGNATURE}, {}, "cannot be called"),
        ({"accept": SIGNATURE}, {}, "cannot be called"),
        ({"_a": SIGNATURE}, {}, "cannot be called"),
        ({"a": lambda order: None, "b": SIGNATURE}, {}, "needs order"),
        ({"a": SIGNATURE}, {"accept": {"b": 1}}, "no level is called so"),
        ({"a": SIGNATURE}, {"accept": "high"}, "accept="),
        ({"a": SIGNATURE}, {"accept": {"a": "high"}}, "accept="),
        ({"a": SIGNATURE}, {"accept": True}, "accept="),
        ({"a": SIGNATURE}, {"hand_over": "yes"}, "hand_over="),
        ({"a": SIGNATURE}, {"confidence": {"b": "logprob"}}, "no level is called so"),
        ({"a": rtk.SelfConsistency(SIGNATURE)}, {"confidence": {"a": "logprob"}}, "one completion"),
        ({"a": SIGNATURE}, {"confidence": {"a": 0.5}}, "confidence="),
        ({"a": SIGNATURE}, {"confidence": {"a": lambda example, pred, trace=None: 1}}, "metric"),
    ],
)
def test_what_cannot_be_is_refused(levels, settings, match):
    """When it is built, naming it."""
    with pytest.raises(StrategyError, match=match):
        rtk.Cascade(levels, **settings)


def test_a_call_without_a_question_is_refused():
    """Where a level reads it."""
    with pytest.raises(StrategyError, match="without 'question'"):
        desk()(text="?")
