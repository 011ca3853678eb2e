"""Every error rtk raises, as one tree; each says what happened and carries its mend as a note.

Ground floor: imports nothing of rtk.

    RTKError
    ├── StoreError            the sample store
    │   ├── UnsafeStore       a file that is no store of ours, or was tampered with
    │   ├── NewerStore        what a newer rtk wrote
    │   ├── ServedModelChanged  another model answers under the same name
    │   └── RecordingError    a recording that cannot be read, written or found
    ├── ModelError            the model or its endpoint
    │   ├── MissingExtra      an optional package is not installed
    │   ├── WeightsError      no weights, wrong weights, not a GGUF
    │   ├── EngineError       the embedded engine did not start
    │   ├── EndpointError     the endpoint refused (wrong key, no such model, not reachable)
    │   ├── UnsupportedParameter  a request field that would not reach the model
    │   └── SampleError       samples that were asked for and did not come
    ├── BudgetError           a budget that cannot be kept as written
    ├── StrategyError         a strategy used in a way it cannot work
    │   └── LoopError         a sync call on rtk's own event loop
    ├── AnswerError           an answer or a vote that makes no sense as asked for
    ├── TaskError             an unknown task, a level out of range, a bad row
    └── RetrievalError        a source that holds no passages, or a search that cannot be

`BudgetSpent` and `NotRecorded` stand apart: they derive from `BaseException`, because DSPy's optimizers and `Evaluate`
swallow every `Exception`. A spent budget is turned into a best-so-far prediction at rtk's own entry points; what a
replay lacks ends the program, since a score that counts it as a wrong answer would be false.
"""

from __future__ import annotations

from typing import Any


class RTKError(Exception):
    """The root of rtk's errors.

    Args:
        message: what happened, and to which request, file or setting.
        mend: what to type or change next; shown below the message as an exception note.
    """

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend
        if mend:
            self.add_note(mend)


class StoreError(RTKError):
    """The sample store could not do what was asked."""


class UnsafeStore(StoreError):
    """A database that rtk did not write: a pickled value or key, a file outside the store, another encoding."""


class NewerStore(StoreError):
    """Something that a newer rtk wrote, and this one cannot read; it is left as it is."""


class ServedModelChanged(StoreError):
    """The endpoint answers with another model than the one whose samples are already stored under this request."""


class RecordingError(StoreError):
    """A recording that cannot be read, written or found."""


class ModelError(RTKError):
    """The model, its engine or its endpoint."""


class MissingExtra(ModelError, ImportError):
    """An optional package is needed and is not installed; the mend names the extra."""


class WeightsError(ModelError):
    """No weights where they were looked for, or a file that is not what it should be."""


class EngineError(ModelError):
    """The embedded engine did not start or has stopped."""


class EndpointError(ModelError):
    """An endpoint that will not answer however often it is asked: wrong key, no such model, nobody listening.

    Attributes:
        status: the HTTP status that it refuses with; None where it gave none.
    """

    def __init__(self, message: str, *, mend: str | None = None, status: int | None = None) -> None:
        super().__init__(message, mend=mend)
        self.status = status


class UnsupportedParameter(ModelError):
    """A request field that would be dropped on its way to the model; rtk refuses instead."""


class SampleError(ModelError):
    """Samples that were asked for and did not come.

    Attributes:
        arrived: the `rtk.samples.Sample`s that did come; they are in the store.
        kind: one word for the cause, as counted in abstentions and tables (`"timeout"`, `"status_500"`, …).
    """

    def __init__(self, message: str, *, mend: str | None = None, kind: str = "failed", arrived: Any = ()) -> None:
        super().__init__(message, mend=mend)
        self.kind = kind
        self.arrived = list(arrived)


class BudgetError(RTKError):
    """A budget that cannot be kept as written, such as dollars over a model whose price is unknown."""


class StrategyError(RTKError):
    """A strategy used in a way it cannot work."""


class LoopError(StrategyError):
    """A sync call made on rtk's own event loop, which would wait for itself."""


class AnswerError(RTKError):
    """An answer, comparer or vote rule that makes no sense as asked for."""


class TaskError(RTKError):
    """An unknown task, a level out of range, or a row that cannot be read."""


class RetrievalError(RTKError):
    """A source of passages that cannot be read or holds none, or a search that cannot be as asked for."""


class BudgetSpent(BaseException):
    """A budget ran out inside a program that is not ours.

    Attributes:
        limit: the unit that ran out: `"calls"`, `"samples"`, `"tokens"`, `"dollars"` or `"seconds"`.
        budget: the `rtk.Budget` that fired, the innermost where several did.
        arrived: the samples that were admitted before it fired.
    """

    def __init__(self, limit: str, budget: Any = None, arrived: Any = ()) -> None:
        super().__init__(f"the budget of {limit} is spent ({budget!r})")
        self.limit = limit
        self.budget = budget
        self.arrived = list(arrived)


class NotRecorded(BaseException):
    """A replay asked for a sample that its recording does not hold.

    The message names the model, the request, the index, and the nearest recorded request with what differs.

    Attributes:
        mend: what to type next; shown below the message as an exception note.
    """

    def __init__(self, message: str, *, mend: str) -> None:
        super().__init__(message)
        self.mend = mend
        self.add_note(mend)
