"""A sweep: every setting on every question is a row, nothing is drawn twice, and nothing that happens loses a row."""

import asyncio
import random
import threading
import time

import dspy
import pytest

import rtk
from rtk.errors import EndpointError, StoreError, StrategyError, TaskError
from rtk.experiments import sweep
from rtk.testing import Reply, ScriptedServer

EXAMPLES = [dspy.Example(question=f"number {i}?", answer=i, id=f"n/{i}").with_inputs("question") for i in range(6)]
SIGNATURE = "question -> answer: int"


def right(example, pred):
    return pred.answer == example.answer


def knowing(received):
    """Each question's own number, two times in three by the seed of the sample."""
    number = int(received.last.partition("number ")[2].partition("?")[0])
    knows = random.Random(f"{number} {received.body['seed']}").random() < 0.67
    return f"reasoning: r\nanswer: {number if knows else 100 + number}"


def model(server, **kwargs):
    return rtk.LM("openai/scripted", api_base=server.url, api_key="x", seed=1, num_retries=0, **kwargs)


@pytest.fixture
def server():
    with (
        ScriptedServer(knowing) as running,
        dspy.context(lm=model(running), adapter=rtk.LinesAdapter()),
    ):
        yield running


def vote(**settings):
    return rtk.SelfConsistency(SIGNATURE, **settings)


def test_every_setting_of_every_question_is_a_row(server):
    """Rows lie arm after arm, each in the order of the questions, with what was swept as a column."""
    found = sweep(vote(), EXAMPLES, {"samples": [1, 4]}, metric=right)
    frame = found.rows()
    assert len(frame) == found.asked == 12
    assert list(frame["samples"]) == [1] * 6 + [4] * 6
    assert list(frame["example"]) == [f"n/{i}" for i in range(6)] * 2
    assert list(frame["consulted"]) == [1] * 6 + [4] * 6
    assert list(frame["attempts"]) == [1] * 6 + [4] * 6
    assert [arm.label for arm in found.settings] == ["samples=1", "samples=4"]
    assert all(len(one) == n for one, n in zip(frame["addresses"], frame["samples"], strict=True))
    assert found.stopped is None


def test_settings_that_nest_draw_once(server):
    """Five settings up to sixteen samples draw sixteen of each question, and the attempts are kept once."""
    found = sweep(vote(), EXAMPLES, {"samples": [1, 2, 16, 4, 8]}, metric=right)
    assert len(server.requests) == 16 * 6
    assert found.rows("drawn")["drawn"].sum() == 16 * 6
    attempts = found.candidates()
    assert len(attempts) == 16 * 6
    assert not attempts.duplicated("address").any()
    assert found.rows("pool")["pool"].nunique() == 6


def test_a_row_is_what_a_call_gives(server):
    """Answer, verdict, confidence, cost and deliberation are those of the program called by itself."""
    found = sweep(vote(), EXAMPLES, {"samples": [4]}, metric=right)
    frame = found.rows()
    for row, example in enumerate(EXAMPLES):
        with rtk.Budget() as meter:
            pred = vote(samples=4)(**example.inputs())
        assert frame["answer"][row] == str(pred.answer)
        assert frame["gold"][row] == str(example.answer)
        assert frame["correct"][row] == right(example, pred)
        assert frame["confidence"][row] == pred.confidence.value
        assert frame["tokens_out"][row] == meter.spent.completion_tokens
        assert found.deliberation(row).to_dict() == pred.deliberation.to_dict()


def test_the_same_call_again_draws_nothing(server):
    """All of a second sweep comes from the store, and its figures are the same."""
    first = sweep(vote(), EXAMPLES, {"samples": [2, 3]}, metric=right).rows("answer", "tokens_in", "dollars", "seconds")
    again = sweep(vote(), EXAMPLES, {"samples": [2, 3]}, metric=right)
    assert again.rows("drawn")["drawn"].sum() == 0
    assert again.rows("answer", "tokens_in", "dollars", "seconds").equals(first)


def test_an_example_that_raises_is_a_row(server):
    """A sample that never comes, an answer that cannot be read and a module that fails are rows that are wrong."""

    class Fails(dspy.Module):
        def forward(self, question):
            if "2" in question:
                raise ValueError("no twos")
            return dspy.Prediction(answer=None if "3" in question else 1)

    frame = sweep(Fails(), EXAMPLES, metric=right).rows()
    assert list(frame["correct"]) == [False, True, False, False, False, False]
    assert frame["error"][2] == "ValueError: no twos"
    assert list(frame["abstained"]) == [False, False, False, True, False, False]


