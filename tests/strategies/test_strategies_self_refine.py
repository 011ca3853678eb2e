"""Self-refine: a draft, what is found in it, revisions, and which attempt is kept."""

import asyncio

import dspy
import pytest
from scripted import Seen, TwoSteps, asks, chain, chat, choices, field_of, serving

import rtk
from rtk.answers import Check
from rtk.events import CandidateScored, CheckFailed
from rtk.strategies import evidence
from rtk.testing import play

SIGNATURE = "question -> answer"
WRONG = {"reasoning": "7 + 4 = 12. 12 * 8 = 96.", "answer": "96"}
RIGHT = {"reasoning": "7 + 4 = 11. 11 * 8 = 88.", "answer": "88"}
WORSE = {"reasoning": "7 + 4 = 13. 13 * 8 = 105.", "answer": "105"}


def at_least(number):
    """A checker: the answer is a number that is large enough."""
    return lambda inputs, prediction: Check(
        float(prediction.answer) >= number, f"{float(prediction.answer):g} is too small"
    )


def answers(*said):
    return [{"reasoning": "because", "answer": str(one)} for one in said]


def refined(replies, verify="arithmetic", rounds=3, **settings):
    return play(rtk.SelfRefine(SIGNATURE, verify, rounds, **settings), replies, question="(7 + 4) * 8?")


def attempts(found):
    """The attempts as they are told: what each is called, what became of it, and its score."""
    return [(step.label, step.state, step.score) for step in found.deliberation.root.children]


# --- drafts, revisions, what is kept ---


def test_what_is_wrong_is_shown_and_mended():
    """The reviser sees the inputs, the attempt and the finding; what it writes passes and is the answer."""
    seen = []

    def script(received):
        seen.append(received.last)
        return RIGHT if len(seen) > 1 else WRONG

    found = refined(script)
    assert (found.answer, found.spent.samples, found.stopped) == ("88", 2, None)
    assert all(one in seen[1] for one in ("(7 + 4) * 8?", "12 * 8 = 96.", "answer: 96", "7 + 4 is 11"))
    assert attempts(found) == [("the draft", "pruned", 0.5), ("revision 1", "chosen", 1.0)]
    assert list(found.completions.answer) == ["88", "96"]


def test_a_draft_that_passes_is_the_answer():
    """Nothing more is asked."""
    found = refined([RIGHT])
    assert (found.answer, found.spent.samples) == ("88", 1)
    assert found.deliberation.root.reason == "it passed"


def test_the_draft_is_the_sample_of_a_plain_chain():
    """At the plain chain's address; a revision has a stream of its own."""
    with serving(choices(["1", "2"])) as server, rtk.watch(seen := Seen()):
        plain = rtk.ChainOfThought(SIGNATURE)(question="?")
        found = rtk.SelfRefine(SIGNATURE, at_least(9), rounds=1)(question="?")
        assert server.choices_served == 2
    assert found.completions[0].answer == plain.answer
    assert [str(one.stream) for one in seen.addresses] == ["0", "0", "0/1"]


def test_fewer_wrong_claims_are_kept():
    """Where nothing passes, the attempt that less was found against is the answer, whenever it came."""
    both = {"reasoning": "7 + 4 = 13. 13 * 8 = 105.", "answer": "105"}
    assert refined([both, WRONG, both], rounds=2).answer == "96"
    assert refined([WRONG, both], rounds=1).answer == "96"


def test_of_equals_the_earlier_one_is_kept():
    """Without evidence a revision is no better than what it revises."""
    found = refined(answers(1, 2, 3), at_least(9), 2)
    assert (found.answer, list(found.completions.answer)) == ("1", ["1", "2", "3"])
    assert "none was found better" in found.deliberation.root.reason


def test_the_last_attempt_is_revised():
    """Each revision is shown the one before it, and what was found in that."""
    seen = []

    def script(received):
        seen.append(received.last)
        return {"reasoning": "r", "answer": str(len(seen))}

    refined(script, at_least(9), 2)
    assert "1 is too small" in seen[1]
    assert "2 is too small" in seen[2]
    assert "1 is too small" not in seen[2]


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_rounds_are_how_many_revisions_at_most(rounds):
    """None for 0: a draft that is verified and no more; fewer rounds ask for the first samples of more."""
    with serving(lambda received: chain(len(field_of(received, "attempt")), str(received.prompt)[-40:])) as server:
        rtk.SelfRefine(SIGNATURE, at_least(1000), 3)(question="?")
        before = server.choices_served
        found = rtk.SelfRefine(SIGNATURE, at_least(1000), rounds)(question="?")
        assert server.choices_served == before
    assert (found.spent.samples, len(attempts(found))) == (rounds + 1, rounds + 1)


