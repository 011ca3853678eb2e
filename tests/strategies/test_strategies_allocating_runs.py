"""`rtk.allocate` while it runs: budgets that end anywhere, failures, interruptions, replays, and what it hands back."""

import asyncio

import dspy
import pytest
from allotted import SEED, World, number_of
from dspy.utils import DummyLM
from scripted import TwoSteps, chain, chat, model, serving

import rtk
from rtk.errors import SampleError, StrategyError
from rtk.testing import Reply

VOTE = rtk.SelfConsistency("question -> answer", samples=8)


def given(world, budget, program=VOTE, questions=None, **kwargs):
    return rtk.allocate(program, questions or world.questions, budget, **{"progress": None, **kwargs})


# --- budgets ---


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("samples", [0, 1, 3, 5, 6, 11, 17])
def test_a_budget_of_samples_ends_at_that_sample(samples, concurrency):
    """At any number and concurrency: as many are spent, and every answer is the vote on what its question has."""
    world = World(size=5, most=8)
    with world.served(concurrency=concurrency) as server:
        found = given(world, samples)
        assert server.choices_served == samples
    assert (found.spent.samples, sum(found.samples), found.stopped) == (samples, samples, "samples")
    assert [one.answer for one in found] == [world.leader(*pair) for pair in enumerate(found.samples)]
    assert found.unanswered == found.short == [place for place in range(5) if place >= samples]


@pytest.mark.parametrize(
    ("limit", "settings"),
    [
        (rtk.Budget(calls=9), {}),
        (rtk.Budget(tokens=1500), {"max_tokens": 30}),
        (rtk.Budget(dollars=0.0015), {"max_tokens": 30, "price": (1.0, 1.0)}),
        (rtk.Budget(seconds=0), {}),
        (rtk.Budget(calls=50, samples=4), {}),
    ],
    ids=lambda one: next(iter(one.limits), "") if isinstance(one, rtk.Budget) else "",
)
def test_a_budget_of_any_unit_is_kept_and_named(limit, settings):
    """What is there is given: those in front are answered, those behind abstain."""
    world = World(size=5, most=8)
    with world.served(**settings):
        found = given(world, limit)
    assert found.stopped in limit.limits
    assert all(getattr(found.spent, unit) <= most for unit, most in limit.limits.items() if unit != "seconds")
    assert [one.answer for one in found] == [world.leader(*pair) for pair in enumerate(found.samples)]
    assert all(found.predictions[place].stopped == found.stopped for place in found.unanswered)


def test_the_budgets_in_force_end_it_too():
    """Where none is given, or a larger one, that around the call counts."""
    world = World(size=5, most=8)
    with world.served():
        with rtk.Budget(samples=7):
            assert given(world, None).spent.samples == 7
        with rtk.Budget(samples=7):
            assert given(world, 100).stopped == "samples"
        assert given(world, None).stopped is None


