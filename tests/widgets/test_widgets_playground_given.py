"""The playground with a program of the user's own: turned on a copy, whatever it is and returns."""

import copy

import dspy
import pytest
from boards import (
    SIGNATURE,
    Twice,
    answers,
    any_step,
    at,
    bars,
    board,
    chat,
    copy_of,
    ended,
    headline,
    model,
    ran,
    said,
    status,
)

import rtk
from rtk.testing import ScriptedServer


@pytest.fixture
def server():
    with ScriptedServer(answers("a", "b", "b")) as running:
        yield running


def compiled(program):
    """A program with demonstrations, as an optimizer leaves it."""
    for predictor in program.predictors():
        predictor.demos = [dspy.Example(question="demo?", reasoning="known", answer="yes").with_inputs("question")]
    program._compiled = True
    return program


GIVEN = {
    "vote": lambda: rtk.SelfConsistency(SIGNATURE, samples=3),
    "chain": lambda: rtk.ChainOfThought(SIGNATURE),
    "tree": lambda: rtk.TreeOfThoughts(SIGNATURE, breadth=1, branching=2, depth=1),
    "strategy": Twice,
    "module": lambda: dspy.ChainOfThought(SIGNATURE),
    "compiled": lambda: compiled(rtk.SelfConsistency(SIGNATURE, samples=3)),
    "compiled module": lambda: compiled(dspy.ChainOfThought(SIGNATURE)),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_given_program_is_offered_first_and_never_changed(name):
    """Whatever is turned, edited and run: the one that was given is as it was, and so are its demonstrations."""
    program = GIVEN[name]()
    state, compiled_before = copy.deepcopy(program.dump_state()), getattr(program, "_compiled", False)
    with ScriptedServer(any_step) as server:
        playground = board(server, program)
        assert playground.controls.strategy.value == f"{type(program).__name__} (given)"
        assert list(playground.controls.inputs) == ["question"]
        untouched = playground.program.dump_state()
        assert untouched == state
        for control in playground.controls.numbers.values():
            control.value = 1
        at(playground, instructions="Sing it.", temperature=0.35)
        assert status(ran(playground)) == "done"
        assert headline(playground) == "Answer: 42"
        assert any("Sing it." in received.prompt for received in server.requests)
        assert {received.body["temperature"] for received in server.requests} == {0.35}
        if name.startswith("compiled"):
            assert all("demo?" in received.prompt for received in server.requests)
        at(playground, strategy="direct")
        assert status(ran(playground)) == "done"
    assert program.dump_state() == state
    assert getattr(program, "_compiled", False) == compiled_before
    assert program.history == []


def test_a_given_programs_own_settings_are_where_its_controls_begin(server):
    """Those that are numbers of its own, as they are, outside of a slider's usual range too; no others."""
    playground = board(server, Twice())
    numbers = playground.controls.numbers
    shown = {name for name, control in numbers.items() if control.layout.display is None}
    assert shown == {"samples", "depth"}
    assert (numbers["samples"].value, numbers["depth"].value) == (2, 0)
    assert (playground.program.samples, playground.program.depth, playground.program.tone) == (2, 0, "calm")
    at(playground, samples=4)
    assert (playground.program.samples, playground.program.breadth) == (4, None)
    assert said(playground) == "Needs at least 4 samples: 0 stored, Run draws 4 and what follows from them."
    big = board(server, rtk.SelfConsistency(SIGNATURE, samples=500))
    assert (big.controls.numbers["samples"].value, big.program.samples) == (500, 500)


def test_a_given_votes_own_temperature_is_turned(server):
    """The slider begins at it and is not ignored."""
    playground = board(server, rtk.SelfConsistency(SIGNATURE, samples=1, temperature=1.3))
    assert (playground.controls.temperature.value, playground.program.temperature) == (1.3, 1.3)
    ran(at(playground, temperature=0.2))
    assert server.requests[0].body["temperature"] == 0.2
    assert playground.program.temperature == 0.2


def test_the_answer_is_what_was_voted_for():
    """Also where it is not the last output."""
    with ScriptedServer(chat(reasoning="r", answer="42", unit="km")) as server:
        playground = board(server, rtk.SelfConsistency("question -> answer, unit", samples=2, field="answer"))
        assert headline(ran(playground)) == "Answer: 42"
        assert bars(playground) == {"42": 2}


def test_a_given_module_runs_counted_and_can_be_stopped(server):
    """What it needs is known only by running; its draws are counted, kept, and ended by Stop."""
    playground = board(server, dspy.ChainOfThought(SIGNATURE))
    assert said(playground) == "This program says how many samples it needs only by running."
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 1)
        assert said(playground) == "Drawing: 0 samples are here."
        playground.stop()
        ended(playground)
    assert said(playground) == "Stopped; 0 samples drawn in this run are kept."
    ran(playground)
    assert (said(playground), headline(playground)) == ("Done. 1 sample drawn.", "Answer: b")
    ran(playground)
    assert said(playground) == "Nothing had to be drawn."


def test_a_vote_over_a_module_says_that_it_does_not_know(server):
    """Neither how many it needs nor how many are there, before and after."""

    class Steps(dspy.Module):
        def __init__(self):
            super().__init__()
            self.step = dspy.ChainOfThought(SIGNATURE)

        def forward(self, question):
            return self.step(question=question)

    playground = board(server, rtk.SelfConsistency(Steps(), samples=3))
    unknown = "This program says how many samples it needs only by running."
    assert said(playground) == unknown
    ran(playground)
    assert "3 samples (3 drawn, 0 reused)" in said(playground)
    assert bars(playground) == {"b": 2, "a": 1}
    at(playground, samples=2)
    assert said(playground) == unknown
    assert ran(playground).prediction.vote.votes == 2
    assert server.count == 3


