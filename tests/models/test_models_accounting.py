"""Accounting: what DSPy's tracker, history and callbacks are told, what watchers see, and what a sample costs."""

import asyncio
import copy
import threading

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from serving import QUESTION, numbered, over, stored

import rtk
from rtk.errors import SampleError
from rtk.models.prices import listed
from rtk.samples import Missing
from rtk.testing import Reply, ScriptedServer

WIRES = pytest.mark.parametrize("wire", ["openai", "ollama"])


@pytest.fixture
def server():
    """Each reply has two words, each prompt five."""
    with ScriptedServer(numbered()) as running:
        yield running


def tracked(call):
    """What a call adds to DSPy's usage tracker: tokens read and written."""
    with dspy.track_usage() as tracker:
        call()
    totals = tracker.get_total_tokens().values()
    return [(total["prompt_tokens"], total["completion_tokens"]) for total in totals]


# --- DSPy's tracker and history ---


@WIRES
def test_what_is_drawn_is_tracked_once_and_what_is_reused_is_not(wire):
    """Three samples, then five, then five again: three, two and none are told."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server)
        assert tracked(lambda: lm(QUESTION, n=3)) == [(15, 6)]
        assert tracked(lambda: lm(QUESTION, n=5)) == [(10, 4)]
        assert tracked(lambda: lm(QUESTION, n=5)) == []
        assert tracked(lambda: asyncio.run(lm.acall(QUESTION, n=6))) == [(5, 2)]


def test_a_prediction_knows_its_usage(server):
    """As with any LM of DSPy's."""
    with ScriptedServer("[[ ## answer ## ]]\nyes") as running, dspy.context(lm=over(running), track_usage=True):
        first = dspy.Predict("question -> answer")(question="?")
        again = dspy.Predict("question -> answer")(question="?")
    [usage] = first.get_lm_usage().values()
    assert usage["completion_tokens"] == 6
    assert not again.get_lm_usage()


def test_one_sample_given_eight_times_costs_once(server):
    """At temperature 0 there is one, however many were asked for."""
    lm = over(server, temperature=0, price=(0, 1))
    assert tracked(lambda: lm(QUESTION, n=8)) == [(5, 2)]
    assert lm.history[-1]["cost"] == pytest.approx(2e-6)


def test_callers_at_once_pay_once_together(server):
    """One draw that eight wait for is one draw in the books, whoever pays it."""
    lm = over(server)
    counts, events = [], []

    def ask():
        with rtk.watch(events.append):
            counts.append(tracked(lambda: lm(QUESTION, n=2)))

    with server.hold():
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        server.wait_for(lambda s: s.held == 1)
        server.release()
        for thread in threads:
            thread.join(300)
    paid = [count for count in counts if count]
    assert sum(read for [(read, _)] in paid) == 10
    assert sorted(event.reused for event in events) == [False] * 2 + [True] * 14


def test_history_has_one_entry_a_call_with_what_it_cost(server):
    """Usage and cost are of what was drawn now; a reused call's are nothing, and sums over a history are right."""
    lm = over(server, price=(1_000_000, 2_000_000))
    lm(QUESTION, n=2)
    lm(QUESTION, n=3, temperature=0.7)
    lm(QUESTION, n=3)
    assert [entry["cost"] for entry in lm.history] == pytest.approx([5 + 8, 5 + 4, 0])
    assert [entry["usage"].get("completion_tokens") for entry in lm.history] == [4, 2, None]
    entry = lm.history[1]
    assert (entry["prompt"], entry["messages"]) == (QUESTION, [{"role": "user", "content": QUESTION}])
    assert entry["kwargs"] == {"n": 3, "temperature": 0.7}
    assert entry["outputs"] == ["reply 0", "reply 1", "reply 2"]
    assert entry["response"]["choices"][2]["message"]["content"] == "reply 2"
    assert (entry["model"], entry["response_model"]) == ("openai/scripted", "scripted")
    assert {"timestamp", "uuid", "model_type"} <= entry.keys()


def test_history_can_be_shown_and_switched_off(server, capsys):
    """DSPy prints it; `disable_history` keeps none."""
    lm = over(server)
    lm(QUESTION)
    lm.inspect_history()
    assert "reply 0" in capsys.readouterr().out
    with dspy.context(disable_history=True):
        lm("another")
    assert len(lm.history) == 1


def test_a_program_history_names_the_program(server):
    """Entries reach the modules that asked, as DSPy's own LM's do."""
    with ScriptedServer("[[ ## answer ## ]]\nyes") as running:
        predict = dspy.Predict("question -> answer")
        with dspy.context(lm=over(running)):
            predict(question="?")
    assert len(predict.history) == 1


def test_what_was_paid_before_a_failure_is_told(server):
    """Seven of eight came: seven are in the books."""
    script = [Reply("no", status=400) if number == 3 else "two words" for number in range(8)]
    with ScriptedServer(script) as running:
        lm = over(running, server_n=False, concurrency=1)
        with dspy.track_usage() as tracker, pytest.raises(SampleError):
            lm(QUESTION, n=8)
    [total] = tracker.get_total_tokens().values()
    assert (total["prompt_tokens"], total["completion_tokens"]) == (35, 14)
    assert lm.history[-1]["usage"]["completion_tokens"] == 14


