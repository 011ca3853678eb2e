"""Scores: what a reward model on a server says of an answer is a sample like any other."""

import asyncio
import pickle

import dspy
import pytest

import rtk
from rtk.errors import EndpointError, ModelError, SampleError
from rtk.models import weights
from rtk.models.engine import engine
from rtk.models.scoring_wire import score_of
from rtk.models.wire import Fault
from rtk.testing import Reply, ScriptedServer

KEY = "sk-sentinel-0123456789"
PAIR = {"question": "What is 2 + 2?", "answer": "4"}
TALK = [{"role": "user", "content": PAIR["question"]}, {"role": "assistant", "content": PAIR["answer"]}]
WIRES = {
    "vllm-score": ("/score", {"text_1": PAIR["question"], "text_2": "4"}),
    "vllm-classify": ("/classify", {"messages": TALK}),
    "vllm-pooling": ("/pooling", {"messages": TALK}),
    "llamacpp-rerank": ("/v1/rerank", {"query": PAIR["question"], "documents": ["4"]}),
}
EVERY = pytest.mark.parametrize("wire", WIRES)
FORMS = {
    "vllm-score": b'{"data": [{"index": 0, "score": %s}]}',
    "vllm-classify": b'{"data": [{"index": 0, "probs": [%s]}]}',
    "vllm-pooling": b'{"data": [{"index": 0, "data": [[0.1], [%s]]}]}',
    "llamacpp-rerank": b'{"results": [{"index": 0, "relevance_score": %s}]}',
}
FAULTS = {
    "500": Reply("out of luck", status=500),
    "429": Reply("slow down", status=429, headers={"Retry-After": "0"}),
    "page": Reply(body=b"<html>502 Bad Gateway</html>"),
    "cut": Reply("1", cut=True),
    "reset": Reply(cut="start"),
}


def over(server, **settings):
    return rtk.Endpoint(server.url, **settings)


def raised(endpoint, error=EndpointError, **fields):
    with pytest.raises(error) as caught:
        endpoint(**(fields or PAIR))
    assert caught.value.mend
    return caught.value


@EVERY
@pytest.mark.parametrize("named", [True, False])
def test_every_form_is_found_and_asked_as_it_wants(wire, named):
    """With the model's name where there is one; the path is found once and remembered."""
    path, body = WIRES[wire]
    with ScriptedServer("-0.1234567890123456", wire=wire, models=["reward"]) as server:
        score = over(server, model="reward" if named else None)
        assert score(**PAIR).score == -0.1234567890123456
        score(question="Another?", answer="no")
    assert server.count == 2
    assert [received.path for received in server.requests] == [path, path]
    assert server.requests[0].body == {**({"model": "reward"} if named else {}), **body}


@EVERY
@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_the_address_may_end_in_v1(wire, ending):
    """As that of a chat model does."""
    with ScriptedServer("1.5", wire=wire) as server:
        assert rtk.Endpoint(server.url + ending)(**PAIR).score == 1.5


@EVERY
def test_the_address_may_be_that_of_the_route(wire):
    """Then nothing else is tried."""
    path, _ = WIRES[wire]
    with ScriptedServer("1.5", wire=wire) as server:
        assert rtk.Endpoint(server.url + path)(**PAIR).score == 1.5
        assert server.requests[0].path == path


@EVERY
def test_a_score_is_drawn_once_and_kept(wire, own_store):
    """At one address, whatever the stream; its tokens are counted, and what it costs is not known."""
    with ScriptedServer("0.5", wire=wire) as server:
        with rtk.Budget() as budget:
            assert over(server)(**PAIR).score == 0.5
        with rtk.replicate(3):
            assert over(server)(**PAIR).score == 0.5
        assert server.count == 1
    assert over(server)(**PAIR).score == 0.5  # with the server gone
    spent = budget.spent
    assert (spent.calls, spent.drawn, spent.dollars) == (1, 1, None)
    assert spent.prompt_tokens > 0
    assert spent.completion_tokens == 0


