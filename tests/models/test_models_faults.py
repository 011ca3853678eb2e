"""Faults: what can be asked again is, what cannot is one clear error, and a sample that fails costs only itself."""

import asyncio
import math
import traceback

import dspy
import pytest
from serving import QUESTION, Anything, numbered, over, stored

import rtk
from rtk.errors import EndpointError, SampleError
from rtk.models.retries import Retries
from rtk.testing import Reply, ScriptedServer

WAYS = pytest.mark.parametrize(
    ("wire", "transport"), [("openai", "direct"), ("ollama", "direct"), ("openai", "litellm"), ("ollama", "litellm")]
)
TOO_LONG = "This model's maximum context length is 4096 tokens. However, your messages have 5000 tokens."
PASSING = {
    "500": Reply("out of luck", status=500),
    "503": Reply("loading", status=503),
    "429": Reply("slow down", status=429, headers={"Retry-After": "0"}),
    "timeout": Reply(delay=math.inf),
    "reset": Reply(cut="start"),
    "cut": Reply("never read to its end", cut=True),
    "page": Reply(body=b"<html>502 Bad Gateway</html>"),
    "truncated": Reply(body=b'{"choices": [{"message": {"con'),
    "list": Reply(body=b"[1, 2]"),
    "stranger": Reply(body=b'{"hello": "world"}'),
    "hollow": Reply(body=b'{"choices": [], "message": null}'),
}
KINDS = {
    "500": {"status_500"}, "503": {"status_503"}, "429": {"status_429"}, "timeout": {"timeout"},
    "reset": {"connection"}, "cut": {"truncated"}, "page": {"truncated", "malformed"},
    "truncated": {"truncated", "malformed"}, "list": {"malformed"}, "stranger": {"malformed"}, "hollow": {"malformed"},
}  # fmt: skip
FINAL = {"400": Reply("no such field", status=400), "422": Reply("no", status=422), "long": Reply(TOO_LONG, status=400)}
REFUSED = {"401": Reply("wrong key", status=401), "403": Reply("no", status=403), "404": Reply("no model", status=404)}


def raised(lm, error=SampleError, **options):
    """The error of a call, which is one error and not a chain of them."""
    with pytest.raises(error) as caught:
        lm(QUESTION, **options)
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback (most recent call last)") == 1
    assert caught.value.mend
    assert len(str(caught.value)) < 500
    return caught.value


@WAYS
@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_asked_again_and_the_sample_comes(wire, transport, fault, no_waiting):
    """Two faults and a reply are one sample, and nobody hears of the faults."""
    script = [PASSING[fault], PASSING[fault], "at last"]
    with ScriptedServer(script, wire=wire) as server:
        lm = over(server, transport=transport, timeout=0.2 if fault == "timeout" else 60)
        assert lm(QUESTION) == ["at last"]
        assert server.count == 3
        assert lm(QUESTION) == ["at last"]
        assert server.count == 3


@WAYS
@pytest.mark.parametrize("fault", PASSING)
def test_what_never_passes_is_one_error_that_names_it(wire, transport, fault, no_waiting):
    """After num_retries further tries the sample is given up, and the error says what kind of fault it was."""
    with ScriptedServer(PASSING[fault], wire=wire) as server:
        lm = over(server, transport=transport, num_retries=1, timeout=0.2 if fault == "timeout" else 60)
        assert raised(lm).kind in KINDS[fault]
        assert server.count == 2
    assert stored(lm, 1) == {}


@WAYS
@pytest.mark.parametrize("fault", FINAL)
def test_what_no_retry_mends_is_asked_once(wire, transport, fault):
    """A request that the endpoint will not take as it is; one whose prompt is too long says so."""
    with ScriptedServer(FINAL[fault], wire=wire) as server:
        error = raised(over(server, transport=transport))
        assert server.count == 1
    assert error.kind == ("context" if fault == "long" else f"status_{fault}")
    assert ("shorten the prompt" if fault == "long" else "change what") in error.mend


