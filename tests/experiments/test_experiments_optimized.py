"""An optimizer's result: what changed in the prompts, how it prints, and what is saved of it and loaded elsewhere."""

import json
import subprocess
import sys

import dspy
import pytest
from sums_optimized import optimized, serving, task

import rtk
from rtk.errors import NewerStore, StrategyError
from rtk.experiments import load_program, read_program
from rtk.experiments.optimizers.prompt_diff import prompt_diff

HOSTILE = "</script><img src=x onerror=alert(1)> $a$ \u202e"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Optimized with random search."""
    with serving(store=tmp_path_factory.mktemp("samples")):
        return optimized("random-search")


def fresh():
    """A program as the optimized one was built."""
    return rtk.ChainOfThought(task().signature)


# --- the difference ---


def test_a_diff_shows_instructions_fields_and_demonstrations():
    """What went has a minus, what came a plus; what is the same is not shown."""
    before, after = dspy.Predict("question -> answer"), dspy.Predict("question -> answer")
    before.demos = [{"question": "1 + 1?", "answer": "2", "id": "a/1"}, {"question": "2 + 2?", "answer": "4"}]
    after.demos = [before.demos[1], dspy.Example(question="3 + 3?", answer="6", augmented=True)]
    after.signature = after.signature.with_instructions("Add.\nBe brief.").with_updated_fields("answer", prefix="A:")
    diff = prompt_diff(before, after)
    assert diff.changed
    assert diff.text().splitlines() == [
        "self: other instructions, demonstrations 2 → 2",
        "  instructions",
        "    - Given the fields `question`, produce the fields `answer`.",
        "    + Add.",
        "    + Be brief.",
        "  prefix of answer",
        "    - Answer:",
        "    + A:",
        "  demonstration",
        "    - question: 1 + 1?",
        "      answer: 2",
        "    + question: 3 + 3?",
        "      answer: 6",
    ]
    assert repr(diff) == diff.text()
    assert len(diff.to_frame()) == 7


def test_programs_that_ask_the_same_differ_by_nothing():
    """Whatever else a demonstration holds, and whatever kind of mapping it is, is no difference."""
    one, other = dspy.ChainOfThought("question -> answer"), dspy.ChainOfThought("question -> answer")
    one.predict.demos = [{"question": "1 + 1?", "answer": "2"}]
    other.predict.demos = [dspy.Example(question="1 + 1?", answer="2", id="a/1")]
    diff = prompt_diff(one, other)
    assert not diff.changed
    assert diff.text() == "predict: as before"
    assert len(diff.to_frame()) == 0


def test_another_order_is_a_difference():
    """The same demonstrations in another order are another prompt, and said to be."""
    one, other = dspy.Predict("question -> answer"), dspy.Predict("question -> answer")
    one.demos = [{"question": q, "answer": "a"} for q in "12"]
    other.demos = one.demos[::-1]
    assert "in another order" in prompt_diff(one, other).text()


def test_predictors_that_only_one_program_has_are_all_new_or_all_gone():
    """Nothing is left out where a program was built otherwise."""
    diff = prompt_diff(dspy.Predict("question -> answer"), dspy.ChainOfThought("question -> answer"))
    assert [one.name for one in diff.predictors] == ["self", "predict"]
    assert all(one.changed for one in diff.predictors)
    assert prompt_diff(dspy.Module(), dspy.Module()).text() == "no predictors"


def test_a_diff_escapes_what_models_wrote():
    """Instructions and demonstrations are text, in HTML too; a long one is cut, and says by how much."""
    before, after = dspy.Predict("question -> answer"), dspy.Predict("question -> answer")
    after.signature = after.signature.with_instructions(HOSTILE)
    after.demos = [{"question": HOSTILE, "answer": "x" * 1000}]
    html = prompt_diff(before, after)._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html
    assert "\u202e" not in html
    assert "more characters" in html
    assert "x" * 500 not in html
    assert "x" * 1000 in prompt_diff(before, after).html(characters=None)


# --- how it prints ---


def test_a_result_prints_what_it_found_and_what_it_took(found):
    """Before and after with their intervals, the verdict, the cost, and how the candidate was chosen."""
    told = repr(found)
    assert told.startswith("Optimized(ChainOfThought on arithmetic)\n")
    assert all(word in told for word in ("before", "after", "Improved: +", "held out", "5 candidates scored"))
    html = found._repr_html_()
    assert html.count("<table") == 2
    assert "<details" in html
    assert list(found.to_frame().setting) == ["before", "after"]
    assert repr(found.candidates[0]) == f"Tried({found.candidates[0].score:.2f} on 6 questions)"


# --- files ---


def test_what_is_saved_is_loaded_elsewhere(found, tmp_path):
    """The loaded program asks the very same requests; the one given is left alone, and so is its model."""
    path = found.save(tmp_path / "better.json")
    given = fresh()
    given.predict.lm = own = dspy.LM("openai/other")
    loaded = load_program(path, given)
    assert given.predict.demos == []
    assert loaded.predict.lm.model == own.model
    assert prompt_diff(loaded, found.program).text() == "predict: as before"
    with serving() as server:
        programs = (found.program, load_program(path, fresh()))
        answers = [program(question="What is (4 + 3) × 2?").answer for program in programs]
        assert server.choices_served == 1
    assert answers == [14, 14]


def test_a_file_says_what_made_it(found, tmp_path):
    """Versions, task with its fingerprint, optimizer with its settings, the figures; and it is the same every time."""
    path = found.save(tmp_path / "better.json")
    saved = read_program(path)
    assert saved.about["dspy"] == dspy.__version__
    assert saved.about["rtk"] == rtk.__version__
    assert saved.about["task"]["fingerprint"] == task().fingerprint
    assert saved.about["task"]["test"] == 12
    assert saved.about["optimizer"]["name"] == "BootstrapFewShotWithRandomSearch"
    assert saved.about["optimizer"]["settings"]["num_candidate_programs"] == 2
    assert saved.about["after"]["accuracy"] == found.after["accuracy"]
    assert saved.predictors == {"predict": "question -> reasoning, answer"}
    assert repr(saved).startswith("SavedProgram(ChainOfThought, BootstrapFewShotWithRandomSearch, by rtk ")
    first = path.read_bytes()
    found.save(path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_no_key_gets_into_a_file(tmp_path):
    """A program whose predictor has a model of its own is saved without it."""
    with serving() as server:
        program = fresh()
        program.predict.lm = rtk.LM("openai/scripted", api_key="sk-secret", api_base=server.url)
        labelled = optimized("labeled", program=program, test=1)
    text = labelled.save(tmp_path / "labelled.json").read_text()
    assert all(word not in text for word in ("sk-secret", "127.0.0.1", "scripted"))


def test_a_program_is_loaded_in_another_process(found, tmp_path):
    """Nothing but the file and a program built alike is needed."""
    path = found.save(tmp_path / "better.json")
    code = (
        "import rtk; from rtk.experiments import load_program\n"
        "program = rtk.ChainOfThought(rtk.tasks.load('arithmetic', size=1).signature)\n"
        f"print(len(load_program({str(path)!r}, program).predict.demos))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(found.program.predict.demos) > 0


def test_settings_of_a_strategy_are_saved_with_it(tmp_path):
    """A vote comes back with the number of its samples."""
    with serving():
        vote = optimized("labeled", program=rtk.SelfConsistency(task().signature, samples=3))
    loaded = load_program(vote.save(tmp_path / "vote.json"), rtk.SelfConsistency(task().signature))
    assert loaded.samples == 3
    assert len(loaded.chain.predict.demos) == 3


OTHERS = [
    (lambda: dspy.Predict("question -> answer"), "without predict"),
    (lambda: rtk.ChainOfThought("question -> answer, unit"), "asks 'question -> reasoning, answer, unit' here"),
    (lambda: rtk.SelfConsistency(task().signature), "is one without predict"),
]


@pytest.mark.parametrize(("build", "said"), OTHERS)
def test_a_program_built_otherwise_is_refused(found, tmp_path, build, said):
    """DSPy would load it in silence; the error says what differs and what to do."""
    path = found.save(tmp_path / "better.json")
    with pytest.raises(StrategyError, match=said) as caught:
        load_program(path, build())
    assert "as the saved one was" in caught.value.mend


def changed(**changes):
    """A change of the whole file."""
    return lambda whole: {**whole, **changes}


def predictor(**changes):
    """A change of the predictor's state."""

    def change(whole):
        whole["state"]["predict"].update(changes)
        return whole

    return change


