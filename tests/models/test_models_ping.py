"""`lm.ping()`: what a model does when it is asked for real, and what is told where it does not answer."""

import math
import random

import dspy
import pytest
from serving import over

import rtk
from rtk.errors import ModelError
from rtk.models import Completion, Ping
from rtk.testing import Reply, ScriptedServer

YES_OR_NO = ("n", "seed", "logprobs", "response_format", "usage", "streaming")
WIRES = ["openai", "vllm", "llamacpp", "ollama"]
KEY = "sk-ping-key-that-nobody-may-see"
TOKENS = [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]


def seed_of(body):
    """The seed that a request carries, on either wire."""
    return body.get("seed", (body.get("options") or {}).get("seed"))


def honest(received):
    """A model that honours all it is asked for; without a seed, no two texts are alike."""
    if received.body.get("response_format") or received.body.get("format"):
        return '{"fact": "water is wet"}'
    seed = seed_of(received.body)
    chance = random.Random(f"{received.index}|{received.choice}" if seed is None else seed)
    return Reply(f"surprise number {chance.random()}", logprobs=TOKENS)


def deaf(received):
    """A model that passes over all of it."""
    return f"surprise number {received.index}"


def told(ping):
    """What it says yes or no to."""
    return {name: getattr(ping, name) for name in YES_OR_NO}


@pytest.mark.parametrize("way", ["direct", "litellm"])
@pytest.mark.parametrize("wire", WIRES)
def test_what_a_server_honours_is_seen(wire, way):
    """Each engine's wire, directly and through LiteLLM: what is honoured is a yes; only Ollama has no `n`."""
    with ScriptedServer(honest, wire=wire, api_key=KEY) as server:
        ping = over(server, api_key=KEY, transport=way).ping()
    assert (ping.answers, ping.error, ping.served_model) == (True, None, "scripted")
    assert told(ping) == dict.fromkeys(YES_OR_NO, True) | {"n": wire != "ollama"}
    assert ping.tokens_per_second > 0
    assert ping.seconds > 0


def test_what_a_server_passes_over_is_seen():
    """One choice for two, other texts for one seed, no log-probabilities, no JSON, no usage: a no, each with why."""
    with ScriptedServer(deaf, honours_n=False, usage="none") as server:
        ping = over(server).ping()
    assert told(ping) == dict.fromkeys(YES_OR_NO, False) | {"streaming": True}
    assert ping.notes["n"] == "rtk sends a request for each"
    assert {"seed", "logprobs", "response_format"} <= ping.notes.keys()


def test_what_cannot_be_told_is_neither_yes_nor_no():
    """Where every text is the same one, nothing is known of the seed."""
    with ScriptedServer("always this") as server:
        ping = over(server).ping()
    assert ping.seed is None
    assert ping.notes["seed"] == "so does another seed"


def test_a_refusal_is_a_no_in_the_server_s_words():
    """A field that a server refuses is a no, and the rest is found out all the same."""

    def script(received):
        if "logprobs" in received.body:
            return Reply("logprobs are switched off", status=400)
        return honest(received)

    with ScriptedServer(script) as server:
        ping = over(server).ping()
    assert ping.logprobs is False
    assert "logprobs are switched off" in ping.notes["logprobs"]
    assert (ping.seed, ping.n, ping.response_format) == (True, True, True)


def test_an_answer_that_is_cut_off_says_nothing_of_the_schema():
    """JSON that the limit of tokens broke off is no proof that the schema was passed over."""

    def script(received):
        if received.body.get("response_format"):
            return Reply('{"fact": "wat', finish_reason="length")
        return honest(received)

    with ScriptedServer(script) as server:
        assert over(server).ping().response_format is None


@pytest.mark.parametrize("wire", WIRES)
def test_the_models_there_are_listed(wire):
    """A direct way tells what the endpoint serves; what only embeds comes last."""
    with ScriptedServer(honest, wire=wire, models=("scripted", "nomic-embed-text", "other")) as server:
        serves = over(server).ping().serves
    assert [name.removesuffix(":latest") for name in serves] == ["scripted", "other", "nomic-embed-text"]


