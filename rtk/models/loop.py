"""The one background event loop on which rtk draws.

Sync callers submit to it and wait; coroutines on other loops await. It is renewed after a fork.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from rtk.errors import LoopError

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner: tuple[int, threading.Thread] | None = None


def background() -> asyncio.AbstractEventLoop:
    """The loop, started on first use in this process."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner is None or _owner[0] != os.getpid() or not _owner[1].is_alive():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="rtk-loop", daemon=True)
            thread.start()
            _loop, _owner = loop, (os.getpid(), thread)
        return _loop


def on_background() -> bool:
    """Whether the calling code runs on rtk's own loop."""
    return _owner is not None and threading.current_thread() is _owner[1]


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine on the loop, in the caller's context; its result as a `concurrent.futures.Future`."""
    return asyncio.run_coroutine_threadsafe(work, background())


def wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and wait for it; an interrupt (Ctrl-C) cancels it first.

    Raises:
        LoopError: on the loop itself, which would wait for itself.
    """
    refuse_on_background(work)
    future = submit(work)
    try:
        return future.result()
    except CancelledError:
        raise
    except BaseException:
        future.cancel()
        raise


def refuse_on_background(work: Coroutine[Any, Any, Any] | None = None) -> None:
    """Refuse a sync call on rtk's own loop.

    Raises:
        LoopError: there.
    """
    if on_background():
        if work is not None:
            work.close()
        raise LoopError(
            "a sync call was made on rtk's own event loop, which would wait for itself",
            mend="inside an async module, await program.acall(...) instead of calling program(...)",
        )


_inherited: list[Any] = []


def _forget_after_fork() -> None:
    """In a child process the loop's thread does not exist: start anew on first use.

    The parent's is never freed there, and neither is what waits on it, which would complain.
    """
    global _lock, _loop, _owner
    _inherited.append((_loop, asyncio.all_tasks(_loop) if _loop is not None else ()))
    _lock, _loop, _owner = threading.Lock(), None, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