def test_a_revision_that_changes_nothing_ends_it():
    """The same answer, and the same found in it, however the chain is worded."""
    found = refined([*answers(1, 2), {"reasoning": "in other words", "answer": "1.0"}], at_least(9), 5)
    assert (found.answer, found.spent.samples) == ("1", 3)
    assert "nothing changed since the draft" in found.deliberation.root.reason


def test_the_same_answer_with_another_finding_goes_on():
    """Something was mended, if not all."""
    again = {"reasoning": "7 + 4 = 11. 11 * 8 = 96.", "answer": "96"}
    assert refined([WRONG, again, RIGHT]).answer == "88"


def test_a_comparer_says_what_the_same_answer_is():
    """As elsewhere: a name, or a function."""
    replies = answers("1", "-1", "2")
    assert refined(replies, at_least(9), 2).spent.samples == 3
    same = refined(replies[:2], at_least(9), 2, comparer=lambda a, b: abs(int(a)) == abs(int(b)))
    assert same.spent.samples == 2


def test_at_temperature_zero_a_revision_is_one_sample():
    """What is asked the same way says the same: the second revision is the first, and ends it."""
    with serving(lambda received: chain(2 if asks(received, "finding") else 1), temperature=0) as server:
        found = rtk.SelfRefine(SIGNATURE, at_least(9), 5)(question="?")
        assert server.choices_served == 3
    assert (found.answer, found.spent.samples) == ("1", 3)


def test_a_draft_without_an_answer_is_drafted_again():
    """There is nothing to revise; the next draft is the plain chain's next sample."""
    replies = ["no idea", chain("1"), chain("9")]
    with serving(lambda received: replies[2] if asks(received, "finding") else replies[received.choice % 2]) as server:
        vote = rtk.SelfConsistency(SIGNATURE, 2)(question="?")
        found = rtk.SelfRefine(SIGNATURE, at_least(9), 2)(question="?")
        assert server.choices_served == 3
    assert (vote.answer, found.answer, found.abstentions) == ("1", "9", {"malformed": 1})
    assert [name for name, *_ in attempts(found)] == ["the draft", "draft 2", "revision 2"]


def test_without_any_answer_there_is_none():
    """In the fields of the draft, and it says so."""
    found = refined(["no", "idea", "at all"], rounds=2)
    assert (found.answer, found.reasoning, found.abstentions) == (None, None, {"malformed": 3})
    assert (found.deliberation.root.state, found.deliberation.root.text) == ("dead end", "no answer")


def test_a_revision_without_an_answer_costs_its_round():
    """The next one revises what answered last."""
    found = refined([WRONG, "no idea", RIGHT], rounds=2)
    assert (found.answer, found.abstentions) == ("88", {"malformed": 1})


# --- modules, nesting, awaiting ---


def test_a_module_is_drafted_in_rollout_zero():
    """It shares its samples with a plain call; its extra fields stay on what is revised."""

    class Sourced(TwoSteps):
        def forward(self, question):
            return dspy.Prediction(answer=super().forward(question).answer, source="a book")

    with serving(lambda received: chain(9 if asks(received, "finding") else 1)) as server:
        Sourced()(question="?")
        found = rtk.SelfRefine(Sourced(), at_least(9))(question="?")
        assert server.choices_served == 3
    assert (found.answer, found.source) == ("9", "a book")


def test_a_predictor_without_reasoning_is_revised_without():
    """What comes out has the same fields."""
    found = play(rtk.SelfRefine(dspy.Predict(SIGNATURE), at_least(9)), [{"answer": "1"}, {"answer": "9"}], question="?")
    assert found.toDict() == {"answer": "9"}


def test_fields_called_as_its_own_do_not_clash():
    """The attempt, the finding and the verdict take other names."""
    program = rtk.SelfRefine("attempt, finding -> passes", "critique", 1)
    assert list(program.revise.signature.input_fields) == ["attempt", "finding", "attempt_", "finding_"]
    replies = [{"reasoning": "r", "passes": "a"}, {"finding_": "no", "passes_": False},
               {"reasoning": "s", "passes": "b"}, {"finding_": "fine", "passes_": True}]  # fmt: skip
    assert play(program, replies, attempt="x", finding="y").passes == "b"


def test_it_nests_in_and_over_the_others():
    """A vote as draft, a vote of it, the best of it, and itself over itself: no sample is asked for twice."""
    inner = rtk.SelfRefine(rtk.SelfConsistency(SIGNATURE, 3), at_least(9), 1)
    outer = rtk.SelfConsistency(rtk.SelfRefine(SIGNATURE, at_least(9), 1), 3)
    best = rtk.BestOfN(rtk.SelfRefine(SIGNATURE, at_least(9), 1), 3, lambda inputs, pred: float(pred.answer))
    twice = rtk.SelfRefine(rtk.SelfRefine(SIGNATURE, at_least(99), 1), at_least(99), 1)
    with serving(lambda received: chain(received.body["seed"] % 5), seed=3, cache=False):
        for program, samples in ((inner, 4), (outer, 6), (best, 6), (twice, 3)):
            with rtk.watch(seen := Seen()):
                found = program(question="?")
            assert found.answer is not None
            assert len(set(map(str, seen.addresses))) == len(seen) == found.spent.samples == samples


