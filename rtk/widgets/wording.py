"""What a playground says: one line on what a setting needs, how far a run is, and how it ended."""

from __future__ import annotations

from typing import Any

from rtk._html import Markup, element
from rtk.errors import BudgetSpent
from rtk.store import current_recording
from rtk.strategies import Peek
from rtk.widgets.trial import Trial


def need(seen: Peek | None) -> Markup:
    """Before a run: what it needs and what is there."""
    if seen is None:
        return _line("This program says how many samples it needs only by running.")
    where, replays = _where()
    if seen.whole:
        return _line(f"{_all(seen.wanted)} {where}: answered without drawing.")
    least = "" if seen.exact else "at least "
    says = f"Needs {least}{_samples(seen.wanted)}: {seen.there} {where}"
    if replays:
        return _line(f"{says}, and a replay draws none.")
    return _line(f"{says}, Run draws {seen.wanted - seen.there}{'' if seen.exact else ' and what follows from them'}.")


def unasked() -> Markup:
    """Where there is no question yet."""
    return _line("Type a question.")


def under_way(trial: Trial, seen: Peek | None) -> Markup:
    """During a run."""
    least = "" if seen is None or seen.exact else "at least "
    whole = f" of {least}{seen.wanted}" if seen is not None else ""
    there = seen.there if seen is not None else trial.drawn
    lost = f", {trial.failed} did not come" if trial.failed else ""
    return _line(f"Drawing: {there}{whole} samples are here{lost}.")


def ended(trial: Trial) -> Markup:
    """After a run."""
    spent = getattr(trial.prediction, "spent", None)
    cost = f" {spent}." if spent is not None else ""
    limit = trial.error.limit if isinstance(trial.error, BudgetSpent) else getattr(trial.prediction, "stopped", None)
    if limit == "closed":
        kept = "is" if trial.drawn == 1 else "are"
        return _line(f"Stopped; {_samples(trial.drawn)} drawn in this run {kept} kept.{cost}")
    if limit:
        return _line(f"The budget of {limit} is spent: the best so far.{cost}")
    return _line(f"{'Done' if trial.drawn else 'Nothing had to be drawn'}.{cost}")


def so_far(seen: Peek | None) -> str:
    """The headline over votes that are not complete."""
    vote = seen.prediction.vote if seen is not None else None
    if seen is None or vote is None:
        return ""
    return f"so far, with {seen.there} of {_samples(seen.wanted)}: {vote.winner}"


def answered(answer: str, right: tuple[bool, str] | None) -> str:
    """The headline over an answer."""
    said = f"Answer: {answer}" if answer else "No answer"
    if right is None:
        return said
    return f"{said} (right)" if right[0] else f"{said} (wrong: it is {right[1]})"


def failure(error: BaseException) -> Markup:
    """What went wrong, and what mends it."""
    notes = [element("div", note) for note in getattr(error, "__notes__", ())]
    return element("div", element("strong", f"{type(error).__name__}: "), str(error), *notes, role="alert")


def _line(text: str) -> Markup:
    return element("span", text, role="status")


def _where() -> tuple[str, bool]:
    recording: Any = current_recording()
    return ("recorded", True) if recording is not None and recording.replays else ("stored", False)


def _samples(count: int) -> str:
    return f"{count} sample" if count == 1 else f"{count} samples"


def _all(count: int) -> str:
    return {1: "The one sample is", 2: "Both samples are"}.get(count, f"All {count} samples are")
