"""Connections that break: reset before a reply, or cut off within it."""

from __future__ import annotations

import socket
import struct

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
    if request.transport is not None:
        request.transport.close()
    return reply