def test_two_models_and_two_ways_have_addresses_of_their_own():
    """So have two revisions, classes and templates."""
    with ScriptedServer("0.25 0.75", wire="vllm-classify", models=None) as server:
        settings = [{}, {"model": "a"}, {"model": "b"}, {"api": "classify"}, {"revision": "2"}, {"label": 0},
                    {"template": "{question} {answer}"}]  # fmt: skip
        scores = [over(server, **one)(**PAIR).score for one in settings]
        assert server.count == len(settings)
    assert scores == [0.75, 0.75, 0.75, 0.75, 0.75, 0.25, 0.75]


def test_a_template_is_filled_in_and_sent_as_text():
    """What the texts hold is no template, whatever it looks like."""
    with ScriptedServer("1", wire="vllm-classify") as server:
        score = over(server, template="Q: {question}\nA: {answer} {x}")
        score(question="{answer}", answer="{question} {0}")
        assert server.requests[0].body == {"input": "Q: {answer}\nA: {question} {0} {x}"}


def test_a_reranker_without_a_chat_template_is_found():
    """Its `/classify` refuses a conversation, and its `/score` takes the texts."""
    refusal = Reply("As of transformers v4.44, default chat template is no longer allowed", status=400)
    script = lambda received: "0.5" if received.path == "/score" else refusal  # noqa: E731
    with ScriptedServer(script, wire="vllm-score") as server:
        assert over(server)(**PAIR).score == 0.5


