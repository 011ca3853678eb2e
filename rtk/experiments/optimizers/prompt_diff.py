"""What an optimizer changed: the prompts of two programs side by side, predictor by predictor, as text and as HTML."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk._html import Markup, element, fragment, lines

CHARACTERS = 400  # of one value; a demonstration may hold a whole document
SIGNS = {"+": "#1a7f37", "-": "#b35900", " ": "rgb(128 128 128 / 40%)"}

Demo = dict[str, str]


@dataclass(frozen=True, repr=False)
class PredictorDiff:
    """The prompt of one predictor, before and after.

    Attributes:
        name: where it is in the program, such as `"chain.predict"`.
        instructions: before and after; None where the program has no such predictor.
        fields: what is said of its fields and changed: what it is, before, after.
        demos: demonstrations, before and after, each the predictor's own fields and nothing else.
    """

    name: str
    instructions: tuple[str | None, str | None]
    fields: list[tuple[str, str, str]]
    demos: tuple[list[Demo], list[Demo]]

    @property
    def changed(self) -> bool:
        """Whether anything in the prompt is another."""
        return self.instructions[0] != self.instructions[1] or bool(self.fields) or self.demos[0] != self.demos[1]

    @property
    def added(self) -> list[Demo]:
        """Demonstrations that were not there before."""
        return [demo for demo in self.demos[1] if demo not in self.demos[0]]

    @property
    def removed(self) -> list[Demo]:
        """Demonstrations that are there no more."""
        return [demo for demo in self.demos[0] if demo not in self.demos[1]]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What changed, a piece each: its sign (`"+"`, `"-"` or `" "`), what it is, and the text."""
        before, after = (text or "" for text in self.instructions)
        if before != after:
            told = (line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] != "?")
            yield from ((line[0], "instructions", line[2:]) for line in told)
        for what, was, now in self.fields:
            yield from (("-", what, was), ("+", what, now))
        for sign, demos in (("-", self.removed), ("+", self.added)):
            yield from ((sign, "demonstration", _told(demo)) for demo in demos)
        if self.demos[0] != self.demos[1] and not self.added and not self.removed:
            yield " ", "demonstrations", "in another order, or another number of times"

    def heading(self) -> str:
        """In one line: its name and how much changed."""
        if not self.changed:
            return f"{self.name}: as before"
        instructions = "other" if self.instructions[0] != self.instructions[1] else "the same"
        return f"{self.name}: {instructions} instructions, demonstrations {len(self.demos[0])} → {len(self.demos[1])}"

    def __repr__(self) -> str:
        return f"PredictorDiff({self.heading()})"


@dataclass(frozen=True, repr=False)
class PromptDiff:
    """All prompts of a program, before and after.

    Attributes:
        predictors: one for each predictor that either program has.
    """

    predictors: list[PredictorDiff]

    @property
    def changed(self) -> bool:
        """Whether any prompt is another."""
        return any(one.changed for one in self.predictors)

    def text(self, characters: int | None = CHARACTERS) -> str:
        """As text: what went with a `-`, what came with a `+`.

        Args:
            characters: the most that is shown of one piece; None for all.
        """
        return "\n".join(line for one in self.predictors for line in _lines_of(one, characters)) or "no predictors"

    def html(self, characters: int | None = CHARACTERS) -> str:
        """As HTML, a part that folds for each predictor; all of it is text, whatever a model wrote.

        Args:
            characters: the most that is shown of one piece; None for all.
        """
        return str(self.markup(characters))

    def markup(self, characters: int | None = CHARACTERS) -> Markup:
        """The same, to be put into a page of ours."""
        parts = (_folded(one, characters) for one in self.predictors)
        return element("div", *parts, class_="rtk-diff tex2jax_ignore mathjax_ignore", style="line-height:1.5")

    def to_frame(self) -> Any:
        """A pandas frame, a row for each piece that changed: predictor, what, sign, text."""
        import pandas as pd

        rows = [(one.name, what, sign, text) for one in self.predictors for sign, what, text in one.rows()]
        return pd.DataFrame(rows, columns=["predictor", "what", "sign", "text"])

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


def prompt_diff(before: dspy.Module, after: dspy.Module) -> PromptDiff:
    """What differs between the prompts of two programs.

    Predictors are paired by their place in the program; of one that only one of the two has, all is shown as removed
    or added. Two programs with the same prompts differ by nothing, whatever their settings.

    Args:
        before: any DSPy module.
        after: another, such as the same one compiled.
    """
    was, now = dict(before.named_predictors()), dict(after.named_predictors())
    return PromptDiff([_predictor(name, was.get(name), now.get(name)) for name in dict.fromkeys([*was, *now])])


def _predictor(name: str, before: Any, after: Any) -> PredictorDiff:
    instructions = tuple(None if one is None else str(one.signature.instructions) for one in (before, after))
    demos = tuple([] if one is None else [_shown(one, demo) for demo in one.demos] for one in (before, after))
    said, says = _said(before), _said(after)
    fields = [(what, said[what], says[what]) for what in said if what in says and said[what] != says[what]]
    return PredictorDiff(name, (instructions[0], instructions[1]), fields, (demos[0], demos[1]))


def _said(predictor: Any) -> dict[str, str]:
    """What a prompt may say of each field besides its name."""
    if predictor is None:
        return {}
    known = {name: field.json_schema_extra or {} for name, field in predictor.signature.fields.items()}
    return {
        f"{what} of {name}": str(extra.get(key) or "")
        for name, extra in known.items()
        for key, what in (("prefix", "prefix"), ("desc", "description"))
    }


def _shown(predictor: Any, demo: Any) -> Demo:
    """A demonstration as a prompt has it: the predictor's own fields, in their order."""
    held = demo if isinstance(demo, Mapping) else demo.toDict()
    return {name: _text(held[name]) for name in predictor.signature.fields if name in held}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _told(demo: Demo) -> str:
    return "\n".join(f"{name}: {text}" for name, text in demo.items())


def _lines_of(one: PredictorDiff, characters: int | None) -> Iterator[str]:
    yield one.heading()
    last = ""
    for sign, what, text in one.rows():
        if what != last:
            yield f"  {what}"
            last = what
        first, *rest = _cut(text, characters).splitlines() or [""]
        yield from (f"    {sign} {first}", *(f"      {line}" for line in rest))


def _cut(text: str, characters: int | None) -> str:
    over = 0 if characters is None else len(text) - characters
    return text if over <= 0 else f"{text[:characters]} … {over:,} more character{'s' * (over > 1)}"


def _folded(one: PredictorDiff, characters: int | None) -> Markup:
    summary = element("summary", one.heading())
    return element("details", summary, *_pieces(list(one.rows()), characters), open=one.changed)


def _pieces(rows: Sequence[tuple[str, str, str]], characters: int | None) -> Iterator[Markup]:
    last = ""
    for sign, what, text in rows:
        if what != last:
            yield element("div", element("small", what), style="margin:.4em 0 0 1.3em")
            last = what
        style = f"margin:.2em 0 .2em 1.3em;padding-left:.7em;border-left:3px solid {SIGNS[sign]}"
        mark = fragment(element("code", "−" if sign == "-" else sign), " ") if sign != " " else None
        yield element("div", mark, lines(text, characters), style=style)
