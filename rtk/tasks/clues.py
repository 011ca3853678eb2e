"""The clues of a hidden sequence: one plain sentence each, written and read by the same table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rtk.errors import TaskError

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
Values = Sequence[int]  # the numbers at a clue's places, in the order in which the sentence names them


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sentence.

    Attributes:
        sentence: `{0}`, `{1}`, … stand for places as ordinals, `{k}` for a whole number.
        holds: (numbers at the places, k) to whether the sentence is true of them.
        workings: for each place, the arithmetic that finds its number from the others (`{0}`, `{1}`, … are numbers
            here); empty where the sentence alone does not determine a number.
    """

    sentence: str
    holds: Callable[[Values, int], bool]
    workings: tuple[str, ...] = ()


# Relations are worded in the order in which they are calculated ("the first plus 3", 4 + 3): a model of 135 million
# parameters often turns "3 more than the first" into a subtraction.
KINDS: Mapping[str, Kind] = {
    "value": Kind("The {0} number is {k}.", lambda v, k: v[0] == k),
    "plus": Kind("The {0} number is the {1} plus {k}.", lambda v, k: v[0] == v[1] + k, ("{1} + {k}", "{0} - {k}")),
    "minus": Kind("The {0} number is the {1} minus {k}.", lambda v, k: v[0] == v[1] - k, ("{1} - {k}", "{0} + {k}")),
    "times": Kind("The {0} number is the {1} times {k}.", lambda v, k: v[0] == v[1] * k, ("{1} × {k}", "{0} / {k}")),
    "sum": Kind(
        "The {0} number is the {1} plus the {2}.",
        lambda v, k: v[0] == v[1] + v[2],
        ("{1} + {2}", "{0} - {2}", "{0} - {1}"),
    ),
    "total": Kind("All the numbers add up to {k}.", lambda v, k: sum(v) == k),
    "over": Kind("The {0} number is greater than {k}.", lambda v, k: v[0] > k),
    "under": Kind("The {0} number is less than {k}.", lambda v, k: v[0] < k),
    "even": Kind("The {0} number is even.", lambda v, k: v[0] % 2 == 0),
    "odd": Kind("The {0} number is odd.", lambda v, k: v[0] % 2 == 1),
}


@dataclass(frozen=True, slots=True)
class Clue:
    """One true sentence about the hidden numbers.

    Attributes:
        kind: a key of `KINDS`.
        places: the places it speaks of, from 0, in the order of the sentence.
        k: the number in it, 0 where there is none.
    """

    kind: str
    places: tuple[int, ...]
    k: int = 0

    def __str__(self) -> str:
        return KINDS[self.kind].sentence.format(*(ORDINALS[place] for place in self.places), k=self.k)

    def holds(self, numbers: Mapping[int, int]) -> bool:
        """Whether it is true; `numbers` maps places to numbers and has all of `places`."""
        return KINDS[self.kind].holds([numbers[place] for place in self.places], self.k)

    def working(self, place: int, numbers: Mapping[int, int]) -> str:
        """The arithmetic that finds the number at `place` from the others, such as `"4 + 3"`; else `""`."""
        if self.kind == "total":
            return " - ".join(str(n) for n in (self.k, *(numbers[other] for other in self.places if other != place)))
        workings = KINDS[self.kind].workings
        if not workings or self.places.count(place) != 1:
            return ""
        return workings[self.places.index(place)].format(*(numbers.get(other) for other in self.places), k=self.k)


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A whole question: how many numbers, between which bounds, and the clues."""

    length: int
    low: int
    high: int
    clues: tuple[Clue, ...]

    def __str__(self) -> str:
        opening = f"Find the {self.length} hidden numbers, each from {self.low} to {self.high}."
        return " ".join([opening, *map(str, self.clues)])

    @property
    def key(self) -> str:
        """The same for two puzzles with the same clues in any order."""
        return "\n".join([f"{self.length} {self.low} {self.high}", *sorted(map(str, self.clues))])


def read_puzzle(question: str) -> Puzzle:
    """The puzzle that a question states; white space does not matter.

    Raises:
        TaskError: a sentence that is none of the opening and the clues, or that names a number there is not.
    """
    opening, *sentences = re.split(r"(?<=\.)\s+", " ".join(question.split()))
    found = re.fullmatch(r"Find the (\d+) hidden numbers, each from (\d+) to (\d+)\.", opening)
    if not found:
        raise _unreadable(opening)
    length, low, high = map(int, found.groups())
    if not 1 <= length <= len(ORDINALS) or low > high:
        raise _unreadable(opening)
    return Puzzle(length, low, high, tuple(_read_clue(sentence, length) for sentence in sentences))


def _read_clue(sentence: str, length: int) -> Clue:
    for kind, pattern in PATTERNS.items():
        if found := pattern.fullmatch(sentence):
            named = found.groupdict()
            k = int(named.pop("k", 0))
            named_places = tuple(ORDINALS.index(ordinal) for ordinal in named.values())
            places = tuple(range(length)) if kind == "total" else named_places
            if max(places) < length:
                return Clue(kind, places, k)
    raise _unreadable(sentence)


def _unreadable(sentence: str) -> TaskError:
    return TaskError(
        f"not a sentence of a hidden-sequence question: {sentence!r}",
        mend='ask about a question as rtk.tasks.load("hidden_sequence") gives it, unchanged',
    )


def _pattern(sentence: str) -> re.Pattern[str]:
    text = re.escape(sentence).replace(r"\{k\}", r"(?P<k>\d+)")
    return re.compile(re.sub(r"\\\{(\d)\\\}", lambda m: f"(?P<p{m[1]}>{'|'.join(ORDINALS)})", text))


PATTERNS = {kind: _pattern(entry.sentence) for kind, entry in KINDS.items()}
