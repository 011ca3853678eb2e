"""Measuring: one program on some examples, every example a row, nothing dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass
from functools import reduce
from operator import add
from textwrap import shorten
from typing import Any

import dspy

from rtk.budget import Budget, Spent
from rtk.errors import ModelError, SampleError, StoreError, TaskError
from rtk.experiments.naming import name_of
from rtk.experiments.progress import Progress, reporting
from rtk.experiments.tables import decimal, html_table
from rtk.statistics import Estimate, proportion

SHOWN = 20  # rows of a measurement that a notebook shows by itself; to_frame() has all
OWN_COLUMNS = ("answer", "gold", "correct", "error", "samples", "tokens")


@dataclass(frozen=True, repr=False)
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

    @property
    def abstained(self) -> bool:
        """Whether the program ended well and gave no answer."""
        return self.error is None and self.answer is None

    @property
    def answer(self) -> Any:
        """The output that the example has a gold answer for, else the last one; None where there is none."""
        return dict(_outputs(self.prediction)).get(self._answer_field())

    @property
    def gold(self) -> Any:
        """What the example holds under the name of the answer; None where it holds nothing."""
        return self.example.get(self._answer_field(), None)

    def _answer_field(self) -> str:
        labels, outputs = list(self.example.labels().keys()), [name for name, _ in _outputs(self.prediction)]
        common = [name for name in outputs if name in labels]
        return (common[-1:] or outputs[-1:] or labels[:1] or [""])[0]

    def _tidy(self) -> dict[str, Any]:
        inputs = {_apart(name): value for name, value in self.example.inputs().items()}
        samples, tokens = self.spent.samples, self.spent.completion_tokens
        own = (self.answer, self.gold, self.correct, self.error, samples, tokens)
        return {**inputs, **dict(zip(OWN_COLUMNS, own, strict=True))}

    def __repr__(self) -> str:
        asked = _short(next(iter(self.example.inputs().values()), ""))
        said = self.error or f"{_short(self.answer)}, {'right' if self.correct else 'wrong'}"
        return f"Row({asked} → {said})"


@dataclass(frozen=True, repr=False)
class Measured:
    """One program on some examples.

    Attributes:
        rows: one for each example, in their order; fewer where it was interrupted.
        asked: how many examples there were.
        name: the program's, with its settings.
    """

    rows: list[Row]
    asked: int
    name: str = ""

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

    @property
    def abstentions(self) -> int:
        """Examples on which the program ended well and said nothing."""
        return sum(row.abstained for row in self.rows)

    def summary(self) -> dict[str, Any]:
        """Accuracy with the ends of its 95 % interval, and counts: examples, failures, abstentions, and what it took.

        `samples` are those consulted, in all; `tokens` those written, as counted when each sample was drawn.
        """
        accuracy, spent = self.accuracy, self.spent
        return {
            "accuracy": accuracy.value,
            "low": accuracy.low,
            "high": accuracy.high,
            "n": accuracy.size,
            "failed": self.errors,
            "abstained": self.abstentions,
            "samples": spent.samples,
            "tokens": spent.completion_tokens,
        }

    def to_frame(self) -> Any:
        """A pandas frame, one row an example: its inputs, answer, gold, correct, error, samples and tokens written.

        An input that is called like one of the others stands in a column `input_…`.
        """
        import pandas as pd

        rows = [row._tidy() for row in self.rows]
        frame = pd.DataFrame(rows, columns=list(rows[0]) if rows else list(OWN_COLUMNS))
        for name in ("answer", "gold", "error"):  # as they are: pandas would make 7.0 of a 7 where one is missing
            frame[name] = pd.Series([row[name] for row in rows], dtype=object)
        return frame

    def __repr__(self) -> str:
        return f"Measured({self._said()})"

    def _said(self) -> str:
        spent, name = self.spent, f"{self.name}: " if self.name else ""
        said = f"{self.accuracy}, {self.errors} failed, {self.abstentions} abstained"
        return f"{name}{said}; {spent.samples:,} samples, {spent.completion_tokens:,} tokens written"

    def _repr_html_(self) -> str:
        rows = [{name: _text(value) for name, value in row._tidy().items()} for row in self.rows[:SHOWN]]
        left = len(self.rows) - len(rows)
        note = f"and {left} more; all are in .to_frame()" if left > 0 else ""
        return str(html_table(self._said(), rows, note))


def measure(
    program: dspy.Module,
    examples: Sequence[dspy.Example],
    metric: Callable[..., bool | float],
    *,
    concurrency: int = 16,
    progress: Progress = "auto",
) -> Measured:
    """Run a program on every example and score it.

    Args:
        program: any DSPy module; the model is `dspy.settings`'s.
        examples: questions with gold answers.
        metric: `(example, prediction) -> bool`.
        concurrency: examples under way at once.
        progress: `"auto"` a bar in a terminal and a line in a notebook; None nothing; or a function that is called
            after each example.

    Raises:
        TaskError: an example that does not say which of its fields are inputs.
        ModelError: where no example could ever be answered (no weights, a wrong key, nobody listening).
        StoreError: where the store cannot give what it should, such as a sample that a recording lacks.
    """
    _check(examples)
    rows: dict[int, Row] = {}
    with reporting(progress, len(examples)) as leg, Budget() as run:  # without a limit: it is there to be closed
        tick, pool = leg(""), ThreadPoolExecutor(concurrency, "rtk-measure")
        futures = {
            pool.submit(copy_context().run, _row, program, example, metric): index
            for index, example in enumerate(examples)
        }
        try:
            for future in as_completed(futures):
                rows[futures[future]] = future.result()
                tick()
        except BaseException:
            run.close()  # a thread that waits for a reply goes on, and the interpreter can end
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    pool.shutdown()
    return Measured([rows[index] for index in sorted(rows)], len(examples), name_of(program))


def _check(examples: Sequence[dspy.Example]) -> None:
    for index, example in enumerate(examples):
        try:
            example.inputs()
        except ValueError as error:
            raise TaskError(
                f"example {index} does not say which of its fields are inputs",
                mend='make it with .with_inputs("question"), naming every input field',
            ) from error


def _row(program: dspy.Module, example: dspy.Example, metric: Callable[..., bool | float]) -> Row:
    with Budget() as meter:
        try:
            prediction = program(**example.inputs())
        except SampleError as error:
            return Row(example, None, False, meter.spent, 0.0, f"{error.kind}: {error}")
        except (ModelError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - an example that raises is a counted row
            return Row(example, None, False, meter.spent, 0.0, f"{type(error).__name__}: {error}"[:200])
    seconds = getattr(prediction, "seconds", None)
    return Row(example, prediction, _verdict(metric(example, prediction)), meter.spent, seconds or 0.0)


def _verdict(scored: Any) -> bool:
    """What a metric says; a score between wrong and right is neither."""
    if scored not in (True, False):
        raise TaskError(
            f"the metric returned {scored!r:.40}, which is neither right nor wrong",
            mend="an accuracy counts right answers: return True or False, such as score >= 0.5",
        )
    return bool(scored)


def _outputs(prediction: Any) -> list[tuple[str, Any]]:
    """A prediction's outputs; a program may return anything, and what is no prediction is one answer."""
    if isinstance(prediction, dspy.Example):
        return list(prediction.items())
    return [] if prediction is None else [("answer", prediction)]


def _apart(name: str) -> str:
    return f"input_{name}" if name in OWN_COLUMNS else name


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return decimal(value)
    return shorten(str(value), 120, placeholder=" …")


def _short(value: Any) -> str:
    return shorten(str(value), 60, placeholder=" …")
