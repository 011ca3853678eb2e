"""What a sample cost: tokens counted here where a server reports none, reasoning apart, machine-hours, operations."""

import itertools
import threading

import dspy
import pytest
from serving import QUESTION, numbered, over, stored

import rtk
from rtk.errors import BudgetError, ModelError
from rtk.models import weights
from rtk.samples import Sample
from rtk.testing import Reply, ScriptedServer

WAYS = pytest.mark.parametrize(
    ("wire", "transport"), [("openai", "direct"), ("ollama", "direct"), ("openai", "litellm"), ("ollama", "litellm")]
)
LONG = "The quick brown fox jumps over the lazy dog. " * 20


def usages(lm, count, prompt=QUESTION):
    return [one.usage for one in stored(lm, count, prompt).values()]


# --- servers that report nothing ---


@WAYS
def test_tokens_that_a_server_does_not_report_are_counted_and_marked(wire, transport):
    """Each completion by its own text, the prompt by its; what they cost is an estimate too."""
    with ScriptedServer([Reply("yes"), Reply(LONG)], wire=wire, usage="none") as server:
        lm = over(server, transport=transport, price=(1, 2), server_n=False, concurrency=1)
        with rtk.Budget() as meter:
            lm(QUESTION, n=2)
    short, long = usages(lm, 2)
    assert (short.estimated, long.estimated) == (True, True)
    assert short.completion_tokens == 1
    assert 180 <= long.completion_tokens <= 220
    assert 8 <= short.prompt_tokens == long.prompt_tokens <= 20
    assert short.dollars == pytest.approx((short.prompt_tokens + 2) / 1e6)
    assert (meter.spent.estimated, "about " in str(meter.spent)) == (2, True)


def test_every_choice_of_a_reply_without_usage_is_counted_by_itself():
    """A share of a sum is not needed where there is no sum."""
    with ScriptedServer([Reply("yes"), Reply(LONG), Reply("")], usage="none") as server:
        lm = over(server)
        lm(QUESTION, n=3)
    counts = [usage.completion_tokens for usage in usages(lm, 3)]
    assert counts[0] == 1 < counts[1]
    assert counts[2] == 0


def test_what_a_model_reads_and_writes_besides_text_is_counted_too():
    """Tools and earlier turns are read, reasoning and tool calls are written."""
    tool = {"type": "function", "function": {"name": "add", "description": LONG, "parameters": {"type": "object"}}}
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    with ScriptedServer([Reply("yes"), Reply("yes", reasoning=LONG, tool_calls=[call])], usage="none") as server:
        lm = over(server, cache=False)
        events = []
        with rtk.watch(events.append):
            lm(messages=[{"role": "user", "content": [{"type": "text", "text": QUESTION}]}])
            lm(messages=[{"role": "user", "content": QUESTION}, {"role": "assistant", "content": LONG}], tools=[tool])
    plain, rich = [event.sample.usage for event in events]
    assert rich.prompt_tokens > plain.prompt_tokens + 350
    assert rich.completion_tokens > plain.completion_tokens + 180


@WAYS
def test_what_a_server_reports_is_no_estimate(wire, transport):
    """Also where a completion is empty."""
    with ScriptedServer([Reply("two words"), Reply("")], wire=wire) as server:
        lm = over(server, transport=transport, server_n=False, concurrency=1)
        lm(QUESTION, n=2)
    assert [(usage.completion_tokens, usage.estimated) for usage in usages(lm, 2)] == [(2, False), (0, False)]


def test_an_unknown_price_of_estimated_tokens_is_unknown():
    """None, never 0."""
    with ScriptedServer("yes", usage="none") as server, rtk.Budget() as meter:
        lm = over(server)
        lm(QUESTION)
    assert (usages(lm, 1)[0].dollars, meter.spent.dollars) == (None, None)


# --- reasoning ---