def test_a_drafts_confidence_is_handed_on():
    """Where the attempt that is kept brings one."""
    vote = rtk.SelfConsistency(SIGNATURE, 2)
    found = play(rtk.SelfRefine(vote, at_least(1)), answers(1, 1), question="?")
    assert found.confidence.value == 1.0


def test_it_is_awaited_as_well():
    """The same attempts from the same samples."""
    with serving(lambda received: chain(received.body["seed"] % 9), seed=2) as server:
        program = rtk.SelfRefine(SIGNATURE, at_least(99), 2)
        once = program(question="?")
        drawn = server.choices_served
        again = asyncio.run(program.acall(question="?"))
        assert server.choices_served == drawn
    assert once.deliberation.to_dict() == again.deliberation.to_dict()


def test_a_replay_is_the_run(nothing_in_force):
    """From a recording, with no model: the same attempts, findings, explanation and answer."""
    program = rtk.SelfRefine(SIGNATURE, ["critique", at_least(99)], 2, explain=True)

    def script(received):
        if asks(received, "explanation"):
            return chat(explanation="The answer is the draft's.")
        if asks(received, "passes"):
            return chat(finding=f"finding {received.body['seed'] % 7}", passes=received.body["seed"] % 2 == 0)
        return chain(received.body["seed"] % 9)

    told = []
    with serving(script, seed=2), rtk.recording("study"):
        told.append(program(question="?"))
    nowhere = rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none", seed=2)
    with dspy.context(lm=nowhere), rtk.recording("study", mode="replay"):
        told.append(program(question="?"))
    assert told[0].toDict() == told[1].toDict()
    assert told[0].deliberation.to_dict() == told[1].deliberation.to_dict()
    assert told[0].explanation == told[1].explanation != ""


# --- what others see ---


def test_those_who_watch_hear_of_attempts_and_findings():
    """In the order in which they come."""
    heard = []
    with serving(lambda received: chain(9 if asks(received, "finding") else 1)), rtk.watch(heard.append):
        rtk.SelfRefine(SIGNATURE, at_least(9))(question="?")
    scored = [(one.index, one.score) for one in heard if isinstance(one, CandidateScored)]
    failed = [(one.text, one.reason) for one in heard if isinstance(one, CheckFailed)]
    assert scored == [(0, 0.0), (1, 1.0)]
    assert failed == [("1", "1 is too small")]


def test_its_attempts_are_rows_of_a_sweep():
    """With what verification gave each, and a sweep over rounds draws what the most of them need."""
    examples = [dspy.Example(question=f"{n}?", answer="9").with_inputs("question") for n in range(3)]
    program = rtk.SelfRefine(SIGNATURE, at_least(9), comparer="exact")
    with serving(lambda received: chain(3 + int(asks(received, "finding")), received.body["seed"]), seed=1) as server:
        results = rtk.sweep(
            program, examples, {"rounds": [0, 1, 2]}, metric=lambda one, pred: pred.answer == one.answer, progress=None
        )
        assert server.choices_served == 9
    rows, tried = results.rows(), results.candidates()
    assert sorted(rows["consulted"]) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert set(tried["reward"]) == {0.0}
    assert set(tried["answer"]) == {"3", "4"}


def test_a_rehearsal_says_what_it_may_cost():
    """From a draft that passes to rounds that all fail."""
    with dspy.context(lm=rtk.LM("openai/none", api_base="http://127.0.0.1:9/v1", api_key="x")):
        said = rtk.SelfRefine(SIGNATURE, "critique", 2, explain=True).estimate(question="?")
        assert (said.samples.least, said.samples.most, said.bounded, said.exact) == (3, 7, True, False)
        checked = rtk.SelfRefine(SIGNATURE, at_least(9), 2).estimate(question="?")
        assert (checked.samples.least, checked.samples.most) == (1, 3)
        assert rtk.SelfRefine(SIGNATURE, rounds=0).estimate(question="?").exact


@pytest.mark.embedded
def test_a_real_model_refines_within_its_budget():
    """The embedded model drafts, criticises itself and revises; every round is told, and the budget holds."""
    task = rtk.tasks.load("arithmetic", size=2)
    program = rtk.SelfRefine(rtk.experiments.program("self-consistency", task).chain, ["arithmetic", "critique"], 2)
    with dspy.context(lm=rtk.LM("embedded", max_tokens=60), adapter=rtk.LinesAdapter()):
        found = program(question=task.test[0].question, budget=rtk.Budget(samples=4))
    assert found.answer is not None
    assert 1 <= found.spent.samples <= 4
    assert evidence(found, "deliberation").root.children[0].label == "the draft"
