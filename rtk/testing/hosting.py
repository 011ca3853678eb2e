"""A web application on loopback, in a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import threading

from aiohttp import web

from rtk.errors import EndpointError

_SHUTDOWN = 0.05  # seconds that requests in flight are given at the end; 0 would mean for ever


class Host:
    """Serves one application at a time. Once started, it comes back at the same port.

    Args:
        name: of its thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._runner is not None

    def start(self, application: web.Application) -> None:
        """Serve, on 127.0.0.1.

        Raises:
            EndpointError: where it already serves, or its port has been taken in the meantime.
        """
        if self.running:
            raise EndpointError("this server is already running", mend="use one ScriptedServer for each script")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(application), self._loop).result()
        except OSError as error:
            self._end()
            raise EndpointError(
                f"port {self.port} cannot be had ({error.strerror})", mend="make a new ScriptedServer"
            ) from error

    async def _open(self, application: web.Application) -> None:
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner

    def stop(self) -> None:
        """Break off what is in flight and end the thread; nothing where it does not run."""
        if self._runner is not None and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._end()

    def _end(self) -> None:
        loop, thread, self._loop, self._thread, self._runner = self._loop, self._thread, None, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
