"""The playground on a task, over several models, in a replay, and as a static copy."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from boards import (
    PATIENCE,
    SECRET,
    SIGNATURE,
    Twice,
    answers,
    any_step,
    at,
    board,
    chain,
    copy_of,
    ended,
    headline,
    model,
    ran,
    said,
    status,
    view,
)
from dspy.utils import DummyLM

import rtk
from rtk.errors import ModelError, StrategyError
from rtk.testing import ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_in_force")


@pytest.fixture
def server():
    with ScriptedServer(answers("a", "b", "b")) as running:
        yield running


# --- tasks ---


def gold(task):
    """A model that knows the answers to a task's questions, and is wrong about the second."""
    known = {example.question: example.answer for example in task.dev}
    wrong = task.dev[1].question

    def reply(received):
        question = next(one for one in known if one in received.last)
        return f"reasoning: r\nanswer: {known[question] if question != wrong else -1}"

    return reply


@pytest.fixture
def arithmetic():
    task = rtk.tasks.load("arithmetic", size=20)
    with ScriptedServer(gold(task)) as server, dspy.context(adapter=rtk.LinesAdapter()):
        yield task, board(server, task=task, strategy="self-consistency", samples=2, shots=2), server


def test_an_answer_is_held_against_the_gold_one(arithmetic):
    """Right or wrong is said of a task's own questions; of one that was edited, nothing."""
    task, playground, _ = arithmetic
    right, wrong = task.dev[0], task.dev[1]
    assert headline(ran(playground)) == f"Answer: {right.answer} (right)"
    assert headline(ran(at(playground, pick=1))) == f"Answer: -1 (wrong: it is {wrong.answer})"
    playground.controls.inputs["question"].value = f"{right.question} "
    assert playground.controls.question.value == -1
    assert headline(ran(playground)) == f"Answer: {right.answer}"
    playground.controls.inputs["question"].value = right.question
    assert (playground.controls.question.value, headline(playground)) == (0, f"Answer: {right.answer} (right)")


def test_a_question_picked_during_a_run_is_not_what_was_answered(arithmetic):
    """The answer that comes belongs to the question that was asked."""
    task, playground, server = arithmetic
    said_of = []
    view(playground).observe(lambda change: said_of.append(change["new"]["headline"]), "state")
    with server.hold():
        playground.run()
        server.wait_for(lambda s: s.held == 1)
        at(playground, pick=2)
    ended(playground)
    assert f"Answer: {task.dev[0].answer} (right)" in said_of
    assert not any("wrong" in one for one in said_of)
    assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."


def test_a_program_that_does_not_answer_the_task_is_told_so(arithmetic):
    """Its answer is shown, and below it why it cannot be compared."""
    task, _, _ = arithmetic
    with ScriptedServer("reasoning: r\nresult: 5") as server:
        playground = board(server, rtk.SelfConsistency("question -> result", samples=1), task=task)
        ran(playground)
        assert (status(playground), headline(playground)) == ("done", "Answer: 5")
        assert "give the program an output field named 'answer'" in said(playground)
        at(playground, temperature=0.5)
        at(playground, temperature=0.7)
        assert "give the program an output field named 'answer'" in said(playground)


def test_examples_that_are_not_in_any_prompt_have_no_control(server):
    """A slider for them is there where it turns something: of tasks whose solver writes them, and strategies with."""
    shown = lambda playground: playground.controls.numbers["shots"].layout.display is None  # noqa: E731
    sums, puzzles, legs = (rtk.tasks.load(name, size=2) for name in ("arithmetic", "hidden_sequence", "leg_counting"))
    expected = {"direct": (True, True, False), "tree of thoughts": (False, True, False)}
    for strategy, there in expected.items():
        for task, has in zip((sums, puzzles, legs), there, strict=True):
            assert shown(board(server, task=task, strategy=strategy)) is has
    assert shown(board(server, strategy="direct")) is False


