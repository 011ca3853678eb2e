"""Rehearsals: several questions, functions and modules of a user's, fields of any type, and how a forecast is shown."""

import enum
import itertools
from typing import Literal

import dspy
import pydantic
import pytest
from dspy.utils import DummyLM
from peeks import SIGNATURE, searching, vote
from scripted import Flowing, TwoSteps, asks, chain, chat, choices, serving

import rtk
from rtk.errors import StrategyError
from rtk.strategies import Forecast, Span, rehearsing
from rtk.strategies.stand_ins import StandIns, Verdict, World, holds

QUESTIONS = [{"question": f"{number} + {number}?"} for number in range(6)]


def example(fields):
    return dspy.Example(**fields, answer="gold").with_inputs("question")


# --- several questions ---


def test_sums_over_a_list_of_questions():
    """Dicts or examples, whose gold answer goes nowhere; what is stored of one is stored."""
    with serving(chain("a"), max_tokens=40) as server:
        vote(3)(**QUESTIONS[0])
        before = server.count
        said = vote(4).estimate(QUESTIONS)
        assert said == vote(4).estimate([example(one) for one in QUESTIONS])
        assert (said.samples, said.stored, said.to_draw, said.calls) == ((24, 24), 3, (21, 21), (6, 6))
        assert (said.exact, said.questions, said.rehearsed, server.count) == (True, 6, 6, before)
        for question in QUESTIONS:
            vote(4)(**question)
        assert vote(4).estimate(QUESTIONS).to_draw == (0, 0)
        assert vote(4).estimate(QUESTIONS[0]) == vote(4).estimate(**QUESTIONS[0])


def test_a_question_that_comes_twice_is_drawn_once():
    """Its samples are consulted twice."""
    with serving(chain("a"), max_tokens=40):
        said = vote(4).estimate([QUESTIONS[0]] * 2)
        assert (said.samples, said.to_draw) == ((8, 8), (4, 4))


def test_a_task_is_its_test_questions_and_many_are_scaled():
    """Fifty of 120 questions are rehearsed, and the sums are for all of them."""
    task = rtk.tasks.load("arithmetic", size=120)
    with serving(chain("a"), max_tokens=40):
        said = rtk.SelfConsistency(task.signature, samples=3).estimate(task)
    assert (said.samples, said.calls, said.questions, said.rehearsed) == ((360, 360), (120, 120), 120, 50)
    assert (said.exact, said.bounded) == (False, True)
    assert "120 questions, of which 50 were rehearsed" in str(said)


def test_a_shared_budget_is_spent_by_one_question_after_the_other():
    """Ten samples are enough for two and a half questions."""
    budget = rtk.Budget(samples=10)
    with serving(chain("a"), max_tokens=40):
        said = vote(4).estimate(QUESTIONS, budget=budget)
        assert (said.samples, said.stopped, budget.spent.samples) == ((10, 10), "samples", 0)
        found = [vote(4)(**question, budget=budget) for question in QUESTIONS]
    assert sum(one.spent.samples for one in found) == 10


@pytest.mark.parametrize("given", ["text", 3, [], ["text"], dspy.Example(question="?")])
def test_what_is_no_question_is_refused(given):
    """With its mend."""
    with serving(chain("a")), pytest.raises(StrategyError) as error:
        vote(2).estimate(given)
    assert error.value.mend


# --- functions of a user's ---


def test_verifiers_are_not_called_on_what_is_made_up():
    """They may be slow, cost something or fail; on what is stored they are called, as the call would."""
    called = []

    def reward(inputs, prediction):
        called.append(prediction.answer)
        return 1.0

    def check(inputs, candidate):
        called.append(candidate)
        raise RuntimeError("the compiler is not installed")

    program = rtk.BestOfN(SIGNATURE, 4, reward, threshold=2)
    with serving(choices("ab"), max_tokens=40):
        said = program.estimate(question="?")
        assert (said.samples, called) == ((1, 4), [])
        assert any("reward_fn" in note for note in said.notes)
        assert searching(check=check).estimate(question="?").samples.least == 3
        assert called == []
        program(question="?", budget=rtk.Budget(samples=1))
        del called[:]
        assert program.estimate(question="?").samples.least == 2
        assert set(called) == {"a"}


def test_a_function_that_fails_on_what_is_made_up_breaks_nothing():
    """One that is called, as a stopping rule is; the estimate says so."""

    def stop(found):
        return {"a": True, "b": False}[found.winner]

    with serving(chain("a"), max_tokens=40):
        said = vote(6, stop=stop).estimate(question="?")
        assert (said.samples, said.exact) == ((1, 6), False)
        assert any("stop raised KeyError" in note for note in said.notes)
        assert vote(6, stop=stop)(question="?").spent.samples == 1


