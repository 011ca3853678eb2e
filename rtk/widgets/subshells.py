"""Callbacks of controls while a cell runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets as w


def freed(widget: w.Widget) -> w.Widget:
    """The same widget, whose callbacks do not wait for the cell that made it or for any other.

    JupyterLab sends what is done in the page to a thread for widgets. From 7.4 on, ipykernel hands it to the thread
    that last spoke for the widget instead, which is that of the cells. Nothing public says otherwise; earlier releases
    had no such detour, and without this method of a comm it is not made.
    """
    for one in _within(widget):
        comm: Any = one.comm
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = None
    return widget


def _within(widget: w.Widget) -> Iterator[w.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _within(child)
