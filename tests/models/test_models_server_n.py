"""Several samples in one request, where the server gives them, and what each of them cost."""

import threading

import pytest
from serving import QUESTION, numbered, over, stored

import rtk
from rtk.errors import SampleError, UnsupportedParameter
from rtk.samples import Address
from rtk.testing import Reply, ScriptedServer, faults

LENGTHS = ["one", "two words", "three words here", "four words are here"]


def asked(server):
    """How many completions each request asked for."""
    return [received.n for received in server.requests]


def test_one_request_asks_for_all_where_the_server_honours_n():
    """Eight samples are one request; the body says n only where it is above one."""
    with ScriptedServer(numbered()) as server:
        over(server)(QUESTION, n=8)
        over(server)("another", n=1)
    assert asked(server) == [8, 1]
    assert server.requests[0].body["n"] == 8
    assert "n" not in server.requests[1].body


@pytest.mark.parametrize(("honours", "requests"), [(3, [8, 5, 2]), (7, [8, 1])])
def test_a_server_that_gives_fewer_is_asked_for_the_rest(honours, requests):
    """What one reply leaves out the next one is asked for."""
    with ScriptedServer(numbered(), honours_n=honours) as server:
        assert len(set(over(server)(QUESTION, n=8))) == 8
    assert asked(server) == requests


def test_a_server_that_ignores_n_is_remembered():
    """It is asked for many once; from then on for one each, as many at once as may fly."""
    with ScriptedServer(numbered(), honours_n=False) as server:
        lm = over(server)
        assert len(set(lm(QUESTION, n=4))) == 4
        lm("another", n=4)
    assert asked(server) == [4, *[1] * 7]


def test_server_n_false_never_asks_for_several():
    """Each sample is a request of its own, eight of them in flight together."""
    with ScriptedServer(numbered()) as server, server.hold():
        lm = over(server, server_n=False, concurrency=8)
        asking = threading.Thread(target=lm, args=(QUESTION,), kwargs={"n": 12})
        asking.start()
        server.wait_for(lambda s: s.held == 8)
        server.release(count=4)
        server.wait_for(lambda s: s.held == 8)
        server.release()
        asking.join(300)
    assert asked(server) == [1] * 12
    assert server.peak_in_flight == 8
    assert len(stored(lm, 12)) == 12


def test_server_n_true_asks_for_several_again_and_again():
    """Whoever says that a server honours n has every ask tried so, though an earlier one brought one completion."""
    with ScriptedServer(numbered(), honours_n=False) as server:
        lm = over(server, server_n=True)
        assert len(set(lm(QUESTION, n=4))) == 4
        assert len(set(lm("another", n=4))) == 4
    assert asked(server) == [4, 1, 1, 1] * 2


def test_a_server_that_refuses_n_is_asked_one_by_one(no_waiting):
    """A request for many that fails is no failure of its samples: each is asked for alone."""

    def answer(received):
        return Reply("n is not supported", status=400) if received.n > 1 else f"reply {received.index}"

    with ScriptedServer(answer) as server:
        assert len(set(over(server)(QUESTION, n=3))) == 3
    assert asked(server) == [3, 1, 1, 1]


def test_ollama_gives_one_completion_a_request():
    """Nothing is tried that its wire has not."""
    with ScriptedServer(numbered(), wire="ollama") as server:
        assert len(set(over(server)(QUESTION, n=5))) == 5
    assert [received.body.get("n") for received in server.requests] == [None] * 5


@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_a_hundred_samples_are_one_request(transport):
    """Where the server honours `n`, all that is missing is asked for at once."""
    with ScriptedServer(numbered()) as server:
        assert len(set(over(server, transport=transport)(QUESTION, n=100))) == 100
    assert asked(server) == [100]


def at_most(limit):
    """A server that refuses more completions at once, as hosted providers and llama.cpp's slots do."""
    told = f"Invalid 'n': expected a value <= {limit}"
    return lambda received: Reply(told, status=400) if received.n > limit else f"{received.index} {received.choice}"


@pytest.mark.parametrize("server_n", [None, True])
@pytest.mark.parametrize("transport", ["direct", "litellm"])
def test_a_server_that_refuses_so_many_is_asked_for_half_and_remembered(transport, server_n):
    """Halved until it takes them; from then on, no more than that are asked for, side by side."""
    with ScriptedServer(at_most(5)) as server:
        lm = over(server, transport=transport, server_n=server_n)
        assert len(set(lm(QUESTION, n=16))) == 16
        assert asked(server) == [16, 8, 4, 4, 4, 4]
        server.reset()
        assert len(set(lm.copy(temperature=0.3)("another", n=9))) == 9
    assert sorted(asked(server)) == [1, 4, 4]


def test_a_request_that_is_refused_for_another_reason_is_soon_given_up():
    """Seven requests and no more say that a hundred samples will not come; nothing is remembered of it."""
    with ScriptedServer(lambda received: Reply("no such field", status=400)) as server:
        lm = over(server)
        with pytest.raises(SampleError, match="status_400"):
            lm(QUESTION, n=100)
        assert asked(server) == [100, 50, 25, 12, 6, 3, 1]
        server.reset()
        with pytest.raises(SampleError):
            lm(QUESTION, n=100)
    assert asked(server)[0] == 100


