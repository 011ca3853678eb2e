"""DSPy's callbacks around calls that are made in two halves.

`dspy.utils.callback.with_callbacks` decorates a function; here a draw, or other strategies, lie between two functions,
so the same events are fired by hand: module start, LM start, LM end, module end.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID

from rtk._context import of_context

logger = logging.getLogger("rtk")


class Call:
    """One module call, from its start to its end; nothing where nobody listens."""

    def __init__(self, module: dspy.Module, inputs: dict[str, Any]) -> None:
        self._listeners = _listeners(module)
        self._id = uuid.uuid4().hex if self._listeners else ""
        _fire(self._listeners, "on_module_start", call_id=self._id, instance=module, inputs={"kwargs": inputs})

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is called inside is called by this module."""
        if not self._listeners:
            yield
            return
        active: ContextVar[Any] = ACTIVE_CALL_ID
        token = active.set(self._id)
        try:
            yield
        finally:
            active.reset(token)

    def ends(self, outputs: Any, exception: BaseException | None = None) -> None:
        """The call is over; said once."""
        listeners, self._listeners = self._listeners, []
        _fire(listeners, "on_module_end", call_id=self._id, outputs=outputs, exception=exception)


class Calls:
    """A call of modules within one another, the last of them a predictor, and the draw in it."""

    def __init__(self, modules: Sequence[dspy.Module], inputs: dict[str, Any]) -> None:
        self._calls: list[Call] = []
        self._lm_listeners: list[Any] = []
        self._lm_id = ""
        for module in modules:
            with self.current():
                self._calls.append(Call(module, inputs))

    def current(self) -> AbstractContextManager[None]:
        """What is called inside is called by the predictor."""
        heard = [call for call in self._calls if call.heard]
        return heard[-1].current() if heard else nullcontext()

    def lm_starts(self, lm: Any, messages: list[dict[str, Any]], options: dict[str, Any]) -> None:
        """The draw begins. A wrapped LM tells its own listeners."""
        self._lm_listeners = [] if lm.wrapped is not None else _listeners(lm)
        self._lm_id = uuid.uuid4().hex if self._lm_listeners else ""
        inputs = {"prompt": None, "messages": messages, "kwargs": options}
        with self.current():
            _fire(self._lm_listeners, "on_lm_start", call_id=self._lm_id, instance=lm, inputs=inputs)

    def lm_ends(self, outputs: list[str] | None, exception: BaseException | None = None) -> None:
        """The draw is over; said once."""
        listeners, self._lm_listeners = self._lm_listeners, []
        with self.current():
            _fire(listeners, "on_lm_end", call_id=self._lm_id, outputs=outputs, exception=exception)

    def ends(self, outputs: Any, exception: BaseException | None = None) -> None:
        """All of it is over, the draw too; said once."""
        self.lm_ends(None, exception)
        while self._calls:
            call = self._calls.pop()
            with self.current():
                call.ends(outputs, exception)


def _listeners(instance: Any) -> list[Any]:
    if of_context("rtk_unheard"):
        return []
    return [*(dspy.settings.get("callbacks") or []), *(getattr(instance, "callbacks", None) or [])]


def _fire(listeners: list[Any], event: str, **arguments: Any) -> None:
    for listener in listeners:
        try:
            getattr(listener, event)(**arguments)
        except Exception as error:  # noqa: BLE001 - as DSPy has it: a callback harms nobody
            logger.warning("the callback %r failed: %s", listener, error)
