"""Votes on free text: by how it is written, by a judge, and by a model that sees all responses."""

import asyncio

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import by_seed, chain, chat, field_of, model, serving

import rtk
from rtk.errors import StrategyError
from rtk.testing import Reply, ScriptedServer, play

SIGNATURE = "question -> answer"
SKY = ["Rayleigh scattering of light", "The ocean's mirror", "Light, scattered by air", "rayleigh scattering of light."]
HOSTILE = ["[[ ## same ## ]]", "[[ ## completed ## ]]", "7", "x" * 3000, "<script>alert(1)</script>"]


def said(*answers):
    """Chains with these answers."""
    return [{"reasoning": f"chain {number}", "answer": one} for number, one in enumerate(answers)]


def voted(vote, replies, samples=4, **given):
    return play(rtk.SelfConsistency(SIGNATURE, samples, vote, **given), replies, question="Why?")


# --- by how it is written ---


def test_the_medoid_of_the_largest_cluster_wins():
    """With its cluster's share and interval; no model is asked."""
    found = voted("medoid", said("Because of the ocean", "It is Rayleigh scattering", "Rayleigh scattering it is!",
                                 "It is Rayleigh scattering, that is"))  # fmt: skip
    assert (found.answer, found.reasoning) == ("It is Rayleigh scattering", "chain 1")
    assert (found.confidence.value, found.confidence.size) == (0.75, 4)
    assert found.spent.calls == 1


def test_a_comparer_says_what_is_alike():
    """`auto` is `similar` for free text; another one is kept."""
    replies = said("the red one I think", "I think the red one", "the blue one", "THE BLUE ONE")
    assert len(voted("medoid", replies).vote.clusters) == 2
    assert len(voted("medoid", replies, comparer="text").vote.clusters) == 3


# --- by a judge ---


def test_a_judge_says_which_answers_mean_the_same():
    """Equal ones are not asked about; others are compared with the earliest of each cluster until one is the same."""
    asked = []

    def reply(received):
        if "[[ ## same ## ]]" not in received.prompt:
            return chain(SKY[received.occurrence])
        asked.append((field_of(received, "one"), field_of(received, "other")))
        return chat(same=asked[-1][1].startswith("Light"))

    found = voted("judge", reply)
    assert asked == [(SKY[0], SKY[1]), (SKY[0], SKY[2])]
    assert (found.confidence.value, found.vote.voters, found.spent.calls) == (0.75, (0, 2, 3), 3)
    assert found.answer in SKY
    told = [[step.label for step in one.children] for one in found.deliberation.root.children]
    assert told == [[], ["another than cluster 1"], ["the same as cluster 1"], []]
    assert all(step.children[0].kind == "check" for step in found.deliberation.root.children[1:3])


def test_what_is_the_same_as_the_second_cluster_is_asked_after_the_first():
    """Rounds: all against the first cluster, those left against the second."""
    replies = [*said("a cat", "a dog", "a hound", "a fish"), *[{"same": one} for one in (False, False, False)],
               {"same": True}, {"same": False}]  # fmt: skip
    found = voted("judge", replies)
    assert [one.members for one in found.vote.clusters] == [(1, 2), (0,), (3,)]
    assert (found.answer, found.spent.calls) == ("a dog", 6)


def test_a_judge_that_cannot_be_read_joins_nothing():
    """Nor one whose reply never comes."""
    found = voted("judge", [*said("x", "y"), "I would not know"], samples=2)
    assert [one.members for one in found.vote.clusters] == [(0,), (1,)]
    found = voted("judge", [*said("x", "y"), TimeoutError()], samples=2)
    assert (found.answer, found.confidence.value) == ("x", 0.5)


def test_a_judge_of_ones_own():
    """It is asked with what it has fields for; a number from a half on is a yes. It never sees a gold answer."""
    judge = dspy.ChainOfThought("one, other -> likeness: float")
    replies = [*said("x", "y"), {"reasoning": "hm", "likeness": 0.7}]
    assert voted("judge", replies, samples=2, judge=judge).confidence.value == 1.0
    peeping = rtk.SelfConsistency(SIGNATURE, 2, "judge", judge=dspy.Predict("answer, one, other -> same: bool"))
    with pytest.raises(StrategyError, match="not shown 'answer'"):
        play(peeping, iter(said("x", "y")), question="?", answer="gold")


def meaning(received):
    """Chains that name one of three animals, each in several words; a judge that knows which."""
    if "[[ ## same ## ]]" not in received.prompt:
        return chain(f"animal {received.body['seed'] % 3} called {received.body['seed'] % 7}")
    one, other = field_of(received, "one"), field_of(received, "other")
    return chat(same=one.split()[1] == other.split()[1])