def test_an_endpoint_without_a_list_is_no_trouble():
    """A list of models that is not there, or no list, is not known, and the model is asked all the same."""
    with ScriptedServer(honest) as server:
        ping = rtk.LM("openai/scripted", api_base=server.url, transport="litellm", api_key="any").ping()
    assert (ping.answers, ping.serves) == (True, None)


# --- what does not answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_a_wrong_key_is_told_and_not_shown(wire):
    """No error is raised: the ping says what was refused, what to do, and never the key."""
    with ScriptedServer(honest, wire=wire, api_key="another") as server:
        ping = over(server, api_key=KEY).ping()
    assert (ping.answers, ping.serves, ping.n) == (False, None, None)
    assert "refuses the key" in ping.error
    assert "api_key=" in ping.mend
    assert KEY not in f"{ping!r}{ping}{ping._repr_html_()}"


def test_no_such_model_comes_with_those_there_are():
    """An unknown name is told together with the names that the endpoint knows."""
    with ScriptedServer(honest, wire="ollama", models=("llama3.2:1b",)) as server:
        ping = rtk.LM("ollama_chat/llama", api_base=server.url).ping()
    assert (ping.answers, ping.serves) == (False, ("llama3.2:1b",))
    assert "ollama pull llama" in ping.mend
    assert "llama3.2:1b" in str(ping)


@pytest.mark.parametrize(("way", "who"), [("direct", "user:secret@"), ("litellm", "")])
def test_nobody_listening_is_told_without_the_address(way, who):
    """Where nobody listens the ping says what to start, and nothing of the endpoint or of who may ask there."""
    with ScriptedServer(honest, wire="ollama") as gone:
        port, address = gone.url.rpartition(":")[2], gone.url.replace("//", f"//{who}")
    ping = rtk.LM("ollama_chat/scripted", api_base=address, transport=way).ping()
    assert ping.answers is False
    assert "ollama serve" in ping.mend
    assert not any(word in f"{ping!r} {ping}" for word in ("secret", port, "127.0.0.1"))


def test_a_server_that_fails_is_told():
    """Errors of the server's are a no with its words."""
    with ScriptedServer(Reply("out of memory", status=500)) as server:
        ping = over(server, num_retries=0).ping()
    assert ping.answers is False
    assert "out of memory" in ping.error


def test_a_silent_server_costs_the_deadline_only():
    """What does not come by the deadline is not known; the mend says how to wait longer."""
    with ScriptedServer(Reply(delay=math.inf)) as server:
        ping = over(server).ping(deadline=0.3)
        server.wait_for(lambda s: s.in_flight == 0)
    assert ping.answers is False
    assert "deadline=" in ping.mend


def test_a_server_that_falls_silent_leaves_the_rest_unknown():
    """What was found out before the deadline stays; the rest is neither yes nor no."""

    def script(received):
        return Reply(delay=math.inf) if "logprobs" in received.body else honest(received)

    with ScriptedServer(script) as server:
        ping = over(server).ping(deadline=1.5)
    assert (ping.answers, ping.n, ping.seed, ping.logprobs, ping.streaming) == (True, True, True, None, None)
    assert "deadline" in ping.notes["logprobs"]


def test_a_deadline_is_a_number_of_seconds():
    """One that cannot be is an error with its mend."""
    with pytest.raises(ModelError, match="deadline"):
        rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1").ping(deadline=0)


# --- what it leaves behind ----------------------------------------------------------------------------------------


def test_nothing_is_stored_recorded_watched_or_remembered(tmp_path):
    """A ping asks for real every time, and leaves nothing in the store, in a recording, in a history."""
    seen = []
    with ScriptedServer(honest) as server:
        lm = over(server)
        with rtk.recording(tmp_path / "study.jsonl") as recording, rtk.watch(seen.append, parts=seen.append):
            assert lm.ping() == lm.ping() or server.count
        asked = server.count
    assert (lm.store.count(), len(recording), seen, lm.history) == (0, 0, [], [])
    assert asked > 10


def test_it_asks_also_where_a_recording_replays(tmp_path):
    """A recording answers what was asked; a ping is about the model, and asks it."""
    with ScriptedServer(honest) as server:
        lm = over(server)
        with rtk.recording(tmp_path / "study.jsonl"):
            lm("kept")
        with rtk.recording(tmp_path / "study.jsonl", mode="replay"):
            assert lm.ping().answers


