"""One pool of kept-alive connections to one endpoint, and what can go wrong on it."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet, finalize

import aiohttp

from rtk.errors import EndpointError
from rtk.models.loop import submit
from rtk.models.secrets import hidden, secrets_of
from rtk.models.streamed import Chunk, chunks
from rtk.models.wire import Fault, fault_of_status

T = TypeVar("T")

_FAREWELL_SECONDS = 2.0


class Pool:
    """POST JSON, get JSON. Lives on rtk's background loop; never prints its endpoint or its key.

    Args:
        model: the model string, for messages.
        url: the endpoint.
        headers: sent with every request.
        seconds: a request may take, its waiting for a connection left out.
    """

    def __init__(self, model: str, url: str, headers: dict[str, str], seconds: float) -> None:
        self._model, self._url, self._headers = model, url, headers
        self._secrets = secrets_of(headers, url)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds)
        self._session: aiohttp.ClientSession | None = None
        self._reached = False  # an endpoint that has answered once and is gone may come back

    async def post(self, path: str, body: bytes) -> dict[str, Any]:
        """One request, and the JSON object it is answered with.

        Raises:
            Fault: for an attempt that failed.
            EndpointError: where nobody listens, the key is refused, or the model is unknown.
        """
        return _parsed(await self._exchange(path, body, aiohttp.ClientResponse.text), self._secrets)

    async def stream(self, path: str, body: bytes) -> list[Chunk]:
        """One request that is answered chunk by chunk; raises what `post` raises."""
        return await self._exchange(path, body, lambda reply: chunks(aiter(reply.content)))

    async def _exchange(self, path: str, body: bytes, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]) -> T:
        try:
            async with self._open().post(self._url + path, data=body) as reply:
                self._reached = True
                if reply.status >= 400:
                    words, wait = _error_words(await reply.text()), reply.headers.get("Retry-After")
                    words = hidden(words, self._secrets)  # a refusal likes to repeat the key
                    raise fault_of_status(reply.status, words, model=self._model, retry_after=wait)
                return await read(reply)
        except aiohttp.ClientSSLError:
            raise EndpointError(
                f"the endpoint of {self._model!r} speaks no TLS that this machine trusts",
                mend="correct api_base= (http:// or https://), or name its certificates: SSL_CERT_FILE=FILE",
            ) from None
        except aiohttp.ClientConnectorError as error:
            if self._reached:
                raise Fault("connection", "the endpoint went away", retryable=True) from None
            raise EndpointError(
                f"nobody is listening at the endpoint of {self._model!r} ({type(error.os_error).__name__})",
                mend="start the server (`ollama serve`, `vllm serve NAME`) or correct api_base=",
            ) from None
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise Fault("timeout", f"no reply within {self._timeout.sock_read} s", retryable=True) from None
        except (aiohttp.ClientPayloadError, UnicodeDecodeError):
            raise Fault("truncated", "the reply broke off", retryable=True) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Fault("connection", type(error).__name__, retryable=True) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                headers={"Content-Type": "application/json", **self._headers},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                timeout=self._timeout,
                loop=asyncio.get_running_loop(),
            )
            _opened.add(self)
            finalize(self, _let_go, self._session, asyncio.get_running_loop(), os.getpid()).atexit = False
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _let_go(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Close connections whose owner is gone. The garbage collector calls from anywhere: no waiting, no lock."""
    if process == os.getpid() and not session.closed:
        loop.call_soon_threadsafe(lambda: loop.create_task(session.close()))


_opened: WeakSet[Pool] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Close connections before the interpreter goes, which would complain about each."""

    async def close() -> None:
        for pool in list(_opened):
            await pool.close()

    if _opened:
        with suppress(TimeoutError):
            submit(close()).result(_FAREWELL_SECONDS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opened.clear)  # they are the parent's


def _parsed(text: str, secrets: Sequence[str]) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Fault("truncated", f"the reply is no JSON: {hidden(text, secrets)[:80]!r}", retryable=True) from None
    if not isinstance(value, dict):
        raise Fault("malformed", f"the reply is no JSON object: {hidden(text, secrets)[:80]!r}", retryable=True)
    return value


def _error_words(text: str) -> str:
    """The message inside OpenAI's or Ollama's error envelope, or the text itself."""
    try:
        error = json.loads(text).get("error", text)
    except (ValueError, AttributeError, RecursionError):
        return text
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
