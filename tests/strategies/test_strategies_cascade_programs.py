"""Cascades as programs: saved, swept, optimized, estimated, replayed, evaluated, nested in and over the others."""

import asyncio
import json

import dspy
import pytest
from cascades import EXACT, FAQ, FAR, NEAR, desk, examples, replies, retriever
from scripted import TwoSteps, chain, chat, field_of, serving, tree

import rtk
from rtk.errors import StrategyError
from rtk.strategies import peek

SIGNATURE = "question -> answer"


def sums():
    """A calculator before a vote."""
    return rtk.Cascade({"sums": "calculator", "deep": rtk.SelfConsistency(SIGNATURE, 4)})


def test_thresholds_are_saved_and_loaded_as_json(tmp_path):
    """With the predictors of its levels; what is loaded behaves as what was saved."""
    program = desk(accept={"faq": 0.2, "deep": 0.9, "direct": False}, hand_over=True)
    program.direct.demos = [dspy.Example(question="a", answer="b")]
    program.save(tmp_path / "desk.json")
    saved = json.loads((tmp_path / "desk.json").read_text())
    assert saved["settings"] == {"accept": {"faq": 0.2, "deep": 0.9, "direct": False}, "hand_over": True}
    loaded = desk()
    loaded.load(tmp_path / "desk.json")
    assert (loaded.accept, loaded.hand_over) == (program.accept, True)
    assert loaded.direct.demos[0]["answer"] == "b"
    assert loaded(question=NEAR).answer == FAQ[2][1]


def test_copies_share_nothing_that_changes():
    """Their thresholds are their own, their functions the same ones."""
    program = rtk.Cascade([lambda question: "x", SIGNATURE], accept={"direct": 0.5})
    copy = program.deepcopy()
    copy.accept["direct"] = 0.9
    assert program.accept == {"direct": 0.5}
    assert copy.levels["function"] is program.levels["function"]
    assert copy.direct is not program.direct
    assert program.reset_copy().accept == {"direct": 0.5}


def test_a_setting_that_was_changed_is_checked():
    """When it runs in a sweep."""
    program = desk()
    program.accept = {"fax": 1}
    with pytest.raises(StrategyError, match="no level is called so"):
        program.check_settings()


def test_thresholds_are_swept():
    """As numbers, by level, with the settings of its levels."""
    with serving(replies(deep=["deep"])):
        accept = [None, 0.2, {"faq": False, "direct": True}]
        rows = rtk.sweep(
            desk(),
            examples([(NEAR, "deep"), (EXACT, FAQ[0][1])]),
            over={"accept": accept, "deep.samples": [2, 4]},
            metric=lambda example, prediction: prediction.answer == example.answer,
            progress=None,
        ).to_frame()
    assert len(rows) == 12
    assert sorted(rows[rows.question == EXACT].level.unique()) == ["direct", "faq"]
    assert rows[(rows.question == NEAR) & (rows.level == "deep")]["deep.samples"].tolist() == [2, 4]


def test_bootstrapping_learns_from_the_accepted_level_only():
    """Of the others nothing is on the trace."""

    def script(received):
        if "reasoning" in received.prompt:
            return chain(field_of(received, "question").upper(), "because")
        return chat(answer="no")

    train = [dspy.Example(question=one, answer=one.upper()).with_inputs("question") for one in "abcd"]
    with serving(script):
        right = lambda example, prediction, trace=None: prediction.answer == example.answer  # noqa: E731
        program = rtk.Cascade({"direct": SIGNATURE, "deep": rtk.SelfConsistency(SIGNATURE, 2)})
        compiled = dspy.BootstrapFewShot(metric=right, max_bootstrapped_demos=2, max_labeled_demos=0).compile(
            program, trainset=train
        )
    assert compiled.direct.demos == []
    assert [demo.answer for demo in compiled.deep.chain.predict.demos] == ["A", "B"]


# --- nested ---


