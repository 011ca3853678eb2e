"""Measuring: one program on some examples, every example a row, nothing dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import dspy

from rtk.budget import Budget, Spent
from rtk.errors import ModelError, SampleError
from rtk.statistics import Estimate, proportion


@dataclass(frozen=True)
class Row:
    """One example, answered or not.

    Attributes:
        example: the question, with its gold answer.
        prediction: what the program said; None where it raised.
        correct: whether the metric accepts it; False where there is nothing to accept.
        spent: what it cost.
        seconds: the longest path of asks, as long as it took when drawn.
        error: what the program raised, in one line.
    """

    example: dspy.Example
    prediction: Any
    correct: bool
    spent: Spent
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Measured:
    """One program on some examples.

    Attributes:
        rows: one for each example, in their order; fewer where it was interrupted.
        asked: how many examples there were.
    """

    rows: list[Row]
    asked: int

    @property
    def accuracy(self) -> Estimate:
        """The share of right answers with its Wilson interval; an error and an abstention count as wrong."""
        return proportion(sum(row.correct for row in self.rows), len(self.rows))

    @property
    def spent(self) -> Spent:
        """All rows together."""
        return reduce(add, (row.spent for row in self.rows), Spent())

    @property
    def seconds(self) -> float:
        """Of an example, on average."""
        return sum(row.seconds for row in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def errors(self) -> int:
        """Examples on which the program raised."""
        return sum(row.error is not None for row in self.rows)


def measure(
    program: dspy.Module,
    examples: Sequence[dspy.Example],
    metric: Callable[..., bool],
    *,
    concurrency: int = 16,
    progress: Callable[[], None] | None = None,
) -> Measured:
    """Run a program on every example and score it.

    Args:
        program: any DSPy module; the model is `dspy.settings`'s.
        examples: questions with gold answers.
        metric: `(example, prediction) -> bool`.
        concurrency: examples under way at once.
        progress: called after each example.

    Raises:
        ModelError: where no example could ever be answered (no weights, a wrong key, nobody listening).
    """
    rows: dict[int, Row] = {}
    pool = ThreadPoolExecutor(concurrency, "rtk-measure")
    with Budget() as run:  # without a limit: it is there to be closed
        futures = {
            pool.submit(copy_context().run, _row, program, example, metric): index
            for index, example in enumerate(examples)
        }
        try:
            for future in as_completed(futures):
                rows[futures[future]] = future.result()
                if progress is not None:
                    progress()
        except BaseException:
            run.close()  # a thread that waits for a reply goes on, and the interpreter can end
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    pool.shutdown()
    return Measured([rows[index] for index in sorted(rows)], len(examples))


def _row(program: dspy.Module, example: dspy.Example, metric: Callable[..., bool]) -> Row:
    with Budget() as meter:
        try:
            prediction = program(**example.inputs())
        except SampleError as error:
            return Row(example, None, False, meter.spent, 0.0, f"{error.kind}: {error}")
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - an example that raises is a counted row
            return Row(example, None, False, meter.spent, 0.0, f"{type(error).__name__}: {error}"[:200])
    seconds = getattr(prediction, "seconds", None)
    return Row(example, prediction, bool(metric(example, prediction)), meter.spent, seconds or 0.0)
