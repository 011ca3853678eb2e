"""`rtk.Budget`: a promise about calls, samples, tokens, dollars and seconds, kept by its ledger.

The rule of admission: sample i is admitted if and only if what the samples before it (in index order, settled)
cost, plus its own ceiling, fits. One that does not fit yet waits for the earlier ones to settle. So nothing is
overspent, and a budget trips at the same sample live, at any concurrency, and replayed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Literal, cast

import dspy

from rtk._context import of_context
from rtk.budget.cost import Ceiling, Cost, Spent, charged
from rtk.errors import BudgetError
from rtk.samples import Address

UNITS = ("calls", "samples", "tokens", "dollars", "seconds")
"""What a budget can limit. A call is one ask of a predictor, however many samples."""

Verdict = Literal["yes", "wait"] | tuple[str, "Budget"]
"""Admitted; not yet; or never: the unit that ran out and the budget it ran out in."""


class Budget:
    """What may be spent, as a context manager or as a call's `budget=`.

    >>> budget = Budget(calls=2, seconds=60)
    >>> budget.left
    {'calls': 2, 'seconds': 60.0}

    Every limit is optional; without any, a budget is a meter. Budgets nest: all of them are charged, and the one
    that fires is named. A budget may be shared by threads: it is exact in total, not in who gets the last sample.
    A sample is admitted where the most that it may cost fits: `max_tokens`, and for its prompt a token a byte until
    the first sample of the request tells its length. So `tokens=` and `dollars=` are kept, and small ones admit
    nothing.
    `tokens=` never alters a request: without `max_tokens` it may overshoot by one ask. `seconds=` counts from the
    first thing asked under the budget.

    Args:
        calls: asks of a predictor, however many samples each.
        samples: completions, drawn now or reused.
        tokens: read and written; a reused sample counts what it cost when drawn.
        dollars: likewise.
        seconds: of real time.

    Raises:
        BudgetError: for a limit that is no number, or below 0.
    """

    counts = True
    """Whether it keeps a ledger."""

    def __init__(
        self,
        *,
        calls: int | None = None,
        samples: int | None = None,
        tokens: int | None = None,
        dollars: float | None = None,
        seconds: float | None = None,
    ) -> None:
        given = dict(zip(UNITS, (calls, samples, tokens, dollars, seconds), strict=True))
        self.limits: dict[str, float] = {unit: _limit(unit, n) for unit, n in given.items() if n is not None}
        self._lock = threading.Lock()
        self._spent = Spent()
        self._reserved: dict[Address, Ceiling] = {}
        self._charged: dict[Address, Cost] = {}
        self._prompts: dict[str, int] = {}  # request key -> tokens of its prompt, from settled samples
        self._started: float | None = None
        self._watchers: list[Callable[[], object]] = []
        self._closers: list[Callable[[], object]] = []
        self._closed = False
        self._contexts: list[AbstractContextManager[Any]] = []

    # --- what a user reads ---

    @property
    def spent(self) -> Spent:
        """What was spent so far, settled samples only."""
        return self._spent

    @property
    def charged(self) -> dict[Address, Cost]:
        """What was charged, by the address of the sample, as a fresh dict in the order of the addresses."""
        with self._lock:
            found = dict(self._charged)
        return dict(sorted(found.items()))

    @property
    def seconds(self) -> float:
        """Real time since the first thing asked under this budget."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def left(self) -> dict[str, float]:
        """What is left of each limit, never below 0."""
        return {unit: max(0, limit - self._used(unit)) for unit, limit in self.limits.items()}

    def __enter__(self) -> Budget:
        context = dspy.context(rtk_budgets=(*current_budgets(), self))
        context.__enter__()
        self._contexts.append(context)
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._contexts.pop().__exit__(*exc)

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{unit}={limit:g}' for unit, limit in self.limits.items())})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Budget:
        return self  # a copy would be a second promise about the same money

    def close(self) -> None:
        """Admit nothing more, and give up waiting for what is under way, as at a deadline; what came is kept."""
        with self._lock:
            self._closed = True
            closers = list(self._closers)
        for closer in closers:
            closer()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def twin(self) -> Budget:
        """A budget that stands where this one does and is charged apart, to see what something would cost."""
        made: Any = Budget(**cast(Any, self.limits))
        with self._lock:
            made._spent, made._started, made._closed = self._spent, self._started, self._closed
            made._reserved, made._charged = dict(self._reserved), dict(self._charged)
            made._prompts = dict(self._prompts)
        return made

    # --- what the layers that draw use ---

    @property
    def ordered(self) -> bool:
        """Whether who asks first matters: some limit other than seconds."""
        return any(unit != "seconds" for unit in self.limits)

    @property
    def deadline(self) -> float | None:
        """The `time.monotonic()` at which the seconds are over."""
        if "seconds" not in self.limits:
            return None
        return self.start() + self.limits["seconds"]

    def start(self) -> float:
        """Start the clock unless it runs; its start on `time.monotonic()`."""
        with self._lock:
            if self._started is None:
                self._started = time.monotonic()
            return self._started

    def _used(self, unit: str) -> float:
        if unit == "seconds":
            return self.seconds
        amount = getattr(self._spent, unit)
        if amount is None:
            raise BudgetError(
                f"{self!r} cannot be kept: a sample has no known price", mend="give rtk.LM its price=(input, output)"
            )
        return amount

    def _verdict_on_call(self, timed: bool) -> Verdict:
        if self._closed:
            return ("closed", self)
        if "calls" in self.limits and self._spent.calls + 1 > self.limits["calls"]:
            return ("calls", self)
        return ("seconds", self) if timed and self._late() else "yes"

    def _late(self) -> bool:
        return "seconds" in self.limits and self.seconds >= self.limits["seconds"]

    def _verdict(self, address: Address, ceiling: Ceiling, first: bool, timed: bool) -> Verdict:
        """Whether this address may be asked for now. The caller holds the lock."""
        if self._closed or (timed and self._late()):
            return ("closed" if self._closed else "seconds", self)
        if address in self._charged or address in self._reserved:
            return "yes"
        units = [unit for unit in ("samples", "tokens", "dollars") if unit in self.limits]
        verdicts = [self._verdict_in(unit, address.key, ceiling, first) for unit in units]
        refused = next((verdict for verdict in verdicts if isinstance(verdict, tuple)), None)
        return refused or ("wait" if "wait" in verdicts else "yes")

    def _verdict_in(self, unit: str, key: str, ceiling: Ceiling, first: bool) -> Verdict:
        settled, limit = self._used(unit), self.limits[unit]
        most = ceiling.most(unit, self._prompt(key, ceiling))
        if most is None and unit == "dollars":
            raise BudgetError(
                f"{self!r} over a sample whose price has no known bound",
                mend="give rtk.LM its price=(dollars per million input tokens, output tokens) and max_tokens=; "
                "a machine paid by the hour (price_per_hour=) is limited by seconds=",
            )
        if most is None:  # unbounded tokens: the ask as a whole may overshoot, and only once all before it is known
            late = settled >= limit and first
            return (unit, self) if late else "wait" if first and self._reserved else "yes"
        if settled + most > limit and unit != "samples" and self._prompt_settles_soon(key):
            return "wait"  # the prompt's true length is on its way
        if settled + most > limit:
            return (unit, self)
        return "wait" if settled + self._held(unit) + most > limit else "yes"

    def _prompt(self, key: str, ceiling: Ceiling) -> int:
        return min(ceiling.prompt, self._prompts.get(key, ceiling.prompt))

    def _prompt_settles_soon(self, key: str) -> bool:
        return key not in self._prompts and any(address.key == key for address in self._reserved)

    def _held(self, unit: str) -> float:
        return sum(
            ceiling.most(unit, self._prompt(address.key, ceiling)) or 0 for address, ceiling in self._reserved.items()
        )

    def _settle(self, address: Address, cost: Cost | None, reused: bool) -> None:
        held = self._reserved.pop(address, None)
        if address in self._charged or not self.counts:
            return
        if cost is not None:
            self._charged[address] = cost
            self._prompts.setdefault(address.key, cost.prompt_tokens)
            self._spent = charged(self._spent, [cost], reused=reused)
        elif held is not None:
            self._spent = replace(self._spent, failed=self._spent.failed + 1)


