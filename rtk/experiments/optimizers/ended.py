"""The end of an optimizer that no run can get past."""

from __future__ import annotations


class Ended(BaseException):
    """What no run can get past, on its way out of an optimizer, which would swallow the error itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
