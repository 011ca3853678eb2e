"""The controls of a playground: ipywidgets, where they stand, and which of them have an effect just now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
import ipywidgets as w
from dspy.signatures.signature import infer_prefix

from rtk.experiments import SHOTS
from rtk.widgets.offers import TURNED, Dial, Offer

OWN = "a question of your own"
_WIDE = {"description_width": "7.5em"}
LABELS = {"samples": "Samples", "branching": "Proposals", "breadth": "Breadth", "depth": "Depth", "shots": "Examples"}
_HINTS = {
    "samples": "how many chains vote",
    "branching": "thoughts proposed for each partial solution",
    "breadth": "partial solutions that go on",
    "depth": "thoughts of a whole solution",
    "shots": "worked examples in the prompt",
}
_RANGES = {"samples": (1, 32, 8), "branching": (1, 8, 4), "breadth": (1, 6, 2), "depth": (1, 8, 3)}


class Controls:
    """All of them. Each is a plain widget, so a script can turn it: `controls.numbers["samples"].value = 4`.

    Args:
        offers: what can be run.
        signature: its input fields are what is asked.
        examples: questions to pick from.
        models: their names.
        temperature: where its slider begins.
        shots: the most worked examples there are.
    """

    def __init__(
        self,
        offers: dict[str, Offer],
        signature: Any,
        examples: Sequence[dspy.Example],
        models: Sequence[str],
        temperature: float,
        shots: int,
    ) -> None:
        self._offers, self._examples = offers, list(examples)
        first = next((offer for offer in offers.values() if offer.name not in TURNED), offers["self-consistency"])
        labels = [(_label(example), i) for i, example in enumerate(self._examples)]
        self.question = _dropdown("Pick", [*labels, (OWN, -1)], 0 if labels else -1)
        self.inputs = {name: _text(infer_prefix(name).rstrip(":"), "", 2) for name in signature.input_fields}
        self.model = _dropdown("Model", [(name, i) for i, name in enumerate(models)], 0)
        self.strategy = _dropdown("Strategy", list(offers), first.name)
        self.numbers = {name: _slider(name, *limits) for name, limits in _RANGES.items()}
        self.numbers["shots"] = _slider("shots", 0, max(shots, 0), min(SHOTS, shots))
        self.temperature = w.FloatSlider(
            temperature, min=0, max=max(2, temperature), step=0.05, description="Temperature",
            continuous_update=False, style=_WIDE, layout=_half(), tooltip="0 gives one and the same sample",
        )  # fmt: skip
        self.tokens = w.BoundedIntText(
            0, min=0, max=10**9, step=100, description="Token budget", style=_WIDE, layout=_half(),
            tooltip="tokens read and written; 0 for no limit",
        )  # fmt: skip
        self.prompt = _dropdown("Prompt of", list(first.prompts), next(iter(first.prompts), None))
        self.instructions = _text("Instructions", "", 3)
        self.run = w.Button(description="Run", button_style="primary", icon="play", tooltip="draw what is missing")
        self.stop = w.Button(description="Stop", icon="stop", disabled=True, tooltip="keep what came, ask no more")
        self.message = w.HTML(layout=w.Layout(flex="1 1 24em", margin="0 0 0 0.7em"))
        self._prompts: dict[str, dict[str, str]] = {offer.name: dict(offer.prompts) for offer in offers.values()}
        self._changed: Callable[[], None] = lambda: None
        self._quiet = False
        self._pick()
        self._offer()
        self._observe()

    # --- where they stand ---

    @property
    def dial(self) -> Dial:
        """Where all of them stand."""
        return Dial(
            strategy=self.strategy.value,
            inputs={name: control.value for name, control in self.inputs.items()},
            prompts=dict(self._prompts[self.strategy.value]),
            numbers={name: control.value for name, control in self.numbers.items()},
            temperature=round(self.temperature.value, 4),
            tokens=self.tokens.value,
            model=self.model.value,
        )

    def example(self, asked: Mapping[str, str]) -> dspy.Example | None:
        """The example whose question is asked by these inputs, where it is one."""
        return next((one for one in self._examples if _inputs(one) == asked), None)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call this whenever one of them was turned."""
        self._changed = changed

    def busy(self, running: bool) -> None:
        """While a program runs, it can be stopped and not run again."""
        self.run.disabled, self.stop.disabled = running, not running

    @property
    def box(self) -> w.Widget:
        """All of them, laid out."""
        turned = [self.strategy, *self.numbers.values(), self.temperature, self.tokens]
        wrap = w.Layout(flex_flow="row wrap", align_items="center")
        return w.VBox(
            [
                w.HBox([self.question, self.model], layout=wrap),
                *self.inputs.values(),
                w.HBox(turned, layout=wrap),
                self.prompt,
                self.instructions,
                w.HBox([self.run, self.stop, self.message], layout=wrap),
            ]
        )

    # --- how they hang together ---

    def _observe(self) -> None:
        self.question.observe(lambda _: self._together(self._pick), "value")
        self.strategy.observe(lambda _: self._together(self._offer), "value")
        self.prompt.observe(lambda _: self._together(self._read_prompt), "value")
        self.instructions.observe(lambda _: self._together(self._write_prompt), "value")
        for control in self.inputs.values():
            control.observe(lambda _: self._together(self._typed), "value")
        for control in (*self.numbers.values(), self.temperature, self.tokens, self.model):
            control.observe(lambda _: self._together(lambda: None), "value")

    def _together(self, adjust: Callable[[], None]) -> None:
        """One turn of a control is one change, whatever other controls follow from it."""
        if self._quiet:
            return
        self._quiet = True
        try:
            adjust()
        finally:
            self._quiet = False
        self._changed()

    def _pick(self) -> None:
        """A question was picked: it is what is asked."""
        if self.question.value >= 0:
            for name, text in _inputs(self._examples[self.question.value]).items():
                self.inputs[name].value = text

    def _typed(self) -> None:
        """A question was typed: the list says whose it is."""
        example = self.example(self.dial.inputs)
        self.question.value = self._examples.index(example) if example is not None else -1

    def _offer(self) -> None:
        """Another program was chosen: its prompts, its numbers, and only the controls that turn it."""
        offer = self._offers[self.strategy.value]
        for name, control in self.numbers.items():
            control.layout.display = None if name in offer.turned else "none"
        for name, number in offer.numbers.items():
            control = self.numbers[name]
            control.min, control.max = min(control.min, number), max(control.max, number)
            control.value = number
        if offer.temperature is not None:
            self.temperature.max = max(self.temperature.max, offer.temperature)
            self.temperature.value = offer.temperature
        self.prompt.options = list(offer.prompts)
        self.prompt.value = next(iter(offer.prompts), None)
        self.prompt.layout.display = None if len(offer.prompts) > 1 else "none"
        self.instructions.layout.display = None if offer.prompts else "none"
        self._read_prompt()

    def _read_prompt(self) -> None:
        self.instructions.value = self._prompts[self.strategy.value].get(self.prompt.value, "")

    def _write_prompt(self) -> None:
        """Instructions were edited; those of the usual programs are one and the same text."""
        mine = self._prompts[self.strategy.value]
        for prompts in self._prompts.values() if mine else ():
            if prompts.keys() == mine.keys():
                prompts[self.prompt.value] = self.instructions.value


def _inputs(example: dspy.Example) -> dict[str, str]:
    return {name: str(value) for name, value in example.inputs().toDict().items()}


def _label(example: dspy.Example) -> str:
    text = " ".join(" · ".join(_inputs(example).values()).split())
    return text if len(text) <= 70 else f"{text[:69]}…"


def _half() -> w.Layout:
    return w.Layout(width="22em")


def _dropdown(label: str, options: list[Any], value: Any) -> Any:
    layout = w.Layout(width="auto", max_width="100%", min_width="22em")
    made = w.Dropdown(options=options, value=value, description=label, style=_WIDE, layout=layout)
    made.layout.display = None if options else "none"
    return made


def _slider(name: str, least: int, most: int, value: int) -> w.IntSlider:
    return w.IntSlider(
        value, min=least, max=max(most, value), description=LABELS[name], tooltip=_HINTS[name],
        continuous_update=False, style=_WIDE, layout=_half(),
    )  # fmt: skip


def _text(label: str, value: str, rows: int) -> w.Textarea:
    return w.Textarea(
        value, description=label, rows=rows, continuous_update=False, style=_WIDE, layout=w.Layout(width="auto"),
    )  # fmt: skip