def test_a_flow_that_fails_on_what_is_made_up_is_counted_so_far():
    """Then it may ask more, and the estimate says why."""

    def flow(self, inputs):
        got = yield rtk.ask(self.step, inputs)
        return (yield rtk.ask(self.step, {"question": {"a": "next"}[got[0].answer("answer")]}))[0]

    with serving(chain("a"), max_tokens=40):
        said = Flowing(flow).estimate(question="?")
    assert (said.samples, said.bounded, said.exact) == ((1, 1), False, False)
    assert any("KeyError" in note for note in said.notes)
    assert str(said).startswith("at least 1 sample ")


def test_a_mistake_in_the_call_is_raised():
    """As the call raises it, where it shows before anything is made up."""
    with serving(chain("a")), pytest.raises(StrategyError, match="depth"):
        rtk.TreeOfThoughts(SIGNATURE, depth=lambda inputs: 0).estimate(question="?")


def test_a_flow_without_an_end_is_given_up(monkeypatch):
    """Where nothing that is made up ends it."""
    monkeypatch.setattr(rehearsing, "MOST_CALLS", 40)

    def flow(self, inputs):
        for attempt in itertools.count():
            got = yield rtk.ask(self.step, {**inputs, "question": str(attempt)})
            if got[0].answer("answer") == "right":
                return got[0]

    with serving(chain("right"), max_tokens=40):
        said = Flowing(flow).estimate(question="?")
        assert (said.bounded, said.samples.most >= 40) == (False, True)
        assert any("given up" in note for note in said.notes)
        assert Flowing(flow)(question="?").spent.samples == 1


def test_the_program_is_not_changed():
    """A strategy that keeps something on itself keeps it for its calls."""

    class Counting(rtk.Strategy):
        calls = 0

        def __init__(self):
            super().__init__()
            self.step = dspy.ChainOfThought(SIGNATURE)

        def flow(self, **inputs):
            self.calls += 1
            return (yield rtk.ask(self.step, inputs))[0]

    program = Counting()
    with serving(chain("a"), max_tokens=40):
        program.estimate(question="?")
        assert program.calls == 0
        program(question="?")
    assert program.calls == 1


# --- modules and models that are not ours ---


def test_a_module_is_counted_through_its_predictors_and_not_run():
    """Each once for a run; what it does besides is not known."""
    ran = []

    class Spying(TwoSteps):
        def forward(self, question):
            ran.append(question)
            return super().forward(question)

    with serving(chain("a"), max_tokens=40) as server:
        said = vote(3, Spying()).estimate(question="?")
        assert (ran, server.count) == ([], 0)
        assert (said.samples, said.calls, said.bounded, said.exact) == ((6, 6), (6, 6), False, False)
        assert any(note.startswith("Spying asks by itself") for note in said.notes)
        react = dspy.ReAct(SIGNATURE, tools=[lambda x: ran.append(x)])
        said = vote(2, react).estimate(question="?")
        assert (ran, said.samples, said.bounded) == ([], (4, 4), False)
        assert vote(3, Spying())(question="?").spent.samples == 6


def test_what_a_flow_asks_by_itself_is_not_drawn():
    """A predictor called inside a flow is looked up; where nothing is stored, the rehearsal goes no further."""

    def flow(self, inputs):
        drafted = self.step(**inputs)
        return (yield rtk.ask(self.step, {"question": drafted.answer}))[0]

    with serving(chain("a"), max_tokens=40) as server:
        said = Flowing(flow).estimate(question="?")
        assert (server.count, said.samples, said.bounded) == (0, (1, 1), False)
        Flowing(flow)(question="?")
        assert Flowing(flow).estimate(question="?").to_draw == (0, 0)


@pytest.mark.filterwarnings("ignore:.*is no rtk.LM")
@pytest.mark.parametrize("kind", ["dummy", "plain"])
def test_of_a_plain_lm_nothing_is_stored(kind):
    """It is counted, said so, and not called."""
    with serving(chain("a")) as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="x", cache=False, max_tokens=30)
        lm = plain if kind == "plain" else DummyLM([{"reasoning": "r", "answer": answer} for answer in "abcd"])
        with dspy.context(lm=lm):
            vote(2)(question="?")
            calls, history = server.count, len(lm.history)
            said = vote(2).estimate(question="?")
            assert (said.samples, said.stored, said.to_draw) == ((2, 2), 0, (2, 2))
            assert any("is no rtk.LM" in note for note in said.notes)
            assert (server.count, len(lm.history)) == (calls, history)


def test_what_is_not_kept_is_drawn_again():
    """An LM with cache=False has no store to look into."""
    with serving(chain("a"), cache=False, max_tokens=40):
        vote(3)(question="?")
        assert vote(3).estimate(question="?").to_draw == (3, 3)


def test_a_replay_has_what_is_recorded(tmp_path):
    """And nothing else counts as stored."""
    with serving(chain("a"), max_tokens=40):
        with rtk.recording(tmp_path / "study"):
            vote(2)(question="?")
        vote(4)(question="?")
        with rtk.recording(tmp_path / "study", mode="replay"):
            said = vote(4).estimate(question="?")
    assert (said.stored, said.to_draw) == (2, (2, 2))


