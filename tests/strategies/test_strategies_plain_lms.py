"""LMs that are not rtk's: a strategy over them works, unstored, says so once, and `rtk.LM.of` stores."""

import dspy
import pytest
from dspy.lm15 import Message, Response, TextPart
from dspy.lm15 import Usage as EngineUsage
from dspy.utils import DummyLM
from scripted import chain

import rtk

pytestmark = pytest.mark.filterwarnings("ignore:.*is no rtk.LM")


class Engine:
    """An engine of a user's own: it answers in turn, and counts."""

    def __init__(self, *answers):
        self.answers, self.count = answers, 0

    def complete(self, request):
        """One completion for each call."""
        answer = self.answers[self.count % len(self.answers)]
        self.count += 1
        text = TextPart(chain(answer))
        return Response(id=None, model="own", message=Message.assistant([text]), finish_reason="stop",
                        usage=EngineUsage(10, 5, 15))  # fmt: skip

    def __deepcopy__(self, memo):
        return self


def answers(*them):
    return [{"reasoning": f"chain {i}", "answer": answer} for i, answer in enumerate(them)]


def test_a_vote_over_a_dummy_lm_works_and_says_once_that_nothing_is_stored():
    """One warning, however many asks; it names what stores."""

    class OwnLM(DummyLM):
        """Named apart, since a kind of LM is warned of once in a process."""

    programs = [rtk.SelfConsistency("question -> answer", samples=3), rtk.ChainOfThought("question -> answer")]
    with dspy.context(lm=OwnLM(answers("a", "b", "b", "c", "d"))), pytest.warns(UserWarning, match="OwnLM") as said:
        found = [program(question="?").answer for program in programs]
    assert (found, len(said)) == (["b", "c"], 1)
    assert "its samples are not stored; rtk.LM.of(lm) keeps them" in str(said[0].message)


def test_a_dummy_lms_replies_are_the_samples_in_order():
    """A script means the same every time."""
    with dspy.context(lm=DummyLM(answers("a", "b", "c", "d"))):
        found = rtk.SelfConsistency("question -> answer", samples=4)(question="?")
    assert [step.label for step in found.deliberation.root.children] == ["a", "b", "c", "d"]


def test_unstored_samples_are_drawn_anew_every_time():
    """Nothing is kept: the second call gets the next replies."""
    program = rtk.SelfConsistency("question -> answer", samples=2)
    with dspy.context(lm=DummyLM(answers("a", "a", "b", "b"))):
        assert [program(question="?").answer, program(question="?").answer] == ["a", "b"]


def test_copies_of_an_lm_say_nothing_more():
    """As `dspy.BestOfN` makes them, one for each attempt; each is asked itself."""

    class CopiedLM(DummyLM):
        """Named apart, likewise."""

    program = rtk.SelfConsistency("question -> answer", samples=2)
    best = dspy.BestOfN(program, N=3, reward_fn=lambda args, pred: float(pred.answer == "c"), threshold=1.0)
    with dspy.context(lm=CopiedLM(answers(*"aabbccdd"))), pytest.warns(UserWarning, match="CopiedLM") as said:
        found = best(question="?")
    assert (found.answer, len(said)) == ("c", 1)


def test_a_wrapped_lm_is_stored():
    """`rtk.LM.of(lm)`: the same LM makes the calls, and they are made once."""
    inner = DummyLM(answers("a", "b", "b"))
    with dspy.context(lm=rtk.LM.of(inner)):
        program = rtk.SelfConsistency("question -> answer", samples=3)
        first, second = program(question="?"), program(question="?")
    assert first.answer == second.answer == "b"
    assert (first.spent.drawn, second.spent.drawn) == (3, 0)
    assert len(inner.history) == 3


def test_an_engine_of_ones_own_is_sampled():
    """A `dspy.LM` over a custom engine gives n samples for n calls, with its tokens counted."""
    engine = Engine("a", "b")
    lm = dspy.LM("own/model", engine=engine, cache=False)
    with dspy.context(lm=rtk.LM.of(lm, concurrency=1)):
        found = rtk.SelfConsistency("question -> answer", samples=5)(question="?")
    assert (found.answer, engine.count) == ("a", 5)
    assert (found.spent.prompt_tokens, found.spent.completion_tokens) == (50, 25)


def test_dspys_own_cache_gives_no_copies():
    """An LM that DSPy caches still gives n different samples."""
    engine = Engine("a", "b", "c")
    lm = dspy.LM("own/cached", engine=engine, cache=True)
    with dspy.context(lm=lm):
        found = rtk.SelfConsistency("question -> answer", samples=3)(question="?")
    assert engine.count == 3
    assert sorted(found.completions.answer) == ["a", "b", "c"]


def test_a_budget_holds_over_any_lm():
    """Calls and samples are counted for an LM that is not ours, too."""
    with dspy.context(lm=DummyLM(answers("a", "b", "b"))):
        found = rtk.SelfConsistency("question -> answer", samples=3)(question="?", budget=rtk.Budget(samples=2))
    assert (found.confidence.size, found.stopped) == (2, "samples")


def test_an_lm_that_fails_costs_the_sample():
    """An error of the LM's own is an abstention; the others vote."""

    class Failing(Engine):
        def complete(self, request):
            if self.count == 1:
                self.count += 1
                raise RuntimeError("broken")
            return super().complete(request)

    lm = dspy.LM("own/failing", engine=Failing("a"), cache=False, num_retries=0)
    with dspy.context(lm=rtk.LM.of(lm, concurrency=1)):
        found = rtk.SelfConsistency("question -> answer", samples=3)(question="?")
    assert (found.answer, found.abstentions) == ("a", {"failed": 1})


def test_no_lm_at_all_is_dspys_own_error():
    """It says how to configure one."""
    with dspy.context(lm=None), pytest.raises(ValueError, match="No LM is loaded"):
        rtk.SelfConsistency("question -> answer")(question="?")
