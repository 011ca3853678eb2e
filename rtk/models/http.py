"""One pool of kept-alive connections to one endpoint, and what can go wrong on it."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

import aiohttp

from rtk.errors import EndpointError
from rtk.models.loop import submit
from rtk.models.secrets import hidden, secrets_of
from rtk.models.streamed import lines_of
from rtk.models.wire import Fault, Mends, dropped, fault_of_status, wait_asked

T = TypeVar("T")

_FAREWELL_SECONDS = 2.0


_carrier: ContextVar[Any] = ContextVar("rtk_carrier", default=None)


class _Connector(aiohttp.TCPConnector):
    """Remembers which connections have carried a request before, and when they were last in use."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """See `aiohttp.BaseConnector.connect`; the task that asks for it finds what carries it in `_carrier`."""
        connection = await super().connect(req, traces, timeout)
        _carrier.set(connection.protocol)
        return connection

    def done(self) -> None:
        """The calling task's exchange is over."""
        if (carrier := _carrier.get()) is not None:
            self._used[carrier] = monotonic()

    @property
    def idle(self) -> float | None:
        """Seconds that what carries the calling task's request had been idle; None for a fresh connection."""
        carrier = _carrier.get()
        used = None if carrier is None else self._used.get(carrier)
        return None if used is None else monotonic() - used


class Pool:
    """POST JSON, get JSON. Lives on rtk's background loop; never prints its endpoint or its key.

    Connections are kept, and servers close them when they please, some without a word (llama.cpp's). One that fails
    so before a byte of the reply came is told apart from a fault: `Fault.kept`.

    Args:
        model: the model string, for messages.
        url: the endpoint.
        headers: sent with every request.
        seconds: a request may take, its waiting for a connection left out.
        mends: what to do where the endpoint will never answer.
    """

    def __init__(
        self, model: str, url: str, headers: dict[str, str], seconds: float, mends: Mends | None = None
    ) -> None:
        self._model, self._url, self._headers, self._mends = model, url, headers, mends or Mends()
        self._secrets = secrets_of(headers, url)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds)
        self._session: aiohttp.ClientSession | None = None
        self._connector: _Connector | None = None
        self._reached = False  # an endpoint that has answered once and is gone may come back

    @property
    def reached(self) -> bool:
        """Whether anything has ever answered there."""
        return self._reached

    async def post(self, path: str, body: bytes) -> dict[str, Any]:
        """One request, and the JSON object it is answered with.

        Raises:
            Fault: for an attempt that failed.
            EndpointError: where nobody listens, the key is refused, or the model is unknown.
        """
        return _parsed(await self._exchange(path, body, aiohttp.ClientResponse.text), self._secrets)

    async def get(self, path: str) -> dict[str, Any]:
        """What the endpoint says of itself; raises what `post` raises. It is not followed to another place."""
        return _parsed(await self._exchange(path, None, aiohttp.ClientResponse.text), self._secrets)

    async def stream(self, path: str, body: bytes, read: Callable[[AsyncIterator[bytes]], Awaitable[T]]) -> T:
        """One request whose reply `read` is given line by line, as it comes.

        Raises:
            Fault: what `read` raises; and where the reply comes whole, which is no matter of luck.
            EndpointError: as of `post`.
        """

        async def told(reply: aiohttp.ClientResponse) -> T:
            if reply.content_type == "application/json":
                raise Fault("unstreamed", "the reply comes whole", retryable=False)
            try:
                return await read(lines_of(reply.content.iter_any()))
            except Fault as fault:
                fault.args = (hidden(str(fault), self._secrets),)
                raise

        return await self._exchange(path, body, told)

    async def _exchange(
        self, path: str, body: bytes | None, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T:
        session, connector = self._open()
        _carrier.set(None)
        begun = False
        try:
            method, goes_on = ("GET", False) if body is None else ("POST", True)
            async with session.request(method, self._url + path, data=body, allow_redirects=goes_on) as reply:
                begun = self._reached = True
                if reply.status < 400:
                    return await read(reply)
                words = hidden(error_words(await reply.text()), self._secrets)  # a refusal likes to repeat the key
                wait = wait_asked(reply.headers)
                raise fault_of_status(reply.status, words, model=self._model, mends=self._mends, retry_after=wait)
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
                mend=self._mends.start,
            ) from None
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise Fault("timeout", f"no reply within {self._timeout.sock_read} s", retryable=True, lost=True) from None
        except (aiohttp.ClientPayloadError, UnicodeDecodeError):
            raise Fault("truncated", "the reply broke off", retryable=True, lost=True) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise dropped(type(error).__name__, None if begun else connector.idle) from None
        finally:
            connector.done()

    def _open(self) -> tuple[aiohttp.ClientSession, _Connector]:
        if self._session is None or self._connector is None or self._session.closed:
            self._connector = _Connector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                headers={"Content-Type": "application/json", **self._headers},
                connector=self._connector,
                timeout=self._timeout,
                loop=asyncio.get_running_loop(),
            )
            _opened.add(self)
            finalize(self, _let_go, self._session, asyncio.get_running_loop(), os.getpid()).atexit = False
        return self._session, self._connector

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


_inherited: list[aiohttp.ClientSession | None] = []


def _leave_to_the_parent() -> None:
    """In a forked child: never touch the parent's connections, not even to free them.

    Closing one here would take it off the epoll instance that both processes share, and the parent would never hear
    again what arrives on it.
    """
    _inherited.extend(pool._session for pool in _opened)
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _parsed(text: str, secrets: Sequence[str]) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        words = hidden(text, secrets)[:80]
        raise Fault("truncated", f"the reply is no JSON: {words!r}", retryable=True, lost=True) from None
    if not isinstance(value, dict):
        raise Fault("malformed", f"the reply is no JSON object: {hidden(text, secrets)[:80]!r}", retryable=True)
    return value


def error_words(text: str) -> str:
    """The message inside OpenAI's or Ollama's error envelope, or the text itself."""
    try:
        error = json.loads(text).get("error", text)
    except (ValueError, AttributeError, RecursionError):
        return text
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
