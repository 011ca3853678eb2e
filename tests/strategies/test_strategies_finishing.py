"""Chains cut off by their length: abstentions, or asked once more for the answer they were coming to."""

import dspy
import pytest
from scripted import TwoSteps, chain, chat, field_of, serving

import rtk
from rtk.errors import StrategyError
from rtk.testing import Reply, play

SIGNATURE = "question -> answer"
CUT = Reply("[[ ## reasoning ## ]]\nFirst 2, then 4, and", finish_reason="length")


def said(answer):
    return {"reasoning": "r", "answer": answer}


def finishing(samples=3, **settings):
    return rtk.SelfConsistency(SIGNATURE, samples, finish_cut=True, **settings)


def test_a_cut_chain_is_asked_for_its_answer_and_votes():
    """With its own reasoning; the question and what was thought are shown again."""
    seen = []

    def reply(received):
        if "[[ ## unfinished ## ]]" not in received.prompt:
            return [chain("a"), CUT, chain("b")][received.occurrence]
        seen.append(received)
        return chat(answer="b")

    found = play(finishing(), reply, question="How?")
    assert (found.answer, found.reasoning) == ("b", "First 2, then 4, and")
    assert (found.confidence.value, found.abstentions, found.vote.abstentions) == (pytest.approx(2 / 3), {}, {})
    assert (field_of(seen[0], "question"), field_of(seen[0], "unfinished")) == ("How?", "First 2, then 4, and")
    assert (found.spent.calls, found.spent.samples) == (2, 4)


def test_the_deliberation_has_it_as_a_revision_of_its_chain():
    """With its tokens and its address, and the reason at the chain."""
    found = play(finishing(), [said("a"), CUT, said("b"), {"answer": "b"}], question="?")
    step = found.deliberation.root.children[1]
    assert (step.state, step.label, step.reason) == ("chosen", "b", "cut off, then asked for its answer")
    assert [(one.kind, one.text) for one in step.children] == [("revision", "answer: b")]
    assert step.address != step.children[0].address
    assert step.tokens > 0 < step.children[0].tokens


def test_without_it_a_cut_chain_abstains():
    """That is the default, and no predictor is added for it."""
    program = rtk.SelfConsistency(SIGNATURE, 3)
    assert [name for name, _ in program.named_predictors()] == ["chain.predict"]
    found = play(program, [said("a"), CUT, said("b")], question="?")
    assert (found.answer, found.vote.abstentions) == ("a", {"length": 1})


@pytest.mark.parametrize("end", [CUT, Reply(""), "no idea", TimeoutError()])
def test_an_answer_that_does_not_come_either_leaves_an_abstention(end):
    """It is asked once, and no more."""
    found = play(finishing(), [said("a"), CUT, said("b"), end], question="?")
    assert (found.answer, found.vote.abstentions, found.spent.calls) == ("a", {"length": 1}, 2)
    assert found.deliberation.root.children[1].children[0].state == "dead end"


def test_thought_apart_from_the_answer_is_gone_on_from_too():
    """A reasoning model that is cut off while it thinks has written no text yet."""
    seen = []

    def reply(received):
        if "[[ ## unfinished ## ]]" not in received.prompt:
            return Reply("", reasoning="Hm, 2 and", finish_reason="length")
        seen.append(field_of(received, "unfinished"))
        return chat(answer="4")

    assert play(finishing(1), reply, question="?").answer == "4"
    assert seen == ["Hm, 2 and"]


def test_nothing_to_go_on_from_is_not_asked():
    """An empty completion stays one."""
    found = play(finishing(2), [said("a"), Reply("", finish_reason="length")], question="?")
    assert (found.answer, found.spent.calls, found.vote.abstentions) == ("a", 1, {"empty": 1})


def test_a_long_chain_is_shown_without_its_middle():
    """What was cut off for its length must not be cut off for it again."""
    seen = []

    def reply(received):
        if "[[ ## unfinished ## ]]" not in received.prompt:
            return Reply(f"begins {'x' * 100_000} ends", finish_reason="length")
        seen.append(received.prompt)
        return chat(answer="4")

    found = play(finishing(1), reply, question="?")
    assert len(seen[0]) < 12_000
    assert "begins" in seen[0]
    assert "ends" in seen[0]
    assert found.reasoning.count("x") >= 100_000