def test_a_program_may_return_anything():
    """A bare value is the answer, None an abstention, and so is what a model wrote that cannot be read."""

    class Bare(dspy.Module):
        def forward(self, question):
            return {"1": 1, "2": {"answer": 2}}.get(question.split()[1][0])

    frame = sweep(Bare(), EXAMPLES[:3], metric=lambda example, pred: pred in (1, {"answer": 2})).rows()
    assert list(frame["answer"]) == [None, "1", "2"]
    assert list(frame["abstained"]) == [True, False, False]
    assert list(frame["correct"]) == [False, True, True]
    with ScriptedServer("nothing") as running, dspy.context(lm=model(running), adapter=rtk.LinesAdapter()):
        frame = sweep(vote(samples=1), EXAMPLES[:1], metric=right).rows()
    assert (frame["abstained"][0], frame["error"][0], frame["consulted"][0]) == (True, None, 1)


def test_a_strategy_with_a_forward_of_its_own_is_called_by_it(server):
    """What a class overrides is what a sweep runs, though its async half would do something else."""

    class Doubled(rtk.SelfConsistency):
        def forward(self, **inputs):
            found = super().forward(**inputs)
            return dspy.Prediction(answer=2 * found.answer)

    once, twice = (sweep(kind(SIGNATURE), EXAMPLES, {"samples": [1, 2]}, metric=right).rows()["answer"].astype(int)
                   for kind in (rtk.SelfConsistency, Doubled))  # fmt: skip
    assert list(twice) == [2 * one for one in once]


def test_inputs_may_be_called_like_columns():
    """An input called answer, or score, is part of the question, and the program's answer stands by itself."""

    class Judge(dspy.Module):
        def forward(self, answer, score):
            return dspy.Prediction(reasoning="so", verdict=len(answer))

    example = dspy.Example(answer="four", score=3, verdict=4, id="a/1").with_inputs("answer", "score")
    row = sweep(Judge(), [example], metric=lambda example, pred: pred.verdict == example.verdict).rows().loc[0]
    assert (row["question"], row["answer"], row["gold"]) == ("answer: four\nscore: 3", "4", "4")
    assert (row["example"], row["score"], row["correct"]) == ("a/1", 1.0, True)


def test_a_sample_that_never_comes_is_a_row():
    """It names the kind of its failure; the others are answered."""
    script = lambda got: Reply("no", status=400) if "number 3" in got.last else "reasoning: r\nanswer: 1"  # noqa: E731
    with ScriptedServer(script) as running, dspy.context(lm=model(running), adapter=rtk.LinesAdapter()):
        frame = sweep(vote(), EXAMPLES, {"samples": [1, 2]}, metric=right).rows()
    assert list(frame["error"].notna()) == [i % 6 == 3 for i in range(12)]
    assert frame["error"][3].startswith("status_400")
    assert frame["failed"][3] == 1


def test_what_no_row_could_tell_is_raised_with_what_came():
    """A model that does not exist ends the sweep, and the error carries the results so far."""
    script = lambda got: Reply("no such model", status=404)  # noqa: E731
    with ScriptedServer(script) as running, dspy.context(lm=model(running)), pytest.raises(EndpointError) as caught:
        sweep(vote(), EXAMPLES, {"samples": [2]}, metric=right)
    assert len(caught.value.results.rows()) == 0
    assert caught.value.results.stopped == "failed"


def test_where_nobody_listens_there_is_one_error():
    """No table of zeros."""
    with ScriptedServer("x") as gone:
        url = gone.url
    lm = rtk.LM("openai/scripted", api_base=url, api_key="x", num_retries=0)
    with dspy.context(lm=lm), pytest.raises(EndpointError):
        sweep(vote(), EXAMPLES, metric=right)


def test_what_the_store_cannot_give_is_raised():
    """A store that cannot be read is one error and no wrong answer, also once others were answered."""

    class Lacking(dspy.Module):
        def forward(self, question):
            if "0" in question:
                return dspy.Prediction(answer=0)
            raise StoreError("no such sample")

    with pytest.raises(StoreError) as caught:
        sweep(Lacking(), EXAMPLES, metric=right, concurrency=1)
    assert len(caught.value.results.rows()) == 1


def test_an_endpoint_that_goes_down_midway_costs_its_rows_alone():
    """Once an arm had an answer, what fails is counted and the sweep goes on."""
    script = lambda got: Reply("gone", status=404) if got.index >= 3 else "reasoning: r\nanswer: 1"  # noqa: E731
    with ScriptedServer(script) as running, dspy.context(lm=model(running), adapter=rtk.LinesAdapter()):
        frame = sweep(vote(), EXAMPLES, {"samples": [1]}, metric=right, concurrency=1).rows()
    assert list(frame["error"].isna()) == [True] * 3 + [False] * 3