def test_budgets_hold():
    """A ping is charged to the budgets in force: they stop it, and what it had no samples for is not known."""
    with ScriptedServer(honest) as server:
        lm = over(server)
        with rtk.Budget() as whole:
            lm.ping()
        with rtk.Budget(samples=3) as tight:
            ping = lm.ping()
        with rtk.Budget(samples=0):
            none = lm.ping()
    assert whole.spent.drawn == whole.spent.samples == 9
    assert (tight.spent.samples, ping.answers, ping.n, ping.logprobs) == (3, True, True, None)
    assert "budget of samples" in ping.notes["logprobs"]
    assert (none.answers, "budget" in none.error) == (False, True)


def test_each_ping_is_charged_anew():
    """Two pings under one budget cost twice: no sample of theirs is the same one."""
    with ScriptedServer(honest) as server, rtk.Budget() as budget:
        lm = over(server)
        lm.ping()
        lm.ping()
    assert budget.spent.drawn == 18


def test_the_model_s_own_settings_stay_out_of_it():
    """A temperature of 0, a seed, a stop or tools of the LM's do not decide what is found out."""
    with ScriptedServer(honest) as server:
        lm = over(server, temperature=0.0, seed=5, stop=["surprise"], logprobs=True, max_tokens=1, top_p=0.9)
        ping = lm.ping()
        bodies = [received.body for received in server.requests]
    assert told(ping) == dict.fromkeys(YES_OR_NO, True)
    assert all(body["temperature"] == 1.0 and body["top_p"] == 0.9 and "stop" not in body for body in bodies)
    assert [("seed" in body, "logprobs" in body) for body in bodies].count((True, False)) == 3


# --- other ways ---------------------------------------------------------------------------------------------------


def test_a_wrapped_lm_says_what_cannot_be_told():
    """Through a dspy.LM each sample is a request, and its own cache hides whether a seed is honoured."""
    with ScriptedServer(honest) as server:
        lm = rtk.LM.of(dspy.LM("openai/scripted", api_base=server.url, api_key=KEY))
        first, again = lm.ping(), lm.ping()
        asked = server.count
    assert (first.answers, first.seed, first.n) == (True, None, False)
    assert "cache" in first.notes["seed"]
    assert again.answers
    assert asked == 2 * 6  # both asked for real; the trial of the seed is left out


class Parrot:
    """A transport of a user's own, as small as one may be."""

    many, most = False, 1

    async def complete(self, request, addresses):
        return [Completion(request.messages[-1]["content"], completion_tokens=3)]

    async def close(self):
        pass


def test_a_transport_of_one_s_own_is_pinged():
    """Nothing but the transport's two methods is needed."""
    ping = rtk.LM("openai/parrot", api_base="http://127.0.0.1:9/v1").through(Parrot()).ping()
    assert (ping.answers, ping.serves, ping.n, ping.streaming) == (True, None, False, False)


async def test_it_is_awaited():
    """The async twin finds out the same, on whatever loop."""
    with ScriptedServer(honest) as server:
        lm = over(server)
        ping = await lm.aping(deadline=60)
    assert isinstance(ping, Ping)
    assert told(ping) == dict.fromkeys(YES_OR_NO, True)


@pytest.mark.slow
@pytest.mark.embedded
def test_the_embedded_model_honours_all_of_it():
    """The model that comes with rtk says yes to everything, and is charged to nobody's store."""
    lm = rtk.LM("embedded")
    ping = lm.ping()
    honoured = told(ping)
    assert honoured.pop("response_format") is not False  # a small model may not come to an end within the tokens
    assert honoured == dict.fromkeys(honoured, True)
    assert ping.serves == ("smollm2-135m-instruct",)
    assert ping.tokens_per_second > 1
    assert lm.store.count() == 0


def test_it_is_shown_in_plain_words():
    """Printed it is a table with a word and its meaning for each thing; names of a stranger's do nothing."""
    ping = Ping("m", True, serves=("a\x1b[1m<b>", "b", "c", "d", "e", "f"), n=True, seed=False, tokens_per_second=43.2)
    said = str(ping)
    assert "several samples in one request" in said
    assert "43" in said
    assert "and 2 more" in said
    assert "\x1b" not in said
    assert "<b>" not in ping._repr_html_()
