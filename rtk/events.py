"""What happens while it happens, and who watches.

Ground floor: knows no model and no strategy. Watchers travel as a `dspy.context` key, so they see what happens in
threads and tasks too, and are called from whatever thread it happens in: they must be quick and thread-safe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dspy

from rtk.samples import Missing, Sample

logger = logging.getLogger("rtk")


@dataclass(frozen=True, slots=True)
class SampleArrived:
    """A sample came, or did not.

    Attributes:
        sample: the sample, or a `Missing` that names the cause.
        reused: whether it was in the store already.
    """

    sample: Sample | Missing
    reused: bool


Watcher = Callable[[SampleArrived], None]


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Call `watcher(event)` for everything that happens inside.

    >>> arrived = []
    >>> with watching(arrived.append):
    ...     pass  # run a program here
    """
    with dspy.context(rtk_watchers=(*watchers(), watcher)):
        yield


def watchers() -> tuple[Watcher, ...]:
    """Those who watch the calling code, outermost first."""
    return dspy.settings.get("rtk_watchers") or ()


def emit(event: SampleArrived, to: tuple[Watcher, ...]) -> None:
    """Tell watchers; one that fails is logged and harms nobody."""
    for watcher in to:
        try:
            watcher(event)
        except Exception:  # a watcher is a guest: its faults must not reach the samples
            logger.exception("a watcher failed")