def test_programs_models_and_replicates_are_columns(server):
    """Each combination is an arm of its own, replicates draw samples of their own, and labels tell all apart."""
    programs = {"vote": vote(), "one": dspy.ChainOfThought(SIGNATURE)}
    models = [model(server), model(server, revision="b")]
    found = sweep(programs, EXAMPLES, {"samples": [1, 2]}, model=models, metric=right, replicates=2)
    frame = found.rows()
    assert len(frame) == 6 * 2 * (2 * 2 + 2)
    assert len({arm.label for arm in found.settings}) == 6
    assert frame[frame["program"] == "one"]["samples"].isna().all()
    assert len(server.requests) == 2 * 2 * 6 * 2
    assert found.replicates == 2
    twice = frame[(frame["setting"] == found.settings[0].label)].groupby("example")["addresses"].first()
    assert len({one[0] for one in twice}) == 6


def test_settings_are_found_by_their_paths(server):
    """A setting inside a module, the model's temperature and a budget of each call can be swept."""

    class Twice(dspy.Module):
        def __init__(self):
            super().__init__()
            self.draft = vote()

        def forward(self, question):
            return self.draft(question=question)

    inner = sweep(Twice(), EXAMPLES[:2], {"draft.samples": [1, 3]}, metric=right).rows()
    assert list(inner["consulted"]) == [1, 1, 3, 3]
    heat = sweep(vote(samples=1), EXAMPLES[:1], {"lm.temperature": [0.2, 0.9]}, metric=right).rows()
    assert heat["addresses"][0] != heat["addresses"][1]
    budgets = [rtk.Budget(samples=2), None]
    limited = sweep(vote(samples=4), EXAMPLES[:2], {"budget": budgets}, metric=right).rows()
    assert list(limited["stopped"]) == ["samples", "samples", None, None]
    assert list(limited["consulted"]) == [2, 2, 4, 4]
    assert list(limited["budget"]) == ["Budget(samples=2)"] * 2 + [None] * 2


def test_the_program_given_stays_as_it_is(server):
    """Arms are copies."""
    program = vote(samples=5)
    sweep(program, EXAMPLES[:1], {"samples": [1]}, metric=right)
    assert program.samples == 5


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"sample": [1]}, "samples"),
        ({"samples": 4}, "a list"),
        ({"samples": []}, "one value"),
        ({"samples": [1, 1]}, "each value once"),
        ({"samples": [0]}, "whole number"),
        ({"samples": [1, -2]}, "whole number"),
        ({"samples": [True]}, "whole number"),
        ({"samples": [1.5]}, "whole number"),
        ({"samples": ["2"]}, "whole number"),
        ({"samples": "12"}, "a list"),
        ({"budget": [3]}, "Budget"),
    ],
)
def test_settings_that_cannot_be_are_refused(server, over, said):
    """Before anything is asked, with what to write instead."""
    with pytest.raises(StrategyError) as caught:
        sweep(vote(), EXAMPLES, over, metric=right)
    assert said in f"{caught.value} {caught.value.mend}"
    assert not server.requests


@pytest.mark.parametrize("program", [rtk.ChainOfThought(SIGNATURE), dspy.Predict(SIGNATURE), dspy.Module()])
def test_a_program_without_the_setting_is_refused(server, program):
    """Where there is nothing to change, the error says what there is."""
    with pytest.raises(StrategyError, match="no program has a setting 'samples'") as caught:
        sweep(program, EXAMPLES, {"samples": [1, 2]}, metric=right)
    assert "temperature" in caught.value.mend
    assert not server.requests


@pytest.mark.parametrize(
    ("examples", "metric", "said"),
    [
        ([], right, "no question"),
        ([{"question": "q"}], right, "dict"),
        ([dspy.Example(question="q")], right, "with_inputs"),
        (EXAMPLES, None, "metric"),
        ("arithmetic", right, "task"),
    ],
)
def test_questions_that_are_none_are_refused(server, examples, metric, said):
    """With what was wrong, before anything is asked."""
    with pytest.raises(TaskError) as caught:
        sweep(vote(), examples, metric=metric)
    assert said in f"{caught.value} {caught.value.mend}"


def test_a_metric_that_returns_no_score_ends_the_sweep(server):
    """It is a mistake that every row would have."""
    with pytest.raises(TaskError, match="no score"):
        sweep(vote(), EXAMPLES, metric=lambda example, pred: 7)


