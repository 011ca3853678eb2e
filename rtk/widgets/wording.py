"""What a playground says: one line on what a setting needs, how far a run is, and how it ended."""

from __future__ import annotations

from typing import Any

from rtk._html import Markup, element
from rtk.budget import Spent
from rtk.store import current_recording
from rtk.strategies import Peek, Prediction
from rtk.widgets.trial import Trial, ending
from rtk.widgets.vote_view import vote_of

_TIGHT = "line-height:1.4"  # ipywidgets gives each line the height of a button


def need(seen: Peek | None) -> Markup:
    """Before a run: what it needs and what is there."""
    if seen is None or not (seen.wanted or seen.exact):
        return _line("This program says how many samples it needs only by running.")
    where, replays = _where()
    if seen.whole:
        return _line(_answered_at_once(seen, where))
    says = f"Needs {_wanted(seen)}: {seen.there} {where}"
    if replays:
        return _line(f"{says}, and a replay draws none.")
    missing = [str(seen.wanted - seen.there)] if seen.wanted > seen.there else []
    beyond = [] if seen.exact else ["what follows from them"]
    return _line(f"{says}, Run draws {' and '.join([*missing, *beyond])}.")


def _answered_at_once(seen: Peek, where: str) -> str:
    unit = ending(seen.prediction)
    if not seen.wanted:
        return (
            f"The budget of {unit} admits no sample: the most one may cost does not fit."
            if unit
            else "Needs no sample."
        )
    return f"{_all(seen.wanted)} {where}: answered without drawing.{f' {_out_of(unit)}' if unit else ''}"


def unasked() -> Markup:
    """Where there is no question yet."""
    return _line("Type a question.")


def under_way(trial: Trial, seen: Peek | None) -> Markup:
    """During a run."""
    lost = f", {trial.failed} did not come" if trial.failed else ""
    there = max(trial.drawn, seen.there if seen is not None else 0)  # of an LM that stores nothing, none is there
    if seen is None or seen.wanted < there or not seen.wanted:
        return _line(f"Drawing: {_samples(there)} {'is' if there == 1 else 'are'} here{lost}.")
    return _line(f"Drawing: {there} of {_wanted(seen)} {'is' if seen.wanted == 1 else 'are'} here{lost}.")


def ended(trial: Trial, kept: bool) -> Markup:
    """After a run; whether what was drawn is kept."""
    spent = trial.prediction.spent if isinstance(trial.prediction, Prediction) else None
    cost = f" {spent}." if isinstance(spent, Spent) else f" {_samples(trial.drawn)} drawn." if trial.drawn else ""
    if trial.stopped == "closed":
        verb = "is" if trial.drawn == 1 else "are"
        drawn = f"drawn in this run {verb} kept" if kept else "drawn in this run, which nothing keeps"
        return _line(f"Stopped; {_samples(trial.drawn)} {drawn}.{cost if isinstance(spent, Spent) else ''}")
    if trial.stopped:
        return _line(f"{_out_of(trial.stopped, trial.prediction is not None)}{cost}")
    return _line(f"{'Done' if trial.drawn else 'Nothing had to be drawn'}.{cost}")


def so_far(seen: Peek | None) -> str:
    """The headline over votes that are not complete."""
    vote = vote_of(seen.prediction) if seen is not None else None
    if seen is None or vote is None:
        return ""
    return f"so far, with {seen.there} of {_wanted(seen)}: {vote.winner}"


def answered(answer: str, right: tuple[bool, str] | None, abstentions: Any = None) -> str:
    """The headline over an answer; where there is none, why."""
    if not answer:
        return _unanswered(abstentions if isinstance(abstentions, dict) else {})
    said = f"Answer: {answer}"
    if right is None:
        return said
    return f"{said} (right)" if right[0] else f"{said} (wrong: it is {right[1]})"


def _unanswered(abstentions: dict[str, int]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in abstentions.items())
    if "malformed" not in abstentions:
        return f"No answer{f': {kinds}' if kinds else ''}"
    mend = "worked examples in the prompt (task=), the strategy “direct”, or a larger model may help"
    return f"No answer: no completion could be read ({kinds}); {mend}"


def failure(error: BaseException) -> Markup:
    """What went wrong, and what mends it."""
    notes = [element("div", note) for note in getattr(error, "__notes__", ())]
    name = element("strong", f"{type(error).__name__}: ")
    return element("div", name, str(error), *notes, role="alert", style=_TIGHT)


def _line(text: str) -> Markup:
    return element("div", text, role="status", style=_TIGHT)


def _where() -> tuple[str, bool]:
    recording: Any = current_recording()
    return ("recorded", True) if recording is not None and recording.replays else ("stored", False)


def _wanted(seen: Peek) -> str:
    return f"{'' if seen.exact else 'at least '}{_samples(seen.wanted)}"


def _out_of(unit: str, answered: bool = True) -> str:
    return f"The budget of {unit} is spent{': the best so far' if answered else ' before there was an answer'}."


def _samples(count: int) -> str:
    return f"{count} sample" if count == 1 else f"{count} samples"


def _all(count: int) -> str:
    return {1: "The one sample is", 2: "Both samples are"}.get(count, f"All {count} samples are")