@WAYS
@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_key_or_name_is_the_endpoints_error(wire, transport, fault):
    """Asking again would not mend it, for no sample of any request."""
    with ScriptedServer(REFUSED[fault], wire=wire) as server:
        error = raised(over(server, transport=transport), EndpointError)
        assert server.count == 1
    assert fault in str(error)
    assert ("name" if fault == "404" else "api_key=") in error.mend


@WAYS
def test_nobody_listening_is_an_error_at_once(wire, transport):
    """The mend says how to start a server."""
    with ScriptedServer("yes", wire=wire) as server:
        pass
    error = raised(over(server, transport=transport), EndpointError)
    assert ("is Ollama running? `ollama serve`" if wire == "ollama" else "`vllm serve NAME`") in error.mend
    assert server.url.removeprefix("http://").partition("/")[0] not in str(error)


MENDS = {
    "ollama_chat": ("is Ollama running? `ollama serve`", "`ollama pull missing`"),
    "hosted_vllm": ("is vLLM running? `vllm serve missing`", "--served-model-name"),
    "lm_studio": ("`lms server start`", "`lms get missing`"),
    "llamafile": ("--server", "ends in /v1"),
    "openai": ("`llama-server -m FILE`", "in /v1"),
}


@pytest.mark.parametrize("transport", ["direct", "litellm"])
@pytest.mark.parametrize("prefix", MENDS)
def test_the_mend_of_an_endpoint_that_will_not_answer_is_its_engines(prefix, transport):
    """Where nobody listens, the command that starts it; where the model is not known, the one that fetches or names it;
    for all samples at once, and after one request."""
    with ScriptedServer("yes", wire="ollama" if prefix == "ollama_chat" else "openai") as server:
        lm = rtk.LM(f"{prefix}/missing", api_base=server.url, api_key="any", transport=transport)
        unknown = raised(lm, EndpointError, n=4)
        assert server.count == 1 or prefix == "ollama_chat"
    gone = raised(rtk.LM(f"{prefix}/missing", api_base=server.url, api_key="any", transport=transport), EndpointError)
    assert MENDS[prefix][0] in gone.mend
    assert MENDS[prefix][1] in unknown.mend


@WAYS
def test_an_endpoint_that_went_away_is_waited_for(wire, transport, monkeypatch):
    """One that has answered may come back: what is asked meanwhile is asked again, and gets its reply."""
    server = ScriptedServer(numbered(), wire=wire)

    def wait(self, attempt, asked):
        if attempt == 1:
            server.start()
        return 0.0

    monkeypatch.setattr(Retries, "wait", wait)
    with server:
        lm = over(server, transport=transport)
        assert lm(QUESTION) == ["reply 0"]
        server.stop()
        assert lm("another") == ["reply 1"]


def test_no_address_and_no_certificate_are_endpoint_errors():
    """Neither a scheme that nobody speaks there nor a host without a name is asked for again and again."""
    with ScriptedServer("yes") as server:
        assert "TLS" in str(raised(over(server, api_base=server.url.replace("http://", "https://")), EndpointError))
        assert server.count == 0


# --- several samples ---


def bad(*indices):
    return lambda received: Reply("no", status=400) if received.index in indices else f"reply {received.index}"


def test_one_of_eight_that_failed_is_an_error_with_the_seven_that_came():
    """One that fails costs only itself: the others are kept and handed over, and asking again draws it alone."""
    with ScriptedServer(bad(2)) as server:
        lm = over(server, server_n=False, concurrency=1)
        error = raised(lm, n=8)
        assert [one.text for one in error.arrived] == [f"reply {i}" for i in (0, 1, 3, 4, 5, 6, 7)]
        assert (str(error), error.kind) == (
            "1 of 8 samples of openai/scripted did not come (status_400: no)", "status_400"
        )  # fmt: skip
        assert sorted(stored(lm, 8)) == [0, 1, 3, 4, 5, 6, 7]
        assert lm(QUESTION, n=8)[2] == "reply 8"
        assert server.count == 9


async def test_an_awaiting_caller_is_told_the_same():
    """The same for `acall`."""
    with ScriptedServer(bad(0)) as server:
        lm = over(server, server_n=False, concurrency=1)
        with pytest.raises(SampleError) as caught:
            await lm.acall(QUESTION, n=8)
    assert len(caught.value.arrived) == 7


