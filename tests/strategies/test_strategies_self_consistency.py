"""Self-consistency: many chains, one vote, and what is said about it."""

import math

import dspy
import pytest
from scripted import TwoSteps, chain, chat, choices, field_of, model, serving

import rtk
from rtk.answers import Abstention, vote
from rtk.errors import StrategyError
from rtk.testing import Reply, ScriptedServer


def voted(answers, signature="question -> answer", **settings):
    """The prediction of a vote on these answers, in index order."""
    with serving(choices(answers), cache=False):
        return rtk.SelfConsistency(signature, samples=len(answers), **settings)(question="?")


# --- rules ---


def test_the_majority_wins_with_its_share_and_interval():
    """Three of five, with Wilson's interval."""
    found = voted(["a", "b", "b", "c", "b"])
    assert (found.answer, found.reasoning) == ("b", "chain 1")
    assert (found.confidence.value, found.confidence.size) == (0.6, 5)
    assert 0.2 < found.confidence.low < 0.6 < found.confidence.high < 0.9


def test_a_tie_goes_to_the_earliest_answer():
    """By index, not by what came first."""
    assert voted(["b", "a", "a", "b"]).answer == "b"


@pytest.mark.parametrize(
    ("rule", "answers", "winner"),
    [
        ("mean", ["1", "2", "6"], "3"),
        ("mean", ["1", "2", "3"], "2"),
        ("median", ["1", "2", "60"], "2"),
        ("median", ["1", "2", "3", "60"], "2.5"),
    ],
)
def test_quantities_are_averaged(rule, answers, winner):
    """A mean or median that nobody gave is the prediction's own; its chain is the nearest one's."""
    found = voted(answers, vote=rule)
    assert (found.answer, found.reasoning) == (winner, "chain 1")
    assert found.deliberation.root.text == f"the {rule} of {len(answers)} is {winner}"
    assert found.confidence.value == (0.0 if winner not in answers else pytest.approx(1 / len(answers)))


def test_a_mean_of_numbers_is_a_number():
    """Typed outputs keep their type as far as a mean can."""
    assert voted(["1", "2", "6"], "question -> answer: int", vote="mean").answer == 3
    assert voted(["1", "2"], "question -> answer: float", vote="mean").answer == 1.5


def test_what_is_no_number_abstains_from_a_mean():
    """It is counted as such in the vote, and harms no number."""
    found = voted(["2", "unknown", "4"], vote="mean")
    assert (found.answer, found.confidence.size) == ("3", 2)


def test_a_function_may_elect():
    """It gets the answers in index order, abstentions among them, and returns a vote."""
    seen = []

    def longest(answers):
        seen.extend(answers)
        weights = [0 if isinstance(one, Abstention) else len(one) for one in answers]
        return vote(answers, rule="weighted", weights=weights)

    script = lambda received: ["no idea", chain("a"), chain("a"), chain("looong")][received.choice]  # noqa: E731
    with serving(script):
        found = rtk.SelfConsistency("question -> answer", samples=4, vote=longest)(question="?")
    assert found.answer == "looong"
    assert [type(one) for one in seen] == [Abstention, str, str, str]
    assert seen[0].kind == "malformed"


def test_a_function_that_elects_nothing_is_a_clear_error():
    """It says what a vote function returns."""
    with pytest.raises(StrategyError, match=r"returned str") as caught:
        voted(["a", "b"], vote=lambda answers: answers[0])
    assert "rtk.answers.Vote" in caught.value.mend


# --- which answers are the same, and which field is voted on ---


def test_numbers_written_differently_are_one_answer():
    """The default comparer reads numbers; the winner is written as its earliest voter wrote it."""
    found = voted(["7", "1,234", "1234", "1234.0", "-1234"])
    assert (found.answer, found.confidence.value) == ("1,234", 0.6)


def test_the_comparer_is_a_setting():
    """Text that differs is different where it must be exact; a function may say what is the same."""
    assert voted(["1234", "1,234", "1,234"], comparer="exact").answer == "1,234"
    same = lambda a, b: a[0] == b[0]  # noqa: E731
    assert voted(["apple", "bean", "artichoke"], comparer=same).confidence.value == pytest.approx(2 / 3)


def two_fields(received):
    units, answers = ["km", "m", "m"], ["3", "3", "4"]
    return chat(reasoning="r", answer=answers[received.choice], unit=units[received.choice])


@pytest.mark.parametrize(("field", "expected"), [(None, ("3", "m")), ("unit", ("3", "m")), ("answer", ("3", "km"))])
def test_one_field_is_voted_on_and_the_others_are_the_winners(field, expected):
    """By default the last output; all fields come from one and the same chain."""
    with serving(two_fields):
        found = rtk.SelfConsistency("question -> answer, unit", samples=3, field=field)(question="?")
    assert (found.answer, found.unit) == expected