def test_a_tasks_inputs_are_asked_as_they_are():
    """Also where they are no text: its samples are those of any run on the task."""
    task = rtk.tasks.load("arithmetic", size=2)
    signature = dspy.Signature("numbers: list[int], question -> answer")
    rows = [dspy.Example(numbers=[number, 2], question="sum?", answer="3") for number in (1, 3)]
    rows = [row.with_inputs("numbers", "question") for row in rows]
    task = dataclasses.replace(task, signature=signature, train=[], dev=rows, test=rows, comparer="auto", _family=None)
    with ScriptedServer(chain("3")) as server:
        playground = board(server, task=task, strategy="self-consistency", samples=2)
        assert playground.controls.inputs["numbers"].value == "[1, 2]"
        with dspy.context(lm=model(server)):
            playground.program(numbers=[1, 2], question="sum?")
        at(playground, pick=1)
        at(playground, pick=0)
        assert said(playground) == "Both samples are stored: answered without drawing."


# --- models ---


def test_several_models_are_chosen_from(server):
    """Each has samples of its own, at its own endpoint."""
    with ScriptedServer(answers("z"), models=None) as other:
        lms = [model(server), rtk.LM("openai/other", api_base=other.url, api_key=SECRET)]
        playground = rtk.Playground(SIGNATURE, model=lms)
        at(playground, question="What?", strategy="self-consistency", samples=2)
        assert [label for label, _ in playground.controls.model.options] == ["openai/scripted", "openai/other"]
        assert playground.controls.model.layout.display is None
        ran(playground)
        at(playground, model=1)
        assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."
        assert (headline(ran(playground)), server.count) == ("Answer: z", 2)
        at(playground, model=0)
        assert said(playground) == "Both samples are stored: answered without drawing."


def test_two_models_of_one_name_are_two(server):
    """They are told apart by place, not by name."""
    lms = [model(server), model(server, revision="new")]
    playground = rtk.Playground(SIGNATURE, model=lms)
    ran(at(playground, question="What?", strategy="chain of thought"))
    at(playground, model=1)
    assert said(playground) == "Needs 1 sample: 0 stored, Run draws 1."


@pytest.mark.parametrize("kind", ["dummy", "plain"])
@pytest.mark.parametrize("program", [None, lambda: dspy.ChainOfThought(SIGNATURE)], ids=["strategy", "module"])
def test_a_model_that_is_not_rtks_is_counted_too(server, kind, program):
    """Nothing is stored, and nothing is said to be; what it draws is told truly."""
    plain = dspy.LM("openai/scripted", api_base=server.url, api_key=SECRET, cache=False)
    dummy = DummyLM([{"reasoning": "r", "answer": answer} for answer in "abab"])
    playground = board(server, program() if program else None, lm=plain if kind == "plain" else dummy)
    if program is None:
        at(playground, strategy="self-consistency", samples=2)
        assert said(playground) == "Needs 2 samples: 0 stored, Run draws 2."
    for _ in range(2):
        ran(playground)
        assert status(playground) == "done"
        assert said(playground).startswith("Done. ")
        assert "1 sample drawn." in said(playground) or "(2 drawn, 0 reused)" in said(playground)
    assert rtk.SampleStore().count() == 0


def test_the_configured_model_and_adapter_are_used_on_any_thread(server):
    """As they were when the playground was made; a callback's thread has no context of its own."""
    with dspy.context(lm=model(server), adapter=rtk.LinesAdapter()):
        playground = at(rtk.Playground(SIGNATURE), question="What?", strategy="chain of thought")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ran, playground).result(PATIENCE)
    assert "question: What?" in server.requests[0].last
    assert "[[ ##" not in server.requests[0].prompt


@pytest.mark.parametrize("wrong", [[], 5, [5], [None]], ids=repr)
def test_what_is_no_model_is_refused(wrong):
    """With what is one."""
    with pytest.raises(ModelError, match="is no model") as caught:
        rtk.Playground(SIGNATURE, model=wrong)
    assert "rtk.LM" in caught.value.mend


@pytest.mark.parametrize("wrong", [5, "arithmetic", dspy.Predict, rtk.tasks.load("arithmetic", size=1)], ids=type)
def test_what_is_no_program_is_refused(server, wrong):
    """With what is one."""
    with pytest.raises(StrategyError) as caught:
        rtk.Playground(wrong, model=model(server))
    assert caught.value.mend


def test_a_signature_beside_a_task_is_refused(server):
    """The task has its own, which would be asked in its place."""
    with pytest.raises(StrategyError, match="of its own"):
        rtk.Playground(SIGNATURE, rtk.tasks.load("arithmetic", size=1), model=model(server))