class Returning(dspy.Module):
    """A module that returns what it is given."""

    def __init__(self, value):
        super().__init__()
        self.step = dspy.Predict(SIGNATURE)
        self._value = value

    def forward(self, question):
        return self._value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "Answer: text"),
        (None, "No answer"),
        ({"reasoning": "r", "answer": 7}, "Answer: 7"),
        (dspy.Prediction(), "No answer"),
        (dspy.Prediction(answer=0), "Answer: 0"),
        (["a", "b"], "Answer: ['a', 'b']"),
    ],
    ids=repr,
)
def test_whatever_a_module_returns_is_shown(server, value, shown):
    """A prediction or not, it ends the run and is no error of the controls."""
    playground = board(server, Returning(value))
    copy_of(playground)
    ran(playground)
    assert (status(playground), headline(playground)) == ("done", shown)
    assert copy_of(playground)


def test_outputs_that_are_called_as_evidence_is_are_outputs(server):
    """A signature may have fields named vote, confidence, stopped, spent, deliberation and abstentions."""
    names = "vote, confidence, stopped, spent, deliberation, abstentions, answer"
    fields = dict.fromkeys(names.split(", "), "calls?")
    with ScriptedServer(chat(reasoning="r", **{**fields, "answer": "42"})) as fielded:
        playground = board(fielded, f"question -> {names}", strategy="self-consistency", samples=2)
        ran(playground)
        assert (status(playground), headline(playground)) == ("done", "Answer: 42")
        assert said(playground).startswith("Done.")
        at(playground, samples=3)
        assert "Needs 3 samples" in said(playground)


def test_a_program_without_predictors_is_run(server):
    """It has no prompts to edit, and is asked a question."""

    class Fixed(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=f"{question}!")

    playground = board(server, Fixed())
    assert playground.controls.instructions.layout.display == "none"
    at(playground, instructions="unheard")
    assert headline(ran(playground)) == "Answer: What?!"


def test_prompts_of_several_predictors_are_edited_apart(server):
    """Each is shown as it is when it is chosen, and reaches its own predictor alone."""
    playground = board(server, Twice())
    own = {name: predictor.signature.instructions for name, predictor in Twice().named_predictors()}
    assert list(playground.controls.prompt.options) == list(own) == ["draft.predict", "final.predict"]
    assert playground.controls.instructions.value == own["draft.predict"]
    at(playground, instructions="First.", prompt="final.predict")
    assert playground.controls.instructions.value == own["final.predict"]
    at(playground, instructions="Last.", prompt="draft.predict")
    assert playground.controls.instructions.value == "First."
    made = {name: one.signature.instructions for name, one in playground.program.named_predictors()}
    assert made == {"draft.predict": "First.", "final.predict": "Last."}
    ran(playground)
    assert ["First." in received.prompt for received in server.requests] == [True, True, False]
    assert ["Last." in received.prompt for received in server.requests] == [False, False, True]


def test_the_usual_programs_share_their_instructions_and_no_others(server):
    """Edited under one strategy they hold for all; a given program's stay its own."""
    playground = board(server, rtk.SelfConsistency(SIGNATURE))
    at(playground, instructions="Given.", strategy="direct")
    usual = playground.controls.instructions.value
    assert usual != "Given."
    at(playground, instructions="Usual.", strategy="tree of thoughts")
    assert playground.controls.instructions.value == "Usual."
    at(playground, strategy="SelfConsistency (given)")
    assert playground.controls.instructions.value == "Given."


class Searching(dspy.Module):
    """A module whose first predictor does not see all of its inputs, with a number that is no question."""

    def __init__(self):
        super().__init__()
        self.query = dspy.Predict("question -> query")
        self.answer = dspy.ChainOfThought("passages, question, tone -> answer")

    def forward(self, question, tone="calm", k=3):
        query = self.query(question=question).query
        return self.answer(passages=[query] * k, question=question, tone=tone)


@pytest.mark.parametrize(
    ("program", "inputs", "outputs"),
    [
        (lambda: rtk.TreeOfThoughts("question, place -> answer: int"), ["question", "place"], {"answer": int}),
        (lambda: rtk.SelfConsistency(rtk.TreeOfThoughts(SIGNATURE)), ["question"], {"answer": str}),
        (Twice, ["question"], {"answer": str}),
        (Searching, ["question", "tone"], {"answer": str}),
        (lambda: rtk.SelfConsistency(Searching()), ["question"], {"answer": str}),
        (lambda: dspy.Predict("context, question -> answer: float"), ["context", "question"], {"answer": float}),
        (lambda: dspy.Predict("question -> reasoning"), ["question"], {"reasoning": str}),
    ],
)
def test_a_given_program_is_asked_what_it_takes(server, program, inputs, outputs):
    """Inputs that its predictors make for each other are no controls; the usual programs answer as it does."""
    playground = rtk.Playground(program(), model=model(server))
    assert list(playground.controls.inputs) == inputs
    at(playground, strategy="direct")
    signature = playground.program.chain.signature
    assert list(signature.input_fields) == inputs
    assert {name: one.annotation for name, one in signature.output_fields.items()} == outputs
    assert [word for word in ("draft", "thoughts", "passages") if word in signature.instructions] == []


def test_the_usual_programs_keep_a_given_ones_instructions(server):
    """Where they stand for the whole."""
    signature = dspy.Signature(SIGNATURE, "Answer in verse.")
    for program in (rtk.TreeOfThoughts(signature), rtk.SelfConsistency(signature), dspy.Predict(signature)):
        playground = rtk.Playground(program, model=model(server))
        assert at(playground, strategy="direct").program.chain.signature.instructions == "Answer in verse."
