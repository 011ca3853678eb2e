"""What goes wrong with every engine: what no retry mends is told at once with its mend, the rest is asked again."""

import math

import pytest
from engines import DIRECT, KEY, SCRIPTED, parameters, running, stored

import rtk
from rtk.errors import EndpointError, SampleError
from rtk.testing import Reply, ScriptedServer

QUESTION = "Name a colour."
ANY_SCRIPTED = pytest.mark.parametrize("engine", parameters(SCRIPTED))


def failing(first, times=1):
    """A script that fails the first requests it gets, and answers the rest."""

    def answer(received):
        return first if received.index < times else f"reply {received.index}.{received.choice}"

    return answer


# --- what no retry mends ---


@ANY_SCRIPTED
def test_a_wrong_key_is_told_at_once(engine):
    """One request; the message names the model and no key, the mend says where the key goes."""
    with running(engine) as site, pytest.raises(EndpointError) as caught:
        site.lm(api_key="sk-wrong-key-1234567890", num_retries=3)(QUESTION, n=3)
    told = f"{caught.value} {caught.value.mend}"
    assert "401" in told
    assert "api_key=" in told
    assert "sk-wrong" not in told
    assert site.server.count <= 3


@pytest.mark.parametrize("engine", parameters(SCRIPTED, where=lambda engine: engine.wire != "llamacpp"))
def test_an_unknown_model_is_told_at_once(engine):
    """The mend says what to do: with Ollama, to pull it. llama.cpp serves the model it has, whatever the name."""
    with running(engine) as site, pytest.raises(EndpointError) as caught:
        rtk.LM(f"{engine.prefix}/unheard-of", num_retries=3, **site.settings)(QUESTION)
    assert "404" in str(caught.value)
    assert "unheard-of" in str(caught.value)
    mend = caught.value.mend or ""
    assert ("ollama pull" if engine.prefix == "ollama_chat" else "name") in mend
    assert site.server.count == 1


@pytest.mark.parametrize("engine", parameters(SCRIPTED, where=lambda engine: engine.way == DIRECT))
def test_nobody_listening_is_told_at_once(engine):
    """The mend says what to start."""
    with running(engine) as site:
        settings, model = site.settings, site.model
    with pytest.raises(EndpointError) as caught:
        rtk.LM(model, num_retries=3, **settings)(QUESTION)
    mend = caught.value.mend or ""
    assert "start" in mend or "serve" in mend
    assert settings["api_base"] not in f"{caught.value} {mend}"


@ANY_SCRIPTED
def test_a_request_that_is_no_good_is_asked_once(engine):
    """Status 400: the server's words are in the error, and asking again would change nothing."""
    with running(engine, Reply("the template has no such role", status=400)) as site:
        with pytest.raises(SampleError, match="no such role") as caught:
            site.lm(num_retries=3)(QUESTION)
        assert caught.value.kind == "status_400"
        assert site.server.count == 1


@ANY_SCRIPTED
def test_a_context_that_is_too_long_is_told_as_that(engine):
    """Each server has its own words for it."""
    words = {
        "llamacpp": "request (3031 tokens) exceeds the available context size (512 tokens), try increasing it",
        "ollama": "the input exceeds the context length",
    }
    said = words.get(engine.wire, "This model's maximum context length is 512 tokens, and 3031 were asked for.")
    with running(engine, Reply(said, status=400)) as site:
        with pytest.raises(SampleError, match="context") as caught:
            site.lm(num_retries=3)(QUESTION, n=4)
        assert caught.value.kind == "context"


# --- what is asked again ---


@ANY_SCRIPTED
@pytest.mark.parametrize(
    "broken",
    [
        Reply("overloaded", status=500),
        Reply("busy", status=503),
        Reply("too many", status=429),
        Reply("one two three four five", cut=True),
        Reply(cut="start"),
        Reply(body=b"<html><body>502 Bad Gateway</body></html>"),
        Reply(body=b'{"choices": [{"mess'),
    ],
    ids=["500", "503", "429", "cut", "reset", "no json", "half json"],
)
def test_what_may_pass_is_asked_again(engine, broken, at_once):
    """Once more, and the sample is there; nothing is drawn twice. Without retries it is lost, and told by its kind."""
    with running(engine, failing(broken, times=2)) as site:
        assert site.lm(num_retries=2, server_n=False)(QUESTION) == ["reply 2.0"]
        assert site.server.count == 3
    with running(engine, failing(broken)) as site:
        with pytest.raises(SampleError) as caught:
            site.lm(num_retries=0)("Another?")
        assert caught.value.kind in ("status_500", "status_503", "status_429", "truncated", "connection", "malformed")
        assert site.lm()("Another?") == ["reply 1.0"]