@pytest.mark.embedded
def test_llamacpp_itself_is_asked():
    """Its server, told to rerank, gives scores; one that is not says how to be told."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx = str(weights.require(weights.names()[0])), 512
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [KEY]
    params.embedding, params.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(params)
    score = rtk.Endpoint(server.listening_address, api_key=KEY, cache=False)
    assert score(**PAIR).score != score(question=PAIR["question"], answer="bananas").score
    chatting = engine(weights.require(weights.names()[0]))
    error = raised(rtk.Endpoint(chatting.url, api_key=chatting.api_key))
    assert "501" in str(error)
    assert "--reranking" in error.mend


# --- what is a score ---


@pytest.mark.parametrize(
    ("reply", "label", "score"),
    [
        ({"data": [{"score": 1}]}, None, 1.0),
        ({"data": [{"probs": [0.2, 0.8]}]}, None, 0.8),
        ({"data": [{"probs": [0.2, 0.3, 0.5]}]}, 1, 0.3),
        ({"data": [{"data": [[0.1], [0.2], [0.9]]}]}, None, 0.9),
        ({"data": [{"data": [[0.9, 0.1], [0.4, 0.6]]}]}, None, 0.6),
        ({"data": [{"data": [-2.5]}]}, None, -2.5),
        ({"results": [{"relevance_score": -7.25}]}, None, -7.25),
        ({"results": [{"score": 0.5}]}, None, 0.5),
    ],
)
def test_the_score_is_read_from_every_form(reply, label, score):
    """Of two classes it is the second's, of many the one that is named; of tokens the last one's."""
    assert score_of(reply, label) == score


@pytest.mark.parametrize(
    "reply",
    [{}, {"data": []}, {"data": "no"}, {"data": [3]}, {"data": [{"score": None}]}, {"data": [{"score": True}]},
     {"data": [{"score": "1"}]}, {"data": [{"data": []}]}, {"data": [{"data": "AAAA"}]}, {"results": None},
     {"data": [{"embedding": [1.0]}]}, {"data": [{"score": float("nan")}]}, {"data": [{"score": float("inf")}]}],
)  # fmt: skip
def test_what_is_no_score_is_a_fault(reply):
    """One that another try may mend."""
    with pytest.raises(Fault, match="score") as caught:
        score_of(reply)
    assert (caught.value.kind, caught.value.retryable) == ("malformed", True)


@pytest.mark.parametrize(("reply", "label"), [([0.1] * 768, None), ([0.1] * 3, 3), ([0.1] * 3, -4)])
def test_many_numbers_are_no_score(reply, label):
    """A model that embeds is told from one that scores, and a class that is not there is named."""
    with pytest.raises(EndpointError) as caught:
        score_of({"data": [{"data": reply}]}, label)
    assert "label=" in caught.value.mend


# --- faults ---


@EVERY
@pytest.mark.parametrize("fault", FAULTS)
def test_what_may_pass_is_asked_again(wire, fault, no_waiting):
    """Also while the way is still being found."""
    with ScriptedServer([FAULTS[fault], "0.5", FAULTS[fault], "1"], wire=wire) as server:
        score = over(server)
        assert score(**PAIR).score == 0.5
        assert score(question="?", answer="!").score == 1.0
        assert server.count == 4


@EVERY
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"null", b'"high"'])
def test_a_score_that_is_no_number_is_an_error_and_is_not_kept(wire, number, no_waiting):
    """It names what to look at."""
    with ScriptedServer(Reply(body=FORMS[wire] % number), wire=wire) as server:
        error = raised(over(server, num_retries=1), SampleError)
        assert server.count == 2
    assert (error.kind, "api=" in error.mend) == ("malformed", True)
    with ScriptedServer("0.5", wire=wire) as server:
        assert over(server)(**PAIR).score == 0.5


def test_a_server_that_chats_gives_no_scores():
    """All that was tried is named, and what to serve."""
    with ScriptedServer("hello", wire="vllm") as server:
        error = raised(over(server))
    assert "/v1/rerank" in str(error)
    assert "--reranking" in error.mend
    assert "http://HOST:PORT" in error.mend


@EVERY
def test_a_way_that_is_not_there_is_not_replaced_by_another(wire):
    """Where it is named."""
    other = "score" if wire != "vllm-score" else "pooling"
    with ScriptedServer("1", wire=wire) as server:
        assert f"/{other}" in str(raised(over(server, api=other)))
        assert server.count == 0


@EVERY
def test_a_wrong_key_is_the_endpoints_error(wire):
    """It is not taken for a missing route, and is not repeated."""
    with ScriptedServer("1", wire=wire, api_key="right-key") as server:
        error = raised(over(server, api_key=KEY))
        assert (error.status, server.count) == (401, 1)
    assert "api_key=" in error.mend
    assert KEY not in str(error)


@pytest.mark.parametrize("wire", ["vllm-score", "vllm-classify", "vllm-pooling"])
def test_a_wrong_name_is_the_endpoints_error(wire):
    """It is not taken for a missing route."""
    with ScriptedServer("1", wire=wire, models=["reward"]) as server:
        error = raised(over(server, model="reword"))
        assert (error.status, server.count) == (404, 1)
    assert "model=NAME" in error.mend


def test_nobody_listening_is_an_error_at_once():
    """The mend says how to start a server, and the address is not shown."""
    with ScriptedServer("1", wire="vllm-score") as server:
        pass
    error = raised(over(server))
    assert "vllm serve" in error.mend
    assert server.url.removeprefix("http://") not in str(error)


# --- secrets, recordings, budgets ---


@EVERY
def test_neither_key_nor_address_is_stored_or_shown(wire, own_store):
    """Not in the database, in a program's state, in a repr or in what a pickle would hold."""
    with ScriptedServer("1", wire=wire, api_key=KEY) as server:
        score = over(server, api_key=KEY)
        score(**PAIR)
        place = server.url.removeprefix("http://")
        kept = b"".join(path.read_bytes() for path in own_store.rglob("*") if path.is_file())
    assert b"What is 2 + 2?" in kept
    program = rtk.BestOfN("question -> answer", 2, score)
    shown = f"{score!r} {program!r} {program.dump_state()} {vars(score)}"
    for secret in (KEY, place):
        assert secret.encode() not in kept
        assert secret not in shown
    with pytest.raises(ModelError, match="pickle"):
        pickle.dumps(program.judge)
    twin = program.deepcopy().judge
    assert twin is not score
    assert twin(**PAIR).score == 1.0  # from the store


