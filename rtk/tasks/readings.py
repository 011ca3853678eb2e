"""Sentences about hidden numbers that can be read in more than one way, and what each reading says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product

from rtk.errors import TaskError
from rtk.tasks.clues import ORDINALS, Clue, Puzzle, read_puzzle
from rtk.tasks.deduction import solutions

LETTERS = "ABCDEF"
Meaning = Callable[[Sequence[int], int, int], "int | Fraction"]


@dataclass(frozen=True, slots=True)
class Vague:
    """A kind of sentence with several readings.

    Attributes:
        sentence: `{0}`, `{1}`, `{2}` stand for places as ordinals, `{k}` and `{j}` for whole numbers.
        formulas: what the number at `{0}` is, in each reading.
        meanings: the same as functions of (numbers at the places, k, j).
    """

    sentence: str
    formulas: tuple[str, ...]
    meanings: tuple[Meaning, ...]


VAGUE: Mapping[str, Vague] = {
    "scaled": Vague(
        "The {0} number is {k} times the {1} plus {j}",
        ("{k} × {1} + {j}", "{k} × ({1} + {j})"),
        (lambda v, k, j: k * v[1] + j, lambda v, k, j: k * (v[1] + j)),
    ),
    "scaled pair": Vague(
        "The {0} number is {k} times the {1} plus the {2}",
        ("{k} × {1} + {2}", "{k} × ({1} + {2})"),
        (lambda v, k, j: k * v[1] + v[2], lambda v, k, j: k * (v[1] + v[2])),
    ),
    "taken": Vague(
        "The {0} number is the {1} minus the {2} plus {k}",
        ("({1} - {2}) + {k}", "{1} - ({2} + {k})"),
        (lambda v, k, j: v[1] - v[2] + k, lambda v, k, j: v[1] - (v[2] + k)),
    ),
    "away": Vague(
        "The {0} number is {k} away from the {1}",
        ("{1} + {k}", "{1} - {k}"),
        (lambda v, k, j: v[1] + k, lambda v, k, j: v[1] - k),
    ),
    "halved": Vague(
        "The {0} number is half the {1} plus {k}",
        ("{1} / 2 + {k}", "({1} + {k}) / 2"),
        (lambda v, k, j: Fraction(v[1], 2) + k, lambda v, k, j: Fraction(v[1] + k, 2)),
    ),
    "halved pair": Vague(
        "The {0} number is half the {1} plus the {2} plus {k}",
        ("{1} / 2 + {2} + {k}", "({1} + {2}) / 2 + {k}", "({1} + {2} + {k}) / 2"),
        (
            lambda v, k, j: Fraction(v[1], 2) + v[2] + k,
            lambda v, k, j: Fraction(v[1] + v[2], 2) + k,
            lambda v, k, j: Fraction(v[1] + v[2] + k, 2),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Reading(Clue):
    """A vague sentence read in one way, which is a clue like any other.

    Attributes:
        j: the second number in the sentence, 0 where there is none.
        way: which of the kind's readings, from 0.
    """

    j: int = 0
    way: int = 0

    def __str__(self) -> str:
        return f"The {ORDINALS[self.places[0]]} number is {self.formula}."

    @property
    def formula(self) -> str:
        """What the first of its places is, the others by name: `2 × (first + 3)`."""
        return self._filled([ORDINALS[place] for place in self.places])

    def _filled(self, names: Sequence[object]) -> str:
        return VAGUE[self.kind].formulas[self.way].format(*names, k=self.k, j=self.j)

    def holds(self, numbers: Mapping[int, int]) -> bool:
        """Whether it is true; `numbers` maps places to numbers and has all of `places`."""
        return self.value(numbers) == numbers[self.places[0]]

    def value(self, numbers: Mapping[int, int]) -> int | Fraction:
        """What it says the number at the first of its places is, by those at the others."""
        found = [numbers.get(place, 0) for place in self.places]
        return VAGUE[self.kind].meanings[self.way](found, self.k, self.j)

    def working(self, place: int, numbers: Mapping[int, int]) -> str:
        """The arithmetic that finds the number at its first place, such as `"2 × (4 + 3)"`; else `""`."""
        return self._filled([numbers.get(one) for one in self.places]) if place == self.places[0] else ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A vague sentence as a question has it: its readings in the order in which they are numbered there."""

    readings: tuple[Reading, ...]

    @property
    def text(self) -> str:
        """The sentence itself, without a full stop."""
        one = self.readings[0]
        return VAGUE[one.kind].sentence.format(*(ORDINALS[place] for place in one.places), k=one.k, j=one.j)


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A whole question: what is clear in it, and what can be read in several ways."""

    clear: Puzzle
    sentences: tuple[Sentence, ...]

    def __str__(self) -> str:
        vague = []
        for letter, sentence in zip(LETTERS, self.sentences, strict=False):
            ways = "; ".join(f"{letter}{i}: {one.formula}" for i, one in enumerate(sentence.readings, 1))
            vague.append(f"{letter}: {sentence.text} ({ways}).")
        return " ".join([str(self.clear), VAGUENESS, *vague, PROMISE])

    @property
    def key(self) -> str:
        """The same for two questions with the same sentences and readings in any order."""
        vague = [f"{one.text} ({'; '.join(sorted(way.formula for way in one.readings))})" for one in self.sentences]
        return "\n".join([self.clear.key, *sorted(vague)])

    def read(self, ways: Mapping[int, int]) -> Puzzle:
        """The puzzle under some readings: `ways` maps sentences to readings, both from 0; others say nothing yet."""
        said = [self.sentences[sentence].readings[way] for sentence, way in ways.items()]
        clear = self.clear
        return Puzzle(clear.length, clear.low, clear.high, (*clear.clues, *said))

    def every_way(self, settled: Mapping[int, int] | None = None) -> Iterator[dict[int, int]]:
        """All ways to read all sentences that agree with the settled ones."""
        choices = [
            [settled[i]] if settled and i in settled else range(len(sentence.readings))
            for i, sentence in enumerate(self.sentences)
        ]
        return (dict(enumerate(ways)) for ways in product(*choices))


VAGUENESS = "Each sentence with a letter can be read in several ways."
PROMISE = "Only one choice of readings leaves exactly one possible sequence."


def proved(question: Ambiguous, limit: int = 2) -> list[tuple[dict[int, int], tuple[int, ...]]]:
    """Up to `limit` ways to read all sentences that leave exactly one sequence, each with it.

    Exhaustive over the readings, and for each over the sequences within the bounds: a list of length one with `limit`
    at 2 or more is a proof.
    """
    found = []
    for ways in question.every_way():
        fits = solutions(question.read(ways))
        if len(fits) == 1:
            found.append((ways, fits[0]))
            if len(found) == limit:
                break
    return found


@lru_cache(maxsize=512)
def read_ambiguous(question: str) -> Ambiguous:
    """The question that a text states; white space does not matter.

    Raises:
        TaskError: a sentence that belongs to no such question.
    """
    text = " ".join(question.split())
    clear, mark, rest = text.partition(f" {VAGUENESS} ")
    vague, promise, after = rest.partition(f" {PROMISE}")
    if not mark or not promise or after:
        raise _unreadable(text)
    puzzle = read_puzzle(clear)
    sentences = re.split(r"(?<=\)\.) (?=[A-F]: )", vague)
    return Ambiguous(puzzle, tuple(map(_sentence, sentences, LETTERS, [puzzle.length] * len(sentences))))


def _sentence(text: str, letter: str, length: int) -> Sentence:
    found = re.fullmatch(rf"{letter}: (The [^(]+) \((.*)\)\.", text)
    for kind, pattern in PATTERNS.items():
        if found and (said := pattern.fullmatch(found[1])):
            named = said.groupdict()
            k, j = int(named.pop("k", 0)), int(named.pop("j", 0))
            places = tuple(ORDINALS.index(ordinal) for ordinal in named.values())
            known = {one.formula: one for one in readings_of(kind, places, k, j)}
            ways = [way.partition(": ") for way in found[2].split("; ")]
            labels = [f"{letter}{i}" for i in range(1, len(known) + 1)]
            whole = [label for label, _, _ in ways] == labels and {way for _, _, way in ways} == known.keys()
            if whole and max(places) < length:
                return Sentence(tuple(known[way] for _, _, way in ways))
    raise _unreadable(text)


def readings_of(kind: str, places: tuple[int, ...], k: int, j: int = 0) -> tuple[Reading, ...]:
    """All readings of a sentence."""
    return tuple(Reading(kind, places, k, j, way) for way in range(len(VAGUE[kind].formulas)))


def _unreadable(text: str) -> TaskError:
    return TaskError(
        f"not a sentence of a hidden-sequence question at level 6: {text!r:.160}",
        mend='ask about a question as rtk.tasks.load("hidden_sequence", level=6) gives it, unchanged',
    )


def _pattern(sentence: str) -> re.Pattern[str]:
    text = re.sub(r"\\\{([kj])\\\}", r"(?P<\1>\\d+)", re.escape(sentence))
    return re.compile(re.sub(r"\\\{(\d)\\\}", lambda m: f"(?P<p{m[1]}>{'|'.join(ORDINALS)})", text))


PATTERNS = {kind: _pattern(entry.sentence) for kind, entry in VAGUE.items()}