@pytest.mark.parametrize(
    "outer",
    [
        lambda inner: rtk.SelfConsistency(inner, 3),
        lambda inner: rtk.BestOfN(inner, 2, lambda inputs, prediction: 1.0),
        lambda inner: rtk.TreeOfThoughts(SIGNATURE, 1, 2, 1, propose=_Proposing(inner)),
        lambda inner: rtk.Cascade({"first": inner, "last": SIGNATURE}),
        lambda inner: rtk.ChainOfThought(inner),
        lambda inner: rtk.SelfRefine(inner),
    ],
)
def test_a_cascade_runs_within_every_strategy(outer):
    """And its samples are theirs, once each."""
    with serving(tree(answer="4")):
        found = outer(sums())(question="How many wheels has a car?")
    assert found.answer == "4"


class _Proposing(dspy.Module):
    """A user's module around a cascade."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, question, **_):
        return dspy.Prediction(thought=self.inner(question=question).answer)


@pytest.mark.parametrize(
    "level",
    [
        lambda: rtk.SelfConsistency(SIGNATURE, 3),
        lambda: rtk.SelfConsistency(SIGNATURE, 3, stop="beta"),
        lambda: rtk.BestOfN(SIGNATURE, 2, lambda inputs, prediction: 1.0),
        lambda: rtk.TreeOfThoughts(SIGNATURE, 1, 2, 1),
        lambda: rtk.ChainOfThought(SIGNATURE, steps=3),
        lambda: rtk.SelfRefine(SIGNATURE),
        lambda: rtk.AdaptiveEffort(SIGNATURE),
        sums,
        TwoSteps,
    ],
)
def test_every_strategy_is_a_level(level):
    """Sync and async come to the same, and draw nothing twice."""
    with serving(tree(answer="4")) as server:
        cascade = rtk.Cascade({"faq": retriever(), "deep": level()})
        found = cascade(question=FAR)
        drawn = server.choices_served
        again = asyncio.run(cascade.acall(question=FAR))
        assert server.choices_served == drawn
    assert (found.answer, again.answer) == ("4", "4")
    assert found.route == again.route


# --- estimates, replays, runners ---


def test_an_estimate_counts_what_a_model_is_asked():
    """What retrieval and functions answer costs nothing; else from the first level that asks to all of them."""
    with serving(replies(deep=["x"])):
        program = desk()
        assert program.estimate(question=EXACT).samples.most == 0
        found = program.estimate(question=NEAR)
        assert (found.samples.least, found.samples.most, found.bounded) == (5, 5, True)
        wide = desk(accept={"direct": True}).estimate(question=NEAR)
        assert (wide.samples.least, wide.samples.most) == (1, 5)
        program(question=NEAR)
        assert (program.estimate(question=NEAR).to_draw.most, peek(program, question=NEAR).there) == (0, 5)


def test_a_recording_replays_the_route(tmp_path):
    """Without a model; the message of a hand-over is the same to the letter."""
    where, nobody = tmp_path / "desk.jsonl", rtk.LM("openai/scripted", api_base="http://127.0.0.1:1", api_key="x")
    with serving(replies(deep=["x", "y", "z", "w"])), rtk.recording(where):
        found = desk(hand_over=True)(question=NEAR)
    with dspy.context(lm=nobody), rtk.recording(where, mode="replay"):
        again = desk(hand_over=True)(question=NEAR)
    assert again.route == found.route
    assert again.hand_over.message == found.hand_over.message
    assert again._repr_html_() == found._repr_html_()


def test_dspys_evaluate_runs_it_on_many_threads():
    """With the answers of single calls."""
    devset = examples([(one.question, one.question.upper()) for one in examples([(c * 3, "") for c in "abcdefgh"])])
    with serving(lambda received: chain(field_of(received, "question").upper())):
        right = lambda example, prediction, trace=None: prediction.answer == example.answer  # noqa: E731
        score = dspy.Evaluate(devset=devset, metric=right, num_threads=4)(sums())
    assert score.score == 100.0


def test_its_repr_names_the_levels():
    """And the settings that are set."""
    said = repr(rtk.Cascade({"faq": retriever(), "sums": "calculator", "direct": SIGNATURE}, accept=0.7))
    assert said.startswith("Cascade(faq=Retriever(3 passages")
    assert said.endswith("sums=calculator, direct=Predict('question -> answer'), accept=0.7)")
