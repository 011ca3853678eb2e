"""Abstentions: a completion without an answer costs itself, is counted by its kind, and loses nobody else."""

import dspy
import pytest
from scripted import Seen, chain, chat, serving, tree

import rtk
from rtk.errors import EndpointError, SampleError
from rtk.testing import Reply

GOOD = chain("42")
KINDS = {
    "malformed": Reply("I have no idea how to write this."),
    "empty": Reply(""),
    "refused": Reply("I cannot help with that.", finish_reason="content_filter"),
    "length": Reply("[[ ## reasoning ## ]]\nand then and then", finish_reason="length"),
}


class Wrapped(dspy.Module):
    """A user's module around one chain: a composite program to whoever samples it."""

    def __init__(self):
        super().__init__()
        self.inner = dspy.ChainOfThought("question -> answer")

    def forward(self, question):
        return self.inner(question=question)


def with_third(reply):
    """A script that answers well but for the third choice of a request."""
    return lambda received: reply if received.choice == 2 else GOOD


@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_completion_of_eight_is_one_abstention_of_its_kind(kind):
    """Seven vote, and the eighth is counted under the reason why it does not."""
    with serving(with_third(KINDS[kind])) as server:
        found = rtk.SelfConsistency("question -> answer")(question="?")
        assert server.choices_served == 8
    assert (found.answer, found.abstentions) == ("42", {kind: 1})
    assert (found.confidence.size, found.confidence.value) == (7, 1.0)
    assert len(found.completions) == 7


def test_every_kind_is_counted_apart():
    """The counts of a prediction are those of all its samples."""
    replies = [*KINDS.values(), KINDS["empty"], Reply(GOOD), Reply(GOOD), Reply(GOOD)]
    with serving(lambda received: replies[received.choice]):
        found = rtk.SelfConsistency("question -> answer")(question="?")
    assert found.abstentions == {"empty": 2, "length": 1, "malformed": 1, "refused": 1}
    assert found.confidence.size == 3


JSON, XML = '{"reasoning": "r", "answer": "42"}', "<reasoning>r</reasoning>\n<answer>42</answer>"


@pytest.mark.parametrize(
    ("adapter", "whole", "end"),
    [
        (dspy.ChatAdapter(), GOOD, "\n\n[[ ## completed"),
        (dspy.JSONAdapter(), JSON, '"}'),
        (dspy.XMLAdapter(), XML, "</a"),
    ],
    ids=["chat", "json", "xml"],
)
def test_a_whole_answer_that_meets_the_limit_still_votes(adapter, whole, end):
    """Cut off after the end is not cut off; without its end it is, though it could be read."""
    for text, abstentions in ((whole, {}), (whole.partition(end)[0], {"length": 1})):
        with serving(Reply(text, finish_reason="length"), cache=False), dspy.context(adapter=adapter):
            found = rtk.ChainOfThought("question -> answer")(question="?")
        assert found.abstentions == abstentions


def test_an_abstention_is_seen_in_the_deliberation():
    """What was said, and why it does not count."""
    with serving(with_third(KINDS["refused"])):
        told = rtk.SelfConsistency("question -> answer", samples=3)(question="?").deliberation
    refused = told.root.children[2]
    assert (refused.state, refused.label, refused.text) == ("dead end", "refused", "I cannot help with that.")
    assert refused.address is not None
    assert "content_filter" in str(told)


def test_a_malformed_chain_is_an_empty_answer_and_no_error():
    """`rtk.ChainOfThought` abstains where `dspy.ChainOfThought` raises."""
    with serving("no idea") as server:
        found = rtk.ChainOfThought("question -> answer: int, unit")(question="?")
        assert server.count == 1
    assert found.toDict() == {"reasoning": None, "answer": None, "unit": None}
    assert found.abstentions == {"malformed": 1}
    assert found.deliberation.root.state == "dead end"


def test_where_all_abstain_every_field_is_empty():
    """A vote of nobody has no answer, no confidence and no chosen chain."""
    with serving("no idea"):
        found = rtk.SelfConsistency("question -> answer: int")(question="?")
    assert found.toDict() == {"reasoning": None, "answer": None}
    assert (found.confidence, found.abstentions) == (None, {"malformed": 8})
    assert found.deliberation.chosen == ()


