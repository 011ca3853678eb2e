"""A sweep under way: every setting on every question, each answer a row; nothing dropped, nothing drawn twice.

The questions run on an event loop in a thread of its own, some side by side: what waits for a model costs nothing, and
what is stored is read without a thread for each. All settings of a question run behind one another, those that ask for
most first, so that the others find their samples.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import dspy

from rtk.budget import Budget, Cost, Gate, current_budgets
from rtk.errors import BudgetSpent, RTKError, SampleError, StoreError
from rtk.experiments.arms import Runner
from rtk.experiments.questions import Questions
from rtk.experiments.rows import Answered, Pools, address_of, attempt_row, attempts_of, row_of, story_of, verdict
from rtk.experiments.spool import ATTEMPTS, EXAMPLES, ROWS, STORIES, Spool
from rtk.samples import Address, Stream
from rtk.strategies import Attempts, evidence, retold

SLOW, SEVERAL = 0.005, 3  # a metric that takes so many seconds on average is asked in threads: a model may be behind it
POOLS = 64  # numbers that are kept for the pools of one question
PATIENCE = 10.0  # seconds that what is under way is given to end, once the sweep is stopped

Told = Callable[[str], None]


@dataclass(frozen=True)
class Unit:
    """One question, with all arms of one model and replicate."""

    replicate: int
    at: int
    runners: tuple[Runner, ...]


@dataclass
class Shared:
    """What the arms of one program have in common at one question.

    Attributes:
        pools: the attempts that are written.
        attempts: the most that an arm had, which others may be told.
        costs: of their samples.
        lm: the model they are of.
    """

    pools: Pools
    attempts: Attempts = field(default_factory=Attempts)
    costs: Mapping[Address, Cost] = field(default_factory=dict)
    lm: dspy.BaseLM | None = None


class Run:
    """One sweep under way.

    Attributes:
        stopped: why it ended before the last row; None otherwise.
        failure: what ended it that no row can tell.
    """

    def __init__(
        self,
        runners: list[Runner],
        asked: Questions,
        folder: Path,
        *,
        budget: Budget | None,
        replicates: int,
        concurrency: int,
        stories: bool,
        tick: Callable[[], None],
    ) -> None:
        self._runners, self._asked, self._replicates, self._stories = runners, asked, replicates, stories
        self._concurrency, self._tick, self._given = concurrency, tick, budget
        self._spool, self._run = Spool(folder), Gate()
        self._pool = ThreadPoolExecutor(concurrency, "rtk-sweep")
        self._came: set[int] = set()  # arms that had a row without an error
        self._unscored = Counter[int]()  # answers of an arm on which the metric failed
        self._metric = (0, 0.0)  # calls of it so far, and seconds they took
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stopped: str | None = None
        self.failure: BaseException | None = None

    # --- what the caller's thread does ---

    def start(self) -> Future[None]:
        """Start it; a future of its end."""
        self._spool.add(EXAMPLES, [{"at": at, **row} for at, row in enumerate(self._asked.rows())])
        done, context = Future[None](), copy_context()

        def work() -> None:
            try:
                context.run(self._work)
            except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                done.set_exception(error)
            else:
                done.set_result(None)

        threading.Thread(target=work, name="rtk-sweep", daemon=True).start()
        return done

    def halt(self, why: str) -> None:
        """End it: nothing new is asked, and what waits for a reply goes on without; rows that are there stay."""
        self.stopped = self.stopped or why
        self._run.close()

    # --- the loop ---

    def _work(self) -> None:
        try:
            with self._run, ExitStack() as stack:
                if self._given is not None:
                    stack.enter_context(self._given)
                with asyncio.Runner() as runner:  # this thread is the sweep's own: no other loop runs in it
                    runner.run(self._main())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._spool.close()

    async def _main(self) -> None:
        for units in self._passes():
            workers = [asyncio.ensure_future(self._worker(units)) for _ in range(self._concurrency)]
            while workers:
                done, pending = await asyncio.wait(workers, timeout=None if self.stopped is None else PATIENCE)
                workers = list(pending) if self.stopped is None else []
                for one in done:
                    one.result()
                for one in () if self.stopped is None else pending:
                    one.cancel()
            if self.stopped is not None:
                return

    def _passes(self) -> Iterator[Iterator[Unit]]:
        """A model after the other, since a machine may hold only one of them at a time; replicates of it together."""
        ordered = sorted(self._runners, key=lambda one: (one.group, one.family, one.size, one.place))
        for _, arms in groupby(ordered, key=lambda one: one.group):
            together = tuple(arms)
            yield (
                Unit(number, at, together)
                for number in range(self._replicates)
                for at in range(len(self._asked.examples))
            )

    async def _worker(self, units: Iterator[Unit]) -> None:
        for unit in units:
            if self.stopped is not None:
                return
            for _, arms in groupby(unit.runners, key=lambda one: one.family):
                await self._family(unit, list(arms))

    async def _family(self, unit: Unit, arms: list[Runner]) -> None:
        """All arms of one program at one question; they may share attempts."""
        size = len(self._asked.examples)
        first = ((arms[0].place * self._replicates + unit.replicate) * size + unit.at) * POOLS
        shared = Shared(Pools(first))
        for runner in arms:
            if self.stopped is not None:
                return
            await self._row(unit, runner, shared)

    # --- one row ---

    async def _row(self, unit: Unit, runner: Runner, shared: Shared) -> None:
        example = self._asked.examples[unit.at]
        answered = await self._answered(unit, runner, example, shared)
        if answered is None or self.failure is not None:
            return
        place = {"arm": runner.place, "replicate": unit.replicate, "at": unit.at}
        row = {**place, **row_of(example, answered, self._asked.answer_field)}
        attempts = await self._attempts(runner, example, answered, shared, place)
        row |= attempts
        self._spool.add(ROWS, [row])
        story = story_of(answered.prediction) if self._stories else None
        if story is not None:
            self._spool.add(STORIES, [{**place, "story": story}])
        self._tick()

    async def _answered(self, unit: Unit, runner: Runner, example: dspy.Example, shared: Shared) -> Answered | None:
        """What came of one question; None where it did not come to its end, since the sweep did."""
        meter, began = Budget(), time.perf_counter()
        prediction, error, stopped = None, None, None
        with dspy.context(**self._settings(unit, runner, meter)):
            try:
                prediction = self._retold(runner, example, shared)
                if prediction is None:
                    prediction = await self._called(runner.program, example)
            except BudgetSpent as spent:
                if self._over(spent):
                    return None
                stopped = spent.limit
            except Exception as failure:  # noqa: BLE001 - an example that raises is a counted row
                if self.stopped is not None:
                    return None
                error = self._error(runner, failure)
            except BaseException as failure:  # noqa: BLE001 - a recording that lacks a sample ends the sweep
                self._fail(failure)
                return None
            answered = Answered(prediction, meter, time.perf_counter() - began, error, stopped)
            cut = evidence(prediction, "cut") if isinstance(prediction, dspy.Prediction) else None
            if cut is not None and self._over(cut):
                return None
            if error is None:
                await self._score(runner, example, answered)
        if answered.error is None:
            self._came.add(runner.place)
        return answered

    def _retold(self, runner: Runner, example: dspy.Example, shared: Shared) -> Any:
        """What it makes of the attempts that another arm had here, without asking again; None where it must ask."""
        if shared.lm is not runner.lm or runner.limits is not None or self._given is not None:
            return None
        return retold(runner.program, example.inputs().toDict(), shared.attempts, shared.costs)

    def _settings(self, unit: Unit, runner: Runner, meter: Budget) -> dict[str, Any]:
        """The DSPy settings of one row."""
        limited = () if runner.limits is None else (Budget(**runner.limits),)
        found: dict[str, Any] = {"rtk_budgets": (*current_budgets(), meter, *limited)}
        if runner.lm is not None:
            found["lm"] = runner.lm
        if self._replicates > 1:
            found["rtk_stream"] = Stream(unit.replicate)
        return found

    async def _called(self, program: dspy.Module, example: dspy.Example) -> Any:
        inputs = example.inputs().toDict()
        if hasattr(type(program), "aforward"):
            return await program.acall(**inputs)
        return await self._in_thread(lambda: program(**inputs))

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work)

    def _over(self, spent: BudgetSpent) -> bool:
        """Whether it was the sweep's own end; then it is noted."""
        if spent.budget is self._run:
            return True
        if self._given is not None and spent.budget is self._given:
            self.halt(spent.limit)
            return True
        return False

    def _error(self, runner: Runner, failure: Exception) -> str:
        """A failure in one line; one that every further row of the arm would have too ends the sweep."""
        if isinstance(failure, SampleError):
            return f"{failure.kind}: {failure}"
        if isinstance(failure, StoreError) or (isinstance(failure, RTKError) and runner.place not in self._came):
            self._fail(failure)
        return f"{type(failure).__name__}: {failure}"[:200]

    def _fail(self, failure: BaseException) -> None:
        self.failure = self.failure or failure
        self.halt("failed")

    # --- scores ---

    async def _score(self, runner: Runner, example: dspy.Example, answered: Answered) -> None:
        """Ask the metric. One that fails on every answer is wrong itself, and ends the sweep; else it costs the row."""
        try:
            answered.score = await self._scored(example, answered.prediction)
        except Exception as failure:  # noqa: BLE001 - a metric of a user's; its failure is a counted row
            self._unscored[runner.place] += 1
            if runner.place not in self._came and self._unscored[runner.place] >= SEVERAL:
                self._fail(failure)
            answered.error = f"metric: {type(failure).__name__}: {failure}"[:200]

    async def _scored(self, example: dspy.Example, prediction: Any) -> float:
        if prediction is None:
            return 0.0
        calls, seconds = self._metric
        if not self._asked.scores_attempts or (calls >= SEVERAL and seconds / calls > SLOW):
            found = await self._in_thread(lambda: self._asked.metric(example, prediction))
            return verdict(await found if asyncio.iscoroutine(found) else found)
        began = time.perf_counter()
        found = self._asked.metric(example, prediction)
        if asyncio.iscoroutine(found):
            found = await found
        self._metric = (self._metric[0] + 1, self._metric[1] + time.perf_counter() - began)
        return verdict(found)

    async def _attempts(
        self, runner: Runner, example: dspy.Example, answered: Answered, shared: Shared, place: dict[str, int]
    ) -> dict[str, int]:
        """Write the attempts that are new in their pool; the pool of the row, and how many of it were looked at."""
        found = attempts_of(runner.program, answered.prediction)
        if not found.candidates:
            return {}
        pool, known = shared.pools.place([address_of(one) for one in found.candidates])
        charged = {str(address): cost for address, cost in answered.meter.charged.items()}
        if len(found.candidates) > len(shared.attempts.candidates) and answered.stopped is None:
            shared.attempts, shared.costs, shared.lm = found, answered.meter.charged, runner.lm
        rows = []
        for index, one in enumerate(found.candidates[known:], known):
            reward = found.rewards[index] if index < len(found.rewards) else None
            score = await self._attempt_score(example, one.prediction)
            row = attempt_row(example, one, reward, charged, self._asked.answer_field, score)
            rows.append({**place, "pool": pool, "index": index, **row})
        self._spool.add(ATTEMPTS, rows)
        return {"pool": pool, "attempts": found.consulted}

    async def _attempt_score(self, example: dspy.Example, prediction: Any) -> float | None:
        """An attempt by itself against the gold; None where that would ask a model, or the metric cannot say."""
        if not self._asked.scores_attempts:
            return None
        if prediction is None:
            return 0.0
        try:
            return await self._scored(example, prediction)
        except Exception:  # noqa: BLE001 - a metric that reads what only a whole program gives
            return None