def test_reasoning_that_stands_last_is_not_voted_on():
    """The answer is the last output that is not reasoning."""
    script = lambda received: chat(answer="ab"[received.choice == 0], reasoning=f"{received.choice}")  # noqa: E731
    with serving(script):
        vote_of_three = rtk.SelfConsistency(dspy.Predict("question -> answer, reasoning"), samples=3)
        assert vote_of_three(question="?").answer == "a"


def test_where_all_outputs_are_reasoning_the_last_one_is_voted_on():
    """A signature may call its answer `thoughts`."""
    script = lambda received: chat(reasoning="r", thoughts="ab"[received.choice == 0])  # noqa: E731
    with serving(script):
        found = rtk.SelfConsistency("question -> thoughts", samples=3)(question="?")
    assert (found.thoughts, found.confidence.size) == ("a", 3)


def test_a_field_that_no_chain_has_is_a_clear_error():
    """A typo would otherwise make every chain abstain."""
    with pytest.raises(StrategyError, match="field='anser'") as caught:
        voted(["a", "b"], field="anser")
    assert "answer" in caught.value.mend


# --- weighed by confidence ---


def sure(answer, *logprobs):
    """A chain whose tokens had these log-probabilities."""
    tokens = [{"token": f"t{place}", "logprob": one} for place, one in enumerate(logprobs)]
    return Reply(chain(answer), logprobs=tokens or None)


WEIGHED = (sure("a", -2.0, -4.0), sure("b", -0.1, -0.3), sure("a", -3.0), Reply("no idea"))


def test_a_sure_chain_outweighs_two_unsure_ones():
    """Each weighs as much as its tokens were probable; the interval is still that of the votes."""
    with serving(lambda received: WEIGHED[received.choice], cache=False) as server:
        found = rtk.SelfConsistency("question -> answer", samples=4, vote="confidence")(question="?")
        assert server.requests[0].body["logprobs"] is True
        assert rtk.SelfConsistency("question -> answer", samples=4)(question="?").answer == "a"
    weights = [math.exp(-3.0), math.exp(-0.2), math.exp(-3.0), 0.0]
    assert found.answer == "b"
    assert [step.score for step in found.deliberation.root.children] == pytest.approx(weights)
    assert found.vote.share == pytest.approx(weights[1] / sum(weights))
    assert (found.confidence.value, found.confidence.size) == (pytest.approx(1 / 3), 3)
    assert "of the weight" in str(found.deliberation)


def test_a_model_without_log_probabilities_is_a_clear_error():
    """It says who knows which models give them."""
    with serving(chain("a")), pytest.raises(StrategyError, match="gave none") as caught:
        rtk.SelfConsistency("question -> answer", samples=2, vote="confidence")(question="?")
    assert "doctor" in caught.value.mend


def test_without_any_answer_nothing_is_weighed():
    """All abstain, and so does the vote."""
    with serving("no idea"):
        found = rtk.SelfConsistency("question -> answer", samples=2, vote="confidence")(question="?")
    assert (found.answer, found.abstentions) == (None, {"malformed": 2})


@pytest.mark.parametrize(("on", "settings"), [("question -> answer", {"stop": "beta"}), (TwoSteps(), {})])
def test_confidence_weighs_the_chains_of_a_predictor_all_of_them(on, settings):
    """The runs of a module have no tokens of their own, and stopping counts heads."""
    with pytest.raises(StrategyError):
        rtk.SelfConsistency(on, vote="confidence", **settings)


# --- modules ---