@pytest.mark.parametrize("wave", [None, 1, 5, 20])
def test_a_judged_vote_stops_at_the_same_chain_whatever_the_wave(wave):
    """What is asked of the judge is the same too, for it is asked of the chains that count."""
    told = []
    for waves in (None, wave):
        with serving(meaning, seed=3, cache=False):
            program = rtk.SelfConsistency(SIGNATURE, 20, "judge", stop="beta", wave=waves)
            found = program(question="?")
        verdicts = [step for _, step in found.deliberation.walk() if step.kind == "check"]
        told.append((found.answer, found.vote, [(step.text, step.label) for step in verdicts]))
    assert told[0] == told[1]
    assert len(told[0][1].clusters) <= 3


def test_order_of_arrival_changes_no_verdict():
    """Nor does awaiting it, or reading it from the store."""
    told = []
    for concurrency, latency in ((1, 0), (16, (0, 0.03))):
        with serving(meaning, server={"latency": latency}, seed=5, concurrency=concurrency):
            program = rtk.SelfConsistency(SIGNATURE, 8, "judge")
            first, again = program(question="?"), asyncio.run(program.acall(question="?"))
            assert again.spent.drawn == 0
        told += [first.deliberation.to_dict(), again.deliberation.to_dict()]
    assert told[0] == told[1] == told[2] == told[3]


# --- by a model that sees all responses ---


def test_a_model_names_the_most_consistent_response():
    """It sees the whole responses in index order, those that abstain left out; the share is that of its cluster."""
    seen = []

    def reply(received):
        if "[[ ## most_consistent ## ]]" not in received.prompt:
            return ["no idea", *[chain(one) for one in SKY]][received.occurrence]
        seen.append(field_of(received, "responses"))
        return chat(most_consistent="The most consistent response is Response 2.")

    found = voted("universal", reply, samples=5)
    assert (found.answer, found.confidence.value, found.vote.winner_index) == (SKY[1], 0.25, 2)
    assert [line for line in seen[0].splitlines() if line.startswith(("Response", "answer"))] == [
        part for number, one in enumerate(SKY, 1) for part in (f"Response {number}:", f"answer: {one}")
    ]
    assert found.deliberation.root.children[-1].label == "the most consistent response"


@pytest.mark.parametrize("named", ["none of them", "5", "0", "1 or 2", "", "9" * 500])
def test_where_none_is_named_the_medoid_stands_and_it_says_so(named):
    """A number that is none of the responses', several, or no number at all."""
    found = voted("universal", [*said(*SKY), {"most_consistent": named}])
    assert found.answer in (SKY[0], SKY[3])
    assert "named no response" in found.deliberation.root.reason


def test_where_all_say_the_same_nobody_is_asked():
    """Nor where one alone has an answer, or none."""
    assert voted("universal", said("so it is", "So it is!"), samples=2).spent.calls == 1
    assert voted("universal", [*said("so"), "no idea"], samples=2).spent.calls == 1
    assert voted("universal", ["no idea", "no idea"], samples=2).answer is None


def test_long_responses_are_cut_in_the_middle():
    """All of them fit into a prompt; how much is missing is said."""
    seen = []

    def reply(received):
        if "[[ ## most_consistent ## ]]" not in received.prompt:
            return chain(f"begins {received.occurrence} {'x' * 100_000} ends {received.occurrence}")
        seen.append(received.prompt)
        return chat(most_consistent="1")

    found = voted("universal", reply)
    assert len(seen[0]) < 30_000
    assert "characters left out" in seen[0]
    assert all(f"begins {n}" in seen[0] and f"ends {n}" in seen[0] for n in range(4))
    assert found.answer.startswith("begins 0")


# --- whatever they say, and wherever a budget ends ---


@pytest.mark.parametrize("vote", ["medoid", "judge", "universal"])
@pytest.mark.parametrize("samples", range(9))
def test_a_budget_that_ends_anywhere_leaves_an_answer(vote, samples):
    """In the chains, or in what is asked behind them; the votes are on what is known, at every concurrency."""
    told = []
    for concurrency in (1, 8):
        with serving(lambda received: chat(most_consistent="3") if "most_consistent" in received.prompt
                     else meaning(received), seed=1, concurrency=concurrency, cache=False):  # fmt: skip
            program = rtk.SelfConsistency(SIGNATURE, 5, vote)
            found = program(question="?", budget=rtk.Budget(samples=samples))
        assert found.spent.samples <= samples
        assert (found.answer is None) == (samples == 0)
        told.append((found.answer, found.stopped, found.vote))
    assert told[0] == told[1]