class Gate(Budget):
    """A budget without a limit and without a ledger: it is there to be closed, around more than one would remember."""

    counts = False

    def __init__(self) -> None:
        super().__init__()


def _limit(unit: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise BudgetError(f"Budget({unit}={value!r}): a limit is a number from 0 on", mend=f"for example {unit}=10")
    return float(value) if unit in ("dollars", "seconds") else value


def current_budgets() -> tuple[Budget, ...]:
    """The budgets the calling code runs under, outermost first."""
    return of_context("rtk_budgets") or ()


class _Locks:
    """The locks of several budgets, always taken in one order, so that no two callers wait for each other."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._locks = [budget._lock for budget in sorted(set(budgets), key=id)]

    def __enter__(self) -> None:
        for lock in self._locks:
            lock.acquire()

    def __exit__(self, *exc: Any) -> None:
        for lock in reversed(self._locks):
            lock.release()


def admit_call(budgets: Sequence[Budget], *, timed: bool = True) -> Verdict:
    """Charge one call to all budgets, or to none and say which one is spent, the innermost first.

    Args:
        budgets: outermost first.
        timed: whether the clock counts; in a replay, time stops where it stopped when it was recorded.
    """
    for budget in budgets:
        budget.start()
    with _Locks(budgets):
        for budget in reversed(budgets):
            verdict = budget._verdict_on_call(timed)
            if verdict != "yes":
                return verdict
        for budget in budgets:
            budget._spent = replace(budget._spent, calls=budget._spent.calls + 1)
    return "yes"


def refund_call(budgets: Sequence[Budget]) -> None:
    """Take back the call of an ask of which not one sample was admitted."""
    with _Locks(budgets):
        for budget in budgets:
            budget._spent = replace(budget._spent, calls=budget._spent.calls - 1)


def admit(budgets: Sequence[Budget], address: Address, ceiling: Ceiling, *, first: bool, timed: bool = True) -> Verdict:
    """Reserve a sample's ceiling in all budgets, or in none: admitted, not yet, or never.

    Args:
        budgets: outermost first.
        address: of the sample; one already charged or reserved costs nothing more.
        ceiling: the most it may cost.
        first: whether it is the first of its ask; an ask without a bound on its tokens is decided at its first.
        timed: whether the clock counts.
    """
    if not budgets:
        return "yes"
    with _Locks(budgets):
        verdicts = [budget._verdict(address, ceiling, first, timed) for budget in reversed(budgets)]
        refused = [verdict for verdict in verdicts if isinstance(verdict, tuple)]
        if refused:
            return refused[0]
        if "wait" in verdicts:
            return "wait"
        for budget in budgets:
            if address not in budget._charged:
                budget._reserved.setdefault(address, ceiling)
    return "yes"


def settle(budgets: Sequence[Budget], address: Address, cost: Cost | None, *, reused: bool) -> None:
    """Turn a reservation into what the sample cost; None where it never came. Once for each budget and address."""
    with _Locks(budgets):
        for budget in budgets:
            budget._settle(address, cost, reused)
        watchers = [watcher for budget in budgets for watcher in budget._watchers]
    for watcher in watchers:
        watcher()


def settle_stored(budgets: Sequence[Budget], costs: Mapping[Address, Cost]) -> bool:
    """Charge a call and its samples, all of them stored, where no budget limits anything; whether that was so."""
    for budget in budgets:
        budget.start()
    with _Locks(budgets):
        if any(budget.limits or budget._closed for budget in budgets):
            return False
        for budget in (one for one in budgets if one.counts):
            known = budget._charged
            new = {address: cost for address, cost in costs.items() if address not in known} if known else costs
            known.update(new)
            for address, cost in new.items():
                budget._prompts.setdefault(address.key, cost.prompt_tokens)
            budget._spent = charged(budget._spent, new.values(), reused=True, calls=1)
        watchers = [watcher for budget in budgets for watcher in budget._watchers]
    for watcher in watchers:
        watcher()
    return True


def release(budgets: Sequence[Budget], address: Address) -> None:
    """Give a reservation back: the sample is no longer wanted."""
    with _Locks(budgets):
        for budget in budgets:
            budget._reserved.pop(address, None)
        watchers = [watcher for budget in budgets for watcher in budget._watchers]
    for watcher in watchers:
        watcher()


@contextmanager
def watched(budgets: Sequence[Budget], settled: Callable[[], object], closed: Callable[[], object]) -> Iterator[None]:
    """Call `settled` whenever something settles in one of the budgets, and `closed` when one is closed.

    Each is called from whatever thread it happens in.
    """
    with _Locks(budgets):
        for budget in budgets:
            budget._watchers.append(settled)
            budget._closers.append(closed)
    try:
        yield
    finally:
        with _Locks(budgets):
            for budget in budgets:
                budget._watchers.remove(settled)
                budget._closers.remove(closed)


def count_overdrawn(budgets: Sequence[Budget], samples: int) -> None:
    """Note samples that were paid for and not consulted."""
    if not samples:
        return
    with _Locks(budgets):
        for budget in budgets:
            budget._spent = replace(budget._spent, overdrawn=budget._spent.overdrawn + samples)


def count_lost(budgets: Sequence[Budget], completions: int) -> None:
    """Note completions whose reply was lost on the way."""
    with _Locks(budgets):
        for budget in budgets:
            budget._spent = replace(budget._spent, lost=budget._spent.lost + completions)
