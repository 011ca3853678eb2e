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
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import dspy

from rtk.budget import Budget, Gate, current_budgets
from rtk.errors import BudgetSpent, ModelError, RTKError, SampleError, StoreError
from rtk.experiments.records.spool import ATTEMPTS, EXAMPLES, ROWS, STORIES, Spool
from rtk.experiments.sweeps.arms import Runner
from rtk.experiments.sweeps.questions import Questions
from rtk.experiments.sweeps.rows import (
    Answered,
    Asked,
    Pools,
    address_of,
    attempt_row,
    attempts_of,
    row_of,
    story_of,
)
from rtk.samples import Stream
from rtk.strategies import Prompts, Recall, evidence, read_ahead, retold
from rtk.tasks import score_of

SLOW, SEVERAL = 0.005, 3  # a metric that takes so many seconds on average is asked in threads: a model may be behind it
FUTILE = 10  # failures of an arm without one success before them that end the sweep: so will all others
PAGE = 16  # questions that are read ahead together
PATIENCE = 5.0  # seconds that what is under way is given to end, once the sweep is stopped


@dataclass(frozen=True)
class Unit:
    """One question, with all arms of one model and replicate, and what the arms of each program share."""

    replicate: int
    at: int
    families: tuple[tuple[Runner, ...], ...]
    shared: tuple[Shared, ...]


@dataclass
class Shared:
    """What the arms of one program have in common at one question.

    Attributes:
        asked: the question.
        pools: the attempts that are written.
        recall: the samples that an arm read or drew, which others need not read again.
        seconds: that it took to read some of them beforehand, until a row counts them.
    """

    asked: Asked
    pools: Pools
    recall: Recall
    seconds: float = 0.0