def test_a_module_is_voted_on_like_a_chain():
    """Each run is a candidate with all its fields."""

    class Shout(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.Predict("question -> answer")

        def forward(self, question):
            answer = self.inner(question=question).answer
            return dspy.Prediction(answer=answer.upper(), length=len(answer))

    with serving(lambda received: chat(answer="ab"[received.body["seed"] % 2]), seed=1):
        found = rtk.SelfConsistency(Shout(), samples=9, field="answer")(question="?")
    assert found.answer in "AB"
    assert found.length == 1
    assert found.confidence.size == len(found.completions) == 9


def test_a_module_that_returns_no_prediction_is_a_clear_error():
    """It says what a module must return."""

    class Bare(dspy.Module):
        def forward(self, question):
            return "yes"

    with serving("-"), pytest.raises(StrategyError, match="returned str"):
        rtk.SelfConsistency(Bare(), samples=2)(question="?")


def test_chains_of_ours_bring_their_own_deliberation():
    """A vote of strategies shows what happened in each."""
    with serving(chain("42", "2 + 2 = 5. So it is.")):
        found = rtk.SelfConsistency(rtk.ChainOfThought("question -> answer"), samples=2)(question="?")
    kinds = [step.kind for _, step in found.deliberation.walk()]
    assert kinds == ["vote", *["chain", "chain", "step", "check", "step"] * 2]
    assert found.deliberation.root.children[0].children[0].children[0].children[0].reason == "2 + 2 is 4"


# --- temperature ---


def test_at_temperature_zero_the_one_sample_votes_once_and_says_so():
    """Eight are asked for and are the same one: a vote of one, in the confidence and on the page."""
    with serving(choices(["a", "b"])) as server:
        found = rtk.SelfConsistency("question -> answer", samples=8, temperature=0)(question="?")
        assert server.choices_served == 1
    assert (found.answer, found.confidence.size, len(found.completions)) == ("a", 1, 1)
    assert "8 asked for, 1 counted" in found.deliberation.root.reason
    assert "temperature 0" in str(found.deliberation)


def test_at_temperature_zero_an_abstention_counts_once():
    """There is one sample, so there is one abstention."""
    with serving("no idea"):
        found = rtk.SelfConsistency("question -> answer", samples=8, temperature=0)(question="?")
    assert found.abstentions == {"malformed": 1}


@pytest.mark.parametrize("program", [TwoSteps, lambda: rtk.ChainOfThought("question -> answer")])
def test_at_temperature_zero_the_runs_of_a_module_count_once(program):
    """Rollouts that rest on the very same samples are one vote."""
    with serving(chain("a"), temperature=0):
        found = rtk.SelfConsistency(program(), samples=4)(question="?")
    assert (found.answer, found.confidence.size) == ("a", 1)
    assert "4 asked for, 1 counted" in found.deliberation.root.reason


def test_runs_that_differ_by_chance_of_their_own_all_count():
    """Where a module is random beyond its samples, every run is a vote."""
    flips = iter("abab")

    class Flip(dspy.Module):
        def __init__(self):
            super().__init__()
            self.inner = dspy.Predict("question -> answer")

        def forward(self, question):
            return dspy.Prediction(answer=self.inner(question=question).answer + next(flips))

    with serving(chat(answer="x"), temperature=0):
        assert rtk.SelfConsistency(Flip(), samples=4)(question="?").confidence.size == 4


def test_the_temperature_is_the_models_own_unless_given():
    """0.7 by default; a setting of the vote reaches its chains."""
    with serving(chain("a")) as server:
        rtk.SelfConsistency("question -> answer", samples=2)(question="?")
        rtk.SelfConsistency("question -> answer", samples=2, temperature=1.2)(question="?")
        assert [received.body["temperature"] for received in server.requests] == [0.7, 1.2]


def test_a_temperature_for_a_module_is_refused():
    """It would reach nothing."""
    with pytest.raises(StrategyError, match="temperature="):
        rtk.SelfConsistency(TwoSteps(), temperature=0.5)


@pytest.mark.parametrize(
    "settings",
    [{"samples": 0}, {"samples": True}, {"samples": 2.0}, {"vote": "plurality"}, {"temperature": -1},
     {"temperature": float("nan")}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_at_once(settings):
    """Each with what it may be."""
    with pytest.raises(StrategyError) as caught:
        rtk.SelfConsistency("question -> answer", **settings)
    assert caught.value.mend


# --- what is told ---


def test_completions_hold_all_candidates_the_winner_first():
    """Then the others, in index order, without the abstentions."""
    with serving(lambda received: [chain("a"), "no idea", chain("b"), chain("b")][received.choice]):
        found = rtk.SelfConsistency("question -> answer", samples=4)(question="?")
    assert list(found.completions.answer) == ["b", "a", "b"]
    assert found.completions[0].answer == found.answer


def test_the_deliberation_of_a_vote():
    """The vote holds its chains in index order: chosen, those that agree, those that do not, those that abstain."""
    with serving(lambda received: [chain("a"), chain("b"), "no idea", chain("b")][received.choice]):
        told = rtk.SelfConsistency("question -> answer", samples=4)(question="?").deliberation
    root = told.root
    assert (root.kind, root.text, root.state, root.score) == ("vote", "2 of 3 for b", "chosen", pytest.approx(2 / 3))
    assert [(step.label, step.state) for step in root.children] == [
        ("a", "open"),
        ("b", "chosen"),
        ("malformed", "dead end"),
        ("b", "kept"),
    ]
    assert len({step.address for step in root.children}) == 4
    assert rtk.Deliberation.from_dict(told.to_dict()).to_dict() == told.to_dict()


def test_votes_on_other_questions_do_not_mix():
    """One program, several questions, one server: each its own samples."""
    with ScriptedServer(lambda received: chain(field_of(received, "question"))) as server:
        program = rtk.SelfConsistency("question -> answer", samples=2)
        program.set_lm(model(server))
        assert [program(question=f"q{i}").answer for i in range(3)] == ["q0", "q1", "q2"]
        assert server.choices_served == 6
