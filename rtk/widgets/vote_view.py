"""Votes as bars that fill in while samples arrive. The other half: widgets/vote_view.js."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import anywidget
import dspy
import traitlets

from rtk.answers import Vote, answer_fields
from rtk.shipped import shipped
from rtk.statistics import Estimate
from rtk.strategies import Prediction

Status = Literal["idle", "running", "done", "stopped", "failed"]
MOST = 12  # answers shown; the others are counted


class VoteView(anywidget.AnyWidget):
    """A view of a vote. What it shows is plain text in `state`; the browser sets it as text.

    >>> view = VoteView()  # doctest: +SKIP
    >>> view.show(pred)  # doctest: +SKIP

    Attributes:
        state: `{"status", "headline", "votes": [{"answer", "count", "share", "chosen"}], "foot"}`.
        twin: names the static copy that is hidden while the view is alive; empty where there is none.
    """

    _esm = shipped("widgets/vote_view.js")
    _css = shipped("widgets/vote_view.css")
    state = traitlets.Dict({"status": "idle"}).tag(sync=True)
    twin = traitlets.Unicode("").tag(sync=True)

    def show(self, prediction: Prediction | None, status: Status = "done", headline: str | None = None) -> None:
        """Show a prediction's vote.

        Args:
            prediction: None where there is nothing yet.
            status: of the run it comes from.
            headline: the line above the bars; by default the answer.
        """
        vote = vote_of(prediction)
        said = headline if headline is not None else answer_of(prediction)
        self.state = {"status": status, "headline": said, "votes": _bars(vote), "foot": _foot(vote, prediction)}


def vote_of(prediction: Any) -> Vote | None:
    """The vote behind a prediction; a field that is called `vote` is none."""
    found = prediction.vote if isinstance(prediction, Prediction) else None
    return found if isinstance(found, Vote) else None


def answer_of(prediction: Any) -> str:
    """What was voted for, else the output that is no reasoning, the last of several; empty where there is none."""
    if (vote := vote_of(prediction)) is not None and vote.winner is not None:
        return str(vote.winner)
    if not isinstance(prediction, dspy.Prediction | Mapping):
        return "" if prediction is None else str(prediction)
    fields = dict(prediction.items())
    value = fields[answer_fields(fields)[-1]] if fields else None
    return "" if value is None else str(value)


def _bars(vote: Vote | None) -> list[dict[str, Any]]:
    if vote is None:
        return []
    return [
        {
            "answer": str(cluster.answer),
            "count": f"{len(cluster.members)} of {vote.votes} · {cluster.share:.0%}",
            "share": cluster.share,
            "chosen": cluster.members == vote.voters,
        }
        for cluster in vote.clusters[:MOST]
    ]


def _foot(vote: Vote | None, prediction: Any) -> str:
    if vote is None:
        return ""
    parts = [f"margin {vote.margin:.2f}"] if len(vote.clusters) > 1 else []
    sure, kinds = prediction.confidence, prediction.abstentions  # or fields that are called so
    parts += [f"confidence {sure}"] if isinstance(sure, Estimate) else []
    parts += [f"{count} {kind}" for kind, count in kinds.items()] if isinstance(kinds, dict) else []
    beyond = len(vote.clusters) - MOST
    return " · ".join([*([f"{beyond} other answers"] if beyond > 0 else []), *parts])
