"""Progress: seen in a terminal and in a notebook, nowhere else; see tests/notebook for the latter."""

import io
from contextlib import redirect_stderr

import pytest
from numbers_asked import EXAMPLES, Knows, right

from rtk.experiments import compare, measure

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


def stopped(example, pred):
    """Somebody presses Ctrl-C at the fourth question."""
    if example.answer == 3:
        raise KeyboardInterrupt
    return True


def test_a_terminal_has_a_bar_that_goes_away(capsys):
    """It counts the questions on stderr, and leaves nothing behind when the run is over."""
    said = seen(lambda: measure(Knows(), EXAMPLES, right))
    assert "of 12 questions" in said
    assert shut(said)
    assert capsys.readouterr().out == ""


def test_a_comparison_has_one_bar():
    """Both programs share it, and it says whose turn it is."""
    said = seen(lambda: compare(Knows(), Knows(), EXAMPLES, right))
    assert "after" in said  # the last state is always drawn
    assert shut(said)


def test_an_interrupt_closes_the_bar():
    """Ctrl-C gets through, and the terminal is left as it was."""

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            measure(Knows(), EXAMPLES, stopped)

    assert shut(seen(interrupted))


def test_where_nobody_looks_nothing_is_shown(capfd):
    """Without a terminal and outside a notebook, a run says nothing, also on stderr."""
    measure(Knows(), EXAMPLES, right)
    compare(Knows(), Knows(), EXAMPLES, right)
    assert capfd.readouterr() == ("", "")


def test_none_is_silence():
    """None shows nothing in a terminal either."""
    assert seen(lambda: measure(Knows(), EXAMPLES, right, progress=None)) == ""


def test_a_function_takes_the_place_of_the_bar():
    """It is called after each example, and nothing is shown."""
    ticks = []
    assert seen(lambda: measure(Knows(), EXAMPLES, right, progress=lambda: ticks.append(1))) == ""
    assert len(ticks) == 12


def test_a_run_without_questions_ends_at_once():
    """No example, no division by it."""
    assert shut(seen(lambda: measure(Knows(), [], right)))