def test_a_signature_without_reasoning_gets_no_field_of_it():
    """The fields are those of every other chain."""
    program = rtk.SelfConsistency(dspy.Predict("question -> answer, unit"), 2, finish_cut=True, field="answer")
    found = play(program, [CUT, {"answer": "4", "unit": "m"}, {"answer": "4", "unit": "km"}], question="?")
    assert dict(found.items()) == {"answer": "4", "unit": "km"}


def cut_by_seed(received):
    """Every third chain is cut off; each says one of three answers."""
    seed = received.body["seed"]
    if "[[ ## unfinished ## ]]" in received.prompt:
        return chat(answer=field_of(received, "unfinished").split()[-1])
    return (
        Reply(f"[[ ## reasoning ## ]]\nperhaps {seed % 2}", finish_reason="length")
        if seed % 3 == 0
        else chain(seed % 2)
    )


@pytest.mark.parametrize("stop", ["beta", "window", "horizon"])
@pytest.mark.parametrize("wave", [None, 1, 7, 20])
def test_with_a_stop_only_chains_that_count_are_gone_on_from(stop, wave):
    """The vote is the same whatever the wave, and so is what is asked."""
    told = []
    for waves in (None, wave):
        with serving(cut_by_seed, seed=4, cache=False):
            found = finishing(20, stop=stop, wave=waves)(question="?")
        revised = [step.text for _, step in found.deliberation.walk() if step.kind == "revision"]
        told.append((found.answer, found.vote, revised))
    assert told[0] == told[1]
    assert told[0][1].abstentions == {}


@pytest.mark.parametrize("samples", range(8))
def test_a_budget_that_ends_there_leaves_abstentions(samples):
    """Those that were asked vote, at every concurrency."""
    told = []
    for concurrency in (1, 8):
        with serving(cut_by_seed, seed=2, concurrency=concurrency, cache=False):
            found = finishing(5)(question="?", budget=rtk.Budget(samples=samples))
        assert found.spent.samples <= samples
        cut = sum(one.label == "length" for one in found.deliberation.root.children)
        assert found.abstentions.get("length", 0) == cut
        assert (found.stopped is None) == (samples == 7)
        told.append((found.answer, found.vote, cut))
    assert told[0] == told[1]


def test_at_temperature_zero_it_is_asked_once_for_all():
    """All chains are one, and its answer is one vote."""
    with serving(lambda received: chat(answer="4") if "[[ ## unfinished ## ]]" in received.prompt else CUT) as server:
        found = finishing(8, temperature=0)(question="?")
        assert server.choices_served == 2
        assert [one.body["temperature"] for one in server.requests] == [0, 0]
    assert (found.answer, found.confidence.size, found.abstentions) == ("4", 1, {})


def test_it_weighs_by_all_of_its_tokens():
    """Those before the cut and those of the answer."""
    tokens = lambda *logprobs: [{"token": f"t{i}", "logprob": one} for i, one in enumerate(logprobs)]  # noqa: E731
    replies = [Reply(CUT.text, finish_reason="length", logprobs=tokens(-1.0, -2.0)),
               Reply(chat(answer="4"), logprobs=tokens(-6.0))]  # fmt: skip
    found = play(finishing(1, vote="confidence"), replies, question="?")
    assert found.vote.logprobs == (-3.0,)


def test_it_is_saved_nested_and_optimized(tmp_path):
    """Like any predictor: its call is on the trace where its chain won."""
    with serving(cut_by_seed, seed=2):
        found = rtk.BestOfN(finishing(4), N=2, reward_fn=lambda inputs, pred: 1.0)(question="?")
        assert any(step.kind == "revision" for _, step in found.deliberation.walk())
        with dspy.context(trace=[]):
            found = finishing(1)(question="?")
            traced = [(type(one).__name__, list(outputs.keys())) for one, _, outputs in dspy.settings.trace]
    assert traced == [("Predict", ["answer"])] or traced == [("Predict", ["reasoning", "answer"])]
    finishing(4).save(tmp_path / "vote.json")
    loaded = finishing(2)
    loaded.load(tmp_path / "vote.json")
    assert (loaded.samples, loaded.finish_cut) == (4, True)


def test_the_runs_of_a_module_are_not_gone_on_from():
    """Nothing of theirs is known but what they came to."""
    with pytest.raises(StrategyError, match="finish_cut=") as caught:
        rtk.SelfConsistency(TwoSteps(), finish_cut=True)
    assert caught.value.mend