def test_a_metric_that_fails_now_and_then_costs_its_rows(server):
    """A judge that says nothing of one answer is counted there."""

    def moody(example, pred):
        if example.answer == 1:
            raise TaskError("no number")
        return True

    frame = sweep(vote(samples=1), EXAMPLES, metric=moody).rows()
    assert list(frame["error"].notna()) == [False, True, False, False, False, False]
    assert frame["error"][1] == "metric: TaskError: no number"
    assert list(frame["correct"]) == [True, False, True, True, True, True]


def test_graded_scores_are_kept(server):
    """A score between wrong and right is on the row, which is right at 1 alone."""
    frame = sweep(vote(samples=1), EXAMPLES[:2], metric=lambda example, pred: 0.5 if example.answer else 1.0).rows()
    assert list(frame["score"]) == [1.0, 0.5]
    assert list(frame["correct"]) == [True, False]


def test_a_budget_of_the_sweep_ends_it(server):
    """What came is kept, what did not come to its end is no row, and the same call goes on from there."""
    found = sweep(vote(samples=2), EXAMPLES, metric=right, budget=rtk.Budget(samples=7), concurrency=1)
    assert found.stopped == "samples"
    assert len(found.rows()) == 3
    assert len(server.requests) == 7
    whole = sweep(vote(samples=2), EXAMPLES, metric=right)
    assert (len(whole.rows()), len(server.requests)) == (6, 12)


def test_a_budget_around_the_sweep_ends_it_too(server):
    """As its own would; rows that it would have cut short are none."""
    with rtk.Budget(samples=7) as around:
        found = sweep(vote(), EXAMPLES, {"samples": [2]}, metric=right, concurrency=1)
    assert (found.stopped, len(found.rows()), around.spent.samples) == ("samples", 3, 7)


def test_it_runs_inside_a_running_loop_and_awaited(server):
    """A cell's loop is no hindrance, and `asweep` leaves it free."""

    async def cell():
        ticks = []

        async def beside():
            while True:
                await asyncio.sleep(0.001)
                ticks.append(1)

        other = asyncio.ensure_future(beside())
        awaited = await rtk.experiments.asweep(vote(), EXAMPLES, {"samples": [2]}, metric=right)
        other.cancel()
        return sweep(vote(), EXAMPLES, {"samples": [2]}, metric=right), awaited, len(ticks)

    found, awaited, ticks = asyncio.run(cell())
    assert found.rows("answer").equals(awaited.rows("answer"))
    assert ticks > 0


def test_modules_without_an_async_half_run_side_by_side():
    """Sixteen that sleep take as long as one, nearly."""
    together, most, lock = [], [], threading.Lock()

    class Sleeps(dspy.Module):
        def forward(self, question):
            with lock:
                together.append(1)
                most.append(len(together))
            time.sleep(0.2)
            with lock:
                together.pop()
            return dspy.Prediction(answer=1)

    sweep(Sleeps(), EXAMPLES, metric=right)
    assert max(most) == 6


def test_a_slow_metric_does_not_hold_up_the_others():
    """A metric that asks somebody is asked in threads, once it is seen to take its time."""
    together, most, lock = [], [], threading.Lock()

    def slow(example, pred):
        with lock:
            together.append(1)
            most.append(len(together))
        time.sleep(0.05)
        with lock:
            together.pop()
        return True

    class Known(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=1)

    examples = [dspy.Example(question=f"{i}", answer=1).with_inputs("question") for i in range(40)]
    frame = sweep(Known(), examples, metric=slow).rows("score")
    assert frame["score"].sum() == 40
    assert max(most) > 1


def test_progress_is_told_after_each_row(server):
    """The caller hears of every row."""
    ticks = []
    sweep(vote(), EXAMPLES, {"samples": [1, 2]}, metric=right, progress=lambda: ticks.append(1))
    assert len(ticks) == 12


def test_a_tree_is_one_answer_without_attempts(server):
    """A strategy that chooses among no attempts has a row with what it cost, and no pool."""
    tree = rtk.TreeOfThoughts(SIGNATURE, breadth=1, branching=2, depth=1)
    frame = sweep(tree, EXAMPLES[:1], metric=right).rows()
    assert frame["attempts"].isna().all()
    assert frame["consulted"][0] > 1


def test_text_that_no_encoding_carries_is_a_row():
    """A lone surrogate in a question or an answer is replaced, and costs no row."""

    class Broken(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer="a\ud800\x00")

    example = dspy.Example(question="q\ud801", answer="1").with_inputs("question")
    frame = sweep(Broken(), [example], metric=right).rows()
    assert (frame["question"][0], frame["answer"][0]) == ("q?", "a?\x00")