@ANY_SCRIPTED
def test_the_server_s_wish_to_wait_is_heard(engine, at_once):
    """`Retry-After` of a 429, in seconds."""
    with running(engine, failing(Reply("slowly", status=429, headers={"Retry-After": "7"}))) as site:
        site.lm(num_retries=1)(QUESTION)
    assert at_once == [7.0]


@ANY_SCRIPTED
def test_a_reply_that_never_comes_ends_at_its_time_limit(engine, at_once):
    """One sample lost, as a timeout."""
    with running(engine, Reply(delay=math.inf)) as site:
        with pytest.raises(SampleError) as caught:
            site.lm(timeout=0.3)(QUESTION)
        assert caught.value.kind == "timeout"


@ANY_SCRIPTED
def test_a_sample_that_never_comes_costs_itself_alone(engine, at_once):
    """Of four, one fails for good: three are kept and told, and the next call asks for the one."""
    asked = []

    def answer(received):
        asked.append(received.index)
        if received.n > 1:
            return [Reply("broken", status=500)]
        return Reply("broken", status=500) if len(asked) == 3 else f"reply {received.index}"

    with running(engine, answer) as site:
        lm = site.lm(server_n=False, concurrency=1, temperature=1.0)
        with pytest.raises(SampleError) as caught:
            lm(QUESTION, n=4)
        assert len(caught.value.arrived) == lm.store.count() == 3
        before = site.server.count
        assert len(lm(QUESTION, n=4)) == 4
        assert site.server.count == before + 1


# --- what must not be written ---


@ANY_SCRIPTED
def test_nothing_of_the_connection_is_stored(engine, tmp_path, caplog):
    """Neither key, header nor endpoint: not in the store, not in a recording, not in the log; failures included."""
    secret = "sk-header-secret-0123456789abcdef"
    replies = [Reply("overloaded", status=500), "yes", "no", "well"]
    caplog.set_level("DEBUG", "rtk")
    with running(engine, replies) as site:
        lm = site.lm(store=tmp_path / "store", headers={"X-Secret": secret}, num_retries=0, server_n=False)
        with rtk.recording(tmp_path / "study.jsonl"), pytest.raises(SampleError):
            lm(QUESTION, n=4)
        place = site.settings["api_base"].removeprefix("http://").removesuffix("/v1")
        assert stored(lm, 4, QUESTION)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert QUESTION.encode() in written
    for secretive in (KEY, secret, "X-Secret", place):
        assert secretive.encode() not in written
        assert secretive not in caplog.text


@ANY_SCRIPTED
@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_no_error_repeats_the_key(engine, status):
    """Servers like to: the message then holds it, and ours does not."""

    def answer(received):
        return Reply(f"no: {received.headers['authorization']} at {received.headers['host']}", status=status)

    with running(engine, answer) as site, pytest.raises((EndpointError, SampleError)) as caught:
        site.lm()(QUESTION)
    assert KEY not in f"{caught.value} {caught.value.mend}"


def test_a_server_that_asks_for_no_key_needs_none(tmp_path):
    """Ollama's, vLLM's and llama.cpp's do not, unless told to."""
    with ScriptedServer("yes", wire="ollama") as ollama, ScriptedServer("yes", wire="vllm") as vllm:
        assert rtk.LM("ollama_chat/scripted", api_base=ollama.url)(QUESTION) == ["yes"]
        assert rtk.LM("hosted_vllm/scripted", api_base=vllm.url)(QUESTION) == ["yes"]
        assert not [one for server in (ollama, vllm) for one in server.requests if "authorization" in one.headers]
