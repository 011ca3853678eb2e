"""Kept connections: one that the server has closed meanwhile is no fault of a sample."""

import asyncio
import json
import socket
import struct
import threading
from contextlib import contextmanager

import pytest
from serving import QUESTION, stored

import rtk
from rtk.errors import SampleError

WIRES = pytest.mark.parametrize("wire", ["openai", "ollama"])
WAYS = pytest.mark.parametrize("transport", ["direct", "litellm"])


class Closing(asyncio.Protocol):
    """A connection that answers so many requests and then closes without a word, as the next one arrives."""

    def __init__(self, server):
        self._server, self._left, self._buffer = server, server.requests_each, b""

    def connection_made(self, transport):
        self._transport = transport
        self._server.connections += 1

    def data_received(self, data):
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if b"\r\n\r\n" not in self._buffer or len(body) < length:
            return
        self._buffer = b""
        if b"/chat" not in head.partition(b"\r\n")[0]:  # LiteLLM asks Ollama about the model
            return self._send(b"404 Not Found", {"error": "no such page"})
        if self._left == 0:
            return self._close()
        self._left -= 1
        self._server.answered += 1
        self._send(b"200 OK", self._server.reply(self._server.answered))

    def _send(self, status, reply):
        body = json.dumps(reply).encode()
        self._transport.write(b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                              % (status, len(body), body))  # fmt: skip

    def _close(self):
        if self._server.reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort() if self._server.reset else self._transport.close()


class Server:
    """What `closing` gives: an address, and counts of connections and of requests answered."""

    def __init__(self, wire, requests_each, reset):
        self.wire, self.requests_each, self.reset, self.connections, self.answered = wire, requests_each, reset, 0, 0

    def reply(self, number):
        message = {"role": "assistant", "content": f"reply {number}"}
        if self.wire == "ollama":
            return {"model": "m", "message": message, "done": True, "done_reason": "stop", "eval_count": 2,
                    "prompt_eval_count": 5}  # fmt: skip
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}

    def lm(self, **settings):
        model = "ollama_chat/m" if self.wire == "ollama" else "openai/m"
        base = self.url if self.wire == "ollama" else f"{self.url}/v1"
        return rtk.LM(model, **{"api_base": base, "api_key": "any", "server_n": False, **settings} if base else {})


@contextmanager
def closing(wire="openai", requests_each=1, reset=False):
    """A server that closes each connection silently after so many requests."""
    server, loop = Server(wire, requests_each, reset), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(
        loop.create_server(lambda: Closing(server), "127.0.0.1"), loop
    ).result()
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(listening.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@WIRES
@WAYS
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_kept_connection_that_the_server_closed_is_no_error(wire, transport, reset):
    """The request goes out again at once, on a fresh one, though nothing may be tried again."""
    with closing(wire, reset=reset) as server:
        lm = server.lm(retries=0, transport=transport)
        assert [lm(f"{number}?") for number in range(5)] == [[f"reply {number + 1}"] for number in range(5)]
        assert server.answered == 5


@WAYS
def test_many_kept_connections_closed_at_once_cost_nothing(transport):
    """A wide fan-out finds all its connections gone, and every sample comes."""
    with closing(requests_each=1) as server:
        lm = server.lm(retries=0, concurrency=16, transport=transport)
        lm(QUESTION, n=16)
        assert len(set(lm("another", n=64))) == 64
        assert server.answered == 16 + 64


@WAYS
def test_one_request_may_find_all_kept_connections_closed(transport):
    """However many there are, it goes on to a fresh one."""
    with closing(requests_each=1) as server:
        lm = server.lm(retries=0, concurrency=64, transport=transport)
        lm(QUESTION, n=64)
        assert len(lm("another")) == 1
        assert server.answered == 64 + 1


@WAYS
def test_a_fresh_connection_that_fails_is_a_fault(transport):
    """One that never answered was closed on purpose."""
    with closing(requests_each=0) as server:
        with pytest.raises(SampleError) as caught:
            server.lm(retries=0, transport=transport)(QUESTION)
        assert (caught.value.kind, server.connections, server.answered) == ("connection", 1, 0)


@WIRES
@WAYS
@pytest.mark.parametrize(("idle", "lost"), [(0.0, 0), (60.0, 3)], ids=["idle for long", "in use a moment ago"])
def test_only_a_connection_in_use_a_moment_ago_may_have_lost_a_reply(wire, transport, idle, lost, monkeypatch):
    """No server closes one for being idle sooner than that: there the reply was dropped, and perhaps billed."""
    monkeypatch.setattr("rtk.models.wire._IDLE_SECONDS", idle)
    with closing(wire) as server, rtk.Budget() as meter:
        lm = server.lm(retries=0, transport=transport)
        for number in range(4):
            lm(f"{number}?")
    assert (meter.spent.lost, meter.spent.samples) == (lost, 4)


def test_a_server_that_closes_in_the_middle_of_a_vote_loses_none_of_it():
    """Each of 40 samples is drawn once, however often connections are closed."""
    with closing(requests_each=3) as server:
        lm = server.lm(retries=0, concurrency=4)
        assert sorted(lm(QUESTION, n=40)) == sorted(f"reply {number + 1}" for number in range(40))
        assert (server.answered, len(stored(lm, 40))) == (40, 40)
