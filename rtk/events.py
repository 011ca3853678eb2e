"""What happens while it happens, and who watches.

Ground floor: knows no model and no strategy. Watchers travel as a `dspy.context` key, so they see what happens in
threads and tasks too, and are called from whatever thread it happens in: they must be quick and thread-safe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from rtk.samples import Address, Missing, Sample

logger = logging.getLogger("rtk")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SampleArrived:
    """A sample came, or did not.

    Attributes:
        sample: the sample, or a `Missing` that names the cause.
        reused: whether it was in the store already.
    """

    sample: Sample | Missing
    reused: bool


@dataclass(frozen=True, slots=True)
class SamplePart:
    """A part of a sample that is being drawn. A sample drawn alone comes in parts; those drawn together come whole.

    Attributes:
        address: the sample's.
        text: what it adds to the text.
        reasoning: what it adds to the reasoning; one of the two may be empty.
        anew: whether what came before is void. The stream had broken off, and the model, asked again, says something
            else; this part is all of it so far.
    """

    address: Address
    text: str
    reasoning: str = ""
    anew: bool = False


Watcher = Callable[[SampleArrived], None]
Hearer = Callable[[SamplePart], None]


@contextmanager
def watching(watcher: Watcher | None = None, *, parts: Hearer | None = None) -> Iterator[None]:
    """Call `watcher(event)` for every sample that comes inside, and `parts(part)` for every part of one.

    Args:
        watcher: told of every `SampleArrived`, drawn or reused.
        parts: told of every `SamplePart`: of samples that are asked for alone, while they are drawn. A model that
            gives whole replies only, and a stored sample, has no parts.

    >>> arrived = []
    >>> with watching(arrived.append):
    ...     pass  # run a program here
    """
    import dspy  # here and below: it takes seconds, and the store tells nobody of anything

    seen = watchers() if watcher is None else (*watchers(), watcher)
    heard = hearers() if parts is None else (*hearers(), parts)
    with dspy.context(rtk_watchers=seen, rtk_hearers=heard):
        yield


def watchers() -> tuple[Watcher, ...]:
    """Those who watch the calling code, outermost first."""
    import dspy

    return dspy.settings.get("rtk_watchers") or ()


def hearers() -> tuple[Hearer, ...]:
    """Those who listen to the parts of its samples, outermost first."""
    import dspy

    return dspy.settings.get("rtk_hearers") or ()


def emit(event: T, to: tuple[Callable[[T], None], ...]) -> None:
    """Tell those who watch; one that fails is logged and harms nobody."""
    for watcher in to:
        try:
            watcher(event)
        except Exception:  # a watcher is a guest: its faults must not reach the samples
            logger.exception("a watcher failed")