MODEL = {"model": "openai/x", "api_base": "http://evil", "_class": "os.system"}
FIELD = {"prefix": "A:", "description": "d"}
CHANGES = {
    "a list": lambda whole: [whole],
    "another schema": changed(schema="pickle"),
    "no state": changed(state=None),
    "a state of texts": changed(state={"predict": "x"}),
    "another format": changed(format="1"),
    "an old format": changed(format=0),
    "signatures that are none": changed(predictors=[]),
    "a model": predictor(lm=MODEL),
    "a method": predictor(forward="x"),
    "a magic name": predictor(__class__="x"),
    "a callback": predictor(callbacks=["x"]),
    "traces": predictor(traces=[1]),
    "demos that are none": predictor(demos="x"),
    "a demo that is none": predictor(demos=["x"]),
    "no signature": predictor(signature=None),
    "instructions that are none": predictor(signature={"instructions": 1, "fields": [FIELD] * 3}),
    "too few fields": predictor(signature={"instructions": "x", "fields": [FIELD]}),
    "a field that is none": predictor(signature={"instructions": "x", "fields": [FIELD, FIELD, {"prefix": 1}]}),
    "decisions that are none": predictor(fields=[1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_crafted_file_is_refused(found, tmp_path, change):
    """What rtk would not have written is not loaded, and the program that was given is as it was."""
    path = found.save(tmp_path / "better.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    program = fresh()
    state = program.dump_state()
    with pytest.raises(StrategyError) as caught:
        load_program(path, program)
    assert caught.value.mend
    assert program.dump_state() == state


TEXTS = {
    "nothing": b"",
    "no JSON": b"{",
    "a pickle": b"\x80\x04\x95\x0b.",
    "too deep": b"[" * 100_000,
    "no number": b'{"format": NaN}',
    "twice": b'{"schema": "a", "schema": "rtk-program"}',
    "a huge number": b'{"format": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_is_refused(tmp_path, text):
    """However it is broken, there is one clear error."""
    path = tmp_path / "broken.json"
    path.write_bytes(text)
    with pytest.raises(StrategyError, match="no program that rtk saved"):
        load_program(path, fresh())


def test_what_a_newer_rtk_wrote_is_left_alone(found, tmp_path):
    """The error says to update."""
    path = found.save(tmp_path / "better.json")
    path.write_text(json.dumps(changed(format=2)(json.loads(path.read_text()))))
    with pytest.raises(NewerStore, match="newer rtk") as caught:
        load_program(path, fresh())
    assert caught.value.mend == "update rtk"


def test_a_file_that_is_not_there_or_has_another_ending_is_named(found, tmp_path):
    """Reading and writing say what is wrong with the path."""
    with pytest.raises(StrategyError, match="cannot be read"):
        load_program(tmp_path / "none.json", fresh())
    with pytest.raises(StrategyError, match=r"ends in \.json|no name of a saved program"):
        found.save(tmp_path / "better.pkl")


@pytest.mark.embedded
@pytest.mark.slow
def test_a_real_model_learns_from_a_teacher(tmp_path):
    """The small model follows no form untaught; four right runs of a taught one are enough for it."""
    asks = rtk.tasks.load("arithmetic", size=12, level=1, seed=1)
    lm = rtk.LM("embedded", max_tokens=48, temperature=0.0)
    with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
        teacher = rtk.experiments.program("chain of thought", asks, shots=4)
        made = rtk.optimize(rtk.ChainOfThought(asks.signature), asks, "bootstrap", teacher=teacher,
                            max_labeled_demos=0, concurrency=4, progress=None)  # fmt: skip
    assert made.improved, repr(made)
    assert len(load_program(made.save(tmp_path / "taught.json"), rtk.ChainOfThought(asks.signature)).predict.demos) == 4
