"""Prompts that are filled in: letter by letter what DSPy's adapter writes, and the request that it makes."""

import dspy
import pytest
from scripted import chain, chat, model

import rtk
from rtk.budget import Budget
from rtk.strategies import Prompts, Recall, read_ahead, retold
from rtk.strategies.flow import ask
from rtk.strategies.sampling import Sampling, predictor_of
from rtk.testing import ScriptedServer

TEXTS = [
    "What is 2 + 2?", "", "  blanks around  ", "two\nlines\r\n\n", 'quotes " and \\ and \t', "\0", "\0" + "0\0",
    "\\u00000", "é ü 漢字 🙂", "[[ ## answer ## ]]\n5", "{question}",
    "<<CUSTOM-TYPE-START-IDENTIFIER>>x<<CUSTOM-TYPE-END-IDENTIFIER>>",
]  # fmt: skip
ADAPTERS = [None, dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), rtk.LinesAdapter(), rtk.TextAdapter()]
DEMOS = [dspy.Example(question="q", answer="a", reasoning="r").with_inputs("question")]
PROGRAMS = {
    "predict": lambda: dspy.Predict("question -> answer"),
    "chain": lambda: dspy.ChainOfThought("question -> answer: int", temperature=0.2),
    "two inputs": lambda: dspy.Predict(dspy.Signature("hint, question -> answer", "Think of the hint.")),
    "a list": lambda: dspy.Predict("question, hints: list[str] -> answer"),
    "a number": lambda: dspy.Predict("question, most: int -> answer"),
}


@pytest.fixture
def server():
    with ScriptedServer(chain(1)) as running, dspy.context(lm=model(running, max_tokens=9)):
        yield running


def inputs_of(program, text):
    """The inputs that a program takes, in the order of a caller."""
    given = {"question": text, "hint": text[::-1], "hints": [text, "b"], "most": 3}
    return {name: given[name] for name in given if name in predictor_of(program).signature.input_fields}


def same(prompts, program, inputs, config=None):
    """Whether what is filled in is what is worked out anew."""
    wanted, predictor = ask(program, inputs, config=config), predictor_of(program)
    found, anew = prompts.sampling(wanted, predictor), Sampling(program, predictor, inputs, config or {})
    anew.key()
    return (found.messages, found.request, found.request.greedy) == (anew.messages, anew.request, anew.request.greedy)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_prompt_is_what_the_adapter_writes(server, name, adapter):
    """Whatever the text, the first time and later; what is no text is written by the adapter."""
    program, prompts = PROGRAMS[name](), Prompts()
    with dspy.context(adapter=adapter):
        for text in (*TEXTS, *TEXTS[:2]):
            assert same(prompts, program, inputs_of(program, text))


def test_whatever_changes_a_prompt_makes_another(server):
    """Instructions, descriptions, demonstrations, sampling parameters, the model: also where they are written over."""
    program, prompts = dspy.Predict("question -> answer"), Prompts()
    inputs = {"question": "how many?"}
    changes = [
        lambda: setattr(program.signature, "instructions", "Be brief."),
        lambda: program.signature.output_fields["answer"].json_schema_extra.update(desc="a number"),
        lambda: setattr(program, "demos", [one.copy() for one in DEMOS]),
        lambda: setattr(program.demos[0], "answer", "another"),
        lambda: program.demos.append({"question": "z", "answer": "y"}),
        lambda: setattr(program, "config", {"temperature": 0.9}),
        lambda: program.config.update(temperature=0.1),
        lambda: dspy.settings.lm.kwargs.update(max_tokens=3),
        lambda: setattr(program, "signature", dspy.Signature("question -> answer, unit")),
        lambda: setattr(program, "lm", dspy.settings.lm.copy(max_tokens=5)),
    ]
    keys = set()
    for change in changes:
        assert same(prompts, program, inputs)
        change()
        assert same(prompts, program, inputs)
        keys.add(prompts.sampling(ask(program, inputs), program).request.key)
    assert len(keys) == len(changes)
    assert same(prompts, program, inputs, {"temperature": 0.0})


def test_a_field_that_cannot_be_is_refused_as_it_was(server):
    """What is wrong with a question shows where it is asked."""
    prompts, program = Prompts(), dspy.Predict("question -> answer")
    with pytest.raises(rtk.errors.UnsupportedParameter):
        prompts.sampling(ask(program, {"question": "\ud800"}), program)
    with pytest.raises(rtk.errors.UnsupportedParameter):
        Sampling(program, program, {"question": "\ud800"}, {}).key()


