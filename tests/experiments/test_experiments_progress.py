"""Progress: seen in a terminal and in a notebook, nowhere else; see tests/notebook for the latter."""

import io
from contextlib import redirect_stderr

import pytest
from numbers_asked import EXAMPLES, Knows, right

from rtk.errors import TaskError
from rtk.experiments import sweep

HIDE, SHOW, CLEAR = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


class Terminal(io.StringIO):
    """What a terminal is sent."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Nothing in the environment says what the terminal can do."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def seen(run):
    """What a terminal at stderr is sent while something runs; how it ends is for the caller."""
    with redirect_stderr(Terminal()) as terminal:  # in the test itself: pytest puts its own back before each test
        run()
    return terminal.getvalue()


def shut(said):
    """Whether a bar was shown once, its line was cleared, and the cursor is there again."""
    return said.count(HIDE) == said.count(SHOW) == 1 and said.rstrip().endswith(CLEAR)


def knows(*numbers, metric=right, **options):
    """A sweep over the twelve questions."""
    return sweep(Knows(*numbers), EXAMPLES, metric=metric, **options)


def test_a_terminal_has_a_bar_that_goes_away(capsys):
    """It counts the answers on stderr, and leaves nothing behind when the run is over."""
    said = seen(knows)
    assert "of 12 answers" in said
    assert shut(said)
    assert capsys.readouterr().out == ""


def test_a_comparison_has_one_bar():
    """All programs and settings share it."""
    said = seen(lambda: sweep({"before": Knows(), "after": Knows(1)}, EXAMPLES, metric=right))
    assert "24 of 24 answers" in said  # the last state is always drawn
    assert shut(said)


def test_an_interrupt_closes_the_bar():
    """After Ctrl-C the terminal is left as it was, and the rows that were there are the results."""

    def stopped(example, pred):
        if example.answer == 3:
            raise KeyboardInterrupt
        return True

    found = []
    assert shut(seen(lambda: found.append(knows(metric=stopped, concurrency=1))))
    assert (found[0].stopped, len(found[0].rows())) == ("interrupted", 3)


def test_what_ends_a_run_closes_the_bar():
    """An error gets through, and the terminal is left as it was."""

    def ended():
        with pytest.raises(TaskError):
            knows(metric=lambda example, pred: "yes")

    assert shut(seen(ended))


def test_where_nobody_looks_nothing_is_shown(capfd):
    """Without a terminal and outside a notebook, a run says nothing, also on stderr."""
    knows()
    assert capfd.readouterr() == ("", "")


def test_none_is_silence():
    """None shows nothing in a terminal either."""
    assert seen(lambda: knows(progress=None)) == ""


def test_a_function_takes_the_place_of_the_bar():
    """It is called after each answer, and nothing is shown."""
    ticks = []
    assert seen(lambda: knows(progress=lambda: ticks.append(1))) == ""
    assert len(ticks) == 12
