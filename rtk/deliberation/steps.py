"""What happened on the way to an answer, as a tree of plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rtk.deliberation.drawing import drawn
from rtk.deliberation.page import page
from rtk.errors import RTKError

Kind = Literal["step", "chain", "vote", "thought", "check", "revision", "route", "ask"]
State = Literal["open", "kept", "pruned", "dead end", "backtracked", "chosen"]
KINDS, STATES = get_args(Kind), get_args(State)
DEEPEST = 200  # steps within steps
SCHEMA = 1


@dataclass(repr=False)
class Step:
    """One thing that happened.

    Attributes:
        kind: `"step"`, `"chain"`, `"vote"`, `"thought"`, `"check"`, `"revision"`, `"route"` or `"ask"`.
        text: what was thought, found or decided.
        score: how promising it was judged; None where nobody judged.
        state: `"open"`, `"kept"`, `"pruned"`, `"dead end"`, `"backtracked"` or `"chosen"`.
        label: a few words that stand before the text, such as a chain's answer.
        tokens: completion tokens it took, without its children's.
        address: of the sample it came from; None for what no model said.
        reason: why it has its state or score.
        children: the steps within it, in order.

    Raises:
        RTKError: an unknown kind or state.
    """

    kind: Kind
    text: str = ""
    score: float | None = None
    state: State = "open"
    label: str = ""
    tokens: int = 0
    address: str | None = None
    reason: str = ""
    children: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check_known("kind", self.kind, KINDS)
        _check_known("state", self.state, STATES)

    def __repr__(self) -> str:
        said = self.label or self.text
        said = said if len(said) <= 40 else said[:39] + "…"
        children = f", {len(self.children)} children" if self.children else ""
        return f"Step({self.kind!r}, {said!r}, state={self.state!r}{children})"


@dataclass(repr=False)
class Deliberation:
    """A tree of steps, printed as one with `print(prediction.deliberation)`, and shown as one in a notebook.

    Attributes:
        root: the step that holds all others.
    """

    root: Step

    @property
    def chosen(self) -> tuple[Step, ...]:
        """The steps that led to the answer, from the root down; empty where none was chosen.

        Raises:
            RTKError: steps nested more than 200 deep, or within themselves.
        """
        path: list[Step] = []
        waiting = [(0, self.root)]
        while waiting:
            depth, step = waiting.pop()
            if depth > DEEPEST:
                raise _too_deep()
            path += [step] if step.state == "chosen" else []
            waiting += [(depth + 1, child) for child in reversed(step.children) if child.state == "chosen"]
        return tuple(path)

    def walk(self) -> Iterator[tuple[int, Step]]:
        """Every step with its depth, a parent before its children; the root's depth is 0.

        Raises:
            RTKError: steps nested more than 200 deep, or within themselves.
        """
        waiting = [(0, self.root)]
        while waiting:
            depth, step = waiting.pop()
            if depth > DEEPEST:
                raise _too_deep()
            yield depth, step
            waiting += [(depth + 1, child) for child in reversed(step.children)]

    def text(self, width: int = 100, lines: int = 60) -> str:
        """The tree for a terminal, at most `width` columns wide and `lines` long.

        Above a tree of more than twelve rows stands why the answer was given: each step that led to it with its score,
        how that compares, and what became of its siblings; then what became of all others, with the most frequent
        reasons. It takes at most half of the lines.

        `✓` chosen, `✗` pruned or a dead end, `↩` backtracked, `•` kept, `·` open; scores and completion tokens at
        the right; `×3` for siblings that say the same. Siblings keep their order. What does not fit is counted, by
        what became of it: `[+12]` for all within a step. The chosen path is shown first, then what stood beside it,
        and what was given up last. Nothing a model wrote can move the cursor or colour the terminal. At least 48
        columns and three lines are used.

        Raises:
            RTKError: steps nested more than 200 deep, or within themselves.
        """
        for _ in self.walk():  # a step within itself would be drawn forever
            pass
        return drawn(self.root, width, lines)

    def html(self, steps: int | None = 200, characters: int | None = 1000) -> str:
        """The tree for a notebook or a page: nested lists that fold, without a script or a stylesheet.

        Above a tree of more than twelve rows stands why the answer was given; see `text`. What became of a step is
        told by a sign and by a word. The path that was chosen is open, the rest folded; more than three siblings that
        were given up are folded together, behind the others; so is text longer than a line. What a model wrote is
        escaped. It reads on a code host and in an exported or untrusted notebook, too.

        Args:
            steps: the most that are shown; the chosen path and what is near the root come first, and always the
                former. What is left out is counted. None for all.
            characters: the most of one text that is shown, the rest being counted; None for all.

        Raises:
            RTKError: steps nested more than 200 deep, or within themselves.
        """
        for _ in self.walk():  # a step within itself would be drawn forever
            pass
        return page(self.root, steps, characters)

    def _repr_html_(self) -> str:
        return self.html()

    def to_dict(self) -> dict[str, Any]:
        """The tree as JSON values; what has its default is left out.

        Raises:
            RTKError: steps nested more than 200 deep, or within themselves.
        """
        return {"schema": SCHEMA, "root": _written(self.root, 0)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Deliberation:
        """The tree that `to_dict` wrote.

        Raises:
            RTKError: another schema, an unknown or missing field, a value of another type, nested too deep.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or set(data) != {"schema", "root"}:
            raise RTKError(f"this is no deliberation of schema {SCHEMA}", mend="pass what Deliberation.to_dict() gave")
        return cls(_read(data["root"], 0))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        depths = [depth for depth, _ in self.walk()]
        return f"<Deliberation: {self.root.kind}, {len(depths)} steps, {max(depths)} deep>"


def _check_known(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RTKError(f"{name}={value!r} is unknown to a step", mend=f"one of {', '.join(known)}")


def _too_deep() -> RTKError:
    return RTKError(f"steps are nested more than {DEEPEST} deep", mend="no step may hold itself; flatten long chains")


def _written(step: Step, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        raise _too_deep()
    written: dict[str, Any] = {"kind": step.kind, "state": step.state}
    if text := str(step.text):
        written["text"] = text
    if step.score is not None and math.isfinite(step.score):  # JSON has no NaN
        written["score"] = float(step.score)
    if label := str(step.label):
        written["label"] = label
    if tokens := int(step.tokens):
        written["tokens"] = tokens
    if step.address is not None:
        written["address"] = str(step.address)
    if reason := str(step.reason):
        written["reason"] = reason
    if step.children:
        written["children"] = [_written(child, depth + 1) for child in step.children]
    return written


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "state": (str,),
    "text": (str,),
    "score": (int, float, type(None)),
    "label": (str,),
    "tokens": (int,),
    "address": (str, type(None)),
    "reason": (str,),
    "children": (list,),
}


def _read(data: Any, depth: int) -> Step:
    if depth > DEEPEST:
        raise _too_deep()
    if not isinstance(data, Mapping) or "kind" not in data:
        raise RTKError(f"{data!r:.80} is no step", mend='a mapping with at least "kind"')
    for name, value in data.items():
        if name not in _TYPES:
            raise RTKError(f"a step has no field {name!r:.80}", mend=f"one of {', '.join(_TYPES)}")
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            wanted = " or ".join(one.__name__ for one in _TYPES[name])
            raise RTKError(f"a step's {name} is {value!r:.80}", mend=f"it must be {wanted}")
    children = [_read(child, depth + 1) for child in data.get("children", ())]
    return Step(**{**data, "children": children})
