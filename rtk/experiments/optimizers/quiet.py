"""Silence: what a library prints and logs while it works for us is kept as lines, and disturbs no cell.

Only what is said under `dspy.context(rtk_quiet=…)` is taken away, in whatever thread; others print as ever.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy

KEY = "rtk_quiet"
MOST = 2000  # lines that are kept


class Said:
    """What was said in silence, the last lines of it."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Keep what a line says; a progress bar, which writes over its own line, says nothing."""
        told = [line.strip() for line in text.splitlines() if "\r" not in text and line.strip()]
        with self._lock:
            self._lines.extend(told)

    def lines(self) -> list[str]:
        """All of them, in order."""
        with self._lock:
            return list(self._lines)


def _here() -> Said | None:
    return dspy.settings.get(KEY)


class _Stream(io.TextIOBase):
    """A stream that keeps what is said in silence and hands on the rest.

    Attributes:
        stream: where the rest goes.
        over: whether it is no more in force. A progress bar that was left behind holds it still, and writes once more
            when it is collected.
    """

    def __init__(self, stream: Any) -> None:
        self.stream, self.over = stream, False

    def write(self, text: str) -> int:
        said = _here()
        if said is not None:
            said.add(text)
        elif not (self.over and ("\r" in text or "%|" in text)):
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", "utf-8")


class _Filter(logging.Filter):
    """Keeps log records of DSPy's own handler, which writes to stderr; a user's handlers still get them."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = _here()
        if said is not None:
            said.add(record.getMessage())
        return said is None


_lock = threading.Lock()
_inside = 0
_filter = _Filter()
_streams: dict[str, _Stream] = {}


@contextmanager
def quiet() -> Iterator[Said]:
    """Keep what is said inside, in this thread and those that DSPy starts from it; several may be quiet at once."""
    said = Said()
    _begin()
    try:
        with dspy.context(**{KEY: said}):
            yield said
    finally:
        _end()


def _begin() -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        for name in ("stdout", "stderr"):
            _streams[name] = _Stream(getattr(sys, name))
            setattr(sys, name, _streams[name])
        for handler in _handlers():
            handler.addFilter(_filter)


def _end() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside:
            return
        for name, stream in _streams.items():
            if getattr(sys, name) is stream:  # else somebody else has put his own there
                setattr(sys, name, stream.stream)
            stream.over = True
        _streams.clear()
        for handler in _handlers():
            handler.removeFilter(_filter)


def _handlers() -> list[logging.Handler]:
    return [handler for handler in logging.getLogger("dspy").handlers if handler.get_name() == "dspy_handler"]
