"""One pool of kept-alive connections to one endpoint, and what can go wrong on it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from rtk.errors import EndpointError
from rtk.models.wire import Fault, fault_of_status


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
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds)
        self._session: aiohttp.ClientSession | None = None
        self._reached = False  # an endpoint that has answered once and is gone may come back

    async def post(self, path: str, body: bytes) -> dict[str, Any]:
        """One request.

        Raises:
            Fault: for an attempt that failed.
            EndpointError: where nobody listens, the key is refused, or the model is unknown.
        """
        try:
            async with self._open().post(self._url + path, data=body) as reply:
                text = await reply.text()
                status, wait = reply.status, reply.headers.get("Retry-After")
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
        self._reached = True
        if status >= 400:
            raise fault_of_status(status, _error_words(text), model=self._model, retry_after=wait)
        return _parsed(text)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                headers={"Content-Type": "application/json", **self._headers},
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                timeout=self._timeout,
                loop=asyncio.get_running_loop(),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Fault("truncated", f"the reply is no JSON: {text[:80]!r}", retryable=True) from None
    if not isinstance(value, dict):
        raise Fault("malformed", f"the reply is no JSON object: {text[:80]!r}", retryable=True)
    return value


def _error_words(text: str) -> str:
    """The message inside OpenAI's or Ollama's error envelope, or the text itself."""
    try:
        error = json.loads(text).get("error", text)
    except (ValueError, AttributeError, RecursionError):
        return text
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
