"""Streams that begin, and connections that break: reset before a reply, or cut off within it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from aiohttp import web


def reset(request: web.Request) -> web.StreamResponse:
    """End the connection with a TCP reset, before any byte of a reply."""
    transport = request.transport
    if transport is not None:
        linger = struct.pack("ii", 1, 0)  # on, for 0 s: what turns closing into a reset
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response(status=500)


async def cut(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Announce the whole length, send half, and close."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    reply = web.StreamResponse(status=whole.status, headers=whole.headers)
    reply.content_length = max(2, len(body))
    await reply.prepare(request)
    await reply.write(body[: len(body) // 2])
    return hang_up(request, reply)


class Stream(web.StreamResponse):
    """A stream whose last bytes go out when its request is over and counted: who has read it all finds it counted."""

    last = b""

    async def write_eof(self, data: bytes = b"") -> None:
        """Called by the server, after the handler has returned."""
        await super().write_eof(data + self.last)


async def begin(request: web.Request, media: str, headers: Mapping[str, str]) -> Stream:
    """Send the head of a stream."""
    reply = Stream(headers=headers)
    reply.content_type = media
    await reply.prepare(request)
    return reply


def hang_up(request: web.Request, reply: web.StreamResponse) -> web.StreamResponse:
    """Close the connection within a reply."""
    if request.transport is not None:
        request.transport.close()
    return reply
