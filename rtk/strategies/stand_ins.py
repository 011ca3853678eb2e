"""Stand-ins for what is not drawn: made-up candidates of the right fields and types, alike or not, good or bad.

A *world* says what they are like. What a model writes in one may decide what a strategy asks next, so one world is no
forecast; a handful of opposite ones give the least and the most. Nothing here is a guess at an answer.
"""

from __future__ import annotations

import enum
import re
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import dspy
import pydantic

from rtk.answers import Check

Alike = Literal["not", "most", "last", "rival", "any"]
Grade = Literal["good", "bad", "mixed", "top", "worst", "any"]
Lost = Literal["", "malformed", "length"]

_MARK = re.compile(r"7310\d{4}")
_ITEMS = 12
"""Items of a list that a model writes, where the stand-ins are not alike; one where they are."""


_CHANCES = 10
"""Worlds between the opposite ones, where some agree."""
_DEEPEST = 8
"""Of how many steps on a judgement may turn bad; a search that goes deeper is rehearsed no further."""


@dataclass(frozen=True)
class World:
    """What the stand-ins of a rehearsal are like.

    Attributes:
        alike: whether those of one request say the same: what `most` stored ones say, what the `last` one does, what
            makes up for a lead (`rival`), each something of its own (`not`), or now this, now that (`any`).
        grade: what they judge, and what is judged of them.
        turn: the number of stand-ins in a prompt from which on the judgement is bad; 0 for never.
        lost: the kind of abstention that all of them are; empty for none.
        number: of a world where they now agree and now do not, from 1 on; the same number is the same world.
        cost: what each costs: as expected, as little or as much as it can.
    """

    alike: Alike = "not"
    grade: Grade = "good"
    turn: int = 0
    lost: Lost = ""
    number: int = 0
    cost: Literal["expected", "least", "most"] = "expected"

    @property
    def apart(self) -> bool:
        """Whether something new is something else."""
        return self.alike not in ("most", "last")


class Verdict(Check):
    """A made-up verdict: a check, and a number where it is used as one."""

    @property
    def _number(self) -> float:
        return float(self.score or 0.0)

    def __float__(self) -> float:
        return self._number

    def __lt__(self, other: Any) -> bool:
        return self._number < float(other)

    def __le__(self, other: Any) -> bool:
        return self._number <= float(other)

    def __gt__(self, other: Any) -> bool:
        return self._number > float(other)

    def __ge__(self, other: Any) -> bool:
        return self._number >= float(other)

    def __add__(self, other: Any) -> float:
        return self._number + float(other)

    def __mul__(self, other: Any) -> float:
        return self._number * float(other)

    __radd__, __rmul__ = __add__, __mul__


class MadeInt(int):
    """A made-up number, told from a real one."""


class MadeFloat(float):
    """A made-up number, told from a real one."""