def test_a_models_own_temperature_is_where_the_slider_begins(server):
    """However high it is, so that its samples are those of the model elsewhere."""
    for heat in (0.0, 0.35, 1.0, 2.5):
        playground = board(server, lm=model(server, temperature=heat), strategy="chain of thought")
        assert playground.controls.temperature.value == heat
        with dspy.context(lm=model(server, temperature=heat)):
            rtk.ChainOfThought(SIGNATURE)(question="What?")
        at(playground, strategy="direct")
        at(playground, strategy="chain of thought")
        assert said(playground) == "The one sample is stored: answered without drawing."


# --- recordings ---


def test_a_replay_answers_and_says_what_it_cannot(server, tmp_path):
    """What is recorded is there; for what is not, Run says so, with the mend, and draws nothing."""
    with rtk.recording(tmp_path / "study"):
        ran(board(server, strategy="self-consistency", samples=3))
    served = server.count
    rtk.recording(tmp_path / "study", mode="replay")
    lm = rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key=SECRET, num_retries=0)
    playground = board(server, lm=lm, strategy="self-consistency", samples=3)
    assert said(playground) == "All 3 samples are recorded: answered without drawing."
    assert said(ran(playground)).startswith("Nothing had to be drawn. 1 call, 3 samples (0 drawn, 3 reused)")
    at(playground, samples=5)
    assert said(playground) == "Needs 5 samples: 3 recorded, and a replay draws none."
    assert headline(playground).startswith("so far, with 3 of 5 samples: ")
    ran(playground)
    assert said(playground).startswith("NotRecorded:")
    assert "mode='auto' draws it" in said(playground)
    assert (status(playground), server.count) == ("failed", served)


def test_looking_records_nothing(server, tmp_path):
    """Only what a run consults is in the recording."""
    recording = rtk.recording(tmp_path / "study")
    playground = board(server, strategy="self-consistency", samples=4)
    at(playground, samples=2)
    assert len(recording) == 0
    ran(playground)
    at(playground, samples=4)
    assert len(recording) == 2


# --- the static copy ---


def test_the_copy_holds_the_settings_and_the_evidence(server):
    """What was asked, of whom, how, and what came of it; of the controls only those that turn something."""
    playground = board(server, strategy="self-consistency", samples=2, temperature=0.5, tokens=5000)
    playground.controls.instructions.value = "Sing it."
    before = copy_of(playground)
    assert "Not run yet." in before
    ran(playground)
    rows = dict(re.findall(r"<tr><th[^>]*>(.*?)</th><td[^>]*>(.*?)</td></tr>", copy_of(playground).split("<thead>")[0]))
    assert rows == {
        "question": "What?",
        "model": "openai/scripted",
        "strategy": "self-consistency",
        "samples": "2",
        "temperature": "0.5",
        "token budget": "5000",
        "instructions": "Sing it.",
    }
    assert "Not run yet." not in copy_of(playground)
    assert "deliberation" in copy_of(playground)
    at(playground, samples=3)
    assert "Not run yet." in copy_of(playground)


@pytest.mark.parametrize("strategy", ["direct", "self-consistency", "tree of thoughts", "Twice (given)"])
def test_two_playgrounds_built_the_same_have_the_same_copy(strategy):
    """Whether they drew or reused, byte for byte; so a notebook that is run again does not change."""
    with ScriptedServer(any_step) as server:
        made = [board(server, Twice(), strategy=strategy) for _ in range(2)]
        assert copy_of(made[0]) == copy_of(made[1])
        assert re.fullmatch(r"[0-9a-f]{32}", view(made[0]).twin)
        assert f'class="rtk-static-{view(made[0]).twin}"' in copy_of(made[0])
        ran(made[0])
        ran(made[1])
        assert copy_of(made[0]) == copy_of(made[1])
        third = board(server, Twice(), strategy=strategy)
        assert copy_of(third).split(">", 1)[1] == copy_of(made[0]).split(">", 1)[1]


def test_a_playground_is_one_line_for_a_terminal(server):
    """It names the program, the task and the model, and nothing secret."""
    task = rtk.tasks.load("arithmetic", size=2)
    assert repr(board(server, task=task)) == "Playground(task='arithmetic', model='openai/scripted')"
    given = repr(rtk.Playground(Twice(), model=model(server)))
    assert given == "Playground(Twice, model='openai/scripted')"
