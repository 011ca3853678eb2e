"""Answering requests: refuse, ask the script, wait, send. Runs on the server's loop."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiohttp import web

from rtk.testing.breaking import Stream, begin, cut, hang_up, reset
from rtk.testing.replies import Answering, Received, Reply
from rtk.testing.shape import Page, Shape, Usage
from rtk.testing.traffic import Traffic

Latency = float | tuple[float, float] | Callable[[Received], float]

_WRONG_KEY = Reply("the key is missing or wrong", status=401)


@dataclass(frozen=True)
class Exchange:
    """One request, on its wire."""

    shape: Shape
    request: web.Request
    received: Received

    @property
    def streams(self) -> bool:
        """Whether a stream was asked for."""
        return self.shape.streams(self.received.body)


@dataclass(eq=False)
class Answers:
    """Answers the requests of one server; the attributes are `ScriptedServer`'s arguments.

    Attributes:
        broken: the first error that the script raised.
    """

    shapes: Sequence[Shape]
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
        """All paths of all shapes."""
        application = web.Application(client_max_size=1 << 28)
        for shape in self.shapes:
            application.router.add_post(shape.chat, partial(self._complete, shape))
            for (method, path), page in shape.pages(self.models or ()).items():
                application.router.add_route(method, path, partial(self._give, shape, page))
        return application

    async def _give(self, shape: Shape, page: Page, request: web.Request) -> web.Response:
        if shape.guards(request.path) and not self._authorized(request):
            return _error(shape, _WRONG_KEY)
        found = page(_object(await request.read()))
        if isinstance(found, Reply):
            return _error(shape, found)
        return web.Response() if found is None else web.json_response(found)

    async def _complete(self, shape: Shape, request: web.Request) -> web.StreamResponse:
        body = _object(await request.read())
        settled = self._settled(shape, request, body)
        n = shape.asked(body) if settled is None else 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        messages = shape.messages(body)
        received, held = self.traffic.arrive(
            request.path, headers, body, messages if isinstance(messages, list) else [], n, settled is None
        )
        exchange, served = Exchange(shape, request, received), 0
        try:
            if settled is not None:
                return settled
            replies = self._replies(received)
            if held is not None:
                await held
            await self._wait(received, replies)
            broken = next((reply for reply in replies if not reply.whole), None)
            if broken is not None:
                return await self._send_broken(exchange, broken)
            sent = await self._send(exchange, replies)
            served = len(replies)
            return sent
        finally:
            self.traffic.leave(held, served)

    def _authorized(self, request: web.Request) -> bool:
        return self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}"

    def _settled(self, shape: Shape, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """The answer, where no model has to be asked for it."""
        refusal = self._refusal(shape, request, body)
        if refusal is not None:
            return _error(shape, refusal)
        idle = shape.idle(body, self._named(body))
        return None if idle is None else web.json_response(idle)

    def _refusal(self, shape: Shape, request: web.Request, body: dict[str, Any]) -> Reply | None:
        """What a real server would refuse before any model sees it."""
        if not self._authorized(request):
            return _WRONG_KEY
        if not body:
            return Reply("the request is no JSON object", status=400)
        if self.models is not None and not shape.knows(self.models, body.get("model")):
            return shape.unknown(body.get("model"))
        return shape.refusal(body)

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

    # --- sending ---

    def _named(self, body: Mapping[str, Any]) -> str:
        return self.served_model or str(body.get("model"))

    async def _send(self, exchange: Exchange, replies: list[Reply]) -> web.StreamResponse:
        if not exchange.streams:
            return self._whole(exchange, replies)
        *frames, last = self._frames(exchange, replies)
        sent = await self._stream(exchange, replies, frames)
        await self._pass(exchange, len(frames))
        sent.last = last + exchange.shape.end  # goes out when all is counted
        return sent

    def _whole(self, exchange: Exchange, replies: list[Reply]) -> web.Response:
        received = exchange.received
        answer = exchange.shape.reply(received, replies, self._named(received.body), self.usage)
        return web.json_response(answer, headers=_headers(replies))

    def _frames(self, exchange: Exchange, replies: list[Reply]) -> list[bytes]:
        received = exchange.received
        events = exchange.shape.events(received, replies, self._named(received.body), self.usage)
        return [exchange.shape.framed(event) for event in events]

    async def _stream(self, exchange: Exchange, replies: list[Reply], frames: list[bytes]) -> Stream:
        """Send frames, each as soon as the gate lets it through."""
        sent = await begin(exchange.request, exchange.shape.media, _headers(replies))
        for count, frame in enumerate(frames):
            await self._pass(exchange, count)
            await sent.write(frame)
        return sent

    async def _pass(self, exchange: Exchange, sent: int) -> None:
        gate = self.traffic.gate(exchange.received, sent)
        try:
            if gate is not None:
                await gate
        finally:
            self.traffic.passed(gate)

    async def _send_broken(self, exchange: Exchange, reply: Reply) -> web.StreamResponse:
        if reply.cut == "start":
            return reset(exchange.request)
        if reply.body is not None:
            whole = web.Response(body=reply.body, status=reply.status, headers=_headers([reply]))
        elif reply.status >= 400:
            whole = _error(exchange.shape, reply)
        elif exchange.streams:
            return await self._break_off(exchange, reply)
        elif reply.failure is not None:
            whole = _error(exchange.shape, replace(reply, status=500, text=reply.failure))
        else:
            whole = self._whole(exchange, [reply])
            whole.set_status(reply.status)
        return await cut(exchange.request, whole) if reply.cut else whole

    async def _break_off(self, exchange: Exchange, reply: Reply) -> web.StreamResponse:
        """Half of a stream, and then an error in it, or the end of the connection."""
        frames = self._frames(exchange, [reply])
        frames = frames[: (len(frames) + 1) // 2]
        if reply.failure is not None:
            frames += [exchange.shape.framed(exchange.shape.error(500, reply.failure)), exchange.shape.end]
        sent = await self._stream(exchange, [reply], frames)
        return sent if reply.failure is not None else hang_up(exchange.request, sent)


def _error(shape: Shape, reply: Reply) -> web.Response:
    body = shape.error(reply.status, reply.text or f"status {reply.status}")
    return web.json_response(body, status=reply.status, headers=_headers([reply]))


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request; an empty one where it is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _headers(replies: Sequence[Reply]) -> dict[str, str]:
    return {name: value for reply in replies for name, value in reply.headers.items()}