def thought(tokens, reasoning):
    return {
        "prompt_tokens": 5,
        "completion_tokens": tokens,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize("transport", ["direct", "litellm"])
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_answer(transport, field):
    """Under both of the names that servers have for it, with its tokens where they are told."""
    body = b'{"choices": [{"message": {"content": "4", "%b": "2 and 2"}, "finish_reason": "stop"}], "usage": %b}'
    usage = b'{"prompt_tokens": 5, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 8}}'
    with ScriptedServer(Reply(body=body % (field.encode(), usage))) as server:
        lm = over(server, transport=transport)
        lm(QUESTION)
    sample = stored(lm, 1)[0]
    assert (sample.text, sample.reasoning, sample.finish_reason) == ("4", "2 and 2", "stop")
    assert (sample.usage.completion_tokens, sample.usage.reasoning_tokens) == (9, 8)
    assert Sample.from_json(sample.to_json()) == sample


@pytest.mark.parametrize("engine", ["auto", "litellm"])
def test_the_reasoning_of_a_wrapped_lm_is_counted_as_it_tells(engine):
    """DSPy's tracker knows of it."""
    with ScriptedServer(Reply("4", reasoning="2 and 2", usage=thought(9, 8))) as server:
        inner = dspy.LM("openai/scripted", api_base=server.url, api_key="any", engine=engine, cache=False)
        lm = rtk.LM.of(inner)
        lm(QUESTION)
    sample = stored(lm, 1)[0]
    assert (sample.reasoning, sample.usage.completion_tokens, sample.usage.reasoning_tokens) == ("2 and 2", 9, 8)


def test_the_reasoning_of_several_choices_is_shared_out_by_its_length():
    """The shares add up to what the server reports."""
    script = [Reply("yes", reasoning="word " * length, usage=thought(120, 100)) for length in (10, 30, 60)]
    with ScriptedServer(script) as server:
        lm = over(server)
        lm(QUESTION, n=3)
    assert [usage.reasoning_tokens for usage in usages(lm, 3)] == [10, 30, 60]


def test_hidden_reasoning_of_several_choices_is_shared_out_evenly():
    """A hosted model shows none of it."""
    with ScriptedServer([Reply("yes", usage=thought(120, 100)), Reply("no")]) as server:
        lm = over(server)
        lm(QUESTION, n=2)
    assert [usage.reasoning_tokens for usage in usages(lm, 2)] == [50, 50]


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_ollamas_thinking_is_reasoning_of_unknown_length(transport):
    """It counts all that was written together, and so does rtk."""
    with ScriptedServer(Reply("4", reasoning="2 and 2"), wire="ollama") as server:
        lm = over(server, transport=transport)
        lm(QUESTION)
    sample = stored(lm, 1)[0]
    assert (sample.text, sample.reasoning) == ("4", "2 and 2")
    assert (sample.usage.completion_tokens, sample.usage.reasoning_tokens) == (4, None)


@WAYS
def test_thoughts_that_the_server_left_in_the_text_stay_there(wire, transport):
    """What a model wrote is not rewritten on the way, not by LiteLLM either."""
    text = "<think>2 and 2</think>4"
    with ScriptedServer(text, wire=wire) as server:
        lm = over(server, transport=transport)
        assert lm(QUESTION) == [text]
    assert stored(lm, 1)[0].reasoning is None


@WAYS
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_a_completion_is_kept_as_it_is_and_never_drawn_again(wire, transport, reason):
    """Cut off, filtered or empty, it is a sample, with the reason that the server gives."""
    if wire == "ollama" and reason == "content_filter":
        pytest.skip("Ollama filters nothing")
    with ScriptedServer([Reply("so", finish_reason=reason), Reply("", finish_reason=reason)], wire=wire) as server:
        lm = over(server, transport=transport, server_n=False, concurrency=1)
        assert lm(QUESTION, n=2) == lm(QUESTION, n=2) == ["so", ""]
        assert server.count == 2
    assert [one.finish_reason for one in stored(lm, 2).values()] == [reason, reason]


# --- a machine paid by the hour ---


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second whenever it is looked at."""
    ticks = itertools.count()
    monkeypatch.setattr("rtk.models.prices.perf_counter", lambda: float(next(ticks)))


@WAYS
def test_a_machine_is_paid_for_the_time_it_works(wire, transport, ticking):
    """Three samples one after the other, a second each, at 3600 dollars an hour."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server, transport=transport, price_per_hour=3600, server_n=False, concurrency=1)
        lm(QUESTION, n=3)
    assert [usage.dollars for usage in usages(lm, 3)] == [1, 1, 1]


def test_samples_in_flight_together_share_its_time(ticking):
    """Eight set out in seven seconds and come back in seven: the fourteen and the one between are paid once, not eight
    times."""
    with ScriptedServer(numbered()) as server:
        lm = over(server, price_per_hour=3600, server_n=False, concurrency=8)
        with server.hold():
            asking = threading.Thread(target=lm, args=(QUESTION,), kwargs={"n": 8})
            asking.start()
            server.wait_for(lambda s: s.held == 8)
        asking.join(300)
    dollars = [usage.dollars for usage in usages(lm, 8)]
    assert sum(dollars) == pytest.approx(15)
    assert min(dollars) >= 1 / 8 - 1e-9  # nobody is in flight for less than a second of all eight


def test_the_samples_of_one_request_share_its_time(ticking):
    """All of them were computed meanwhile."""
    with ScriptedServer(numbered()) as server:
        lm = over(server, price_per_hour=3600)
        lm(QUESTION, n=4)
    assert [usage.dollars for usage in usages(lm, 4)] == [0.25] * 4


def test_a_failed_attempt_is_paid_by_the_sample_that_comes_in_the_end(ticking, no_waiting):
    """The machine worked for it; what it waited between two tries costs nothing."""
    with ScriptedServer([Reply("no", status=500), Reply(cut=True), "yes"]) as server:
        lm = over(server, price_per_hour=3600)
        lm(QUESTION)
    assert usages(lm, 1)[0].dollars == 3


def test_a_machine_hour_is_reused_as_it_was_paid(ticking):
    """A second look costs what the first one did, in the books of a budget too."""
    with ScriptedServer(numbered()) as server:
        lm = over(server, price_per_hour=3600)
        lm(QUESTION, n=2)
        with rtk.Budget() as meter:
            lm(QUESTION, n=2)
    assert (meter.spent.dollars, meter.spent.reused) == (1, 2)


def test_dollars_of_a_machine_have_no_bound_that_is_known_before():
    """A budget of dollars over it is refused, and says what to limit instead."""
    with ScriptedServer("yes") as server, rtk.Budget(dollars=1), pytest.raises(BudgetError) as caught:
        over(server, price_per_hour=1)(QUESTION)
    assert "seconds=" in caught.value.mend


@pytest.mark.parametrize(
    "wrong",
    [{"price_per_hour": -1}, {"price_per_hour": "cheap"}, {"price_per_hour": 1, "price": (1, 1)}, {"params": 0},
     {"params": "8B"}, {"params": float("inf")}],
    ids=str,
)  # fmt: skip
def test_a_price_or_a_size_that_cannot_be_is_refused(wrong):
    """When the LM is made."""
    with pytest.raises(ModelError) as caught:
        rtk.LM("openai/any", api_base="http://127.0.0.1:1/v1", **wrong)
    assert caught.value.mend


def test_price_and_size_are_saved_and_belong_to_the_model():
    """They cannot differ on a call or a copy."""
    lm = rtk.LM("openai/any", api_base="http://127.0.0.1:1/v1", price_per_hour=2.5, params=8e9)
    assert (lm.dump_state()["price_per_hour"], lm.dump_state()["params"], lm.copy().params) == (2.5, 8e9, 8e9)
    for name in ("price_per_hour", "params", "price"):
        for wrong in (lambda name=name: lm(QUESTION, **{name: 1}), lambda name=name: lm.copy(**{name: 1})):
            with pytest.raises(ModelError, match=name):
                wrong()


# --- operations ---


def test_operations_are_two_for_each_parameter_and_token():
    """5 tokens read and 2 written by a model of a billion parameters, drawn and reused alike."""
    with ScriptedServer(numbered()) as server:
        lm = over(server, params=1e9, server_n=False)
        for _ in range(2):
            with rtk.Budget() as meter:
                lm(QUESTION, n=3)
            assert meter.spent.flops == 2 * 1e9 * 3 * (5 + 2)


def test_a_prompt_that_was_read_once_is_counted_once():
    """Four completions of one request read it together; the sample says so, also after a stay on the disk."""
    with ScriptedServer(Reply("a b c d", prompt_tokens=1000)) as server, rtk.Budget() as meter:
        lm = over(server, params=10)
        lm(QUESTION, n=4)
    assert meter.spent.flops == 2 * 10 * (1000 + 16)
    assert [usage.choices for usage in usages(lm, 4)] == [4] * 4
    with rtk.Budget() as again:
        lm(QUESTION, n=4)
    assert again.spent.flops == meter.spent.flops


def test_operations_of_a_model_of_unknown_size_are_unknown():
    """And so is a sum with one of them."""
    with ScriptedServer("yes") as server:
        with rtk.Budget() as known:
            over(server, params=7)(QUESTION)
        with rtk.Budget() as meter:
            over(server, params=7)("another")
            over(server, revision="2")("another")
    assert (known.spent.flops, meter.spent.flops) == (2 * 7 * 6, None)
    assert (rtk.Spent() + known.spent).flops == known.spent.flops


def test_the_embedded_model_knows_its_size():
    """Its weights need not be there."""
    assert rtk.LM("embedded").params == 134_515_008


@pytest.mark.embedded
def test_the_size_of_a_file_is_read_from_its_head():
    """All elements of its tensors."""
    assert rtk.LM("embedded", gguf=weights.require()).params == weights.parameters()