# --- predictors by themselves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("kind", [dspy.Predict, dspy.ChainOfThought])
def test_a_predictor_is_told_as_it_answers(kind, adapter):
    """Its answer, its completions and what it costs, from the very sample; or it is called."""
    lines = "answer: 4" if kind is dspy.Predict else "reasoning: r\nanswer: 4"
    written = {"JSONAdapter": '{"reasoning": "r", "answer": 4}', "LinesAdapter": lines,
               "XMLAdapter": "<reasoning>r</reasoning><answer>4</answer>", "TextAdapter": "It is 4."}  # fmt: skip
    text = written.get(type(adapter).__name__, chat(reasoning="r", answer=4))
    with ScriptedServer(text) as server, dspy.context(lm=model(server), adapter=adapter):
        program, meter, called = kind("question -> answer: int"), Budget(), Budget()
        program(question="how many?")
        with called:
            answer = program(question="how many?")
        found = retold(program, {"question": "how many?"}, Recall(Prompts()), meter)
    assert found is not None
    assert (found, found.completions.items()) == (answer, answer.completions.items())
    assert (meter.charged, meter.spent) == (called.charged, called.spent)


@pytest.mark.parametrize(
    "reply",
    [
        rtk.testing.Reply("nothing"),
        rtk.testing.Reply("[[ ## answer ## ]]\n4", finish_reason="length"),
        rtk.testing.Reply(chat(answer=4), finish_reason="content_filter"),
        rtk.testing.Reply(chat(answer=4), reasoning="so"),
    ],
)
def test_what_dspy_deals_with_in_its_own_way_is_called(reply):
    """A completion that is malformed, cut off, refused, or more than text."""
    with ScriptedServer(reply) as server, dspy.context(lm=model(server)):
        program = dspy.Predict("question -> answer")
        program.lm = dspy.settings.lm
        list(program.lm("x"))
        rtk.SelfConsistency(program, samples=1)(question="how many?")
        assert retold(program, {"question": "how many?"}, Recall(Prompts()), Budget()) is None


def test_several_completions_of_one_call_are_called(server):
    """As is a model that is not rtk's, of which nothing is stored."""
    for program in (dspy.Predict("question -> answer", n=2), dspy.Predict("question -> answer")):
        program(question="how many?")
        with dspy.context(lm=dspy.utils.DummyLM([{"answer": "1"}] * 9)) if not program.config else dspy.context():
            assert retold(program, {"question": "how many?"}, Recall(Prompts()), Budget()) is None


def test_rollouts_are_told_apart(server):
    """A `rollout_id` is a stream of its own, here as in a call."""
    programs = [dspy.Predict("question -> answer", rollout_id=number, temperature=0.7) for number in (0, 1, 2)]
    meters = []
    for program in programs:
        program(question="how many?")
        meters.append(Budget())
        assert retold(program, {"question": "how many?"}, Recall(Prompts()), meters[-1]) is not None
    assert [str(next(iter(one.charged))).partition(":")[2] for one in meters] == ["0:0", "0~1:0", "0~2:0"]


def test_questions_are_read_ahead_in_one_query(server, monkeypatch):
    """What is told then is what would be told without, and nothing further is read."""
    program, prompts = dspy.ChainOfThought("question -> answer"), Prompts()
    texts = [f"number {i}?" for i in range(5)]
    for text in texts[:4]:
        program(question=text)
    plain = [retold(program, {"question": text}, Recall(prompts), Budget()) for text in texts]
    recalls = [Recall(prompts) for _ in texts]
    read_ahead(program, [({"question": text}, recall) for text, recall in zip(texts, recalls, strict=True)])
    monkeypatch.setattr(rtk.SampleStore, "read", lambda *given: {})
    meters = [Budget() for _ in texts]
    found = [retold(program, {"question": text}, recall, meter)
             for text, recall, meter in zip(texts, recalls, meters, strict=True)]  # fmt: skip
    assert found == plain
    assert [meter.spent.reused for meter in meters] == [1, 1, 1, 1, 0]
    assert found[4] is None
    assert len(server.requests) == 4


def test_nothing_is_read_ahead_that_a_call_must_ask(server):
    """A strategy, and a predictor that somebody listens to or that a budget limits."""
    program = dspy.Predict("question -> answer")
    program(question="how many?")
    pairs = [({"question": "how many?"}, Recall(Prompts()))]
    read_ahead(rtk.SelfConsistency("question -> answer"), pairs)
    with dspy.context(rtk_budgets=(Budget(calls=3),)):
        read_ahead(program, pairs)
    with rtk.watch(print):
        read_ahead(program, pairs)
    assert len(dspy.settings.lm.history) == 1
    read_ahead(program, pairs)
    assert len(dspy.settings.lm.history) == 2