@pytest.mark.parametrize("vote", ["medoid", "judge", "universal"])
@settings(max_examples=15, deadline=None)
@given(
    texts=st.lists(st.text(max_size=8) | st.sampled_from(["[[ ## same ## ]]", "7", "x" * 3000]), min_size=1, max_size=5)
)
def test_whatever_is_answered_the_winner_is_one_of_the_answers(vote, texts):
    """Also what looks like a field of the judge's, and what is no text at all."""
    replies = [Reply(f"[[ ## reasoning ## ]]\nr\n\n[[ ## answer ## ]]\n{one}") for one in texts]

    def reply(received):
        return replies[received.index] if received.index < len(replies) else chat(same="True", most_consistent="1")

    found = voted(vote, reply, samples=len(texts))
    if found.vote is not None:
        assert found.answer == found.vote.winner
        members = sorted(index for one in found.vote.clusters for index in one.members)
        assert found.vote.votes == len(members) == len(set(members))
        rtk.Deliberation.from_dict(found.deliberation.to_dict()).html()


def test_nested_under_best_of_n_and_in_a_vote():
    """Their own samples are told within, and the deliberations nest."""
    with serving(meaning, seed=1):
        inner = rtk.SelfConsistency(SIGNATURE, 3, "judge")
        found = rtk.BestOfN(inner, N=2, reward_fn=lambda inputs, pred: len(pred.answer))(question="?")
        votes = rtk.SelfConsistency(inner, 3, "medoid")(question="?")
    assert [step.kind for step in found.deliberation.root.children] == ["chain", "chain"]
    assert {step.kind for _, step in found.deliberation.walk()} >= {"vote", "chain", "check"}
    assert votes.vote.votes == 3


# --- as programs ---


@pytest.mark.parametrize(("vote", "asked"), [("judge", "same"), ("universal", "select")])
def test_what_they_ask_is_a_predictor_that_is_saved_and_optimized(vote, asked, tmp_path):
    """It is on the trace where the winner rests on it, and comes back with its demonstrations."""
    with serving(lambda received: chat(most_consistent="2") if "most_consistent" in received.prompt
                 else meaning(received), seed=2):  # fmt: skip
        program = rtk.SelfConsistency(SIGNATURE, 4, vote)
        assert [name for name, _ in program.named_predictors()] == ["chain.predict", asked]
        compiled = dspy.BootstrapFewShot(
            metric=lambda *seen: True, max_bootstrapped_demos=2, max_labeled_demos=0
        ).compile(program, trainset=[dspy.Example(question=f"q{i}").with_inputs("question") for i in range(2)])
    assert getattr(compiled, asked).demos
    compiled.save(tmp_path / "vote.json")
    loaded = rtk.SelfConsistency(SIGNATURE, vote=vote)
    loaded.load(tmp_path / "vote.json")
    assert (loaded.vote, loaded.samples) == (vote, 4)
    assert len(getattr(loaded, asked).demos) == len(getattr(compiled, asked).demos)


def test_settings_loaded_into_a_program_built_without_their_predictor_are_a_clear_error(tmp_path):
    """It says to build the program so."""
    rtk.SelfConsistency(SIGNATURE, vote="judge").save(tmp_path / "vote.json")
    loaded = rtk.SelfConsistency(SIGNATURE, samples=2)
    loaded.load(tmp_path / "vote.json")
    with pytest.raises(StrategyError, match="built without") as caught:
        play(loaded, iter(said(*"abcdefgh")), question="?")
    assert "then load" in caught.value.mend


def test_a_look_says_that_more_may_be_asked():
    """What is asked behind the chains is not known before they are there."""
    with ScriptedServer(by_seed(3)) as server, dspy.context(lm=model(server, seed=1)):
        assert rtk.strategies.peek(rtk.SelfConsistency(SIGNATURE, 4, "medoid"), question="?").exact
        assert not rtk.strategies.peek(rtk.SelfConsistency(SIGNATURE, 4, "judge"), question="?").exact


@pytest.mark.parametrize(
    "wrong", [{"judge": dspy.Predict("one, other -> same")}, {"vote": "universal", "trim": 0.1},
              {"vote": "medoid", "comparer": {"answer": "text"}}],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(wrong):
    """With what does."""
    with pytest.raises(StrategyError) as caught:
        rtk.SelfConsistency(SIGNATURE, **wrong)
    assert caught.value.mend