@EVERY
def test_a_recording_is_replayed_without_the_server(wire, nothing_in_force):
    """What it lacks is said."""
    with ScriptedServer("0.75", wire=wire) as server, rtk.recording("study"):
        live = over(server)(**PAIR).score
    with rtk.recording("study", mode="replay") as replay:
        again = rtk.Endpoint("http://127.0.0.1:9")
        assert again(**PAIR).score == live == 0.75
        assert replay.missed == 0
        with pytest.raises(rtk.NotRecorded, match="endpoint"):
            again(question="Another?", answer="4")


def test_a_budget_is_kept():
    """Samples, calls, and dollars where a price is known."""
    with ScriptedServer("1", wire="vllm-score") as server:
        with rtk.Budget(samples=2) as budget:
            over(server)(question="?", answer="1")
            over(server)(question="?", answer="2")
            with pytest.raises(rtk.BudgetSpent):
                over(server)(question="?", answer="3")
        assert (budget.spent.samples, server.count) == (2, 2)
        with rtk.Budget(dollars=1) as budget:
            over(server, price=(2, 0))(question="one two", answer="three")
        assert budget.spent.dollars == pytest.approx(3 * 2e-6)
        with rtk.Budget(dollars=1), pytest.raises(rtk.errors.BudgetError, match="price"):
            over(server, revision="2")(**PAIR)


def test_callers_of_one_score_wait_for_one_request():
    """In threads or in coroutines, 64 of them; the way is found by one."""

    async def all_of(score):
        same = [score.acall(**PAIR) for _ in range(32)]
        others = [score.acall(question="?", answer=str(number)) for number in range(32)]
        return [one.score for one in await asyncio.gather(*same, *others)]

    script = lambda received: str(len(received.last))  # noqa: E731
    with ScriptedServer(script, wire="llamacpp-rerank", latency=(0, 0.05)) as server:
        found = asyncio.run(all_of(over(server)))
        assert server.count == 33
        assert 1 < server.peak_in_flight <= 16
    assert found == [1.0] * 32 + [1.0] * 10 + [2.0] * 22


def test_watchers_hear_of_a_score():
    """Drawn, and then reused."""
    seen = []
    with ScriptedServer("0.5", wire="vllm-score") as server, rtk.watch(seen.append):
        over(server)(**PAIR)
        over(server)(**PAIR)
    assert [(event.sample.text, event.reused) for event in seen] == [("0.5", False), ("0.5", True)]


def test_dspy_counts_its_tokens():
    """What was drawn, once."""
    with ScriptedServer("1", wire="vllm-score") as server, dspy.context(track_usage=True):
        first, second = (over(server, model="scripted")(**PAIR) for _ in range(2))
    assert first.get_lm_usage()["endpoint/scripted"]["prompt_tokens"] == 6
    assert not second.get_lm_usage()


# --- settings ---


@pytest.mark.parametrize(
    "wrong",
    [{"url": "gpu-box:8000"}, {"url": 3}, {"timeout": 0}, {"timeout": True}, {"api": "judge"}, {"concurrency": 0},
     {"label": 0.5}, {"template": "{question}"}, {"template": "{answer}", "api": "score"}, {"num_retries": -1},
     {"deadline": 0}, {"price": 3}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_at_once(wrong):
    """With what may be; a url is not repeated."""
    with pytest.raises(ModelError) as caught:
        rtk.Endpoint(**{"url": "http://127.0.0.1:9", **wrong})
    assert caught.value.mend
    assert "gpu-box" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"question": "?"}, {**PAIR, "gold": "4"}, {"text": "x"}])
def test_it_takes_a_question_and_an_answer(fields):
    """And nothing else."""
    error = raised(rtk.Endpoint("http://127.0.0.1:9"), ModelError, **fields)
    assert "question=…, answer=…" in error.mend


def test_values_are_written_out():
    """Lists and objects as JSON."""
    with ScriptedServer("1", wire="vllm-score") as server:
        over(server)(question=["a", 1], answer={"x": None})
        assert server.requests[0].body == {"text_1": '["a", 1]', "text_2": '{"x": null}'}