@pytest.mark.parametrize("adapter", [dspy.JSONAdapter(), dspy.XMLAdapter(), rtk.LinesAdapter(), rtk.TextAdapter()])
def test_other_adapters(adapter):
    """What is made up is no text, so no adapter has to read it."""
    with serving(chain("a"), max_tokens=40), dspy.context(adapter=adapter):
        assert vote(4).estimate(question="?").samples == (4, 4)


def test_at_temperature_zero_one_sample_is_drawn():
    """However many votes it has."""
    with serving(chain("a"), temperature=0, max_tokens=40):
        assert vote(8).estimate(question="?").to_draw == (1, 1)


async def test_it_works_in_a_running_event_loop():
    """A notebook's cells run in one."""
    with serving(chain("a"), max_tokens=40):
        assert vote(3, stop="beta").estimate(question="?").samples == (3, 3)


# --- fields of any type ---


class Colour(enum.Enum):
    """Three of them."""

    RED = 1
    GREEN = 2
    BLUE = 3


class Part(pydantic.BaseModel):
    """A part of an answer."""

    name: str
    sizes: list[int]
    colour: Colour | None = None


class Typed(dspy.Signature):
    """Everything that a field may be."""

    question: str = dspy.InputField()
    number: int = dspy.OutputField()
    amount: float = dspy.OutputField()
    sure: bool = dspy.OutputField()
    kind: Literal["x", "y"] = dspy.OutputField()
    colour: Colour = dspy.OutputField()
    parts: list[Part] = dspy.OutputField()
    table: dict[str, float] = dspy.OutputField()
    pair: tuple[int, str] = dspy.OutputField()
    perhaps: int | None = dspy.OutputField()


@pytest.mark.parametrize(
    "world", [World(), World("most"), World(grade="bad"), World(grade="mixed"), World(grade="top")]
)
def test_stand_ins_are_of_the_right_types(world):
    """Every type that pydantic accepts where a model's answer is parsed."""
    for made in (StandIns(world).fields("key", Typed.output_fields, "", 9.0) for _ in range(3)):
        for name, field in Typed.output_fields.items():
            pydantic.TypeAdapter(field.annotation).validate_python(made[name])
            assert holds(made[name]) or name in ("sure", "kind", "colour")


def test_where_all_are_alike_they_say_the_same():
    """And where they are not, each says something of its own."""
    outputs = dspy.Signature("question -> answer: int, why: str").output_fields
    for world, kinds in ((World("most"), 1), (World(), 4)):
        stand_ins = StandIns(world)
        assert len({str(stand_ins.fields("key", outputs, "", 9.0)) for _ in range(4)}) == kinds


def test_a_list_that_a_model_writes_has_no_known_end():
    """What is asked for each of its items is counted for some, and the estimate is not bounded."""

    def flow(self, inputs):
        got = yield rtk.ask(dspy.Predict("question -> parts: list[str]"), inputs)
        parts = yield [rtk.ask(self.step, {"question": part}) for part in got[0].answer("parts")]
        return parts[0][0]

    reply = lambda received: chat(parts='["a", "b", "c"]') if asks(received, "parts") else chain("x")  # noqa: E731
    with serving(reply, max_tokens=40):
        said = Flowing(flow).estimate(question="?")
        assert (said.samples.most, said.bounded) == (13, False)
        assert Flowing(flow)(question="?").spent.samples == 4
        assert Flowing(flow).estimate(question="?").samples == (4, 4)


def test_a_verdict_is_a_check_and_a_number():
    """So that it serves whoever compares, adds or asks whether it stands."""
    good, bad = Verdict(True, "", 1.0), Verdict(False, "", 0.0)
    assert (bool(good), bool(bad), float(good), max(bad, good) is good) == (True, False, 1.0, True)
    assert (sum([good, bad, good]), good * 2, good >= 0.5, bad < 0.5) == (2.0, 2.0, True, True)


# --- how it is shown ---


def test_a_line_says_it_all():
    """Numbers with their units; ranges where it is not known."""
    said = Forecast(Span(1, 4), Span(5, 20), 5, Span(0, 15), Span(0, 900), Span(0, 600), Span(0, 0.0021), Span(0, 2.5),
                    exact=False, bounded=True)  # fmt: skip
    counted = "5–20 samples (5 stored, 0–15 to draw) in 1–4 calls"
    assert str(said) == f"{counted}, about 0–1,500 tokens, $0.0000–0.0021, 0.0–2.5 s"
    assert said.tokens == (0, 1500)


def test_a_page_shows_it_and_its_notes_escaped():
    """What a user's function is called cannot become markup."""
    said = Forecast(Span(1, 1), Span(1, 1), 0, Span(1, 1), Span(9, 9), None, None, None, exact=True, bounded=False,
                    stopped="samples", notes=("<script>alert(1)</script>",))  # fmt: skip
    page = said._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "at least 1" in page
    assert "a budget of samples" in page
