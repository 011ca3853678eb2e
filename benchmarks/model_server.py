"""A model server in a process of its own, quick enough that a client is what is measured.

A bare `asyncio.Protocol` that speaks OpenAI's and Ollama's wires, without streams: some 40 µs a request, where a web
framework takes ten times that. Every completion is another text, with a serial number, so that a sample stored twice or
lost is seen; what was served is told to whoever measures, who compares it with what arrived. Knows nothing of rtk, and
needs the standard library alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from typing import Any

WORDS = "so the total is what remains after each part has been taken away from the whole and counted once more "
PLAIN = "{serial}: {words}"
"""The form of a completion; `{words}` makes it as long as asked for, `{vote}` is one of five numbers."""


def digest(texts: Iterable[str]) -> str:
    """What two collections of the same texts have in common, in whatever order."""
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()


class ModelServer:
    """The server's handle in the process that measures; a context manager.

    Args:
        **settings: see `control`.
    """

    file = __file__  # what is run

    def __init__(self, **settings: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._process.stdout.readline())
        self.control(**settings)

    @property
    def root(self) -> str:
        """Its address, as Ollama's clients take it; OpenAI's take `root + "/v1"`."""
        return f"http://127.0.0.1:{self.port}"

    def control(self, **settings: Any) -> dict[str, Any]:
        """Change settings, and start counting anew; what was counted before.

        Args:
            latency: seconds before a reply.
            honours_n: whether `n` completions come for `n` asked for.
            words: in a completion.
            form: of a completion; see `PLAIN`.
            cut_every: of so many requests one is answered by half a reply and a closed connection; 0 for none.

        Returns:
            `requests`, `samples` (generated, whether or not they arrived), `lost` (those of them in replies that were
            cut), `peak` (requests at once), `paths`, `cpu` (the server's seconds), and the `digest` of all texts.
        """
        asked = urllib.request.Request(f"{self.root}/control", json.dumps(settings).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=60) as reply:
            return json.load(reply)

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.stdin.close()
        self._process.wait()


class Model:
    """What is served, and the count of it."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"latency": 0.0, "honours_n": True, "words": 60, "form": PLAIN, "cut_every": 0}
        self.serial = self.arrived = 0
        self._filler: tuple[int, str] = (0, "")
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.requests = self.samples = self.lost = self.in_flight = self.peak = 0
        self.paths: dict[str, int] = {}
        self.texts: list[str] = []
        self.started = time.process_time()

    def control(self, settings: dict[str, Any]) -> dict[str, Any]:
        """See `ModelServer.control`."""
        unknown = settings.keys() - self.settings.keys()
        if unknown:
            raise ValueError(f"no settings: {unknown}")
        counted = {name: getattr(self, name) for name in ("requests", "samples", "lost", "peak", "paths")}
        counted |= {"cpu": time.process_time() - self.started, "digest": digest(self.texts)}
        self.settings |= settings
        self.arrived = 0 if "cut_every" in settings else self.arrived
        self.reset()
        return counted

    def answer(self, path: str, body: dict[str, Any]) -> tuple[bytes, bool]:
        """The reply to a chat request, and whether it is to be cut."""
        ollama = path.endswith("/api/chat")
        count = int(body.get("n") or 1) if self.settings["honours_n"] and not ollama else 1
        texts = self.written(body, count)
        self.requests, self.arrived = self.requests + 1, self.arrived + 1
        self.samples += count
        self.texts += texts
        self.paths[path] = self.paths.get(path, 0) + 1
        every = self.settings["cut_every"]
        cut = bool(every) and self.arrived % every == 0
        self.lost += count if cut else 0
        return json.dumps((_ollamas if ollama else _openais)(body, texts)).encode(), cut

    def written(self, body: dict[str, Any], count: int) -> list[str]:
        """The completions of a request."""
        return [self._text() for _ in range(count)]

    def delay(self) -> float:
        """Seconds before the reply to the request that was answered last."""
        return self.settings["latency"]

    def _text(self) -> str:
        words, self.serial = self.settings["words"], self.serial + 1
        if self._filler[0] != words:
            self._filler = (words, " ".join((WORDS.split() * (words // 20 + 1))[:words]))
        form = self.settings["form"]
        return form.format(serial=self.serial, vote=self.serial * 7 % 11 % 5, words=self._filler[1])


def _openais(body: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    choices = [
        {"index": i, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": text}}
        for i, text in enumerate(texts)
    ]
    tokens = 12 * len(texts)
    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    return {"id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices,
            "usage": usage}  # fmt: skip


def _ollamas(body: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    if body.get("stream") is not False:
        raise ValueError("this server does not stream")
    return {"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop",
            "message": {"role": "assistant", "content": texts[0]}, "total_duration": 1, "load_duration": 1,
            "prompt_eval_count": 10, "prompt_eval_duration": 1, "eval_count": 12, "eval_duration": 1}  # fmt: skip


class Connection(asyncio.Protocol):
    """One kept-alive connection: requests with a length, answered in order."""

    def __init__(self, model: Model) -> None:
        self._model, self._buffer = model, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is there as a whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            whole = end + 4 + _length(head)
            if len(self._buffer) < whole:
                return
            body = bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            self._answer(head.split(" ", 2)[1], body)

    def _answer(self, path: str, raw: bytes) -> None:
        model = self._model
        try:
            body = json.loads(raw)
            if path == "/control":
                return self._send(_reply(200, json.dumps(model.control(body)).encode()))
            if not path.endswith(("/chat/completions", "/api/chat")):
                return self._send(_reply(404, b'{"error": {"message": "no such path"}}'))
            reply, cut = model.answer(path, body)
        except (ValueError, KeyError, TypeError) as error:
            return self._send(_reply(400, json.dumps({"error": {"message": repr(error)}}).encode()))
        model.in_flight += 1
        model.peak = max(model.peak, model.in_flight)
        asyncio.get_running_loop().call_later(model.delay(), self._finish, _reply(200, reply), cut)

    def _finish(self, reply: bytes, cut: bool) -> None:
        self._model.in_flight -= 1
        self._send(reply[: len(reply) // 2] if cut else reply)
        if cut:
            self._transport.close()

    def _send(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


def _length(head: str) -> int:
    """The length of a request's body; a body in chunks, which this server cannot read, is told by no length."""
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
        if name.lower() == "transfer-encoding":
            raise ValueError("a body in chunks")
    return 0


def _reply(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status, len(body), body,
    )  # fmt: skip


async def serve(model: Model) -> None:
    """Serve until whoever started this closes its stdin, or ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(model), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Model()))
