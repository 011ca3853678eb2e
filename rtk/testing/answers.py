"""Answering chat requests: refuse, ask the script, wait, send. Runs on the server's loop."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from rtk.testing.breaking import cut, reset
from rtk.testing.replies import Answering, Received, Reply
from rtk.testing.traffic import Traffic
from rtk.testing.wires import Shape, Usage

Latency = float | tuple[float, float] | Callable[[Received], float]

_WRONG_KEY = Reply("the key is missing or wrong", status=401)


@dataclass(eq=False)
class Answers:
    """Answers one wire's requests; the attributes are `ScriptedServer`'s arguments.

    Attributes:
        broken: the first error that the script raised.
    """

    shape: Shape
    traffic: Traffic
    answering: Answering
    latency: Latency
    honours_n: bool | int
    key: str | None
    models: Sequence[str] | None
    seed: int
    usage: Usage
    served_model: str | None
    broken: Exception | None = None

    def application(self) -> web.Application:
        """The wire's paths."""
        application = web.Application(client_max_size=1 << 28)
        application.router.add_post(self.shape.chat, self._chat)
        for path, listing in self.shape.listings(self.models or ()).items():
            application.router.add_get(path, self._listing(listing))
        return application

    def _listing(self, listing: Any) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.Response:
            if not self._authorized(request):
                return self._error(_WRONG_KEY)
            return web.json_response(listing)

        return handler

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = _object(await request.read())
        refusal = self._refusal(request, body)
        n = 1 if refusal else self.shape.asked(body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        messages = body.get("messages")
        received, held = self.traffic.arrive(
            request.path, headers, body, messages if isinstance(messages, list) else [], n, refusal is None
        )
        served = 0
        try:
            if refusal is not None:
                return self._error(refusal)
            replies = self._replies(received)
            if held is not None:
                await held
            await self._wait(received, replies)
            broken = next((reply for reply in replies if not reply.whole), None)
            if broken is not None:
                return await self._send_broken(request, received, broken)
            served = len(replies)
            return web.json_response(self._answer(received, replies), headers=_headers(replies))
        finally:
            self.traffic.leave(held, served)

    def _authorized(self, request: web.Request) -> bool:
        return self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}"

    def _refusal(self, request: web.Request, body: dict[str, Any]) -> Reply | None:
        """What a real server would refuse before any model sees it."""
        if not self._authorized(request):
            return _WRONG_KEY
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            return Reply("the request is no JSON object with messages", status=400)
        name, n = body.get("model"), self.shape.asked(body)
        if self.models is not None and not self.shape.knows(self.models, name):
            return Reply(f"model {name!r:.200} not found", status=404)
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            return Reply(f"n is {n!r:.40}, not a whole number above 0", status=400)
        if self.shape.streams(body):
            return Reply('this server does not stream: send "stream": false', status=400)
        return None

    def _replies(self, received: Received) -> list[Reply]:
        granted = received.n if self.honours_n is True else max(1, min(received.n, int(self.honours_n)))
        try:
            return self.answering(received, granted)
        except Exception as error:
            self.broken = self.broken or error  # the first is told when the server's block ends
            raise

    async def _wait(self, received: Received, replies: list[Reply]) -> None:
        """The longest of the replies' delays; choices of one request come together."""
        seconds = max(self._drawn(received) if reply.delay is None else reply.delay for reply in replies)
        if math.isinf(seconds):
            await asyncio.get_running_loop().create_future()  # until the client leaves, or the server stops
        elif seconds > 0:
            await asyncio.sleep(seconds)

    def _drawn(self, received: Received) -> float:
        if callable(self.latency):
            return self.latency(received)
        if isinstance(self.latency, tuple):
            content = json.dumps(received.body, sort_keys=True)
            return random.Random(f"{self.seed}|{content}|{received.occurrence}").uniform(*self.latency)
        return self.latency

    def _answer(self, received: Received, replies: list[Reply]) -> dict[str, Any]:
        model = self.served_model or str(received.body.get("model"))
        return self.shape.reply(received, replies, model, self.usage)

    def _error(self, reply: Reply) -> web.Response:
        body = self.shape.error(reply.status, reply.text or f"status {reply.status}")
        return web.json_response(body, status=reply.status, headers=_headers([reply]))

    async def _send_broken(self, request: web.Request, received: Received, reply: Reply) -> web.StreamResponse:
        if reply.cut == "start":
            return reset(request)
        if reply.body is not None:
            whole = web.Response(body=reply.body, status=reply.status, headers=_headers([reply]))
        elif reply.status >= 400:
            whole = self._error(reply)
        else:
            answer = self._answer(received, [reply])
            whole = web.json_response(answer, status=reply.status, headers=_headers([reply]))
        return await cut(request, whole) if reply.cut else whole


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request; an empty one where it is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _headers(replies: Sequence[Reply]) -> dict[str, str]:
    return {name: value for reply in replies for name, value in reply.headers.items()}