def test_a_program_of_dspys_is_told_too():
    """`Predict` over eight does not silently go on with seven; asked again, it has all of them for one request more."""
    with ScriptedServer(bad(5)) as server:
        with dspy.context(lm=over(server, server_n=False, concurrency=1), adapter=Anything()):
            predict = dspy.Predict("question -> answer", n=8)
            with pytest.raises(SampleError) as caught:
                predict(question="?")
            assert len(caught.value.arrived) == 7
            assert len(set(predict(question="?").completions.answer)) == 8
        assert server.count == 9


def test_a_strategy_carries_on_with_fewer_and_says_so():
    """A vote of eight is one of seven, with one abstention that failed."""
    with ScriptedServer(lambda received: bad(5)(received) if received.index == 5 else "answer: 4") as server:
        lm = over(server, server_n=False, concurrency=1)
        with dspy.context(lm=lm, adapter=rtk.LinesAdapter()):
            pred = rtk.SelfConsistency(dspy.Predict("question -> answer"), 8)(question="?")
    assert (pred.answer, pred.abstentions, pred.spent.samples, pred.spent.failed) == ("4", {"failed": 1}, 7, 1)


def test_dspys_evaluation_scores_the_rest():
    """An example of which a sample did not come fails as one that raises; the others are scored."""
    devset = [dspy.Example(question=f"{number}?").with_inputs("question") for number in range(4)]
    with ScriptedServer(bad(1)) as server:
        lm = over(server, server_n=False, concurrency=1)
        evaluate = dspy.Evaluate(devset=devset, metric=lambda example, pred: 1.0, num_threads=1)
        with dspy.context(lm=lm, adapter=Anything()):
            assert evaluate(dspy.Predict("question -> answer", n=2)).score == 75.0


def test_a_batch_that_fails_is_asked_for_one_by_one(no_waiting):
    """A server that chokes on n, and on one sample for good, gives the other seven."""

    def answer(received):
        return Reply("no", status=500) if received.n > 1 or received.occurrence in (1, 2) else "yes"

    with ScriptedServer(answer) as server:
        assert [one.text for one in raised(over(server, num_retries=0), n=8).arrived] == ["yes"] * 6


def test_an_error_of_the_endpoint_ends_the_whole_call():
    """A key that is refused is refused for all eight: one error, and nothing hangs."""
    with ScriptedServer("yes", api_key="right") as server:
        lm = over(server, server_n=False)
        raised(lm, EndpointError, n=8)
        raised(lm, EndpointError, n=8)
        assert over(server, api_key="right")(QUESTION, n=8) == ["yes"] * 8


async def test_callers_at_once_of_a_request_that_fails_all_hear_of_it():
    """Who joined the flight has the error too, and each may ask again."""
    with ScriptedServer(Reply("no", status=400)) as server:
        lm = over(server)
        found = await asyncio.gather(*(lm.acall(QUESTION) for _ in range(6)), return_exceptions=True)
    assert [type(one) for one in found] == [SampleError] * 6


# --- what is no fault ---


def test_a_refusal_of_the_model_is_a_sample():
    """A completion that declines, an empty one and one cut off by length are completions: they are kept as they are."""
    refusal = b'{"choices": [{"message": {"content": null, "refusal": "I will not"}, "finish_reason": "stop"}]}'
    with ScriptedServer([Reply(body=refusal), Reply(""), Reply("cut", finish_reason="length")]) as server:
        lm = over(server, server_n=False, concurrency=1)
        assert lm(QUESTION, n=3) == ["I will not", "", "cut"]
    assert [one.finish_reason for one in stored(lm, 3).values()] == ["refusal", "stop", "length"]


def test_a_program_over_a_server_that_is_gone_raises_rtks_error():
    """DSPy hands it on as it is, with its mend."""
    with ScriptedServer("yes") as server:
        pass
    with dspy.context(lm=over(server)), pytest.raises(rtk.RTKError) as caught:
        dspy.ChainOfThought("question -> answer")(question="?")
    assert caught.value.mend