class Run:
    """One sweep under way.

    Attributes:
        stopped: why it ended before the last row; None otherwise.
        graded: whether some score was neither right nor wrong.
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
        self._around = (*current_budgets(), budget)  # one of them that is spent ends the sweep
        self._spool, self._run = Spool(folder), Gate()
        self._prompts = Prompts()
        self._came: set[int] = set()  # arms that had a row without an error
        self._futile = min(FUTILE, len(asked.examples) * replicates)
        self._failed = Counter[int]()  # answers of an arm that a program or a metric failed on in ways of its own
        self._metric = (0, 0.0)  # calls of it so far, and seconds they took
        self._ending: Callable[[], object] = lambda: None  # wakes the loop, once it runs
        self.graded = False
        self.stopped: str | None = None
        self.failure: BaseException | None = None

    # --- what the caller's thread does ---

    def start(self) -> Future[None]:
        """Start it; a future of its end."""
        rows = ({"at": at, **row} for at, row in enumerate(self._asked.rows()))
        while part := list(islice(rows, PAGE)):
            self._spool.add(EXAMPLES, part)
        done, context = Future[None](), copy_context()

        def work() -> None:
            context.run(self._work, done)

        threading.Thread(target=work, name="rtk-sweep", daemon=True).start()
        return done

    def halt(self, why: str) -> None:
        """End it: nothing new is asked, and what waits for a reply goes on without; rows that are there stay."""
        self.stopped = self.stopped or why
        self._run.close()
        self._ending()

    def close(self) -> None:
        """Write the rows that are there; what comes later is none of it."""
        self._spool.close()

    # --- the loop ---

    def _work(self, done: Future[None]) -> None:
        """All of it. It has ended when its rows are written, whatever hangs on."""
        with self._run, ExitStack() as stack:
            if self._given is not None:
                stack.enter_context(self._given)
            with asyncio.Runner() as runner:  # this thread is the sweep's own: no other loop runs in it
                try:
                    runner.run(self._main())
                    self.close()
                except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                    done.set_exception(error)
                else:
                    done.set_result(None)

    async def _main(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._ending = lambda: loop.is_closed() or loop.call_soon_threadsafe(ended.set)
        ending = asyncio.ensure_future(ended.wait())
        for units in self._passes():
            workers = {asyncio.ensure_future(self._worker(units)) for _ in range(self._concurrency)}
            while workers and self.stopped is None:
                done, _ = await asyncio.wait({*workers, ending}, return_when=asyncio.FIRST_COMPLETED)
                workers -= done
                for one in done - {ending}:
                    one.result()
            if workers:
                _, hanging = await asyncio.wait(workers, timeout=PATIENCE)
                for one in hanging:
                    one.cancel()
            if self.stopped is not None:
                return

    def _passes(self) -> Iterator[Iterator[Unit]]:
        """A model after the other, since a machine may hold only one of them at a time; replicates of it together."""
        ordered = sorted(self._runners, key=lambda one: (one.group, one.family, one.size, one.place))
        for _, arms in groupby(ordered, key=lambda one: one.group):
            families = tuple(tuple(one) for _, one in groupby(arms, key=lambda one: one.family))
            yield self._units(families)

    def _units(self, families: tuple[tuple[Runner, ...], ...]) -> Iterator[Unit]:
        """All questions, some read ahead together."""
        for replicate in range(self._replicates):
            places = iter(range(len(self._asked.examples)))
            while page := list(islice(places, PAGE)):
                units = [Unit(replicate, at, families, self._shared(replicate, at, families)) for at in page]
                for number, (first, *_) in enumerate(families):
                    self._read_ahead(replicate, first, [unit.shared[number] for unit in units])
                yield from units

    def _shared(self, replicate: int, at: int, families: tuple[tuple[Runner, ...], ...]) -> tuple[Shared, ...]:
        """What the arms of each program share at a question."""
        asked, size = Asked.of(self._asked.examples[at], self._asked.answer_field), len(self._asked.examples)
        firsts = [(arms[0].place * self._replicates + replicate) * size + at for arms in families]
        return tuple(Shared(asked, Pools(one * len(self._runners)), Recall(self._prompts)) for one in firsts)

    def _read_ahead(self, replicate: int, runner: Runner, questions: list[Shared]) -> None:
        """Read what is stored for an arm at some questions; what is wrong with it shows where they are asked."""
        if runner.limits is not None:
            return
        began = time.perf_counter()
        with suppress(Exception), dspy.context(**self._settings(replicate, runner)):
            read_ahead(runner.program, [(one.asked.inputs, one.recall) for one in questions])
        for one in questions:
            one.seconds = (time.perf_counter() - began) / len(questions)

    async def _worker(self, units: Iterator[Unit]) -> None:
        for unit in units:
            for arms, shared in zip(unit.families, unit.shared, strict=True):
                for runner in arms:
                    if self.stopped is not None:
                        return
                    await self._row(unit, runner, shared)
            await asyncio.sleep(0)  # where all is stored nothing waits, and what is drawn for others has its turn

    # --- one row ---

    async def _row(self, unit: Unit, runner: Runner, shared: Shared) -> None:
        answered = await self._answered(unit, runner, shared)
        if answered is None or self.failure is not None:
            return
        place = {"arm": runner.place, "replicate": unit.replicate, "at": unit.at}
        attempts = await self._attempts(runner, answered, shared, place)
        self._spool.add(ROWS, [{**place, **row_of(shared.asked, answered, runner.lm or dspy.settings.lm), **attempts}])
        story = story_of(answered.prediction) if self._stories else None
        if story is not None:
            self._spool.add(STORIES, [{**place, "story": story}])
        self._tick()

    async def _answered(self, unit: Unit, runner: Runner, shared: Shared) -> Answered | None:
        """What came of one question; None where it did not come to its end, since the sweep did."""
        meter, began = Budget(), time.perf_counter()
        prediction, error, stopped = None, None, None
        with dspy.context(**self._settings(unit.replicate, runner)):
            try:
                if runner.limits is None:
                    prediction = retold(runner.program, shared.asked.inputs, shared.recall, meter)
                if prediction is None:
                    meter = Budget()  # what was looked at in vain is not charged
                    with _charging(runner, meter):
                        prediction = await self._called(runner.program, shared)
            except BudgetSpent as spent:
                if self._over(spent):
                    return None
                stopped = spent.limit
            except Exception as failure:  # noqa: BLE001 - an example that raises is a counted row
                if self.stopped is not None:
                    return None
                error = self._error(runner, failure)
            except BaseException as failure:  # noqa: BLE001 - a recording that lacks a sample ends the sweep
                if self.stopped is None:
                    self._fail(failure)
                return None
            wall, shared.seconds = time.perf_counter() - began + shared.seconds, 0.0
            answered = Answered(prediction, meter, wall, error, stopped)
            cut = evidence(prediction, "cut") if isinstance(prediction, dspy.Prediction) else None
            if cut is not None and self._over(cut):
                return None
            if error is None:
                await self._score(runner, shared.asked.example, answered)
        if answered.error is None:
            self._came.add(runner.place)
        return answered

    def _settings(self, replicate: int, runner: Runner) -> dict[str, Any]:
        """The DSPy settings of one row. Its trace is its own: of all rows together nobody would read it."""
        found: dict[str, Any] = {"trace": []}
        if runner.lm is not None:
            found["lm"] = runner.lm
        if self._replicates > 1:
            found["rtk_stream"] = Stream(replicate)
        return found

    async def _called(self, program: dspy.Module, shared: Shared) -> Any:
        """Call a program; what it draws is known to the arms behind it."""
        if _awaitable(type(program)):
            prediction = await program.acall(**shared.asked.inputs)
        else:
            prediction = await self._in_thread(lambda: program(**shared.asked.inputs))
        shared.recall.adopt(attempts_of(program, prediction))
        return prediction

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """In a thread of its own, which nobody waits for should it hang when the interpreter ends."""
        done, context = Future[Any](), copy_context()
        done.set_running_or_notify_cancel()  # who gives up waiting cancels nothing here

        def run() -> None:
            try:
                done.set_result(context.run(work))
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                done.set_exception(error)

        threading.Thread(target=run, name="rtk-sweep-call", daemon=True).start()
        return await asyncio.wrap_future(done)

    def _over(self, spent: BudgetSpent) -> bool:
        """Whether it was the sweep's own end; then it is noted."""
        if spent.budget is self._run:
            return True
        if any(spent.budget is one for one in self._around):
            self.halt(spent.limit)
            return True
        return False

    def _error(self, runner: Runner, failure: Exception) -> str:
        """A failure in one line; one that every further row of the arm would have too ends the sweep."""
        if isinstance(failure, SampleError):
            return f"{failure.kind}: {failure}"
        self._failed[runner.place] += isinstance(failure, RTKError)
        hopeless = isinstance(failure, ModelError) or self._failed[runner.place] >= self._futile
        if isinstance(failure, StoreError) or (
            isinstance(failure, RTKError) and hopeless and runner.place not in self._came
        ):
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
            self.graded = self.graded or 0 < answered.score < 1
        except Exception as failure:  # noqa: BLE001 - a metric of a user's; its failure is a counted row
            self._failed[runner.place] += 1
            if runner.place not in self._came and self._failed[runner.place] >= self._futile:
                failure.add_note(
                    f"the metric failed on every answer so far, the last to: {str(example.inputs())[:200]}"
                )
                self._fail(failure)
            answered.error = f"metric: {type(failure).__name__}: {failure}"[:200]

    async def _scored(self, example: dspy.Example, prediction: Any) -> float:
        if prediction is None:
            return 0.0
        calls, seconds = self._metric
        if not self._asked.scores_attempts or (calls >= SEVERAL and seconds / calls > SLOW):
            found = await self._in_thread(lambda: self._asked.metric(example, prediction))
            return score_of(await found if asyncio.iscoroutine(found) else found)
        began = time.perf_counter()
        found = self._asked.metric(example, prediction)
        if asyncio.iscoroutine(found):
            found = await found
        self._metric = (self._metric[0] + 1, self._metric[1] + time.perf_counter() - began)
        return score_of(found)

    async def _attempts(
        self, runner: Runner, answered: Answered, shared: Shared, place: dict[str, int]
    ) -> dict[str, int]:
        """Write the attempts that are new in their pool; the pool of the row, and how many of it were looked at."""
        found = attempts_of(runner.program, answered.prediction)
        if not found.candidates:
            return {}
        pool, known = shared.pools.place([address_of(one) for one in found.candidates])
        new, rows = found.candidates[known:], []
        charged = {str(address): cost for address, cost in answered.meter.charged.items()} if new else {}
        for index, one in enumerate(new, known):
            reward = found.rewards[index] if index < len(found.rewards) else None
            score = await self._attempt_score(shared.asked.example, one.prediction)
            row = attempt_row(shared.asked, one, reward, charged, score)
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


def _charging(runner: Runner, meter: Budget) -> AbstractContextManager[None]:
    """What is asked inside is charged to a meter, and to the budget that the arm gives each call."""
    limited = () if runner.limits is None else (Budget(**runner.limits),)
    return dspy.context(rtk_budgets=(*current_budgets(), meter, *limited))


def _awaitable(kind: type) -> bool:
    """Whether a class has an async half that does what its sync half does: not where only `forward` was overridden."""
    sync, awaited = (
        next((one for one in kind.__mro__ if name in vars(one)), object) for name in ("forward", "aforward")
    )
    return awaited is not object and issubclass(awaited, sync)