class StandIns:
    """The stand-ins of one rehearsal.

    Attributes:
        world: what they are like.
        made: whether any was made.
        graded: whether any of them judges, or was judged.
        scaled: whether any did so with a number.
        copied: whether any could be like one that is stored.
        deepest: the most stand-ins in one prompt.
        endless: whether a list was made up, whose length is any model's own.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.made = self.graded = self.scaled = self.copied = self.endless = False
        self.deepest = 0
        self._count = 0
        self._chance = Random(world.number)
        self._said: dict[str, list[dict[str, Any]]] = {}
        self._numbers: dict[str, int] = {}
        self._tokens: dict[str, float] = {}

    # --- candidates ---

    def stored(self, request: str, values: Mapping[str, Any]) -> None:
        """Note what a stored candidate of a request says."""
        self._said.setdefault(request, []).append(dict(values))

    def fields(self, request: str, outputs: Mapping[str, Any], prompt: str, tokens: float) -> dict[str, Any]:
        """The fields of a made-up candidate.

        Args:
            request: the key of its request.
            outputs: pydantic's fields, by name.
            prompt: what it would have been asked.
            tokens: of a whole completion.
        """
        self.made, self._count = True, self._count + 1
        depth = len(marks(prompt))
        self.deepest = max(self.deepest, depth)
        like = self._like(request)
        found = dict(like) if like is not None else {
            name: self.value(name, field.annotation, self.grade(depth)) for name, field in outputs.items()
        }  # fmt: skip
        for mark in marks(found):
            self._tokens.setdefault(mark, tokens / max(1, len(outputs)))
        if self.world.alike in ("rival", "any"):
            self._said.setdefault(request, []).append(found)
        return found

    def extra(self, prompt: str) -> float:
        """Tokens by which a prompt will be longer than it is, what is made up in it being short."""
        return sum(max(0.0, self._tokens.get(mark, 0.0) - 3) for mark in marks(prompt))

    def _like(self, request: str) -> dict[str, Any] | None:
        """What to say after what is stored of the same request; None for something new."""
        said = self._said.get(request)
        if not said:
            return None
        self.copied = True
        alike = self.world.alike
        if alike == "any":
            alike = self._now_and_then()
        if alike == "last":
            return said[-1]
        counts = Counter(map(_answer, said)).most_common(2)
        place = {"most": 0, "rival": 1}.get(alike, len(counts))
        return next((one for one in said if _answer(one) == counts[place][0]), None) if place < len(counts) else None

    def _now_and_then(self) -> Alike:
        """In worlds of even numbers every second, third, … one dissents, in the others chance has it."""
        number = self.world.number
        if number % 2 == 0:
            return "rival" if self._count % (1 + number // 2) == 0 else "most"
        agreed = self._chance.random() < 1 - number / 10
        return "most" if agreed else self._chance.choice(("rival", "rival", "last", "not"))

    # --- judgements ---

    def grade(self, depth: int) -> Grade:
        """What is judged of so many stand-ins."""
        if self.world.grade == "any":
            share = (1 + 3 * self.world.number % _CHANCES) / 11  # apart from how much they agree
            return "good" if self._chance.random() < share else self._chance.choice(("bad", "mixed"))
        return "bad" if self.world.turn and depth >= self.world.turn else self.world.grade

    def verdict(self, *judged: Any) -> Verdict:
        """What a function of a user's says that is not asked."""
        self.made = self.graded = self.scaled = True
        self._count += 1
        depth = len(marks(judged))
        self.deepest = max(self.deepest, depth)
        grade = self.grade(depth)
        good = grade in ("good", "top") or (grade == "mixed" and self._count % 2 == 0)
        score = {"top": 100.0, "worst": -100.0}.get(grade, float(good))
        return Verdict(good, "" if good else "made up", score)

    # --- values ---

    def value(self, name: str, annotation: Any, grade: Grade) -> Any:
        """A value of an annotated type."""
        origin, inside = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self.value(name, inside[0], grade)
        if origin is Literal:
            return self._choice(inside, grade)
        if origin in (Union, types.UnionType):
            return self.value(name, next((one for one in inside if one is not type(None)), str), grade)
        if origin in (list, set, tuple, frozenset, Sequence) or annotation in (list, set, tuple, frozenset):
            return self._several(name, origin or annotation, inside, grade)
        if origin in (dict, Mapping) or annotation is dict:
            return {self._text("key"): self.value(name, inside[1] if len(inside) > 1 else str, grade)}
        return self._single(name, annotation, grade)

    def _single(self, name: str, kind: Any, grade: Grade) -> Any:
        if kind is bool:
            return self._choice((True, False), grade)
        if kind in (int, float):
            return self._number(kind, grade)
        if not isinstance(kind, type) or issubclass(kind, str):
            return self._text(name, grade)
        if issubclass(kind, enum.Enum):
            return self._choice(list(kind), grade)
        if issubclass(kind, dspy.Reasoning):
            return kind(content=self._text("reasoning", grade))
        if issubclass(kind, pydantic.BaseModel):
            fields = {one: self.value(one, field.annotation, grade) for one, field in kind.model_fields.items()}
            return kind.model_construct(**fields)
        return self._text(name, grade)

    def _choice(self, choices: Sequence[Any], grade: Grade) -> Any:
        """One of several: the first is taken for the best."""
        self.graded = True
        if grade == "mixed":
            return choices[self._count % len(choices)]
        return choices[0 if grade in ("good", "top") else -1]

    def _number(self, kind: type, grade: Grade) -> Any:
        """A number; where they are not alike, each another one."""
        self.graded = self.scaled = True
        good = grade in ("good", "top") or (grade == "mixed" and self._count % 2 == 0)
        far = 100 if grade in ("top", "worst") else 1
        apart = 0 if not self.world.apart else self._count / (1 if kind is int else 1e6)
        made = (far if good else 1 - far) + (apart if good else -apart)
        return MadeInt(made) if kind is int else MadeFloat(made)

    def _several(self, name: str, kind: Any, inside: tuple[Any, ...], grade: Grade) -> Any:
        """A list; where stand-ins are not alike, a long one of different items."""
        self.endless = True
        if kind is tuple and inside and inside[-1] is not Ellipsis:
            return tuple(self.value(name, one, grade) for one in inside)
        item, made = inside[0] if inside else str, []
        for _ in range(_ITEMS if self.world.apart else 1):
            made.append(self.value(name, item, grade))
            self._count += 1
        return kind(made) if kind in (set, tuple, frozenset) else made

    def _text(self, name: str, grade: Grade = "good") -> str:
        """A text that reads as a number too; reasoning holds a sum, which a check finds wrong where all is bad."""
        number = self._count if self.world.apart else self._numbers.setdefault(name, len(self._numbers))
        mark = f"7310{number % 10_000:04}"
        if name != "reasoning":
            return mark
        self.graded = True
        return f"{mark}: 1 + 1 = {2 if grade in ('good', 'top', 'mixed') else 3}."


def marks(value: Any) -> list[str]:
    """The stand-ins that can be read in a value."""
    return _MARK.findall(value if isinstance(value, str) else str(value))


def holds(value: Any) -> bool:
    """Whether anything in a value is made up."""
    if isinstance(value, (MadeInt, MadeFloat, Verdict)):
        return True
    if isinstance(value, dspy.Example):
        return any(holds(one) for one in value.values())
    if isinstance(value, Mapping):
        return any(holds(one) for one in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(holds(one) for one in value)
    return bool(marks(value))


def _answer(said: Mapping[str, Any]) -> str:
    return repr([value for name, value in said.items() if name != "reasoning"])


def worlds(met: Sequence[StandIns]) -> list[World]:
    """The worlds to rehearse in, given what was met with so far; the first ones stay the first."""
    found = [World()]
    if any(one.made for one in met):
        found += [World("most"), World("rival"), World(lost="malformed"), World(lost="length")]
    if any(one.copied for one in met):
        found += [World("last")]
    if any(one.graded for one in met):
        deepest = max(one.deepest for one in met)
        found += [World(grade="bad"), World(grade="mixed"), World("most", "bad")]
        found += [World(turn=turn) for turn in range(2, min(deepest, _DEEPEST) + 1)]
    if any(one.copied or one.graded for one in met):
        found += [World("any", "any", number=number) for number in range(1, _CHANCES + 1)]
    if any(one.scaled for one in met):
        found += [World(grade="top"), World(grade="worst"), World("most", "top")]
    return found
