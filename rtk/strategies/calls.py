"""DSPy's callbacks around a predictor call that is made in two halves.

`dspy.utils.callback.with_callbacks` decorates a function; here the draw lies between two functions, so the same
events are fired by hand: module start, LM start, LM end, module end.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID

logger = logging.getLogger("rtk")


class Calls:
    """The callbacks of one predictor call; nothing where nobody listens."""

    def __init__(self, module: dspy.Module, inputs: dict[str, Any]) -> None:
        self._listeners = _listeners(module)
        self._lm_listeners: list[Any] = []
        self._id, self._lm_id = uuid.uuid4().hex, uuid.uuid4().hex
        _fire(self._listeners, "on_module_start", call_id=self._id, instance=module, inputs={"kwargs": inputs})

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is called inside is called by this module."""
        if not self._listeners:
            yield
            return
        token = ACTIVE_CALL_ID.set(self._id)
        try:
            yield
        finally:
            ACTIVE_CALL_ID.reset(token)

    def lm_starts(self, lm: Any, messages: list[dict[str, Any]], options: dict[str, Any]) -> None:
        """The draw begins. A wrapped LM tells its own listeners."""
        self._lm_listeners = [] if lm.wrapped is not None else _listeners(lm)
        inputs = {"prompt": None, "messages": messages, "kwargs": options}
        with self.current():
            _fire(self._lm_listeners, "on_lm_start", call_id=self._lm_id, instance=lm, inputs=inputs)

    def lm_ends(self, outputs: list[str] | None, exception: BaseException | None = None) -> None:
        """The draw is over."""
        with self.current():
            _fire(self._lm_listeners, "on_lm_end", call_id=self._lm_id, outputs=outputs, exception=exception)
        self._lm_listeners = []

    def ends(self, outputs: Any, exception: BaseException | None = None) -> None:
        """The predictor call is over."""
        _fire(self._listeners, "on_module_end", call_id=self._id, outputs=outputs, exception=exception)
        self._listeners = []


def _listeners(instance: Any) -> list[Any]:
    return [*(dspy.settings.get("callbacks") or []), *(getattr(instance, "callbacks", None) or [])]


def _fire(listeners: list[Any], event: str, **arguments: Any) -> None:
    for listener in listeners:
        try:
            getattr(listener, event)(**arguments)
        except Exception as error:  # noqa: BLE001 - as DSPy has it: a callback harms nobody
            logger.warning("the callback %r failed: %s", listener, error)