def test_a_tree_of_malformed_proposals_has_no_answer_and_asks_for_none():
    """Nothing was proposed, so nothing is concluded."""
    with serving(lambda received: tree(answer="?")(received) if "thoughts" in received.prompt else "no idea") as server:
        found = rtk.TreeOfThoughts("question -> answer", branching=3)(question="?")
        assert server.count == 1
    assert (found.toDict(), found.abstentions) == ({"answer": None}, {"malformed": 3})
    assert [step.reason for step in found.deliberation.root.children] == ["malformed"] * 3


# --- samples that never came ---


def fails(*indices):
    """A script whose requests of these indices are answered with status 500, always."""
    return lambda received: Reply("broken", status=500) if received.index in indices else GOOD


def test_one_failed_sample_leaves_seven_voting():
    """A sample that never came is an abstention of the kind `failed`."""
    with serving(fails(2), server_n=False):
        found = rtk.SelfConsistency("question -> answer")(question="?")
    assert (found.answer, found.abstentions, found.confidence.size) == ("42", {"failed": 1}, 7)
    assert found.spent.failed == 1


def test_only_the_failed_sample_is_drawn_again():
    """What came is kept; asking again asks for the rest."""
    program = rtk.SelfConsistency("question -> answer")
    with serving(fails(2), server_n=False) as server:
        program(question="?")
        found = program(question="?")
        assert server.count == 9
    assert (found.abstentions, found.spent.reused, found.spent.drawn) == ({}, 7, 1)


@pytest.mark.parametrize("program", [Wrapped, lambda: rtk.ChainOfThought("question -> answer")])
def test_one_failed_rollout_of_a_module_leaves_the_others_voting(program):
    """So it is where the samples are runs of a module or of another strategy."""
    with serving(fails(2)):
        found = rtk.SelfConsistency(program(), samples=4)(question="?")
    assert (found.answer, found.abstentions, found.confidence.size) == ("42", {"failed": 1}, 3)


@pytest.mark.parametrize("program", [lambda: "question -> answer", Wrapped])
def test_where_no_sample_came_an_error_says_so(program):
    """An empty answer would hide that nothing was heard."""
    with serving(Reply("broken", status=500)), pytest.raises(SampleError, match="no sample came") as caught:
        rtk.SelfConsistency(program(), samples=4)(question="?")
    assert "ask again" in caught.value.mend


def test_the_error_of_a_chain_that_never_came_names_the_cause():
    """Its kind is the one word that tables count."""
    with serving(Reply("broken", status=500)), pytest.raises(SampleError) as caught:
        rtk.ChainOfThought("question -> answer")(question="?")
    assert caught.value.kind == "status_500"


def test_an_endpoint_that_will_never_answer_is_no_abstention():
    """A wrong key is an error at once, also within rollouts."""
    for program in ("question -> answer", Wrapped()):
        with serving(GOOD, server={"api_key": "right"}), pytest.raises(EndpointError):
            rtk.SelfConsistency(program, samples=4)(question="?")


def test_a_bug_in_a_module_is_an_error_and_not_eight_abstentions():
    """Where every run of a module fails for a reason of its own, that reason is raised."""

    class Broken(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=question.wrong)

    with serving(GOOD), pytest.raises(AttributeError, match="wrong"):
        rtk.SelfConsistency(Broken(), samples=4)(question="?")


def test_a_failed_sample_is_told_to_watchers_and_kept_by_nobody():
    """Watchers see that it did not come."""
    seen = Seen()
    with serving(fails(1), server_n=False) as server, rtk.watch(seen):
        rtk.SelfConsistency("question -> answer", samples=4)(question="?")
        assert server.choices_served == 3
    assert len(seen) == 4
    assert sum(hasattr(event.sample, "kind") for event in seen) == 1


def test_a_reply_without_a_field_is_malformed_for_one_strategy_and_whole_for_another():
    """What a completion is worth depends on what was asked: the sample is the same."""
    with serving(chat(answer="42")) as server:
        assert rtk.ChainOfThought("question -> answer")(question="?").abstentions == {"malformed": 1}
        assert rtk.SelfConsistency(dspy.Predict("question -> answer"), samples=1)(question="?").answer == "42"
        assert server.count == 2