@pytest.mark.parametrize("calls", range(1, 7))
def test_a_budget_may_end_within_a_run_of_a_module(calls):
    """Of a module of two calls, a run that is cut in the middle is no sample of its question."""
    with serving(lambda received: chat(reasoning="r", answer=str(received.index))):
        found = given(None, rtk.Budget(samples=calls), rtk.SelfConsistency(TwoSteps(), 4), [{"question": "a"}] * 1)
    assert found.samples == [min(4, calls // 2)]
    assert found.spent.samples <= calls


def test_at_temperature_zero_a_question_has_one_sample():
    """All others are that one, so none is asked for beyond it."""
    world = World(size=4, most=8)
    with serving(chain("right")) as server:
        found = given(world, 20, rtk.SelfConsistency("question -> answer", samples=8, temperature=0.0))
        assert server.choices_served == found.spent.samples == 4
    assert [one.vote.votes for one in found] == [1] * 4


# --- failures, abstentions, interruptions ---


def test_a_question_whose_samples_fail_costs_only_itself():
    """Asked twice in vain it is given up; the others have the budget, and it abstains."""
    world = World(size=4, most=8)
    refused = lambda received: Reply("no", status=400) if number_of(received) == 1 else world.reply(received)  # noqa: E731
    with world.served(refused) as server:
        found = given(world, 16)
        assert server.choices_served == 16
    assert found.predictions[1].answer is None
    assert found.predictions[1].abstentions == {"failed": 2}
    assert found.unanswered == [1]
    assert sum(found.samples) == 18


def test_where_nothing_comes_at_all_it_says_so():
    """A server that is down is an error, and no list of empty answers."""
    with serving(Reply("no", status=500)), pytest.raises(SampleError, match="no sample came"):
        given(World(size=3), 9)


def test_a_module_that_raises_at_one_question_costs_only_that():
    """Whatever it raises is a failed sample there; where it raises everywhere, that is raised."""

    class Touchy(dspy.Module):
        def __init__(self, on):
            super().__init__()
            self.step, self.on = dspy.ChainOfThought("question -> answer"), on

        def forward(self, question):
            if self.on in question:
                raise KeyError(question)
            return self.step(question=question)

    world = World(size=3, most=8)
    with serving(chain("right")):
        found = given(world, 9, rtk.SelfConsistency(Touchy("q1"), 4))
        assert [one.answer for one in found] == ["right", None, "right"]
        with pytest.raises(KeyError):
            given(world, 9, rtk.SelfConsistency(Touchy("q"), 4))


def test_a_question_that_only_abstains_does_not_swallow_the_budget():
    """What cannot be read is tried a few times, and given up for votes that gain more."""
    world = World((["right", "wrong"] * 8, "clear"), size=6)
    script = lambda received: "I cannot say." if number_of(received) == 0 else world.reply(received)  # noqa: E731
    with world.served(script):
        found = given(world, 48, most=16)
    assert found.samples[0] < min(found.samples[2], found.samples[4])
    assert found.predictions[0].abstentions == {"malformed": found.samples[0]}


def test_what_was_drawn_before_an_interruption_is_not_drawn_again():
    """Ctrl-C goes through; the same call goes on where it was, and comes to what it would have come to."""
    world, left = World(size=6, most=8), [13]

    def tick():
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with world.served() as server:
        with pytest.raises(KeyboardInterrupt):
            given(world, 30, progress=tick)
        assert server.choices_served < 30
        found = given(world, 30)
        assert server.choices_served == 30
    with world.served(cache=False):
        assert given(world, 30).samples == found.samples


# --- ways to run it ---


def test_awaited_it_comes_to_the_same():
    """`aallocate` on a running loop, and `allocate` inside one."""
    world = World(size=6, most=8)

    async def both():
        return await rtk.aallocate(VOTE, world.questions, 24, progress=None), given(world, 24)

    with world.served() as server:
        one, other = asyncio.run(both())
        assert server.choices_served == 24
    assert one.samples == other.samples
    assert [dict(pred) for pred in one] == [dict(pred) for pred in other]


@pytest.mark.usefixtures("nothing_in_force")
def test_a_recording_replays_it_without_a_model():
    """The same samples, answers and costs, with the server gone."""
    world = World(size=6, most=8)
    with world.served(), rtk.recording("batch"):
        live = given(world, 24)
    lm = rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none", seed=SEED)
    with dspy.context(lm=lm), rtk.recording("batch", mode="replay") as replay:
        again = given(world, 24)
    assert replay.missed == 0
    assert again.samples == live.samples
    assert again.spent.tokens == live.spent.tokens
    assert [pred.vote for pred in again] == [pred.vote for pred in live]


def test_a_model_that_is_not_rtks_works_unstored():
    """A `DummyLM` is drawn from once for each sample."""

    class BatchLM(DummyLM):
        """Named apart, since a kind of LM is warned of once in a process."""

    with (
        pytest.warns(UserWarning, match="not stored"),
        dspy.context(lm=BatchLM([{"reasoning": "r", "answer": "a"}] * 6)),
    ):
        found = given(None, 6, questions=[{"question": "x"}, {"question": "y"}])
    assert found.samples == [3, 3]


def test_samples_are_told_to_those_who_watch_and_ticked():
    """Each of them once."""
    world, seen, ticks = World(size=6, most=8), [], []
    with world.served(), rtk.watch(seen.append, only=rtk.events.SampleArrived):
        given(world, 20, progress=lambda: ticks.append(1))
    assert len(seen) == len(ticks) == 20


# --- votes ---


@pytest.mark.parametrize(
    "settings",
    [
        {"vote": "medoid"},
        {"vote": "weighted", "weight": lambda inputs, pred: len(pred.answer)},
        {"vote": lambda answers: rtk.answers.vote(answers, comparer="exact")},
        {"comparer": lambda a, b: a[:1] == b[:1]},
        {"temperature": 0.9},
    ],
    ids=["medoid", "weighted", "function", "comparer", "temperature"],
)
def test_any_vote_of_chains_is_allocated_over(settings):
    """With the program's own answer on as many samples."""
    world = World(size=4, most=8)
    program = lambda count: rtk.SelfConsistency("question -> answer", samples=count, **settings)  # noqa: E731
    with world.served():
        found = given(world, 20, program(8))
        alone = [program(count)(**one) for count, one in zip(found.samples, world.questions, strict=True)]
    assert [dict(one) for one in found] == [dict(one) for one in alone]
    assert sum(one.spent.drawn for one in alone) == 0


def test_a_vote_by_log_probabilities_is_allocated_over():
    """Its chains are asked for with them, as by the program alone."""
    logprobs = [{"token": "a", "logprob": -0.5}]
    with serving(lambda received: Reply(chain("ab"[received.choice % 2]), logprobs=logprobs)) as server:
        program = rtk.SelfConsistency("question -> answer", samples=8, vote="confidence")
        found = given(None, 6, program, [{"question": "x"}, {"question": "y"}])
        assert all(received.body["logprobs"] for received in server.requests)
    assert found.spent.samples == 6


def test_structured_answers_are_allocated_by_the_field_that_is_open():
    """A question whose city is clear and whose year is not is given more than one where both are."""
    years = {"x": [1990, 1991] * 4, "y": [1990] * 8}
    asked = {"x": 0, "y": 0}

    def script(received):
        name = "x" if "x?" in received.last else "y"
        asked[name] += 1
        return chat(reasoning="r", city="Bonn", year=years[name][asked[name] - 1])

    program = rtk.SelfConsistency("question -> city, year: int", samples=8, vote="fields")
    with serving(script, concurrency=1):
        found = given(None, 10, program, [{"question": "x?"}, {"question": "y?"}], wave=1)
    assert found.samples[0] > found.samples[1]
    assert found.predictions[1].city == "Bonn"


# --- what it hands back ---


def test_a_task_is_scored_by_its_metric():
    """Its test questions are asked, and the accuracy has an interval; of bare questions there is none."""
    task = rtk.tasks.load("hidden_sequence", size=4, seed=0)
    with serving(chat(reasoning="r", answer="1, 2")):
        found = rtk.allocate(rtk.SelfConsistency(task.signature, samples=4), task, 8, progress=None)
        assert len(found) == len(task.test)
        assert found.accuracy().size == len(task.test)
        assert found.accuracy(lambda example, pred: True).value == 1.0
        with pytest.raises(StrategyError, match="without answers"):
            given(None, 2, questions=[{"question": "x"}]).accuracy()


def test_its_frame_and_its_table_say_where_the_samples_went():
    """A row for each question in order; what a model wrote is escaped."""
    world = World(("clear", ["<b>bold</b>"] * 8), size=4, most=8)
    with world.served():
        found = given(world, 3, questions=world.examples)
    frame = found.to_frame()
    assert list(frame.question) == ["q0", "q1", "q2", "q3"]
    assert list(frame.samples) == [1, 1, 1, 0]
    assert frame.answer[1] == "<b>bold</b>"
    assert frame.answer.isna().tolist() == [False, False, False, True]
    assert frame.tokens.sum() == found.spent.tokens
    assert "without an answer 1" in repr(found)
    assert "below their least 1" in repr(found)
    assert "ended by a budget of samples" in repr(found)
    assert "<b>" not in found._repr_html_()


def test_the_program_is_left_as_it_was():
    """Its settings and its predictors are those that it came with."""
    program = rtk.SelfConsistency("question -> answer", samples=8, stop="beta")
    before = program.dump_state()
    with World(size=3, most=8).served():
        given(World(size=3, most=8), 9, program)
    assert program.dump_state() == before


def test_a_model_of_its_own_is_asked():
    """`set_lm` on the program, and `lm=` in force, count as in a plain call."""
    program = rtk.SelfConsistency("question -> answer", samples=4)
    with rtk.testing.ScriptedServer(chain("mine")) as server, serving(chain("theirs")):
        program.set_lm(model(server))
        assert given(None, 2, program, [{"question": "x"}]).predictions[0].answer == "mine"
