"""The static copy of a playground: what its controls said and what came of it, for a reader without a kernel."""

from __future__ import annotations

from typing import Any

from rtk._html import Markup, element
from rtk.strategies import Prediction
from rtk.widgets.controls import LABELS
from rtk.widgets.offers import Dial, Offer
from rtk.widgets.wording import failure


def page(dial: Dial, offer: Offer, model: str, prediction: Any) -> Markup:
    """One table of settings, then the evidence.

    Args:
        dial: where the controls stand.
        offer: the program they turn.
        model: its name.
        prediction: the answer with its evidence; an error where there is one instead; None where there is neither.
    """
    rows = [*dial.inputs.items(), ("model", model), ("strategy", dial.strategy)]
    rows += [(LABELS[name].lower(), str(number)) for name, number in dial.numbers.items() if name in offer.turned]
    rows += [("temperature", f"{dial.temperature:g}"), ("token budget", str(dial.tokens or "none"))]
    rows += [(_prompt(name, offer), text) for name, text in dial.prompts.items()]
    table = element("table", element("tbody", *(_row(*row) for row in rows)))
    return element("div", table, _evidence(prediction))


def _evidence(prediction: Any) -> Markup:
    if prediction is None:
        return element("p", "Not run yet.")
    if isinstance(prediction, BaseException):
        return failure(prediction)
    return Markup(prediction._repr_html_()) if isinstance(prediction, Prediction) else element("pre", prediction)


def _row(name: str, value: str) -> Markup:
    left = "text-align:left"
    return element("tr", element("th", name, scope="row", style=left), element("td", value, style=left))


def _prompt(name: str, offer: Offer) -> str:
    return "instructions" if len(offer.prompts) == 1 else f"instructions of {name}"