def test_a_prompt_that_is_too_long_is_asked_once_for_all():
    """It is as long for each of them."""
    with ScriptedServer(Reply("maximum context length is 10 tokens", status=400)) as server:
        lm = over(server)
        with pytest.raises(SampleError) as caught:
            lm(QUESTION, n=8)
    assert (asked(server), caught.value.kind) == ([8], "context")


def test_a_server_that_ignores_n_costs_one_probe():
    """Asks that wait for a place while the first shows it are not tried with `n` any more."""
    with ScriptedServer(numbered(), honours_n=False) as server:
        lm = over(server, concurrency=1)
        threads = [threading.Thread(target=lm, args=(f"question {i}",), kwargs={"n": 3}) for i in range(4)]
        with server.hold():
            for thread in threads:
                thread.start()
            server.wait_for(lambda s: s.held == 1)
        for thread in threads:
            thread.join(300)
    assert (asked(server), lm.store.count()) == ([3, *[1] * 11], 12)


def test_ollama_is_not_said_to_honour_n():
    """A setting that could have no effect is refused."""
    for transport in ("direct", "litellm"):
        with pytest.raises(UnsupportedParameter, match="server_n"):
            rtk.LM("ollama_chat/any", server_n=True, transport=transport)


def test_faults_between_batches_lose_nothing(no_waiting):
    """A server that gives two at a time and fails now and then gives 32 different samples in the end."""
    script = faults(numbered(), rate=0.3, kinds=("500", "reset", "truncated", "malformed"), seed=3)
    with ScriptedServer(script, honours_n=2) as server:
        lm = over(server, num_retries=8)
        texts = lm(QUESTION, n=32)
    assert len(texts) == len(set(texts)) == 32
    assert sum(script.given.values()) > 0


# --- seeds ---


@pytest.mark.parametrize("wire", ["openai", "ollama"])
def test_a_seed_is_derived_for_each_sample_and_travels_alone(wire):
    """With one seed for all, n samples would be one sample n times."""
    with ScriptedServer(numbered(), wire=wire) as server:
        lm = over(server, seed=11)
        assert len(set(lm(QUESTION, n=4))) == 4
        address = lm.ask([{"role": "user", "content": QUESTION}], {}).addresses[0]
        sent = [received.body.get("seed", received.body.get("options", {}).get("seed")) for received in server.requests]
        lm.copy(rollout_id=3)(QUESTION)
    assert asked(server) == [1] * 5
    assert sorted(sent) == sorted(Address(address.key, "0", index).seed(11) for index in range(4))
    assert len(set(sent)) == 4


def test_a_request_without_a_seed_sends_none():
    """A seed that nobody gave would make a server repeat itself."""
    with ScriptedServer(numbered()) as server:
        over(server)(QUESTION, n=2)
    assert "seed" not in server.requests[0].body


# --- what each sample cost ---


def words(samples):
    return [samples[index].usage.completion_tokens for index in sorted(samples)]


def test_the_tokens_of_one_sum_are_shared_out_by_length():
    """Servers report one sum for n choices; the shares add up to it, and longer texts have more."""
    with ScriptedServer([Reply(text) for text in LENGTHS], usage="sum") as server:
        lm = over(server)
        lm(QUESTION, n=4)
    samples = stored(lm, 4)
    assert sum(words(samples)) == 1 + 2 + 3 + 4
    assert words(samples) == sorted(words(samples))
    assert [one.usage.prompt_tokens for one in samples.values()] == [5] * 4


def test_the_tokens_of_one_choice_are_scaled_to_the_others():
    """llama.cpp's server reports one choice's tokens for n: the longest has no fewer, and none has none."""
    with ScriptedServer([Reply(text) for text in reversed(LENGTHS)], usage="one") as server:
        lm = over(server)
        lm(QUESTION, n=4)
    assert max(words(stored(lm, 4))) == words(stored(lm, 4))[0] == 4
    assert min(words(stored(lm, 4))) >= 1


def test_a_choice_that_came_alone_has_its_own_count():
    """One choice a request is counted as the server counts it."""
    with ScriptedServer([Reply(text) for text in LENGTHS], usage="one") as server:
        lm = over(server, server_n=False, concurrency=1)
        lm(QUESTION, n=4)
    assert words(stored(lm, 4)) == [1, 2, 3, 4]


def test_dollars_bill_the_prompt_of_a_batch_once():
    """A server reads the prompt once for all choices of a request; alone, each pays it."""
    with ScriptedServer(Reply("a b c d", prompt_tokens=1000)) as server:
        together, alone = over(server, price=(2, 10)), over(server, price=(2, 10), server_n=False)
        together(QUESTION, n=4)
        alone("another", n=4)
    batch = [one.usage.dollars for one in stored(together, 4).values()]
    single = [one.usage.dollars for one in stored(alone, 4, "another").values()]
    assert sum(batch) == pytest.approx((1000 * 2 + 16 * 10) / 1e6)
    assert sum(single) == pytest.approx((4000 * 2 + 16 * 10) / 1e6)