# --- callbacks and watchers ---


class Notes(BaseCallback):
    def __init__(self):
        self.notes = []

    def on_lm_start(self, call_id, instance, inputs):
        self.notes.append(("start", call_id, type(instance).__name__, inputs))

    def on_lm_end(self, call_id, outputs, exception=None):
        self.notes.append(("end", call_id, outputs, exception))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_callbacks_are_called_once_a_call(server, asynchronous):
    """However many samples it asks for and wherever they come from, whether the callback is the LM's or everyone's."""
    own, everyones = Notes(), Notes()
    lm = over(server, callbacks=[own])

    def ask(**options):
        return asyncio.run(lm.acall(QUESTION, **options)) if asynchronous else lm(QUESTION, **options)

    with dspy.context(callbacks=[everyones]):
        texts = [ask(n=4), ask(n=4)]
    for notes in (own.notes, everyones.notes):
        assert [note[0] for note in notes] == ["start", "end"] * 2
        assert [note[2] for note in notes if note[0] == "end"] == texts
        assert notes[0][1] == notes[1][1] != notes[2][1]
        assert notes[0][2] == "LM"
        assert notes[0][3]["kwargs"] == {"n": 4}


def test_callbacks_hear_of_a_failure():
    """The end carries the error."""
    notes = Notes()
    with ScriptedServer(Reply("no", status=400)) as server, pytest.raises(SampleError):
        over(server, callbacks=[notes])(QUESTION)
    assert isinstance(notes.notes[-1][3], SampleError)


@WIRES
def test_watchers_see_every_sample_once(wire):
    """Drawn ones as they come, stored ones as reused, failed ones as missing."""
    script = ["a", Reply("no", status=400), "b", "c"]
    events = []
    with ScriptedServer(script, wire=wire) as server:
        lm = over(server, server_n=False, concurrency=1)
        with rtk.watch(events.append):
            with pytest.raises(SampleError):
                lm(QUESTION, n=3)
            first = events.copy()
            lm(QUESTION, n=3)
    missing = {event.sample.address.index: isinstance(event.sample, Missing) for event in first}
    assert missing == {0: False, 1: True, 2: False}
    assert not any(event.reused for event in first)
    later = {event.sample.address.index: event for event in events[3:]}
    assert {index: event.reused for index, event in later.items()} == {0: True, 1: False, 2: True}
    assert later[1].sample.text == "c"


def test_a_watcher_that_fails_harms_nobody(server, caplog):
    """It is logged, and the samples come."""
    with rtk.watch(lambda event: 1 / 0):
        assert len(over(server)(QUESTION, n=2)) == 2
    assert "a watcher failed" in caplog.text


def test_watchers_see_what_happens_in_dspys_threads(server):
    """They travel with DSPy's context."""
    lm, seen = over(server), []

    class Asks(dspy.Module):
        def forward(self, number):
            return dspy.Prediction(text=lm(f"question {number}")[0])

    with rtk.watch(lambda event: seen.append(event.sample.text)):
        dspy.Parallel(num_threads=3, disable_progress_bar=True)([(Asks(), {"number": number}) for number in range(6)])
    assert sorted(seen) == [f"reply {number}" for number in range(6)]


# --- prices ---


def cost(lm, prompt=QUESTION):
    lm(prompt)
    return stored(lm, 1, prompt)[0].usage.dollars


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_a_price_is_dollars_per_million_tokens(server, transport):
    """Read and written at their own; without one the dollars are unknown, which is not nothing."""
    assert cost(over(server, transport=transport, price=(3, 15))) == pytest.approx((5 * 3 + 2 * 15) / 1e6)
    assert cost(over(server, transport=transport), "another") is None
    assert cost(over(server, transport=transport, price=(0, 0)), "a third") == 0.0


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_the_list_price_is_not_that_of_a_server_of_ones_own(transport):
    """A model that is called gpt-4o costs what its server costs, whichever way one speaks to it."""
    with ScriptedServer(numbered(), models=None) as server:
        lm = rtk.LM("openai/gpt-4o", api_base=server.url, api_key="any", transport=transport)
        assert cost(lm) is None


def test_a_hosted_model_has_its_list_price():
    """From LiteLLM's list, which is read from this machine; a model that is not in it has none."""
    price = listed("openai/gpt-4o-mini")
    assert price is not None
    assert price.of(1_000_000, 0) == pytest.approx(0.15)
    assert listed("openai/nobody-knows") is None


def test_a_call_of_unknown_price_has_no_cost_in_the_history(server):
    """None, so that a sum over it is no number."""
    lm = over(server)
    lm(QUESTION)
    assert lm.history[-1]["cost"] is None
    lm(QUESTION)
    assert lm.history[-1]["cost"] == 0


def test_a_typed_request_of_dspys_is_answered_with_a_typed_response(server):
    """DSPy's `Request`, which its adapters will send from 3.5 on, is the same request and sample."""
    lm15 = dspy.lm15
    request = lm15.Request(model="openai/scripted", messages=(lm15.Message.user(QUESTION),))
    lm = over(server)
    response = lm(request)
    assert response.text == "reply 0"
    assert lm(QUESTION) == ["reply 0"]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (5, 2)
    assert copy.deepcopy(lm)(request).text == "reply 0"
